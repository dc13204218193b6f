//! First-level elements for the targets of stream machines, out of the words that either side of RFC 6120, XEP-0220 and
//! XEP-0178 uses, in right and in wrong places.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;

use crate::world;

/// A stream header. The bits of `how` leave out what is in most headers, or add what is in few.
pub fn header(from: u8, to: u8, how: u8) -> Option<StreamHeader> {
    let mut attributes = String::new();
    if how & 1 == 0 {
        attributes += &format!(" from='{}'", world::name(from));
    }
    if how & 2 == 0 {
        attributes += &format!(" to='{}'", world::name(to));
    }
    attributes += match how >> 2 & 3 {
        0 | 1 => " version='1.0'",
        2 => "",
        _ => " version='2.0'",
    };
    if how & 16 == 0 {
        attributes += " xmlns:db='jabber:server:dialback'";
    }
    if how & 32 == 0 {
        attributes += &format!(" id='{}'", how >> 6);
    }
    world::header(&attributes)
}

/// The element of this number, between these two domains, with this choice of what else varies in it.
pub fn element(number: u8, from: u8, to: u8, choice: u8) -> Option<Element> {
    const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
    const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    let (from, to) = (world::name(from), world::name(to));
    let addresses = format!("from='{from}' to='{to}'");
    let id = ["0", "1", "2", "id-1", "", "x"][usize::from(choice >> 4) % 6];
    let kind = ["valid", "invalid", "error", "unknown"][usize::from(choice % 4)];
    world::element(&match number % 26 {
        0 | 1 => format!("<starttls xmlns='{TLS}'/>"),
        2 => format!("<proceed xmlns='{TLS}'/>"),
        3 => format!("<failure xmlns='{TLS}'/>"),
        4 => format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>"),
        5 => format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'/>"),
        6 => format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'>{}</auth>", STANDARD.encode(from)),
        7 => format!("<auth xmlns='{SASL}' mechanism='PLAIN'>=</auth>"),
        8 => format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(from)),
        9 => format!("<abort xmlns='{SASL}'/>"),
        10 => format!("<challenge xmlns='{SASL}'/>"),
        11 => format!("<success xmlns='{SASL}'/>"),
        12 => {
            let condition = ["invalid-authzid", "not-authorized", "temporary-auth-failure", "odd"];
            format!("<failure xmlns='{SASL}'><{}/></failure>", condition[usize::from(choice % 4)])
        }
        13 | 14 => format!("<db:result {addresses}>k{choice}</db:result>"),
        15 => format!("<db:result {addresses} type='{kind}'/>"),
        16 => format!("<db:verify {addresses} id='{id}'>k{choice}</db:verify>"),
        17 => format!("<db:verify {addresses} id='{id}' type='{kind}'/>"),
        18 => format!("<db:{kind} {addresses}/>"),
        19 | 20 => features(choice),
        21 => {
            let condition = ["reset", "host-unknown", "policy-violation", "see-other-host"][usize::from(choice % 4)];
            format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
        }
        22 => format!("<message from='a@{from}' to='b@{to}'/>"),
        23 => format!("<iq from='{from}' to='{to}' id='{id}' type='result'/>"),
        24 => extension(choice),
        _ => "<unknown xmlns='urn:unknown'/>".to_owned(),
    })
}

fn features(choice: u8) -> String {
    let mut features = String::from("<stream:features>");
    for (bit, feature) in [
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>",
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
        "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>",
        "<bidi xmlns='urn:xmpp:features:bidi'/>",
        "<sm xmlns='urn:xmpp:sm:3'/>",
        "<odd xmlns='urn:odd'><required/></odd>",
    ]
    .iter()
    .enumerate()
    {
        if choice >> bit & 1 == 1 {
            features += feature;
        }
    }
    features + "</stream:features>"
}

/// Of bidirectional streams (XEP-0288) and stream management (XEP-0198).
fn extension(choice: u8) -> String {
    let sm = |rest: &str| format!("<{rest} xmlns='urn:xmpp:sm:3'/>");
    match choice % 8 {
        0 | 1 => "<bidi xmlns='urn:xmpp:bidi'/>".to_owned(),
        2 => sm("enable"),
        3 => "<enable xmlns='urn:xmpp:sm:3' resume='true'/>".to_owned(),
        4 => sm("enabled"),
        5 => sm("r"),
        6 => format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", u32::from(choice >> 3)),
        _ => "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>".to_owned(),
    }
}
