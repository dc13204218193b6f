//! Session timers (RFC 4028): who refreshes a session, how often, and when it has expired.
//!
//! The functions read what both sides say; [`Timer`] is the clock of one session. A session that nobody refreshes ends
//! with a BYE, so a peer that vanished leaves nothing behind.

use std::time::{Duration, Instant};

use crate::field::{Refresher, SessionExpires};
use crate::header::{HeaderName, Headers};
use crate::limits::MIN_SE;

/// The side of the last INVITE or UPDATE that we were on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Uac,
    Uas,
}

/// The clock of a session with an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    interval: Duration,
    since: Instant,
    refreshing: Refreshing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refreshing {
    /// It is ours to refresh at half of the interval.
    Ours,
    /// We have asked for it.
    Asked,
    /// The peer refreshes.
    Theirs,
}

/// What the clock asks for when its deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A refresh.
    Refresh,
    /// A BYE.
    Bye,
}

impl Timer {
    /// Starts with the 2xx that brought `agreed`, which names the refresher.
    pub(crate) fn start(agreed: SessionExpires, side: Side, now: Instant) -> Self {
        let ours = matches!(
            (side, agreed.refresher),
            // A 2xx without refresher came from a peer that leaves it to us.
            (Side::Uac, Some(Refresher::Uac) | None) | (Side::Uas, Some(Refresher::Uas))
        );
        let refreshing = if ours { Refreshing::Ours } else { Refreshing::Theirs };
        Self { interval: Duration::from_secs(u64::from(agreed.seconds)), since: now, refreshing }
    }

    /// When [`Timer::fire`] is wanted.
    pub(crate) fn deadline(&self) -> Instant {
        match self.refreshing {
            Refreshing::Ours => self.since + self.interval / 2,
            // The smaller of 32 s and a third of the interval before the end (RFC 4028 section 10).
            Refreshing::Asked | Refreshing::Theirs => {
                self.since + self.interval.saturating_sub((self.interval / 3).min(Duration::from_secs(32)))
            }
        }
    }

    /// Asks for the refresh once more: what was under way when it was due did not refresh the session.
    pub(crate) fn ask_again(&mut self) {
        if self.refreshing == Refreshing::Asked {
            self.refreshing = Refreshing::Ours;
        }
    }

    /// What is due, if anything.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        match self.refreshing {
            Refreshing::Ours => {
                self.refreshing = Refreshing::Asked;
                Some(Due::Refresh)
            }
            Refreshing::Asked | Refreshing::Theirs => Some(Due::Bye),
        }
    }
}

/// What a UAS says in its 2xx (RFC 4028 section 9), or the 422 it gives instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// No session timer.
    None,
    /// Session-Expires for the 2xx, and whether Require must name `timer`.
    Interval(SessionExpires, bool),
    /// 422 with [`MIN_SE`].
    TooSmall,
}

/// Decides as UAS. `wanted` is our own interval, for peers that ask for none.
pub(crate) fn agree(request: &Headers, wanted: Option<u32>) -> Agreement {
    let supports = request.has_token(&HeaderName::Supported, "timer");
    let min_se = request.min_se().ok().flatten().unwrap_or(MIN_SE).max(MIN_SE);
    let Some(asked) = request.session_expires().ok().flatten() else {
        // The peer asks for nothing. We may, and then refresh ourselves, which needs nothing of the peer.
        return match wanted {
            Some(wanted) => Agreement::Interval(
                SessionExpires { seconds: wanted.max(min_se), refresher: Some(Refresher::Uas) },
                false,
            ),
            None => Agreement::None,
        };
    };
    // A proxy may have put a small interval into the request of a client that knows no 422.
    if asked.seconds < MIN_SE && supports {
        return Agreement::TooSmall;
    }
    // It may be lowered to what we want but never below Min-SE, and never raised unless it breaks the minimum.
    let seconds = wanted.map_or(asked.seconds, |wanted| asked.seconds.min(wanted.max(min_se))).max(MIN_SE);
    let refresher = match (supports, asked.refresher) {
        (false, _) => Refresher::Uas,
        (true, Some(refresher)) => refresher,
        // Free choice: the caller asked for it.
        (true, None) => Refresher::Uac,
    };
    let require = supports && refresher == Refresher::Uac;
    Agreement::Interval(SessionExpires { seconds, refresher: Some(refresher) }, require)
}

/// Reads a 2xx as UAC that had asked for `asked` seconds (RFC 4028 section 7.2). A peer without session timers still has
/// its session refreshed by us, so that we find out when it is gone.
pub(crate) fn agreed(answer: &Headers, asked: Option<u32>) -> Option<SessionExpires> {
    match answer.session_expires().ok().flatten() {
        // An interval below the minimum would have us refresh without end.
        Some(agreed) => Some(SessionExpires { seconds: agreed.seconds.max(MIN_SE), ..agreed }),
        None => asked.map(|seconds| SessionExpires { seconds, refresher: Some(Refresher::Uac) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::HeaderValue;

    fn headers(lines: &[(HeaderName, &'static str)]) -> Headers {
        let mut headers = Headers::default();
        lines.iter().for_each(|(name, value)| headers.push(name.clone(), HeaderValue::from_static(value)));
        headers
    }

    fn interval(seconds: u32, refresher: Refresher, require: bool) -> Agreement {
        Agreement::Interval(SessionExpires { seconds, refresher: Some(refresher) }, require)
    }

    // RFC 4028 section 9, table 2
    #[test]
    fn the_refresher_of_the_answer_follows_the_table() {
        let timer = (HeaderName::Supported, "timer");
        let expires = |text| (HeaderName::SessionExpires, text);
        for (request, expected) in [
            (headers(&[]), Agreement::None),
            (headers(&[expires("600")]), interval(600, Refresher::Uas, false)),
            (headers(&[expires("600;refresher=uac")]), interval(600, Refresher::Uas, false)),
            (headers(&[timer.clone(), expires("600;refresher=uac")]), interval(600, Refresher::Uac, true)),
            (headers(&[timer.clone(), expires("600;refresher=uas")]), interval(600, Refresher::Uas, false)),
            (headers(&[timer.clone(), expires("600")]), interval(600, Refresher::Uac, true)),
            (headers(&[timer.clone(), expires("89")]), Agreement::TooSmall),
            (headers(&[expires("60")]), interval(90, Refresher::Uas, false)),
        ] {
            assert_eq!(agree(&request, None), expected, "{request:?}");
        }
    }

    #[test]
    fn an_interval_is_lowered_to_ours_but_not_below_min_se() {
        let asked = [(HeaderName::Supported, "timer"), (HeaderName::SessionExpires, "3600")];
        assert_eq!(agree(&headers(&asked), Some(600)), interval(600, Refresher::Uac, true));
        assert_eq!(agree(&headers(&asked), Some(7200)), interval(3600, Refresher::Uac, true));
        let floor = [asked[0].clone(), asked[1].clone(), (HeaderName::MinSe, "1800")];
        assert_eq!(agree(&headers(&floor), Some(600)), interval(1800, Refresher::Uac, true));
        assert_eq!(agree(&headers(&[]), Some(600)), interval(600, Refresher::Uas, false));
    }

    #[test]
    fn the_refresher_refreshes_at_half_time_and_gives_up_before_the_end() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let agreed = SessionExpires { seconds: 1800, refresher: Some(Refresher::Uac) };
        let mut timer = Timer::start(agreed, Side::Uac, start);
        assert_eq!(timer.deadline(), after(900));
        assert_eq!(timer.fire(after(899)), None);
        assert_eq!(timer.fire(after(900)), Some(Due::Refresh));
        assert_eq!(timer.deadline(), after(1768));
        assert_eq!(timer.fire(after(1768)), Some(Due::Bye));
        let mut timer = Timer::start(agreed, Side::Uas, start);
        assert_eq!(timer.deadline(), after(1768));
        assert_eq!(timer.fire(after(1768)), Some(Due::Bye));
        let short = Timer::start(SessionExpires { seconds: 90, refresher: None }, Side::Uas, start);
        assert_eq!(short.deadline(), after(60));
    }

    // RFC 4028 section 7.2
    #[test]
    fn a_peer_without_session_timers_is_refreshed_by_us() {
        let asked = agreed(&headers(&[]), Some(1800)).unwrap();
        assert_eq!(asked, SessionExpires { seconds: 1800, refresher: Some(Refresher::Uac) });
        assert_eq!(agreed(&headers(&[]), None), None);
        let tiny = headers(&[(HeaderName::SessionExpires, "1;refresher=uas")]);
        assert_eq!(agreed(&tiny, Some(1800)), Some(SessionExpires { seconds: 90, refresher: Some(Refresher::Uas) }));
    }
}
