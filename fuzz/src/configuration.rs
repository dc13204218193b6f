//! Target `configuration`: the configuration of both services.
//!
//! Invariants, besides not panicking: reading it twice says the same; mistakes are told with their key, in a bounded
//! number of words; what names files names them.
//!
//! The first byte of an input chooses the service, and whether the rest is put behind a configuration that is valid.

use causeway_edge_proxy::config::Config as Edge;
use causeway_gateway::config::Config as Gateway;

const EDGE: &str = include_str!("../../deploy/example/edge-proxy.toml");
const GATEWAY: &str = include_str!("../../deploy/example/gateway.toml");

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let example = if choice & 1 == 0 { EDGE } else { GATEWAY };
    let text = if choice & 2 == 0 { text.to_owned() } else { format!("{example}\n{text}") };
    let environment = std::env::vars().take(0);
    let outcome = |result: Result<usize, Vec<_>>| match result {
        Ok(files) => Ok(files),
        Err(mistakes) => Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    let read = |environment| {
        outcome(if choice & 1 == 0 {
            Edge::parse(&text, environment).map(|(config, _)| config.files().len())
        } else {
            Gateway::parse(&text, environment).map(|(config, _)| config.files().len())
        })
    };
    let once = read(environment);
    if let Err(mistakes) = &once {
        assert!(!mistakes.is_empty(), "refused without a mistake");
    }
    assert_eq!(once, read(std::env::vars().take(0)));
}
