//! Style sheet, script and icon of the panel: compiled in, and served under a name that changes with the content, so that
//! browsers keep them for good.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::admin::login::Denied;

/// A year, the longest that caches take (RFC 9111); the name changes with the content.
const CACHE: &str = "public, max-age=31536000, immutable";
/// Bytes of the hash in a name: enough that two versions never share one.
const HASH_BYTES: usize = 8;

/// Name, media type and content.
static FILES: [(&str, &str, &[u8]); 3] = [
    ("panel.css", "text/css; charset=utf-8", include_bytes!("assets/panel.css")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_bytes!("assets/htmx.min.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
];

static URLS: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let url = |(name, _, content): &(&'static str, &str, &[u8])| (*name, format!("/assets/{}/{name}", hash(content)));
    FILES.iter().map(url).collect()
});

fn hash(content: &[u8]) -> String {
    let mut text = String::with_capacity(2 * HASH_BYTES);
    for byte in digest(&SHA256, content).as_ref().iter().take(HASH_BYTES) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// Where a file is; empty for a file that there is not.
pub fn url(name: &str) -> &'static str {
    URLS.iter().find(|(known, _)| *known == name).map_or("", |(_, url)| url)
}

/// Answers `/assets/{hash}/{name}`.
pub async fn asset(Path((hashed, name)): Path<(String, String)>) -> Response {
    let file = FILES.iter().find(|(known, _, _)| *known == name).filter(|_| url(&name).contains(&hashed));
    let Some((_, content_type, content)) = file.filter(|_| hashed.len() == 2 * HASH_BYTES) else {
        return Denied::NotFound.into_response();
    };
    let cache = (header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), cache], *content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_others_is_the_one_that_was_looked_at() {
        let (_, _, content) = FILES[1];
        let sum: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717");
    }

    #[test]
    fn the_name_of_a_file_changes_with_its_content() {
        assert_ne!(hash(b"a"), hash(b"b"));
        assert!(url("panel.css").ends_with("/panel.css"));
        assert_eq!(url("nothing"), "");
    }
}
