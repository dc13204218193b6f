//! Any sequence of what users, the pool and the network do with sessions.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// bob or carol writes a chat message.
    Write(usize),
    /// alice calls.
    Call,
    /// alice acknowledges what was answered.
    Acknowledge,
    /// alice writes in her session.
    Reply,
    /// The pool answers the oldest request.
    Answer(usize),
    /// The pool never answers the oldest request.
    Forget,
    /// The other end of a session of ours hangs up.
    HangUp,
    /// The edge says how a stanza of ours ended.
    Stanza(bool),
    /// Time passes.
    Pass(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Deed::Write),
        1 => Just(Deed::Call),
        1 => Just(Deed::Acknowledge),
        1 => Just(Deed::Reply),
        6 => (0..ANSWERS.len()).prop_map(Deed::Answer),
        1 => Just(Deed::Forget),
        1 => Just(Deed::HangUp),
        1 => any::<bool>().prop_map(Deed::Stanza),
        1 => (1..700_000_u64).prop_map(Deed::Pass),
    ]
}

const ANSWERS: [u16; 12] = [200, 200, 200, 200, 100, 180, 404, 480, 481, 486, 488, 503];
const WRITERS: [&str; 2] = [BOB, "carol@fabrikam.example/x"];

/// A rig with the pool's side of the sessions.
struct Lab {
    rig: Rig,
    /// Requests of ours that the pool has not answered.
    open: Vec<Request>,
    /// The session that alice opened, and how often she has spoken in it.
    hers: Option<(Response, u32)>,
    calls: u32,
    /// The numbers of stanzas and how often they were finished.
    finished: BTreeMap<u64, usize>,
}

impl Lab {
    fn look(&mut self) {
        for message in self.rig.sent() {
            match message {
                Message::Request(request) if request.method != SipMethod::Ack => self.open.push(request),
                Message::Request(_) => {}
                Message::Response(response) => {
                    let is_invite = response.headers.cseq().is_ok_and(|cseq| cseq.method == SipMethod::Invite);
                    if is_invite && response.status == Status::OK {
                        self.hers = Some((response, 1));
                    }
                }
            }
        }
        for seq in self.rig.finished() {
            *self.finished.entry(seq).or_default() += 1;
        }
    }

    fn speak(&mut self, method: &str, headers: &str, body: &str) {
        let Some((answer, cseq)) = self.hers.clone() else { return };
        let cseq = if method == "ACK" { 1 } else { cseq + 1 };
        self.hers = Some((answer.clone(), cseq));
        self.rig.in_session(&answer, cseq, method, headers, body);
    }

    fn answer(&mut self, code: u16) {
        if self.open.is_empty() {
            return;
        }
        let request = if code < 200 { self.open[0].clone() } else { self.open.remove(0) };
        match (request.method == SipMethod::Invite, code) {
            (true, 200) => self.rig.pick_up(&request),
            (true, _) => self.rig.refuse(&request, Status::new(code).unwrap()),
            (false, _) => self.rig.answer(&request, Status::new(code.max(200)).unwrap()),
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Write(who) => drop(self.rig.message(WRITERS[who], "hello")),
            Deed::Call => {
                self.calls += 1;
                let call_id = format!("c{}", self.calls);
                self.rig.invite(&call_id, SDP);
            }
            Deed::Acknowledge => self.speak("ACK", "", ""),
            Deed::Reply => self.speak("MESSAGE", "Content-Type: text/plain\n", "hi"),
            Deed::Answer(which) => self.answer(ANSWERS[which]),
            Deed::Forget => drop((!self.open.is_empty()).then(|| self.open.remove(0))),
            Deed::HangUp => self.speak("BYE", "", ""),
            Deed::Stanza(is_done) => {
                if !self.rig.out.stanzas.is_empty() {
                    let failed = Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no"));
                    self.rig.stanza_ends(if is_done { Outcome::Done } else { failed });
                }
            }
            Deed::Pass(ms) => self.rig.pass(Duration::from_millis(ms)),
        }
        self.look();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // Rule: session.any-sequence
    #[test]
    fn no_sequence_leaves_a_session_behind_or_a_message_without_exactly_one_end(
        deeds in proptest::collection::vec(deed(), 1..60),
    ) {
        let mut lab =
            Lab { rig: Rig::lync(), open: Vec::new(), hers: None, calls: 0, finished: BTreeMap::new() };
        lab.rig.change(|settings| settings.quotas.message = 0);
        deeds.into_iter().for_each(|deed| lab.act(deed));
        // Nobody says anything any more, and every stanza of ours arrives.
        for _ in 0..200 {
            while !lab.rig.out.stanzas.is_empty() {
                lab.act(Deed::Stanza(true));
            }
            lab.act(Deed::Pass(40_000));
        }
        prop_assert_eq!(lab.rig.engine.under_way(), 0);
        prop_assert!(lab.rig.engine.sessions.is_empty());
        prop_assert_eq!(lab.rig.engine.endpoint.sessions(), (0, 0));
        let written: Vec<u64> = (1..=lab.rig.seq).collect();
        prop_assert_eq!(lab.finished.keys().copied().collect::<Vec<_>>(), written);
        prop_assert!(lab.finished.values().all(|times| *times == 1), "{:?}", lab.finished);
    }
}
