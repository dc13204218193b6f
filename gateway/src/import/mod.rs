//! What a Lync Server or Skype for Business Server knows of its XMPP federation, read from what its cmdlets export.
//!
//! `Get-CsXmppAllowedPartner`, `Get-CsXmppGatewayConfiguration` and `Get-CsExternalAccessPolicy`, each piped to
//! `Export-Clixml` or to `ConvertTo-Json`; one file may hold objects of several kinds. `encoding` makes text of the
//! bytes, `clixml` and `json` make `value::Object`s of the text, and `partner`, `settings` and `policy` turn
//! each object into a document with the keys of `gateway.toml` and say what they changed or left out. Whether such a
//! document is valid, and whether it fits what is in force, is judged where every other change is: not here.

mod clixml;
mod encoding;
mod json;
mod partner;
mod policy;
mod report;
mod settings;
mod value;

#[cfg(test)]
mod tests;

pub use report::{FaultCause, ImportFault, Imported, ImportedObject, Kind, Note, Remark};

use value::Object;

/// Bytes of one file: an export of ten thousand partners has about 20 MB in UTF-16.
pub const MAX_FILE_BYTES: usize = 32 * 1024 * 1024;

/// Objects of one file: ten times as many partners as the field's largest lists hold.
pub const MAX_OBJECTS: usize = 10_000;

/// Reads one exported file. `name` is what the operator calls it, for messages.
pub fn read(name: &str, bytes: &[u8]) -> Result<Imported, ImportFault> {
    let fault = |(line, cause)| ImportFault { file: name.to_owned(), line, cause };
    let objects = objects(bytes).map_err(fault)?;
    if objects.is_empty() {
        return Err(fault((None, FaultCause::Empty)));
    }
    let mut imported: Vec<ImportedObject> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let mut next = interpret(index + 1, object);
        let twin = imported.iter().find(|former| next.document.is_some() && former.is_same_thing(&next));
        if let Some(twin) = twin {
            let remark = Remark::Twice { number: twin.number };
            next.document = None;
            next.notes.push(Note {
                property: "Identity".to_owned(),
                found: value::Value::Text(next.identity.clone()).describe(),
                remark,
            });
        }
        imported.push(next);
    }
    Ok(Imported { file: name.to_owned(), objects: imported })
}

/// A place in the file, where one is known, and what is wrong there.
type Fault = (Option<usize>, FaultCause);

fn objects(bytes: &[u8]) -> Result<Vec<Object>, Fault> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err((None, FaultCause::TooLarge));
    }
    let text = encoding::text(bytes)?;
    match text.trim_start().chars().next() {
        None => Err((None, FaultCause::Empty)),
        Some('<') => clixml::objects(&text),
        Some('[' | '{') => json::objects(&text),
        Some(_) => Err((Some(1), FaultCause::Format)),
    }
}

/// What an object is shows in its properties: JSON has no type names, and they differ between releases.
fn interpret(number: usize, object: &Object) -> ImportedObject {
    let has = |names: &[&str]| names.iter().any(|name| object.property(name).is_some());
    if has(&["TlsNegotiation", "SaslNegotiation", "SupportDialbackNegotiation"]) {
        partner::import(number, object)
    } else if has(&["PartnerConnectionLimit", "StreamEstablishmentTimeout", "SubscriptionRefreshInterval"]) {
        settings::import(number, object)
    } else if has(&["EnableXmppAccess", "EnableFederationAccess"]) {
        policy::import(number, object)
    } else {
        let identity = object.text("Identity").unwrap_or_default();
        let note = Note { property: String::new(), found: object.kind(), remark: Remark::UnknownObject };
        ImportedObject { number, kind: Kind::Unknown, identity, document: None, notes: vec![note] }
    }
}
