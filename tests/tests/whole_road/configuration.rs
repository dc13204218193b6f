//! `--check-config`: all mistakes in one run, each with its key; nothing is started.

use std::path::Path;

use causeway_tests::peer::process;
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};

use crate::support::{FABRIKAM, LOCAL, World, address};

fn road(name: &str) -> Road {
    process::build().unwrap();
    Road::new(name, Plan::free(address(), LOCAL, vec![PartnerPlan::external(FABRIKAM)]).unwrap()).unwrap()
}

/// Whether the file is accepted, and everything that was said about it.
fn check(program: &str, config: &Path) -> (bool, String) {
    let program = process::program(program).unwrap();
    let output = process::run(&program, &["--config", &config.to_string_lossy(), "--check-config"]).unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

#[test]
fn good_files_are_accepted() {
    let road = road("check-good");
    for (program, config) in [("edge-proxy", road.edge_config()), ("gateway", road.gateway_config())] {
        let (accepted, said) = check(program, &config);
        assert!(accepted, "{program}: {said}");
    }
}

#[test]
fn unknown_keys_are_refused_with_all_other_mistakes_in_one_run() {
    let road = road("check-bad");
    let edge = std::fs::read_to_string(road.edge_config()).unwrap();
    let bad =
        format!("colour = 'blue'\n{edge}\n[paint]\n").replace("[listen]\ns2s = [", "[listen]\nspeed = 1\ns2s = ['x', ");
    std::fs::write(road.edge_config(), bad).unwrap();
    let (accepted, said) = check("edge-proxy", &road.edge_config());
    assert!(!accepted, "{said}");
    for key in ["colour", "paint", "listen.speed", "listen.s2s"] {
        assert!(said.contains(key), "{key} is not in: {said}");
    }

    let gateway = std::fs::read_to_string(road.gateway_config()).unwrap();
    let bad = gateway.replace("sasl_negotiation = 'Required'", "sasl_negotiation = 'Perhaps'\ncolour = 'blue'");
    std::fs::write(road.gateway_config(), format!("flavour = 1\n{bad}\n[paint]\n")).unwrap();
    let (accepted, said) = check("gateway", &road.gateway_config());
    assert!(!accepted, "{said}");
    for key in ["flavour", "paint", "sasl_negotiation", "colour"] {
        assert!(said.contains(key), "{key} is not in: {said}");
    }
}

#[test]
fn a_service_does_not_start_with_a_bad_file() {
    let road = road("start-bad");
    for (program, config) in [("edge-proxy", road.edge_config()), ("gateway", road.gateway_config())] {
        let good = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("colour = 'blue'\n{good}")).unwrap();
        let program = process::program(program).unwrap();
        let output = process::run(&program, &["--config", &config.to_string_lossy()]).unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("colour"), "{output:?}");
    }
}

#[tokio::test]
async fn a_key_that_needs_a_restart_is_named_when_the_file_changes_and_the_rest_is_taken_up() {
    let world = World::start("reload-fixed").await;
    let path = world.road.gateway_config();
    let old = std::fs::read_to_string(&path).unwrap();
    let sip = world.road.plan.sip;
    let elsewhere = old.replace(&format!("tcp = ['{sip}']"), "tcp = ['127.0.21.255:1']");
    assert_ne!(elsewhere, old);
    std::fs::write(&path, elsewhere + "\n[echo]\naddress = 'echo@contoso.example'\n").unwrap();
    let is_named = |line: &str| line.contains("sip.tcp") && line.contains("restart");
    world.gateway.logged("the key that waits", is_named).await.unwrap();
    world.gateway.logged("that the rest is in force", |line| line.contains("is in force")).await.unwrap();

    let mut stream = world.stream().await;
    let ask = "<iq from='bob@fabrikam.example/desk' to='echo@contoso.example' type='get' id='q1'>\
               <ping xmlns='urn:xmpp:ping'/></iq>";
    stream.send(ask).await.unwrap();
    world.fabrikam.stanzas.wait("the new contact", |stanza| stanza.contains("type='result'")).await.unwrap();
    // The pool still finds the gateway where it was.
    let client = world.client().await;
    let response = client.message("alice@contoso.example", "bob@fabrikam.example", "call-1", "hello").await.unwrap();
    assert_eq!(response.status(), Some(202), "{response:?}");
}
