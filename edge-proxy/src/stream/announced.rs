//! Limits that the two ends of a stream tell each other (XEP-0478).

use std::time::Duration;

use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;

/// A limit below this would let no stanza through (RFC 6120, section 13.12), and is taken for a mistake.
const LEAST_BYTES: usize = 10_000;

/// A stream that is closed sooner than this when idle could hardly be kept open; a shorter time is taken for this one.
const LEAST_IDLE: Duration = Duration::from_secs(10);

/// What the peer announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announced {
    /// The largest first-level element that it takes, in bytes.
    pub max_bytes: Option<usize>,
    /// How long it lets a silent stream be.
    pub idle: Option<Duration>,
}

impl Announced {
    /// Reads the feature, or its like inside of `<bidi/>`; nonsense is no limit.
    pub fn read(parent: &Element) -> Self {
        let limits = parent.find(ns::LIMITS, "limits");
        let number = |name| limits?.find(ns::LIMITS, name)?.text_content().trim_ascii().parse::<u64>().ok();
        let max_bytes = number("max-bytes").and_then(|bytes| usize::try_from(bytes).ok());
        Self {
            max_bytes: max_bytes.filter(|bytes| *bytes >= LEAST_BYTES),
            idle: number("idle-seconds").map(|seconds| Duration::from_secs(seconds).max(LEAST_IDLE)),
        }
    }
}

/// The feature, or its like inside of `<bidi/>`.
pub fn feature(max_bytes: usize, idle: Duration) -> Element {
    let limit = |name: &'static str, value: String| Element::new(ns::LIMITS, name).text(value);
    Element::new(ns::LIMITS, "limits")
        .child(limit("max-bytes", max_bytes.to_string()))
        .child(limit("idle-seconds", idle.as_secs().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::test_support::element;

    fn read(inner: &str) -> Announced {
        Announced::read(&element(&format!(
            "<stream:features><limits xmlns='urn:xmpp:stream-limits:0'>{inner}</limits></stream:features>"
        )))
    }

    #[test]
    fn what_is_announced_is_read() {
        let features = Element::new(ns::STREAM, "features").child(feature(262_144, Duration::from_secs(600)));
        let announced = Announced::read(&features);
        assert_eq!(announced, Announced { max_bytes: Some(262_144), idle: Some(Duration::from_secs(600)) });
        assert_eq!(read("<max-bytes> 10000 </max-bytes>").max_bytes, Some(10_000));
        assert_eq!(Announced::read(&element("<stream:features/>")), Announced::default());
    }

    #[test]
    fn nonsense_is_no_limit() {
        for bytes in ["", "0", "9999", "-1", "many", "99999999999999999999999"] {
            assert_eq!(read(&format!("<max-bytes>{bytes}</max-bytes>")).max_bytes, None, "{bytes}");
        }
        assert_eq!(read("<idle-seconds>0</idle-seconds>").idle, Some(LEAST_IDLE));
    }
}
