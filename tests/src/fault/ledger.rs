//! Who sent what, and what became of it: each message has a number, and both ends write down what they see of it.
//!
//! An end is judged from all that was seen ([`Entry::end`]); a fault says which ends it allows ([`Allowed`]), and
//! everything else breaks the promise that what is accepted is delivered once or bounced once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From a partner's user to a SIP user.
    ToSip,
    /// From a SIP user to a partner's user.
    ToXmpp,
}

/// What is known of one message.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its way.
    pub way: Way,
    /// The partner at its XMPP end.
    pub partner: &'static str,
    /// Whether that partner counts stanzas (XEP-0198).
    pub counts: bool,
    /// When it was sent.
    pub sent: Instant,
    /// When each copy arrived.
    pub delivered: Vec<Instant>,
    /// When each refusal came back, and what it said.
    pub bounced: Vec<(Instant, String)>,
    /// To SIP: whether the edge has counted it. To XMPP: whether there was a 2xx.
    pub acknowledged: Option<Instant>,
    /// To SIP: whether the stream that it was sent on broke. To XMPP: whether its sender waits no more.
    pub is_over: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It arrived once, and its sender knows nothing else.
    Delivered,
    /// It did not arrive, and its sender was told once.
    Bounced,
    /// It arrived more than once.
    Twice,
    /// It arrived, and its sender was told that it did not.
    Both,
    /// Its sender was told more than once.
    ToldTwice,
    /// Its sender was never told anything, and gave up or lost the stream: it was not accepted. Whether it arrived is
    /// open.
    Unaccepted,
    /// It was handed to a partner that does not count, on a stream that broke before it was read.
    OnTheWire,
    /// It was accepted, it did not arrive, and nobody was told.
    Lost,
    /// Nothing is known yet.
    Open,
}

impl End {
    /// All of them in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Bounced,
        Self::Unaccepted,
        Self::OnTheWire,
        Self::Twice,
        Self::Both,
        Self::ToldTwice,
        Self::Lost,
        Self::Open,
    ];

    /// The heading of its column.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Unaccepted => "unaccepted",
            Self::OnTheWire => "on the wire",
            Self::Twice => "twice",
            Self::Both => "both",
            Self::ToldTwice => "told twice",
            Self::Lost => "lost",
            Self::Open => "open",
        }
    }
}

impl Entry {
    /// What became of it, as far as is known. `broke` are the moments at which the edges' streams to its partner broke.
    pub fn end(&self, broke: &[Instant]) -> End {
        match (self.way, self.delivered.len(), self.bounced.len()) {
            (_, 2.., _) => End::Twice,
            (_, _, 2..) => End::ToldTwice,
            (_, 1, 1) => End::Both,
            (_, 0, 1) => End::Bounced,
            (Way::ToSip, 1, 0) => End::Delivered,
            (Way::ToXmpp, 1, 0) => match (self.acknowledged, self.is_over) {
                (Some(_), _) => End::Delivered,
                (None, true) => End::Unaccepted,
                (None, false) => End::Open,
            },
            (Way::ToSip, 0, 0) => match (self.acknowledged, self.is_over) {
                (Some(_), true) => End::Lost,
                (None, true) => End::Unaccepted,
                (_, false) => End::Open,
            },
            (Way::ToXmpp, 0, 0) => match (self.acknowledged, self.is_over) {
                // What was written to a stream just before it broke may never have been read.
                (Some(_), _)
                    if !self.counts && self.lay_on_the_wire(broke).is_some_and(|lay| lay < STREAM_GIVEN_UP) =>
                {
                    End::OnTheWire
                }
                (Some(_), true) => End::Lost,
                (Some(_), false) => End::Open,
                (None, true) => End::Unaccepted,
                (None, false) => End::Open,
            },
        }
    }
}

/// A stream is given up this long after it last carried anything, at most: what was written to it before is lost with it.
pub const STREAM_GIVEN_UP: Duration = Duration::from_secs(90);

/// What was written to a stream so long before its edge was killed may not have been read yet.
pub const NOT_YET_READ: Duration = Duration::from_secs(3);

/// The same for an edge that did nothing for 25 s before.
pub const NOT_READ_WHILE_FROZEN: Duration = Duration::from_secs(30);

/// The book of one run.
#[derive(Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    broke: BTreeMap<&'static str, Vec<Instant>>,
    strange: Vec<String>,
}

impl Ledger {
    /// A message is about to be sent; the answer is its number.
    pub fn sent(&self, way: Way, partner: &'static str, counts: bool) -> u64 {
        self.with(|book| {
            book.next += 1;
            let entry = Entry {
                way,
                partner,
                counts,
                sent: Instant::now(),
                delivered: Vec::new(),
                bounced: Vec::new(),
                acknowledged: None,
                is_over: false,
            };
            book.entries.insert(book.next, entry);
            book.next
        })
    }

    /// It arrived.
    pub fn delivered(&self, number: u64) {
        self.note(number, "arrived", |entry| entry.delivered.push(Instant::now()));
    }

    /// Its sender was told that it did not arrive.
    pub fn bounced(&self, number: u64, why: &str) {
        self.note(number, "bounced", |entry| entry.bounced.push((Instant::now(), why.to_owned())));
    }

    /// It was counted, or answered with 2xx.
    pub fn acknowledged(&self, number: u64) {
        self.note(number, "was acknowledged", |entry| entry.acknowledged = Some(Instant::now()));
    }

    /// Its sender learns nothing more.
    pub fn over(&self, number: u64) {
        self.note(number, "is over", |entry| entry.is_over = true);
    }

    /// Its sender has lost what would have told him of a failure, so what has not arrived by now he does not count on.
    pub fn forgotten(&self, number: u64) {
        self.note(number, "is forgotten", |entry| {
            entry.acknowledged = entry.acknowledged.filter(|_| !entry.delivered.is_empty());
            entry.is_over = true;
        });
    }

    /// A stream from an edge to the partner broke.
    pub fn broke(&self, partner: &'static str) {
        self.with(|book| book.broke.entry(partner).or_default().push(Instant::now()));
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        self.with(|book| book.next + 1)
    }

    /// Messages of these numbers of which nothing is known, as far as they may still become something.
    pub fn open(&self, from: u64, to: u64) -> usize {
        self.with(|book| book.ends(from, to).filter(|(_, entry, end)| *end == End::Open && !entry.is_quiet()).count())
    }

    /// Whether a message that was sent after this moment has been delivered this way for this partner.
    pub fn flows(&self, way: Way, partner: &str, after: Instant) -> bool {
        self.with(|book| {
            book.entries
                .values()
                .rev()
                .take_while(|entry| entry.sent >= after)
                .any(|entry| entry.way == way && entry.partner == partner && !entry.delivered.is_empty())
        })
    }

    /// How many ended how, from one number to before another.
    pub fn tally(&self, from: u64, to: u64) -> Tally {
        self.with(|book| {
            let mut tally = Tally { broke: book.broke.clone(), ..Tally::default() };
            for (number, entry, end) in book.ends(from, to) {
                // The last that an uncounted stream carried is delivered or bounced in time, or it was lost.
                let end = if end == End::Open { End::Lost } else { end };
                *tally.counts.entry((entry.way, end)).or_default() += 1;
                tally.ends.entry(end).or_default().push((number, entry.clone()));
            }
            tally
        })
    }

    /// What nobody can explain: numbers that were never sent.
    pub fn strange(&self) -> Vec<String> {
        self.with(|book| book.strange.clone())
    }

    fn note(&self, number: u64, what: &str, note: impl FnOnce(&mut Entry)) {
        self.with(|book| match book.entries.get_mut(&number) {
            Some(entry) => note(entry),
            None => book.strange.push(format!("{number} {what} and was never sent")),
        });
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Book) -> T) -> T {
        use_it(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nothing comes any more of a message that is older than every wait on its way: 30 s for a gateway, 32 s for a SIP
/// answer, 25 s for an edge.
const QUIET: Duration = Duration::from_secs(75);

impl Entry {
    fn is_quiet(&self) -> bool {
        self.sent.elapsed() > QUIET
    }
}

impl Book {
    fn ends(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Entry, End)> {
        self.entries.range(from..to).map(|(number, entry)| {
            let broke = self.broke.get(entry.partner).map(Vec::as_slice).unwrap_or_default();
            (*number, entry, entry.end(broke))
        })
    }
}

/// How many messages ended how.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(Way, End), usize>,
    ends: BTreeMap<End, Vec<(u64, Entry)>>,
    broke: BTreeMap<&'static str, Vec<Instant>>,
}

impl Tally {
    /// Messages with this end.
    pub fn count(&self, end: End) -> usize {
        self.ends.get(&end).map(Vec::len).unwrap_or_default()
    }

    /// Messages of this way with this end.
    pub fn count_of(&self, way: Way, end: End) -> usize {
        self.counts.get(&(way, end)).copied().unwrap_or_default()
    }

    /// When streams from the edges to a partner broke.
    fn broke(&self, partner: &str) -> &[Instant] {
        self.broke.get(partner).map(Vec::as_slice).unwrap_or_default()
    }

    /// All messages.
    pub fn all(&self) -> usize {
        self.counts.values().sum()
    }

    /// The messages with this end, for who looks for the cause.
    pub fn with(&self, end: End) -> impl Iterator<Item = &(u64, Entry)> {
        self.ends.get(&end).into_iter().flatten()
    }
}

/// Which ends besides delivery a fault allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// Errors that say why.
    pub bounced: bool,
    /// A second copy, of a message that was under way when a peer died or was cut off between delivery and answer.
    pub twice: bool,
    /// Delivered to SIP and refused: the answer of SIP was what the fault swallowed.
    pub both_to_sip: bool,
    /// Delivered to a partner and refused: the count of XEP-0198, or the edge that knew of it, was what the fault swallowed.
    pub both_to_xmpp: bool,
    /// Messages that were never acknowledged, because the connection to their sender, or their receiver, was lost.
    pub unaccepted: bool,
    /// Messages that were written to a partner that does not count, so long before the stream broke at most.
    pub on_the_wire: Duration,
}

impl Allowed {
    /// What breaks the promise, in words; `began` and `healed` are those of the fault.
    pub fn broken(self, tally: &Tally, began: Instant, healed: Instant) -> Vec<String> {
        let mut broken: BTreeMap<(Way, End, &str), Vec<String>> = BTreeMap::new();
        for end in End::ALL {
            for (number, entry) in tally.with(end) {
                let is_allowed = match end {
                    End::Delivered => true,
                    End::Bounced => self.bounced && entry.was_near(began, healed),
                    End::Twice => self.twice && entry.was_under_way(began, healed),
                    End::Both => match entry.way {
                        Way::ToSip => self.both_to_sip,
                        Way::ToXmpp => self.both_to_xmpp,
                    },
                    End::Unaccepted => self.unaccepted && entry.was_near(began, healed),
                    End::OnTheWire => {
                        entry.lay_on_the_wire(tally.broke(entry.partner)).is_some_and(|lay| lay < self.on_the_wire)
                    }
                    End::ToldTwice | End::Lost | End::Open => false,
                };
                if !is_allowed {
                    let story = format!("{number} {}", entry.story(began));
                    broken.entry((entry.way, end, entry.partner)).or_default().push(story);
                }
            }
        }
        let tell = |((way, end, partner), stories): ((Way, End, &str), Vec<String>)| {
            let examples = stories.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join("\n      ");
            format!("{} {way:?} {} ({partner}):\n      {examples}", stories.len(), end.heading())
        };
        broken.into_iter().map(tell).collect()
    }
}

/// Whoever waits for an answer waits 32 s at most (RFC 3261, section 17.1.2.2), and a moment to notice.
const AFTERMATH: Duration = Duration::from_secs(35);

/// Histories that are told of each kind of breach.
const EXAMPLES: usize = 3;

impl Entry {
    /// Whether it was sent before the fault was healed, and its last copy did not arrive before the fault began.
    fn was_under_way(&self, began: Instant, healed: Instant) -> bool {
        self.sent <= healed && self.delivered.last().is_some_and(|last| *last >= began)
    }

    /// Whether it was sent while the fault lasted, or so shortly before or after that it waited for what the fault held up.
    fn was_near(&self, began: Instant, healed: Instant) -> bool {
        self.sent + AFTERMATH >= began && self.sent <= healed + AFTERMATH
    }

    /// How long before a stream to its partner broke it was written to it, at least.
    fn lay_on_the_wire(&self, broke: &[Instant]) -> Option<Duration> {
        let written = self.acknowledged?;
        broke.iter().filter_map(|broke| broke.checked_duration_since(written)).min()
    }

    /// Its history, with seconds since the fault began.
    fn story(&self, began: Instant) -> String {
        let mut text = format!("sent {}", seconds(self.sent, began));
        let mut add = |what: &str, at: Instant| {
            let _writing_to_a_string_cannot_fail = write!(text, ", {what} {}", seconds(at, began));
        };
        self.delivered.iter().for_each(|at| add("arrived", *at));
        self.acknowledged.iter().for_each(|at| add("acknowledged", *at));
        self.bounced.iter().for_each(|(at, why)| add(&format!("refused ({why})"), *at));
        text
    }
}

fn seconds(at: Instant, began: Instant) -> String {
    let (sign, span) = if at >= began { ('+', at.duration_since(began)) } else { ('-', began.duration_since(at)) };
    format!("{sign}{:.2}", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Allowed = Allowed {
        bounced: false,
        twice: false,
        both_to_sip: false,
        both_to_xmpp: false,
        unaccepted: false,
        on_the_wire: Duration::ZERO,
    };

    fn ends(ledger: &Ledger) -> Vec<End> {
        let tally = ledger.tally(1, ledger.next());
        End::ALL.into_iter().filter(|end| tally.count(*end) > 0).collect()
    }

    #[test]
    fn a_message_that_arrives_and_is_refused_is_both_and_never_hidden_by_one_of_them() {
        let ledger = Ledger::default();
        let number = ledger.sent(Way::ToSip, "fabrikam.example", true);
        ledger.delivered(number);
        assert_eq!(ends(&ledger), [End::Delivered]);
        ledger.bounced(number, "timeout");
        assert_eq!(ends(&ledger), [End::Both]);
        ledger.delivered(number);
        assert_eq!(ends(&ledger), [End::Twice]);
    }

    #[test]
    fn what_was_acknowledged_and_never_arrives_is_lost_for_a_partner_that_counts() {
        let ledger = Ledger::default();
        let number = ledger.sent(Way::ToXmpp, "fabrikam.example", true);
        ledger.acknowledged(number);
        ledger.over(number);
        ledger.broke("fabrikam.example");
        assert_eq!(ends(&ledger), [End::Lost]);
        let began = Instant::now();
        assert_eq!(NOTHING.broken(&ledger.tally(1, ledger.next()), began, began).len(), 1);
    }

    #[test]
    fn without_counting_it_may_have_been_on_the_wire_of_a_stream_that_broke_afterwards() {
        let ledger = Ledger::default();
        ledger.broke("wingtip.example");
        let number = ledger.sent(Way::ToXmpp, "wingtip.example", false);
        ledger.acknowledged(number);
        ledger.over(number);
        assert_eq!(ends(&ledger), [End::Lost]);
        ledger.broke("wingtip.example");
        assert_eq!(ends(&ledger), [End::OnTheWire]);
    }

    #[test]
    fn a_second_copy_is_forgiven_only_of_what_was_sent_before_the_fault_was_healed() {
        let ledger = Ledger::default();
        let number = ledger.sent(Way::ToSip, "fabrikam.example", true);
        ledger.delivered(number);
        ledger.delivered(number);
        let tally = ledger.tally(1, ledger.next());
        let allowed = Allowed { twice: true, ..NOTHING };
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(9));
        let (long_ago, before) = (now - Duration::from_secs(9), now - Duration::from_secs(1));
        assert_eq!(allowed.broken(&tally, later, later).len(), 1);
        assert_eq!(allowed.broken(&tally, long_ago, before).len(), 1);
        assert!(allowed.broken(&tally, long_ago, now).is_empty());
    }

    #[test]
    fn what_bounces_or_is_not_accepted_is_forgiven_only_near_the_fault() {
        let ledger = Ledger::default();
        ledger.bounced(ledger.sent(Way::ToSip, "fabrikam.example", true), "timeout");
        ledger.over(ledger.sent(Way::ToXmpp, "fabrikam.example", true));
        assert_eq!(ends(&ledger), [End::Bounced, End::Unaccepted]);
        let tally = ledger.tally(1, ledger.next());
        let allowed = Allowed { bounced: true, unaccepted: true, ..NOTHING };
        let (now, near, far) = (Instant::now(), Duration::from_secs(30), Duration::from_secs(40));
        assert!(allowed.broken(&tally, now - near, now - near).is_empty());
        assert!(allowed.broken(&tally, now + near, now + near).is_empty());
        assert_eq!(allowed.broken(&tally, now - far, now - far).len(), 2);
        assert_eq!(allowed.broken(&tally, now + far, now + far).len(), 2);
    }

    #[test]
    fn what_lay_on_the_wire_is_forgiven_only_shortly_before_the_stream_broke() {
        let ledger = Ledger::default();
        let number = ledger.sent(Way::ToXmpp, "wingtip.example", false);
        ledger.acknowledged(number);
        ledger.over(number);
        let now = Instant::now();
        ledger.with(|book| book.broke.insert("wingtip.example", vec![now + Duration::from_secs(10)]));
        assert_eq!(ends(&ledger), [End::OnTheWire]);
        let tally = ledger.tally(1, ledger.next());
        let broken = |on_the_wire| Allowed { on_the_wire, ..NOTHING }.broken(&tally, now, now).len();
        assert_eq!([NOT_YET_READ, NOT_READ_WHILE_FROZEN, STREAM_GIVEN_UP].map(broken), [1, 0, 0]);
    }

    #[test]
    fn a_message_of_which_nothing_is_heard_counts_as_lost_and_not_as_open() {
        let ledger = Ledger::default();
        ledger.sent(Way::ToSip, "fabrikam.example", false);
        assert_eq!(ledger.open(1, 2), 1);
        assert_eq!(ends(&ledger), [End::Lost]);
    }
}
