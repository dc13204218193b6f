//! The sections `external_access_policy` and `external_access_grant`: which local users may reach XMPP partners
//! (New-CsExternalAccessPolicy, Grant-CsExternalAccessPolicy).
//!
//! As in the original a policy is global, a site's (here a local domain) or a tag that is granted to users. Without any
//! policy everybody may. With one, whoever no policy lets may not.

use std::collections::HashMap;
use std::path::PathBuf;

use causeway_shared::config::{ConfigWarning, Document, Section};
use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

use crate::policy::access::{ExternalAccess, Granted};

/// Users with a policy of their own: about 100 bytes each.
const MAX_GRANTED: usize = 200_000;

/// How a user is written.
const EXPECTED_USERS: &str = "write addresses of users, such as [\"alice@contoso.example\"]";

/// A file of users to whom a policy is granted, one address on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFile {
    /// The key that names it, for mistakes.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// The policy.
    policy: Granted,
}

/// A policy as it is written (New-CsExternalAccessPolicy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    /// `Global`, `Site:DOMAIN` or `Tag:NAME`.
    pub identity: String,
    /// EnableXmppAccess.
    pub enable_xmpp_access: bool,
    /// EnableFederationAccess.
    pub enable_federation_access: bool,
    /// Description.
    pub description: String,
}

/// Why a file of users does not do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantFault {
    /// A line is no address.
    #[error("line {line} does not do: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are more users than are kept.
    #[error("there are more than {MAX_GRANTED} users with a policy of their own")]
    TooMany,
}

impl GrantFile {
    /// Grants the policy to the users in the text. `#` begins a comment.
    pub fn grant(&self, text: &str, locals: &[DomainName], access: &mut ExternalAccess) -> Result<(), GrantFault> {
        for (index, line) in text.lines().enumerate() {
            let address = line.split('#').next().unwrap_or_default().trim();
            if address.is_empty() {
                continue;
            }
            user(address, locals)
                .and_then(|user| grant(user, &self.policy, access))
                .map_err(|reason| GrantFault::Line { line: index + 1, reason })?;
            if access.granted() > MAX_GRANTED {
                return Err(GrantFault::TooMany);
            }
        }
        Ok(())
    }
}

/// Whom a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Global,
    Site(DomainName),
    Tag(String),
}

impl Identity {
    /// `Global`, `Site:DOMAIN` or `Tag:NAME`; the original does not tell small letters from capital ones.
    fn parse(text: &str, locals: &[DomainName]) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("global") {
            return Ok(Self::Global);
        }
        match text.split_once(':') {
            Some((scope, name)) if scope.eq_ignore_ascii_case("site") => {
                let site = DomainName::parse(name).map_err(|error| error.to_string())?;
                if locals.contains(&site) { Ok(Self::Site(site)) } else { Err(format!("{site} is no local domain")) }
            }
            Some((scope, name)) if scope.eq_ignore_ascii_case("tag") => tag(name).map(Self::Tag),
            Some(_) | None => Err("it is neither global nor a site or tag".to_owned()),
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Global => f.write_str("Global"),
            Self::Site(site) => write!(f, "Site:{site}"),
            Self::Tag(name) => write!(f, "Tag:{name}"),
        }
    }
}

/// The name of a tag, as it is compared.
fn tag(name: &str) -> Result<String, String> {
    match name.trim() {
        "" => Err("the tag has no name".to_owned()),
        name => Ok(name.to_lowercase()),
    }
}

fn user(address: &str, locals: &[DomainName]) -> Result<BareJid, String> {
    let user = BareJid::parse(address).map_err(|error| error.to_string())?;
    if user.as_jid().local().is_none() {
        return Err("it names no user".to_owned());
    }
    if locals.contains(&user.domain_name()) { Ok(user) } else { Err("it is in no local domain".to_owned()) }
}

/// A user has one policy.
fn grant(user: BareJid, policy: &Granted, access: &mut ExternalAccess) -> Result<(), String> {
    if access.is_granted(&user) {
        return Err(format!("{} has been granted a policy already", user.as_str()));
    }
    access.grant(user, policy.clone());
    Ok(())
}

/// What the policies and grants come to.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) access: ExternalAccess,
    pub(super) policies: Vec<AccessPolicy>,
    pub(super) grant_files: Vec<GrantFile>,
}

/// Reads all policies and grants.
pub(super) fn read(document: &mut Document, locals: &[DomainName], warnings: &mut Vec<ConfigWarning>) -> Reading {
    let former = document.section("external_access");
    if !former.is_empty() {
        document.root().mistake(
            "external_access",
            "this section has been replaced",
            "write default as [[external_access_policy]] identity = \"Global\", and allow and deny as policies \
             \"Tag:NAME\" that [[external_access_grant]] gives to users",
        );
    }
    let policies = document.sections("external_access_policy");
    let grants = document.sections("external_access_grant");
    let (mut access, tags, policies) = read_policies(policies, locals, warnings);
    let grant_files =
        grants.into_iter().filter_map(|section| read_grant(section, &tags, locals, &mut access)).collect();
    Reading { access, policies, grant_files }
}

fn read_policies(
    sections: Vec<Section>,
    locals: &[DomainName],
    warnings: &mut Vec<ConfigWarning>,
) -> (ExternalAccess, HashMap<String, bool>, Vec<AccessPolicy>) {
    let is_open = sections.is_empty();
    let mut policies = Vec::new();
    let mut access = ExternalAccess::global(is_open);
    let mut tags = HashMap::new();
    let mut seen: Vec<Identity> = Vec::new();
    for mut section in sections {
        let expected = "write \"Global\", \"Site:\" with a local domain, or \"Tag:\" with a name of yours";
        let text = section.required_text("identity", "\"Global\"");
        // The original needs both; federation by itself is not the gateway's.
        let (xmpp, federation) =
            (section.flag("enable_xmpp_access", false), section.flag("enable_federation_access", true));
        let may = xmpp && federation;
        if xmpp && !federation {
            warnings.push(ConfigWarning {
                key: section.key("enable_xmpp_access"),
                text: "it has no effect while enable_federation_access is false".to_owned(),
                code: "no-federation-access",
            });
        }
        let description = section.text("description").unwrap_or_default();
        match Identity::parse(&text, locals) {
            Err(_) if text.is_empty() => {}
            Err(error) => section.unparsable("identity", &text, &error, expected),
            Ok(identity) if seen.contains(&identity) => {
                let args = [("identity", text.clone())];
                let found = format!("\"{text}\" has a policy already");
                section.fault("identity", ("duplicate-policy", args), found, "write one policy for each");
            }
            Ok(identity) => {
                match &identity {
                    Identity::Global => access.set_global(may),
                    Identity::Site(site) => access.set_site(site.clone(), may),
                    Identity::Tag(name) => {
                        tags.insert(name.clone(), may);
                    }
                }
                policies.push(AccessPolicy {
                    identity: identity.to_string(),
                    enable_xmpp_access: xmpp,
                    enable_federation_access: federation,
                    description,
                });
                seen.push(identity);
            }
        }
        section.finish();
    }
    if !is_open && !seen.contains(&Identity::Global) {
        warnings.push(ConfigWarning {
            key: "external_access_policy".to_owned(),
            text: "none is global: whom neither a grant nor a site's policy lets may not reach XMPP partners"
                .to_owned(),
            code: "no-global-policy",
        });
    }
    (access, tags, policies)
}

fn read_grant(
    mut section: Section,
    tags: &HashMap<String, bool>,
    locals: &[DomainName],
    access: &mut ExternalAccess,
) -> Option<GrantFile> {
    let name = section.required_text("policy", "\"Tag:NAME\"");
    let bare = match name.split_once(':') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("tag") => name,
        Some(_) | None => &name,
    };
    let tag = tag(bare).unwrap_or_default();
    let may = tags.get(&tag).copied();
    if may.is_none() && !name.is_empty() {
        section.fault(
            "policy",
            ("unknown-policy", [("policy", bare.to_owned())]),
            format!("there is no policy \"Tag:{bare}\""),
            "write the identity of an [[external_access_policy]] with a tag",
        );
    }
    // Mistakes in users are told even where the policy is one.
    let granted = Granted { tag: tag.into(), may: may.unwrap_or_default() };
    for user in section.parsed_list("users", |address| user(address, locals), EXPECTED_USERS) {
        if let Err(error) = grant(user, &granted, access) {
            section.mistake("users", error, "grant each user one policy");
        }
    }
    if access.granted() > MAX_GRANTED {
        section.mistake("users", GrantFault::TooMany.to_string(), "give the site a policy instead");
    }
    let path = section.text("users_file");
    let key = section.key("users_file");
    section.finish();
    path.zip(may).map(|(path, _)| GrantFile { key, path: path.into(), policy: granted })
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
