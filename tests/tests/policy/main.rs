//! Who may what: the real `gateway` between a fake edge and a fake pool, for each partner type, for users who have added
//! their contact and users who have not, and for a local user who exists and one who does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod expected;
mod from_sip;
mod from_xmpp;
mod strangers;
mod support;
