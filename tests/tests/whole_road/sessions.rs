//! Chats in sessions, over the whole road: an INVITE dialog that carries MESSAGE, and one with an MSRP stream.

use std::net::SocketAddr;

use causeway_tests::peer::sip::{Client, Message, parameter, request};
use causeway_tests::peer::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{World, message};

pub(crate) const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";
pub(crate) const DESK: &str = "bob@fabrikam.example/desk";

/// A session that alice's client has opened.
pub(crate) struct Call<'w> {
    world: &'w World,
    client: std::sync::Arc<Client>,
    pub(crate) answer: Message,
    call_id: &'static str,
    cseq: u32,
}

impl<'w> Call<'w> {
    /// INVITE, 200, ACK.
    pub(crate) async fn open(world: &'w World, call_id: &'static str, sdp: &str) -> Self {
        let client = world.client().await;
        let contact = format!("Contact: <sip:alice@{};transport=tcp>\r\n", world.pool.address);
        let extra = format!("{contact}Content-Type: application/sdp\r\n");
        let invite = request("INVITE", ALICE, BOB, call_id, client.local, &extra, sdp);
        client.send(invite.as_bytes()).await.unwrap();
        let answer = client.response(call_id).await.unwrap();
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        let mut call = Self { world, client, answer, call_id, cseq: 1 };
        call.send("ACK", "", "").await;
        call
    }

    /// Sends a request in the dialog.
    pub(crate) async fn send(&mut self, method: &str, extra: &str, body: &str) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let target = self.answer.header("Contact").unwrap().trim_start_matches('<').split('>').next().unwrap();
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{}{}{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:{ALICE}>;tag=f{}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            self.client.local,
            self.call_id,
            self.cseq,
            self.call_id,
            self.answer.header("To").unwrap(),
            self.call_id,
            self.cseq,
            body.len()
        );
        self.client.send(text.as_bytes()).await.unwrap();
    }

    /// The final response to the last request in the dialog.
    pub(crate) async fn status(&self, method: &str) -> Option<u16> {
        let cseq = format!("{} {method}", self.cseq);
        let is_it = |message: &Message| message.status() >= Some(200) && message.header("CSeq") == Some(&cseq);
        self.client.received.wait("a response in the dialog", is_it).await.unwrap().status()
    }

    /// bob's stanza with this text.
    pub(crate) async fn bob_reads(&self, text: &str) -> String {
        let body = format!("<body>{text}</body>");
        self.world.fabrikam.stanzas.wait(text, |stanza| stanza.contains(&body)).await.unwrap()
    }
}

// Rule: session.lync.incoming, session.typing, session.gone
#[tokio::test]
async fn a_lync_client_and_an_xmpp_user_talk_in_a_dialog() {
    let world = World::start("sessions-lync").await;
    let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=message 5060 sip null\r\na=accept-types:text/plain multipart/alternative\r\n";
    let mut call = Call::open(&world, "lync1", sdp).await;
    assert!(call.answer.body.contains("m=message 5060 sip "), "{}", call.answer.body);

    call.send("MESSAGE", "Content-Type: text/plain; charset=UTF-8\r\n", "Grüße aus Kyjiw").await;
    let stanza = call.bob_reads("Grüße aus Kyjiw").await;
    assert!(stanza.contains("type='chat'") || stanza.contains("type=\"chat\""), "{stanza}");
    assert_eq!(call.status("MESSAGE").await, Some(200));

    let mut stream = world.stream().await;
    let states = "xmlns='http://jabber.org/protocol/chatstates'";
    let reply =
        message(DESK, ALICE, "r1", "angekommen 👋").replace("</message>", &format!("<active {states}/></message>"));
    stream.send(&reply).await.unwrap();
    let request = world.arrives("angekommen 👋").await;
    assert!(
        request.start.contains("sip:alice@") && parameter(request.header("To").unwrap(), "tag").is_some(),
        "{request:?}"
    );

    let typing = "<?xml version=\"1.0\"?><KeyboardActivity><status status=\"type\" /></KeyboardActivity>";
    call.send("INFO", "Content-Type: application/xml\r\n", typing).await;
    assert_eq!(call.status("INFO").await, Some(200));
    world.fabrikam.stanzas.wait("composing", |stanza| stanza.contains("<composing")).await.unwrap();

    call.send("BYE", "", "").await;
    assert_eq!(call.status("BYE").await, Some(200));
    world.fabrikam.stanzas.wait("gone", |stanza| stanza.contains("<gone")).await.unwrap();
    // The next text goes by itself, for there is no session any more.
    stream.send(&message(DESK, ALICE, "r2", "noch da?")).await.unwrap();
    assert_eq!(world.arrives("noch da?").await.start, format!("MESSAGE sip:{ALICE} SIP/2.0"));
}

/// The MSRP side of alice's client.
struct Stream {
    io: TcpStream,
    own: String,
    peer: String,
    read: String,
}

impl Stream {
    async fn connect(own: &str, peer: &str) -> Self {
        let address: SocketAddr = peer.trim_start_matches("msrp://").split('/').next().unwrap().parse().unwrap();
        let io = within("an MSRP connection", TcpStream::connect(address)).await.unwrap();
        Self { io, own: own.to_owned(), peer: peer.to_owned(), read: String::new() }
    }

    async fn send(&mut self, transaction: &str, range: &str, text: &str, flag: char) {
        let frame = format!(
            "MSRP {transaction} SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: one1\r\nByte-Range: {range}\r\n\
             Content-Type: text/plain\r\n\r\n{text}\r\n-------{transaction}{flag}\r\n",
            self.peer, self.own
        );
        within("an MSRP write", self.io.write_all(frame.as_bytes())).await.unwrap();
    }

    /// Reads until the text is there.
    async fn until(&mut self, text: &str) {
        while !self.read.contains(text) {
            let mut buffer = vec![0; 4096];
            let count = within(text, self.io.read(&mut buffer)).await.unwrap();
            assert_ne!(count, 0, "closed before {text}: {}", self.read);
            self.read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

// Rule: msrp.session, msrp.chunks, msrp.bind
#[tokio::test]
async fn an_msrp_client_and_an_xmpp_user_talk_over_a_stream() {
    let port = std::net::TcpListener::bind((crate::support::address(), 0)).unwrap().local_addr().unwrap();
    let listen = format!("[sip]\nmsrp_tcp = ['{port}']\nmsrp_host = '{}'\n", port.ip());
    let world = World::start_with("sessions-msrp", |config| config.replace("[sip]\n", &listen)).await;
    let own = format!("msrp://{}:2855/alice;tcp", world.pool.address.ip());
    let sdp = format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:text/plain\r\na=path:{own}\r\na=setup:active\r\n"
    );
    let mut call = Call::open(&world, "msrp1", &sdp).await;
    let path = call.answer.body.lines().find_map(|line| line.strip_prefix("a=path:")).unwrap().trim().to_owned();
    let mut msrp = Stream::connect(&own, &path).await;
    msrp.send("tid0001", "1-7/19", "Zähler", '+').await;
    msrp.send("tid0002", "8-19/19", " in Stücken", '$').await;
    msrp.until("MSRP tid0002 200").await;
    call.bob_reads("Zähler in Stücken").await;

    let mut stream = world.stream().await;
    stream.send(&message(DESK, ALICE, "r1", "zurück 👋")).await.unwrap();
    msrp.until("zurück 👋").await;
    let transaction = msrp.read.rsplit("MSRP ").next().unwrap().split(' ').next().unwrap().to_owned();
    let ok = format!("MSRP {transaction} 200 OK\r\nTo-Path: {path}\r\nFrom-Path: {own}\r\n-------{transaction}$\r\n");
    within("an MSRP write", msrp.io.write_all(ok.as_bytes())).await.unwrap();

    call.send("BYE", "", "").await;
    assert_eq!(call.status("BYE").await, Some(200));
    let mut rest = Vec::new();
    within("the end of the stream", msrp.io.read_to_end(&mut rest)).await.unwrap();
}
