//! Whether the clock can be right: certificates, presence and the journal rest on it.

use super::Check;
use crate::admin::desk::Desk;

/// What comes later than this software was written: 2026-01-01.
const NOT_BEFORE_MS: u64 = 1_767_225_600_000;

/// How far the past may lie ahead: gateways that share a store have clocks of their own.
const TOLERANCE_MS: u64 = 60_000;

pub(super) async fn check(desk: &Desk, snapshot: u64, now_ms: u64) -> Vec<Check> {
    let last = desk.store.journal_before(None, 1).await.unwrap_or_default();
    let last_ms = last.first().map_or(0, |record| record.entry.at_ms);
    vec![judge(now_ms, last_ms.max(snapshot))]
}

fn judge(now_ms: u64, last_ms: u64) -> Check {
    let shown = crate::translate::date::write_timestamp(now_ms);
    let remedy = "set the clock, and let NTP keep it (timedatectl)";
    if now_ms < NOT_BEFORE_MS {
        return Check::failed("clock", format!("it is {shown}, which is past"), remedy);
    }
    if last_ms > now_ms.saturating_add(TOLERANCE_MS) {
        let later = crate::translate::date::write_timestamp(last_ms);
        return Check::failed(
            "clock",
            format!("it is {shown}, and something was done at {later}: it was set back"),
            remedy,
        );
    }
    Check::ok("clock", format!("it is {shown}"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_or_never_set_is_told() {
        assert_eq!(judge(NOT_BEFORE_MS, 0).state, State::Ok);
        assert_eq!(judge(0, 0).state, State::Failed);
        assert_eq!(judge(NOT_BEFORE_MS, NOT_BEFORE_MS + 1_000).state, State::Ok);
        assert_eq!(judge(NOT_BEFORE_MS, NOT_BEFORE_MS + 3_600_000).state, State::Failed);
    }
}
