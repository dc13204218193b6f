//! SRV target selection (RFC 2782) and what answers mean for XMPP (RFC 6120, section 3.2; XEP-0368): interprets and
//! orders records, asks nobody.
//!
//! Called by [`super::lookup`], which has the answers from DNS. Not here: addresses, caching.

use causeway_shared::domain::DomainName;

use super::dns::{DnsFault, Record, Security};

/// The port of servers (RFC 6120, section 14.7).
pub const SERVER_PORT: u16 = 5269;

/// SRV records of a domain that are used, both services together; those with the lowest priorities.
pub const MAX_RECORDS: usize = 16;

/// How TLS begins at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// After a stream has been opened, if at all (RFC 6120, section 5).
    StartTls,
    /// At once (XEP-0368).
    Direct,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A host with addresses; never an identity.
    pub host: String,
    /// A port.
    pub port: u16,
    /// How TLS begins there.
    pub mode: Mode,
    /// Whether DNSSEC proves that it belongs to the domain.
    pub security: Security,
}

/// A partner's proxy: an address that replaces SRV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Proxy {
    /// Reads `host` or `host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, SERVER_PORT),
        };
        let host = DomainName::parse(host).ok()?.as_str().to_owned();
        Some(Self { host, port })
    }

    /// The target that it is. Our own configuration names it, which DNSSEC does not prove.
    pub fn target(&self) -> Target {
        Target { host: self.host.clone(), port: self.port, mode: Mode::StartTls, security: Security::Insecure }
    }
}

/// Why there is nowhere to connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// The domain says that it does not speak XMPP (RFC 2782: the target `.`).
    #[error("DNS says that {0} offers no XMPP service between servers (a SRV record with the target \".\")")]
    NotOffered(String),
    /// Nothing is published.
    #[error("{0} has neither SRV records nor an address")]
    Nothing(String),
    /// DNS did not answer, which is no proof of absence and therefore never leads to a fallback.
    #[error("DNS did not answer for {name}: {cause}")]
    Unavailable {
        /// What was asked for.
        name: String,
        /// Why there is no answer.
        cause: String,
    },
    /// The answer is forged, or its zone is signed wrongly.
    #[error("the answer of DNS for {0} failed DNSSEC validation")]
    Bogus(String),
}

impl ResolveFault {
    /// What a fault of DNS about a name means where the record is needed.
    pub fn of(name: &str, fault: DnsFault) -> Self {
        let name = name.to_owned();
        match fault {
            DnsFault::Absent { .. } => Self::Nothing(name),
            DnsFault::Unavailable(cause) => Self::Unavailable { name, cause },
            DnsFault::Bogus => Self::Bogus(name),
        }
    }
}

/// What a domain publishes about one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// These servers.
    Offered(Vec<Record>, Security),
    /// That there is none (RFC 2782: the only target is `.`).
    Refused,
    /// Nothing.
    Absent,
}

impl Service {
    /// Reads the records of a service. Those without a port cannot be connected to.
    pub fn read(records: impl IntoIterator<Item = Record>, security: Security) -> Self {
        let mut is_empty = true;
        let mut usable = Vec::new();
        for record in records {
            is_empty = false;
            if !record.target.is_empty() && record.port != 0 {
                usable.push(record);
            }
        }
        match (is_empty, usable.is_empty()) {
            (true, _) => Self::Absent,
            (false, true) => Self::Refused,
            (false, false) => Self::Offered(usable, security),
        }
    }
}

/// A record, and the service it is of.
type Entry = (Record, Mode, Security);

/// What the answers for both services mean together; `direct` is [`Service::Absent`] where direct TLS is not wanted.
pub fn interpret(domain: &DomainName, starttls: Service, direct: Service) -> Result<Vec<Entry>, ResolveFault> {
    let mut entries = Vec::new();
    let mut is_refused = false;
    for (service, mode) in [(direct, Mode::Direct), (starttls, Mode::StartTls)] {
        match service {
            Service::Offered(records, security) => {
                entries.extend(records.into_iter().map(|record| (record, mode, security)));
            }
            Service::Refused => is_refused = true,
            Service::Absent => {}
        }
    }
    match (entries.is_empty(), is_refused) {
        (false, _) => {
            entries.sort_by_key(|(record, _, _)| record.priority);
            entries.truncate(MAX_RECORDS);
            Ok(entries)
        }
        // RFC 6120, section 3.2.2, and XEP-0368, section 5: the domain itself only where no record forbids it.
        (true, true) => Err(ResolveFault::NotOffered(domain.to_string())),
        (true, false) => {
            let target = domain.as_str().to_owned();
            let itself = Record { priority: 0, weight: 0, port: SERVER_PORT, target };
            Ok(vec![(itself, Mode::StartTls, Security::Insecure)])
        }
    }
}

/// Orders records of both services as one set (XEP-0368, section 3): by priority, and within one by weight (RFC 2782).
pub fn order(mut entries: Vec<Entry>, dice: &mut Dice) -> Vec<Target> {
    dice.shuffle(&mut entries);
    // Those without weight first, so that they are drawn only by a zero.
    entries.sort_by_key(|(record, _, _)| (record.priority, record.weight != 0));
    let mut ordered: Vec<Target> = Vec::with_capacity(entries.len());
    while let Some(priority) = entries.first().map(|(record, _, _)| record.priority) {
        let same = || entries.iter().map(|(record, _, _)| record).take_while(|record| record.priority == priority);
        let drawn = dice.up_to(same().map(|record| u32::from(record.weight)).sum());
        let mut sum = 0;
        let reaches = same().position(|record| {
            sum += u32::from(record.weight);
            sum >= drawn
        });
        let (record, mode, security) = entries.remove(reaches.unwrap_or_default());
        let target = Target { host: record.target, port: record.port, mode, security };
        let is_known = |known: &Target| (&known.host, known.port, known.mode) == (&target.host, target.port, mode);
        if !ordered.iter().any(is_known) {
            ordered.push(target);
        }
    }
    ordered
}

/// Chance for the order of equals, from a seed (SplitMix64): good enough to spread load, and of no use to an attacker.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as the seed says.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `most`, both included; the bias of the remainder is far below what weights express.
    pub fn up_to(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % (u64::from(most) + 1)).unwrap_or(most)
    }

    /// Any order is as likely as any other (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let drawn = self.up_to(u32::try_from(last).unwrap_or(u32::MAX));
            items.swap(last, usize::try_from(drawn).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests;
