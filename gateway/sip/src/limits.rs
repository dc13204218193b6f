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
/// 64*T1: timers B, F, H, J and L of RFC 3261, N of RFC 6665.
pub const TRANSACTION_PATIENCE: Duration = Duration::from_secs(32);
/// When Timer E would have reached T2, and a 100 is due (RFC 4320 section 4.1).
pub const TRYING_AFTER: Duration = Duration::from_millis(3500);

/// Client transactions in flight at once.
pub const MAX_CLIENT_TRANSACTIONS: usize = 100_000;
/// Server transactions remembered at once, those included that only absorb retransmissions.
pub const MAX_SERVER_TRANSACTIONS: usize = 200_000;
/// What a peer is told to wait when [`MAX_SERVER_TRANSACTIONS`] is reached.
pub const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(5);
