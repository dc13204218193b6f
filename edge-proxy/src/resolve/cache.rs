//! Answers that are remembered (RFC 2181, section 5.2; RFC 2308), by name and kind: the one memory of DNS in this edge.
//!
//! Sans-IO: time is an argument. When it is full, the answer that would be forgotten next goes first: it is the one
//! whose loss costs the least.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::dns::{DnsFault, Question, RecordSet};

/// Answers that are remembered, all names together: far more than partners have, and a few megabytes.
pub const MAX_ENTRIES: usize = 10_000;

/// The shortest and longest time an answer is remembered: a TTL of 0 must not mean a question for each stanza, and a
/// partner that moves must be found again within the hour.
const ANSWER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// The longest time an absence is remembered: a partner that has just published its records is not kept waiting.
const ABSENCE: Duration = Duration::from_secs(900);

/// How long a failure is remembered (RFC 2308, section 7: never above five minutes).
const FAILURE: Duration = Duration::from_secs(5);

/// What is remembered of an answer.
pub type Answered = Result<RecordSet, DnsFault>;

/// The memory.
#[derive(Debug, Default)]
pub struct Cache {
    answers: HashMap<Question, (Answered, Instant)>,
    /// The same by the time they end, so that forgetting looks at nothing else.
    by_end: BTreeSet<(Instant, Question)>,
}

impl Cache {
    /// The answer to a question, if it still holds.
    pub fn get(&self, question: &Question, now: Instant) -> Option<&Answered> {
        self.answers.get(question).filter(|(_, end)| *end > now).map(|(answer, _)| answer)
    }

    /// Remembers an answer for as long as it may be.
    pub fn put(&mut self, question: Question, answer: Answered, now: Instant) {
        self.forget(&question);
        let life = life(&answer);
        if life.is_zero() {
            return;
        }
        while let Some((end, _)) = self.by_end.first()
            && (*end <= now || self.answers.len() >= MAX_ENTRIES)
        {
            if let Some((_, ended)) = self.by_end.pop_first() {
                self.answers.remove(&ended);
            }
        }
        self.by_end.insert((now + life, question.clone()));
        self.answers.insert(question, (answer, now + life));
    }

    fn forget(&mut self, question: &Question) {
        if let Some((question, (_, end))) = self.answers.remove_entry(question) {
            self.by_end.remove(&(end, question));
        }
    }
}

fn life(answer: &Answered) -> Duration {
    match answer {
        Ok(records) => records.ttl.clamp(ANSWER.0, ANSWER.1),
        Err(DnsFault::Absent { ttl, .. }) => (*ttl).min(ABSENCE),
        Err(DnsFault::Unavailable(_) | DnsFault::Bogus) => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::resolve::dns::{Data, Kind, Security};

    fn question(name: &str) -> Question {
        Question::new(name, Kind::A)
    }

    fn answer(ttl: u64, security: Security) -> Answered {
        Ok(RecordSet { data: vec![Data::A(Ipv4Addr::new(192, 0, 2, 1))], ttl: Duration::from_secs(ttl), security })
    }

    /// For how many seconds an answer is given again.
    fn kept(answer: Answered) -> u64 {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(question("a"), answer, now);
        let holds = |second: &u64| cache.get(&question("a"), now + Duration::from_secs(*second)).is_some();
        (0..10_000).take_while(holds).count() as u64
    }

    #[test]
    fn an_answer_is_kept_for_its_ttl_within_five_seconds_and_an_hour() {
        assert_eq!(kept(answer(0, Security::Insecure)), 5);
        assert_eq!(kept(answer(300, Security::Insecure)), 300);
        assert_eq!(kept(answer(86_400, Security::Insecure)), 3600);
    }

    #[test]
    fn an_absence_is_kept_as_long_as_the_zone_says_but_not_above_a_quarter_of_an_hour() {
        let absent =
            |seconds| Err(DnsFault::Absent { ttl: Duration::from_secs(seconds), security: Security::Insecure });
        assert_eq!(kept(absent(0)), 0);
        assert_eq!(kept(absent(2)), 2);
        assert_eq!(kept(absent(86_400)), 900);
    }

    #[test]
    fn a_failure_is_kept_for_five_seconds() {
        assert_eq!(kept(Err(DnsFault::Unavailable("SERVFAIL".to_owned()))), 5);
        assert_eq!(kept(Err(DnsFault::Bogus)), 5);
    }

    #[test]
    fn kinds_of_one_name_are_apart_and_spelling_does_not_matter() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(question("Host.Example."), answer(60, Security::Secure), now);
        assert_eq!(cache.get(&question("host.example"), now), Some(&answer(60, Security::Secure)));
        assert_eq!(cache.get(&Question::new("host.example", Kind::Aaaa), now), None);
    }

    #[test]
    fn a_newer_answer_replaces_the_older_one_and_its_end() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(question("a"), answer(5, Security::Secure), now);
        cache.put(question("a"), answer(60, Security::Insecure), now);
        assert_eq!(cache.get(&question("a"), now + Duration::from_secs(30)), Some(&answer(60, Security::Insecure)));
        assert_eq!((cache.answers.len(), cache.by_end.len()), (1, 1));
    }

    #[test]
    fn a_full_cache_forgets_what_ends_first() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..MAX_ENTRIES {
            cache.put(question(&number.to_string()), answer(100 + (number as u64 % 1000), Security::Insecure), now);
        }
        cache.put(question("newest"), answer(50, Security::Insecure), now);
        assert_eq!((cache.answers.len(), cache.by_end.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(cache.get(&question("newest"), now).is_some());
        assert!(cache.get(&question("0"), now).is_none() && cache.get(&question("999"), now).is_some());
    }

    #[test]
    fn what_has_ended_makes_room_by_itself() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..100 {
            cache.put(question(&number.to_string()), answer(10, Security::Insecure), now);
        }
        cache.put(question("later"), answer(10, Security::Insecure), now + Duration::from_secs(11));
        assert_eq!((cache.answers.len(), cache.by_end.len()), (1, 1));
    }
}
