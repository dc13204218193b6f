//! How often the interface may be asked: a bucket of tokens for each actor, and one for each address.
//!
//! Whoever comes through the Unix socket has the machine, and is not counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::login::{Actor, ActorKind, Denied};
use crate::admin::serve::Peer;

/// Requests of one actor in a second, on average: a script that creates partners one by one.
const PER_ACTOR: u32 = 50;

/// Requests of one actor at once.
const BURST: u32 = 200;

/// Requests of one address: several actors behind a proxy.
const PER_ADDRESS: u32 = 200;

/// Requests of one address at once.
const ADDRESS_BURST: u32 = 800;

/// Buckets of a kind; when there are more, those that are full again are forgotten, and then those of whoever was silent
/// for longest.
const MAX_BUCKETS: usize = 4_096;

/// All buckets.
#[derive(Debug)]
pub struct Rates(Mutex<Tables>);

#[derive(Debug)]
struct Tables {
    actors: Buckets<(&'static str, String)>,
    addresses: Buckets<IpAddr>,
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(PER_ACTOR, BURST)
    }
}

impl Rates {
    /// With other bounds for actors.
    pub fn new(per_actor: u32, burst: u32) -> Self {
        let actors = Buckets::new(per_actor, burst);
        Self(Mutex::new(Tables { actors, addresses: Buckets::new(PER_ADDRESS, ADDRESS_BURST) }))
    }

    fn take(&self, actor: Option<&Actor>, address: Option<IpAddr>, now: Instant) -> Result<(), Denied> {
        // Buckets are whole between any two requests.
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address {
            tables.addresses.take(&address, now)?;
        }
        match actor {
            Some(actor) if actor.kind != ActorKind::Local => {
                tables.actors.take(&(actor.kind.as_str(), actor.name.clone()), now)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The layer: refuses what comes too often.
pub async fn limit(State(rates): State<Arc<Rates>>, request: Request, next: Next) -> Response {
    let actor = request.extensions().get::<Actor>();
    let address = actor.and_then(|actor| actor.address).or_else(|| match request.extensions().get::<Peer>() {
        Some(Peer::Address { address, .. }) => Some(*address),
        Some(Peer::Local) | None => None,
    });
    match rates.take(actor, address, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

/// Buckets of one kind.
#[derive(Debug)]
struct Buckets<K> {
    per_second: f64,
    burst: f64,
    buckets: HashMap<K, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: f64::from(per_second), burst: f64::from(burst), buckets: HashMap::new() }
    }

    fn take(&mut self, key: &K, now: Instant) -> Result<(), Denied> {
        self.make_room(key, now);
        let (burst, per_second) = (self.burst, self.per_second);
        let bucket = self.buckets.entry(key.clone()).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = bucket.refilled(per_second, burst, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / per_second).ceil().clamp(1.0, 3600.0);
        Err(Denied::Rate { seconds: wait as u32 })
    }

    fn make_room(&mut self, key: &K, now: Instant) {
        if self.buckets.len() < MAX_BUCKETS || self.buckets.contains_key(key) {
            return;
        }
        let (burst, per_second) = (self.burst, self.per_second);
        self.buckets.retain(|_, bucket| bucket.refilled(per_second, burst, now) < burst);
        if self.buckets.len() >= MAX_BUCKETS {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            oldest.map(|oldest| self.buckets.remove(&oldest));
        }
    }
}

impl Bucket {
    fn refilled(self, per_second: f64, burst: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + since * per_second).min(burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_and_it_is_said_when_to_come_back() {
        let (mut buckets, start) = (Buckets::new(1, 3), Instant::now());
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", start), Ok(()));
        }
        assert_eq!(buckets.take(&"a", start), Err(Denied::Rate { seconds: 1 }));
        assert_eq!(buckets.take(&"b", start), Ok(()));
        let later = start + Duration::from_secs(1);
        assert_eq!(buckets.take(&"a", later), Ok(()));
        assert_eq!(buckets.take(&"a", later), Err(Denied::Rate { seconds: 1 }));
    }

    #[test]
    fn whoever_invents_names_takes_no_more_memory() {
        let (mut buckets, start) = (Buckets::new(1, 3), Instant::now());
        for name in 0..3 * MAX_BUCKETS {
            buckets.take(&name, start).unwrap();
        }
        assert_eq!(buckets.buckets.len(), MAX_BUCKETS);
    }
}
