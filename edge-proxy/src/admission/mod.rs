//! Who may connect, and how often (XEP-0205): counted before anything is read.
//!
//! A [`Ticket`] stands for one connection and gives back what it holds when it is dropped. Limits act on what comes;
//! lowering one never ends a connection. A connection makes one TLS handshake at most, so the rate of connections is
//! that of handshakes, too. What a connection may do once it is there is in [`crate::limits`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use causeway_shared::domain::DomainName;

use crate::limits::Rate;
use crate::policy::PartnerPolicy;

mod address;

use address::{Addresses, Source};

/// The limits that the edge's own configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Connections of one address.
    pub per_address: u32,
    /// Of these, connections that are not authenticated.
    pub unauthenticated_per_address: u32,
    /// Connections that are not authenticated, all addresses together.
    pub unauthenticated: u32,
    /// New connections of one address, those that are refused included.
    pub connections: Rate,
    /// Questions of one address about dialback keys of ours: a partner asks one for each stream that it is offered.
    pub questions: Rate,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            per_address: 50,
            unauthenticated_per_address: 10,
            unauthenticated: 200,
            connections: Rate::per_minute(30, 10),
            questions: Rate::per_minute(60, 60),
        }
    }
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Too many connections in all.
    #[error("the limit of connections is reached")]
    Total,
    /// Too many connections that are not authenticated.
    #[error("too many connections are not authenticated yet")]
    Unauthenticated,
    /// Too many connections of the address.
    #[error("the limit of connections of this address is reached")]
    Address,
    /// Too many connections that are not authenticated, of the address.
    #[error("too many connections of this address are not authenticated yet")]
    AddressUnauthenticated,
    /// Too many connections in too short a time.
    #[error("this address connects too often")]
    Rate,
    /// Too many connections with the partner.
    #[error("the partner's limit of connections is reached")]
    Partner,
}

impl Refused {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Unauthenticated => "unauthenticated",
            Self::Address => "address",
            Self::AddressUnauthenticated => "address-unauthenticated",
            Self::Rate => "rate",
            Self::Partner => "partner",
        }
    }
}

/// The counts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    unauthenticated: u32,
    addresses: Addresses,
    partners: HashMap<DomainName, u32>,
}

/// A connection's place, given back on drop.
#[derive(Debug)]
pub struct Ticket {
    admission: Admission,
    source: Option<Source>,
    is_authenticated: bool,
    partner: Option<DomainName>,
}

impl Admission {
    /// A connection came in.
    pub fn accept(&self, peer: IpAddr, limit: u32, caps: &Caps, now: Instant) -> Result<Ticket, Refused> {
        let source = Source::from(peer);
        let mut counts = self.lock();
        let (total, unauthenticated) = (counts.total, counts.unauthenticated);
        let known = counts.addresses.entry(source, now);
        // The rate is spent by attempts, also by those that fail.
        if !known.arrivals.try_take(&caps.connections, now) {
            return Err(Refused::Rate);
        }
        if total >= limit {
            return Err(Refused::Total);
        }
        if unauthenticated >= caps.unauthenticated {
            return Err(Refused::Unauthenticated);
        }
        if known.connections >= caps.per_address {
            return Err(Refused::Address);
        }
        if known.unauthenticated >= caps.unauthenticated_per_address {
            return Err(Refused::AddressUnauthenticated);
        }
        known.connections += 1;
        known.unauthenticated += 1;
        counts.total += 1;
        counts.unauthenticated += 1;
        Ok(Ticket { admission: self.clone(), source: Some(source), is_authenticated: false, partner: None })
    }

    /// We want to connect to a partner.
    pub fn dial(&self, partner: &PartnerPolicy, limit: u32) -> Result<Ticket, Refused> {
        let mut counts = self.lock();
        if counts.total >= limit {
            return Err(Refused::Total);
        }
        counts.take_partner(partner)?;
        counts.total += 1;
        let partner = Some(partner.name.clone());
        Ok(Ticket { admission: self.clone(), source: None, is_authenticated: true, partner })
    }

    /// Whether an address may ask us, the authoritative server, about one more dialback key: whoever reaches us may
    /// ask, and each question costs a MAC for each secret that is honoured.
    pub fn may_ask(&self, peer: IpAddr, caps: &Caps, now: Instant) -> bool {
        self.lock().addresses.entry(Source::from(peer), now).questions.try_take(&caps.questions, now)
    }

    /// Connections now.
    pub fn total(&self) -> u32 {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are sound between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn take_partner(&mut self, partner: &PartnerPolicy) -> Result<(), Refused> {
        let count = self.partners.entry(partner.name.clone()).or_default();
        if *count >= partner.connection_limit {
            return Err(Refused::Partner);
        }
        *count += 1;
        Ok(())
    }

    fn leave_unauthenticated(&mut self, source: Option<Source>) {
        self.unauthenticated = self.unauthenticated.saturating_sub(1);
        if let Some(known) = source.and_then(|source| self.addresses.known(source)) {
            known.unauthenticated = known.unauthenticated.saturating_sub(1);
        }
    }
}

impl Ticket {
    /// The connection is authenticated, and is now one of its partner's.
    pub fn authenticated(&mut self, partner: &PartnerPolicy) -> Result<(), Refused> {
        if self.is_authenticated {
            return Ok(());
        }
        let mut counts = self.admission.lock();
        counts.take_partner(partner)?;
        counts.leave_unauthenticated(self.source);
        drop(counts);
        self.is_authenticated = true;
        self.partner = Some(partner.name.clone());
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.total = counts.total.saturating_sub(1);
        if !self.is_authenticated {
            counts.leave_unauthenticated(self.source);
        }
        if let Some(known) = self.source.and_then(|source| counts.addresses.known(source)) {
            known.connections = known.connections.saturating_sub(1);
        }
        if let Some(partner) = &self.partner
            && let Some(count) = counts.partners.get_mut(partner)
        {
            *count -= 1;
            if *count == 0 {
                counts.partners.remove(partner);
            }
        }
    }
}

#[cfg(test)]
mod tests;
