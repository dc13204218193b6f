//! The numbers under which one gateway knows how pairs were authenticated.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use causeway_proto::link::v1 as proto;
use causeway_shared::link::{MAX_CONTEXTS, PairContext, convert};

/// How many contexts are announced before those of ended streams give up their numbers for the first time.
const FIRST_SWEEP: usize = 4096;

/// The contexts that one gateway knows by number. Their count follows the streams that are open.
pub(super) struct Contexts {
    /// By the address of the shared value, which a weak reference keeps taken.
    numbers: HashMap<usize, (u32, Weak<PairContext>)>,
    free: Vec<u32>,
    last: u32,
    sweep_at: usize,
}

impl Default for Contexts {
    fn default() -> Self {
        Self { numbers: HashMap::new(), free: Vec::new(), last: 0, sweep_at: FIRST_SWEEP }
    }
}

impl Contexts {
    /// The number of a context; with the announcement if the gateway does not know it yet.
    pub(super) fn number(&mut self, context: &Arc<PairContext>) -> (u32, Option<proto::PairContext>) {
        let address = Arc::as_ptr(context).addr();
        if let Some((number, _)) = self.numbers.get(&address) {
            return (*number, None);
        }
        if self.numbers.len() >= self.sweep_at {
            self.sweep();
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        self.numbers.insert(address, (number, Arc::downgrade(context)));
        (number, Some(convert::context_to_proto(number, context)))
    }

    /// Frees the numbers of contexts that nobody holds any more: their streams are gone, and so is every stanza that named
    /// them, because an unacknowledged stanza holds its context.
    fn sweep(&mut self) {
        let free = &mut self.free;
        self.numbers.retain(|_, (number, context)| {
            let live = context.strong_count() > 0;
            if !live {
                free.push(*number);
            }
            live
        });
        self.sweep_at = (2 * self.numbers.len()).clamp(FIRST_SWEEP, MAX_CONTEXTS);
    }
}

#[cfg(test)]
mod tests {
    use causeway_shared::domain::{DomainName, DomainPair};
    use causeway_shared::link::Method;

    use super::*;

    fn context() -> Arc<PairContext> {
        let domain = |name| DomainName::parse(name).unwrap();
        Arc::new(PairContext {
            pair: DomainPair { local: domain("contoso.example"), remote: domain("fabrikam.example") },
            method: Method::SaslExternal,
            stream_id: "s1".to_owned(),
            peer_address: String::new(),
            certificate_sha256: None,
        })
    }

    #[test]
    fn a_context_is_announced_once() {
        let mut contexts = Contexts::default();
        let (first, second) = (context(), context());
        assert!(matches!(contexts.number(&first), (1, Some(_))));
        assert!(matches!(contexts.number(&second), (2, Some(_))));
        assert!(matches!(contexts.number(&first), (1, None)));
    }

    #[test]
    fn only_numbers_of_ended_streams_are_given_anew() {
        let mut contexts = Contexts::default();
        let live: Vec<_> = (0..FIRST_SWEEP / 2).map(|_| context()).collect();
        live.iter().for_each(|context| drop(contexts.number(context)));
        for _ in 0..10 * FIRST_SWEEP {
            contexts.number(&context());
        }
        assert!(contexts.numbers.len() <= FIRST_SWEEP && usize::try_from(contexts.last).unwrap() <= FIRST_SWEEP);
        for (place, context) in live.iter().enumerate() {
            assert!(
                matches!(contexts.number(context), (number, None) if usize::try_from(number).unwrap() == place + 1)
            );
        }
    }
}
