use std::path::Path;

use causeway_shared::config::ConfigError;

use super::*;
use crate::config::Config;

fn config(text: &str) -> Result<Config, Vec<ConfigError>> {
    let file = format!(
        "gateway_id = 'g'\ndomains = ['contoso.example']\n[link]\nedges = ['e:23456']\nallowed_edges = ['edge']\n\
         certificate = 'c'\nkey = 'k'\nca = 'a'\n[sip]\ntcp = ['127.0.0.1:5060']\nnext_hops = ['tcp:127.0.0.1']\n\
         contact = 'sip:g:5060;transport=tcp'\ntrusted_peers = [{{ name = 'p', addresses = ['127.0.0.0/8'] }}]\n{text}"
    );
    Config::parse(&file, []).map(|(config, _)| config)
}

/// The keys of all mistakes.
fn mistakes(text: &str) -> Vec<String> {
    config(text).unwrap_err().into_iter().map(|mistake| mistake.key).collect()
}

#[test]
fn without_the_sections_there_is_no_echo_contact_and_nothing_is_given_away() {
    let config = config("").unwrap();
    assert_eq!(config.echo, None);
    let DirectoryConfig { domain, vcards, photos, vcard_files } = config.directory;
    assert!(vcard_files.is_empty());
    assert_eq!((domain.version, domain.os, domain.contacts.roles), (None, None, Vec::new()));
    assert!(vcards.is_empty() && photos.is_empty());
}

#[test]
fn everything_can_be_said() {
    let config = config(
        "[discovery]\nshow_version = true\nshow_os = true\nabuse_addresses = ['mailto:abuse@contoso.example']\n\
         vcard_files = ['/more.toml']\n[echo]\naddress = 'Echo@contoso.example'\nname = 'Echo'\n[[echo.greeting]]\nlang = 'de'\ntext = 'Hallo'\n\
         [[echo.greeting]]\ntext = 'Hello'\n\
         [[vcard]]\naddress = 'alice@contoso.example'\nfull_name = 'Alice'\nphoto_file = '/alice.png'\n",
    )
    .unwrap();
    let DirectoryConfig { domain, vcards, photos, vcard_files } = config.directory.clone();
    assert_eq!(vcard_files, [Path::new("/more.toml")]);
    assert!(config.files().contains(Path::new("/more.toml")));
    assert_eq!(domain.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(domain.os.is_some());
    assert_eq!(domain.contacts.roles, [(ContactRole::Abuse, vec!["mailto:abuse@contoso.example".to_owned()])]);
    let alice = BareJid::parse("alice@contoso.example").unwrap();
    assert_eq!(vcards[&alice].full_name.as_deref(), Some("Alice"));
    assert_eq!((photos[0].path.as_path(), photos[0].key.as_str()), (Path::new("/alice.png"), "vcard[0].photo_file"));
    assert!(config.files().contains(Path::new("/alice.png")));
    let echo = config.echo.unwrap();
    assert_eq!((echo.address.as_str(), echo.greetings.len()), ("echo@contoso.example", 2));
    assert!(echo.contact().is_some());
}

#[test]
fn an_address_of_somebody_else_is_a_mistake() {
    for address in ["echo@fabrikam.example", "contoso.example", "@", "echo@contoso.example/x"] {
        assert_eq!(mistakes(&format!("[echo]\naddress = '{address}'")), ["echo.address"], "{address}");
        assert_eq!(mistakes(&format!("[[vcard]]\naddress = '{address}'")), ["vcard[0].address"], "{address}");
    }
    assert_eq!(mistakes("[echo]\nname = 'Echo'"), ["echo.address"]);
}

#[test]
fn every_mistake_is_named_in_one_run() {
    let long = "x".repeat(MAX_TEXT + 1);
    let keys = mistakes(&format!(
        "[discovery]\nsales_addresses = ['sales@contoso.example']\nadmin_addresses = ['mailto:a b']\n\
         [echo]\naddress = 'echo@contoso.example'\nname = '{long}'\n[[echo.greeting]]\nlang = 'not a language'\n\
         [[vcard]]\naddress = 'alice@contoso.example'\ntitle = '{long}'\nshoe_size = '43'\n\
         [[vcard]]\naddress = 'alice@contoso.example'\n"
    ));
    for key in [
        "discovery.sales_addresses",
        "discovery.admin_addresses",
        "echo.name",
        "echo.greeting[0].lang",
        "echo.greeting[0].text",
        "vcard[0].title",
        "vcard[0].shoe_size",
        "vcard[1].address",
    ] {
        assert!(keys.iter().any(|found| found == key), "{key} is not among {keys:?}");
    }
}

// Rule: iq.features
#[test]
fn what_is_exchanged_besides_texts_is_what_clients_can() {
    let clients = |messages: &str| {
        let config = config(&format!("[messages]\n{messages}")).unwrap();
        config.directory.directory(&config.messages).clients
    };
    let can = |features: &[ClientFeature]| Caps::new(ClientType::Pc, features);
    assert_eq!(clients(""), can(&[ClientFeature::ChatStates, ClientFeature::Receipts]));
    assert_eq!(clients("chat_states = false\nreceipts_from_200 = false"), can(&[]));
    assert_eq!(
        clients("receipts_from_200 = false\ncpim_to_pool = true\nmarkers = true\nxhtml_im = true"),
        can(&[ClientFeature::ChatStates, ClientFeature::Receipts, ClientFeature::Markers, ClientFeature::XhtmlIm])
    );
}

#[test]
fn a_file_has_more_cards_and_each_user_one() {
    let domains = [DomainName::parse("contoso.example").unwrap()];
    let card = |user: &str| format!("[[vcard]]\naddress = '{user}'\nfull_name = 'x'\nphoto_file = '/{user}.png'\n");
    let with = |directory: &DirectoryConfig, text: &str| {
        directory.with_vcards(text, &domains).map_err(|fault| fault.to_string())
    };
    let one = with(&DirectoryConfig::default(), &card("alice@contoso.example")).unwrap();
    let two = with(&one, &card("bob@contoso.example")).unwrap();
    assert_eq!((two.vcards.len(), two.photos.len()), (2, 2));
    for (text, reason) in [
        (card("alice@contoso.example"), "alice@contoso.example has a card already"),
        (card("eve@fabrikam.example"), "fabrikam.example is none of our domains"),
        ("[[card]]\n".to_owned(), "card"),
        ("not TOML".to_owned(), ""),
    ] {
        let fault = with(&two, &text).unwrap_err();
        assert!(fault.contains(reason), "{fault}");
    }
}
