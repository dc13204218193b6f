//! HTML of SIP clients: reduced to plain text, or to the little of XHTML-IM (XEP-0071) that can do no harm.
//!
//! Kept of the marks: p, br, span, strong, em, ul, ol, li, blockquote, and links to http, https and mailto; b and i become
//! strong and em. Everything else goes, its text stays; scripts, styles and heads go with their text.

use crate::translate::canonical::{push_attribute, push_text};

/// Marks open at once in what is written; deeper ones are left out, their text is not.
const MAX_DEPTH: usize = 16;

/// The text alone, with a line for each block.
pub fn to_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    for token in tokens(html) {
        match token {
            Token::Text(text) => push_collapsed(&mut out, text),
            Token::Open(tag) if tag.name.eq_ignore_ascii_case("br") => out.push('\n'),
            Token::Close(name) if is_block(name) => out.push('\n'),
            Token::Open(_) | Token::Close(_) => {}
        }
    }
    out.trim().to_owned()
}

/// The inside of `<body xmlns='http://www.w3.org/1999/xhtml'>`, well-formed whatever came. `None` if no mark is left.
pub fn to_xhtml(html: &str) -> Option<String> {
    let mut writer = Writer::default();
    for token in tokens(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Open(tag) => writer.open(&tag),
            Token::Close(name) => writer.close(name),
        }
    }
    writer.finish()
}

#[derive(Default)]
struct Writer {
    out: String,
    open: Vec<&'static str>,
    has_marks: bool,
    ends_with_space: bool,
}

impl Writer {
    fn text(&mut self, text: &str) {
        let mut collapsed = String::with_capacity(text.len());
        for c in replace_entities(text).chars() {
            let is_space = c.is_ascii_whitespace();
            if !is_space || !self.ends_with_space {
                collapsed.push(if is_space { ' ' } else { c });
            }
            self.ends_with_space = is_space;
        }
        push_text(&mut self.out, &collapsed);
    }

    fn open(&mut self, tag: &Tag<'_>) {
        let Some(name) = kept(tag.name) else { return };
        if name == "br" {
            self.has_marks = true;
            return self.out.push_str("<br/>");
        }
        // A paragraph ends where the next one begins, and an item likewise.
        if matches!(name, "p" | "li") && self.open.last() == Some(&name) {
            self.close(name);
        }
        let is_misplaced = name == "li" && !matches!(self.open.last(), Some(&("ul" | "ol")));
        if tag.is_empty || is_misplaced || self.open.len() >= MAX_DEPTH {
            return;
        }
        self.out.extend(["<", name]);
        if name == "a" {
            match tag.attribute("href").filter(|href| is_harmless(href)) {
                Some(href) => push_attribute(&mut self.out, "href", &href),
                None => {
                    self.out.truncate(self.out.len() - "<a".len());
                    return;
                }
            }
        }
        self.out.push('>');
        self.has_marks = true;
        self.open.push(name);
    }

    /// Closes an element and what was left open inside it.
    fn close(&mut self, name: &str) {
        let Some(name) = kept(name) else { return };
        let Some(at) = self.open.iter().rposition(|open| *open == name) else { return };
        for open in self.open.drain(at..).rev() {
            self.out.extend(["</", open, ">"]);
        }
    }

    fn finish(mut self) -> Option<String> {
        for open in self.open.drain(..).rev() {
            self.out.extend(["</", open, ">"]);
        }
        self.has_marks.then_some(self.out)
    }
}

/// What a mark is written as, if it is.
fn kept(name: &str) -> Option<&'static str> {
    const KEPT: [(&str, &str); 12] = [
        ("a", "a"),
        ("b", "strong"),
        ("blockquote", "blockquote"),
        ("br", "br"),
        ("em", "em"),
        ("i", "em"),
        ("li", "li"),
        ("ol", "ol"),
        ("p", "p"),
        ("span", "span"),
        ("strong", "strong"),
        ("ul", "ul"),
    ];
    KEPT.into_iter().find(|(from, _)| name.eq_ignore_ascii_case(from)).map(|(_, to)| to)
}

/// Whether a link leads where a reader expects one to lead. What hides its scheme behind controls has none.
fn is_harmless(href: &str) -> bool {
    let Some((scheme, _)) = href.split_once(':') else { return false };
    ["http", "https", "mailto"].iter().any(|harmless| scheme.eq_ignore_ascii_case(harmless))
}

fn is_block(name: &str) -> bool {
    ["p", "div", "li", "tr", "h1", "h2", "h3", "blockquote"].iter().any(|block| name.eq_ignore_ascii_case(block))
}

enum Token<'h> {
    Text(&'h str),
    Open(Tag<'h>),
    Close(&'h str),
}

struct Tag<'h> {
    name: &'h str,
    attributes: &'h str,
    is_empty: bool,
}

impl Tag<'_> {
    /// The value of an attribute, its entities replaced.
    fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, after) = match after.chars().next()? {
                quote @ ('"' | '\'') => after.get(1..)?.split_once(quote)?,
                _ => after.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((after, "")),
            };
            let name = name.trim_end().rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
            if name.eq_ignore_ascii_case(wanted) {
                return Some(replace_entities(value.trim()));
            }
            rest = after;
        }
    }
}

const fn tokens(html: &str) -> Tokens<'_> {
    Tokens { rest: html }
}

/// Text and tags in order; comments, declarations, scripts and styles are passed over.
struct Tokens<'h> {
    rest: &'h str,
}

impl<'h> Iterator for Tokens<'h> {
    type Item = Token<'h>;

    fn next(&mut self) -> Option<Token<'h>> {
        loop {
            let Some(from) = self.rest.strip_prefix('<') else {
                let (text, rest) = self.rest.split_at_checked(self.rest.find('<').unwrap_or(self.rest.len()))?;
                self.rest = rest;
                return (!text.is_empty()).then_some(Token::Text(text));
            };
            if let Some(comment) = from.strip_prefix("!--") {
                self.rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let (inside, after) = from.split_once('>').unwrap_or(("", ""));
            self.rest = after;
            let (inside, closing) = inside.strip_prefix('/').map_or((inside, false), |inside| (inside, true));
            let name_len = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
            let (name, attributes) = inside.split_at_checked(name_len)?;
            let is_empty = attributes.ends_with('/');
            if closing {
                return Some(Token::Close(name));
            }
            let is_hidden = ["script", "style", "head", "title"].iter().any(|hidden| name.eq_ignore_ascii_case(hidden));
            if is_hidden && !is_empty {
                self.rest = behind(after, name);
                continue;
            }
            if !name.is_empty() {
                return Some(Token::Open(Tag { name, attributes, is_empty }));
            }
        }
    }
}

/// What follows from the end tag of a name on; nothing, if it never ends.
fn behind<'h>(html: &'h str, name: &str) -> &'h str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        let end = rest.get(at..).unwrap_or_default();
        rest = end.get(2..).unwrap_or_default();
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return end;
        }
    }
    ""
}

/// White space is one space in HTML.
fn push_collapsed(out: &mut String, text: &str) {
    for c in replace_entities(text).chars() {
        if c.is_ascii_whitespace() {
            if !out.is_empty() && !out.ends_with([' ', '\n']) {
                out.push(' ');
            }
        } else {
            out.push(c);
        }
    }
}

fn replace_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let found = from.split_once(';').filter(|(name, _)| name.len() <= 8);
        let character = found.and_then(|(name, _)| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some('\u{a0}'),
            _ => {
                let digits = name.strip_prefix('#')?;
                let hex = digits.strip_prefix(['x', 'X']);
                let code = hex.map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())?;
                char::from_u32(code)
            }
        });
        match (character, found) {
            (Some(character), Some((_, after))) => {
                out.push(character);
                rest = after;
            }
            (_, _) => {
                out.push('&');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: message.html
    #[test]
    fn html_is_reduced_to_its_text() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><p>Hi&nbsp;&lt;you&gt; &amp;\n  me<br/>2<b>nd</b></p>\
                    <SCRIPT>x<y</Script><!-- c > --></body>";
        assert_eq!(to_text(html), "Hi\u{a0}<you> & me\n2nd");
        assert_eq!(to_text("a < b"), "a");
        assert_eq!(to_text("<div>a</div><div>b</div>"), "a\nb");
        assert_eq!(to_text("x<script>never ends"), "x");
    }

    // Rule: message.html
    #[test]
    fn only_harmless_marks_are_kept() {
        for (html, expected) in [
            ("<b>a</b> <i class='x' style='y'>b</i>", "<strong>a</strong> <em>b</em>"),
            ("<p>a<p>b", "<p>a</p><p>b</p>"),
            ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
            ("<strong><em>a</strong>b</em>", "<strong><em>a</em></strong>b"),
            (
                "<a href=\"https://x.example/?a=1&amp;b='2'\">l</a>",
                "<a href='https://x.example/?a=1&amp;b=&apos;2&apos;'>l</a>",
            ),
            ("<a title='href=\"x\"' href=mailto:a@b>l</a>", "<a href='mailto:a@b'>l</a>"),
            ("a<br>b<img src='http://x/track'>&lt;c", "a<br/>b&lt;c"),
        ] {
            assert_eq!(to_xhtml(html).as_deref(), Some(expected), "{html}");
        }
    }

    // Rule: message.html
    #[test]
    fn what_could_do_harm_leaves_nothing_but_its_text() {
        for html in [
            "<a href='javascript:alert(1)'>l</a>",
            "<a href='java\nscript:alert(1)'>l</a>",
            "<a href=' &#106;avascript:alert(1)'>l</a>",
            "<a href='data:text/html,x'>l</a>",
            "<a href='//x.example'>l</a>",
            "<li>l",
            "<div onclick='x'>l</div>",
            "<script><b>x</b></script>l",
            "<span",
        ] {
            assert_eq!(to_xhtml(html), None, "{html}");
        }
    }

    fn is_well_formed(inner: &str) -> bool {
        crate::body::document::parse(format!("<body>{inner}</body>").as_bytes()).is_ok()
    }

    proptest::proptest! {
        // Rule: message.html
        #[test]
        fn whatever_comes_what_is_written_is_well_formed(html in "(<(/?)(a|b|p|li|ul|br/|span|script)( href=('|\")?(http:|x)('|\")?)?>|[a-c<>&;'\" \u{1}]){0,30}") {
            let _ = to_text(&html);
            if let Some(xhtml) = to_xhtml(&html) {
                proptest::prop_assert!(is_well_formed(&xhtml), "{}", xhtml);
            }
        }
    }
}
