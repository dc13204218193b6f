use super::*;
use MessageType as M;
use PresenceKind as P;

const FED: PartnerType = PartnerType::Federated;
const PV: PartnerType = PartnerType::PublicVerified;
const PU: PartnerType = PartnerType::PublicUnverified;

fn name(domain: &str) -> DomainName {
    DomainName::parse(domain).unwrap()
}

fn domains() -> Domains {
    let mut domains = Domains::default();
    domains.add_local(name("contoso.example"));
    domains.add_local(name("sub.contoso.example"));
    domains.add_partner(&name("fabrikam.example"), &[name("fabrikam.test")], FED);
    domains.add_partner(&name("wingtip.example"), &[], PU);
    domains
}

fn admit(intent: Intent, partner: PartnerType, is_added: bool) -> Admission {
    admit_stanza(intent, Standing { partner, is_allowed: true, is_added, may_reply: false })
}

fn unavailable() -> Admission {
    service_unavailable()
}

// Rule: type.x1, type.x6, type.x8, type.x10, type.x11, type.x15, type.s6
/// Rows X1 to X14: intent, and what FED, PV and PU-added get, and PU not added.
#[test]
fn the_action_table_holds() {
    let pass = || Admission::Pass;
    let drop = || Admission::Drop;
    for (row, intent, friend, stranger) in [
        ("X1", Intent::Presence(P::Subscribe), pass(), pass()),
        ("X2", Intent::Presence(P::Unsubscribe), pass(), pass()),
        ("X3", Intent::Presence(P::Subscribed), pass(), drop()),
        ("X4", Intent::Presence(P::Unsubscribed), pass(), drop()),
        ("X5", Intent::Presence(P::Available), pass(), drop()),
        ("X5", Intent::Presence(P::Unavailable), pass(), drop()),
        ("X6", Intent::Presence(P::Probe), pass(), Admission::Unsubscribed),
        ("X7", Intent::Presence(P::Error), pass(), drop()),
        ("X8", Intent::Message(M::Normal), pass(), unavailable()),
        ("X8", Intent::Message(M::Chat), pass(), unavailable()),
        ("X10", Intent::Message(M::Headline), pass(), drop()),
        ("X11", Intent::Message(M::Groupchat), unavailable(), unavailable()),
        ("X12", Intent::Message(M::Error), pass(), pass()),
        ("X13", Intent::UserRequest, pass(), unavailable()),
        ("X14", Intent::DomainRequest, pass(), pass()),
        ("iq result", Intent::IqAnswer, drop(), drop()),
    ] {
        for (partner, is_added) in [(FED, false), (FED, true), (PV, false), (PV, true), (PU, true)] {
            assert_eq!(admit(intent, partner, is_added), friend, "{row} {partner:?} {is_added}");
        }
        assert_eq!(admit(intent, PU, false), stranger, "{row}");
    }
}

// Rule: message.reply-window
#[test]
fn a_stranger_who_answers_may_write_and_nothing_else() {
    for (intent, expected) in [
        (Intent::Message(M::Normal), Admission::Pass),
        (Intent::Message(M::Chat), Admission::Pass),
        (Intent::Message(M::Headline), Admission::Drop),
        (Intent::Presence(P::Probe), Admission::Unsubscribed),
        (Intent::UserRequest, unavailable()),
    ] {
        let standing = Standing { partner: PU, is_allowed: true, is_added: false, may_reply: true };
        assert_eq!(admit_stanza(intent, standing), expected, "{intent:?}");
        let denied = Standing { is_allowed: false, ..standing };
        assert_ne!(admit_stanza(intent, denied), Admission::Pass, "{intent:?}");
    }
}

// X15.
// Rule: type.x15
#[test]
fn a_user_without_federation_looks_like_one_who_does_not_exist() {
    for (intent, expected) in [
        (Intent::Presence(P::Subscribe), Admission::Drop),
        (Intent::Presence(P::Available), Admission::Drop),
        (Intent::Presence(P::Probe), Admission::Unsubscribed),
        (Intent::Message(M::Chat), unavailable()),
        (Intent::UserRequest, unavailable()),
        (Intent::DomainRequest, Admission::Pass),
    ] {
        for partner in [FED, PV, PU] {
            let standing = Standing { partner, is_allowed: false, is_added: true, may_reply: false };
            assert_eq!(admit_stanza(intent, standing), expected, "{intent:?}");
        }
    }
}

// Rule: hygiene.sides
#[test]
fn stanzas_pass_only_between_a_local_and_a_partners_domain() {
    let domains = domains();
    let between =
        |local: &str, foreign: &str| domains.between(&name(local), &name(foreign)).map(|entry| entry.primary.clone());
    assert_eq!(between("contoso.example", "fabrikam.example"), Ok(name("fabrikam.example")));
    assert_eq!(between("sub.contoso.example", "fabrikam.test"), Ok(name("fabrikam.example")));
    assert_eq!(between("contoso.example", "sub.contoso.example"), Err(Misrouted::BothLocal));
    assert_eq!(between("fabrikam.example", "wingtip.example"), Err(Misrouted::BothForeign));
    assert_eq!(between("contoso.example", "evil.example"), Err(Misrouted::NotAPartner));
    assert_eq!(between("contoso.example", "sub.fabrikam.example"), Err(Misrouted::NotAPartner));
}

// S3, S6, S7, sections 0 and 9.8.
#[test]
fn requests_pass_only_from_local_users_to_partners() {
    let domains = domains();
    let admit = |sender: Option<&str>, target: &str, allowed: bool| {
        let sender = sender.map(name);
        admit_request(&domains, sender.as_ref(), &target.parse().unwrap(), || allowed).map(|entry| entry.partner_type)
    };
    let alice = Some("contoso.example");
    assert_eq!(admit(alice, "sip:bob@fabrikam.example", true), Ok(FED));
    assert_eq!(admit(alice, "sip:bob@WINGTIP.example:5061", true), Ok(PU));
    for (sender, target, allowed, expected, status) in [
        (alice, "sips:bob@fabrikam.example", true, RequestRefusal::Sips, 416),
        (alice, "sip:bob@evil.example", true, RequestRefusal::NotAPartner, 404),
        (alice, "sip:bob@192.0.2.1", true, RequestRefusal::NotAPartner, 404),
        (alice, "sip:carol@contoso.example", true, RequestRefusal::Loop, 482),
        (Some("wingtip.example"), "sip:bob@fabrikam.example", true, RequestRefusal::NotLocal, 403),
        (None, "sip:bob@fabrikam.example", true, RequestRefusal::NotLocal, 403),
        (alice, "sip:bob@fabrikam.example", false, RequestRefusal::NotAllowed, 403),
    ] {
        assert_eq!(admit(sender, target, allowed), Err(expected), "{target}");
        assert_eq!(expected.status().code(), status);
    }
}

// RFC 3325 section 5; anonymous callers have no XMPP form.
// Rule: sip.trust, sip.privacy, address.headers
#[test]
fn the_asserted_identity_counts_only_from_trusted_peers() {
    let headers = |lines: &[(HeaderName, &'static str)]| {
        let mut headers = Headers::with_capacity(4);
        for (name, value) in lines {
            headers.push(name.clone(), causeway_sip::header::HeaderValue::from_static(value));
        }
        headers
    };
    let from = (HeaderName::From, "<sip:alice@contoso.example>;tag=1");
    let asserted = (HeaderName::PAssertedIdentity, "<tel:+1>, \"C\" <sip:carol@contoso.example>");
    let who = |headers: &Headers, trusted| identity(headers, trusted).map(|uri| uri.as_str().to_owned());
    assert_eq!(who(&headers(std::slice::from_ref(&from)), true).as_deref(), Some("sip:alice@contoso.example"));
    assert_eq!(who(&headers(&[from.clone(), asserted.clone()]), true).as_deref(), Some("sip:carol@contoso.example"));
    assert_eq!(who(&headers(&[from.clone(), asserted]), false).as_deref(), Some("sip:alice@contoso.example"));
    for private in ["id", "header; id", "ID;critical", "user", "none, id"] {
        assert_eq!(who(&headers(&[from.clone(), (HeaderName::Privacy, private)]), true), None, "{private}");
    }
    let twice = headers(&[from.clone(), (HeaderName::Privacy, "header"), (HeaderName::Privacy, "id")]);
    assert_eq!(who(&twice, true), None);
    for open in ["none", "header", "session;critical"] {
        assert!(who(&headers(&[from.clone(), (HeaderName::Privacy, open)]), true).is_some(), "{open}");
    }
    assert_eq!(who(&headers(&[(HeaderName::From, "<sip:anonymous@anonymous.invalid>;tag=1")]), true), None);
    assert_eq!(who(&headers(&[]), true), None);
    // A telephone number alone names nobody here.
    let number = (HeaderName::PAssertedIdentity, "<tel:+15551234>");
    assert_eq!(who(&headers(&[from.clone(), number]), true).as_deref(), Some("sip:alice@contoso.example"));
    let secure = (HeaderName::PAssertedIdentity, "<sips:carol@contoso.example>");
    assert_eq!(who(&headers(&[from.clone(), secure]), true).as_deref(), Some("sips:carol@contoso.example"));
    let nonsense = (HeaderName::PAssertedIdentity, "<sip:carol@contoso.example");
    assert_eq!(who(&headers(&[from, nonsense]), true), None);
}
