//! Answers that several resources give: a document with its version, a receipt, a list in pages.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Trouble;
use crate::admin::receipt::Receipt;

/// What a handler returns.
pub type Answer<T = Response> = Result<T, Trouble>;

/// A value of a version: the ETag is the version.
pub fn versioned(version: u64, value: impl Serialize) -> Response {
    (fields([(header::ETAG, tag(version))]), Json(value)).into_response()
}

/// The receipt of a change of something that was there.
pub fn changed(receipt: Receipt) -> Response {
    // What is gone or was only tried out has no version to go on with.
    match receipt.dry_run || receipt.version == 0 {
        true => Json(receipt).into_response(),
        false => versioned(receipt.version, receipt),
    }
}

/// The receipt for something new under `collection`.
pub fn created(collection: &str, receipt: Receipt) -> Response {
    if receipt.dry_run {
        return Json(receipt).into_response();
    }
    let place = format!("{collection}/{}", escape(&receipt.object));
    let fields = fields([(header::ETAG, tag(receipt.version)), (header::LOCATION, place)]);
    (StatusCode::CREATED, fields, Json(receipt)).into_response()
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Fields of a head; what cannot be one is left out.
fn fields<const N: usize>(fields: [(HeaderName, String); N]) -> HeaderMap {
    let valid = fields.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    valid.collect()
}

/// A name as a part of a path (RFC 3986, section 2.3).
pub fn escape(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// Whether a name matches a pattern with `*` and `?`, as -Filter of the original's cmdlets has them, regardless of case.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on if what was tried last does not do: behind the last star, one character later.
    let (mut p, mut n, mut star) = (0, 0, None);
    while let Some(letter) = name.get(n) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(wanted) if wanted == letter || *wanted == '?' => (p, n) = (p + 1, n + 1),
            Some(_) | None => {
                let Some((behind, from)) = star else { return false };
                (p, n) = (behind, from + 1);
                star = Some((behind, from + 1));
            }
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("*.org", "fabrikam.org", true),
            ("*.org", "fabrikam.org.example", false),
            ("*", "", true),
            ("fab*m.*", "Fabrikam.example", true),
            ("*ab*ab", "xabyab", true),
            ("f?b.example", "fab.example", true),
            ("", "a", false),
            ("a", "", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_filter_of_many_stars_takes_no_time() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(190)));
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(escape("Tag:sales/a b"), "Tag%3Asales%2Fa%20b");
    }
}
