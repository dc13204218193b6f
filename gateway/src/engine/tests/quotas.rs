//! What becomes of what is too much (RFC 8048, section 8.1).

use super::*;

const BOB: &str = "bob@fabrikam.example/x";
const ALICE: &str = "alice@contoso.example";

/// Sends a stanza so often, each done with before the next; returns what was answered, and how much SIP heard.
fn sent(rig: &mut Rig, times: usize, kind: StanzaKind, from: &str, rest: &str) -> (Vec<String>, usize) {
    let (mut answers, mut requests) = (Vec::new(), 0);
    for _ in 0..times {
        rig.stanza(kind, from, ALICE, rest);
        for request in rig.requests() {
            requests += 1;
            rig.answer(&request, Status::OK);
        }
        while !rig.out.stanzas.is_empty() {
            answers.push(text(&rig.stanza_ends(Outcome::Done)));
        }
        rig.finished();
    }
    (answers, requests)
}

// Rule: quota.user
#[test]
fn too_many_messages_come_back_and_too_many_headlines_are_dropped() {
    let mut rig = Rig::new();
    let (answers, requests) = sent(&mut rig, 122, StanzaKind::Message, BOB, "type='chat' id='m'><body>hello</body>");
    assert_eq!((answers.len(), requests), (2, 120));
    assert!(answers.iter().all(|answer| answer.contains("type='wait'><resource-constraint ")), "{answers:?}");
    let headline = sent(&mut rig, 2, StanzaKind::Message, BOB, "type='headline'><body>hello</body>");
    assert_eq!(headline, (vec![], 0));
    let error = sent(&mut rig, 2, StanzaKind::Message, BOB, "type='error'><body>hello</body>");
    assert_eq!(error, (vec![], 0));
    // Somebody else is served, and he again in the next minute.
    let carol = sent(&mut rig, 1, StanzaKind::Message, "carol@fabrikam.example/x", "type='chat'><body>hello</body>");
    assert_eq!(carol, (vec![], 1));
    rig.now.unix_ms += 60_000;
    assert_eq!(sent(&mut rig, 1, StanzaKind::Message, BOB, "type='chat'><body>hello</body>"), (vec![], 1));
}

// What is refused anyway counts as well: a flood of strangers costs no record each.
// Rule: quota.user
#[test]
fn a_strangers_messages_are_counted_before_anything_is_looked_up() {
    let mut rig = Rig::new();
    let rest = "type='chat' id='m'><body>hello</body>";
    let (answers, requests) = sent(&mut rig, 130, StanzaKind::Message, "eve@wingtip.example/x", rest);
    let refused = answers.iter().filter(|answer| answer.contains("<service-unavailable ")).count();
    assert_eq!((answers.len(), refused, requests), (130, 120, 0));
}

// Rule: quota.user
#[test]
fn too_many_questions_about_presence_are_dropped() {
    for (rest, most) in [("type='subscribe'>", 20), ("type='probe'>", 60)] {
        let mut rig = Rig::new();
        // An unverified partner's user costs no SIP: what is counted is what reaches the record.
        sent(&mut rig, most, StanzaKind::Presence, "eve@wingtip.example", rest);
        let more = sent(&mut rig, 5, StanzaKind::Presence, "eve@wingtip.example", rest);
        assert_eq!(more, (vec![], 0), "{rest}");
        assert!(rig.out.loads.is_empty() && rig.out.commits.is_empty());
    }
    let mut rig = Rig::new();
    let (answers, _) = sent(&mut rig, 61, StanzaKind::Presence, "eve@wingtip.example", "type='probe'>");
    assert_eq!(answers.len(), 60);
}
