//! What is noted of message streams (RFC 4975): the heads of their frames, never what is in them.
//!
//! A chunk of bytes from a socket is looked through without being parsed. A frame that begins in the middle of another
//! chunk than it was written in is not noted; the sessions themselves are in the INVITE and BYE of SIP.

/// Frames of one chunk that are noted.
const MAX_FRAMES: usize = 16;

/// Bytes of a head that is noted: two paths of one relay each, and six short headers.
const MAX_HEAD: usize = 2_048;

/// The heads of the frames that begin in a chunk, each up to its content.
pub(super) fn heads(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = chunk;
    let frames = std::iter::from_fn(move || {
        let name = rest.strip_prefix(b"MSRP ")?;
        let transaction = name.split(|byte| *byte == b' ').next()?;
        // RFC 4975, section 7.1: the end line bears the transaction, so that no content can be taken for it.
        let end_line = [b"\r\n-------", transaction].concat();
        let end = find(rest, &end_line).unwrap_or(rest.len());
        let head = rest.get(..find(rest, b"\r\n\r\n").map_or(end, |blank| blank.min(end)))?;
        let behind = rest.get(end..).unwrap_or_default().get(2..).unwrap_or_default();
        rest = find(behind, b"\r\n").and_then(|line_end| behind.get(line_end + 2..)).unwrap_or_default();
        Some(head)
    });
    frames.take(MAX_FRAMES).filter(|head| head.len() <= MAX_HEAD)
}

fn find(within: &[u8], part: &[u8]) -> Option<usize> {
    within.windows(part.len()).position(|window| window == part)
}

/// What the head of a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'h> {
    pub(super) transaction: &'h str,
    /// The method, or the status.
    pub(super) what: &'h str,
    pub(super) to_path: &'h str,
    pub(super) from_path: &'h str,
    pub(super) byte_range: Option<&'h str>,
    pub(super) content_type: Option<&'h str>,
}

impl<'h> Frame<'h> {
    pub(super) fn read(head: &'h [u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.lines();
        let (transaction, what) = lines.next()?.strip_prefix("MSRP ")?.split_once(' ')?;
        let header = |name: &str| {
            let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        Some(Self {
            transaction,
            what,
            to_path: header("To-Path")?,
            from_path: header("From-Path")?,
            byte_range: header("Byte-Range"),
            content_type: header("Content-Type"),
        })
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.what.split(' ').next()?.parse().ok()
    }

    /// What names the session at both ends.
    pub(super) fn sessions(&self) -> impl Iterator<Item = String> {
        [self.to_path, self.from_path].into_iter().filter_map(session)
    }
}

/// The session of a path: what stands behind the authority of its last URI.
pub(super) fn session(path: &str) -> Option<String> {
    let (_, authority_and_session) = path.split(' ').next_back()?.split_once("://")?;
    let (_, session) = authority_and_session.split_once('/')?;
    let session = session.split(';').next().unwrap_or(session);
    (!session.is_empty()).then(|| session.to_owned())
}

/// The sessions that a description in a SIP body names.
pub(super) fn described(body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("a=path:")).filter_map(session).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEND: &str = "MSRP d93kswow SEND\r\nTo-Path: msrps://gw.example:2855/s2;tcp\r\n\
        From-Path: msrps://192.0.2.1:7001/s1;tcp\r\nMessage-ID: 1\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\n\
        lunch\r\n-------d93kswow$\r\n";
    const OK: &str = "MSRP abcd 200 OK\r\nTo-Path: msrps://a/s1;tcp\r\nFrom-Path: msrps://b/s2;tcp\r\n-------abcd$\r\n";

    #[test]
    fn the_heads_of_all_frames_are_found_and_no_content() {
        let chunk = format!("{OK}{SEND}{OK}");
        let heads: Vec<_> = heads(chunk.as_bytes()).map(|head| std::str::from_utf8(head).unwrap()).collect();
        assert_eq!(heads.len(), 3);
        assert!(heads.iter().all(|head| !head.contains("lunch")));
        let send = Frame::read(heads[1].as_bytes()).unwrap();
        assert_eq!((send.transaction, send.what, send.byte_range), ("d93kswow", "SEND", Some("1-5/5")));
        assert_eq!(send.sessions().collect::<Vec<_>>(), ["s2", "s1"]);
        assert_eq!(Frame::read(heads[0].as_bytes()).unwrap().status(), Some(200));
    }

    #[test]
    fn a_text_that_looks_like_a_frame_is_none() {
        let forged = SEND.replace("lunch", "x\r\n-------other$\r\nMSRP other SEND\r\nlunch: 1\r\n");
        assert_eq!(heads(forged.as_bytes()).count(), 1);
    }

    #[test]
    fn a_description_names_its_session() {
        assert_eq!(described(b"v=0\r\na=path:msrp://r.example:1/relay;tcp msrps://h:7/s1;tcp\r\n"), ["s1"]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(chunk in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            let mut broken = SEND.as_bytes().to_vec();
            broken.truncate(at);
            broken.extend(chunk);
            prop_assert!(heads(&broken).all(|head| head.len() <= MAX_HEAD));
            let frames = heads(&broken).filter_map(Frame::read);
            prop_assert!(frames.map(|frame| frame.sessions().count()).all(|sessions| sessions <= 2));
        }
    }
}
