//! What servers of the field do differently and must be able to (XEP-0178, section 3; RFC 6120, section 4.7.5): the ways to
//! say EXTERNAL, and servers from before XMPP 1.0.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_tests::peer::sip::Client;
use causeway_tests::peer::xml::{self, Piece};
use causeway_tests::peer::xmpp::Stream;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::oracle::{External, Peer, ROWS, Tls};
use crate::world::{Cell, LOCAL, World, domain};

const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'";
const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

/// A partner by the number of its row, with a good certificate.
fn partner(row: u8, tls: Tls) -> Cell {
    let peer = Peer { tls, external: External::Works, dialback: true, proves: true };
    let row = ROWS.iter().find(|known| known.number == row).unwrap();
    Cell { row, peer, domain: domain(row.number, peer) }
}

#[tokio::test]
async fn external_is_taken_as_an_equals_sign_with_an_authzid_and_after_a_challenge() {
    let cell = partner(7, Tls::Insists);
    let world = World::start("field-auth", std::slice::from_ref(&cell)).await;
    // Of "r07-insists-works-dialback.good.example".
    let authzid = "cjA3LWluc2lzdHMtd29ya3MtZGlhbGJhY2suZ29vZC5leGFtcGxl";
    for (first, then) in [
        (format!("{AUTH}>=</auth>"), None),
        (format!("{AUTH}>{authzid}</auth>"), None),
        (format!("{AUTH}/>"), Some(format!("<response {SASL}>=</response>"))),
        (format!("{AUTH}/>"), Some(format!("<response {SASL}/>"))),
        (format!("{AUTH}></auth>"), Some(format!("<response {SASL}>{authzid}</response>"))),
    ] {
        let tls = world.tls(cell.peer);
        let (mut stream, opened) = Stream::secured(None, world.road.plan.edge, &cell.domain, LOCAL, tls).await.unwrap();
        assert!(opened.features.contains("EXTERNAL"), "{}", opened.features);
        stream.send(&first).await.unwrap();
        if let Some(then) = then {
            assert!(stream.next().await.unwrap().text().starts_with("<challenge"), "{first}");
            stream.send(&then).await.unwrap();
        }
        assert!(stream.next().await.unwrap().text().starts_with("<success"), "{first}");
    }
}

#[tokio::test]
async fn a_server_before_xmpp_1_0_dials_back() {
    let cell = partner(17, Tls::None);
    let world = World::start("field-old-in", std::slice::from_ref(&cell)).await;
    let mut stream = Stream::connect(None, world.road.plan.edge).await.unwrap();
    stream.send(&old_header(&cell.domain, LOCAL, None)).await.unwrap();
    let Piece::Header(header) = stream.next().await.unwrap() else { panic!("no header") };
    assert_eq!(xml::attribute(&header, "version"), None, "{header}");
    let answer = stream.offer_key(&cell.domain, LOCAL, "key").await.unwrap();
    assert!(answer.contains("type='valid'"), "{answer}");
    assert_eq!(world.methods("in", &[&cell.domain]).await[&cell.domain], "DP");
}

#[tokio::test]
async fn a_server_before_xmpp_1_0_is_dialled_back() {
    let outcome = send("field-old-out", partner(17, Tls::None), async |mut stream, domain, _| {
        let Piece::Header(_) = stream.next().await? else { panic!("no header") };
        stream.send(&old_header(&domain, LOCAL, Some("old"))).await?;
        take_key(&mut stream, &domain).await
    });
    assert_eq!(outcome.await, "DP");
}

#[tokio::test]
async fn an_authzid_that_is_refused_is_left_out() {
    let outcome = send("field-authzid", partner(7, Tls::Insists), async |mut stream, domain, tls| {
        secure(&mut stream, &domain, tls).await?;
        let first = stream.next().await?;
        assert!(first.text().contains(">Y29udG9zby5leGFtcGxl<"), "{first:?}");
        stream.send(&format!("<failure {SASL}><invalid-authzid/></failure>")).await?;
        let second = stream.next().await?;
        assert!(second.text().contains(">=<"), "{second:?}");
        succeed(&mut stream, &domain).await
    });
    assert_eq!(outcome.await, "S");
}

#[tokio::test]
async fn a_challenge_is_answered_with_the_authzid() {
    let outcome = send("field-challenge", partner(7, Tls::Insists), async |mut stream, domain, tls| {
        secure(&mut stream, &domain, tls).await?;
        stream.next().await?;
        stream.send(&format!("<challenge {SASL}/>")).await?;
        let response = stream.next().await?;
        assert!(response.text().starts_with("<response"), "{response:?}");
        assert!(response.text().contains(">Y29udG9zby5leGFtcGxl<"), "{response:?}");
        succeed(&mut stream, &domain).await
    });
    assert_eq!(outcome.await, "S");
}

#[tokio::test]
async fn dialback_goes_with_announced_errors_and_without_any_announcement() {
    for (name, features) in [("field-errors", DIALBACK), ("field-silent", "")] {
        let outcome = send(name, partner(15, Tls::None), async move |mut stream, domain, _| {
            stream.greet(&domain, features).await?;
            take_key(&mut stream, &domain).await
        });
        assert_eq!(outcome.await, "DP", "{name}");
    }
}

/// Alice writes to a partner whose server is played by `serve`; the method by which the message went.
async fn send<F>(name: &str, cell: Cell, serve: F) -> &'static str
where
    F: AsyncFnOnce(Stream, String, Arc<ServerConfig>) -> io::Result<()>,
{
    let world = World::start(name, std::slice::from_ref(&cell)).await;
    let listener = TcpListener::bind(SocketAddr::new(world.road.plan.edge.ip(), 0)).await.unwrap();
    world.lead_to(&cell.domain, listener.local_addr().unwrap().port());
    let client = Client::connect(SocketAddr::new(world.road.plan.pool.ip(), 0), world.road.plan.sip).await.unwrap();
    let (from, to) = (format!("alice@{LOCAL}"), format!("bob@{}", cell.domain));
    let message = client.message(&from, &to, "call", "hi");
    let server = async {
        let (io, _) = listener.accept().await?;
        serve(Stream::accepted(io), cell.domain.clone(), world.server_tls()).await
    };
    let (answer, served) = tokio::join!(message, server);
    served.unwrap();
    assert_eq!(answer.unwrap().status(), Some(202));
    world.methods("out", &[&cell.domain]).await[&cell.domain]
}

/// STARTTLS, and the features inside: EXTERNAL and dialback.
async fn secure(stream: &mut Stream, domain: &str, tls: Arc<ServerConfig>) -> io::Result<()> {
    stream.greet(domain, STARTTLS).await?;
    stream.next().await?;
    stream.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    stream.accept_tls(tls).await?;
    stream.greet(domain, &format!("{EXTERNAL}{DIALBACK}")).await?;
    Ok(())
}

/// The end of SASL, and the message.
async fn succeed(stream: &mut Stream, domain: &str) -> io::Result<()> {
    stream.send(&format!("<success {SASL}/>")).await?;
    stream.greet(domain, "").await?;
    take_message(stream).await
}

/// A dialback key, taken without a look, and the message.
async fn take_key(stream: &mut Stream, domain: &str) -> io::Result<()> {
    let key = stream.next().await?;
    assert!(key.text().starts_with("<db:result"), "{key:?}");
    stream.send(&format!("<db:result from='{domain}' to='{LOCAL}' type='valid'/>")).await?;
    take_message(stream).await
}

async fn take_message(stream: &mut Stream) -> io::Result<()> {
    let message = stream.next().await?;
    assert!(message.text().starts_with("<message"), "{message:?}");
    Ok(())
}

/// A header without version.
fn old_header(from: &str, to: &str, id: Option<&str>) -> String {
    let id = id.map(|id| format!(" id='{id}'")).unwrap_or_default();
    format!(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' from='{from}' to='{to}'{id}>"
    )
}
