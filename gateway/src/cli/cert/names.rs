//! The names a certificate needs to speak for domains (RFC 6120, section 13.7.1.2.1).
//!
//! A DNS name for each domain, for a suffix is never implied; the SRVName of RFC 4985, an IA5String in an otherName;
//! and `sip.<domain>`, which the original's edge bears in the same certificate.

use causeway_shared::domain::DomainName;
use x509_cert::der::asn1::{Any, Ia5String, ObjectIdentifier};
use x509_cert::der::{Encode as _, Error, Tag};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

/// id-on-dnsSRV (RFC 4985, section 2).
const SRV_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.7");

/// A name that a certificate shall bear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A DNS-ID.
    Dns(String),
    /// A SRV-ID.
    Srv(String),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Srv(name) => write!(f, "SRV:{name}"),
        }
    }
}

/// Which names to ask for.
pub(super) struct Wanted<'a> {
    /// Each domain that federates, subdomains one by one.
    pub(super) domains: &'a [DomainName],
    /// Further hosts.
    pub(super) hosts: &'a [DomainName],
    /// Whether to add `sip.<domain>`.
    pub(super) sip: bool,
    /// Whether to add `_xmpp-server.<domain>`.
    pub(super) srv: bool,
}

impl Wanted<'_> {
    /// All names, each once, a domain's together.
    pub(super) fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        let mut add = |name: Name| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        for domain in self.domains {
            add(Name::Dns(domain.to_string()));
            if self.sip {
                add(Name::Dns(format!("sip.{domain}")));
            }
            if self.srv {
                add(Name::Srv(format!("_xmpp-server.{domain}")));
            }
        }
        for host in self.hosts {
            add(Name::Dns(host.to_string()));
        }
        names
    }
}

/// The value of the extension subjectAltName.
pub(super) fn extension(names: &[Name]) -> Result<Vec<u8>, Error> {
    let general = |name: &Name| match name {
        Name::Dns(name) => Ok(GeneralName::DnsName(Ia5String::new(name)?)),
        Name::Srv(name) => {
            let value = Any::new(Tag::Ia5String, name.as_bytes())?;
            Ok(GeneralName::OtherName(OtherName { type_id: SRV_NAME, value }))
        }
    };
    SubjectAltName(names.iter().map(general).collect::<Result<_, Error>>()?).to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    #[test]
    fn each_domain_has_its_names_and_no_name_is_there_twice() {
        let domains = [domain("contoso.example"), domain("sip.contoso.example")];
        let wanted = Wanted { domains: &domains, hosts: &[domain("contoso.example")], sip: true, srv: true };
        let names: Vec<String> = wanted.names().iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "DNS:contoso.example",
                "DNS:sip.contoso.example",
                "SRV:_xmpp-server.contoso.example",
                "DNS:sip.sip.contoso.example",
                "SRV:_xmpp-server.sip.contoso.example",
            ],
        );
    }

    #[test]
    fn an_srv_name_is_an_ia5_string_in_an_other_name() {
        let der = extension(&[Name::Dns("a.b".to_owned()), Name::Srv("_x.a".to_owned())]).unwrap();
        let expected = [
            &[0x30, 0x19, 0x82, 3][..],
            b"a.b",
            // [0] otherName { 1.3.6.1.5.5.7.8.7, [0] IA5String }
            &[0xa0, 0x12, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 8, 7, 0xa0, 6, 0x16, 4],
            b"_x.a",
        ];
        assert_eq!(der, expected.concat());
    }
}
