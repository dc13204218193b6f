use causeway_shared::config::ConfigError;

use super::*;

const POLICIES: &str = r#"
    [[external_access_policy]]
    identity = "Global"
    [[external_access_policy]]
    identity = "Site:contoso.example"
    enable_xmpp_access = true
    [[external_access_policy]]
    identity = "Tag:No XMPP"
    [[external_access_policy]]
    identity = "tag:Sales"
    enable_xmpp_access = true
"#;

fn locals() -> Vec<DomainName> {
    ["contoso.example", "sub.contoso.example"].map(|name| DomainName::parse(name).unwrap()).to_vec()
}

type Reading = (ExternalAccess, Vec<GrantFile>, Vec<ConfigWarning>);

fn read_text(text: &str) -> Result<Reading, Vec<ConfigError>> {
    let mut document = Document::parse(text, "TEST", []).unwrap();
    let mut warnings = Vec::new();
    let super::Reading { access, grant_files, .. } = read(&mut document, &locals(), &mut warnings);
    document.finish().map(|()| (access, grant_files, warnings))
}

fn may(access: &ExternalAccess, user: &str) -> bool {
    access.may(&BareJid::parse(user).unwrap())
}

fn mistakes(text: &str) -> Vec<(String, String)> {
    read_text(text).unwrap_err().into_iter().map(|mistake| (mistake.key, mistake.found)).collect()
}

#[test]
fn without_policies_everybody_may() {
    let (access, _, warnings) = read_text("").unwrap();
    assert!(may(&access, "alice@contoso.example") && warnings.is_empty());
    // As an example that was left as it is has it.
    assert!(may(&read_text("[external_access]").unwrap().0, "alice@contoso.example"));
}

#[test]
fn policies_are_global_of_a_site_or_granted() {
    let grants = "[[external_access_grant]]\npolicy = 'Tag:no xmpp'\nusers = ['alice@contoso.example']\n\
                  [[external_access_grant]]\npolicy = 'Sales'\nusers = ['carol@sub.contoso.example']";
    let (access, _, warnings) = read_text(&format!("{POLICIES}{grants}")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    for (user, expected) in [
        ("alice@contoso.example", false),
        ("dave@contoso.example", true),
        ("dave@sub.contoso.example", false),
        ("carol@sub.contoso.example", true),
    ] {
        assert_eq!(may(&access, user), expected, "{user}");
    }
}

// The original's New-CsExternalAccessPolicy: EnableXmppAccess is false unless given.
#[test]
fn a_policy_gives_nothing_that_it_does_not_say() {
    let policy = |text: &str| format!("[[external_access_policy]]\nidentity = 'Global'\n{text}");
    assert!(!may(&read_text(&policy("")).unwrap().0, "alice@contoso.example"));
    assert!(may(&read_text(&policy("enable_xmpp_access = true")).unwrap().0, "alice@contoso.example"));
    let (access, _, warnings) =
        read_text(&policy("enable_xmpp_access = true\nenable_federation_access = false")).unwrap();
    assert!(!may(&access, "alice@contoso.example"));
    assert_eq!(warnings[0].key, "external_access_policy[0].enable_xmpp_access");
    let (access, _, warnings) =
        read_text("[[external_access_policy]]\nidentity = 'Tag:x'\nenable_xmpp_access = true").unwrap();
    assert!(!may(&access, "alice@contoso.example"));
    assert_eq!(warnings[0].key, "external_access_policy");
}

#[test]
fn every_mistake_is_named_with_its_key() {
    let text = "[external_access]\ndeny = ['alice@contoso.example']\n\
        [[external_access_policy]]\nidentity = 'global'\n\
        [[external_access_policy]]\nidentity = 'Global'\n\
        [[external_access_policy]]\nidentity = 'Site:fabrikam.example'\n\
        [[external_access_policy]]\nidentity = 'Tag: '\n\
        [[external_access_policy]]\nidentity = 'Everybody'\n\
        [[external_access_policy]]\nenable_xmpp = true\n\
        [[external_access_policy]]\nidentity = 'Tag:a'\n\
        [[external_access_grant]]\npolicy = 'Tag:b'\nusers = ['bob@fabrikam.example', 'contoso.example', 'x@@']\n\
        [[external_access_grant]]\npolicy = 'a'\nusers = ['alice@contoso.example', 'ALICE@contoso.example']\n\
        [[external_access_grant]]\nusers = 'alice@contoso.example'\nfile = 'x'\n";
    let found = mistakes(text);
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "external_access",
            "external_access_policy[1].identity",
            "external_access_policy[2].identity",
            "external_access_policy[3].identity",
            "external_access_policy[4].identity",
            "external_access_policy[5].identity",
            "external_access_policy[5].enable_xmpp",
            "external_access_grant[0].policy",
            "external_access_grant[0].users",
            "external_access_grant[0].users",
            "external_access_grant[0].users",
            "external_access_grant[1].users",
            "external_access_grant[2].policy",
            "external_access_grant[2].users",
            "external_access_grant[2].file",
        ],
        "{found:#?}"
    );
    for (index, part) in [
        (1, "has a policy already"),
        (2, "fabrikam.example is no local domain"),
        (7, "there is no policy \"Tag:b\""),
        (8, "it is in no local domain"),
        (9, "it names no user"),
        (11, "has been granted a policy already"),
    ] {
        assert!(found[index].1.contains(part), "{part}: {found:#?}");
    }
}

#[test]
fn a_file_grants_line_by_line_and_names_the_line_that_does_not_do() {
    let grant = "[[external_access_grant]]\npolicy = 'Sales'\nusers_file = 'sales.txt'";
    let (access, files, _) = read_text(&format!("{POLICIES}{grant}")).unwrap();
    assert_eq!(
        (files[0].key.as_str(), files[0].path.to_str()),
        ("external_access_grant[0].users_file", Some("sales.txt"))
    );
    let load = |text: &str| {
        let mut access = access.clone();
        files[0].grant(text, &locals(), &mut access).map(|()| access)
    };
    let granted = load("# sales\n\ncarol@sub.contoso.example # since May\r\ndave@sub.contoso.example").unwrap();
    assert!(may(&granted, "carol@sub.contoso.example") && may(&granted, "dave@sub.contoso.example"));
    assert!(!may(&granted, "erin@sub.contoso.example"));
    for (text, line) in [("carol@sub.contoso.example\ncarol@sub.contoso.example", 2), ("bob@fabrikam.example", 1)] {
        assert!(load(text).unwrap_err().to_string().starts_with(&format!("line {line} ")), "{text}");
    }
}
