//! Cutting a stream into its pieces, and reading attributes: just enough XML to follow a well-behaved server.
//!
//! No comments, CDATA or DTD: a server that sends these has failed, and its piece is never complete.

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The start tag of the stream.
    Header(String),
    /// A first-level element.
    Element(String),
    /// The end tag of the stream.
    Close,
}

impl Piece {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Header(text) | Self::Element(text) => text,
            Self::Close => "</stream:stream>",
        }
    }
}

/// Takes the first complete piece from the buffer.
pub fn take(buffer: &mut Vec<u8>) -> Option<Piece> {
    let start = buffer.iter().position(|byte| !byte.is_ascii_whitespace())?;
    buffer.drain(..start);
    if buffer.starts_with(b"<?xml") {
        let end = buffer.iter().position(|byte| *byte == b'>')?;
        buffer.drain(..=end);
        return take(buffer);
    }
    if buffer.starts_with(b"</") {
        cut(buffer, tag_end(buffer, 0)?);
        return Some(Piece::Close);
    }
    if buffer.starts_with(b"<stream:stream") {
        let end = tag_end(buffer, 0)?;
        return Some(Piece::Header(cut(buffer, end)));
    }
    let end = element_end(buffer)?;
    Some(Piece::Element(cut(buffer, end)))
}

fn cut(buffer: &mut Vec<u8>, length: usize) -> String {
    String::from_utf8_lossy(&buffer.drain(..length).collect::<Vec<_>>()).into_owned()
}

/// Just behind the `>` of the tag that begins at `start`.
fn tag_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'\'' | b'"') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            (None | Some(_), _) => {}
        }
    }
    None
}

/// Just behind the first element.
fn element_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_u32);
    loop {
        let open = at + bytes.get(at..)?.iter().position(|byte| *byte == b'<')?;
        at = tag_end(bytes, open)?;
        let is_end = bytes.get(open + 1) == Some(&b'/');
        let is_empty = bytes.get(at - 2) == Some(&b'/');
        match (is_end, is_empty) {
            (true, _) => depth = depth.checked_sub(1)?,
            (false, true) => {}
            (false, false) => depth += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// An attribute of the first tag, unescaped.
pub fn attribute(xml: &str, name: &str) -> Option<String> {
    let tag = xml.get(..tag_end(xml.as_bytes(), 0)?)?;
    for quote in ['\'', '"'] {
        let Some((_, rest)) = tag.split_once(&format!(" {name}={quote}")) else { continue };
        let (value, _) = rest.split_once(quote)?;
        return Some(unescape(value));
    }
    None
}

/// The text of the first element with this name; no children in it.
pub fn text_of(xml: &str, element: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{element}"))?;
    let (_, rest) = rest.split_once('>')?;
    let (text, _) = rest.split_once("</")?;
    Some(unescape(text))
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_its_pieces_wherever_reads_end() {
        let text = "<?xml version='1.0'?><stream:stream a='>' b=\"'\">\n<a><b/>x</a> <c d='/>'/></stream:stream>";
        let (mut buffer, mut pieces) = (Vec::new(), Vec::new());
        for byte in text.bytes() {
            buffer.push(byte);
            pieces.extend(take(&mut buffer));
        }
        let pieces: Vec<_> = pieces.iter().map(Piece::text).collect();
        assert_eq!(pieces, ["<stream:stream a='>' b=\"'\">", "<a><b/>x</a>", "<c d='/>'/>", "</stream:stream>"]);
    }

    #[test]
    fn attributes_are_those_of_the_first_tag() {
        assert_eq!(attribute("<a id='1&amp;2'><b to='x'/></a>", "id").as_deref(), Some("1&2"));
        assert_eq!(attribute("<a id='1'><b to='x'/></a>", "to"), None);
    }
}
