//! `--check-config`: all mistakes in one run, each with its key; nothing is started.

use std::path::Path;

use causeway_tests::peer::process;
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};

use crate::support::{FABRIKAM, LOCAL, address};

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
