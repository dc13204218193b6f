//! The catalogue of verdicts: every kind there is, with its name, its rung, who can mend it, what it means and what to do.
//!
//! A verdict's cause is a sentence about one attempt; its [`Code`] says of which kind it is. Codes are stable: the panel
//! links and translates by them, and the chapter on verdicts in `docs/book` is made from this table. Whoever makes a
//! verdict chooses a code, and with it rung, side and remedy, so that the same trouble never has two remedies.

use super::{Rung, Side};

/// What the catalogue says of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The name in logs, JSON, on the link, and as an anchor in the book.
    pub name: &'static str,
    /// How far such an attempt came.
    pub rung: Rung,
    /// Who can mend it.
    pub side: Side,
    /// What it means, for an operator who reads it for the first time.
    pub meaning: &'static str,
    /// What to do, in sentences fit to be sent to the other side's operator when the side is theirs.
    pub remedy: &'static str,
}

/// The table, written once: the documentation of a code is its meaning.
macro_rules! catalogue {
    ($($(#[doc = $meaning:literal])+ $code:ident, $name:literal, $rung:ident, $side:ident: $remedy:literal;)+) => {
        /// A kind of verdict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $meaning])+ $code,)+
        }

        impl Code {
            /// All codes, in the order of rungs.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// What is known of it.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$code => Entry {
                        name: $name,
                        rung: Rung::$rung,
                        side: Side::$side,
                        meaning: concat!($($meaning),+),
                        remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

catalogue! {
    /// DNS has neither SRV records nor an address for the partner's domain.
    ResolveNothing, "resolve-nothing", Resolve, Theirs:
        "The partner has to publish _xmpp-server._tcp SRV records for its domain.";
    /// The partner's zone says by an SRV record with the target `.` that the domain offers no XMPP.
    ResolveNotOffered, "resolve-not-offered", Resolve, Theirs:
        "The partner has to publish _xmpp-server._tcp SRV records that name its servers; the target `.` says that there \
         are none.";
    /// The name servers did not answer, or answered with a failure. Nothing is tried without their answer.
    ResolveUnavailable, "resolve-unavailable", Resolve, Network:
        "Check the name servers of this edge, and the partner's; if only _xmpps-server fails, the partner's option \
         direct_tls can be turned off.";
    /// The answer failed the validation of DNSSEC: the zone is signed wrongly, or somebody forges answers.
    ResolveBogus, "resolve-bogus", Resolve, Theirs:
        "The partner has to mend the signatures of its zone; if they are sound, look for somebody who forges answers.";
    /// All addresses of the partner's server are of kinds that an edge does not dial: private, loopback, its own.
    ResolveFiltered, "resolve-filtered", Resolve, Operator:
        "If the partner is reached by private addresses, allow them for it.";
    /// A host that the partner's SRV records name has neither an A nor an AAAA record.
    ResolveNoAddress, "resolve-no-address", Resolve, Theirs:
        "The partner has to publish an A or AAAA record for each host in its SRV records.";

    /// No address of the partner's server took the TCP connection: refused, unreachable or silent.
    ConnectFailed, "connect-failed", Connect, Network:
        "Check that the partner's server runs and that the firewalls on the way let TCP through to it.";
    /// A server of the partner was not tried, for the bounds of one attempt were used up by its others.
    ConnectLeftOut, "connect-left-out", Connect, Network:
        "Look at the verdicts about the partner's other servers.";
    /// The time of one attempt was over before an address could be tried.
    ConnectNoTime, "connect-no-time", Connect, Network:
        "Once is chance, and the next stanza tries again; if it repeats, check the name servers of this edge.";
    /// A connection from a trusted proxy did not begin with a header of the PROXY protocol.
    ConnectProxyHeader, "connect-proxy-header", Connect, Operator:
        "Let the load balancer send the PROXY protocol, version 2, or take the listener out of proxy_protocol.";

    /// The other server ended the handshake with an alert about our certificate.
    TlsOurCertificate, "tls-our-certificate", Tls, Operator:
        "The other server refuses our certificate: check that it is valid, names our domain, comes with its \
         intermediates, and that the other side trusts its issuer.";
    /// This edge has no certificate for the domain that it was asked for.
    TlsNoCertificate, "tls-no-certificate", Tls, Operator:
        "Configure a certificate for this edge.";
    /// The handshake failed for another reason: no version, suite or curve in common, or broken bytes.
    TlsFailed, "tls-failed", Tls, Theirs:
        "Compare the TLS versions and suites of both servers.";
    /// The partner's server answered STARTTLS with a failure.
    TlsRefused, "tls-refused", Tls, Theirs:
        "The partner's server needs a certificate and TLS turned on.";
    /// Bytes came unprotected where TLS was to begin. Somebody on the path might have put them there, so the connection
    /// is ended.
    TlsInjected, "tls-injected", Tls, Theirs:
        "Nothing may follow <starttls/> or <proceed/> before TLS; if the partner's server is sound, look for somebody on \
         the path.";
    /// The handshake did not end in the time for it.
    TlsTooSlow, "tls-too-slow", Tls, Theirs:
        "Look at the partner's server and at the network between; a port scan looks the same.";

    /// The partner's server presented no certificate where one has to prove its domain.
    ChainAbsent, "chain-absent", Chain, Theirs:
        "The partner's server has to present its certificate when it connects.";
    /// A certificate of the partner's chain is outside of its time.
    ChainExpired, "chain-expired", Chain, Theirs:
        "The partner has to renew its certificate; also check the clocks of both servers.";
    /// The certificate is self-signed, or no path leads from it to an authority that is trusted for this partner. Often
    /// the partner's server does not send its intermediate certificate.
    ChainUntrusted, "chain-untrusted", Chain, Theirs:
        "The partner needs a certificate of an authority we trust, with its intermediates; or add the partner's own \
         authority to its trust anchors.";
    /// The issuer has revoked a certificate of the chain.
    ChainRevoked, "chain-revoked", Chain, Theirs:
        "The issuer took the certificate back: ask the partner why, and let it present another.";
    /// A revocation list is overdue or not signed by the issuer it speaks for; certificates of that issuer prove nothing
    /// until it is replaced.
    ChainRevocationList, "chain-revocation-list", Chain, Operator:
        "Fetch the issuer's newest revocation list into the file among tls.crl_files.";
    /// The chain is malformed, too long, too weak, wrongly signed, or breaks a rule of RFC 5280.
    ChainUnacceptable, "chain-unacceptable", Chain, Theirs:
        "The partner has to replace its certificate.";
    /// The partner's key is not among those that are pinned for it. Dialback does not make up for that.
    ChainPin, "chain-pin", Chain, Theirs:
        "Ask the partner, not by XMPP, whether it changed its key; if so, pin the new one. If not, somebody is between \
         you.";
    /// A certificate of this edge has expired, or does so within a month.
    ChainOurs, "chain-ours", Chain, Operator:
        "Renew it and put the new one into the files of tls.certificates; it is taken up without a restart.";

    /// The chain holds, and the certificate does not name the partner's domain: no SRVName, xmppAddr or DNS name fits.
    NameMismatch, "name-mismatch", Name, Theirs:
        "The partner needs a certificate whose subject alternative name holds its XMPP domain itself.";

    /// The extended key usage of the partner's certificate does not include serverAuth.
    KeyUsage, "key-usage-server-auth", KeyUsage, Theirs:
        "The partner needs a certificate whose extended key usage allows serverAuth.";

    /// The partner's server does not offer SASL EXTERNAL over TLS, and its settings permit nothing else. Most often it does
    /// not accept our certificate and therefore does not offer it.
    MechanismsNoExternal, "mechanisms-no-external", Mechanisms, Operator:
        "Check that our certificate names the local domain, that its chain is complete, and that the partner trusts its \
         issuer.";
    /// No method of authentication is left that the settings permit and both servers can use.
    MechanismsNoneLeft, "mechanisms-none-left", Mechanisms, Theirs:
        "Compare the partner's negotiation settings with what its server can do.";
    /// The partner's server insists on a stream feature that Causeway does not have.
    MechanismsDemanded, "mechanisms-demanded", Mechanisms, Operator:
        "Ask the partner to make the feature optional for this server.";
    /// The partner's server requires TLS, and the handshake with it has just failed.
    MechanismsTlsFailed, "mechanisms-tls-failed", Mechanisms, Operator:
        "Compare the TLS versions and suites of both servers.";
    /// The partner's server requires TLS, which is turned off for this partner here.
    MechanismsTlsOff, "mechanisms-tls-off", Mechanisms, Operator:
        "Set the partner's TLS negotiation to Optional or Required.";
    /// Dialback is permitted and no passphrase is set from which its keys are made.
    MechanismsNoSecret, "mechanisms-no-secret", Mechanisms, Operator:
        "Set the dialback passphrase of the gateways.";
    /// Dialback is what is left, and the partner's settings do not permit it on such a stream.
    MechanismsNoDialback, "mechanisms-no-dialback", Mechanisms, Operator:
        "Compare the partner's negotiation settings with what its server can do.";

    /// The partner's server offered SASL EXTERNAL and then refused our certificate.
    SaslRefused, "sasl-refused", Sasl, Operator:
        "Check that our certificate names the local domain, that its chain is complete, and that the partner trusts its \
         issuer; or permit dialback.";
    /// The partner's server used EXTERNAL wrongly, or for a domain that is not the one of its stream.
    SaslFailed, "sasl-failed", Sasl, Theirs:
        "The partner's server has to use EXTERNAL with its own domain, as offered.";
    /// The partner's server did not finish SASL in the time for it.
    SaslTooSlow, "sasl-too-slow", Sasl, Theirs:
        "Look at the partner's server and at the network between.";

    /// The partner's server asked an authoritative server for our domain, which called our key wrong.
    DialbackKeyWrong, "dialback-key-wrong", Dialback, Operator:
        "Check that DNS for our domain leads to our edges, and that all of them have one dialback secret.";
    /// The partner's server could not reach our edges to ask about our key.
    DialbackNotReached, "dialback-not-reached", Dialback, Operator:
        "The partner's server has to reach our edges by the SRV records of our domain.";
    /// The partner's server could not verify our key, for a reason of its own.
    DialbackNotVerified, "dialback-not-verified", Dialback, Theirs:
        "Look at the log of the partner's server; it has to reach our edges by the SRV records of our domain.";
    /// A key was not verified in the time for it: ours by the partner, or the partner's by its authoritative server.
    DialbackTooSlow, "dialback-too-slow", Dialback, Theirs:
        "Look at the partner's servers, where its SRV records lead, and at the network between.";
    /// The partner's authoritative server answered a question about a key with an error.
    DialbackNoAnswer, "dialback-no-answer", Dialback, Theirs:
        "Look at the log of the partner's authoritative server, where its SRV records lead.";
    /// The partner's authoritative server does not know the key with which somebody claimed the partner's domain.
    DialbackKeyUnknown, "dialback-key-unknown", Dialback, Theirs:
        "Somebody may be using the partner's domain; or its servers do not share one dialback secret.";
    /// A server asked whether a key is ours that none of our edges can have made.
    DialbackNotOurKey, "dialback-not-our-key", Dialback, Theirs:
        "Somebody may be using our domain; or the edges do not share one dialback secret.";
    /// The partner's server takes no further pair of domains on this stream.
    DialbackNoRoom, "dialback-no-room", Dialback, Theirs:
        "Nothing: the pair gets a stream of its own.";

    /// The domain is neither a partner nor an additional domain of one, or it was removed.
    PolicyNoPartner, "policy-no-partner", Policy, Operator:
        "Add the domain as an XMPP federated partner, if it shall be one.";
    /// A server wants to reach a domain that is not served here.
    PolicyNotServed, "policy-not-served", Policy, Theirs:
        "If the domain is ours, add it to the local domains of the gateways.";
    /// The partner's server asked for TLS, which is turned off for this partner here.
    PolicyTlsOff, "policy-tls-off", Policy, Operator:
        "Set the partner's TLS negotiation to Optional or Required.";
    /// The partner's server used a method of authentication that its settings do not permit.
    PolicyMethod, "policy-method", Policy, Operator:
        "Change the partner's negotiation settings, or let the partner use TLS and SASL EXTERNAL.";
    /// What the partner's server can do and what its settings permit have nothing in common.
    PolicyNegotiation, "policy-negotiation", Policy, Theirs:
        "Compare the partner's negotiation settings with what its server can do.";
    /// A key of ours was asked about on a stream on which the settings do not let us answer.
    PolicyNotConfirmed, "policy-not-confirmed", Policy, Operator:
        "The partner has to ask over TLS, or its TLS negotiation has to be Optional.";
    /// An administrator closed the stream before it was authenticated; what waited for it was returned to its senders.
    PolicyClosed, "policy-closed", Policy, Operator:
        "Send again; the audit journal says who closed it.";
    /// A certificate among a partner's trust anchors cannot be used as one; the others count.
    PolicyTrustAnchor, "policy-trust-anchor", Policy, Operator:
        "Replace the certificate among the partner's trust anchors.";
    /// Somebody who is no trusted proxy connected to a listener of the PROXY protocol.
    PolicyProxy, "policy-proxy", Policy, Operator:
        "If it is a load balancer of yours, add it to trusted_proxies; if not, let nobody else reach the listener.";
    /// An edge passed on a stanza of a pair of domains that this gateway does not allow.
    PolicyPair, "policy-pair", Policy, Operator:
        "Check that edges and gateways have the same partners and local domains.";
    /// A SIP request is for a domain that is no partner's.
    PolicySipNoPartner, "policy-sip-no-partner", Policy, Operator:
        "Add the domain as a partner, or stop the pool from sending it here.";
    /// A SIP request has a sips: target.
    PolicySips, "policy-sips", Policy, Operator:
        "XMPP cannot promise TLS on each hop: have the pool use sip: targets.";
    /// A SIP request is for a local domain, from which it came.
    PolicySipLoop, "policy-sip-loop", Policy, Operator:
        "The pool routes a local domain to the gateway: check its routing.";
    /// The sender of a SIP request is no user of a local domain.
    PolicySipSender, "policy-sip-sender", Policy, Operator:
        "The sender must be a user of a local domain: check From and P-Asserted-Identity.";
    /// The user's external access policy does not let him reach XMPP partners, or not this kind of partner.
    PolicyAccess, "policy-access", Policy, Operator:
        "Grant the user an external_access_policy if he is to reach XMPP partners.";

    /// An edge refused a connection before reading from it: too many, or too many new ones, of one address or of all.
    LimitsConnections, "limits-connections", Limits, Theirs:
        "If the partner needs more connections, raise the limits of the edge or of the settings.";
    /// The partner has all the connections to us that it may have.
    LimitsPartner, "limits-partner", Limits, Operator:
        "Raise the partner's connection limit, or ask why its server opens so many.";
    /// We have all the connections to the partner that there may be.
    LimitsOurs, "limits-ours", Limits, Operator:
        "Raise the connection limit of the partner or of the gateway settings.";
    /// The edge verifies as many dialback keys as it may at once.
    LimitsVerifications, "limits-verifications", Limits, Operator:
        "Ask whose servers make so many streams, or raise the edge's limit of verifications.";
    /// One stream offers more dialback keys at once than may be verified for it.
    LimitsKeys, "limits-keys", Limits, Theirs:
        "Ask why the partner's server proves so many domains at once, or raise the edge's limit.";
    /// A server asks about our dialback keys more often than the edge answers.
    LimitsQuestions, "limits-questions", Limits, Theirs:
        "Ask why the partner's server verifies so much, or raise the edge's rate of questions.";
    /// A stream has all the pairs of domains that it may have.
    LimitsPairs, "limits-pairs", Limits, Operator:
        "Raise the edge's limit of pairs on one stream, or ask why the partner needs so many.";
    /// What waits for the partner has filled its queue, and the stanza was bounced.
    LimitsQueue, "limits-queue", Limits, Theirs:
        "The partner's server takes less than is sent to it; or it is down.";
    /// A SIP user asked to see a contact again within a day of being refused.
    LimitsCoolDown, "limits-cool-down", Limits, Operator:
        "Wait a day, or remove the pair.";
    /// A SIP user has more subscriptions to one contact than devices explain.
    LimitsDialogs, "limits-dialogs", Limits, Operator:
        "Look for a client that subscribes again without ending its subscriptions.";
    /// Users of an unverified partner ask more people than may wait for an answer.
    LimitsHeld, "limits-held", Limits, Theirs:
        "Look for a user of the partner who asks many people.";
    /// A user of the partner, or all its users together, follow as many SIP users as they may.
    LimitsWatched, "limits-watched", Limits, Theirs:
        "Raise quotas.watched_per_user or quotas.watched_per_partner, if that many are wanted.";

    /// The partner's server broke a rule of XMPP streams; the cause names the condition of RFC 6120.
    StreamRule, "stream-rule", Stream, Theirs:
        "The partner's server broke a rule of XMPP streams; report it to its operator or vendor.";
    /// The partner's server ended the stream with an error about the XML that we send.
    StreamOurXml, "stream-our-xml", Stream, Operator:
        "That is about what this server sends: report it to the makers of Causeway.";
    /// The partner's server ended the stream because it lacks a feature or version that it wants of us.
    StreamVersion, "stream-version", Stream, Operator:
        "The partner's server and this one share no version of XMPP; compare what both can do.";
    /// The partner's server sent us to another host.
    StreamRedirected, "stream-redirected", Stream, Theirs:
        "Redirections are not followed; the partner's SRV records have to name its servers.";
    /// The partner's server ended the stream, with an error or without, before it was of use.
    StreamEnded, "stream-ended", Stream, Theirs:
        "Look at the partner's log for the reason.";
    /// The partner's server came to us and left again before it was authenticated.
    StreamLeft, "stream-left", Stream, Theirs:
        "Look at the partner's log for what it disliked; often it does not trust our certificate.";
    /// The partner's server said nothing, or did not open or authenticate its stream, in the time for it.
    StreamTooSlow, "stream-too-slow", Stream, Theirs:
        "Look at the partner's server and at the network between; a port scan looks the same.";
    /// An established stream was silent for the keep-alive interval, and a ping got no answer.
    StreamSilent, "stream-silent", Stream, Theirs:
        "If the partner never sends keep-alives, turn them off for it.";
    /// The partner's server broke the rules of stream management (XEP-0198), for example by acknowledging what was never
    /// sent.
    StreamManagement, "stream-management", Stream, Theirs:
        "Turn stream_management off for the partner until its server is mended.";
    /// The TCP connection broke.
    StreamBroken, "stream-broken", Stream, Network:
        "Look at the partner's server and at the network between.";

    /// A gateway was not let in by an edge.
    LinkRefused, "link-refused", Link, Operator:
        "Check the gateway's link certificate: its authority must be the link's, and one of its DNS names must stand in \
         allowed_gateways.";
    /// An edge has nobody to pass stanzas to.
    LinkNoGateway, "link-no-gateway", Link, Operator:
        "Look why no gateway is attached to this edge.";
    /// No gateway took a stanza for as long as it may wait; its sender got an error.
    LinkNotTaken, "link-not-taken", Link, Operator:
        "Check that gateways run and are attached to this edge.";
    /// A gateway does not reach an edge.
    LinkUnreachable, "link-unreachable", Link, Network:
        "Check that the edge runs, and that the firewall lets the gateway reach its link port.";
    /// The handshake of gateway and edge failed.
    LinkTls, "link-tls", Link, Operator:
        "Check that the certificates of both sides are signed by the link's authority and have not expired.";
    /// The edge's certificate holds none of the names that the gateway expects.
    LinkName, "link-name", Link, Operator:
        "Add one of the names in the edge's certificate to allowed_edges, or issue it another one.";
    /// The edge ended the connection before the call.
    LinkClosed, "link-closed", Link, Operator:
        "An edge that closes at once may not allow this gateway: compare allowed_gateways with our certificate.";
    /// The edge refused the gateway's call.
    LinkCall, "link-call", Link, Operator:
        "See the edge's log for the reason; builds of both sides must fit.";
    /// Gateway and edge do not understand each other.
    LinkContract, "link-contract", Link, Ours:
        "Run builds of the same version on both sides.";
    /// The edge stopped taking what the gateway sends.
    LinkStalled, "link-stalled", Link, Ours:
        "Restart the edge; keep its log.";

    /// A stanza is larger than the partner's server takes, by its own word.
    StanzaTooLarge, "stanza-too-large", Stanza, Theirs:
        "Send less at once, or let the partner raise its limit.";
    /// A stream broke behind stanzas that the partner had not acknowledged. They may have arrived, so they are not sent
    /// again; their senders got an error.
    StanzaUncertain, "stanza-uncertain", Stanza, Theirs:
        "Look at the partner's server and at the network between.";
    /// No stream to the partner could be had for as long as a stanza may wait.
    StanzaTooLate, "stanza-too-late", Stanza, Theirs:
        "Look at the verdicts of the attempts to connect to the partner.";
    /// A gateway could not deliver a stanza and has answered its sender.
    StanzaNotDelivered, "stanza-not-delivered", Stanza, Operator:
        "The gateway has answered the sender; see its verdicts.";
    /// An error came back for a message after it had been accepted.
    StanzaLateError, "stanza-late-error", Stanza, Theirs:
        "The partner refused the message after taking it; SIP has no way to tell the sender.";
    /// The XMPP user, or his server, refused a SIP user's wish to see his presence.
    StanzaContactRefused, "stanza-contact-refused", Stanza, Theirs:
        "Nothing, unless the contact expected it.";

    /// A call from the pool offers nothing that XMPP carries.
    TranslationCall, "translation-call", Translation, Operator:
        "The gateway carries chats; keep the pool from sending calls with sound or pictures to it.";
    /// A MESSAGE from the pool has a body that XMPP does not carry.
    TranslationMessage, "translation-message", Translation, Operator:
        "The gateway carries text/plain, text/html, multipart/alternative, message/cpim and \
         application/im-iscomposing+xml.";
    /// The pool sent a presence document that cannot be read.
    TranslationPresence, "translation-presence", Translation, Operator:
        "Capture the NOTIFY and report it to the pool's vendor.";
    /// An address has no form in the other protocol.
    TranslationAddress, "translation-address", Translation, Operator:
        "Rename the account.";

    /// The pool answered with 401 or 407: it asks the gateway for credentials, of which it has none.
    SipNotTrusted, "sip-not-trusted", Sip, Operator:
        "Make the pool trust the gateway's address or certificate: add the gateway to its trusted servers.";
    /// The pool refused a message.
    SipRefused, "sip-refused", Sip, Operator:
        "Nothing, if the user is unknown or away; else look into the pool's log.";
    /// The pool did not answer in 32 seconds.
    SipSilent, "sip-silent", Sip, Network:
        "Check that the pool is up and reaches the user.";
    /// No target of the pool could be reached.
    SipUnreachable, "sip-unreachable", Sip, Network:
        "Check sip.next_hops and that the pool listens there.";
    /// The message stream of a chat session failed.
    SipMsrp, "sip-msrp", Sip, Operator:
        "Check that the gateway and the pool's clients reach each other's MSRP ports, and their certificates; messages \
         go without sessions meanwhile.";
    /// The pool refused an XMPP user's wish to see a SIP user's presence.
    SipWatcherRefused, "sip-watcher-refused", Sip, Operator:
        "Check the presence rules of the SIP user and the pool for federated watchers.";
    /// The pool cannot make presence documents of the kind application/pidf+xml.
    SipNoPidf, "sip-no-pidf", Sip, Operator:
        "Enable PIDF on the pool's presence server.";
    /// The pool did not take a subscription; the gateway tries again by itself.
    SipSubscription, "sip-subscription", Sip, Operator:
        "Check the pool and the connection to it; the gateway tries again by itself.";
    /// A second device or server answered the same SUBSCRIBE.
    SipForked, "sip-forked", Sip, Operator:
        "Let one presence server answer for each user.";
    /// A SIP request came from somebody who is not among the trusted peers.
    SipStranger, "sip-stranger", Sip, Operator:
        "Add the sender to sip.trusted_peers if it is one of the pool.";
    /// A SIP message breaks RFC 3261.
    SipMalformed, "sip-malformed", Sip, Theirs:
        "The sender writes SIP that RFC 3261 does not allow.";
    /// A SIP request has been here before, or has passed too many hops.
    SipLoop, "sip-loop", Sip, Operator:
        "The pool routes in a circle: check its routing.";
    /// The same SIP request came by two ways.
    SipMerged, "sip-merged", Sip, Operator:
        "The pool sends the same request twice: check its forking.";
    /// A SIP request wants something that the gateway does not serve.
    SipNotServed, "sip-not-served", Sip, Theirs:
        "The gateway serves MESSAGE, chat sessions and the event package presence with sip: URIs.";
    /// The gateway has as many SIP transactions under way as it may.
    SipOverload, "sip-overload", Sip, Operator:
        "Too much traffic for this gateway: add a replica.";

    /// The store failed; what needed it was answered with a temporary error.
    StoreFailed, "store-failed", Store, Operator:
        "Mend the store; the gateway goes on by itself.";
}

impl Code {
    /// The name in logs, JSON, on the link, and as an anchor in the book.
    pub const fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// Reads [`Code::as_str`]. A build of another version may have others.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_reads_back_and_begins_with_its_rung() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!(code.as_str().starts_with(code.entry().rung.as_str()), "{}", code.as_str());
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
        assert_eq!(Code::parse("nonsense"), None);
    }

    #[test]
    fn codes_come_in_the_order_of_rungs_and_no_rung_is_without() {
        let order: Vec<_> = Rung::ALL.into_iter().collect();
        let place = |code: &Code| order.iter().position(|rung| *rung == code.entry().rung);
        assert!(Code::ALL.is_sorted_by_key(place));
        for rung in Rung::ALL {
            assert!(Code::ALL.iter().any(|code| code.entry().rung == rung), "{rung:?}");
        }
    }

    #[test]
    fn every_meaning_and_remedy_is_whole_sentences() {
        for entry in Code::ALL.iter().map(|code| code.entry()) {
            for text in [entry.meaning.trim(), entry.remedy] {
                let begins_well = text.chars().next().is_some_and(|c| c.is_uppercase() || c == '_');
                assert!(begins_well && text.ends_with('.') && !text.contains("  "), "{}: {text}", entry.name);
            }
        }
    }
}
