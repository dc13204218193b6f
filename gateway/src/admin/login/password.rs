//! Passwords: which ones do, and how they are kept (argon2id, RFC 9106).
//!
//! Length counts, and not being among the first guesses (NIST SP 800-63B, section 3.1.1); there are no rules of composition.

use std::sync::LazyLock;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::Denied;

/// Memory of one hash in KiB, 19 MiB: the least that OWASP names for two passes, and little enough that sign-ins do not take
/// the gateway's memory from messages.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes: one, for there are few cores to spare.
const LANES: u32 = 1;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Hashes at once: each takes a core for some 30 ms.
const AT_ONCE: usize = 2;
/// Callers that may wait for a hash; more are told that there are too many.
const WAITING: usize = 32;

/// Characters of a password, at least.
pub(super) const SHORTEST: usize = 12;
/// Characters of a password, at most: hashing more costs time and adds nothing.
pub(super) const LONGEST: usize = 256;
/// A password of fewer different characters is a pattern.
const DIFFERENT: usize = 5;
/// A name that is shorter may be in a password by chance.
const TELLING_NAME: usize = 3;

/// What is guessed first among passwords that are long enough, and what it is built of. Compared without case and digits at
/// the end.
const GUESSED: [&str; 40] = [
    "password",
    "passwordpassword",
    "passw0rd",
    "p@ssword",
    "p@ssw0rd",
    "administrator",
    "adminadmin",
    "adminadminadmin",
    "letmein",
    "letmeinplease",
    "changeme",
    "changemeplease",
    "changemenow",
    "welcome",
    "welcometocauseway",
    "causeway",
    "causewaycauseway",
    "causewaygateway",
    "causewayadmin",
    "gatewayadmin",
    "gatewaygateway",
    "qwertyuiop",
    "qwertyuiopasdfghjkl",
    "qwertyqwerty",
    "asdfghjkl",
    "zxcvbnm",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "abcdefghijklm",
    "iloveyou",
    "iloveyouforever",
    "correcthorsebatterystaple",
    "trustnoone",
    "thisismypassword",
    "mypassword",
    "secretpassword",
    "defaultpassword",
    "superadministrator",
    "contosocontoso",
];

/// Why a password does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weak {
    /// Too short.
    Short,
    /// Too long.
    Long,
    /// It contains the name.
    IsName,
    /// It is among the first guesses.
    Common,
}

/// Whether a password does for an account.
pub(super) fn judge(password: &str, name: &str) -> Result<(), Weak> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(Weak::Short);
    }
    if length > LONGEST {
        return Err(Weak::Long);
    }
    let (plain, name) = (password.to_lowercase(), name.to_lowercase());
    if name.chars().count() >= TELLING_NAME && plain.contains(&name) {
        return Err(Weak::IsName);
    }
    let stem = plain.trim_end_matches(|letter: char| !letter.is_alphabetic());
    let mut different: Vec<char> = plain.chars().collect();
    different.sort_unstable();
    different.dedup();
    let is_run =
        plain.chars().zip(plain.chars().skip(1)).all(|(one, next)| u32::from(next).wrapping_sub(u32::from(one)) <= 1);
    if different.len() < DIFFERENT
        || is_run
        || stem.is_empty()
        || GUESSED.contains(&stem)
        || GUESSED.contains(&plain.as_str())
    {
        return Err(Weak::Common);
    }
    Ok(())
}

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
static QUEUE: Semaphore = Semaphore::const_new(AT_ONCE + WAITING);

/// Compared against where there is no account or no password, so that the answer takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hashed("nobody has this password").unwrap_or_default());

/// The hash of a password, as a PHC string.
pub(super) async fn hash(password: String) -> Result<String, Denied> {
    aside(move || hashed(&password).ok_or(Denied::Failed)).await?
}

/// Whether the password is the one of the hash. Without a hash it never is, and takes as long.
pub(super) async fn verify(password: String, hash: Option<String>) -> Result<bool, Denied> {
    aside(move || {
        let kept = hash.as_deref().unwrap_or(&NOBODY);
        let fits = PasswordHash::new(kept).is_ok_and(|kept| {
            hasher().is_some_and(|hasher| hasher.verify_password(password.as_bytes(), &kept).is_ok())
        });
        fits && hash.is_some()
    })
    .await
}

/// On a thread for blocking work, and a few at a time.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Denied> {
    let _queued = QUEUE.try_acquire().map_err(|_| Denied::Busy)?;
    let _place = PLACES.acquire().await.map_err(|_| Denied::Failed)?;
    tokio::task::spawn_blocking(work).await.map_err(|_| Denied::Failed)
}

fn hasher() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashed(password: &str) -> Option<String> {
    let hash = hasher()?.hash_password(password.as_bytes());
    hash.map_err(|error| tracing::error!(%error, "a password cannot be hashed")).ok().map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_words_do_and_first_guesses_do_not() {
        assert_eq!(judge("gravel umbrella sixty", "alice"), Ok(()));
        assert_eq!(judge("пароль из слов", "alice"), Ok(()));
        for (password, weak) in [
            ("eleven char", Weak::Short),
            (&"x".repeat(LONGEST + 1), Weak::Long),
            ("alice-in-wonderland", Weak::IsName),
            ("my ALICE password", Weak::IsName),
            ("Password1234", Weak::Common),
            ("password12345!", Weak::Common),
            ("123456789012", Weak::Common),
            ("9876543210 1234", Weak::Common),
            ("aaaaaaaaaaaaaa", Weak::Common),
            ("abababababab", Weak::Common),
            ("abcdefghijklmno", Weak::Common),
            ("CorrectHorseBatteryStaple", Weak::Common),
        ] {
            assert_eq!(judge(password, "alice"), Err(weak), "{password}");
        }
        assert_eq!(judge("gravel io umbrella", "io"), Ok(()), "a short name is there by chance");
    }

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_with_a_salt_of_its_own() {
        let (one, other) =
            (hash("gravel umbrella".into()).await.unwrap(), hash("gravel umbrella".into()).await.unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        assert!(verify("gravel umbrella".into(), Some(one.clone())).await.unwrap());
        assert!(!verify("gravel umbrellb".into(), Some(one)).await.unwrap());
    }

    #[tokio::test]
    async fn without_an_account_no_password_fits() {
        for password in ["nobody has this password", ""] {
            assert!(!verify(password.into(), None).await.unwrap());
        }
        assert!(!verify("x".into(), Some("no hash".into())).await.unwrap());
    }
}
