//! The pool's addresses: asks DNS what `causeway_sip::locate` wants to know (RFC 3263).

use std::sync::Arc;
use std::time::Duration;

use causeway_sip::locate::{Answers, Lookup, Naptr, NextHop, Plan, Srv, plan};
use causeway_sip::target::{Target, TransportKind};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};

/// Rounds of questions: NAPTR, SRV, addresses, and one to spare.
const ROUNDS: usize = 4;

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(3);

/// Asks for the pool's targets. Next hops that are addresses ask nobody.
pub struct Locator {
    resolver: Option<Arc<TokioResolver>>,
}

impl Default for Locator {
    fn default() -> Self {
        Self::new()
    }
}

impl Locator {
    /// A locator with the system's resolver.
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no resolver: next hops must be addresses");
        }
        Self { resolver: resolver.ok().map(Arc::new) }
    }

    /// The targets of the next hops in order; empty if nothing resolves.
    pub async fn locate(&self, hops: &[NextHop], ours: &[TransportKind]) -> Vec<Target> {
        let mut answers = Answers::default();
        for _ in 0..ROUNDS {
            match plan(hops, ours, &answers, &mut random) {
                Plan::Targets(targets) => return targets,
                Plan::Ask(questions) => {
                    for question in questions {
                        self.ask(question, &mut answers).await;
                    }
                }
            }
        }
        Vec::new()
    }

    /// Hosts and ports that a name publishes as SRV records, without the dot at the end.
    pub async fn service(&self, name: &str) -> Vec<(String, u16)> {
        let records = self.records(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => Some((srv.target.to_ascii().trim_end_matches('.').to_owned(), srv.port)),
            _ => None,
        });
        records.await
    }

    /// The addresses of a host.
    pub async fn addresses(&self, host: &str) -> Vec<std::net::IpAddr> {
        let mut answers = Answers::default();
        self.ask(Lookup::Address(host.to_owned()), &mut answers).await;
        answers.addresses.remove(host).unwrap_or_default()
    }

    /// Adds the answer to a question; one that failed is an empty one.
    async fn ask(&self, question: Lookup, answers: &mut Answers) {
        match question {
            Lookup::Naptr(name) => {
                let records = self.records(&name, RecordType::NAPTR, |data| match data {
                    RData::NAPTR(naptr) => Some(Naptr {
                        order: naptr.order,
                        preference: naptr.preference,
                        flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
                        service: String::from_utf8_lossy(&naptr.services).into_owned(),
                        replacement: naptr.replacement.to_ascii().trim_end_matches('.').to_owned(),
                    }),
                    _ => None,
                });
                let records = records.await;
                answers.naptr.insert(name, records);
            }
            Lookup::Srv(name) => {
                let records = self.records(&name, RecordType::SRV, |data| match data {
                    RData::SRV(srv) => Some(Srv {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: srv.target.to_ascii().trim_end_matches('.').to_owned(),
                    }),
                    _ => None,
                });
                let records = records.await;
                answers.srv.insert(name, records);
            }
            Lookup::Address(host) => {
                let found = match &self.resolver {
                    Some(resolver) => tokio::time::timeout(QUESTION, resolver.lookup_ip(format!("{host}."))).await.ok(),
                    None => None,
                };
                let found = found.and_then(Result::ok).map(|lookup| lookup.iter().collect()).unwrap_or_default();
                answers.addresses.insert(host, found);
            }
        }
    }

    async fn records<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
        let Some(resolver) = &self.resolver else { return Vec::new() };
        match tokio::time::timeout(QUESTION, resolver.lookup(format!("{name}."), kind)).await {
            Ok(Ok(lookup)) => lookup.answers().iter().filter_map(|record| read(&record.data)).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

/// A number from 0 to `most`. Weights are no secret, so the bias of the remainder does not matter.
fn random(most: u32) -> u32 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes) % most.saturating_add(1).max(1),
        Err(_) => 0,
    }
}
