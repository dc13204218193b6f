//! The next hops of everything that does not say by itself where it goes, and which of them failed lately
//! (RFC 3263 section 4.3, RFC 3261 section 21.5.4).
//!
//! Pure: the caller has located the targets (see `locate`) and says what became of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::limits::{DEAD_TIME, MAX_DEAD_TARGETS, MAX_DEAD_TIME, MAX_TRIED};
use crate::locate::NextHop;
use crate::message::Response;
use crate::target::{Target, TransportKind};
use crate::uri::{Uri, host_ip};

/// Targets that failed lately. They are tried last, not never: with every target dead, the first is tried.
#[derive(Debug, Default)]
pub struct DeadTargets(HashMap<Target, Instant>);

impl DeadTargets {
    /// Whether the target failed lately.
    pub fn is_dead(&self, target: &Target, now: Instant) -> bool {
        self.0.get(target).is_some_and(|until| *until > now)
    }

    /// Remembers a target that cannot be reached or did not answer.
    pub fn mark(&mut self, target: &Target, now: Instant) {
        self.mark_for(target, DEAD_TIME, now);
    }

    /// Remembers a target that answered 503: for as long as its Retry-After says, within bounds.
    pub fn mark_unavailable(&mut self, target: &Target, response: &Response, now: Instant) {
        let asked = response.headers.retry_after().ok().flatten();
        let time = asked.map_or(DEAD_TIME, |seconds| Duration::from_secs(u64::from(seconds)).min(MAX_DEAD_TIME));
        self.mark_for(target, time, now);
    }

    fn mark_for(&mut self, target: &Target, time: Duration, now: Instant) {
        self.0.retain(|_, until| *until > now);
        if self.0.len() < MAX_DEAD_TARGETS || self.0.contains_key(target) {
            self.0.insert(target.clone(), now + time);
        }
    }
}

/// The configured next hops in the order of failover.
#[derive(Debug, Default)]
pub struct NextHops {
    targets: Vec<Target>,
    dead: DeadTargets,
}

impl NextHops {
    /// Replaces the targets; what is known of dead ones stays.
    pub fn set(&mut self, targets: Vec<Target>) {
        self.targets = targets;
    }

    /// The first target that was not tried and did not fail lately, else the first that was not tried; none after
    /// [`MAX_TRIED`].
    pub fn next(&self, tried: &[Target], now: Instant) -> Option<Target> {
        if tried.len() >= MAX_TRIED {
            return None;
        }
        let untried = || self.targets.iter().filter(|target| !tried.contains(target));
        untried().find(|target| !self.dead.is_dead(target, now)).or_else(|| untried().next()).cloned()
    }

    /// How many targets are configured.
    pub fn count(&self) -> usize {
        self.targets.len()
    }

    /// How many of them did not fail lately.
    pub fn alive(&self, now: Instant) -> usize {
        self.targets.iter().filter(|target| !self.dead.is_dead(target, now)).count()
    }

    /// Whether a target is configured. Where a dialog leads is the peer's choice, and no reason to remember failures.
    pub fn has(&self, target: &Target) -> bool {
        self.targets.contains(target)
    }

    /// A target has answered: it is tried in its order again.
    pub fn lives(&mut self, target: &Target) {
        self.dead.0.remove(target);
    }

    /// Remembers that a configured target failed.
    pub fn failed(&mut self, target: &Target, now: Instant) {
        if self.has(target) {
            self.dead.mark(target, now);
        }
    }

    /// Remembers that a configured target answered 503.
    pub fn unavailable(&mut self, target: &Target, response: &Response, now: Instant) {
        if self.has(target) {
            self.dead.mark_unavailable(target, response, now);
        }
    }

    /// The target of a URI that says all by itself: its host is an address. Names go by the configuration, so that no
    /// peer can have us ask DNS for names of its choice.
    pub fn target_of(&self, uri: &Uri, ours: &[TransportKind]) -> Option<Target> {
        let hop = NextHop::of_uri(uri)?;
        let ip = host_ip(&hop.host)?;
        // Without a transport it is UDP (RFC 3263 section 4.1), unless we have none.
        let usual = || ours.iter().copied().find(|kind| *kind == TransportKind::Udp).or(ours.first().copied());
        let transport = if hop.secure { TransportKind::Tls } else { hop.transport.or_else(usual)? };
        let addr = SocketAddr::new(ip, hop.port.unwrap_or_else(|| transport.default_port()));
        // A configured target brings the name that its certificate must bear.
        let known = self.targets.iter().find(|target| target.transport == transport && target.addr == addr);
        Some(known.cloned().unwrap_or(Target { transport, addr, name: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{HeaderName, HeaderValue};

    fn target(port: u16) -> Target {
        Target { transport: TransportKind::Tls, addr: ([10, 0, 0, 2], port).into(), name: Some("pool.example".into()) }
    }

    fn hops() -> NextHops {
        let mut hops = NextHops::default();
        hops.set(vec![target(5061), target(5062)]);
        hops
    }

    // Rule: sip.dead-targets
    #[test]
    fn a_dead_target_is_tried_last_and_comes_back() {
        let (mut hops, now) = (hops(), Instant::now());
        assert_eq!(hops.next(&[], now), Some(target(5061)));
        hops.failed(&target(5061), now);
        assert_eq!(hops.next(&[], now), Some(target(5062)));
        assert_eq!(hops.next(&[target(5062)], now), Some(target(5061)));
        assert_eq!((hops.alive(now), hops.alive(now + DEAD_TIME), hops.count()), (1, 2, 2));
        assert_eq!(hops.next(&[], now + DEAD_TIME), Some(target(5061)));
        hops.lives(&target(5061));
        assert_eq!(hops.next(&[], now), Some(target(5061)));
    }

    // Rule: sip.retry-after
    #[test]
    fn retry_after_is_believed_within_bounds() {
        let now = Instant::now();
        for (asked, dead_for) in [(Some(7), Duration::from_secs(7)), (None, DEAD_TIME), (Some(u32::MAX), MAX_DEAD_TIME)]
        {
            let mut hops = hops();
            let mut response = Response::from_headers(&Default::default(), crate::method::Status::SERVICE_UNAVAILABLE);
            if let Some(asked) = asked {
                response.headers.push(HeaderName::RetryAfter, HeaderValue::from(asked));
            }
            hops.unavailable(&target(5061), &response, now);
            assert_eq!(hops.next(&[], now + dead_for - Duration::from_millis(1)), Some(target(5062)));
            assert_eq!(hops.next(&[], now + dead_for), Some(target(5061)));
        }
    }

    // Rule: sip.dead-targets
    #[test]
    fn what_a_peer_chose_is_not_remembered_and_the_memory_is_bounded() {
        let (mut hops, now) = (hops(), Instant::now());
        hops.failed(&target(9), now);
        assert!(hops.dead.0.is_empty());
        let mut dead = DeadTargets::default();
        (0..2 * MAX_DEAD_TARGETS).for_each(|port| dead.mark(&target(u16::try_from(port).unwrap()), now));
        assert_eq!(dead.0.len(), MAX_DEAD_TARGETS);
    }

    #[test]
    fn a_numeric_uri_is_its_own_target_and_a_name_is_not() {
        let ours = [TransportKind::Tcp, TransportKind::Udp];
        let of = |uri: &str| hops().target_of(&uri.parse().unwrap(), &ours).map(|target| target.to_string());
        assert_eq!(of("sip:10.0.0.9").as_deref(), Some("udp:10.0.0.9:5060"));
        assert_eq!(of("sip:10.0.0.9:7;transport=tcp").as_deref(), Some("tcp:10.0.0.9:7"));
        assert_eq!(of("sip:10.0.0.2:5061;transport=tls").as_deref(), Some("tls:10.0.0.2:5061 (pool.example)"));
        assert_eq!(of("sip:pool.example"), None);
        assert_eq!(of("tel:+1"), None);
    }
}
