//! Days that are left of the certificates that partners show on live streams, looked at when metrics are asked for.

use std::collections::BTreeMap;

use causeway_shared::verdict::history::MAX_PARTNERS;

use super::Streams;
use crate::policy::Federation;

/// The fewest days of each partner; of many partners those that have the fewest.
pub fn days_left(streams: &Streams, federation: &Federation, now_ms: u64) -> Vec<(String, i64)> {
    let mut fewest: BTreeMap<String, i64> = BTreeMap::new();
    for live in streams.all() {
        let about = live.about();
        let (Some(pair), Some(certificate)) = (about.pairs.first(), &about.certificate) else { continue };
        let Some(partner) = federation.partner(pair.pair.remote.as_str()) else { continue };
        let days = certificate.days_left(now_ms);
        let known = fewest.entry(partner.name.as_str().to_owned()).or_insert(days);
        *known = days.min(*known);
    }
    let mut fewest: Vec<_> = fewest.into_iter().collect();
    fewest.sort_by_key(|(_, days)| *days);
    fewest.truncate(MAX_PARTNERS);
    fewest
}

#[cfg(test)]
mod tests {
    use causeway_shared::domain::DomainPair;
    use causeway_shared::verdict::Direction;
    use causeway_shared::verdict::facts::CertificateFacts;

    use std::sync::Arc;

    use super::*;
    use crate::stream::Method;
    use crate::stream::test_support::{LOCAL, REMOTE, domain, settings, snapshot};

    #[test]
    fn the_certificate_that_ends_first_counts_and_strangers_do_not() {
        let streams = Streams::default();
        let federation = Federation::new(&snapshot(settings('R', 'R', true))).0;
        let enter = |remote: &str, days: u64| {
            let entry = streams.enter(Direction::In, "192.0.2.1:1".parse().unwrap());
            let certificate = CertificateFacts { not_after: days * 86_400, ..CertificateFacts::default() };
            entry.live().about().certificate = Some(Arc::new(certificate));
            let pair = DomainPair { local: domain(LOCAL), remote: domain(remote) };
            entry.live().authenticated(&pair, Method::SaslExternal, None);
            entry
        };
        let _streams = [enter(REMOTE, 30), enter(REMOTE, 9), enter("stranger.example", 1)];
        assert_eq!(days_left(&streams, &federation, 0), [(REMOTE.to_owned(), 9)]);
    }
}
