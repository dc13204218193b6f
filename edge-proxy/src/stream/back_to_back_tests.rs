//! Both machines back to back in memory: what two servers with the same settings for each other agree on, for each of
//! the 18 rows of the negotiation matrix.

use std::time::Duration;

use bytes::BytesMut;
use causeway_shared::domain::DomainPair;
use causeway_shared::limits::Limits;
use causeway_shared::link::Snapshot;
use causeway_shared::partner::NegotiationSettings;

use super::Method;
use super::dialback::{self, Answer};
use super::frames::{Frame, Frames};
use super::negotiation_in::{self, Receiving};
use super::negotiation_out::{self, Goal, Initiating};
use super::test_support::{Flaw, LOCAL, REMOTE, domain, identity, moment, settings, snapshot};
use crate::policy::Moment;

/// The settings of fabrikam, where contoso is the partner.
fn mirrored(negotiation: NegotiationSettings) -> Snapshot {
    let mut snapshot = snapshot(negotiation);
    snapshot.local_domains = vec![domain(REMOTE)];
    snapshot.partners[0].domain = domain(LOCAL);
    snapshot
}

/// One end of the wire.
struct End {
    frames: Frames,
    buffer: BytesMut,
    at: Moment,
}

impl End {
    fn new(snapshot: &Snapshot) -> Self {
        Self { frames: Frames::new(Limits::default()), buffer: BytesMut::new(), at: moment(snapshot) }
    }

    fn frame(&mut self) -> Option<Frame> {
        self.frames.next(&mut self.buffer, &mut BytesMut::new()).unwrap()
    }
}

/// What contoso, initiating, and fabrikam, receiving, agree on; `None` when they part.
fn agree(negotiation: NegotiationSettings, flaw: Flaw) -> Option<(Method, Method)> {
    let (mut contoso, mut fabrikam) = (End::new(&snapshot(negotiation)), End::new(&mirrored(negotiation)));
    let pair = DomainPair { local: domain(LOCAL), remote: domain(REMOTE) };
    let goal = Goal::Stanzas { without_external: false };
    let give_up = contoso.at.now + Duration::from_secs(60);
    let mut initiating = Initiating::new(pair, goal, give_up, &contoso.at);
    let mut receiving = Receiving::new("192.0.2.1:40000".to_owned(), &fabrikam.at);
    let (mut sent, mut accepted) = (None, None);
    let mut to_initiating = vec![negotiation_out::Input::Connected];
    let mut to_receiving: Vec<negotiation_in::Input> = Vec::new();
    // A negotiation takes a dozen turns; one that does not end is a failure of the test.
    for turn in 0..50 {
        let mut out = Vec::new();
        for input in to_initiating.drain(..) {
            initiating.handle(input, &contoso.at, &mut out);
        }
        for output in out {
            match output {
                negotiation_out::Output::Send(bytes) => fabrikam.buffer.extend_from_slice(&bytes),
                negotiation_out::Output::StartTls(name) => {
                    assert_eq!(name, domain(REMOTE));
                    to_initiating.push(negotiation_out::Input::Secured(identity(&[REMOTE], flaw)));
                }
                negotiation_out::Output::Restart => contoso.frames.restart(),
                negotiation_out::Output::Ready(method) => sent = Some(method),
                negotiation_out::Output::Failed(_) | negotiation_out::Output::Abort => return None,
                negotiation_out::Output::Verdict(_)
                | negotiation_out::Output::Joined(_)
                | negotiation_out::Output::NotJoined(..)
                | negotiation_out::Output::Acknowledged(_)
                | negotiation_out::Output::Report(_)
                | negotiation_out::Output::Unsolicited
                | negotiation_out::Output::Close => panic!("{output:?}"),
            }
        }
        if let (Some(sent), Some(accepted)) = (sent, accepted) {
            return Some((sent, accepted));
        }
        while let Some(frame) = fabrikam.frame() {
            to_receiving.push(match frame {
                Frame::Header(header) => negotiation_in::Input::Header(header, format!("id{turn}")),
                Frame::Element(element) => {
                    negotiation_in::Input::Element { element, followed: !fabrikam.buffer.is_empty() }
                }
                Frame::Close => negotiation_in::Input::Close,
                Frame::Stanza(..) | Frame::Whitespace => panic!("{frame:?}"),
            });
        }
        let mut out = Vec::new();
        for input in to_receiving.drain(..) {
            receiving.handle(input, &fabrikam.at, &mut out);
        }
        for output in out {
            match output {
                negotiation_in::Output::Send(bytes) => contoso.buffer.extend_from_slice(&bytes),
                negotiation_in::Output::StartTls(_) => {
                    to_receiving.push(negotiation_in::Input::Secured(identity(&[LOCAL], flaw)));
                }
                negotiation_in::Output::Restart => fabrikam.frames.restart(),
                negotiation_in::Output::Authorised(_, method) => {
                    fabrikam.frames.authenticated();
                    accepted = Some(method);
                }
                negotiation_in::Output::Verify { pair, stream_id, key } => {
                    // Contoso's authoritative server, asked over a stream of its own.
                    let answer =
                        dialback::authoritative_answer(&pair.local, &pair.remote, &stream_id, &key, &contoso.at);
                    assert_eq!(answer, Answer::Valid);
                    to_receiving.push(negotiation_in::Input::Verified(pair, answer));
                }
                negotiation_in::Output::Report(_) | negotiation_in::Output::Close => {}
                negotiation_in::Output::Ping(_)
                | negotiation_in::Output::Acknowledged(_)
                | negotiation_in::Output::Unsolicited
                | negotiation_in::Output::Abort => panic!("{output:?}"),
            }
        }
        while let Some(frame) = contoso.frame() {
            to_initiating.push(match frame {
                Frame::Header(header) => negotiation_out::Input::Header(header),
                Frame::Element(element) => {
                    negotiation_out::Input::Element { element, followed: !contoso.buffer.is_empty() }
                }
                Frame::Close => negotiation_out::Input::Close,
                Frame::Stanza(..) | Frame::Whitespace => panic!("{frame:?}"),
            });
        }
    }
    panic!("the negotiation does not end");
}

const S: Option<(Method, Method)> = Some((Method::SaslExternal, Method::SaslExternal));
const DT: Option<(Method, Method)> = Some((Method::TlsDialback, Method::TlsDialback));
const DC: Option<(Method, Method)> = Some((Method::TlsDialback, Method::TlsDialbackCertificate));
const DP: Option<(Method, Method)> = Some((Method::TcpDialback, Method::TcpDialback));

/// A row of the matrix: what is agreed on with certificates that prove the domains, and with such that do not.
type Row = ((char, char, bool), Option<(Method, Method)>, Option<(Method, Method)>);

const ROWS: [Row; 18] = [
    (('R', 'R', true), S, None),
    (('R', 'R', false), S, None),
    (('O', 'R', true), S, DT),
    (('O', 'R', false), S, None),
    (('N', 'R', true), DP, DP),
    (('N', 'R', false), None, None),
    (('R', 'O', true), S, DT),
    (('R', 'O', false), S, None),
    (('O', 'O', true), S, DT),
    (('O', 'O', false), S, None),
    (('N', 'O', true), DP, DP),
    (('N', 'O', false), None, None),
    (('R', 'N', true), DC, DT),
    (('R', 'N', false), None, None),
    (('O', 'N', true), DC, DT),
    (('O', 'N', false), None, None),
    (('N', 'N', true), DP, DP),
    (('N', 'N', false), None, None),
];

#[test]
fn two_servers_of_the_same_row_agree_on_its_best_method() {
    for ((tls, sasl, dialback), proven, unproven) in ROWS {
        let negotiation = settings(tls, sasl, dialback);
        assert_eq!(agree(negotiation, Flaw::Nothing), proven, "{tls}{sasl}{dialback}, certificates that prove");
        assert_eq!(agree(negotiation, Flaw::SelfSigned), unproven, "{tls}{sasl}{dialback}, self-signed");
    }
}
