//! `;name=value` lists, as headers and URIs carry them (RFC 3261 section 25.1, `generic-param`).

use bytes::Bytes;

use crate::grammar;

/// Parameters that parsed. Lookup walks the text; lists are short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    text: Bytes,
}

/// A parameter without a name, or with a value of illegal characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadParams;

impl Params {
    /// Reads parameters; the text is empty or starts (after whitespace) with a semicolon.
    pub(crate) fn parse(text: Bytes) -> Result<Self, BadParams> {
        check(&text)?;
        Ok(Self { text })
    }

    /// The value of a parameter, unquoted but with backslashes as they came: `None` if absent, empty if it has no value.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        find(&self.text, name)
    }

    /// [`Params::get`] for a value that is text.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        iter(&self.text)
    }

    /// The text, from the first semicolon on.
    pub fn as_bytes(&self) -> &[u8] {
        grammar::trim(&self.text)
    }
}

/// Whether the text is a list of parameters.
pub(crate) fn check(text: &[u8]) -> Result<(), BadParams> {
    let mut rest = grammar::trim(text);
    while !rest.is_empty() {
        rest = grammar::trim_start(rest.strip_prefix(b";").ok_or(BadParams)?);
        let name_len = rest.iter().take_while(|byte| is_name_char(**byte)).count();
        if name_len == 0 {
            return Err(BadParams);
        }
        rest = grammar::trim_start(rest.get(name_len..).unwrap_or_default());
        if let Some(value) = rest.strip_prefix(b"=") {
            rest = grammar::trim_start(skip_value(grammar::trim_start(value))?);
        }
    }
    Ok(())
}

/// The value of a parameter in a text that was checked.
pub(crate) fn find<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    iter(text).find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value.unwrap_or_default())
}

/// The parameters of a text that was checked.
pub(crate) fn iter(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = grammar::trim(text);
    std::iter::from_fn(move || {
        rest = grammar::trim_start(rest.strip_prefix(b";")?);
        let name_len = rest.iter().take_while(|byte| is_name_char(**byte)).count();
        let (name, tail) = rest.split_at_checked(name_len)?;
        rest = grammar::trim_start(tail);
        let Some(value) = rest.strip_prefix(b"=") else {
            return Some((name, None));
        };
        let value = grammar::trim_start(value);
        let after = skip_value(value).ok()?;
        let raw = value.get(..value.len() - after.len())?;
        rest = grammar::trim_start(after);
        Some((name, Some(grammar::split_quoted(raw).map_or(raw, |(inner, _)| inner))))
    })
}

/// `token` for header parameters, and what `pname` of a URI adds to it.
const fn is_name_char(byte: u8) -> bool {
    grammar::is_token_char(byte) || matches!(byte, b'(' | b')' | b'[' | b']' | b'/' | b':' | b'&' | b'$')
}

/// Skips one value: a quoted string, or a run of visible characters up to `;` or whitespace.
fn skip_value(text: &[u8]) -> Result<&[u8], BadParams> {
    if text.first() == Some(&b'"') {
        return grammar::split_quoted(text).map(|(_, rest)| rest).ok_or(BadParams);
    }
    // COMPAT: `=` is no token character, but base64 in tags and branches brings it, so it is taken after the first.
    let is_value = |byte: &u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b';' | b',' | b'"' | b'<' | b'>');
    if text.first() == Some(&b'=') {
        return Err(BadParams);
    }
    let len = text.iter().take_while(|byte| is_value(byte)).count();
    if len == 0 { Err(BadParams) } else { text.get(len..).ok_or(BadParams) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &'static [u8]) -> Result<Params, BadParams> {
        Params::parse(Bytes::from_static(text))
    }

    #[test]
    fn names_ignore_case_and_whitespace_is_allowed_everywhere() {
        let params = params(b" ; Tag =  a6c ;\tlr; q = 0.33 ").unwrap();
        assert_eq!(params.get("tag"), Some(&b"a6c"[..]));
        assert_eq!(params.get("lr"), Some(&b""[..]));
        assert_eq!(params.get_str("q"), Some("0.33"));
        assert_eq!(params.get("tg"), None);
    }

    #[test]
    fn quoted_values_may_hold_semicolons() {
        assert_eq!(params(br#";x="a;b\"c";y=1"#).unwrap().get("x"), Some(&br#"a;b\"c"#[..]));
        assert_eq!(params(br#";x="a;b\"c";y=1"#).unwrap().get("y"), Some(&b"1"[..]));
    }

    // RFC 4475 section 3.1.2.1
    #[test]
    fn empty_parameters_are_refused() {
        for text in [&b";;"[..], b";", b";a=", b";a=;b", b"x", b";a b", b";a=\"open", b";=1"] {
            assert_eq!(params(text), Err(BadParams), "{}", text.escape_ascii());
        }
    }
}
