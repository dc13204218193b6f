//! Probes to their frame form and back, within bounds.

use causeway_proto::link::v1 as proto;

use super::FrameFault;
use super::verdict::{certificate_from_proto, certificate_to_proto, sentence};
use crate::probe::{MAX_STEPS, Part, Request, Step, StepState};
use crate::verdict::facts::{Facts, TlsFacts};
use crate::verdict::{Code, Rung, Side};

/// A request to its frame form.
pub fn probe_request_to_proto(request: &Request) -> proto::ProbeRequest {
    proto::ProbeRequest { id: request.id, partner_domain: request.partner.clone(), local_domain: request.local.clone() }
}

/// A request from its frame form. Whether its domains are any, the edge finds out.
pub fn probe_request_from_proto(frame: proto::ProbeRequest) -> Request {
    Request { id: frame.id, partner: frame.partner_domain, local: frame.local_domain }
}

/// A part of a report to its frame form.
pub fn probe_part_to_proto(part: &Part) -> proto::ProbeReport {
    proto::ProbeReport {
        id: part.id,
        steps: part.steps.iter().map(step_to_proto).collect(),
        is_last: part.is_last,
        refused: part.refused.clone(),
    }
}

/// A part of a report from its frame form.
pub fn probe_part_from_proto(frame: proto::ProbeReport) -> Result<Part, FrameFault> {
    let steps = frame.steps.into_iter().take(MAX_STEPS).map(step_from_proto);
    Ok(Part {
        id: frame.id,
        steps: steps.collect::<Result<_, _>>()?,
        is_last: frame.is_last,
        refused: sentence(frame.refused),
    })
}

fn step_to_proto(step: &Step) -> proto::ProbeStep {
    let (tls_version, tls_cipher) =
        step.tls.as_ref().map(|tls| (tls.version.clone(), tls.cipher.clone())).unwrap_or_default();
    proto::ProbeStep {
        rung: step.rung.as_str().to_owned(),
        state: step.state.as_str().to_owned(),
        what: step.what.clone(),
        code: step.code.map_or("", Code::as_str).to_owned(),
        side: step.side.map_or("", Side::as_str).to_owned(),
        remedy: step.remedy.clone(),
        target: step.target.clone(),
        address: step.address.map_or_else(String::new, |address| address.to_string()),
        took_ms: step.took_ms,
        tls_version,
        tls_cipher,
        certificate: step.certificate.as_ref().map(certificate_to_proto),
        transcript: step.transcript.clone(),
    }
}

fn step_from_proto(frame: proto::ProbeStep) -> Result<Step, FrameFault> {
    let unknown = |field| FrameFault::Unknown { field };
    let side = if frame.side.is_empty() { None } else { Some(Side::parse(&frame.side)) };
    let has_tls = !frame.tls_version.is_empty();
    // The bounds are those of verdicts.
    let facts = Facts {
        target: frame.target,
        tls: has_tls.then_some(TlsFacts { version: frame.tls_version, cipher: frame.tls_cipher }),
        certificate: frame.certificate.map(certificate_from_proto).transpose()?,
        transcript: frame.transcript,
        ..Facts::default()
    }
    .bounded();
    Ok(Step {
        rung: Rung::parse(&frame.rung).ok_or(unknown("step.rung"))?,
        state: StepState::parse(&frame.state).ok_or(unknown("step.state"))?,
        what: sentence(frame.what),
        code: Code::parse(&frame.code),
        side: side.map(|side| side.ok_or(unknown("step.side"))).transpose()?,
        remedy: sentence(frame.remedy),
        target: facts.target,
        address: frame.address.parse().ok(),
        took_ms: frame.took_ms,
        tls: facts.tls,
        certificate: facts.certificate,
        transcript: facts.transcript,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_survives_the_link() {
        let request = Request { id: 7, partner: "fabrikam.example".to_owned(), local: String::new() };
        assert_eq!(probe_request_from_proto(probe_request_to_proto(&request)), request);
        let step = Step {
            address: Some("192.0.2.1:5269".parse().unwrap()),
            target: "xmpp.fabrikam.example:5269".to_owned(),
            took_ms: 12,
            tls: Some(TlsFacts { version: "TLSv1_3".to_owned(), cipher: "x".to_owned() }),
            transcript: vec!["sent a header".to_owned()],
            ..Step::new(Rung::Tls, StepState::Failed, "no").mend(Code::TlsFailed)
        };
        let part = Part { id: 7, steps: vec![step], is_last: true, refused: "x".to_owned() };
        assert_eq!(probe_part_from_proto(probe_part_to_proto(&part)), Ok(part));
    }

    #[test]
    fn a_step_in_unknown_words_breaks_the_contract() {
        let frame = proto::ProbeReport { steps: vec![proto::ProbeStep::default()], ..proto::ProbeReport::default() };
        assert_eq!(probe_part_from_proto(frame).unwrap_err(), FrameFault::Unknown { field: "step.rung" });
    }
}
