//! Handshakes in memory: both roles, with STARTTLS and direct.

use std::io::{Read as _, Write as _};

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConnection};

use super::*;

fn tls(names: &[&str]) -> Tls {
    let keys = names.iter().map(|name| {
        let made = rcgen::generate_simple_self_signed(vec![(*name).to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        certified(vec![made.cert.der().clone()], key).unwrap()
    });
    Tls::new(Material::new(keys.collect(), Trust::default()).unwrap())
}

fn domain(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

/// Shakes hands in memory; both ends, or what one of them did not like.
fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap())?;
    let mut server = ServerConnection::new(server)?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((client, server))
}

fn with_alpn(config: &ClientConfig, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

#[test]
fn direct_tls_speaks_of_xmpp_between_servers() {
    let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
    let client = ours.direct_client(&domain("contoso.example")).unwrap();
    let (client, server) = shake(client, theirs.direct_server().unwrap(), "fabrikam.example").unwrap();
    assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (Some(ALPN), Some(ALPN)));
    assert_eq!(server.server_name(), Some("fabrikam.example"));
}

#[test]
fn direct_tls_takes_a_peer_that_names_no_protocol_and_refuses_one_that_names_another() {
    let theirs = tls(&["fabrikam.example"]);
    let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
    let silent = with_alpn(&client, &[]);
    assert!(shake(silent, theirs.direct_server().unwrap(), "fabrikam.example").is_ok());
    for foreign in [&[&b"h2"[..]][..], &[b"xmpp-client", b"http/1.1"]] {
        let refused = shake(with_alpn(&client, foreign), theirs.direct_server().unwrap(), "fabrikam.example");
        assert_eq!(refused.map(|_| ()), Err(Error::NoApplicationProtocol));
    }
    let several = with_alpn(&client, &[b"h2", ALPN]);
    assert!(shake(several, theirs.direct_server().unwrap(), "fabrikam.example").is_ok());
}

#[test]
fn a_server_that_chooses_another_protocol_is_left() {
    let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
    let mut server = ServerConfig::clone(&tls(&["fabrikam.example"]).direct_server().unwrap());
    server.alpn_protocols = vec![b"h2".to_vec()];
    assert!(shake(client, Arc::new(server), "fabrikam.example").is_err());
}

#[test]
fn the_name_in_the_client_hello_chooses_the_certificate() {
    let theirs = tls(&["a.example", "b.example"]);
    let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
    for name in ["a.example", "b.example"] {
        let (client, _) = shake(Arc::clone(&client), theirs.direct_server().unwrap(), name).unwrap();
        let facts = PeerCertificate::read(client.peer_certificates().unwrap()).unwrap();
        assert!(facts.names_domain(&domain(name)), "{name}");
    }
}

#[test]
fn every_suite_is_an_aead_one_and_no_version_is_older_than_1_2() {
    let names: Vec<String> = provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    assert!(names.iter().all(|name| name.contains("_GCM_") || name.contains("CHACHA20_POLY1305")), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_")), "{names:?}");
    assert_eq!(
        VERSIONS.iter().map(|known| known.version).collect::<Vec<_>>(),
        [rustls::ProtocolVersion::TLSv1_3, rustls::ProtocolVersion::TLSv1_2]
    );
}

#[test]
fn a_mountain_of_certificates_ends_the_handshake() {
    let made = rcgen::generate_simple_self_signed(vec!["fabrikam.example".to_owned()]).unwrap();
    let with = |count: usize| {
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certified = certified(vec![made.cert.der().clone(); count], key).unwrap();
        Tls::new(Material::new(vec![certified], Trust::default()).unwrap())
    };
    let ours = tls(&["contoso.example"]);
    let shake_with = |count| {
        let theirs = with(count);
        let out =
            shake(ours.client(&domain("contoso.example")).unwrap(), theirs.server(None).unwrap(), "fabrikam.example");
        let client = theirs.client(&domain("fabrikam.example")).unwrap();
        (out.is_ok(), shake(client, ours.server(None).unwrap(), "contoso.example").is_ok())
    };
    assert_eq!(shake_with(8), (true, true));
    assert_eq!(shake_with(400), (false, false), "over 64 KiB, in either role");
}

#[test]
fn nothing_is_resumed_and_nothing_is_sent_early() {
    let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
    for (client, server) in [
        (ours.client(&domain("contoso.example")).unwrap(), theirs.server(None).unwrap()),
        (ours.direct_client(&domain("contoso.example")).unwrap(), theirs.direct_server().unwrap()),
    ] {
        assert!(server.ignore_client_order && server.require_ems && client.require_ems);
        assert_eq!((server.max_early_data_size, client.enable_early_data), (0, false));
        for _ in 0..2 {
            let ends = shake(Arc::clone(&client), Arc::clone(&server), "fabrikam.example").unwrap();
            let full = Some(rustls::HandshakeKind::Full);
            assert_eq!((ends.0.handshake_kind(), ends.1.handshake_kind()), (full, full));
        }
    }
}

#[test]
fn both_ends_show_their_certificate_and_neither_judges_it_in_the_handshake() {
    let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
    let client = ours.client(&domain("contoso.example")).unwrap();
    let (mut client, mut server) = shake(client, theirs.server(None).unwrap(), "fabrikam.example").unwrap();
    let facts = PeerCertificate::read(server.peer_certificates().unwrap()).unwrap();
    assert!(facts.names_domain(&domain("contoso.example")));
    // What is written arrives: the handshake is whole, and not only said to be.
    client.writer().write_all(b"<x/>").unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    server.read_tls(&mut flight.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut read = [0; 4];
    server.reader().read_exact(&mut read).unwrap();
    assert_eq!(&read, b"<x/>");
}
