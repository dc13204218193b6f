//! Traffic of many partners at once: a stream for each, and messages that take turns over all of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::{LOCAL, PAIRS, PARTNER};
use crate::load::pace::Wire;
use crate::load::sip;
use crate::load::text::{self, Template, padding, user};
use crate::load::xmpp::Sender;
use crate::peer::road::Road;
use crate::peer::xmpp::Stream;
use crate::peer::{fault, tls};

/// Handshakes at the same time.
const AT_ONCE: usize = 8;

/// Every partner's certificate; one for all, because none of them is what is measured.
pub(super) const WILDCARD: &str = "*.load.example";

/// The partner of this number.
pub(super) fn domain(number: usize) -> String {
    format!("p{number:05}.load.example")
}

/// One authenticated stream for each of the first partners; messages go over them in turn.
pub(super) struct Spread {
    senders: Vec<Sender>,
    stanzas: Vec<Template>,
    /// Those with something in line.
    waiting: Vec<usize>,
}

impl Spread {
    /// Opens the streams, to these edges in turn.
    pub(super) async fn open(road: &Road, streams: usize, edges: &[SocketAddr]) -> io::Result<Self> {
        let config = tls::client(&road.authority, Some(&road.authority.issue(&[WILDCARD])?))?;
        let (mut senders, mut opening) = (Vec::with_capacity(streams), JoinSet::new());
        for (number, edge) in (0..streams).zip(edges.iter().copied().cycle()) {
            let config = Arc::clone(&config);
            opening.spawn(async move {
                let from = domain(number);
                Stream::establish(Some(PARTNER), edge, &from, LOCAL, &config).await.map(|stream| (number, stream))
            });
            if opening.len() >= AT_ONCE {
                senders.push(opened(&mut opening).await?);
            }
        }
        while !opening.is_empty() {
            senders.push(opened(&mut opening).await?);
        }
        senders.sort_by_key(|(number, _)| *number);
        let senders = senders.into_iter().map(|(_, stream)| Sender::new(stream, Vec::new()));
        let stanzas = pairs(streams).map(|(pair, partner)| {
            text::stanza(&format!("{}/desk", user("u", pair, &partner)), &user("a", pair, LOCAL))
        });
        Ok(Self { senders: senders.collect::<io::Result<_>>()?, stanzas: stanzas.collect(), waiting: Vec::new() })
    }
}

async fn opened(opening: &mut JoinSet<io::Result<(usize, Stream)>>) -> io::Result<(usize, Stream)> {
    opening.join_next().await.ok_or_else(|| fault("no stream is being opened"))?.map_err(io::Error::other)?
}

/// Users that talk, and the partner of each: enough pairs for all partners, taking turns.
fn pairs(partners: usize) -> impl Iterator<Item = (usize, String)> {
    (0..PAIRS.max(partners)).map(move |pair| (pair, domain(pair % partners.max(1))))
}

/// MESSAGEs to users of the first partners, in turn.
pub(super) fn messages(partners: usize, via: &str) -> Vec<Template> {
    let body = format!("[{}] {}", text::SLOT, padding(90));
    let request = |(pair, partner): (usize, String)| {
        let (from, to) = (user("a", pair, LOCAL), user("u", pair, &partner));
        sip::request("MESSAGE", &from, &to, via, "Content-Type: text/plain;charset=UTF-8\r\n", &body)
    };
    pairs(partners).map(request).collect()
}

impl Wire for Spread {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let pair = usize::try_from(number).unwrap_or_default() % self.stanzas.len().max(1);
        let stream = pair % self.senders.len().max(1);
        if let (Some(stanza), Some(sender)) = (self.stanzas.get_mut(pair), self.senders.get_mut(stream)) {
            sender.put(stanza.with(number))?;
            self.waiting.push(stream);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        for stream in std::mem::take(&mut self.waiting) {
            // A second look at the same one finds nothing to write.
            if let Some(sender) = self.senders.get_mut(stream) {
                sender.flush()?;
            }
        }
        Ok(())
    }

    fn attend(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Several wires that take turns.
pub(super) struct Turns<W>(pub(super) Vec<W>);

impl<W: Wire> Wire for Turns<W> {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let turn = usize::try_from(number).unwrap_or_default() % self.0.len().max(1);
        self.0.get_mut(turn).map_or(Ok(()), |wire| wire.send(number))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(Wire::flush)
    }

    fn attend(&mut self) -> io::Result<bool> {
        self.0.iter_mut().try_fold(false, |any, wire| Ok(wire.attend()? || any))
    }

    fn is_answered(&self) -> bool {
        self.0.iter().any(Wire::is_answered)
    }
}
