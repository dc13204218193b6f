//! What a negotiation showed, rung by rung.

use std::time::Instant;

use causeway_shared::domain::DomainName;
use causeway_shared::probe::{Step, StepState};
use causeway_shared::verdict::{CertificateFacts, Code, Rung};
use causeway_shared::xmpp::sasl::SaslCondition;

use super::witness::Seen;
use crate::policy::PartnerPolicy;
use crate::resolve::{Address, Mode};
use crate::stream::Method;
use crate::stream::dialback::Answer;
use crate::stream::identity::Proof;
use crate::stream::outbound::probing::Probed;
use crate::verdict::{Finding, IdentityFault};

/// A certificate with fewer days left is worth a word.
const SOON: i64 = 30;

/// Where steps are taken.
pub(super) struct Place {
    pub(super) target: String,
    pub(super) address: Address,
}

impl Place {
    /// A step at this place.
    pub(super) fn of(&self, step: Step) -> Step {
        Step { target: self.target.clone(), address: Some(self.address.socket), ..step }
    }

    /// A step at this place, and how long it took.
    pub(super) fn taking(&self, since: Instant, step: Step) -> Step {
        Step { took_ms: u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX), ..self.of(step) }
    }
}

fn failed(finding: &Finding) -> Step {
    Step::new(finding.rung, StepState::Failed, finding.cause.clone()).mend(finding.code)
}

/// The rungs from TLS to SASL, on the first connection to an address.
pub(super) fn negotiation(probed: &Probed, partner: &PartnerPolicy, domain: &DomainName, unix_ms: u64) -> Vec<Step> {
    let finding = probed.end.as_ref().err().map(|failure| &failure.finding);
    let mut steps = vec![tls(probed, finding)];
    if let Some(proof) = &probed.proof {
        steps.extend(certificate(probed.facts.certificate.as_ref(), proof, domain, unix_ms));
    }
    if !probed.seen.features.is_empty() || finding.is_some_and(|finding| finding.rung == Rung::Mechanisms) {
        steps.push(mechanisms(probed, finding));
    }
    steps.push(external(probed, partner, finding));
    // A failure that no rung above has told: policy, limits, rules of the stream.
    if let Some(finding) = finding
        && !steps.iter().any(|step| step.state == StepState::Failed && step.rung == finding.rung)
        && finding.rung != Rung::Dialback
    {
        steps.push(failed(finding));
    }
    if let Some(last) = steps.last_mut() {
        last.transcript.clone_from(&probed.facts.transcript);
    }
    steps
}

fn tls(probed: &Probed, finding: Option<&Finding>) -> Step {
    match (&probed.facts.tls, finding) {
        (Some(tls), _) => {
            let how = match probed.mode {
                Mode::StartTls => "STARTTLS",
                Mode::Direct => "direct TLS",
            };
            let step = Step::new(Rung::Tls, StepState::Ok, format!("{how}: {} with {}", tls.version, tls.cipher));
            Step { tls: Some(tls.clone()), ..step }
        }
        (None, Some(finding)) if finding.rung == Rung::Tls => failed(finding),
        (None, Some(_)) => Step::new(Rung::Tls, StepState::Skipped, "the negotiation ended before TLS"),
        (None, None) => Step::new(Rung::Tls, StepState::Skipped, "the stream was authenticated without TLS"),
    }
}

/// The three rungs of a certificate: the first that fails hides those after it.
fn certificate(
    facts: Option<&CertificateFacts>,
    proof: &Result<Proof, IdentityFault>,
    domain: &DomainName,
    unix_ms: u64,
) -> Vec<Step> {
    let days = facts.map_or(0, |facts| facts.days_left(unix_ms));
    let expiry =
        if days < SOON { format!("it ends in {days} days: renew it soon") } else { format!("{days} days left") };
    let fault = proof.as_ref().err().map(|fault| Finding::identity(domain, fault));
    let by = match proof {
        Ok(Proof::Pkix) | Err(_) => "a trusted authority vouches for the certificate",
        Ok(_) => "the certificate is believed for the partner's pin or DNS, not for its issuer",
    };
    let rungs = [
        (Rung::Chain, format!("{by}; {expiry}")),
        (Rung::KeyUsage, "the extended key usage lets it name a server".to_owned()),
        (Rung::Name, format!("it names {domain}")),
    ];
    let reached = |rung: Rung| rungs.iter().position(|(known, _)| *known == rung).unwrap_or_default();
    let end = fault.as_ref().map_or(rungs.len(), |fault| reached(fault.rung));
    let mut steps: Vec<_> =
        rungs.iter().take(end).map(|(rung, what)| Step::new(*rung, StepState::Ok, what.clone())).collect();
    steps.extend(fault.as_ref().map(failed));
    for (rung, _) in rungs.iter().skip(end + 1) {
        steps.push(Step::new(*rung, StepState::Skipped, "not looked at, after what was found"));
    }
    if let Some(first) = steps.first_mut() {
        first.certificate = facts.cloned();
    }
    steps
}

fn mechanisms(probed: &Probed, finding: Option<&Finding>) -> Step {
    let offered = if probed.seen.features.is_empty() {
        "the partner's server sent no features".to_owned()
    } else {
        format!("the partner's server offers {}", probed.seen.features.join("; then "))
    };
    match finding.filter(|finding| finding.rung == Rung::Mechanisms) {
        Some(finding) => {
            let step = failed(finding);
            Step { what: format!("{}; {offered}", step.what), ..step }
        }
        None => Step::new(Rung::Mechanisms, StepState::Ok, offered),
    }
}

fn external(probed: &Probed, partner: &PartnerPolicy, finding: Option<&Finding>) -> Step {
    let skipped = |why: &str| Step::new(Rung::Sasl, StepState::Skipped, why);
    match (&probed.seen.sasl, &probed.end) {
        (Some(Ok(())), Ok(Method::SaslExternal)) => {
            Step::new(Rung::Sasl, StepState::Ok, "the partner's server accepts our certificate by EXTERNAL")
        }
        (Some(Err(condition)), _) => failed(&refused(*condition)),
        (_, Err(failure)) if failure.finding.rung == Rung::Sasl => failed(&failure.finding),
        _ if !partner.permits(Method::SaslExternal) => {
            skipped("EXTERNAL is not permitted by the partner's negotiation settings")
        }
        _ if probed.facts.tls.is_none() => skipped("EXTERNAL needs TLS"),
        _ if matches!(probed.proof, Some(Err(_))) => skipped("the partner's certificate does not prove its domain"),
        _ if finding.is_some() => skipped("the negotiation did not come so far"),
        _ => skipped("the partner's server does not offer EXTERNAL; most often it does not accept our certificate"),
    }
}

fn refused(condition: SaslCondition) -> Finding {
    Finding::new(Code::SaslRefused, format!("the partner's server refuses our certificate: {}", condition.as_str()))
}

/// Dialback, and what was seen of its return leg.
pub(super) fn dialback(probed: &Probed, seen: Option<&Seen>) -> Step {
    let leg = match seen {
        Some(Seen { peer, answer: Answer::Valid, .. }) => {
            format!("the partner asked this edge about it, from {peer}, and was told that it is ours")
        }
        Some(Seen { peer, answer: Answer::Invalid | Answer::Error(_), .. }) => {
            format!("the partner asked this edge about it, from {peer}, and was told that it is not ours")
        }
        None => "the partner did not ask this edge about it: it asked another one, or nobody".to_owned(),
    };
    let step = match &probed.end {
        Ok(Method::SaslExternal) => {
            Step::new(Rung::Dialback, StepState::Skipped, "the partner's server preferred EXTERNAL")
        }
        Ok(Method::TlsDialback | Method::TcpDialback | Method::TlsDialbackCertificate) => {
            Step::new(Rung::Dialback, StepState::Ok, format!("the partner's server accepts our dialback key; {leg}"))
        }
        Err(failure) => {
            let step = failed(&failure.finding);
            let has_offered = failure.finding.rung == Rung::Dialback;
            if has_offered { Step { what: format!("{}; {leg}", step.what), ..step } } else { step }
        }
    };
    Step { transcript: probed.facts.transcript.clone(), ..step }
}

#[cfg(test)]
mod tests {
    use causeway_shared::pki::ChainFault;
    use causeway_shared::verdict::{Facts, TlsFacts};
    use causeway_shared::xmpp::stanza_error::StanzaCondition;

    use super::*;
    use crate::stream::negotiation_out::{Failure, Next};
    use crate::stream::outbound::probing::Sights;
    use crate::stream::test_support::{REMOTE, domain, moment, settings, snapshot};

    fn probed(end: Result<Method, Finding>, proof: Option<Result<Proof, IdentityFault>>) -> Probed {
        let condition = StanzaCondition::RemoteServerTimeout;
        let end = end.map_err(|finding| Failure { condition, finding, next: Next::GiveUp, peer: None });
        let sasl = matches!(end, Ok(Method::SaslExternal)).then_some(Ok(()));
        let tls = proof.is_some().then(|| TlsFacts { version: "TLSv1_3".to_owned(), cipher: "C".to_owned() });
        Probed {
            end,
            facts: Facts { tls, transcript: vec!["connected".to_owned()], ..Facts::default() },
            proof,
            mode: Mode::StartTls,
            seen: Sights { features: vec!["features: dialback".to_owned()], sasl },
        }
    }

    fn walk(probed: &Probed) -> Vec<(Rung, StepState)> {
        let at = moment(&snapshot(settings('O', 'O', true)));
        let partner = at.federation.partner(REMOTE).unwrap();
        let steps = negotiation(probed, partner, &domain(REMOTE), at.unix_ms);
        assert!(!steps.last().unwrap().transcript.is_empty());
        for step in &steps {
            assert_eq!(step.state == StepState::Failed, !step.remedy.is_empty(), "{step:?}");
        }
        steps.into_iter().map(|step| (step.rung, step.state)).collect()
    }

    #[test]
    fn a_partner_that_accepts_external_is_well_on_all_rungs() {
        let steps = walk(&probed(Ok(Method::SaslExternal), Some(Ok(Proof::Pkix))));
        let rungs = [Rung::Tls, Rung::Chain, Rung::KeyUsage, Rung::Name, Rung::Mechanisms, Rung::Sasl];
        assert_eq!(steps, rungs.map(|rung| (rung, StepState::Ok)));
    }

    #[test]
    fn the_first_rung_of_a_certificate_that_fails_hides_those_after_it() {
        let fault = IdentityFault::Chain(ChainFault::Expired);
        let steps = walk(&probed(Ok(Method::TlsDialback), Some(Err(fault))));
        assert_eq!(
            steps[1..4],
            [(Rung::Chain, StepState::Failed), (Rung::KeyUsage, StepState::Skipped), (Rung::Name, StepState::Skipped)]
        );
        assert_eq!(steps.last(), Some(&(Rung::Sasl, StepState::Skipped)));
        let steps = walk(&probed(Ok(Method::TlsDialback), Some(Err(IdentityFault::Name { presented: vec![] }))));
        assert_eq!(
            steps[1..4],
            [(Rung::Chain, StepState::Ok), (Rung::KeyUsage, StepState::Ok), (Rung::Name, StepState::Failed)]
        );
    }

    #[test]
    fn a_failure_stands_at_its_own_rung() {
        for code in
            [Code::TlsFailed, Code::MechanismsNoneLeft, Code::SaslRefused, Code::StreamEnded, Code::PolicyNegotiation]
        {
            let rung = code.entry().rung;
            let finding = Finding::new(code, "it failed");
            let proof = (rung != Rung::Tls).then_some(Ok(Proof::Pkix));
            let failed: Vec<_> = walk(&probed(Err(finding), proof))
                .into_iter()
                .filter(|(_, state)| *state == StepState::Failed)
                .collect();
            assert_eq!(failed, [(rung, StepState::Failed)]);
        }
    }

    #[test]
    fn dialback_tells_what_was_seen_of_the_return_leg() {
        let peer = "192.0.2.1:40000".parse().unwrap();
        let seen = Seen { stream_id: "a".to_owned(), peer, answer: Answer::Valid };
        let well = dialback(&probed(Ok(Method::TlsDialback), None), Some(&seen));
        assert_eq!(well.state, StepState::Ok);
        assert!(well.what.contains("from 192.0.2.1:40000"), "{}", well.what);
        let finding = Finding::new(Code::DialbackKeyWrong, "the key is wrong");
        let bad = dialback(&probed(Err(finding), None), None);
        assert_eq!(bad.state, StepState::Failed);
        assert!(bad.what.contains("did not ask this edge"), "{}", bad.what);
    }
}
