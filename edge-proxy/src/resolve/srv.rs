//! SRV target selection (RFC 2782) and what answers mean for XMPP (RFC 6120, section 3.2): orders records, asks nobody.
//!
//! Called by [`super::lookup`], which has the answers from DNS. Not here: address families, caching, direct TLS.

use causeway_shared::domain::DomainName;

/// The port of servers (RFC 6120, section 14.7).
pub const SERVER_PORT: u16 = 5269;

/// SRV records of one answer that are looked at.
pub const MAX_RECORDS: usize = 16;

/// A SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Lower is tried first.
    pub priority: u16,
    /// Higher is tried more often.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without trailing dot; empty where the record says that there is no service.
    pub target: String,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A host with addresses.
    pub host: String,
    /// A port.
    pub port: u16,
}

/// A partner's proxy: an address that replaces SRV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy(pub Target);

impl Proxy {
    /// Reads `host` or `host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, SERVER_PORT),
        };
        let host = DomainName::parse(host).ok()?.as_str().to_owned();
        Some(Self(Target { host, port }))
    }
}

/// Why there is nowhere to connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// The domain says that it does not speak XMPP (RFC 2782: the target `.`).
    #[error("DNS says that the domain offers no XMPP service")]
    NotOffered,
    /// Nothing is published.
    #[error("the domain has neither SRV records nor an address")]
    Nothing,
    /// DNS did not answer, which is no proof of absence and therefore never leads to a fallback.
    #[error("DNS did not answer: {0}")]
    Unavailable(String),
    /// All addresses are ones that we do not dial.
    #[error("the servers of the domain have private addresses only")]
    Private,
}

/// What the SRV answer means; `None` for the answer "there is no such record".
pub fn interpret(domain: &DomainName, records: Option<Vec<Record>>) -> Result<Vec<Record>, ResolveFault> {
    let fallback = || Record { priority: 0, weight: 0, port: SERVER_PORT, target: domain.as_str().to_owned() };
    match records {
        // RFC 6120, section 3.2.2: only where no SRV record exists.
        None => Ok(vec![fallback()]),
        Some(records) if records.is_empty() => Ok(vec![fallback()]),
        Some(mut records) => {
            records.truncate(MAX_RECORDS);
            records.retain(|record| !record.target.is_empty() && record.port != 0);
            if records.is_empty() { Err(ResolveFault::NotOffered) } else { Ok(records) }
        }
    }
}

/// Orders records by priority, and within one by weight (RFC 2782). `random` returns a number from 0 to its argument,
/// both included.
pub fn order(mut records: Vec<Record>, mut random: impl FnMut(u32) -> u32) -> Vec<Target> {
    // Those without weight first, so that they are drawn only by a zero.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered: Vec<Target> = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority);
        let total = same.clone().map(|record| u32::from(record.weight)).sum();
        let drawn = random(total);
        let mut sum = 0;
        let mut chosen = 0;
        for (index, record) in same.enumerate() {
            sum += u32::from(record.weight);
            chosen = index;
            if sum >= drawn {
                break;
            }
        }
        let record = records.remove(chosen);
        let target = Target { host: record.target, port: record.port };
        if !ordered.contains(&target) {
            ordered.push(target);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record { priority, weight, port: 5269, target: target.to_owned() }
    }

    fn hosts(records: Vec<Record>, random: impl FnMut(u32) -> u32) -> Vec<String> {
        order(records, random).into_iter().map(|target| target.host).collect()
    }

    fn domain() -> DomainName {
        DomainName::parse("fabrikam.example").unwrap()
    }

    #[test]
    fn a_lower_priority_is_tried_first() {
        assert_eq!(hosts(vec![record(20, 5, "b"), record(10, 1, "a"), record(30, 9, "c")], |_| 0), ["a", "b", "c"]);
    }

    #[test]
    fn the_first_running_sum_that_reaches_the_drawn_number_wins() {
        let records = || vec![record(0, 10, "a"), record(0, 20, "b"), record(0, 70, "c")];
        assert_eq!(hosts(records(), |_| 0), ["a", "b", "c"]);
        assert_eq!(hosts(records(), |total| total), ["c", "b", "a"]);
        let mut draws = [11, 0, 0].into_iter();
        assert_eq!(hosts(records(), |_| draws.next().unwrap()), ["b", "a", "c"]);
    }

    #[test]
    fn a_record_without_weight_has_a_small_chance() {
        let records = || vec![record(0, 5, "heavy"), record(0, 0, "light")];
        assert_eq!(hosts(records(), |_| 0), ["light", "heavy"]);
        assert_eq!(hosts(records(), |_| 1), ["heavy", "light"]);
    }

    #[test]
    fn weights_are_honoured_over_many_draws() {
        let mut state = 7_u32;
        let mut first = 0;
        for _ in 0..4000 {
            let drawn = hosts(vec![record(0, 1, "a"), record(0, 3, "b")], |total| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) % (total + 1)
            });
            first += u32::from(drawn[0] == "a");
        }
        // Sums 1 and 4, drawn from 0 to 4: two of five.
        assert!((1400..1800).contains(&first), "{first}");
    }

    #[test]
    fn a_single_root_target_means_that_the_service_is_not_offered() {
        assert_eq!(interpret(&domain(), Some(vec![record(0, 0, "")])), Err(ResolveFault::NotOffered));
    }

    #[test]
    fn absent_records_lead_to_the_domain_itself_and_present_ones_do_not() {
        assert_eq!(interpret(&domain(), None), Ok(vec![record(0, 0, "fabrikam.example")]));
        assert_eq!(interpret(&domain(), Some(vec![record(1, 1, "x")])), Ok(vec![record(1, 1, "x")]));
    }

    #[test]
    fn more_records_than_the_cap_are_not_looked_at() {
        let many = (0..100).map(|n| record(n, 0, "h")).collect();
        assert_eq!(interpret(&domain(), Some(many)).unwrap().len(), MAX_RECORDS);
    }

    #[test]
    fn a_proxy_is_a_host_with_an_optional_port() {
        assert_eq!(Proxy::parse("xmpp.fabrikam.example").unwrap().0.port, 5269);
        assert_eq!(Proxy::parse("XMPP.fabrikam.example:5300").unwrap().0.host, "xmpp.fabrikam.example");
        for wrong in ["", "a:b", "a:0", "a:70000", "a b"] {
            assert_eq!(Proxy::parse(wrong), None, "{wrong}");
        }
    }
}
