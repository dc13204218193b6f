//! Every bound of the parser and the transaction layer, by name. The bounds of sockets stand in `transport`.

use std::time::Duration;

/// One message, start line to end of body.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Start line and headers together.
pub const MAX_HEAD: usize = 32 * 1024;
/// Header lines of one message.
pub const MAX_HEADERS: usize = 256;
/// Above this many bytes a request must not go over UDP (RFC 3261 section 18.1.1).
pub const MAX_UDP_REQUEST: usize = 1300;

/// T1, the estimate of the round trip (RFC 3261 table 4).
pub const T1: Duration = Duration::from_millis(500);
/// T2, the longest interval between retransmissions of a non-INVITE request.
pub const T2: Duration = Duration::from_secs(4);
/// T4, the longest time a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64*T1: timers B, F, H and J of RFC 3261, L and M of RFC 6026, N of RFC 6665.
pub const TRANSACTION_PATIENCE: Duration = Duration::from_secs(32);
/// Timer D: how long a refusal of our INVITE may come again over UDP; the RFC asks for at least 32 s.
pub const TIMER_D: Duration = Duration::from_secs(32);
/// When an INVITE without any response gets a 100 (RFC 3261 section 17.2.1).
pub const INVITE_TRYING_AFTER: Duration = Duration::from_millis(200);
/// When Timer E would have reached T2, and a 100 is due (RFC 4320 section 4.1).
pub const TRYING_AFTER: Duration = Duration::from_millis(3500);

/// Client transactions at once. Those that are answered and only absorb retransmissions make room for new ones.
pub const MAX_CLIENT_TRANSACTIONS: usize = 100_000;
/// Server transactions remembered at once, those included that only absorb retransmissions: over UDP about 6 000 requests a
/// second for long (Timer J). One has 1.2 kB with its response, so this is 240 MB.
pub const MAX_SERVER_TRANSACTIONS: usize = 200_000;
/// Requests without a final answer at once; beyond it new ones outside of dialogs are refused, so that those inside go on.
/// Far more than the fastest gateway has under way when its partners answer, and they hold about 100 MB.
pub const MAX_UNANSWERED: usize = 50_000;
/// What a peer is told to wait when [`MAX_SERVER_TRANSACTIONS`] or [`MAX_UNANSWERED`] is reached.
pub const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a peer is told to wait when the gateway stops: about the time of a restart. Until then its other targets serve.
pub const DRAIN_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Answers to strangers in one second; the rest hears nothing, so that a forged source address makes no flood of 403s.
pub const MAX_STRANGER_ANSWERS: u32 = 100;

/// Sessions at once, in both directions. One has about two kilobytes.
pub const MAX_SESSIONS: usize = 50_000;
/// Incoming INVITEs that wait for an answer or an ACK, from one address: a flood of them fills its own share only.
pub const MAX_HALF_OPEN_PER_SOURCE: usize = 500;
/// The same, from everybody.
pub const MAX_HALF_OPEN: usize = 5_000;
/// Answers to one INVITE of ours that become sessions (RFC 3261 section 13.2.2.4); more are ended at once.
pub const MAX_FORKS: usize = 8;
/// How long an INVITE of ours may ring before it is cancelled: the least of what RFC 3261 section 16.6 gives Timer C.
pub const RING_PATIENCE: Duration = Duration::from_secs(180);
/// How long the user of the stack may take to answer an INVITE; longer than any translation takes.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// The shortest session interval that we accept (RFC 4028 section 5), in seconds.
pub const MIN_SE: u32 = 90;
/// The session interval that we ask for where none is configured (RFC 4028 section 4), in seconds.
pub const SESSION_EXPIRES: u32 = 1800;
/// The longest Min-SE that a 422 may talk us into, in seconds; beyond it the refusal stands.
pub const MAX_MIN_SE: u32 = 86_400;
/// Times that one INVITE or refresh is repeated because of 422 or 491.
pub const MAX_OFFER_RETRIES: u8 = 4;

/// How long a target is tried last after it failed (RFC 3263 section 4.3 leaves it to the client).
pub const DEAD_TIME: Duration = Duration::from_secs(30);
/// The longest Retry-After of a 503 that is believed: nobody switches us off for a day.
pub const MAX_DEAD_TIME: Duration = Duration::from_secs(300);
/// Dead targets remembered at once.
pub const MAX_DEAD_TARGETS: usize = 256;
/// Targets that one request is sent to, one after the other.
pub const MAX_TRIED: usize = 8;
