//! What orchestrators and monitors ask a service: does it live, can it work, what has it counted.
//!
//! Pure answers; the services' HTTP shells send them. Readiness knows every leg that the service stands on, so that a
//! glance tells which one is missing.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::metrics::Described;
use crate::verdict;
use crate::verdict::history::Kept;

/// Something that a service needs to do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Such as `link`, `sip` or `store`.
    pub name: &'static str,
    /// Whether it bears.
    pub is_ready: bool,
    /// In a sentence, what is or is not there.
    pub reason: String,
}

impl Leg {
    /// A leg.
    pub fn new(name: &'static str, is_ready: bool, reason: impl Into<String>) -> Self {
        Self { name, is_ready, reason: reason.into() }
    }
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// `/livez`: the process answers, so it lives.
pub fn live() -> Answer {
    Answer { status: 200, content_type: "text/plain; charset=utf-8", body: "ok\n".to_owned() }
}

/// `/readyz`: 200 if every leg bears, else 503; in both cases what each one says.
pub fn ready(legs: &[Leg]) -> Answer {
    let is_ready = legs.iter().all(|leg| leg.is_ready);
    let described: serde_json::Map<String, Value> =
        legs.iter().map(|leg| (leg.name.to_owned(), json!({ "ready": leg.is_ready, "reason": leg.reason }))).collect();
    let body = format!("{}\n", json!({ "ready": is_ready, "legs": described }));
    Answer { status: if is_ready { 200 } else { 503 }, content_type: "application/json", body }
}

/// `/verdicts`: what is kept, the newest first.
pub fn verdicts(kept: &[Kept]) -> Answer {
    json(200, &json!({ "verdicts": verdict::json::kept(kept) }))
}

/// A value.
pub fn json(status: u16, value: &Value) -> Answer {
    Answer { status, content_type: "application/json", body: format!("{value}\n") }
}

/// No value, and why.
pub fn refused(status: u16, why: &str) -> Answer {
    json(status, &json!({ "error": why }))
}

/// The partner that a query such as `partner=fabrikam.example` names; domains need no escapes.
pub fn partner_of(query: Option<&str>) -> Option<String> {
    parameter(query, "partner").map(|domain| domain.to_ascii_lowercase())
}

/// A parameter of a query, as it stands there.
pub fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}

/// `/metrics`: the registry in the text format of OpenMetrics.
pub fn metrics(registry: &Registry) -> Answer {
    let mut body = String::new();
    match encode(&mut body, registry) {
        Ok(()) => {
            Answer { status: 200, content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8", body }
        }
        Err(error) => Answer { status: 500, content_type: "text/plain; charset=utf-8", body: format!("{error}\n") },
    }
}

/// `/metrics/catalogue`: every metric there is, also those that have no series yet.
pub fn catalogue(described: &[Described]) -> Answer {
    let metric = |metric: &Described| json!({ "name": metric.name, "kind": metric.kind.as_str(), "labels": metric.labels, "help": metric.help });
    json(200, &json!({ "metrics": described.iter().map(metric).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_every_leg_bears_and_names_the_one_that_does_not() {
        let legs = [Leg::new("link", true, "1 edge attached"), Leg::new("sip", false, "no target answers")];
        let answer = ready(&legs);
        assert_eq!(answer.status, 503);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["ready"], false);
        assert_eq!(body["legs"]["link"]["ready"], true);
        assert_eq!(body["legs"]["sip"]["reason"], "no target answers");
        assert_eq!(ready(&legs[..1]).status, 200);
    }

    #[test]
    fn a_query_names_a_partner_or_none() {
        assert_eq!(partner_of(Some("a=b&partner=Fabrikam.example")).as_deref(), Some("fabrikam.example"));
        assert_eq!(partner_of(Some("partner=")), None);
        assert_eq!(partner_of(None), None);
    }

    #[test]
    fn metrics_are_openmetrics() {
        let mut registry = Registry::default();
        let counter = prometheus_client::metrics::counter::Counter::<u64>::default();
        registry.register("stanzas", "Stanzas", counter.clone());
        counter.inc();
        let answer = metrics(&registry);
        assert!(answer.body.contains("stanzas_total 1\n"), "{}", answer.body);
        assert!(answer.body.ends_with("# EOF\n"));
    }
}
