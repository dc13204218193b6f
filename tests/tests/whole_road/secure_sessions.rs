//! A chat over MSRP under TLS: for the certificates vouches nobody but the session descriptions (RFC 4975 section 14.4).

use std::sync::Arc;
use std::time::Instant;

use causeway_sip::ids::IdSource;
use causeway_sip::msrp::message::FailureReport;
use causeway_sip::msrp::session::Outgoing;
use causeway_sip::msrp::switch::{Event, Input, Output, SessionId, Switch, SwitchConfig, Terms};
use causeway_sip::sdp::message::{MessageStream, Msrp, Setup};
use causeway_sip::sdp::{self, SessionDescription};
use causeway_sip::transport::msrp::{MsrpConfig, MsrpTransport, msrp_tls};
use causeway_tests::peer::within;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::{mpsc, watch};

use crate::sessions::{ALICE, Call, DESK};
use crate::support::{World, message};

/// alice's client, with a certificate of its own making.
struct Client {
    switch: Switch,
    sockets: MsrpTransport,
    inbound: mpsc::Receiver<Vec<Input>>,
    session: SessionId,
    events: Vec<Event>,
}

impl Client {
    async fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = rcgen::CertificateParams::new(["alice.example".to_owned()]).unwrap();
        let certificate = names.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = msrp_tls(vec![certificate], key, Arc::new(roots)).unwrap();
        let config = SwitchConfig {
            host: "alice.example".to_owned(),
            tls_port: Some(9),
            tcp_port: None,
            fingerprints: tls.fingerprint().cloned().into_iter().collect(),
            accept_types: vec!["text/plain".to_owned()],
            accept_wrapped_types: Vec::new(),
            max_size: 10_000,
            idle: std::time::Duration::from_secs(600),
        };
        let tls = Some(watch::channel(Arc::new(tls)).1);
        let source_ip = Some(crate::support::address());
        let (sockets, inbound) =
            MsrpTransport::start(MsrpConfig { tls, source_ip, ..MsrpConfig::default() }).await.unwrap();
        let mut switch = Switch::new(config, IdSource::os());
        let session = switch.reserve(true, Instant::now()).unwrap();
        Self { switch, sockets, inbound, session, events: Vec::new() }
    }

    fn offer(&self) -> String {
        let media = self.switch.stream(self.session, Setup::Active).unwrap().to_media();
        let description = SessionDescription::new(1, 1, "127.0.0.1", vec![media]);
        String::from_utf8(description.write().to_vec()).unwrap()
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.switch.handle(input, Instant::now(), &mut out);
        for output in out {
            match output {
                Output::Event { event, .. } => self.events.push(event),
                output => self.sockets.perform(output),
            }
        }
    }

    fn open(&mut self, peer: Msrp) {
        let terms = Box::new(Terms { peer, is_active: true });
        self.step(Input::Open { session: self.session, terms });
    }

    /// Lives until its user has heard such a thing.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) {
        while !self.events.iter().any(&is_it) {
            let ended = self.events.iter().find(|event| matches!(event, Event::Ended(_)));
            assert_eq!(ended, None, "before {what}");
            let batch = within(what, async { self.inbound.recv().await.ok_or(std::io::ErrorKind::BrokenPipe.into()) });
            batch.await.unwrap().into_iter().for_each(|input| self.step(input));
        }
    }
}

/// The gateway's configuration with a listener for MSRP under TLS, which shows the certificate of its link.
fn with_msrp(config: &str) -> String {
    let file = |key: &str| {
        let line = config.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        line.split_once(" = ").unwrap().1.to_owned()
    };
    let port = std::net::TcpListener::bind((crate::support::address(), 0)).unwrap().local_addr().unwrap();
    let (certificate, key, ca) = (file("certificate"), file("key"), file("ca"));
    let lines = format!(
        "[sip]\nmsrp_tls = ['{port}']\nmsrp_host = '{}'\ntls_files = {{ certificate = {certificate}, key = {key}, ca = {ca} }}\n",
        port.ip()
    );
    config.replace("[sip]\n", &lines)
}

async fn call<'w>(world: &'w World, client: &Client) -> (Call<'w>, Msrp) {
    let call = Call::open(world, "msrps1", &client.offer()).await;
    let answer = sdp::parse(call.answer.body.as_bytes()).unwrap();
    let Some((0, MessageStream::Msrp(peer))) = MessageStream::find(&answer) else { panic!("{answer:?}") };
    assert_eq!((peer.path[0].is_secure(), peer.setup, peer.fingerprints.len()), (true, Some(Setup::Passive), 1));
    (call, peer)
}

// Rule: msrp.tls, msrp.session
#[tokio::test]
async fn under_tls_both_sides_show_the_certificates_that_they_have_announced() {
    let world = World::start_with("sessions-msrps", with_msrp).await;
    let mut client = Client::start().await;
    let (mut call, peer) = call(&world, &client).await;
    client.open(peer);
    let text = "unter vier Augen";
    let message_to_bob = Outgoing {
        token: 1,
        message_id: "m1".to_owned(),
        content_type: "text/plain".to_owned(),
        body: text.into(),
        success_report: false,
        failure_report: FailureReport::Yes,
    };
    client.step(Input::Send { session: client.session, message: message_to_bob });
    client.until("the answer", |event| *event == Event::Sent { token: 1, result: Ok(()) }).await;
    call.bob_reads(text).await;

    let mut stream = world.stream().await;
    stream.send(&message(DESK, ALICE, "r1", "auch von mir")).await.unwrap();
    client.until("bob's text", |event| matches!(event, Event::Received { body, .. } if body == "auch von mir")).await;

    call.send("BYE", "", "").await;
    assert_eq!(call.status("BYE").await, Some(200));
    client.until("the end", |event| matches!(event, Event::Ended(_))).await;
}
