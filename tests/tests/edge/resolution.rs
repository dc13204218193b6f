//! From a partner's domain to its server, with a name server that says what the test wants (RFC 6120, section 3.2;
//! RFC 2782; RFC 8305; XEP-0368).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::limits::DnsLimits;
use causeway_edge_proxy::listen::{self, Entrance};
use causeway_edge_proxy::resolve::{DnsConfig, HickoryDns, Mode, ResolveFault};
use causeway_edge_proxy::stream::inbound::Opening;
use causeway_shared::link::{Failure, Method, Outcome};
use causeway_shared::partner::Negotiation::{Optional, Required};
use causeway_shared::partner::NegotiationSettings;
use causeway_shared::verdict::{Rung, Side, Verdict};
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_tests::peer::dns::Dns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use crate::support::{Certificate, PATIENCE, TestEdge, World, outcome, settings};

const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";
const DOMAIN: &str = "fabrikam.example";
const HOST: &str = "xmpp.fabrikam.example";
const STARTTLS: &str = "_xmpp-server._tcp.fabrikam.example";
const DIRECT: &str = "_xmpps-server._tcp.fabrikam.example";

/// Contoso looks for fabrikam by asking `dns`.
struct Scene {
    contoso: TestEdge,
    fabrikam: TestEdge,
    dns: Dns,
}

impl Scene {
    async fn new() -> Self {
        Self::with(settings(Required, Required, false)).await
    }

    async fn with(negotiation: NegotiationSettings) -> Self {
        let world = World::new();
        let contoso = world.edge("contoso.example", DOMAIN, negotiation, Certificate::Good).await;
        let fabrikam = world.edge(DOMAIN, "contoso.example", negotiation, Certificate::Good).await;
        let dns = Dns::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        ask(&contoso, &dns);
        Self { contoso, fabrikam, dns }
    }

    /// A message passes, by whatever way.
    async fn passes(&mut self) {
        let told = self.contoso.send(ALICE, BOB, "hello");
        assert_eq!(outcome(told).await, Outcome::Done);
        assert_eq!(self.fabrikam.batch().await.context.method, Method::SaslExternal);
    }

    /// A message does not pass; what its sender hears, and the verdict.
    async fn fails(&self) -> (StanzaCondition, Verdict) {
        match outcome(self.contoso.send(ALICE, BOB, "hello")).await {
            Outcome::Failed(Failure { condition, verdict, .. }) => (condition, verdict.unwrap()),
            Outcome::Done => panic!("the message passed"),
        }
    }

    /// A port of fabrikam's on which streams begin with TLS.
    async fn direct_port(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (alive, _) = mpsc::channel(1);
        let entrance = Entrance { opening: Opening::DirectTls, ..Entrance::default() };
        tokio::spawn(listen::accept(listener, entrance, Arc::clone(&self.fabrikam.pool), alive));
        port
    }

    async fn targets(&self) -> Result<Vec<(String, u16, Mode)>, ResolveFault> {
        let moment = self.contoso.edge.moment();
        let partner = moment.federation.partner(DOMAIN).unwrap();
        let domain = causeway_shared::domain::DomainName::parse(DOMAIN).unwrap();
        let targets = self.contoso.edge.resolver.targets(&domain, partner).await?;
        Ok(targets.into_iter().map(|target| (target.host, target.port, target.mode)).collect())
    }
}

fn ask(edge: &TestEdge, dns: &Dns) {
    let config = DnsConfig { servers: vec![dns.address], ..DnsConfig::default() };
    let limits = DnsLimits { timeout: Duration::from_millis(300), attempts: 2 };
    edge.edge.resolver.replace(Arc::new(HickoryDns::new(&config, limits).unwrap()));
}

/// A port where nobody listens.
async fn dead_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn srv_records_lead_to_the_server() {
    let mut scene = Scene::new().await;
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.xmpp(DOMAIN, HOST, scene.fabrikam.address.port());
    scene.passes().await;
}

#[tokio::test]
async fn a_message_passes_by_direct_tls() {
    let mut scene = Scene::new().await;
    let port = scene.direct_port().await;
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(DIRECT, (0, 0), HOST, port);
    scene.passes().await;
}

#[tokio::test]
async fn direct_tls_names_the_domain_and_the_protocol_and_opens_the_stream_inside() {
    let scene = Scene::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(DIRECT, (0, 0), HOST, listener.local_addr().unwrap().port());
    let _told = scene.contoso.send(ALICE, BOB, "hello");
    let (tcp, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await.unwrap();
    assert_eq!(hello.client_hello().server_name(), Some(DOMAIN));
    let protocols: Vec<_> = hello.client_hello().alpn().unwrap().collect();
    assert_eq!(protocols, [b"xmpp-server"]);
    let mut tls = hello.into_stream(scene.fabrikam.edge.tls.direct_server().unwrap()).await.unwrap();
    let mut heard = [0; 1024];
    let count = timeout(PATIENCE, tls.read(&mut heard)).await.unwrap().unwrap();
    let heard = String::from_utf8_lossy(&heard[..count]).into_owned();
    assert!(heard.contains("<stream:stream") && heard.contains("to='fabrikam.example'"), "{heard}");
}

#[tokio::test]
async fn a_server_of_another_protocol_makes_room_for_the_next() {
    let mut scene = Scene::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(DIRECT, (1, 0), HOST, listener.local_addr().unwrap().port());
    scene.dns.srv(STARTTLS, (2, 0), HOST, scene.fabrikam.address.port());
    let mut config = (*scene.fabrikam.edge.tls.direct_server().unwrap()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let web = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await.map(|_| ())
    });
    scene.passes().await;
    assert!(web.await.unwrap().is_err());
}

#[tokio::test]
async fn both_services_are_tried_by_their_priorities_together() {
    let mut scene = Scene::new().await;
    let (first, third) = (dead_port().await, dead_port().await);
    let second = scene.direct_port().await;
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(STARTTLS, (10, 0), HOST, first);
    scene.dns.srv(DIRECT, (20, 0), HOST, second);
    scene.dns.srv(STARTTLS, (30, 0), HOST, third);
    let targets: Vec<_> = scene.targets().await.unwrap().into_iter().map(|(_, port, mode)| (port, mode)).collect();
    assert_eq!(targets, [(first, Mode::StartTls), (second, Mode::Direct), (third, Mode::StartTls)]);
    scene.passes().await;
}

#[tokio::test]
async fn servers_of_one_priority_are_chosen_by_weight() {
    let scene = Scene::new().await;
    scene.dns.srv(STARTTLS, (0, 10), "light.fabrikam.example", 5269);
    scene.dns.srv(STARTTLS, (0, 90), "heavy.fabrikam.example", 5269);
    let mut first = 0;
    for _ in 0..2000 {
        first += usize::from(scene.targets().await.unwrap()[0].0.starts_with("light"));
    }
    // About one of ten; the bounds are five standard deviations away.
    assert!((130..280).contains(&first), "{first}");
    assert_eq!((scene.dns.asked_srv(STARTTLS), scene.dns.asked_srv(DIRECT)), (1, 1), "the answers are remembered");
}

#[tokio::test]
async fn a_domain_that_offers_no_xmpp_is_not_found_and_nothing_else_is_tried() {
    for service in [STARTTLS, DIRECT] {
        let scene = Scene::new().await;
        scene.dns.srv(service, (0, 0), ".", 0);
        scene.dns.host(DOMAIN, Ipv4Addr::LOCALHOST);
        let (condition, verdict) = scene.fails().await;
        assert_eq!((condition, verdict.rung), (StanzaCondition::RemoteServerNotFound, Rung::Resolve));
        assert!(verdict.cause.contains("fabrikam.example offers no XMPP service"), "{}", verdict.cause);
        assert_eq!(scene.dns.asked_addresses(DOMAIN), 0);
    }
}

#[tokio::test]
async fn one_service_that_is_not_offered_leaves_the_other() {
    let mut scene = Scene::new().await;
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(DIRECT, (0, 0), ".", 0);
    scene.dns.xmpp(DOMAIN, HOST, scene.fabrikam.address.port());
    scene.passes().await;
}

#[tokio::test]
async fn a_domain_without_srv_records_is_its_own_server() {
    let mut scene = Scene::new().await;
    // Nobody else in these tests listens at this address.
    let itself = Ipv4Addr::new(127, 0, 77, 1);
    let listener = TcpListener::bind((itself, 5269)).await.unwrap();
    let (alive, _) = mpsc::channel(1);
    tokio::spawn(listen::accept(listener, Entrance::default(), Arc::clone(&scene.fabrikam.pool), alive));
    scene.dns.host(DOMAIN, itself);
    scene.passes().await;
}

#[tokio::test]
async fn a_name_server_that_fails_or_is_silent_never_leads_to_a_fallback() {
    for (service, is_silent) in [(STARTTLS, false), (DIRECT, false), (STARTTLS, true)] {
        let scene = Scene::new().await;
        scene.dns.host(DOMAIN, Ipv4Addr::LOCALHOST);
        if service == DIRECT {
            scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
            scene.dns.xmpp(DOMAIN, HOST, scene.fabrikam.address.port());
        }
        if is_silent {
            scene.dns.hush(service);
        } else {
            scene.dns.fail(service);
        }
        let (condition, verdict) = scene.fails().await;
        assert_eq!((condition, verdict.rung), (StanzaCondition::RemoteServerTimeout, Rung::Resolve));
        assert_eq!(verdict.side, Side::Network);
        assert!(verdict.cause.contains(service), "{}", verdict.cause);
        assert_eq!(scene.dns.asked_addresses(DOMAIN), 0);
    }
}

#[tokio::test]
async fn where_tls_is_not_wanted_direct_tls_is_not_asked_for() {
    let scene = Scene::with(settings(causeway_shared::partner::Negotiation::NotSupported, Optional, true)).await;
    scene.dns.srv(STARTTLS, (0, 0), HOST, 5269);
    scene.targets().await.unwrap();
    assert_eq!((scene.dns.asked_srv(STARTTLS), scene.dns.asked_srv(DIRECT)), (1, 0));
}

#[tokio::test]
async fn a_private_address_is_not_dialled_for_a_partner_on_the_internet() {
    let mut scene = Scene::new().await;
    scene.contoso.apply(|snapshot| snapshot.partners[0].allow_private_addresses = false).await;
    scene.dns.xmpp(DOMAIN, HOST, scene.fabrikam.address.port());
    for address in
        [IpAddr::from(Ipv4Addr::LOCALHOST), "::ffff:127.0.0.1".parse().unwrap(), "64:ff9b::7f00:1".parse().unwrap()]
    {
        scene.dns.host(HOST, address);
    }
    let (condition, verdict) = scene.fails().await;
    assert_eq!((condition, verdict.rung), (StanzaCondition::RemoteServerNotFound, Rung::Resolve));
    assert_eq!(verdict.side, Side::Operator);
    for text in ["xmpp.fabrikam.example:", "127.0.0.1 (not a public address)", "64:ff9b::7f00:1 (not"] {
        assert!(verdict.cause.contains(text), "{text} in {}", verdict.cause);
    }
    assert!(scene.fabrikam.is_without_connections());
}

#[tokio::test]
async fn where_all_servers_are_dead_each_is_named_and_nothing_else_is_tried() {
    let scene = Scene::new().await;
    let ports = [dead_port().await, dead_port().await, dead_port().await];
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.host(DOMAIN, Ipv4Addr::LOCALHOST);
    for (priority, port) in (1..).zip(ports) {
        scene.dns.srv(STARTTLS, (priority, 0), HOST, port);
    }
    let (condition, verdict) = scene.fails().await;
    assert_eq!((condition, verdict.rung), (StanzaCondition::RemoteServerTimeout, Rung::Connect));
    for port in ports {
        assert!(verdict.cause.contains(&format!("{HOST}:{port}: 127.0.0.1 (")), "{port} in {}", verdict.cause);
    }
    assert_eq!(scene.dns.asked_addresses(DOMAIN), 0);
}

#[tokio::test]
async fn no_more_than_thirty_two_addresses_are_dialled() {
    let scene = Scene::new().await;
    let port = dead_port().await;
    for host in 1..=5_u8 {
        let name = format!("h{host}.fabrikam.example");
        scene.dns.srv(STARTTLS, (host.into(), 0), &name, port);
        for address in 1..=10 {
            scene.dns.host(&name, Ipv4Addr::new(127, 0, 90 + host, address));
        }
    }
    let (_, verdict) = scene.fails().await;
    assert_eq!(verdict.cause.matches("127.0.").count(), 32, "{}", verdict.cause);
    assert!(verdict.cause.contains("h5.fabrikam.example") && verdict.cause.contains("left out"), "{}", verdict.cause);
}

#[tokio::test]
async fn a_host_without_an_address_makes_room_for_the_next() {
    let mut scene = Scene::new().await;
    scene.dns.srv(STARTTLS, (1, 0), "gone.fabrikam.example", 5269);
    scene.dns.srv(STARTTLS, (2, 0), HOST, scene.fabrikam.address.port());
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.passes().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_makes_room_for_the_next() {
    let mut scene = Scene::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(STARTTLS, (1, 0), HOST, listener.local_addr().unwrap().port());
    scene.dns.srv(STARTTLS, (2, 0), HOST, scene.fabrikam.address.port());
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    scene.passes().await;
}

#[tokio::test]
async fn a_server_that_refuses_us_ends_the_attempt() {
    let scene = Scene::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.srv(STARTTLS, (1, 0), HOST, listener.local_addr().unwrap().port());
    scene.dns.srv(STARTTLS, (2, 0), HOST, scene.fabrikam.address.port());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        hear(&mut tcp, "<stream:stream").await;
        say(&mut tcp, &format!("{HEADER}<stream:error><policy-violation {STREAMS}/></stream:error></stream:stream>"))
            .await;
        hear(&mut tcp, "</stream:stream>").await;
    });
    let (_, verdict) = scene.fails().await;
    assert!(verdict.cause.contains("policy-violation") && verdict.cause.contains(HOST), "{}", verdict.cause);
    assert!(scene.fabrikam.is_without_connections());
}

#[tokio::test]
async fn a_family_that_does_not_answer_costs_a_moment_and_no_more() {
    let mut scene = Scene::new().await;
    let port = scene.fabrikam.address.port();
    // A queue that is full takes no more connections, and does not say so.
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(true).unwrap();
    let dead = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    socket.bind(&dead.into()).unwrap();
    socket.listen(0).unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(connection)) = timeout(Duration::from_millis(300), TcpStream::connect(dead)).await {
        filling.push(connection);
    }
    scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
    scene.dns.host(HOST, Ipv6Addr::LOCALHOST);
    scene.dns.xmpp(DOMAIN, HOST, port);
    let start = Instant::now();
    scene.passes().await;
    // 250 ms of it is the delay between attempts; one address alone would have taken 10 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_proxy_replaces_srv() {
    let mut scene = Scene::new().await;
    let proxy = format!("proxy.fabrikam.example:{}", scene.fabrikam.address.port());
    scene.contoso.apply(|snapshot| snapshot.partners[0].proxy_fqdn = Some(proxy)).await;
    scene.dns.host("proxy.fabrikam.example", Ipv4Addr::LOCALHOST);
    scene.dns.srv(STARTTLS, (0, 0), ".", 0);
    scene.passes().await;
    assert_eq!((scene.dns.asked_srv(STARTTLS), scene.dns.asked_srv(DIRECT)), (0, 0));
}

#[tokio::test]
async fn other_name_servers_are_asked_without_a_restart_and_old_answers_are_forgotten() {
    let mut scene = Scene::new().await;
    scene.dns.srv(STARTTLS, (0, 0), ".", 0);
    assert!(matches!(scene.targets().await, Err(ResolveFault::NotOffered(_))));
    let other = Dns::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    other.host(HOST, Ipv4Addr::LOCALHOST);
    other.xmpp(DOMAIN, HOST, scene.fabrikam.address.port());
    ask(&scene.contoso, &other);
    scene.passes().await;
}

#[tokio::test]
async fn a_silent_name_server_is_asked_as_often_as_the_configuration_says() {
    let scene = Scene::new().await;
    scene.dns.hush(STARTTLS);
    let start = Instant::now();
    assert!(matches!(scene.targets().await, Err(ResolveFault::Unavailable { .. })));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(scene.dns.asked_srv(STARTTLS) >= 2);
}

const STREAMS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:db='jabber:server:dialback' from='fabrikam.example' to='contoso.example' id='abc' version='1.0'>";

const FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
    <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";

/// A server whose TLS is broken: two connections, if a second one comes at once.
async fn broken_tls(listener: TcpListener) -> Option<String> {
    let (mut tcp, _) = listener.accept().await.unwrap();
    hear(&mut tcp, "<stream:stream").await;
    say(&mut tcp, &format!("{HEADER}{FEATURES}")).await;
    hear(&mut tcp, "<starttls").await;
    say(&mut tcp, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    let mut hello = [0; 64];
    let _client_hello = tcp.read(&mut hello).await;
    say(&mut tcp, "this is not TLS").await;
    drop(tcp);
    let (mut tcp, _) = timeout(Duration::from_millis(500), listener.accept()).await.ok()?.unwrap();
    hear(&mut tcp, "<stream:stream").await;
    say(&mut tcp, &format!("{HEADER}{FEATURES}")).await;
    Some(hear(&mut tcp, ">").await)
}

#[tokio::test]
async fn tls_that_fails_is_left_out_only_where_the_partner_permits_it() {
    for permits in [false, true] {
        let mut scene = Scene::with(settings(Optional, Optional, true)).await;
        scene.contoso.apply(|snapshot| snapshot.partners[0].options.plaintext_after_tls_failure = permits).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        scene.dns.host(HOST, Ipv4Addr::LOCALHOST);
        scene.dns.xmpp(DOMAIN, HOST, listener.local_addr().unwrap().port());
        let partner = tokio::spawn(broken_tls(listener));
        let told = scene.contoso.send(ALICE, BOB, "hello");
        let second = timeout(PATIENCE, partner).await.unwrap().unwrap();
        if permits {
            assert!(second.as_deref().is_some_and(|heard| heard.contains("<db:result")), "{second:?}");
        } else {
            assert_eq!(second, None);
            let Outcome::Failed(failure) = outcome(told).await else { panic!("the message passed") };
            assert_eq!(failure.verdict.unwrap().rung, Rung::Tls);
        }
    }
}

async fn say(tcp: &mut TcpStream, text: &str) {
    // The edge may have hung up.
    let _either = tcp.write_all(text.as_bytes()).await;
}

/// Reads until a text has come; the edge's headers end with the first `>` after it.
async fn hear(tcp: &mut TcpStream, expected: &str) -> String {
    let mut heard = String::new();
    let listen = async {
        while !heard.contains(expected) || !heard.ends_with('>') {
            let mut chunk = [0; 4096];
            match tcp.read(&mut chunk).await {
                Ok(count) if count > 0 => heard.push_str(&String::from_utf8_lossy(&chunk[..count])),
                _ => break,
            }
        }
    };
    timeout(PATIENCE, listen).await.unwrap();
    heard
}
