//! The sections `discovery`, `vcard` and `echo`: what partners are told about the domains and their users, and the contact
//! that a new partner can try out.

use std::collections::HashMap;
use std::path::PathBuf;

use causeway_shared::config::{ConfigError, Document, Section};
use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

use crate::chat::MessageSettings;
use crate::echo::EchoContact;
use crate::iq::vcard::VCard;
use crate::iq::{Caps, ClientFeature, ClientType, ContactAddresses, ContactRole, Directory, DomainProfile};
use crate::translate::presence::{Note, is_language_tag};

/// Longest text of a card, a greeting or an address, in bytes: some of them share a stanza of 10 000 bytes with a photo.
const MAX_TEXT: usize = 200;
/// Addresses for one purpose.
const MAX_ADDRESSES: usize = 10;
/// Cards: about 1 KiB each, 7 with a photo.
const MAX_CARDS: usize = 20_000;
/// Greetings of the echo contact.
const MAX_GREETINGS: usize = 8;

/// What partners may be told about the domains and their users.
#[derive(Debug, Clone, Default)]
pub struct DirectoryConfig {
    /// The domains.
    pub domain: DomainProfile,
    /// The cards of users.
    pub vcards: HashMap<BareJid, VCard>,
    /// Photos that belong into them.
    pub photos: Vec<PhotoFile>,
    /// Files with more cards.
    pub vcard_files: Vec<PathBuf>,
}

/// A photo for a user's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoFile {
    /// The key that names it.
    pub key: String,
    /// Whose card it belongs into.
    pub user: BareJid,
    /// Where it is.
    pub path: PathBuf,
}

/// The echo contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoConfig {
    /// Its address, in a local domain.
    pub address: BareJid,
    /// Its name in its card.
    pub name: Option<String>,
    /// Its status in one or more languages.
    pub greetings: Vec<Note>,
}

/// Why a file of cards does not do.
#[derive(Debug, thiserror::Error)]
pub enum VCardFault {
    /// Mistakes as in the configuration.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Mistakes(Vec<ConfigError>),
    /// A user has a card elsewhere.
    #[error("{0} has a card already")]
    Twice(BareJid),
    /// There are more cards than are kept.
    #[error("there are more than {MAX_CARDS} cards")]
    TooMany,
}

impl DirectoryConfig {
    /// With the cards of a file's text, which are written as in the configuration.
    pub fn with_vcards(&self, text: &str, domains: &[DomainName]) -> Result<Self, VCardFault> {
        let mut document = Document::parse(text, super::ENVIRONMENT, []).map_err(VCardFault::Mistakes)?;
        let mut more = Self::default();
        for section in document.sections("vcard") {
            vcard(section, domains, &mut more);
        }
        document.finish().map_err(VCardFault::Mistakes)?;
        let mut all = self.clone();
        for (user, card) in more.vcards {
            if all.vcards.contains_key(&user) {
                return Err(VCardFault::Twice(user));
            }
            all.vcards.insert(user, card);
        }
        all.photos.extend(more.photos);
        if all.vcards.len() > MAX_CARDS { Err(VCardFault::TooMany) } else { Ok(all) }
    }

    /// What the engine answers from. What is exchanged besides texts is what clients can.
    pub fn directory(&self, messages: &MessageSettings) -> Directory {
        let can = [
            (messages.chat_states, ClientFeature::ChatStates),
            (messages.receipts_from_200 || messages.cpim_to_pool, ClientFeature::Receipts),
            (messages.markers, ClientFeature::Markers),
            (messages.xhtml_im, ClientFeature::XhtmlIm),
        ];
        let can: Vec<_> = can.into_iter().filter(|(is_on, _)| *is_on).map(|(_, feature)| feature).collect();
        let clients = Caps::new(ClientType::Pc, &can);
        Directory { domain: self.domain.clone(), clients, vcards: self.vcards.clone() }
    }
}

impl EchoConfig {
    /// The contact itself.
    pub fn contact(&self) -> Option<EchoContact> {
        EchoContact::new(self.address.clone(), self.name.clone(), self.greetings.clone())
    }
}

/// Reads what is said about the domains and their users.
pub(super) fn read(document: &mut Document, domains: &[DomainName]) -> DirectoryConfig {
    let mut section = document.section("discovery");
    let version = section.flag("show_version", false).then(|| env!("CARGO_PKG_VERSION").to_owned());
    let os = section.flag("show_os", false).then(|| std::env::consts::OS.to_owned());
    let roles = ContactRole::ALL.into_iter().map(|role| (role, addresses(&mut section, role)));
    let contacts = ContactAddresses { roles: roles.filter(|(_, addresses)| !addresses.is_empty()).collect() };
    let vcard_files = section.texts("vcard_files").into_iter().map(PathBuf::from).collect();
    section.finish();
    let domain = DomainProfile { version, os, contacts };
    let mut directory = DirectoryConfig { domain, vcard_files, ..DirectoryConfig::default() };
    for section in document.sections("vcard") {
        vcard(section, domains, &mut directory);
    }
    directory
}

/// The addresses for one purpose: URIs, as XEP-0157, section 2 wants them.
fn addresses(section: &mut Section, role: ContactRole) -> Vec<String> {
    let key = match role {
        ContactRole::Abuse => "abuse_addresses",
        ContactRole::Admin => "admin_addresses",
        ContactRole::Feedback => "feedback_addresses",
        ContactRole::Sales => "sales_addresses",
        ContactRole::Security => "security_addresses",
        ContactRole::Status => "status_addresses",
        ContactRole::Support => "support_addresses",
    };
    let expected = "write URIs, such as [\"mailto:abuse@contoso.example\", \"xmpp:admin@contoso.example\"]";
    let found = section.parsed_list(key, uri, expected);
    if found.len() > MAX_ADDRESSES {
        section.mistake(key, format!("there are {}", found.len()), format!("write at most {MAX_ADDRESSES}"));
    }
    found
}

fn uri(text: &str) -> Result<String, &'static str> {
    let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    match () {
        () if !is_scheme || rest.is_empty() => Err("that is no URI"),
        () if text.len() > MAX_TEXT => Err("it is too long"),
        () if text.chars().any(|c| c.is_whitespace() || c.is_control()) => Err("a URI has no spaces"),
        () => Ok(text.to_owned()),
    }
}

fn vcard(mut section: Section, domains: &[DomainName], directory: &mut DirectoryConfig) {
    let user = local_user(&mut section, domains);
    let card = VCard {
        full_name: short(&mut section, "full_name"),
        nickname: short(&mut section, "nickname"),
        email: short(&mut section, "email"),
        organisation: short(&mut section, "organisation"),
        title: short(&mut section, "title"),
        telephone: short(&mut section, "telephone"),
        photo: None,
    };
    let photo = section.text("photo_file");
    if let Some(user) = user {
        let key = section.key("photo_file");
        directory.photos.extend(photo.map(|path| PhotoFile { key, user: user.clone(), path: path.into() }));
        if directory.vcards.insert(user.clone(), card).is_some() {
            section.mistake("address", format!("{user} has a card already"), "write one card for each user");
        }
    }
    section.finish();
}

/// Reads the echo contact, which is off unless it has an address.
pub(super) fn echo(mut section: Section, domains: &[DomainName]) -> Option<EchoConfig> {
    if section.is_empty() {
        section.finish();
        return None;
    }
    let address = local_user(&mut section, domains);
    let name = short(&mut section, "name");
    let mut greetings = Vec::new();
    for mut greeting in section.sections("greeting") {
        let lang = greeting.text("lang");
        if lang.as_ref().is_some_and(|lang| !is_language_tag(lang)) {
            greeting.mistake("lang", "that is no language", "write a language tag, such as \"de\"");
        }
        let text = short(&mut greeting, "text").unwrap_or_default();
        if text.trim().is_empty() {
            greeting.mistake("text", "there is none", "write what the contact's status says");
        }
        // RFC 6121, section 4.7.2.2: one status for each language.
        if greetings.iter().any(|other: &Note| other.lang == lang) {
            greeting.mistake("lang", "there is a greeting in it already", "write one greeting for each language");
        }
        greetings.push(Note { lang, text });
        greeting.finish();
    }
    if greetings.len() > MAX_GREETINGS {
        section.mistake("greeting", format!("there are {}", greetings.len()), format!("write at most {MAX_GREETINGS}"));
    }
    section.finish();
    let config = EchoConfig { address: address?, name, greetings };
    Some(config)
}

/// A user of a local domain under `address`.
fn local_user(section: &mut Section, domains: &[DomainName]) -> Option<BareJid> {
    let text = section.required_text("address", "\"alice@contoso.example\"");
    if text.is_empty() {
        return None;
    }
    let expected = "write the address of a user of one of our domains";
    match BareJid::parse(&text) {
        Ok(user) if user.as_jid().local().is_none() => section.mistake("address", "it has no local part", expected),
        Ok(user) if !domains.contains(&user.domain_name()) => {
            section.mistake("address", format!("{} is none of our domains", user.domain()), expected);
        }
        Ok(user) => return Some(user),
        Err(error) => section.mistake("address", format!("\"{text}\" does not do: {error}"), expected),
    }
    None
}

/// A text of bounded length.
fn short(section: &mut Section, key: &'static str) -> Option<String> {
    let text = section.text(key)?;
    if text.len() > MAX_TEXT {
        section.mistake(key, "it is too long", format!("write at most {MAX_TEXT} bytes"));
    }
    Some(text)
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
