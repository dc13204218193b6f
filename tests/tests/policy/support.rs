//! The gateway's process with an edge whose stanzas the test writes and reads, and a pool that knows alice and carl.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use causeway_edge_proxy::link::server::{self, LinkConfig};
use causeway_edge_proxy::link::{self as edge, Bouncer, Handled, InboundStanza, LinkHandle, Outbound, OutboundStanza};
use causeway_shared::domain::DomainPair;
use causeway_shared::jid::Jid;
use causeway_shared::link::{Method, PairContext, StanzaKind, tls};
use causeway_shared::telemetry::Span;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_tests::peer::inbox::Inbox;
use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};
use causeway_tests::peer::sip::{Client, Message, Pool, parameter};
use causeway_tests::peer::{http, until, within};
use tokio::sync::watch;

/// Our domain.
pub(crate) const LOCAL: &str = "contoso.example";

/// She exists.
pub(crate) const ALICE: &str = "alice@contoso.example";

/// Nobody has this address.
pub(crate) const NOBODY: &str = "nobody@contoso.example";

/// He exists and may not reach partners.
pub(crate) const CARL: &str = "carl@contoso.example";

/// Who may not reach partners is written in a file.
const POLICIES: &str = "\n[[external_access_policy]]\nidentity = 'Global'\nenable_xmpp_access = true\n\
    [[external_access_policy]]\nidentity = 'Tag:None'\n\
    [[external_access_grant]]\npolicy = 'Tag:None'\nusers_file = ";

/// A kind of partner, and one partner of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Federated,
    PublicVerified,
    PublicUnverified,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Federated, Self::PublicVerified, Self::PublicUnverified];

    pub(crate) fn domain(self) -> &'static str {
        match self {
            Self::Federated => "fabrikam.example",
            Self::PublicVerified => "litware.example",
            Self::PublicUnverified => "wingtip.example",
        }
    }

    fn plan(self) -> PartnerPlan {
        let kind = match self {
            Self::Federated => "Federated",
            Self::PublicVerified => "PublicVerified",
            Self::PublicUnverified => "PublicUnverified",
        };
        PartnerPlan { kind, ..PartnerPlan::external(self.domain()) }
    }
}

/// Everything, running.
pub(crate) struct World {
    pub(crate) road: Road,
    pub(crate) gateway: Process,
    pub(crate) pool: Pool,
    pub(crate) client: Arc<Client>,
    /// What the gateway sent to partners, in order.
    pub(crate) stanzas: Inbox<String>,
    link: LinkHandle,
    count: AtomicU32,
    _alive: watch::Sender<bool>,
    _tls: watch::Sender<Arc<rustls::ServerConfig>>,
    _names: watch::Sender<Arc<Vec<String>>>,
}

/// An address of this process on 127.0.22.0/24.
fn address() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 22, u8::try_from(1 + std::process::id() % 254).unwrap()))
}

impl World {
    pub(crate) async fn start(name: &str) -> Arc<Self> {
        process::build().unwrap();
        let partners = Kind::ALL.map(Kind::plan).to_vec();
        let road = Road::new(name, Plan::free(address(), LOCAL, partners).unwrap()).unwrap();
        let config = std::fs::read_to_string(road.gateway_config()).unwrap();
        let barred = road.folder().join("barred.txt");
        std::fs::write(&barred, CARL).unwrap();
        std::fs::write(road.gateway_config(), format!("{config}{POLICIES}'{}'\n", barred.display())).unwrap();
        let pool = Pool::start(road.plan.pool).await.unwrap();
        let at = pool.address;
        pool.answer(move |request| Some(pool_answers(request, at)));
        let stanzas = Inbox::default();
        let (link, core) = edge::open("the edge of a test".to_owned(), Duration::from_secs(30));
        let [certificate, key, ca] = road.edge_link().unwrap();
        let (tls, newest_tls) = watch::channel(tls::server_config(&certificate, &key, &ca).unwrap());
        let (names, newest_names) = watch::channel(Arc::new(vec![Road::GATEWAY_NAME.to_owned()]));
        let (alive, stop) = watch::channel(false);
        let config = LinkConfig {
            edge_id: "edge-1".to_owned(),
            listen: road.plan.link,
            tls: newest_tls,
            allowed_gateways: newest_names,
        };
        let streams = Arc::new(Streams(stanzas.clone()));
        server::start(config, core, streams, Arc::new(Bounces), stop).await.unwrap();
        let gateway = road.start_gateway().await.unwrap();
        until("the gateway is ready", async || {
            http::get(road.plan.gateway_http, "/readyz").await.ok().filter(|(status, _)| *status == 200)
        })
        .await
        .unwrap();
        let from = SocketAddr::new(road.plan.pool.ip(), 0);
        let client = Client::connect(from, road.plan.sip).await.unwrap();
        let count = AtomicU32::new(1);
        Arc::new(Self { road, gateway, pool, client, stanzas, link, count, _alive: alive, _tls: tls, _names: names })
    }

    /// Lets all but these reach partners; the gateway reads the file again by itself.
    pub(crate) fn bar(&self, users: &[&str]) {
        std::fs::write(self.road.folder().join("barred.txt"), users.join("\n")).unwrap();
    }

    /// Gives a partner another type; the gateway reads its configuration again by itself.
    pub(crate) fn retype(&self, domain: &str, kind: &str) {
        let text = std::fs::read_to_string(self.road.gateway_config()).unwrap();
        let (before, after) = text.split_once(&format!("domain = '{domain}'\n")).unwrap();
        let (_, rest) = after.split_once('\n').unwrap();
        let text = format!("{before}domain = '{domain}'\npartner_type = '{kind}'\n{rest}");
        std::fs::write(self.road.gateway_config(), text).unwrap();
    }

    /// A number that nobody has had.
    pub(crate) fn number(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A partner's stanza with more attributes and with children. Waits until the gateway is done with it.
    pub(crate) async fn stanza(&self, kind: StanzaKind, from: &str, to: &str, attributes: &str, children: &str) {
        let name = kind.as_str();
        let xml = format!("<{name} xmlns='jabber:server' from='{from}' to='{to}' {attributes}>{children}</{name}>");
        let (from, to) = (Jid::parse(from).unwrap(), Jid::parse(to).unwrap());
        let context = Arc::new(PairContext {
            pair: DomainPair { local: to.domain_name(), remote: from.domain_name() },
            method: Method::SaslExternal,
            stream_id: format!("stream of {}", from.domain()),
            peer_address: "192.0.2.1:5269".to_owned(),
            certificate_sha256: None,
        });
        let handled = Handled::default();
        let stanza = InboundStanza {
            kind,
            from,
            to,
            xml: Bytes::from(xml),
            span: Span::NONE,
            arrived_ms: 5,
            receipt: Some(handled.receive()),
        };
        self.link.submit(&context, vec![stanza]).await.unwrap();
        within("the gateway finishes a stanza", async {
            while handled.finished() == 0 {
                handled.progress().await;
            }
            Ok(())
        })
        .await
        .unwrap();
    }

    /// A SIP user's request; returns the final response.
    pub(crate) async fn request(&self, method: &str, from: &str, to: &str, extra: &str, body: &str) -> Message {
        let call_id = format!("c{}", self.number());
        let text = causeway_tests::peer::sip::request(method, from, to, &call_id, self.client.local, extra, body);
        self.client.send(text.as_bytes()).await.unwrap();
        self.client.response(&call_id).await.unwrap()
    }

    /// A SIP user subscribes, or fetches with 0 seconds.
    pub(crate) async fn subscribe(&self, from: &str, to: &str, expires: u32) -> Message {
        let contact = self.pool.address;
        let extra = format!(
            "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: {expires}\r\n\
             Contact: <sip:{contact};transport=tcp>\r\n"
        );
        self.request("SUBSCRIBE", from, to, &extra, "").await
    }

    /// Waits until everything that the gateway sends because of what it has finished has arrived on both sides.
    pub(crate) async fn settled(&self, kind: Kind) {
        let number = self.number();
        let sender = format!("barrier{number}@{}/x", kind.domain());
        let body = format!("barrier {number}");
        let text = format!("<body>{body}</body>");
        let litware = format!("barrier{number}@litware.example/x");
        self.stanza(StanzaKind::Message, &litware, &format!("barrier{number}@{LOCAL}"), "type='chat'", &text).await;
        self.pool.requests.wait(&body, |request| request.body == body).await.unwrap();
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        self.stanza(StanzaKind::Iq, &sender, LOCAL, "type='get' id='b'", ping).await;
        self.stanzas.wait(&body, |stanza| stanza.contains(&sender) && stanza.starts_with("<iq")).await.unwrap();
    }
}

/// Streams on which everything is written at once.
struct Streams(Inbox<String>);

impl Outbound for Streams {
    fn deliver(&self, stanza: OutboundStanza) {
        self.0.put(String::from_utf8(stanza.xml.to_vec()).unwrap());
        stanza.ack.done();
    }
}

struct Bounces;

impl Bouncer for Bounces {
    fn bounce(&self, stanza: InboundStanza, condition: StanzaCondition, _text: &str) {
        panic!("no gateway took {stanza:?}: {condition}");
    }
}

/// alice and carl have devices that are open; nobody else is known.
fn pool_answers(request: &Message, pool: SocketAddr) -> String {
    let to = request.header("To").unwrap();
    let is_known = ["sip:alice@", "sip:carl@"].iter().any(|user| to.contains(user));
    match request.method() {
        Some("NOTIFY") => request.respond("200 OK", ""),
        Some(_) if !is_known => request.respond("404 Not Found", ""),
        Some("SUBSCRIBE") => {
            let contact = format!("Contact: <sip:{pool};transport=tcp>\r\n");
            let expires = request.header("Expires").unwrap();
            let ok = request.respond("200 OK", &format!("{contact}Expires: {expires}\r\n"));
            ok + &notify(request, &contact, expires)
        }
        Some(_) | None => request.respond("200 OK", ""),
    }
}

fn notify(subscribe: &Message, contact: &str, expires: &str) -> String {
    let header = |name: &str| subscribe.header(name).unwrap().to_owned();
    let target = header("Contact").trim_start_matches('<').split('>').next().unwrap().to_owned();
    let cseq = header("CSeq").split(' ').next().unwrap().to_owned();
    let user = header("To").split("sip:").nth(1).unwrap().split(['>', ';']).next().unwrap().to_owned();
    let to =
        if parameter(&header("To"), "tag").is_some() { header("To") } else { format!("{};tag=pool", header("To")) };
    let (state, body) = match expires {
        "0" => ("terminated;reason=timeout".to_owned(), String::new()),
        expires => (
            format!("active;expires={expires}"),
            format!(
                "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{user}'>\
                 <tuple id='desk'><status><basic>open</basic></status><note>in a meeting</note></tuple></presence>"
            ),
        ),
    };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.22.1:5060;branch=z9hG4bKn{}{cseq}\r\nMax-Forwards: 70\r\n\
         From: {to}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\n{contact}Event: presence\r\n\
         Subscription-State: {state}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        header("Call-ID").replace('@', "."),
        header("From"),
        header("Call-ID"),
        body.len()
    )
}

/// One local user and one user of a partner, of whom nobody has heard before, and what both sides get to hear of them.
pub(crate) struct Pair {
    pub(crate) world: Arc<World>,
    pub(crate) kind: Kind,
    pub(crate) user: &'static str,
    /// The partner's user.
    pub(crate) bob: String,
    /// His device.
    pub(crate) desk: String,
    known: Heard,
}

/// What went to SIP and what to XMPP, with everything replaced that is made up anew each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) sip: Vec<String>,
    pub(crate) xmpp: Vec<String>,
}

impl Pair {
    pub(crate) fn new(world: &Arc<World>, kind: Kind, user: &'static str) -> Self {
        Self::at(world, kind, kind.domain(), user)
    }

    /// bob is in a domain that is no partner's.
    pub(crate) fn of_a_stranger(world: &Arc<World>, user: &'static str) -> Self {
        Self::at(world, Kind::Federated, "tailspin.example", user)
    }

    fn at(world: &Arc<World>, kind: Kind, domain: &str, user: &'static str) -> Self {
        let bob = format!("bob-{}@{domain}", world.number());
        let desk = format!("{bob}/desk");
        Self { world: Arc::clone(world), kind, user, bob, desk, known: Heard::default() }
    }

    /// The local user adds bob; what follows is known.
    pub(crate) async fn add(&mut self) {
        let ok = self.world.subscribe(self.user, &self.bob, 3600).await;
        assert_eq!(ok.status(), Some(200), "{ok:?}");
        self.hears(1, 1).await;
    }

    /// bob's presence for the local user; what is not about a device comes from his bare address.
    pub(crate) async fn presence(&self, kind: &str, children: &str) {
        let from = if ["", "unavailable"].contains(&kind) { &self.desk } else { &self.bob };
        let attributes = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
        self.world.stanza(StanzaKind::Presence, from, self.user, &attributes, children).await;
    }

    /// bob's message for the local user.
    pub(crate) async fn message(&self, kind: &str, children: &str) {
        let attributes = format!("type='{kind}' id='m1'");
        self.world.stanza(StanzaKind::Message, &self.desk, self.user, &attributes, children).await;
    }

    /// bob's iq.
    pub(crate) async fn iq(&self, to: &str, kind: &str, children: &str) {
        self.world.stanza(StanzaKind::Iq, &self.desk, to, &format!("type='{kind}' id='q1'"), children).await;
    }

    /// What both sides have heard since the last question, which is so much at least.
    pub(crate) async fn hears(&mut self, sip: usize, xmpp: usize) -> Heard {
        let name = format!("{} requests and {} stanzas about {}", sip, xmpp, self.bob);
        let enough = until(&name, async || {
            let now = self.now();
            (now.sip.len() >= self.known.sip.len() + sip && now.xmpp.len() >= self.known.xmpp.len() + xmpp)
                .then_some(())
        });
        if let Err(error) = enough.await {
            panic!("{error}: {:#?}", self.now());
        }
        self.world.settled(self.kind).await;
        let now = self.now();
        let news =
            Heard { sip: now.sip[self.known.sip.len()..].to_vec(), xmpp: now.xmpp[self.known.xmpp.len()..].to_vec() };
        self.known = now;
        news
    }

    /// Waits for what both sides are to hear, and accepts nothing else.
    pub(crate) async fn must_hear(&mut self, row: &str, expected: &Heard) {
        let heard = self.hears(expected.sip.len(), expected.xmpp.len()).await;
        assert_eq!(heard, *expected, "{row}, {:?}, {}", self.kind, self.user);
    }

    fn now(&self) -> Heard {
        let (user, _) = self.bob.split_once('@').unwrap();
        let names_him = |text: &str| text.contains(&format!("{user}@"));
        let sip = self.world.pool.requests.matching(|request| {
            names_him(&request.start) || ["From", "To"].iter().any(|name| names_him(request.header(name).unwrap()))
        });
        let xmpp = self.world.stanzas.matching(|stanza| names_him(stanza));
        Heard {
            sip: sip.iter().map(|request| self.shown(request)).collect(),
            xmpp: xmpp.iter().map(|stanza| sorted(&self.named(stanza))).collect(),
        }
    }

    /// The whole request: what is random is `*`, and the names of these two and the addresses of both ends are general.
    fn shown(&self, request: &Message) -> String {
        let mut lines = vec![request.start.clone()];
        for (name, value) in &request.headers {
            let value = match name.as_str() {
                "Via" => value.split(";branch=").next().unwrap().to_owned() + ";branch=*",
                "From" | "To" if value.contains(";tag=") => value.split(";tag=").next().unwrap().to_owned() + ";tag=*",
                "Call-ID" => "*".to_owned(),
                "Content-Length" if request.body.contains(&self.bob) => "*".to_owned(),
                "Subscription-State" if value.contains(";expires=") => {
                    value.split(";expires=").next().unwrap().to_owned() + ";expires=*"
                }
                "CSeq" => format!("* {}", value.split(' ').nth(1).unwrap()),
                _ => value.clone(),
            };
            lines.push(format!("{name}: {value}"));
        }
        let body = match request.body.split_once("<timestamp>") {
            Some((before, after)) => format!("{before}<timestamp>*{}", &after[after.find('<').unwrap()..]),
            None => request.body.clone(),
        };
        lines.extend([String::new(), body]);
        let text = self.named(&lines.join("\n"));
        text.replace(&self.world.road.plan.sip.to_string(), "GATEWAY")
            .replace(&self.world.pool.address.to_string(), "POOL")
    }

    /// What its clients can is not of interest here, nor is what a device is called.
    fn named(&self, text: &str) -> String {
        let mut text = text.replace(&self.bob, "BOB").replace(self.user, "USER");
        let made_up = [
            ("<c xmlns=", "/>", "<CAPS/>"),
            ("USER/t-", "'", "USER/DEVICE'"),
            ("<thread>", "</thread>", "<thread>*</thread>"),
            ("to='BOB' id='", "'>", "to='BOB' id='*'>"),
        ];
        for (begins, ends, name) in made_up {
            if let Some(start) = text.find(begins) {
                let value = start + begins.len();
                let end = value + text[value..].find(ends).unwrap() + ends.len();
                text.replace_range(start..end, name);
            }
        }
        text
    }
}

/// A stanza with its attributes in the order of their names, in which they say nothing.
pub(crate) fn sorted(stanza: &str) -> String {
    let (tag, rest) = stanza.split_once('>').unwrap();
    let (name, attributes) = tag.split_once(' ').unwrap();
    let mut attributes: Vec<&str> = attributes.trim_end_matches('\'').split("' ").collect();
    attributes.sort_unstable();
    format!("{name} {}'>{rest}", attributes.join("' "))
}
