//! What an operator should know about a pair's presence, in words that say what to do.

use causeway_shared::verdict::Code;
use causeway_shared::xmpp::stanza_error::StanzaCondition;

/// Something that did not work, or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairVerdict {
    /// The pool refused the XMPP user's wish to watch for good.
    WatcherRefused {
        /// Its status, or 0 for a NOTIFY that said so.
        status: u16,
    },
    /// The pool wants credentials from the gateway.
    NotTrusted {
        /// 401 or 407.
        status: u16,
    },
    /// The pool cannot make presence documents that the gateway reads.
    NoPidf,
    /// The pool failed or did not answer; the gateway tries again.
    PoolFailing {
        /// Its status; 408 for silence, 503 for no connection.
        status: u16,
    },
    /// A NOTIFY brought a document that was refused.
    BadDocument,
    /// A second device or server answered the same SUBSCRIBE.
    Forked,
    /// The XMPP user or server refused the SIP user's wish to watch.
    ContactRefused {
        /// With this error; `None` is `unsubscribed`.
        condition: Option<StanzaCondition>,
    },
    /// The SIP user subscribes again too soon after a refusal.
    CoolDown,
    /// The SIP user has too many dialogs.
    TooManyDialogs,
    /// An unverified partner has too many users waiting.
    TooManyHeld,
    /// The XMPP user, or all users of his domain, watch as many SIP users as they may.
    TooManyWatched,
    /// A user's address has no form in the other protocol.
    Unmappable,
}

impl PairVerdict {
    /// What happened, for a log field and a metric label.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::WatcherRefused { .. } => "the pool refused the subscription",
            Self::NotTrusted { .. } => "the pool asks the gateway for credentials",
            Self::NoPidf => "the pool offers no application/pidf+xml",
            Self::PoolFailing { .. } => "the pool did not take the subscription",
            Self::BadDocument => "the pool sent an unreadable presence document",
            Self::Forked => "a second notifier answered the subscription",
            Self::ContactRefused { .. } => "the contact refused the subscription",
            Self::CoolDown => "subscribed again within a day of a refusal",
            Self::TooManyDialogs => "too many subscriptions of one user to one contact",
            Self::TooManyHeld => "too many held subscription requests of this partner",
            Self::TooManyWatched => "a user or domain of the partner follows the presence of too many users",
            Self::Unmappable => "an address has no form in the other protocol",
        }
    }

    /// Of which kind it is; rung, side and remedy are the catalogue's.
    pub fn code(&self) -> Code {
        match self {
            Self::WatcherRefused { .. } => Code::SipWatcherRefused,
            Self::NotTrusted { .. } => Code::SipNotTrusted,
            Self::NoPidf => Code::SipNoPidf,
            Self::PoolFailing { .. } => Code::SipSubscription,
            Self::BadDocument => Code::TranslationPresence,
            Self::Forked => Code::SipForked,
            Self::ContactRefused { .. } => Code::StanzaContactRefused,
            Self::CoolDown => Code::LimitsCoolDown,
            Self::TooManyDialogs => Code::LimitsDialogs,
            Self::TooManyHeld => Code::LimitsHeld,
            Self::TooManyWatched => Code::LimitsWatched,
            Self::Unmappable => Code::TranslationAddress,
        }
    }

    /// The SIP status behind it, if there is one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::WatcherRefused { status } | Self::NotTrusted { status } | Self::PoolFailing { status } => {
                Some(*status).filter(|status| *status != 0)
            }
            Self::NoPidf => Some(406),
            Self::Forked => Some(481),
            Self::CoolDown => Some(403),
            Self::TooManyDialogs => Some(500),
            Self::BadDocument => Some(400),
            Self::ContactRefused { .. } | Self::TooManyHeld | Self::TooManyWatched | Self::Unmappable => None,
        }
    }
}
