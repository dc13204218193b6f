//! Questions of partners by iq: what the domain and its users answer, to whom, and that the pool hears nothing of it.

use causeway_tests::peer::sip::{Message, parameter};
use causeway_tests::peer::xmpp::Stream;
use causeway_tests::peer::{http, xml};

use crate::support::World;

const DESK: &str = "bob@fabrikam.example/desk";
const INFO: &str = "http://jabber.org/protocol/disco#info";

fn telling(config: &str) -> String {
    config.to_owned()
        + "\n[discovery]\nabuse_addresses = ['mailto:abuse@contoso.example']\n\
           [[vcard]]\naddress = 'alice@contoso.example'\nfull_name = 'Alice Example'\n"
}

async fn ask(world: &World, stream: &mut Stream, to: &str, payload: &str) -> String {
    let id = world.text().replace(' ', "-");
    stream.send(&format!("<iq from='{DESK}' to='{to}' type='get' id='{id}'>{payload}</iq>")).await.unwrap();
    let answer = world.fabrikam.stanzas.wait("the answer", |stanza| stanza.contains(&id)).await.unwrap();
    // The same question has the same answer, whatever its id.
    answer.replace(&id, "id")
}

/// 200, and the NOTIFY behind it that says that alice is there (RFC 6665, section 4.2.1).
pub(crate) fn shows_alice(request: &Message) -> Option<String> {
    let response = request.respond("200 OK", "Contact: <sip:alice@127.0.0.1;transport=tcp>\r\nExpires: 3600\r\n");
    if request.method() != Some("SUBSCRIBE") {
        return Some(request.respond("200 OK", ""));
    }
    let (to, from, call_id) = (request.header("From")?, request.header("To")?, request.header("Call-ID")?);
    let contact = request.header("Contact")?.trim_matches(['<', '>']).to_owned();
    let via = parameter(request.header("Via")?, "branch")?;
    let body = "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:alice@contoso.example'>\
                <tuple id='pc'><status><basic>open</basic></status></tuple></presence>";
    Some(format!(
        "{response}NOTIFY {contact} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch={via}n\r\nMax-Forwards: 70\r\n\
         From: {from};tag=pool\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 1 NOTIFY\r\n\
         Contact: <sip:alice@127.0.0.1;transport=tcp>\r\nEvent: presence\r\nSubscription-State: active;expires=3600\r\n\
         Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

// Rule: iq.disco.domain, iq.contact, iq.stranger, iq.no-sip, iq.caps, iq.vcard
#[tokio::test]
async fn the_domain_answers_and_its_users_only_those_who_may_see_them() {
    let world = World::start_with("queries", telling).await;
    world.pool.answer(shows_alice);
    let mut stream = world.stream().await;
    let info = format!("<query xmlns='{INFO}'/>");
    let domain = ask(&world, &mut stream, "contoso.example", &info).await;
    for part in ["type='im'", "mailto:abuse@contoso.example", "var='urn:xmpp:ping'"] {
        assert!(domain.contains(part), "{domain}");
    }

    let questions =
        [&info, "<vCard xmlns='vcard-temp'/>", "<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:last'/>"];
    for question in questions {
        let known = ask(&world, &mut stream, "alice@contoso.example", question).await;
        let unknown = ask(&world, &mut stream, "nobody@contoso.example", question).await;
        assert!(known.contains("<service-unavailable"), "{known}");
        assert_eq!(known.replace("alice", "nobody"), unknown);
    }
    assert_eq!(world.pool.requests.all(), [], "no question reaches the pool");

    // Alice lets bob see her; what her presence announces is what she answers.
    let subscribe = "<presence from='bob@fabrikam.example' to='alice@contoso.example' type='subscribe'/>";
    stream.send(subscribe).await.unwrap();
    let is_presence = |stanza: &String| stanza.contains("http://jabber.org/protocol/caps");
    let presence = world.fabrikam.stanzas.wait("her presence", is_presence).await.unwrap();
    let address = xml::attribute(&presence, "from").unwrap();
    let caps = presence.split_once("<c ").unwrap().1;
    let attribute = |name: &str| {
        let (_, rest) = caps.split_once(&format!("{name}='")).unwrap();
        rest.split('\'').next().unwrap().to_owned()
    };
    let node = format!("{}#{}", attribute("node"), attribute("ver"));
    let client = ask(&world, &mut stream, &address, &format!("<query xmlns='{INFO}' node='{node}'/>")).await;
    assert!(client.contains("category='client'") && client.contains(&node), "{client}");
    let wrong = ask(&world, &mut stream, &address, &format!("<query xmlns='{INFO}' node='{node}x'/>")).await;
    assert!(wrong.contains("<item-not-found"), "{wrong}");
    let card = ask(&world, &mut stream, "alice@contoso.example", "<vCard xmlns='vcard-temp'/>").await;
    assert!(card.contains("<FN>Alice Example</FN>"), "{card}");

    let (_, metrics) = http::get(world.road.plan.gateway_http, "/metrics").await.unwrap();
    assert!(metrics.contains("causeway_iqs_answered_total{topic=\"vcard\",outcome=\"result\"} 1"), "{metrics}");
}
