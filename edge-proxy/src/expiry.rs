//! What ends on this edge by itself: our own certificates, and the revocation lists of others. Nobody who connects would
//! tell us; so it is looked for at the start, at each reload and every hour, and told before it is too late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_shared::pki::identity::date;
use causeway_shared::pki::{PeerCertificate, Revocation};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::unix_ms;
use crate::edge::Edge;
use crate::verdict::{Code, Direction, Finding};

/// How often to look: a certificate with a life of days is not missed, and a gauge is no older than that.
const LOOK: Duration = Duration::from_secs(3600);

/// After so many looks everything that is still so is told again: once a day.
const LOOKS_UNTIL_REPEATED: u32 = 24;

/// From this many days on the end of a certificate is told: whoever renews by hand still can.
const WARN_DAYS: i64 = 14;

const DAY: i64 = 86_400;

/// Looks for ever.
pub async fn watch(edge: Arc<Edge>) {
    let mut changes = edge.policy_changes();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut count) = (HashSet::new(), 0);
    let mut trust = edge.tls.trust();
    loop {
        tokio::select! {
            _ = looks.tick() => count += 1,
            Ok(()) = changes.changed() => {}
        }
        // Material is replaced as a whole, so other trust is another load.
        if count > LOOKS_UNTIL_REPEATED || !Arc::ptr_eq(&trust, &edge.tls.trust()) {
            told.clear();
            count = 0;
        }
        trust = edge.tls.trust();
        let certificates = edge.tls.certificates();
        let now = unix_ms() / 1000;
        edge.metrics
            .certificates(certificates.iter().map(|certificate| (name(certificate), seconds_left(certificate, now))));
        for finding in findings(&certificates, &trust.revocation, now) {
            if told.insert(finding.cause.clone()) {
                edge.report(finding, "", Direction::In, None);
            }
        }
    }
}

/// What has ended, or ends soon. The sentences are the same at each look, or they would be told again.
fn findings(certificates: &[PeerCertificate], revocation: &Revocation, now: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for certificate in certificates {
        let days = days_left(certificate, now);
        let verb = if days < 0 { "has expired" } else { "expires" };
        if days < WARN_DAYS {
            findings.push(Finding::new(
                Code::ChainOurs,
                format!("our certificate for {} {verb} at {}", name(certificate), date(certificate.not_after)),
            ));
        }
    }
    for list in revocation.overdue_at(now) {
        findings.push(Finding::new(
            Code::ChainRevocationList,
            format!("the revocation list of {} was due at {}", list.issuer, date(list.next_update.unwrap_or_default())),
        ));
    }
    findings
}

/// Whole days until a certificate ends; negative afterwards.
fn days_left(certificate: &PeerCertificate, now: u64) -> i64 {
    seconds_left(certificate, now).div_euclid(DAY)
}

fn seconds_left(certificate: &PeerCertificate, now: u64) -> i64 {
    let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    seconds(certificate.not_after).saturating_sub(seconds(now))
}

/// What an operator calls a certificate: its first name.
fn name(certificate: &PeerCertificate) -> String {
    certificate.presented_names(1).pop().unwrap_or_else(|| certificate.subject.clone())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> PeerCertificate {
        let mut params = CertificateParams::new(vec!["contoso.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 31);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        PeerCertificate::read(&[der]).unwrap()
    }

    fn told(year: i32, now: u64) -> Vec<String> {
        let findings = findings(&[certificate(year)], &Revocation::default(), now);
        findings.into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn an_own_certificate_is_told_of_two_weeks_before_its_end_and_after_it() {
        let end = certificate(2027).not_after;
        let days = |days: u64| days * 86_400;
        assert!(told(2027, end - days(14)).is_empty());
        let soon = told(2027, end - days(13));
        assert_eq!(soon, ["our certificate for DNS:contoso.example expires at 2027-01-31T00:00:00Z"]);
        assert_eq!(soon, told(2027, end - days(12)), "the same sentence at each look");
        assert_eq!(
            told(2027, end + 1),
            ["our certificate for DNS:contoso.example has expired at 2027-01-31T00:00:00Z"]
        );
    }

    #[test]
    fn days_are_counted_down_through_zero() {
        let certificate = certificate(2027);
        let end = certificate.not_after;
        let left = [end - 86_400, end - 1, end, end + 1, end + 86_401].map(|now| days_left(&certificate, now));
        assert_eq!(left, [1, 0, 0, -1, -2]);
    }
}
