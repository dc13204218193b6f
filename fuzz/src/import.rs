//! Target `import`: what the original's cmdlets have exported, as CLIXML or JSON.
//!
//! Invariants, besides not panicking: reading it twice says the same; objects are numbered; one without a document says
//! why; a partner's domain is in canonical form; what a report quotes is short and on one line.

use causeway_gateway::import::{Kind, read};
use causeway_shared::domain::DomainName;

/// Characters that a report quotes of a value, and the sign that there were more.
const QUOTED: usize = 81;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let once = read("export", data);
    assert_eq!(once, read("export", data));
    let Ok(imported) = once else { return };
    assert!(!imported.objects.is_empty(), "nothing was read");
    for (index, object) in imported.objects.iter().enumerate() {
        assert_eq!(object.number, index + 1);
        assert!(object.document.is_some() || !object.notes.is_empty(), "left out without a word: {object:?}");
        assert!(object.kind != Kind::Unknown || object.document.is_none());
        for note in &object.notes {
            assert!(note.found.chars().count() <= QUOTED && !note.found.contains('\n'), "{note:?}");
        }
        if let (Kind::Partner, Some(document)) = (object.kind, &object.document) {
            let domain = document.get("domain").and_then(|domain| domain.as_str()).expect("a partner has a domain");
            assert_eq!(DomainName::parse(domain).expect("it is canonical").as_str(), domain);
        }
    }
}
