//! The journal of what is done here and is no change of a document.

use serde_json::Value;

use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::admin::login::Actor;

/// Characters of a name that the journal takes over.
const LONGEST_OBJECT: usize = 512;

/// Notes what somebody did, or was refused.
pub(super) async fn note(
    desk: &Desk,
    actor: &Actor,
    action: &str,
    object: &str,
    outcome: Outcome,
    detail: Value,
) -> Result<(), Trouble> {
    let object: String = object.chars().take(LONGEST_OBJECT).collect();
    desk.store.append_journal(vec![actor.entry(action, &object, outcome, detail.to_string())]).await?;
    Ok(())
}

/// What became of something, for the journal.
pub(super) const fn outcome<T, E>(result: &Result<T, E>) -> Outcome {
    if result.is_ok() { Outcome::Done } else { Outcome::Refused }
}
