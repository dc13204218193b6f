//! How long the gateway's own certificates are good. Their end is an outage, and nobody who connects would tell us before.

use std::sync::{Arc, Mutex, PoisonError};

use causeway_shared::metrics::{Catalogue, Kind};

use crate::config::Config;
use crate::shell::now;

/// A certificate by what it is for, and its end in Unix seconds.
type End = (&'static str, u64);

/// The ends of those in force.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<Mutex<Vec<End>>>);

impl Certificates {
    /// None yet.
    pub fn register(catalogue: &mut Catalogue) -> Self {
        let certificates = Self::default();
        let ends = certificates.clone();
        let help = "Time until our own certificates end";
        catalogue.look_up("causeway_certificate_left_seconds", help, Kind::Gauge, &["certificate"], move || {
            let left = ends.left(now().unix_ms / 1000).into_iter();
            left.map(|(name, seconds)| (vec![("certificate", name.to_owned())], seconds)).collect()
        });
        certificates
    }

    /// The files of this configuration are in force now.
    pub fn renew(&self, config: &Config) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config.certificate_ends();
    }

    /// Seconds until each ends; negative afterwards.
    #[expect(clippy::cast_precision_loss, reason = "a time that a double does not hold is not reached")]
    fn left(&self, now: u64) -> Vec<(&'static str, f64)> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().map(|(name, end)| (*name, *end as f64 - now as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_told_as_what_ends() {
        let certificates = Certificates::default();
        *certificates.0.lock().unwrap() = vec![("link", 1_000), ("sip", 5_000)];
        assert_eq!(certificates.left(2_000), [("link", -1_000.0), ("sip", 3_000.0)]);
    }
}
