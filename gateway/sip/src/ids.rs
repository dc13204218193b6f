//! Identifiers that must not be guessed: tags, branches, Call-IDs (RFC 3261 sections 8.1.1.4, 8.1.1.7 and 19.3).
//!
//! The machines never read randomness; the shell hands them an [`IdSource`].

use std::hash::BuildHasher;

use bytes::{BufMut, BytesMut};

use crate::field::{CallId, MAGIC_COOKIE, Token};

/// Where identifiers come from.
pub struct IdSource(Box<dyn FnMut() -> u64 + Send>);

/// Random bytes fetched from the system at a time.
const POOL: usize = 512;

impl IdSource {
    /// Identifiers from any source of numbers.
    pub fn new(source: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self(Box::new(source))
    }

    /// Identifiers from the random numbers of the operating system, fetched by the pool.
    pub fn os() -> Self {
        let (mut pool, mut unread) = ([0_u8; POOL], 0_usize);
        Self::new(move || {
            if unread == 0 {
                if getrandom::fill(&mut pool).is_err() {
                    // Without /dev/urandom the keys of the standard hasher are the best there is.
                    return std::hash::RandomState::new().hash_one(pool);
                }
                unread = POOL / 8;
            }
            unread -= 1;
            let chunk = pool.as_chunks::<8>().0.get(unread);
            chunk.copied().map_or(0, u64::from_ne_bytes)
        })
    }

    /// 1, 2, 3: for tests.
    pub fn counting() -> Self {
        let mut last = 0;
        Self::new(move || {
            last += 1;
            last
        })
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        (self.0)()
    }

    /// A token of 13 characters.
    pub fn token(&mut self) -> Token {
        let mut out = BytesMut::with_capacity(13);
        write_base32(self.number(), &mut out);
        Token::unchecked(out.freeze())
    }

    /// A branch with the magic cookie.
    pub fn branch(&mut self) -> Token {
        let mut out = BytesMut::with_capacity(20);
        out.put_slice(MAGIC_COOKIE.as_bytes());
        write_base32(self.number(), &mut out);
        Token::unchecked(out.freeze())
    }

    /// A Call-ID of 26 characters.
    pub fn call_id(&mut self) -> CallId {
        let mut out = BytesMut::with_capacity(26);
        write_base32(self.number(), &mut out);
        write_base32(self.number(), &mut out);
        CallId::unchecked(out.freeze())
    }
}

impl std::fmt::Debug for IdSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdSource(..)")
    }
}

/// Makes the branch that belongs to a caller's own key, so that the same stanza has the same branch after a restart.
pub fn branch_of(key: &Token) -> Token {
    let mut out = BytesMut::with_capacity(MAGIC_COOKIE.len() + key.as_bytes().len());
    out.put_slice(MAGIC_COOKIE.as_bytes());
    out.put_slice(key.as_bytes());
    Token::unchecked(out.freeze())
}

/// Thirteen lower-case letters and digits, each standing for five bits.
fn write_base32(number: u64, out: &mut BytesMut) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    for shift in (0..13).rev() {
        let index = (number >> (shift * 5)) & 31;
        out.put_u8(usize::try_from(index).ok().and_then(|index| ALPHABET.get(index)).copied().unwrap_or(b'a'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_the_system_differ_and_have_their_form() {
        let mut ids = IdSource::os();
        assert_ne!(ids.token(), ids.token());
        assert_ne!(ids.call_id(), ids.call_id());
        let branch = ids.branch();
        assert!(branch.as_str().starts_with(MAGIC_COOKIE) && branch.as_str().len() == 20);
        assert!(Token::new(branch.as_bytes().clone()).is_ok());
    }

    #[test]
    fn the_pool_is_refilled() {
        let mut ids = IdSource::os();
        let numbers: std::collections::HashSet<_> = (0..POOL).map(|_| ids.number()).collect();
        assert!(numbers.len() > POOL - 2);
    }
}
