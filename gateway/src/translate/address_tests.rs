//! Rules of RFC 7247, section 6, and XEP-0106, case by case and over arbitrary addresses.

use super::*;
use proptest::prelude::*;

/// URI, its JID, and the URI that the JID becomes.
fn check(uri: &str, jid: &str, back: &str) {
    let parsed = uri_to_jid(&uri.parse().unwrap()).unwrap();
    assert_eq!(parsed.as_str(), jid, "{uri}");
    assert_eq!(jid_to_uri(&parsed).unwrap().as_str(), back, "{uri}");
}

fn fault(uri: &str) -> AddressFault {
    uri_to_jid(&uri.parse().unwrap()).unwrap_err()
}

fn jid_fault(jid: &str) -> AddressFault {
    jid_to_uri(&Jid::parse(jid).unwrap()).unwrap_err()
}

// Rule: address.percent
#[test]
fn the_samples_of_the_standard_come_out_as_printed() {
    check("sip:m%C3%BCller@contoso.example", "m\u{fc}ller@contoso.example", "sip:m%C3%BCller@contoso.example");
    check("sip:o'neil@contoso.example", r"o\27neil@contoso.example", "sip:o'neil@contoso.example");
    check(
        "sip:r&d@fabrikam.example;gr=desk%201",
        r"r\26d@fabrikam.example/desk 1",
        "sip:r&d@fabrikam.example;gr=desk%201",
    );
}

// Rule: address.escape.ten
#[test]
fn each_of_the_ten_escapes_is_written_and_read() {
    for (uri, local) in [
        ("a%20b", r"a\20b"),
        ("a%22b", r"a\22b"),
        ("a&b", r"a\26b"),
        ("a'b", r"a\27b"),
        ("a/b", r"a\2fb"),
        ("a%3Ab", r"a\3ab"),
        ("a%3Cb", r"a\3cb"),
        ("a%3Eb", r"a\3eb"),
        ("a%40b", r"a\40b"),
        ("a%5C20b", r"a\5c20b"),
    ] {
        check(&format!("sip:{uri}@h.example"), &format!("{local}@h.example"), &format!("sip:{uri}@h.example"));
    }
    check("sip:O'Neil%40x@contoso.example", r"o\27neil\40x@contoso.example", "sip:o'neil%40x@contoso.example");
}

// Rule: address.escape.backslash
#[test]
fn a_backslash_is_escaped_only_before_what_reads_as_an_escape() {
    for code in ["20", "22", "26", "27", "2f", "3a", "3c", "3e", "40", "5c"] {
        check(
            &format!("sip:a%5C{code}b@h.example"),
            &format!(r"a\5c{code}b@h.example"),
            &format!("sip:a%5C{code}b@h.example"),
        );
    }
    check("sip:a%5C3Ab@h.example", r"a\5c3ab@h.example", "sip:a%5C3ab@h.example");
    check("sip:a%5C@h.example", r"a\@h.example", "sip:a%5C@h.example");
    check("sip:a%5C%20b@h.example", r"a\\20b@h.example", "sip:a%5C%20b@h.example");
}

// Rule: address.escape.other
#[test]
fn other_sequences_with_a_backslash_stay_as_they_are() {
    check("sip:foo%5Cbar@contoso.example", r"foo\bar@contoso.example", "sip:foo%5Cbar@contoso.example");
    check("sip:a%5C41b@h.example", r"a\41b@h.example", "sip:a%5C41b@h.example");
    check("sip:a%5C2@h.example", r"a\2@h.example", "sip:a%5C2@h.example");
}

// Rule: address.escape.space
#[test]
fn a_space_at_an_end_is_refused_in_both_directions() {
    for uri in ["sip:%20a@h.example", "sip:a%20@h.example", "sip:%20@h.example"] {
        assert_eq!(fault(uri), AddressFault::User, "{uri}");
    }
    for jid in [r"\20a@h.example", r"a\20@h.example"] {
        assert_eq!(jid_fault(jid), AddressFault::Jid, "{jid}");
    }
}

// Two JIDs must not become one URI: the answer to the one would reach the other.
// Rule: address.round-trip
#[test]
fn an_escape_that_nothing_needs_is_refused() {
    for jid in [r"a\5cb@h.example", r"a\5c41@h.example", r"a\5c@h.example"] {
        assert_eq!(jid_fault(jid), AddressFault::Jid, "{jid}");
    }
}

// Rule: address.gr.to-xmpp, address.gr.to-sip
#[test]
fn a_device_is_the_resource_and_stands_inside_the_brackets() {
    check("sip:al@h.example;gr=desk", "al@h.example/desk", "sip:al@h.example;gr=desk");
    check("sip:al@h.example;gr=urn:uuid:f8-a3", "al@h.example/urn:uuid:f8-a3", "sip:al@h.example;gr=urn:uuid:f8-a3");
    let jid = Jid::parse("bob@fabrikam.example/desk 1").unwrap();
    let from = NameAddr::new(jid_to_uri(&jid).unwrap());
    assert_eq!(from.to_value().as_str(), Some("<sip:bob@fabrikam.example;gr=desk%201>"));
}

// RFC 8048 prints it there; RFC 5627 wants it inside.
// Rule: address.gr.to-xmpp
#[test]
fn a_device_behind_the_brackets_is_read_too() {
    let device = |from: &'static str| device_of_sender(&NameAddr::parse(&Bytes::from_static(from.as_bytes())).unwrap());
    assert_eq!(device("<sip:al@h.example>;gr=desk%201;tag=1").as_deref(), Some("desk 1"));
    assert_eq!(device("sip:al@h.example;gr=desk;tag=1").as_deref(), Some("desk"));
    assert_eq!(device("<sip:al@h.example;gr=inside>;gr=behind").as_deref(), Some("inside"));
    assert_eq!(device("<sip:al@h.example>;gr;tag=1"), None);
    assert_eq!(device("<sip:al@h.example>;gr=%ff"), None);
    assert_eq!(device("<sip:al@h.example>;tag=1"), None);
}

// Rule: address.gr.temporary
#[test]
fn a_gr_without_value_names_no_device() {
    check("sip:al@contoso.example;gr", "al@contoso.example", "sip:al@contoso.example");
}

// Rule: address.gruu.lync
#[test]
fn the_endpoint_of_lync_is_the_device() {
    check("sip:al@h.example;opaque=user:epid:Xy1;gruu", "al@h.example/Xy1", "sip:al@h.example;gr=Xy1");
    check("sip:al@h.example;opaque=user:epid:Xy1", "al@h.example", "sip:al@h.example");
    check("sip:al@h.example;opaque=app:conf:Xy1;gruu", "al@h.example", "sip:al@h.example");
}

// Rule: address.case
#[test]
fn user_parts_and_hosts_lose_their_case_and_devices_keep_it() {
    check("sip:Al@H.Example;gr=Desk", "al@h.example/Desk", "sip:al@h.example;gr=Desk");
    check("sip:M%C3%9CLLER@h.example", "m\u{fc}ller@h.example", "sip:m%C3%BCller@h.example");
}

// Rule: address.idn
#[test]
fn international_domains_are_a_labels_in_sip_and_u_labels_in_xmpp() {
    check("sip:al@xn--mnchen-3ya.example", "al@xn--mnchen-3ya.example", "sip:al@xn--mnchen-3ya.example");
    let jid = Jid::parse("al@M\u{dc}NCHEN.example").unwrap();
    assert_eq!(jid_to_uri(&jid).unwrap().as_str(), "sip:al@xn--mnchen-3ya.example");
    let jid = uri_to_jid(&"sip:al@XN--MNCHEN-3YA.example".parse().unwrap()).unwrap();
    assert_eq!(jid.to_unicode(), "al@m\u{fc}nchen.example");
}

// Rule: address.drop
#[test]
fn password_port_headers_and_other_parameters_are_dropped() {
    check("sip:al:pw@h.example:5070;transport=tls;lr;user=phone?subject=y", "al@h.example", "sip:al@h.example");
    // Without an escape of its own a semicolon before the @ belongs to the user (RFC 3261, section 25.1).
    check("sip:al;x=y@h.example", "al;x=y@h.example", "sip:al;x=y@h.example");
}

// Rule: address.scheme.im-pres
#[test]
fn im_and_pres_uris_are_read_and_never_written_as_targets() {
    check("im:bob@h.example", "bob@h.example", "sip:bob@h.example");
    check("pres:o'neil@h.example", r"o\27neil@h.example", "sip:o'neil@h.example");
    assert_eq!(bare_jid_to_pres(&BareJid::parse(r"o\27neil@h.example").unwrap()), "pres:o'neil@h.example");
}

// Rule: address.scheme.sips, address.scheme.tel
#[test]
fn other_schemes_are_refused_by_name() {
    assert_eq!(fault("sips:al@h.example"), AddressFault::Sips);
    assert_eq!(fault("tel:+123"), AddressFault::Scheme);
    assert_eq!(fault("mailto:al@h.example"), AddressFault::Scheme);
}

// Rule: address.percent.invalid
#[test]
fn user_parts_that_are_no_text_are_refused() {
    for user in ["a%00b", "a%0D%0Ab", "a%7Fb", "a%C2%85b", "a%FFb", "%C3", "a%ED%A0%80b"] {
        assert_eq!(fault(&format!("sip:{user}@h.example")), AddressFault::User, "{user}");
    }
}

#[test]
fn what_names_no_user_of_a_domain_is_refused() {
    assert_eq!(fault("sip:h.example"), AddressFault::NoUser);
    assert_eq!(fault("sip:a@192.0.2.1"), AddressFault::Host);
    assert_eq!(fault("sip:a@[2001:db8::1]"), AddressFault::Host);
}

// RFC 7622, section 3.3.1: at most 1023 octets.
#[test]
fn a_user_part_may_grow_over_the_limit_of_xmpp_and_is_refused_then() {
    assert!(uri_to_jid(&format!("sip:{}@h.example", "a".repeat(1023)).parse().unwrap()).is_ok());
    assert_eq!(fault(&format!("sip:{}@h.example", "a".repeat(1024))), AddressFault::User);
    assert_eq!(fault(&format!("sip:{}@h.example", "&".repeat(342))), AddressFault::User);
}

// Rule: address.percent
#[test]
fn a_jid_brings_no_reserved_character_into_a_uri() {
    let jid = Jid::parse("a#%[]^`{|}b@fabrikam.example/x;y=\"<>?@").unwrap();
    let uri = jid_to_uri(&jid).unwrap();
    assert_eq!(uri.as_str(), "sip:a%23%25%5B%5D%5E%60%7B%7C%7Db@fabrikam.example;gr=x%3By%3D%22%3C%3E%3F%40");
    assert_eq!(uri_to_jid(&uri).unwrap(), jid);
}

// Rule: address.tuple-id
#[test]
fn tuple_ids_name_their_resource_reversibly() {
    for (resource, id) in [
        ("desk", "ID-desk"),
        ("desk 1", "IDx-6465736b2031"),
        ("\u{fc}", "IDx-c3bc"),
        ("x-64", "ID-x-64"),
        ("a.b_c-d", "ID-a.b_c-d"),
        ("ID-x", "ID-ID-x"),
    ] {
        assert_eq!(resource_to_tuple_id(resource), id);
        assert_eq!(tuple_id_to_resource(id).as_deref(), Some(resource));
    }
    for id in ["t4109", "ID-", "IDx-", "IDx-4", "IDx-zz", "IDx-+4", "IDx-ff"] {
        assert_eq!(tuple_id_to_resource(id), None, "{id}");
    }
}

/// Localparts over what XEP-0106 is about: backslashes, the ten characters, their codes, letters of other scripts.
fn any_user() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        r#"[\\ "&'/:<>@2345abcefABCEF0]{1,12}"#,
        "\\PC{1,12}",
        proptest::collection::vec(any::<char>(), 1..8).prop_map(String::from_iter),
    ]
}

proptest! {
    // Rule: address.round-trip
    #[test]
    fn every_user_part_survives_the_round_trip(user in any_user(), host in "[a-z]{1,8}") {
        let uri = Uri::sip(&user, &format!("{host}.example")).unwrap();
        if let Ok(jid) = uri_to_jid(&uri) {
            let back = jid_to_uri(&jid).unwrap();
            proptest::prop_assert_eq!(uri_to_jid(&back).unwrap(), jid);
            if user.is_ascii() {
                let decoded = back.user_decoded().unwrap().into_owned();
                proptest::prop_assert_eq!(decoded, user.to_ascii_lowercase().into_bytes());
            }
        }
    }

    // Rule: address.round-trip
    #[test]
    fn every_jid_that_can_be_written_comes_back_as_it_was(
        local in any_user(),
        resource in proptest::option::of("\\PC{1,20}"),
    ) {
        let text = match &resource {
            Some(resource) => format!("{local}@fabrikam.example/{resource}"),
            None => format!("{local}@fabrikam.example"),
        };
        if let Ok(jid) = Jid::parse(&text)
            && jid.local().is_some()
            && let Ok(uri) = jid_to_uri(&jid)
        {
            prop_assert_eq!(uri_to_jid(&uri).unwrap(), jid);
        }
    }

    // Rule: address.tuple-id
    #[test]
    fn every_resource_comes_back_from_its_tuple_id(resource in "\\PC{1,20}") {
        let id = resource_to_tuple_id(&resource);
        prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        prop_assert_eq!(tuple_id_to_resource(&id), Some(resource));
    }
}
