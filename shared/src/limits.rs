//! What one peer may make us hold or do (RFC 6120, section 13.12); going over one is an answer, never a surprise.

/// Bounds on the XML of one stream, counted while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a stanza: what Prosody and ejabberd let through between them. RFC 6120, section 13.12 forbids less
    /// than 10 000.
    pub byte_stanza: usize,
    /// Bytes of a first-level element before authentication: a SASL or dialback element needs a tenth of it.
    pub byte_pre_auth: usize,
    /// Bytes of a stream header with its XML declaration: two addresses and a few namespace declarations.
    pub byte_header: usize,
    /// Elements open at once within a first-level element, itself included: builders and destructors may recurse.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included: the duplicate check is quadratic.
    pub attributes: usize,
    /// Namespace declarations of one first-level element: each is held while its element is open.
    pub namespaces: usize,
    /// Bytes of one attribute's value after references are resolved.
    pub attribute_value: usize,
    /// Bytes of one element's or attribute's name with its prefix.
    pub name: usize,
    /// Elements and runs of text of one first-level element: a tree costs more memory than its bytes.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            byte_stanza: 262_144,
            byte_pre_auth: 8_192,
            byte_header: 4_096,
            depth: 64,
            attributes: 64,
            namespaces: 128,
            attribute_value: 16_384,
            name: 256,
            nodes: 8_192,
        }
    }
}
