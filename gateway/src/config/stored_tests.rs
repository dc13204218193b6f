use super::*;

/// The smallest file, with a setting and a partner of its own.
fn file() -> String {
    let more = "[gateway_settings]\nconnection_limit = 50\n[[partner]]\ndomain = 'fabrikam.example'";
    format!("{}\n{more}", crate::config::tests::GOOD)
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

fn stored(partners: &[&str], settings: &str) -> Stored {
    let named = partners.iter().map(|text| {
        let table = table(text);
        (table["domain"].as_str().unwrap().to_owned(), table)
    });
    Stored { partners: named.collect(), settings: table(settings), ..Stored::default() }
}

fn read(stored: &Stored) -> Result<Config, Vec<ConfigError>> {
    Config::parse_over(&file(), [], stored).map(|(config, _)| config)
}

#[test]
fn what_is_stored_comes_behind_what_the_file_declares() {
    let config = read(&stored(&["domain = 'tailspin.example'"], "partner_connection_limit = 7")).unwrap();
    let domains: Vec<_> = config.partners.iter().map(|partner| partner.domain.as_str()).collect();
    assert_eq!(domains, ["fabrikam.example", "tailspin.example"]);
    assert_eq!((config.settings.connection_limit, config.settings.partner_connection_limit), (50, 7));
    assert_eq!(config.declared.partners, 1);
    assert!(config.declared.settings.contains("connection_limit"));
}

#[test]
fn what_the_file_declares_wins() {
    let config = read(&stored(&[], "connection_limit = 99")).unwrap();
    assert_eq!(config.settings.connection_limit, 50);
}

#[test]
fn a_mistake_names_what_in_the_store_it_is_about() {
    let store =
        stored(&["domain = 'fabrikam.example'", "domain = 'a.example'\npartner_type = 'x'"], "strict_required = 3");
    let mistakes = read(&store).unwrap_err();
    let declared = declared(&file(), &[], &store).unwrap();
    let owners: Vec<_> = mistakes.iter().filter_map(|mistake| store.owner(&declared, &mistake.key)).collect();
    assert!(owners.contains(&StoredKey::Setting("strict_required".to_owned())), "{owners:?}");
    assert!(owners.contains(&StoredKey::Partner("a.example".to_owned())), "{owners:?}");
    assert!(owners.contains(&StoredKey::Partner("fabrikam.example".to_owned())), "{owners:?}");
    assert_eq!(store.owner(&declared, "partner[0].domain"), None);
    assert_eq!(store.owner(&declared, "gateway_settings.connection_limit"), None);
}

#[test]
fn a_file_of_this_machine_is_not_named_from_elsewhere() {
    let store = stored(&["domain = 'a.example'\ntrust_anchors = ['/etc/shadow']"], "dialback_passphrase_file = '/x'");
    let codes: Vec<_> = store.mistakes().into_iter().map(|mistake| (mistake.key, mistake.code)).collect();
    assert_eq!(
        codes,
        [
            ("partner.a.example.trust_anchors".to_owned(), "names-a-file"),
            ("gateway_settings.dialback_passphrase_file".to_owned(), "names-a-file")
        ]
    );
}

#[test]
fn a_domain_that_looks_like_another_needs_force() {
    // Cyrillic letters that look like "fabrikam", or some of them.
    for name in ["fabrіkam.example", "contosо.example"] {
        let mistakes = read(&stored(&[&format!("domain = '{name}'")], "")).unwrap_err();
        assert_eq!(mistakes[0].code, "look-alike", "{mistakes:?}");
        assert!(read(&stored(&[&format!("domain = '{name}'\nforce = true")], "")).is_ok());
    }
    let mistakes = read(&stored(&["domain = 'wіngtip.example'"], "")).unwrap_err();
    assert_eq!(mistakes[0].code, "mixed-scripts");
    // A name all in one other script is a name.
    assert!(read(&stored(&["domain = 'пример.example'"], "")).is_ok());
}

#[test]
fn grants_come_by_tag_and_a_pasted_authority_is_read() {
    let mut store = stored(&[], "");
    store.policies.insert("Tag:Sales".to_owned(), table("identity = 'Tag:Sales'\nenable_xmpp_access = true"));
    store.grants.insert("alice@contoso.example".to_owned(), "Sales".to_owned());
    let config = read(&store).unwrap();
    let grants: Vec<_> = config.access.grants().map(|(user, granted)| (user.as_str(), granted.may)).collect();
    assert_eq!(grants, [("alice@contoso.example", true)]);
    assert_eq!(config.policies[0].identity, "Tag:sales");
    let mistakes = read(&stored(&["domain = 'a.example'\ntrust_anchors_pem = 'x'"], "")).unwrap_err();
    assert_eq!(mistakes[0].key, "partner[1].trust_anchors_pem");
}
