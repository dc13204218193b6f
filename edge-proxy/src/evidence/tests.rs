//! Every step from the domain to the TLSA record has to be proved.

use std::net::Ipv4Addr;

use causeway_shared::domain::DomainName;
use causeway_shared::pki::Trust;
use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::admission::Caps;
use crate::limits::StreamLimits;
use crate::link;
use crate::policy::Federation;
use crate::resolve::dns::{Answer, Data, Dns, DnsFault, Kind, Question, Record, RecordSet};
use crate::resolve::{Resolver, Tlsa};
use crate::stream::test_support::{REMOTE, domain, settings, snapshot};
use crate::tls::{Material, Tls, certified};

/// A zone in which DNSSEC proves some kinds of records.
#[derive(Clone, Copy)]
struct Zone {
    srv: Security,
    address: Security,
    tlsa: Security,
}

impl Dns for Zone {
    fn ask(&self, question: Question) -> Answer {
        let target = "xmpp.hosting.example".to_owned();
        let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1; 32] };
        let answer = match (question.kind, question.name.as_str()) {
            (Kind::Srv, "_xmpp-server._tcp.fabrikam.example") => {
                Some((Data::Srv(Record { priority: 0, weight: 0, port: 5270, target }), self.srv))
            }
            (Kind::A, "xmpp.hosting.example") => Some((Data::A(Ipv4Addr::LOCALHOST), self.address)),
            (Kind::Tlsa, "_5270._tcp.xmpp.hosting.example") => Some((Data::Tlsa(tlsa), self.tlsa)),
            (Kind::Srv | Kind::A | Kind::Aaaa | Kind::Tlsa, _) => None,
        };
        let absent = DnsFault::Absent { ttl: Duration::ZERO, security: Security::Insecure };
        let answer = answer.map(|(data, security)| RecordSet { data: vec![data], ttl: Duration::ZERO, security });
        Box::pin(async move { answer.ok_or(absent) })
    }
}

fn edge(zone: Zone) -> Edge {
    let made = rcgen::generate_simple_self_signed(vec!["contoso.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let key = certified(vec![made.cert.der().clone()], key).unwrap();
    let tls = Tls::new(Material::new(vec![key], Trust::default()).unwrap());
    let resolver = Resolver::new(Arc::new(zone));
    Edge::new(link::channel().0, tls, resolver, StreamLimits::default(), Caps::default())
}

#[tokio::test]
async fn only_what_is_proved_from_the_domain_to_the_record_counts() {
    let federation = Federation::new(&snapshot(settings('R', 'R', true))).0;
    let partner = federation.partner(REMOTE).unwrap();
    let both = [Security::Secure, Security::Insecure];
    for (srv, address, tlsa) in both.into_iter().flat_map(|srv| {
        both.into_iter().flat_map(move |address| both.into_iter().map(move |tlsa| (srv, address, tlsa)))
    }) {
        let zone = Zone { srv, address, tlsa };
        let servers = edge(zone).servers(&domain(REMOTE), partner).await.unwrap();
        let is_secure = srv.and(address).and(tlsa) == Security::Secure;
        assert_eq!(servers.len(), usize::from(is_secure), "{srv:?} {address:?} {tlsa:?}");
        assert!(servers.iter().all(|server| server.host == "xmpp.hosting.example" && server.records.len() == 1));
    }
}

#[test]
fn the_memory_of_evidence_has_a_bound_and_keeps_what_is_being_fetched() {
    let evidences = Evidences::default();
    let name = |number: usize| DomainName::parse(&format!("a{number}.example")).unwrap();
    let busy = evidences.slot(&name(0));
    for number in 1..=MAX_REMEMBERED + 10 {
        evidences.slot(&name(number));
    }
    assert!(evidences.known.lock().unwrap().len() <= MAX_REMEMBERED);
    assert!(Arc::ptr_eq(&busy, &evidences.slot(&name(0))), "nobody fetches the same twice at once");
}
