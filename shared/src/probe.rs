//! A probe: an edge walks all rungs towards a partner on connections of its own, and tells what it found on each.
//!
//! A gateway asks for it, an edge reports step by step, in the words of verdicts. Values only; the walk is the edge's.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::verdict::facts::{CertificateFacts, TlsFacts, cut};
use crate::verdict::{Code, Rung, Side, json as verdicts, printable};

/// Addresses that one probe tries.
pub const MAX_ADDRESSES: usize = 16;

/// Steps of one report: of each address at most ten, and those of DNS.
pub const MAX_STEPS: usize = 256;

/// How long a probe takes at most; then it tells what it has.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names the probe on one attachment.
    pub id: u64,
    /// A domain of the partner.
    pub partner: String,
    /// A domain of ours; empty takes any.
    pub local: String,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepState {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Failed,
    /// Not tried, and why.
    Skipped,
}

impl StepState {
    /// The name in JSON and on the link.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Reads [`StepState::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Skipped].into_iter().find(|state| state.as_str() == name)
    }
}

/// One step of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which rung.
    pub rung: Rung,
    /// How it ended.
    pub state: StepState,
    /// What was found, in a sentence without anything secret.
    pub what: String,
    /// Of which kind the failure is.
    pub code: Option<Code>,
    /// Who can mend it, if it failed.
    pub side: Option<Side>,
    /// What to do, if it failed.
    pub remedy: String,
    /// The SRV target or proxy as `host:port`; empty for steps about the domain.
    pub target: String,
    /// The address.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub took_ms: u32,
    /// The TLS session that was established in this step.
    pub tls: Option<TlsFacts>,
    /// The certificate that was judged in this step.
    pub certificate: Option<CertificateFacts>,
    /// What was said on the connection, if this step was its last.
    pub transcript: Vec<String>,
}

impl Step {
    /// A step that is not about an address.
    pub fn new(rung: Rung, state: StepState, what: impl Into<String>) -> Self {
        Self {
            rung,
            state,
            what: what.into(),
            code: None,
            side: None,
            remedy: String::new(),
            target: String::new(),
            address: None,
            took_ms: 0,
            tls: None,
            certificate: None,
            transcript: Vec::new(),
        }
    }

    /// The same with the kind of failure, and so who can mend it, and how.
    pub fn mend(mut self, code: Code) -> Self {
        self.code = Some(code);
        self.side = Some(code.entry().side);
        code.entry().remedy.clone_into(&mut self.remedy);
        self
    }
}

/// Part of what a probe found; the parts of one probe come in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The probe.
    pub id: u64,
    /// Steps taken since the last part.
    pub steps: Vec<Step>,
    /// Whether nothing more comes.
    pub is_last: bool,
    /// Why there was no probe at all; empty if there was one.
    pub refused: String,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The edge that probed.
    pub edge: String,
    /// The partner's domain.
    pub partner: String,
    /// When it was asked for, in Unix milliseconds.
    pub at_ms: u64,
    /// The steps in the order in which they were taken.
    pub steps: Vec<Step>,
    /// Whether the edge came to the end.
    pub is_complete: bool,
    /// Why there was no probe at all; empty if there was one.
    pub refused: String,
}

impl Report {
    /// Whether stanzas could flow: some address let us authenticate.
    pub fn is_reachable(&self) -> bool {
        let proves = |step: &Step| matches!(step.rung, Rung::Sasl | Rung::Dialback) && step.state == StepState::Ok;
        self.steps.iter().any(proves)
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        json!({
            "edge": printable(&self.edge),
            "partner": printable(&self.partner),
            "at_ms": self.at_ms,
            "reachable": self.is_reachable(),
            "complete": self.is_complete,
            "refused": self.refused,
            "steps": self.steps.iter().map(|step| step_json(step, self.at_ms)).collect::<Vec<_>>(),
        })
    }
}

fn step_json(step: &Step, at_ms: u64) -> Value {
    let mut value = json!({
        "rung": step.rung.as_str(),
        "state": step.state.as_str(),
        "what": printable(&step.what),
    });
    let Value::Object(fields) = &mut value else { return value };
    let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if !step.target.is_empty() {
        add("target", json!(printable(&step.target)));
    }
    if let Some(address) = step.address {
        add("address", json!(address.to_string()));
        add("took_ms", json!(step.took_ms));
    }
    if let Some(code) = step.code {
        add("code", json!(code.as_str()));
    }
    if let Some(side) = step.side {
        add("side", json!(side.as_str()));
        add("remedy", json!(step.remedy));
    }
    if let Some(tls) = &step.tls {
        add("tls", json!({ "version": tls.version, "cipher": tls.cipher }));
    }
    if let Some(certificate) = &step.certificate {
        add("certificate", verdicts::certificate(certificate, at_ms));
    }
    if !step.transcript.is_empty() {
        add("transcript", json!(step.transcript.iter().map(|line| cut(line)).collect::<Vec<_>>()));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_reachable_when_some_address_let_us_in() {
        let failed = Step::new(Rung::Connect, StepState::Failed, "refused").mend(Code::ConnectFailed);
        let mut report = Report {
            edge: "e".to_owned(),
            partner: "fabrikam.example".to_owned(),
            at_ms: 1,
            steps: vec![failed],
            is_complete: true,
            refused: String::new(),
        };
        assert!(!report.is_reachable());
        let json = report.json();
        assert_eq!((json["reachable"].as_bool(), json["steps"][0]["side"].as_str()), (Some(false), Some("network")));
        report.steps.push(Step::new(Rung::Sasl, StepState::Ok, "EXTERNAL accepted"));
        assert!(report.is_reachable());
    }
}
