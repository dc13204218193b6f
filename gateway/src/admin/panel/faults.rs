//! What a validator found, beside the fields it is about.

use super::language::Texts;
use crate::admin::login::Denied;
use crate::admin::receipt::{Fault, Refusal};

/// The faults of one form.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    list: Vec<(String, String)>,
}

impl Faults {
    /// In the reader's language; one that only an editor of the file makes is told as the reader of the file tells it.
    pub fn new(t: Texts, faults: &[Fault]) -> Self {
        let told = |fault: &Fault| match t.has(&format!("fault-{}", fault.code)) {
            true => t.fault(&fault.code, &fault.args),
            false => format!("{}; {}", fault.found, fault.expected),
        };
        Self { list: faults.iter().map(|fault| (fault.key.clone(), told(fault))).collect() }
    }

    /// One, by its code.
    pub fn one(t: Texts, key: &str, code: &str) -> Self {
        Self { list: vec![(key.to_owned(), t.fault::<&str, &str>(code, []))] }
    }

    /// What is wrong with a field.
    pub fn of(&self, key: &str) -> Vec<&str> {
        self.list.iter().filter(|(known, _)| known == key).map(|(_, text)| text.as_str()).collect()
    }

    /// Whether something is wrong with a field; for `aria-invalid`.
    pub fn has(&self, key: &str) -> bool {
        self.list.iter().any(|(known, _)| known == key)
    }

    /// Whether nothing is wrong.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What a refusal says of the fields; `stale` is the code for a version that is old. Whatever is no fault of a field is
    /// answered by a page of its own.
    pub fn of_refusal(t: Texts, refusal: Refusal, key: &str, stale: &str) -> Result<Self, Denied> {
        match refusal {
            Refusal::Faults(faults) => Ok(Self::new(t, &faults)),
            Refusal::Stale { .. } => Ok(Self::one(t, key, stale)),
            refusal => Err(denied(&refusal)),
        }
    }
}

/// The page for a refusal that is no fault of a field.
pub fn denied(refusal: &Refusal) -> Denied {
    match refusal {
        Refusal::Faults(_) | Refusal::Stale { .. } => Denied::Malformed,
        Refusal::Absent(_) => Denied::NotFound,
        Refusal::Busy => Denied::Busy,
        Refusal::Exists(_) | Refusal::Declared(_) | Refusal::NotInForce(_) | Refusal::Store(_) => {
            tracing::error!(%refusal, "a page cannot do what it was asked");
            Denied::Failed
        }
    }
}
