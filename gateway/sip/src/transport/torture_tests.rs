//! Torture messages in the spirit of RFC 4475 and RFC 5118, in words of our own: sent over UDP and TCP to a whole stack, whose
//! user answers 200 to whatever reaches it. After each of them a good request must be answered still.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::tests::{PATIENCE, any_port, start};
use super::*;
use crate::endpoint::{Endpoint, EndpointConfig, Event, Output, SentBy};
use crate::ids::IdSource;
use crate::message::Response;
use crate::method::Status;

/// What comes back, over UDP and over TCP.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// This status.
    Status(u16),
    /// Nothing.
    Nothing,
    /// Over UDP this status; a stream ends, because nobody knows where the next message begins.
    Ends(u16),
}

use Comes::{Ends, Nothing, Status as Code};

const GOOD: [&str; 7] = [
    "MESSAGE sip:alice@contoso.example SIP/2.0",
    "Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKCASE",
    "Max-Forwards: 70",
    "From: <sip:bob@fabrikam.example>;tag=b1",
    "To: <sip:alice@contoso.example>",
    "Call-ID: CASE@torture",
    "CSeq: 1 MESSAGE",
];

/// The name, what is different from a good request, and what comes of it. A line of a header replaces the good one, `-Name`
/// leaves it out, `+` adds a second one, `>` is the start line.
const CASES: &[(&str, &[&str], Comes)] = &[
    // RFC 4475 section 3.1.1: valid
    (
        "folded and compact",
        &[
            ">MESSAGE sip:al@h.example;unknown SIP/2.0",
            "-Via",
            "+v : SIP /  2.0\r\n /UDP\r\n   127.0.0.1:PORT ; branch = z9hG4bKCASE",
            "-To",
            "+TO :\r\n sip:al@h.example ;   tag    = 19",
            "-Call-ID",
            "+i: CASE@torture",
            "-CSeq",
            "+cseq: 0001\r\n  MESSAGE",
            "-Max-Forwards",
            "+MaX-fOrWaRdS: 0068",
            "+s :",
            "+Odd: ;;,,;;,;",
        ],
        Code(200),
    ),
    (
        "a method of odd characters",
        &[">!w+`~.%'*_- sip:1_u~(x)&isn't+it$/?,;*:p&w+1@h.example SIP/2.0", "CSeq: 1 !w+`~.%'*_-"],
        Code(501),
    ),
    ("escapes in a user", &[">MESSAGE sip:sips%3Auser%40example.com@example.net SIP/2.0"], Code(200)),
    ("an escaped NUL", &[">MESSAGE sip:null-%00-null@example.com SIP/2.0"], Code(200)),
    ("no escapes in a method", &[">RE%47IST%45R sip:h.example SIP/2.0", "CSeq: 1 RE%47IST%45R"], Code(501)),
    ("no space before a bracket", &["From: caller<sip:bob@fabrikam.example>;tag=1"], Code(200)),
    (
        "long names",
        &[
            "From: \"I have a user name of extreme proportion, and a comma\" <sip:b@h>;tag=12982982982982982424244241919818;\
             unknownheaderparamnameunknownheaderparamnameunknownheaderparamname=unknownheaderparamvalue\
             unknownheaderparamvalueunknownheaderparamvalue;unknownValuelessparameternameunknownValuelessparametername",
            "+Unknown-LongLongLongLongLongLongLongLongLongLongLongLongLongLongLongLongLongLongLongLong-Name: x",
        ],
        Code(200),
    ),
    ("a semicolon in a user", &[">MESSAGE sip:user;par=u%40example.net@example.com SIP/2.0"], Code(200)),
    (
        "transports nobody knows",
        &["+Via: SIP/2.0/SCTP a.example;branch=z9hG4bKa, SIP/2.0/UNKNOWN b.example;branch=z9hG4bKb"],
        Code(200),
    ),
    ("a response with an odd phrase", &[">SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} 19", "CSeq: 1 INVITE"], Nothing),
    ("a response without a phrase", &[">SIP/2.0 100 ", "CSeq: 1 INVITE"], Nothing),
    // RFC 4475 section 3.1.2: invalid
    ("separators without values", &["Via: SIP/2.0/UDP 127.0.0.1:PORT;;,;,,"], Code(400)),
    ("a contact of separators", &["Contact: \"Joe\" <sip:joe@example.org>;;;;"], Code(400)),
    ("a negative length", &["Content-Length: -999"], Ends(400)),
    ("a CSeq out of range", &["CSeq: 36893488147419103232 MESSAGE"], Code(400)),
    ("a Max-Forwards out of range", &["Max-Forwards: 300"], Code(400)),
    ("a response out of range", &[">SIP/2.0 503 Unavailable", "CSeq: 9292394834772304023312 OPTIONS"], Nothing),
    ("a quote that does not end", &["To: \"Mr. J. User <sip:j.user@example.com>"], Code(400)),
    ("a URI in brackets", &[">MESSAGE <sip:user@example.com> SIP/2.0"], Code(400)),
    ("a space in a URI", &[">MESSAGE sip:user@example.com; lr SIP/2.0"], Code(400)),
    ("two spaces in the start line", &[">MESSAGE  sip:user@example.com  SIP/2.0"], Code(400)),
    ("a space behind the version", &[">MESSAGE sip:user@example.com SIP/2.0 "], Code(400)),
    ("headers in the Request-URI", &[">MESSAGE sip:u@h.example?Route=%3Csip:h.example%3E SIP/2.0"], Code(400)),
    ("a date of another zone", &["Date: Fri, 01 Jan 2010 16:00:00 EST"], Code(200)),
    ("a contact that hides headers", &["Contact: sip:u@h.example?Route=%3Csip:h%3E"], Code(400)),
    ("spaces in brackets", &["To: \"W, T\" < sip:t.w@example.org >"], Code(400)),
    ("a comma in a name without quotes", &["From: Bell, Alexander <sip:a.g.bell@h.example>;tag=43"], Code(400)),
    ("another version", &[">MESSAGE sip:t.w@example.org SIP/7.0"], Code(505)),
    ("a CSeq of another method", &["CSeq: 8 INVITE"], Code(400)),
    ("an unknown method with a CSeq of another", &[">NEWMETHOD sip:u@h.example SIP/2.0"], Code(400)),
    ("a status of ten digits", &[">SIP/2.0 4294967301 better not break the receiver", "CSeq: 1 INVITE"], Nothing),
    // RFC 4475 sections 3.2 to 3.4: transactions, applications, older clients
    ("a bare magic cookie", &["Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bK"], Code(200)),
    ("hardly any header", &["-From", "-To", "-Call-ID", "-Max-Forwards"], Code(400)),
    ("a scheme nobody knows", &[">MESSAGE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"], Code(416)),
    ("a scheme of another protocol", &[">MESSAGE soap.beep://192.0.2.103:3002 SIP/2.0"], Code(416)),
    (
        "schemes in all headers",
        &[
            ">REGISTER sip:h.example SIP/2.0",
            "CSeq: 1 REGISTER",
            "To: isbn:2983792873",
            "From: <http://h.example>;tag=1",
        ],
        Code(405),
    ),
    ("extensions nobody knows", &["Require: nothingSupportsThis, nothingSupportsThisEither"], Code(420)),
    (
        "an authorization nobody knows",
        &[
            ">REGISTER sip:h.example SIP/2.0",
            "CSeq: 1 REGISTER",
            "Authorization: NoOneKnowsThisScheme opaque-data=here",
        ],
        Code(405),
    ),
    ("headers that come twice", &["+CSeq: 2 MESSAGE", "+Call-ID: another", "+Max-Forwards: 5"], Code(400)),
    ("two lengths", &["Content-Length: 8", "+Content-Length: 14"], Ends(400)),
    ("a response through broadcast", &[">SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1"], Nothing),
    ("no hops left, and here", &[">OPTIONS sip:h.example SIP/2.0", "CSeq: 1 OPTIONS", "Max-Forwards: 0"], Code(200)),
    ("no hops left", &["Max-Forwards: 0"], Code(483)),
    ("a parameter of a contact", &["Contact: <sip:+1972@h.example;tag=x>;unknownparam=1"], Code(200)),
    ("an escaped header in a contact", &["Contact: <sip:u@h.example?Route=%3Csip:sip.example.com%3E>"], Code(200)),
    ("an offer where there are no sessions", &[">INVITE sip:b@h.example SIP/2.0", "CSeq: 1 INVITE"], Code(405)),
    ("an old client", &["Via: SIP/2.0/UDP 127.0.0.1:PORT", "-Max-Forwards", "From: <sip:old@h.example>"], Code(200)),
    // RFC 5118
    ("an IPv6 reference", &[">MESSAGE sip:[2001:db8::10] SIP/2.0"], Code(200)),
    ("an IPv6 address without brackets", &[">MESSAGE sip:2001:db8::10 SIP/2.0"], Code(400)),
    ("a port that is none", &[">MESSAGE sip:[2001:db8::10:5070] SIP/2.0"], Code(200)),
    ("a port behind the brackets", &[">MESSAGE sip:[2001:db8::10]:5070 SIP/2.0"], Code(200)),
    (
        "received with brackets",
        &["+Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKb"],
        Code(200),
    ),
    ("received without", &["+Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKb"], Code(200)),
    (
        "addresses of both kinds",
        &["+Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb,SIP/2.0/TCP [2001:db8::9:1];branch=z9hG4bKc"],
        Code(200),
    ),
    ("an IPv4 address within IPv6", &[">MESSAGE sip:u@[::ffff:192.0.2.10] SIP/2.0"], Code(200)),
    ("three colons", &[">MESSAGE sip:u@[2001:db8:::192.0.2.1] SIP/2.0", "To: sip:u@[2001:db8:::192.0.2.1]"], Code(200)),
    ("no address", &[">MESSAGE sip:u@[2001:db8::10 SIP/2.0"], Code(400)),
];

/// The text of a case.
fn text(number: usize, lines: &[&str], port: u16) -> Vec<u8> {
    let mut all: Vec<String> = GOOD.iter().map(|&line| line.to_owned()).collect();
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    for line in lines {
        match line.split_at(1) {
            ("-", left_out) => all.retain(|old| name(old) != left_out.to_ascii_lowercase()),
            ("+", added) => all.push(added.to_owned()),
            (">", start) => all[0] = start.to_owned(),
            _ => match all.iter().position(|old| name(old) == name(line)) {
                Some(at) => all[at] = (*line).to_owned(),
                None => all.push((*line).to_owned()),
            },
        }
    }
    if !all.iter().any(|line| name(line) == "content-length") {
        all.push("Content-Length: 0".to_owned());
    }
    let all = format!("{}\r\n\r\n", all.join("\r\n"));
    all.replace("PORT", &port.to_string()).replace("CASE", &format!("case{number}")).into_bytes()
}

fn probe(number: usize, port: u16) -> Vec<u8> {
    let lines = [">OPTIONS sip:h.example SIP/2.0", "CSeq: 77 OPTIONS"];
    text(number + 100_000, &lines, port)
}

/// A stack whose user answers 200, until its inputs end.
async fn serve(transport: Transport, mut inbound: super::tests::Receiver) {
    let kinds = [TransportKind::Udp, TransportKind::Tcp];
    let sent_by = kinds.into_iter().map(|kind| SentBy::new(kind, "gateway.example").unwrap()).collect();
    let mut endpoint = Endpoint::new(EndpointConfig::new(sent_by), IdSource::os());
    while let Some(batch) = inbound.recv().await {
        // One after the other, so that answers leave in the order of what they answer.
        for input in batch.into_iter().filter_map(Inbound::into_input) {
            let (now, mut out) = (Instant::now(), Vec::new());
            endpoint.handle(input, now, &mut out);
            while !out.is_empty() {
                for output in std::mem::take(&mut out) {
                    match output {
                        Output::Send { to, bytes, tag } => drop(transport.send(to, bytes, tag)),
                        Output::Event(Event::Request { transaction, request, .. }) => {
                            endpoint.respond(transaction, Response::to(&request, Status::OK), now, &mut out);
                        }
                        Output::Event(_) => {}
                    }
                }
            }
        }
    }
}

/// The statuses in a text, those of the probe (CSeq 77) left out.
fn statuses(text: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(text);
    let responses = text.split("SIP/2.0 ").skip(1).filter(|response| {
        let is_line = response.get(..3).is_some_and(|code| code.bytes().all(|digit| digit.is_ascii_digit()));
        is_line && !response.contains("CSeq: 77 OPTIONS")
    });
    responses.filter_map(|response| response.get(..3)?.parse().ok()).collect()
}

fn has_probe_answer(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"CSeq: 77 OPTIONS").is_some() && text.ends_with(b"\r\n\r\n")
}

// Rule: sip.torture
#[tokio::test]
async fn torture_over_udp_is_answered_by_its_rule_and_leaves_the_stack_alive() {
    let (transport, inbound, addr) = start(|config| config.udp.push(any_port())).await;
    tokio::spawn(serve(transport, inbound));
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    for (number, (name, lines, comes)) in CASES.iter().enumerate() {
        socket.send_to(&text(number, lines, port), addr).await.unwrap();
        socket.send_to(&probe(number, port), addr).await.unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while !has_probe_answer(&all) {
            let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
            let len = received.unwrap_or_else(|_| panic!("{name}: no answer to what came behind it")).unwrap();
            all.extend_from_slice(&buffer[..len]);
        }
        let expected = match comes {
            Code(code) | Ends(code) => vec![*code],
            Nothing => vec![],
        };
        assert_eq!(statuses(&all), expected, "{name}: {}", String::from_utf8_lossy(&all));
    }
}

// Rule: sip.torture
#[tokio::test]
async fn torture_over_tcp_is_answered_by_its_rule_or_ends_the_connection() {
    let (transport, inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    tokio::spawn(serve(transport, inbound));
    for (number, (name, lines, comes)) in CASES.iter().enumerate() {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&[text(number, lines, 5060), probe(number, 5060)].concat()).await.unwrap();
        let (mut all, mut ended) = (Vec::new(), false);
        while !ended && !has_probe_answer(&all) {
            let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut all)).await;
            ended = read.unwrap_or_else(|_| panic!("{name}: neither an answer nor an end")).unwrap_or(0) == 0;
        }
        let (expected, ends) = match comes {
            Code(code) => (vec![*code], false),
            Ends(code) => (vec![*code], true),
            Nothing => (vec![], false),
        };
        assert_eq!((statuses(&all), ended), (expected, ends), "{name}: {}", String::from_utf8_lossy(&all));
    }
}

// RFC 4475 sections 3.1.1.8 and 3.1.2.2: where a message ends.
// Rule: sip.torture, sip.framing
#[tokio::test]
async fn a_second_message_is_one_on_a_stream_and_none_in_a_datagram() {
    let (transport, inbound, udp) = start(|config| {
        config.udp.push(any_port());
        config.tcp.push(any_port());
    })
    .await;
    let tcp = transport.listening().iter().find(|(kind, _)| *kind == TransportKind::Tcp).unwrap().1;
    tokio::spawn(serve(transport, inbound));
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let two = |number| [text(number, &[], port), text(number + 1, &[], port)].concat();
    let mut buffer = vec![0; 65_536];
    socket.send_to(&two(1), udp).await.unwrap();
    socket.send_to(&text(3, &["Content-Length: 9999"], port), udp).await.unwrap();
    let mut codes = Vec::new();
    for _ in 0..2 {
        let len = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        codes.extend(statuses(&buffer[..len]));
    }
    assert_eq!(codes, [200, 400]);
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream.write_all(&two(4)).await.unwrap();
    let mut all = Vec::new();
    while memchr::memmem::find_iter(&all, b"\r\n\r\n").count() < 2 {
        assert_ne!(tokio::time::timeout(PATIENCE, stream.read_buf(&mut all)).await.unwrap().unwrap(), 0);
    }
    // On a stream the rest of a body is waited for, and not for ever.
    stream.write_all(&text(3, &["Content-Length: 9999"], port)).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(more.is_err(), "{more:?} {}", String::from_utf8_lossy(&all));
}
