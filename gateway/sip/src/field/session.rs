//! Session-Expires (RFC 4028 section 4).

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::Malformed;
use crate::grammar;
use crate::header::HeaderValue;
use crate::params;

/// Who refreshes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answers it.
    Uas,
}

/// How long a session lasts without a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// Who refreshes, if it is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads `seconds;refresher=uac`. A refresher that is neither side is as good as none.
    pub(crate) fn parse(value: &Bytes) -> Result<Self, Malformed> {
        let len = memchr::memchr(b';', value).unwrap_or(value.len());
        let (seconds, rest) = value.split_at_checked(len).ok_or(Malformed)?;
        params::check(rest).map_err(|_| Malformed)?;
        let refresher = params::find(rest, "refresher").and_then(|who| match who {
            who if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            who if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        });
        Ok(Self { seconds: grammar::delta_seconds(grammar::trim(seconds)).ok_or(Malformed)?, refresher })
    }

    /// The value as it goes on the wire.
    pub fn to_value(self) -> HeaderValue {
        let mut out = BytesMut::with_capacity(28);
        grammar::write_number(u64::from(self.seconds), &mut out);
        match self.refresher {
            Some(Refresher::Uac) => out.put_slice(b";refresher=uac"),
            Some(Refresher::Uas) => out.put_slice(b";refresher=uas"),
            None => {}
        }
        HeaderValue::unchecked(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_expires_reads_what_it_prints() {
        for refresher in [None, Some(Refresher::Uac), Some(Refresher::Uas)] {
            let value = SessionExpires { seconds: 1800, refresher };
            assert_eq!(SessionExpires::parse(value.to_value().as_bytes()), Ok(value));
        }
        let odd = SessionExpires::parse(&Bytes::from_static(b"90 ; Refresher = UAS ; x=y")).unwrap();
        assert_eq!((odd.seconds, odd.refresher), (90, Some(Refresher::Uas)));
        for bad in [&b""[..], b"x", b"-1", b"90;;", b"9 0"] {
            assert!(SessionExpires::parse(&Bytes::copy_from_slice(bad)).is_err(), "{}", bad.escape_ascii());
        }
    }
}
