use serde_json::json;

use super::*;

const PARTNERS: &str = include_str!("testdata/partners.xml");
const EVERYTHING: &str = include_str!("testdata/everything.json");

fn imported(text: &str) -> Vec<ImportedObject> {
    read("export", text.as_bytes()).unwrap().objects
}

fn document(object: &ImportedObject) -> serde_json::Value {
    object.document.clone().unwrap()
}

fn notes(object: &ImportedObject) -> Vec<String> {
    object.notes.iter().map(ToString::to_string).collect()
}

fn fault(text: &str) -> String {
    read("export", text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_partner_that_export_clixml_wrote_becomes_the_same_partner_here() {
    let objects = imported(PARTNERS);
    let fabrikam = &objects[0];
    assert_eq!((fabrikam.kind, fabrikam.identity.as_str()), (Kind::Partner, "fabrikam.example"));
    assert_eq!(
        document(fabrikam),
        json!({
            "domain": "fabrikam.example",
            "additional_domains": ["eu.fabrikam.example", "us.fabrikam.example"],
            "partner_type": "Federated",
            "tls_negotiation": "Required",
            "sasl_negotiation": "Optional",
            "support_dialback_negotiation": true,
            "enable_keep_alive": true,
            "connection_limit": 1000,
            "description": "Fabrikam & friends\r\nsince 2013",
        }),
    );
    assert_eq!(notes(fabrikam), ["ConnectionLimit \"5000\": changed to 1000, because only 1 to 1000 are allowed here"]);
}

#[test]
fn references_stand_for_what_was_written_before_and_an_identity_for_the_domain() {
    let objects = imported(PARTNERS);
    let public = &objects[1];
    assert_eq!(
        document(public),
        json!({
            "domain": "public.example",
            "partner_type": "PublicUnverified",
            "tls_negotiation": "NotSupported",
            "sasl_negotiation": "NotSupported",
            "support_dialback_negotiation": true,
            "enable_keep_alive": false,
            "proxy_fqdn": "xmpp.public.example",
        }),
    );
    let remarks: Vec<&str> = public.notes.iter().map(|note| note.remark.code()).collect();
    assert_eq!(remarks, ["identity-for-domain", "spelling"]);
}

#[test]
fn the_policy_of_a_site_is_reported_because_a_site_is_a_domain_here() {
    let objects = imported(PARTNERS);
    let site = &objects[2];
    assert_eq!((site.kind, &site.document), (Kind::Policy, &None));
    assert_eq!(site.notes[0].remark, Remark::Site);
    assert!(!site.notes[0].remark.is_change());
}

#[test]
fn settings_come_within_our_ranges_and_without_secrets() {
    let objects = imported(EVERYTHING);
    let settings = &objects[0];
    assert_eq!(
        document(settings),
        json!({
            "connection_limit": 1000,
            "partner_connection_limit": 1000,
            "stream_establishment_timeout_secs": 60,
            "stream_inactivity_timeout_secs": 300,
            "keep_alive_interval_secs": 299,
            "subscription_refresh_interval_secs": 28_800,
        }),
    );
    let remarks: Vec<&str> = settings.notes.iter().map(|note| note.remark.code()).collect();
    assert_eq!(remarks, ["range", "range", "secret", "message-bodies"]);
    assert!(!format!("{objects:?}").contains("horse"));
}

#[test]
fn policies_keep_their_identity_and_only_what_is_about_federation() {
    let objects = imported(EVERYTHING);
    let global = json!({"identity": "Global", "enable_xmpp_access": false, "enable_federation_access": true});
    let sales = json!({"identity": "Tag:Sales", "enable_xmpp_access": true, "enable_federation_access": true});
    assert_eq!((document(&objects[1]), document(&objects[2])), (global, sales));
    assert_eq!((notes(&objects[1]).len(), notes(&objects[2]).len()), (0, 0));
}

#[test]
fn numbers_of_enumerations_are_read_and_told() {
    let objects = imported(EVERYTHING);
    let litware = &objects[3];
    let read = document(litware);
    assert_eq!((&read["partner_type"], &read["sasl_negotiation"]), (&json!("PublicVerified"), &json!("NotSupported")));
    assert_eq!(read["additional_domains"], json!(["chat.litware.example"]));
    let remarks: Vec<(&str, &str)> =
        litware.notes.iter().map(|note| (note.property.as_str(), note.remark.code())).collect();
    assert_eq!(
        remarks,
        [
            ("AdditionalDomains", "repeated"),
            ("AdditionalDomains", "unusable"),
            ("PartnerType", "member-by-number"),
            ("SaslNegotiation", "member-by-number"),
            ("Colour", "no-counterpart"),
        ],
    );
}

#[test]
fn what_is_no_partner_and_what_has_no_domain_is_reported() {
    let objects = imported(EVERYTHING);
    assert_eq!(objects[4].document, None);
    assert_eq!(
        notes(&objects[4]),
        [
            "Domain \"10.0.0.1\": cannot be imported, because an IP address is not a domain name; enter the partner by hand"
        ],
    );
    assert_eq!((objects[5].kind, objects[5].notes[0].remark.code()), (Kind::Unknown, "unknown-object"));
}

#[test]
fn one_object_alone_is_read_like_a_list_of_one() {
    let objects = imported(r#"{"Domain": "fabrikam.example", "TlsNegotiation": 0}"#);
    assert_eq!(document(&objects[0]), json!({"domain": "fabrikam.example", "tls_negotiation": "Required"}));
}

#[test]
fn utf_16_as_powershell_writes_it_is_read() {
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        let text = format!("\u{feff}{}", PARTNERS.replace("Fabrikam", "Fabrikäm 𝄞"));
        let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
        let objects = read("export", &bytes).unwrap().objects;
        assert!(document(&objects[0])["description"].as_str().unwrap().starts_with("Fabrikäm 𝄞"));
        let cut = read("export", &bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(cut.cause, FaultCause::Encoding);
    }
}

#[test]
fn the_same_partner_twice_is_taken_once() {
    let objects = imported(r#"[{"Domain":"a.example","TlsNegotiation":0},{"Domain":"A.example","TlsNegotiation":2}]"#);
    assert_eq!((objects[0].document.is_some(), objects[1].document.is_some()), (true, false));
    assert_eq!(objects[1].notes.last().unwrap().remark, Remark::Twice { number: 1 });
}

#[test]
fn broken_files_are_refused_with_place_and_remedy() {
    for (text, line, cause) in [
        ("", None, "pipe the output"),
        ("Identity : fabrikam.example", Some(1), "neither XML nor JSON"),
        ("<Objs>\n<Obj>\n", Some(3), "<Obj> of line 2 does not end"),
        ("<Objs>\n<Obj></Objs>", Some(2), "broken"),
        ("<Configuration/>", Some(1), "<Configuration>"),
        ("<!DOCTYPE Objs [<!ENTITY a 'b'>]><Objs/>", Some(1), "entities"),
        ("<Objs><S>&a;</S></Objs>", Some(1), "entities"),
        ("<Objs><S>text</S></Objs>", Some(1), "\"text\" is no object"),
        ("<Objs/>", None, "no object"),
        ("[\n{\"Domain\": }\n]", Some(2), "column"),
        ("[1]", None, "no object"),
    ] {
        let refused = read("export", text.as_bytes()).unwrap_err();
        assert_eq!(refused.line, line, "{text}: {refused}");
        assert!(refused.to_string().starts_with("export") && refused.to_string().contains(cause), "{text}: {refused}");
    }
    assert!(fault("\u{feff}").contains("no object"));
    assert_eq!(read("export", b"{\n\xff").unwrap_err().line, Some(2));
}

#[test]
fn neither_depth_nor_size_nor_references_in_a_circle_harm_the_reader() {
    let deep = format!("<Objs>{}", "<Obj>".repeat(100_000));
    assert!(fault(&deep).contains("too deeply"));
    assert!(fault(&"[".repeat(100_000)).contains("broken"));
    let circle = r#"<Objs><Obj RefId="0"><Props><Ref N="TlsNegotiation" RefId="0"/><S N="Domain">a.example</S></Props></Obj></Objs>"#;
    assert_eq!(document(&imported(circle)[0]), json!({"domain": "a.example"}));
    let many = r#"<Ref N="A" RefId="0"/>"#.repeat(2000);
    assert!(fault(&format!(r#"<Objs><Obj RefId="0"><Props>{many}</Props></Obj></Objs>"#)).contains("too deeply"));
    let large = vec![b' '; MAX_FILE_BYTES + 1];
    assert_eq!(read("export", &large).unwrap_err().cause, FaultCause::TooLarge);
    assert_eq!(
        read("export", format!("[{}{{}}]", "{},".repeat(MAX_OBJECTS)).as_bytes()).unwrap_err().cause,
        FaultCause::TooMany
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = read("export", &bytes);
    }

    #[test]
    fn no_damaged_export_makes_the_reader_panic(at in 0..PARTNERS.len(), byte in proptest::prelude::any::<u8>()) {
        let mut bytes = PARTNERS.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read("export", &bytes);
    }
}
