//! The section `sip`: where the gateway listens, where the pool is, and whom it believes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway_shared::config::Section;
use causeway_sip::locate::NextHop;
use causeway_sip::msrp::uri::MsrpUri;
use causeway_sip::target::TransportKind;
use causeway_sip::trust::{IpNet, TrustedPeer};
use causeway_sip::uri::Uri;

use crate::session::SessionForm;
use crate::translate::message::{MAX_BYTES_RELIABLE, MAX_BYTES_UDP};

/// Seconds between two questions to a next hop whether it is there: a pool that is gone is known before most users write.
const OPTIONS_INTERVAL: u32 = 30;

/// The SIP side.
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// Where to listen.
    pub listen: Vec<(TransportKind, SocketAddr)>,
    /// Where the pool reaches us: Contact of what we send.
    pub contact: Uri,
    /// Where it reaches this gateway and no other of its pool; [`Self::contact`] unless written.
    pub session_contact: Uri,
    /// Where requests go, and what carries chats there.
    pub next_hops: Vec<(NextHop, SessionForm)>,
    /// How often each of them is asked by OPTIONS whether it is there; not at all without.
    pub options_interval: Option<Duration>,
    /// Who may send us requests.
    pub trusted_peers: Vec<TrustedPeer>,
    /// Certificate, key and CA for TLS.
    pub tls: Option<SipTlsFiles>,
    /// The largest MESSAGE.
    pub max_message_bytes: usize,
    /// Where message streams come in, if they do.
    pub msrp: Option<MsrpListen>,
}

/// Listeners for MSRP (RFC 4975).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MsrpListen {
    /// For `msrps`.
    pub tls: Vec<SocketAddr>,
    /// For `msrp`.
    pub tcp: Vec<SocketAddr>,
    /// The name or address in our path, by which peers find them.
    pub host: String,
}

/// Files for SIP over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipTlsFiles {
    /// PEM: our certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// PEM: the authorities of the pool.
    pub ca: PathBuf,
}

/// Reads the section; `None` only where a mistake was noted.
pub(super) fn read(mut section: Section) -> Option<SipConfig> {
    let mut listen = Vec::new();
    for (key, kind) in [("tls", TransportKind::Tls), ("tcp", TransportKind::Tcp), ("udp", TransportKind::Udp)] {
        let expected = "write address:port, such as \"0.0.0.0:5061\"";
        let addresses = section.parsed_list(key, str::parse::<SocketAddr>, expected);
        listen.extend(addresses.into_iter().map(|address| (kind, address)));
    }
    if listen.is_empty() {
        section.mistake("tls", "there is nothing to listen on", "write tls, tcp or udp = [\"0.0.0.0:5061\"]");
    }
    let mut files = section.section("tls_files");
    let tls = (!files.is_empty()).then(|| SipTlsFiles {
        certificate: files.required_text("certificate", "\"gateway.crt\"").into(),
        key: files.required_text("key", "\"gateway.key\"").into(),
        ca: files.required_text("ca", "\"pool-ca.pem\"").into(),
    });
    if tls.is_none() && listen.iter().any(|(kind, _)| *kind == TransportKind::Tls) {
        files.mistake("certificate", "it is missing", "write certificate, key and ca: SIP over TLS is mutual");
    }
    files.finish();
    let example = "\"sip:gateway.contoso.example:5061;transport=tls\"";
    let text = section.required_text("contact", example);
    let contact = contact_uri(&mut section, "contact", &text, example);
    let session_contact = match section.text("session_contact") {
        Some(text) => contact_uri(&mut section, "session_contact", &text, example),
        None => contact.clone(),
    };
    let forms = SessionForm::ALL.map(|form| (form.as_str(), form));
    let usual_form = section.choice("sessions", &forms, SessionForm::default());
    let read_hop = |text: &str| next_hop(text, usual_form);
    let next_hops = section.parsed_list("next_hops", read_hop, "write [udp:|tcp:|tls:]host[:port][;sessions=FORM]");
    if next_hops.is_empty() {
        section.mistake(
            "next_hops",
            "there is none",
            "write where the pool is, such as [\"tls:sip.contoso.example:5061\"]",
        );
    }
    for (hop, _) in &next_hops {
        let usable = |(kind, _): &(TransportKind, SocketAddr)| hop.transport.is_none_or(|wanted| wanted == *kind);
        if !listen.is_empty() && !listen.iter().any(usable) {
            let kind = hop.transport.map_or("", TransportKind::uri_param);
            let found = format!("{} needs {kind}, and there is no address for it", hop.host);
            section.mistake("next_hops", found, format!("write {kind} = [\"address:port\"], too: answers come to it"));
        }
    }
    let any_udp = listen.iter().any(|(kind, _)| *kind == TransportKind::Udp)
        && next_hops.iter().any(|(hop, _)| matches!(hop.transport, None | Some(TransportKind::Udp)));
    let usual = if any_udp { MAX_BYTES_UDP } else { MAX_BYTES_RELIABLE };
    let usual = u32::try_from(usual).unwrap_or(u32::MAX);
    let max_message_bytes = section.number("max_message_bytes", usual, 600..=65_535);
    let msrp = msrp(&mut section, session_contact.as_ref(), tls.is_some());
    if msrp.is_none() && next_hops.iter().any(|(_, form)| *form == SessionForm::Msrp) {
        section.mistake("msrp_tls", "chats shall go over MSRP, and there is no address for it", MSRP_EXAMPLE);
    }
    let with_tls = tls.is_some();
    let trusted_peers = section.sections("trusted_peers").into_iter();
    let trusted_peers: Vec<_> = trusted_peers.filter_map(|peer| trusted_peer(peer, with_tls)).collect();
    if trusted_peers.is_empty() {
        section.mistake(
            "trusted_peers",
            "there is none, so every request would be refused",
            "write [[sip.trusted_peers]] with name, and addresses = [\"10.0.0.0/24\"] or identities = [\"contoso.example\"]",
        );
    }
    // Zero asks nobody.
    let options_interval = section.seconds("options_interval_secs", OPTIONS_INTERVAL, 0..=3600);
    section.finish();
    let max_message_bytes = usize::try_from(max_message_bytes).unwrap_or(usize::MAX);
    Some(SipConfig {
        listen,
        contact: contact?,
        session_contact: session_contact?,
        next_hops,
        options_interval: (!options_interval.is_zero()).then_some(options_interval),
        trusted_peers,
        tls,
        max_message_bytes,
        msrp,
    })
}

fn contact_uri(section: &mut Section, key: &str, text: &str, example: &str) -> Option<Uri> {
    match Uri::parse(text.to_owned().into()) {
        Ok(uri) => Some(uri),
        // That it is missing has been said.
        Err(_) if text.is_empty() => None,
        Err(fault) => {
            let found = format!("\"{text}\" does not do: {fault}");
            section.mistake(key, found, format!("write, for example, {example}"));
            None
        }
    }
}

const MSRP_EXAMPLE: &str = "write msrp_tls or msrp_tcp = [\"0.0.0.0:2855\"]";

/// Reads the listeners of message streams; without any, there are none.
fn msrp(section: &mut Section, contact: Option<&Uri>, with_tls: bool) -> Option<MsrpListen> {
    let [tls, tcp] = ["msrp_tls", "msrp_tcp"].map(|key| {
        let addresses =
            section.parsed_list(key, str::parse::<SocketAddr>, "write address:port, such as \"0.0.0.0:2855\"");
        if addresses.iter().any(|address| address.port() == 0) {
            section.mistake(key, "the port is 0, and peers are told the port", MSRP_EXAMPLE);
        }
        addresses
    });
    let host = section.text("msrp_host").or_else(|| contact.map(|contact| contact.host().to_owned()))?;
    if MsrpUri::new(false, &host, 1, "s").is_err() {
        section.mistake("msrp_host", format!("\"{host}\" does not do"), "write a name or an address, without a port");
    }
    if !tls.is_empty() && !with_tls {
        section.mistake("msrp_tls", "there is no certificate for it", "write sip.tls_files");
    }
    (!tls.is_empty() || !tcp.is_empty()).then_some(MsrpListen { tls, tcp, host })
}

/// A next hop that has not the usual form of sessions says so: `tls:lync.contoso.example;sessions=in-dialog`.
fn next_hop(text: &str, usual: SessionForm) -> Result<(NextHop, SessionForm), String> {
    let (hop, form) = match text.split_once(";sessions=") {
        Some((hop, form)) => (hop, SessionForm::parse(form).ok_or_else(|| unknown_form(form))?),
        None => (text, usual),
    };
    let hop = NextHop::parse(hop).map_err(|fault| fault.to_string())?;
    Ok((hop, form))
}

fn unknown_form(form: &str) -> String {
    let known = SessionForm::ALL.map(SessionForm::as_str).join(", ");
    format!("{form} is no form of sessions: {known}")
}

fn trusted_peer(mut section: Section, with_tls: bool) -> Option<TrustedPeer> {
    let name = section.required_text("name", "\"pool\"");
    let addresses = section.parsed_list("addresses", str::parse::<IpNet>, "write address or address/prefix");
    let identities = section.texts("identities");
    if addresses.is_empty() && identities.is_empty() {
        section.mistake("addresses", "there are neither addresses nor identities", "write one of them at least");
    }
    if !identities.is_empty() && !with_tls {
        section.mistake("identities", "only TLS proves them, and there is none", "write addresses, or sip.tls_files");
    }
    section.finish();
    (!name.is_empty()).then(|| TrustedPeer { name: name.into(), addresses, identities })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The listeners of message streams in a file with these lines, or the keys of all mistakes.
    fn msrp(lines: &str) -> Result<Option<MsrpListen>, Vec<String>> {
        let text = format!(
            r#"
            gateway_id = "gateway-1"
            domains = ["contoso.example"]
            [link]
            edges = ["127.0.0.1:23456"]
            certificate = "c"
            key = "k"
            ca = "a"
            allowed_edges = ["edge"]
            [sip]
            tcp = ["127.0.0.1:5060"]
            contact = "sip:gw.contoso.example:5060;transport=tcp"
            next_hops = ["tcp:127.0.0.1:5070"]
            {lines}
            [[sip.trusted_peers]]
            name = "pool"
            addresses = ["127.0.0.0/8"]
            "#
        );
        let read = Config::parse(&text, []);
        read.map(|(config, _)| config.sip.msrp).map_err(|all| all.into_iter().map(|mistake| mistake.key).collect())
    }

    #[test]
    fn message_streams_have_listeners_of_their_own_and_usually_the_host_of_the_contact() {
        assert_eq!(msrp(""), Ok(None));
        let tls = "tls_files = { certificate = 'c', key = 'k', ca = 'a' }";
        let listen = msrp(&format!("msrp_tls = ['0.0.0.0:2855']\n{tls}")).unwrap().unwrap();
        assert_eq!((listen.tls.len(), listen.tcp.len(), listen.host.as_str()), (1, 0, "gw.contoso.example"));
        let listen = msrp("msrp_tcp = ['0.0.0.0:2855']\nmsrp_host = '192.0.2.7'").unwrap().unwrap();
        assert_eq!((listen.tls.len(), listen.tcp.len(), listen.host.as_str()), (0, 1, "192.0.2.7"));
    }

    #[test]
    fn listeners_that_nobody_could_reach_are_mistakes() {
        for (lines, key) in [
            ("msrp_tls = ['0.0.0.0:2855']", "sip.msrp_tls"),
            ("msrp_tcp = ['0.0.0.0:0']", "sip.msrp_tcp"),
            ("msrp_tcp = ['2855']", "sip.msrp_tcp"),
            ("msrp_tcp = ['0.0.0.0:2855']\nmsrp_host = 'a b'", "sip.msrp_host"),
            ("sessions = 'msrp'", "sip.msrp_tls"),
        ] {
            assert_eq!(msrp(lines), Err(vec![key.to_owned()]), "{lines}");
        }
    }
}
