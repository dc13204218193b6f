//! Cookies (RFC 6265bis): the session's, and those with the choice of language and theme.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

/// Cookies that are looked at; ours are three.
const MAX_COOKIES: usize = 64;
/// A year: a choice is remembered.
const CHOICE_LIFE: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The cookie with the language.
pub const LANGUAGE: &str = "causeway-language";
/// The cookie with the theme.
pub const THEME: &str = "causeway-theme";

/// The name of the session's cookie. With TLS its prefix has browsers refuse one that was set without TLS, for another
/// path, or by a neighbouring host.
pub const fn session_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-causeway" } else { "causeway" }
}

/// The name of the cookie that binds a sign-in at an identity provider to the browser that began it.
pub const fn state_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-causeway-state" } else { "causeway-state" }
}

/// The cookie of this name that the browser sent.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).take(MAX_COOKIES);
    pairs.find_map(|pair| pair.trim().split_once('=').filter(|(known, _)| *known == name).map(|(_, value)| value))
}

/// The session's cookie, out of reach of scripts and never sent from another site. It ends with the browser; the session
/// has an end of its own.
pub fn session(is_secure: bool, value: &str) -> HeaderValue {
    written(session_name(is_secure), value, is_secure, "Strict", None)
}

/// Takes the session's cookie away.
pub fn no_session(is_secure: bool) -> HeaderValue {
    written(session_name(is_secure), "", is_secure, "Strict", Some(Duration::ZERO))
}

/// The cookie for the way to an identity provider and back. It has to come back from there, which is another site.
pub fn state(is_secure: bool, value: &str, life: Duration) -> HeaderValue {
    written(state_name(is_secure), value, is_secure, "Lax", Some(life))
}

/// Takes that cookie away.
pub fn no_state(is_secure: bool) -> HeaderValue {
    written(state_name(is_secure), "", is_secure, "Lax", Some(Duration::ZERO))
}

/// A choice that is no secret.
pub fn choice(is_secure: bool, name: &str, value: &str) -> HeaderValue {
    written(name, value, is_secure, "Strict", Some(CHOICE_LIFE))
}

fn written(name: &str, value: &str, is_secure: bool, same_site: &str, life: Option<Duration>) -> HeaderValue {
    let mut text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}");
    if is_secure {
        text.push_str("; Secure");
    }
    if let Some(life) = life {
        text.push_str(&format!("; Max-Age={}", life.as_secs()));
    }
    // All values are ours: base64url and words.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_out_of_reach_of_scripts_and_other_sites() {
        assert_eq!(session(true, "x"), "__Host-causeway=x; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(session(false, "x"), "causeway=x; Path=/; HttpOnly; SameSite=Strict");
        assert!(no_session(true).to_str().unwrap().ends_with("; Max-Age=0"));
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; xcauseway=2;causeway=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("causeway-theme=dark"));
        assert_eq!(read(&headers, "causeway"), Some("3"));
        assert_eq!(read(&headers, THEME), Some("dark"));
        assert_eq!(read(&headers, "cause"), None);
    }
}
