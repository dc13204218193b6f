//! What a stream header leaves in force for the elements after it: namespace declarations and a language.

use super::ns;

/// The namespaces and the language of a stream, in which each of its first-level elements is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamScope {
    /// The default namespace.
    pub(crate) default: Box<str>,
    /// Prefix and namespace name, in the header's order; no default, no `xml`.
    pub(crate) prefixes: Vec<(Box<str>, Box<str>)>,
    /// `xml:lang` of the header.
    pub(crate) language: Option<Box<str>>,
}

impl StreamScope {
    /// A scope with no declaration at all: a document of its own.
    pub fn none() -> Self {
        Self { default: "".into(), prefixes: Vec::new(), language: None }
    }

    /// The scope in which our canonical form is read: the default namespace is `jabber:server`.
    pub fn server() -> Self {
        Self { default: ns::SERVER.into(), prefixes: Vec::new(), language: None }
    }

    /// The language that stanzas without one inherit.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// Whether the header declared a namespace under some prefix.
    pub fn declares(&self, namespace: &str) -> bool {
        self.prefixes.iter().any(|(_, name)| &**name == namespace)
    }
}
