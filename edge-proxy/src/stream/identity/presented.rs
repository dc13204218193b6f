//! A chain as peers show it: read once and kept once for all streams that show the same.

use std::sync::Arc;

use aws_lc_rs::digest;
use causeway_shared::pki::{ChainFault, PeerCertificate};
use causeway_shared::verdict::facts::CertificateFacts;
use rustls::pki_types::CertificateDer;

/// SHA-256 over all certificates of a chain, each with its length: what a chain is known by.
pub type ChainSum = [u8; 32];

/// See the module.
#[derive(Debug)]
pub struct Presented {
    /// The peer's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) sum: ChainSum,
    pub(super) facts: Result<PeerCertificate, ChainFault>,
    told: Option<Arc<CertificateFacts>>,
}

impl Presented {
    /// Reads a chain; one that cannot be read is a chain as well.
    pub fn read(chain: &[CertificateDer<'_>]) -> Arc<Self> {
        let facts = PeerCertificate::read(chain);
        Arc::new(Self {
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            sum: Self::sum(chain),
            told: facts.as_ref().ok().map(|facts| Arc::new(CertificateFacts::of(facts))),
            facts,
        })
    }

    /// What the chain is known by.
    pub fn sum(chain: &[CertificateDer<'_>]) -> ChainSum {
        let mut context = digest::Context::new(&digest::SHA256);
        for certificate in chain {
            context.update(&u64::try_from(certificate.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(certificate);
        }
        let mut sum = ChainSum::default();
        for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        sum
    }

    /// The peer's certificate for operators, if it can be read.
    pub fn told(&self) -> Option<&Arc<CertificateFacts>> {
        self.told.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_are_divided_otherwise_are_another_chain() {
        let (one, two) = (CertificateDer::from(vec![1, 2]), CertificateDer::from(vec![3]));
        let (other, rest) = (CertificateDer::from(vec![1]), CertificateDer::from(vec![2, 3]));
        assert_ne!(Presented::sum(&[one, two]), Presented::sum(&[other, rest]));
    }
}
