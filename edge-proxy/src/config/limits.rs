//! The sections `[limits]` and `[timeouts]`: every bound with its default and the range in which it makes sense.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_shared::config::{Document, Section};
use causeway_shared::limits::Limits;

use crate::admission::Caps;
use crate::limits::{BackOffLimits, DnsLimits, QueueLimits, Rate, Rates, StreamLimits, Timeouts};

/// Reads both sections.
pub(super) fn read(document: &mut Document) -> (Caps, StreamLimits) {
    let mut limits = document.section("limits");
    let caps = caps(&mut limits);
    let mut streams = StreamLimits {
        xml: xml(&mut limits),
        rates: rates(&mut limits),
        pairs: size(&mut limits, "pairs_per_stream", StreamLimits::default().pairs, 1..=1024),
        pending_dialbacks: size(
            &mut limits,
            "pending_dialbacks_per_stream",
            StreamLimits::default().pending_dialbacks,
            1..=64,
        ),
        ..StreamLimits::default()
    };
    let usual = QueueLimits::default();
    // The largest stanza has to fit, and beside it a gateway's window.
    streams.queue.stanzas = size(&mut limits, "queue_stanzas", usual.stanzas, 16..=65_536);
    streams.queue.bytes = size(&mut limits, "queue_bytes", usual.bytes, 1_048_576..=1_073_741_824);
    streams.dns.attempts = size(&mut limits, "dns_attempts", DnsLimits::default().attempts, 1..=10);
    limits.finish();

    let mut timeouts = document.section("timeouts");
    streams.timeouts = times(&mut timeouts);
    streams.queue.lifetime = seconds(&mut timeouts, "queue_lifetime_secs", usual.lifetime, 1..=3600);
    streams.back_off = back_off(&mut timeouts);
    streams.dns.timeout = seconds(&mut timeouts, "dns_secs", DnsLimits::default().timeout, 1..=60);
    timeouts.finish();
    (caps, streams)
}

fn caps(section: &mut Section) -> Caps {
    let usual = Caps::default();
    Caps {
        per_address: section.number("connections_per_address", usual.per_address, 1..=100_000),
        unauthenticated_per_address: section.number(
            "unauthenticated_per_address",
            usual.unauthenticated_per_address,
            1..=100_000,
        ),
        unauthenticated: section.number("unauthenticated", usual.unauthenticated, 1..=1_000_000),
        connections: rate(
            section,
            ("new_connections_per_minute", 1..=1_000_000),
            ("new_connections_burst", 1..=1_000_000),
            usual.connections,
        ),
        questions: rate(
            section,
            ("dialback_questions_per_minute", 1..=1_000_000),
            ("dialback_questions_burst", 1..=1_000_000),
            usual.questions,
        ),
    }
}

fn xml(section: &mut Section) -> Limits {
    let usual = Limits::default();
    Limits {
        // RFC 6120, section 13.12: never below 10 000 bytes. The largest stanza has to fit into a frame of the link.
        byte_stanza: size(section, "stanza_bytes", usual.byte_stanza, 10_000..=524_288),
        // A base64 certificate name in <auth/> and a long dialback key still fit.
        byte_pre_auth: size(section, "unauthenticated_element_bytes", usual.byte_pre_auth, 2_048..=65_536),
        byte_header: size(section, "header_bytes", usual.byte_header, 1_024..=65_536),
        // Trees are built and dropped by recursion.
        depth: size(section, "depth", usual.depth, 8..=512),
        attributes: size(section, "attributes", usual.attributes, 16..=1_024),
        namespaces: size(section, "namespace_declarations", usual.namespaces, 16..=4_096),
        // An address has up to 3071 bytes (RFC 7622, section 3.1).
        attribute_value: size(section, "attribute_value_bytes", usual.attribute_value, 3_071..=262_144),
        name: size(section, "name_bytes", usual.name, 64..=4_096),
        nodes: size(section, "nodes", usual.nodes, 256..=262_144),
    }
}

fn rates(section: &mut Section) -> Rates {
    let usual = Rates::default();
    Rates {
        // What one read brings must not take minutes, or the stream would seem silent. Below, a stanza of the usual size would take seconds.
        bytes: rate(section, ("bytes_per_second", 16_384..=u32::MAX), ("bytes_burst", 65_536..=u32::MAX), usual.bytes),
        unauthenticated_bytes: rate(
            section,
            ("unauthenticated_bytes_per_second", 1_024..=16_777_216),
            ("unauthenticated_bytes_burst", 16_384..=16_777_216),
            usual.unauthenticated_bytes,
        ),
        stanzas: rate(
            section,
            ("stanzas_per_second", 10..=100_000_000),
            ("stanzas_burst", 1..=100_000_000),
            usual.stanzas,
        ),
    }
}

type Key = (&'static str, RangeInclusive<u32>);

fn rate(section: &mut Section, count: Key, burst: Key, usual: Rate) -> Rate {
    Rate {
        count: section.number(count.0, usual.count, count.1),
        burst: section.number(burst.0, usual.burst, burst.1),
        ..usual
    }
}

fn times(section: &mut Section) -> Timeouts {
    let usual = Timeouts::default();
    Timeouts {
        first_byte: seconds(section, "first_byte_secs", usual.first_byte, 1..=300),
        proxy_header: seconds(section, "proxy_header_secs", usual.proxy_header, 1..=60),
        tls_handshake: seconds(section, "tls_handshake_secs", usual.tls_handshake, 1..=120),
        connect: seconds(section, "connect_secs", usual.connect, 1..=120),
        verification: seconds(section, "dialback_secs", usual.verification, 1..=300),
        ping: seconds(section, "ping_secs", usual.ping, 1..=300),
        close: seconds(section, "close_secs", usual.close, 1..=60),
        write_stall: seconds(section, "write_stall_secs", usual.write_stall, 1..=300),
    }
}

fn back_off(section: &mut Section) -> BackOffLimits {
    let usual = BackOffLimits::default();
    let first = seconds(section, "back_off_secs", usual.first, 1..=3_600);
    let longest = seconds(section, "back_off_longest_secs", usual.longest, 1..=86_400);
    if longest < first {
        section.mistake("back_off_longest_secs", "it is shorter than back_off_secs", "write at least as many seconds");
    }
    BackOffLimits { first, longest }
}

fn size(section: &mut Section, key: &'static str, usual: usize, range: RangeInclusive<u32>) -> usize {
    let usual = u32::try_from(usual).unwrap_or(u32::MAX);
    usize::try_from(section.number(key, usual, range)).unwrap_or(usize::MAX)
}

fn seconds(section: &mut Section, key: &'static str, usual: Duration, range: RangeInclusive<u32>) -> Duration {
    section.seconds(key, u32::try_from(usual.as_secs()).unwrap_or(u32::MAX), range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Caps, StreamLimits), Vec<String>> {
        let mut document = Document::parse(text, "CAUSEWAY_EDGE", []).unwrap();
        let read = read(&mut document);
        let mistakes = document.finish().err().unwrap_or_default();
        if mistakes.is_empty() { Ok(read) } else { Err(mistakes.into_iter().map(|error| error.key).collect()) }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        assert_eq!(parse(""), Ok((Caps::default(), StreamLimits::default())));
    }

    #[test]
    fn every_key_is_read_to_where_it_belongs() {
        let text = "[limits]\nstanzas_per_second = 70\nstanzas_burst = 8\nbytes_burst = 65536\nqueue_stanzas = 20\n\
                    pairs_per_stream = 3\ndns_attempts = 2\ndepth = 9\n\
                    [timeouts]\nping_secs = 4\nqueue_lifetime_secs = 5\ndns_secs = 6\nback_off_secs = 1\n";
        let (_, streams) = parse(text).unwrap();
        assert_eq!(streams.rates.stanzas, Rate::per_second(70, 8));
        assert_eq!(streams.rates.bytes, Rate { burst: 65_536, ..Rates::default().bytes });
        assert_eq!((streams.queue.stanzas, streams.pairs, streams.dns.attempts, streams.xml.depth), (20, 3, 2, 9));
        assert_eq!(streams.timeouts.ping, Duration::from_secs(4));
        assert_eq!(streams.queue.lifetime, Duration::from_secs(5));
        assert_eq!(streams.dns.timeout, Duration::from_secs(6));
        assert_eq!(streams.back_off.first, Duration::from_secs(1));
    }

    #[test]
    fn the_shortest_pause_is_no_longer_than_the_longest() {
        let text = "[timeouts]\nback_off_secs = 60\nback_off_longest_secs = 30\n";
        assert_eq!(parse(text), Err(vec!["timeouts.back_off_longest_secs".to_owned()]));
    }
}
