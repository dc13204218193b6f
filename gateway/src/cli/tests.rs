use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header;
use serde_json::{Value as Json, json};
use tokio::net::UnixListener;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Line::command().debug_assert();
}

/// The long options of a verb and the verb below it.
fn flags(verb: &str, below: &str) -> Vec<String> {
    let command = Line::command();
    let verb = command.find_subcommand(verb).and_then(|verb| verb.find_subcommand(below)).unwrap();
    verb.get_arguments().filter_map(clap::Arg::get_long).map(|flag| flag.replace('-', "_")).collect()
}

#[test]
fn every_key_that_an_operator_may_write_has_a_flag() {
    let config = "gateway_id='g'\ndomains=['c.example']\n[link]\nedges=['127.0.0.1:1']\ncertificate='a'\nkey='b'\nca='c'\n\
                  allowed_edges=['e']\n[sip]\ntcp=['127.0.0.1:5060']\ncontact='sip:127.0.0.1:5060;transport=tcp'\n\
                  next_hops=['tcp:127.0.0.1:5070']\n[[sip.trusted_peers]]\nname='p'\naddresses=['127.0.0.1']\n\
                  [[partner]]\ndomain='a.example'\n";
    let (config, _) = crate::config::Config::parse(config, std::iter::empty()).unwrap();
    let keys = |value: Json| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let partner = keys(json!(crate::admin::documents::PartnerDocument::of(&config.partners[0])));
    let (new, set) = (flags("partner", "new"), flags("partner", "set"));
    for key in partner {
        let flag = match key.as_str() {
            "additional_domains" => "additional_domain",
            "pins" => "pin",
            "trust_anchors_pem" => "trust_anchors",
            same => same,
        };
        assert!([&new, &set].iter().all(|flags| flags.iter().any(|known| known == flag)), "partner: no --{flag}");
    }
    let set = flags("settings", "set");
    for key in keys(json!(crate::admin::documents::SettingsDocument::of(&config))) {
        let flag = match key.as_str() {
            "has_dialback_passphrase" => "dialback_passphrase_file",
            other => other.strip_suffix("_secs").unwrap_or(other),
        };
        assert!(set.iter().any(|known| known == flag), "settings: no --{flag}");
    }
}

/// What a request was: method and target, version, body.
type Asked = (String, Option<String>, Json);

/// An interface that takes everything, and notes it.
async fn answer(
    State(asked): State<Arc<Mutex<Vec<Asked>>>>,
    request: Request,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let (parts, body) = request.into_parts();
    let target =
        format!("{} {}", parts.method, parts.uri.path_and_query().unwrap().as_str().trim_start_matches("/api/v1/"));
    let version = parts.headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap().to_owned());
    let body: Bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap();
    asked.lock().unwrap().push((target, version, serde_json::from_slice(&body).unwrap_or(Json::Null)));
    let document = json!({
        "domain": "a.example", "additional_domains": ["b.example"], "identity": "Global", "enable_xmpp_access": false,
        "passes": true, "is_delivered": true, "intact": true, "ready": true, "in_order": true,
        "accounts": [{"name": "ada", "version": 7}],
    });
    ([(header::ETAG, "\"7\"")], document.to_string())
}

/// What a command line asks for.
async fn asks(name: &str, line: &str) -> Vec<Asked> {
    let path = std::env::temp_dir().join(format!("causeway-verbs-{name}-{}.sock", std::process::id()));
    // What an earlier run left.
    let _ = std::fs::remove_file(&path);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let listener = UnixListener::bind(&path).unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    let line = Line::try_parse_from(std::iter::once("causeway").chain(line.split_whitespace())).unwrap();
    let client = Client::new(place::Place::Socket(path.clone())).unwrap();
    ask(&line.verb, &client, &Screen::new(Format::Json)).await.unwrap();
    server.abort();
    std::fs::remove_file(path).unwrap();
    asked.lock().unwrap().drain(..).collect()
}

#[tokio::test]
async fn verbs_that_read_ask_for_what_they_are_named_after() {
    for (line, expected) in [
        ("status", "GET status"),
        ("partner get", "GET partners"),
        ("partner get --filter *.org", "GET partners?filter=%2A.org"),
        ("partner get a.example", "GET partners/a.example"),
        ("settings get", "GET settings"),
        ("policy get", "GET policies"),
        ("policy get Tag:Sales", "GET policies/Tag%3ASales"),
        ("policy get --grants", "GET grants"),
        ("policy effective ada@c.example", "GET users/ada%40c.example/policy"),
        ("streams --partner a.example", "GET streams?partner=a.example"),
        ("queues", "GET queues"),
        ("verdicts", "GET verdicts"),
        ("check --own", "GET check"),
        ("explain ada@c.example bob@a.example", "GET explain?local=ada%40c.example&remote=bob%40a.example"),
        ("trace ada@c.example bob@a.example", "GET ladder?local=ada%40c.example&remote=bob%40a.example&format=json"),
        ("tap --partner a.example --kind message", "GET events?partner=a.example&kind=message"),
        ("account get", "GET accounts"),
        ("token get", "GET tokens"),
        ("audit", "GET audit?newest=true&limit=100"),
        ("audit --after 5 --limit 7", "GET audit?after=5&limit=7"),
        ("audit --verify --known 5:ab", "GET audit/verify?seq=5&hash=ab"),
        ("archive --partner a.example", "GET archive?partner=a.example"),
    ] {
        let asked = asks("read", line).await;
        assert_eq!(asked.iter().map(|(target, ..)| target.as_str()).collect::<Vec<_>>(), [expected], "{line}");
    }
}

#[tokio::test]
async fn verbs_that_change_send_what_was_named_and_the_version_that_was_read() {
    let seven = Some("\"7\"");
    for (line, target, version, body) in [
        (
            "partner new a.example --partner-type federated --tls-negotiation optional --enable-keep-alive no --whatif --force",
            "POST partners?dry_run=true&force=true",
            None,
            json!({"domain": "a.example", "partner_type": "Federated", "tls_negotiation": "Optional", "enable_keep_alive": false}),
        ),
        (
            "partner set --identity a.example --add-domain c.example --remove-domain b.example --clear proxy-fqdn",
            "PATCH partners/a.example",
            seven,
            json!({"additional_domains": ["c.example"], "proxy_fqdn": null}),
        ),
        (
            "partner set a.example --connection-limit 5 --if-version 3",
            "PATCH partners/a.example",
            Some("\"3\""),
            json!({"connection_limit": 5}),
        ),
        ("partner remove a.example --force", "DELETE partners/a.example?force=true", seven, Json::Null),
        (
            "settings set --keep-alive-interval 60 --clear stream-inactivity-timeout",
            "PATCH settings",
            seven,
            json!({"keep_alive_interval_secs": 60, "stream_inactivity_timeout_secs": null}),
        ),
        (
            "policy new Tag:Sales --enable-xmpp-access true",
            "POST policies",
            None,
            json!({"identity": "Tag:Sales", "enable_xmpp_access": true}),
        ),
        (
            "policy set Global --enable-xmpp-access true",
            "PUT policies/Global",
            seven,
            json!({"identity": "Global", "enable_xmpp_access": true}),
        ),
        ("policy remove Tag:Sales --confirm=false", "DELETE policies/Tag%3ASales", seven, Json::Null),
        ("policy grant ada@c.example Sales", "PUT grants/ada%40c.example", None, json!({"policy": "Sales"})),
        ("policy revoke ada@c.example", "DELETE grants/ada%40c.example", None, Json::Null),
        ("streams close edge-1 12 --force", "DELETE streams/edge-1/12", None, Json::Null),
        ("check --partner a.example", "POST probes?partner=a.example", None, json!({})),
        (
            "simulate bob@a.example ada@c.example --kind presence --type subscribe",
            "POST simulate",
            None,
            json!({"from": "bob@a.example", "to": "ada@c.example", "kind": "presence", "type": "subscribe"}),
        ),
        (
            "test-im ada@c.example bob@a.example",
            "POST test-im",
            None,
            json!({"local": "ada@c.example", "remote": "bob@a.example"}),
        ),
        (
            "pair remove ada@c.example bob@a.example --force",
            "DELETE pairs?local=ada%40c.example&remote=bob%40a.example",
            None,
            Json::Null,
        ),
        (
            "token new monitoring --scope read --days 30",
            "POST tokens",
            None,
            json!({"name": "monitoring", "scopes": ["read"], "days": 30}),
        ),
        ("token revoke t1", "DELETE tokens/t1", None, Json::Null),
        ("account remove ada --force", "DELETE accounts/ada", None, Json::Null),
        (
            "account set ada --role archivereader --enabled false",
            "PATCH accounts/ada",
            None,
            json!({"roles": ["ArchiveReader"], "enabled": false, "version": 7}),
        ),
    ] {
        let asked = asks("change", line).await;
        let last = asked.last().unwrap();
        assert_eq!((last.0.as_str(), last.1.as_deref(), &last.2), (target, version, &body), "{line}");
    }
}

#[tokio::test]
async fn an_import_is_only_tried_out_unless_it_is_committed() {
    let file = std::env::temp_dir().join(format!("causeway-import-{}.json", std::process::id()));
    std::fs::write(&file, r#"{"Domain": "a.example", "TlsNegotiation": "Required"}"#).unwrap();
    for (line, is_trial) in [("import lync FILE", true), ("import lync FILE --commit", false)] {
        let asked = asks("import", &line.replace("FILE", file.to_str().unwrap())).await;
        let (target, _, body) = asked.last().unwrap();
        assert!(target.starts_with("POST import/lync"), "{target}");
        assert_eq!(body["dry_run"], json!(is_trial));
        assert!(body["files"][0]["content"].as_str().is_some_and(|content| content.starts_with("eyJ")));
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn what_is_saved_is_only_its_owner_s_and_replaces_nothing_unasked() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::env::temp_dir().join(format!("causeway-backup-{}.db", std::process::id()));
    let path = file.to_str().unwrap();
    assert_eq!(asks("backup", &format!("backup {path}")).await[0].0, "GET backup");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Line::parse_from(["causeway", "backup", path]);
    let nowhere = Client::new(place::Place::Socket("/nonexistent".into())).unwrap();
    let refused = ask(&again.verb, &nowhere, &Screen::new(Format::Json)).await.unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused}");
    assert_eq!(asks("restore", &format!("restore {path} --force")).await[0].0, "POST restore");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_lie_about_the_command_line_is_found_before_anything_is_asked() {
    for line in [
        "partner new",
        "partner set a.example --tls-negotiation Sometimes",
        "partner get a b",
        "tap --count x",
        "--socket a --server b status",
    ] {
        assert!(Line::try_parse_from(std::iter::once("causeway").chain(line.split(' '))).is_err(), "{line}");
    }
}
