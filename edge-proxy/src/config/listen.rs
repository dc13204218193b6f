//! The section `[listen]`: where partners connect, and how a connection begins there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use causeway_shared::config::Section;

use crate::listen::Entrance;
use crate::listen::network::Network;
use crate::stream::inbound::Opening;

/// The port of RFC 6120, section 14.7.
const DEFAULT_S2S: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5269);

/// The listeners, and who may stand before them.
type Listen = (Vec<(SocketAddr, Entrance)>, Vec<Network>);

/// Reads the section. Direct TLS is off by default: nobody finds it before its SRV record is published.
pub(super) fn read(mut section: Section) -> Listen {
    let mut s2s = addresses(&mut section, "s2s");
    let direct_tls = addresses(&mut section, "direct_tls");
    let proxied = addresses(&mut section, "proxy_protocol");
    let trusted =
        section.parsed_list("trusted_proxies", str::parse::<Network>, "write networks, such as \"10.0.0.0/8\"");
    if s2s.is_empty() {
        s2s.push(DEFAULT_S2S);
    }
    let entrances: Vec<_> = s2s
        .iter()
        .map(|address| (address, Opening::StartTls))
        .chain(direct_tls.iter().map(|address| (address, Opening::DirectTls)))
        .map(|(address, opening)| (*address, Entrance { opening, is_proxied: proxied.contains(address) }))
        .collect();
    for (index, (address, _)) in entrances.iter().enumerate() {
        // Port 0 is any that is free.
        if address.port() != 0 && entrances.iter().skip(index + 1).any(|(other, _)| other == address) {
            section.mistake("direct_tls", format!("{address} is listed twice"), "give each listener its own address");
        }
    }
    for address in &proxied {
        if !entrances.iter().any(|(known, _)| known == address) {
            section.mistake(
                "proxy_protocol",
                format!("{address} is no listener"),
                "name addresses of s2s or direct_tls, spelled as there",
            );
        }
    }
    if !proxied.is_empty() && trusted.is_empty() {
        section.mistake(
            "trusted_proxies",
            "there is none, so nobody could connect",
            "name the networks of your load balancers, such as [\"10.0.0.0/8\"]",
        );
    }
    section.finish();
    (entrances, trusted)
}

fn addresses(section: &mut Section, key: &'static str) -> Vec<SocketAddr> {
    section.parsed_list(key, str::parse::<SocketAddr>, "write address:port, such as \"0.0.0.0:5269\"")
}

#[cfg(test)]
mod tests {
    use causeway_shared::config::Document;

    use super::*;

    fn parse(text: &str) -> Result<Listen, Vec<String>> {
        let mut document = Document::parse(&format!("[listen]\n{text}"), "CAUSEWAY_EDGE", []).unwrap();
        let read = read(document.section("listen"));
        document.finish().map(|()| read).map_err(|errors| errors.into_iter().map(|error| error.key).collect())
    }

    #[test]
    fn a_file_that_says_nothing_listens_for_starttls_alone() {
        assert_eq!(parse(""), Ok((vec![(DEFAULT_S2S, Entrance::default())], Vec::new())));
    }

    #[test]
    fn each_listener_is_what_the_lists_say() {
        let (entrances, trusted) = parse(
            "s2s = ['127.0.0.1:1', '127.0.0.1:2']\ndirect_tls = ['127.0.0.1:3']\n\
             proxy_protocol = ['127.0.0.1:2', '127.0.0.1:3']\ntrusted_proxies = ['10.0.0.0/8']\n",
        )
        .unwrap();
        let expected = [(Opening::StartTls, false), (Opening::StartTls, true), (Opening::DirectTls, true)];
        let expected = expected.map(|(opening, is_proxied)| Entrance { opening, is_proxied });
        assert_eq!(entrances.iter().map(|(_, entrance)| *entrance).collect::<Vec<_>>(), expected);
        assert_eq!(trusted.len(), 1);
    }

    #[test]
    fn a_proxied_listener_has_to_be_one_and_to_have_a_proxy() {
        let mistakes = parse("proxy_protocol = ['127.0.0.1:2']\n").unwrap_err();
        assert_eq!(mistakes, ["listen.proxy_protocol", "listen.trusted_proxies"]);
    }

    #[test]
    fn an_address_is_for_one_kind_of_stream() {
        let mistakes = parse("s2s = ['127.0.0.1:1']\ndirect_tls = ['127.0.0.1:1']\n").unwrap_err();
        assert_eq!(mistakes, ["listen.direct_tls"]);
    }
}
