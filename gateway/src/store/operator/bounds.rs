//! What a store takes of each thing, judged alike for every engine.

use super::*;

/// Why something is not taken: which bound, and by how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Refused(pub(in crate::store) String);

type Taken = Result<(), Refused>;

/// Refuses a text that is longer than its bound, or that no other engine could keep.
pub(in crate::store) fn at_most(what: &str, text: &str, bound: usize) -> Taken {
    if text.contains('\0') {
        return Err(Refused(format!("{what} has the character U+0000; leave it out")));
    }
    no_longer(what, text, bound)
}

fn no_longer(what: &str, text: &str, bound: usize) -> Taken {
    bytes_at_most(what, text.as_bytes(), bound)
}

/// Refuses more bytes than the bound.
pub(in crate::store) fn bytes_at_most(what: &str, bytes: &[u8], bound: usize) -> Taken {
    let length = bytes.len();
    if length > bound { Err(Refused(format!("{what} has {length} bytes, the most is {bound}"))) } else { Ok(()) }
}

fn no_more(what: &str, number: usize, bound: usize) -> Taken {
    if number > bound { Err(Refused(format!("{number} {what} at once, the most is {bound}"))) } else { Ok(()) }
}

/// Refuses what has made a table larger than its bound.
pub(in crate::store) fn fits(what: &str, present: i64, bound: usize) -> Taken {
    let is_too_many = usize::try_from(present).unwrap_or(usize::MAX) > bound;
    if is_too_many { Err(Refused(format!("it would make {present} {what}, the most is {bound}"))) } else { Ok(()) }
}

impl Account {
    /// Judges its texts; `roles` are its roles as they are stored.
    pub(in crate::store) fn fits(&self, roles: &str) -> Taken {
        at_most("the name of an account", &self.name, MAX_ACCOUNT_TEXT)?;
        at_most("the roles of an account", roles, MAX_ACCOUNT_TEXT)?;
        let texts = [("password", &self.password_hash), ("subject", &self.oidc_subject), ("language", &self.language)];
        texts.into_iter().try_for_each(|(what, text)| {
            at_most(&format!("the {what} of an account"), text.as_deref().unwrap_or_default(), MAX_ACCOUNT_TEXT)
        })
    }
}

impl Login {
    /// Judges its texts.
    pub(in crate::store) fn fits(&self) -> Taken {
        at_most("the account of a sign-in", &self.account, MAX_ACCOUNT_TEXT)?;
        at_most("the address of a sign-in", &self.address, MAX_ACCOUNT_TEXT)
    }
}

impl Token {
    /// Judges its texts; `scopes` are its scopes as they are stored.
    pub(in crate::store) fn fits(&self, scopes: &str) -> Taken {
        at_most("the id of a token", &self.id, MAX_ACCOUNT_TEXT)?;
        at_most("the name of a token", &self.name, MAX_ACCOUNT_TEXT)?;
        at_most("the scopes of a token", scopes, MAX_ACCOUNT_TEXT)?;
        at_most("the account of a token", &self.account, MAX_ACCOUNT_TEXT)
    }
}

impl OneTime {
    /// Judges its texts.
    pub(in crate::store) fn fits(&self) -> Taken {
        at_most("the purpose of a link", &self.purpose, MAX_ACCOUNT_TEXT)?;
        at_most("the account of a link", self.account.as_deref().unwrap_or_default(), MAX_ACCOUNT_TEXT)
    }
}

/// Judges a document.
pub(in crate::store) fn document_fits(identity: &str, json: &str) -> Taken {
    at_most("the identity of a document", identity, MAX_IDENTITY)?;
    at_most("a document", json, MAX_DOCUMENT)
}

/// Judges a grant.
pub(in crate::store) fn grant_fits(user: &str, policy: &str) -> Taken {
    at_most("the user of a grant", user, MAX_IDENTITY)?;
    at_most("the policy of a grant", policy, MAX_IDENTITY)
}

/// Judges a batch of messages.
pub(in crate::store) fn messages_fit(number: usize) -> Taken {
    no_more("messages", number, MAX_ARCHIVE_BATCH)
}

/// Judges entries of the journal. What people have typed may be in them, any character.
pub(in crate::store) fn entries_fit(entries: &[JournalEntry]) -> Taken {
    no_more("entries", entries.len(), MAX_JOURNAL_PAGE)?;
    entries.iter().try_for_each(|entry| {
        let JournalEntry { actor, address, action, object, .. } = entry;
        let texts = [("actor", actor), ("address", address), ("action", action), ("object", object)];
        texts.into_iter().try_for_each(|(what, text)| no_longer(what, text, MAX_JOURNAL_TEXT))?;
        no_longer("detail", &entry.detail, MAX_JOURNAL_DETAIL)
    })
}

/// Words as they are stored: separated by spaces.
pub(in crate::store) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
