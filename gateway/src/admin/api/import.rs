//! What a Lync Server or Skype for Business Server exported, taken over (`causeway import lync`).
//!
//! Everything is judged together, as all changes are. An object that does not do is reported with its faults, and the
//! others are judged without it; nothing is stored unless all do or the operator says that the others suffice.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::{Asked, bounded, essence};
use super::noted::note;
use super::permission::{By, Write};
use super::problem::{FaultText, Trouble, told};
use crate::admin::administration::{InForce, Options, name};
use crate::admin::change::{Change, Subject, document};
use crate::admin::desk::Desk;
use crate::admin::documents::Object;
use crate::admin::journal::Outcome;
use crate::admin::panel::language::Texts;
use crate::admin::receipt::{Fault, FieldChange, Note, Receipt, Refusal};
use crate::import::{self, ImportedObject, Kind, MAX_FILE_BYTES};

/// Files of one import.
const MAX_FILES: usize = 100;

/// Bytes of the body: one file as large as one may be, in Base64, or several smaller ones.
pub const MAX_BODY: usize = MAX_FILE_BYTES * 3 / 2;

/// How often what is left is judged again without what did not do. In each round all faults are found, so that usually
/// there are two.
const ROUNDS: usize = 8;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(lync))
}

/// Exported files.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Files {
    /// The files.
    files: Vec<ExportedFile>,
    /// The same as the parameter.
    #[serde(default)]
    dry_run: bool,
}

/// An exported file.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExportedFile {
    /// What to call it in answers.
    name: String,
    /// Its bytes in Base64.
    content: String,
}

/// How it is taken over.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct How {
    /// Only tells what would be done.
    dry_run: bool,
    /// Stores what does, though other objects do not.
    partial: bool,
    /// Replaces partners and policies that are there already.
    replace: bool,
    /// Force, for all partners.
    force: bool,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportOutcome {
    /// It is stored, or would be.
    Imported,
    /// It does not do; `faults` says why.
    Refused,
    /// There is nothing like it here; `notes` says why.
    NotMapped,
}

/// An object of an exported file.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ImportedView {
    /// The file.
    pub file: String,
    /// Its place there, from 1.
    pub number: usize,
    /// `partner`, `gateway_settings`, `external_access_policy` or `unknown`.
    pub kind: &'static str,
    /// Its Identity as exported.
    pub identity: String,
    /// What became of it.
    pub outcome: ImportOutcome,
    /// It with the keys of gateway.toml.
    #[schema(value_type = Option<Object>)]
    pub document: Option<Value>,
    /// What differs from the export.
    pub notes: Vec<ImportNote>,
    /// What changes by it.
    pub changed: Vec<FieldChange>,
    /// What is allowed and worth a second look.
    pub warnings: Vec<Note>,
    /// Why it does not do.
    pub faults: Vec<FaultText>,
}

/// Something that differs from the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportNote {
    /// The property, as the original calls it.
    pub property: String,
    /// Its value there.
    pub found: String,
    /// What became of it, for programs.
    pub code: &'static str,
    /// The same in words.
    pub text: String,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ImportReport {
    /// Whether it was only tried out.
    pub dry_run: bool,
    /// Whether anything was stored.
    pub saved: bool,
    /// How many objects are, or would be.
    pub imported: usize,
    /// How many do not do.
    pub refused: usize,
    /// Object by object.
    pub objects: Vec<ImportedView>,
}

/// Takes over partners, settings and policies that a Lync Server exported.
#[utoipa::path(
    post, path = "/import/lync", tag = "import", operation_id = "import_lync", params(How),
    request_body(content = Files, content_type = "application/json"),
    responses((status = 200, description = "What was taken over, or would be.", body = ImportReport)),
    security(("token" = ["write"]))
)]
async fn lync(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Asked(how): Asked<How>,
    request: Request,
) -> Answer<Json<ImportReport>> {
    let wanted = "application/json";
    if essence(request.headers()).is_none_or(|kind| !kind.eq_ignore_ascii_case(wanted)) {
        return Err(Trouble::MediaType { wanted });
    }
    let bytes = bounded(request.into_body(), MAX_BODY).await?;
    let files: Files = super::body::read(super::body::object(&bytes)?)?;
    let dry_run = how.dry_run || files.dry_run;
    let names = files.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ");
    let imported = tokio::task::spawn_blocking(move || opened(files)).await;
    let imported = imported.map_err(|error| Trouble::Silent(error.to_string()))??;
    let options = Options { dry_run: true, force: how.force, if_version: None };
    let mut objects = judged(&desk, &actor, imported, how.replace, options).await?;
    let refused = objects.iter().filter(|object| !object.faults.is_empty()).count();
    if !dry_run && refused > 0 && !how.partial {
        let faults: Vec<Fault> = objects.into_iter().flat_map(Judged::named_faults).collect();
        note(&desk, &actor, "import.lync", &names, Outcome::Refused, json!({ "faults": faults })).await?;
        return Err(Trouble::Refused(Refusal::Faults(faults)));
    }
    let good: Vec<usize> = objects.iter().enumerate().filter(|(_, object)| object.does()).map(|(at, _)| at).collect();
    if !dry_run && !good.is_empty() {
        let changes: Vec<Change> = good.iter().filter_map(|at| objects.get(*at)?.change.clone()).collect();
        let options = Options { dry_run: false, ..options };
        let receipts = desk.administration.change_all(&actor.author(), &changes, options).await?;
        for (at, receipt) in good.iter().zip(receipts) {
            if let Some(object) = objects.get_mut(*at) {
                object.receipt = Some(receipt);
            }
        }
    }
    let texts = Texts::new(actor.language);
    let imported = good.len();
    let objects = objects.into_iter().map(|object| object.view(texts)).collect();
    Ok(Json(ImportReport { dry_run, saved: !dry_run && imported > 0, imported, refused, objects }))
}

fn opened(files: Files) -> Result<Vec<(String, ImportedObject)>, Trouble> {
    if files.files.is_empty() || files.files.len() > MAX_FILES {
        let found = format!("there are {} files", files.files.len());
        return Err(Trouble::key("files", "other", found, format!("send 1 to {MAX_FILES} files")));
    }
    let mut objects = Vec::new();
    for (index, ExportedFile { name, content }) in files.files.into_iter().enumerate() {
        let key = format!("files[{index}].content");
        let bytes = STANDARD.decode(content.trim()).map_err(|error| {
            Trouble::key(&key, "other", format!("it is no Base64: {error}"), "write the bytes of the file in Base64")
        })?;
        let name: String = name.chars().take(200).collect();
        let read = import::read(&name, &bytes).map_err(|fault| {
            Trouble::key(&key, "other", fault.to_string(), "export it again with Export-Clixml or ConvertTo-Json")
        })?;
        objects.extend(read.objects.into_iter().map(|object| (name.clone(), object)));
    }
    Ok(objects)
}

/// An object, and what became of it.
struct Judged {
    file: String,
    object: ImportedObject,
    change: Option<Change>,
    subject: Option<Subject>,
    receipt: Option<Receipt>,
    faults: Vec<Fault>,
}

impl Judged {
    fn does(&self) -> bool {
        self.change.is_some() && self.faults.is_empty()
    }

    /// Its faults, with the object before the key.
    fn named_faults(self) -> Vec<Fault> {
        let object = format!("{}[{}] {}", self.file, self.object.number, self.object.identity);
        self.faults.into_iter().map(|fault| Fault { key: format!("{object}: {}", fault.key), ..fault }).collect()
    }

    fn view(self, texts: Texts) -> ImportedView {
        let outcome = match (&self.change, self.faults.is_empty()) {
            (_, false) => ImportOutcome::Refused,
            (None, true) => ImportOutcome::NotMapped,
            (Some(_), true) => ImportOutcome::Imported,
        };
        let notes = self.object.notes.iter().map(|note| ImportNote {
            property: note.property.clone(),
            found: note.found.clone(),
            code: note.remark.code(),
            text: note.to_string(),
        });
        let (changed, warnings) = self.receipt.map(|receipt| (receipt.changed, receipt.warnings)).unwrap_or_default();
        ImportedView {
            file: self.file,
            number: self.object.number,
            kind: self.object.kind.as_str(),
            identity: self.object.identity,
            outcome,
            notes: notes.collect(),
            document: self.object.document,
            changed,
            warnings,
            faults: self.faults.iter().map(|fault| told(fault, texts)).collect(),
        }
    }
}

/// Tries all of it out together; what does not do is left out and the rest tried again.
async fn judged(
    desk: &Desk,
    actor: &By<Write>,
    imported: Vec<(String, ImportedObject)>,
    replace: bool,
    options: Options,
) -> Answer<Vec<Judged>> {
    let in_force = desk.administration.in_force();
    let mut seen = BTreeSet::new();
    let mut objects: Vec<Judged> = imported
        .into_iter()
        .map(|(file, object)| {
            let (change, subject, fault) = match change(&in_force, &object, replace) {
                Some(Ok((change, subject))) if seen.insert(format!("{subject:?}")) => {
                    (Some(change), Some(subject), None)
                }
                Some(Ok((change, subject))) => (Some(change), Some(subject), Some(twice())),
                Some(Err(fault)) => (None, None, Some(fault)),
                None => (None, None, None),
            };
            Judged { file, object, change, subject, receipt: None, faults: fault.into_iter().collect() }
        })
        .collect();
    for _ in 0..ROUNDS {
        let good: Vec<usize> = objects.iter().enumerate().filter(|(_, one)| one.does()).map(|(at, _)| at).collect();
        if good.is_empty() {
            return Ok(objects);
        }
        let changes: Vec<Change> = good.iter().filter_map(|at| objects.get(*at)?.change.clone()).collect();
        let faults = match desk.administration.change_all(&actor.author(), &changes, options).await {
            Ok(receipts) => {
                for (at, receipt) in good.iter().zip(receipts) {
                    if let Some(object) = objects.get_mut(*at) {
                        object.receipt = Some(receipt);
                    }
                }
                return Ok(objects);
            }
            Err(Refusal::Faults(faults)) => faults,
            Err(refusal) => return Err(refusal.into()),
        };
        let mut is_blamed = false;
        for fault in faults {
            let owner = objects.iter_mut().find(|object| object.does_or_did() && object.owns(&fault, changes.len()));
            if let Some(object) = owner {
                object.faults.push(object.within(fault));
                is_blamed = true;
            }
        }
        if !is_blamed {
            break;
        }
    }
    // Nobody can say which object it is: none of them is taken.
    let message = "the objects that are left do not fit together; import them one by one";
    objects.iter_mut().filter(|object| object.does()).for_each(|object| {
        object.faults.push(fault("", "other", message, "import fewer objects at a time"));
    });
    Ok(objects)
}

impl Judged {
    fn does_or_did(&self) -> bool {
        self.change.is_some()
    }

    fn prefix(&self) -> Option<String> {
        Some(match self.subject.as_ref()? {
            Subject::Partner(domain) => format!("partner.{domain}."),
            Subject::Policy(identity) => format!("policy.{identity}."),
            Subject::Settings | Subject::Grant(_) => String::new(),
        })
    }

    /// Whether a fault is about this object; of a single change the keys are its own.
    fn owns(&self, fault: &Fault, changes: usize) -> bool {
        let is_prefixed = fault.key.starts_with("partner.") || fault.key.starts_with("policy.");
        match self.prefix() {
            Some(prefix) if prefix.is_empty() => !is_prefixed,
            Some(prefix) => fault.key.starts_with(&prefix) || (changes == 1 && !is_prefixed && self.does()),
            None => false,
        }
    }

    fn within(&self, fault: Fault) -> Fault {
        let prefix = self.prefix().unwrap_or_default();
        let key = fault.key.strip_prefix(&prefix).unwrap_or(&fault.key).to_owned();
        Fault { key, ..fault }
    }
}

/// The change that an object is; `None` where it is mapped to nothing.
fn change(in_force: &InForce, object: &ImportedObject, replace: bool) -> Option<Result<(Change, Subject), Fault>> {
    let document: Object = object.document.as_ref()?.as_object()?.clone();
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let new = match object.kind {
        Kind::Partner => Change::NewPartner(document.clone()),
        Kind::Settings => Change::PatchSettings(document.clone()),
        Kind::Policy => Change::NewPolicy(document.clone()),
        Kind::Unknown => return None,
    };
    let Ok(subject) = new.subject().0 else {
        let found = "it has no name that is one here";
        return Some(Err(fault("", "other", found, "write it in the export, or make it by hand")));
    };
    if in_force.is_declared(&subject) {
        return Some(Err(fault("", "declared", "gateway.toml declares it", "change it there")));
    }
    let is_there = subject != Subject::Settings && self::document(&in_force.data, &subject).is_some();
    let change = match (is_there, replace, new) {
        (false, _, new) => new,
        (true, false, _) => {
            let found = format!("{} is there already", name(&subject));
            return Some(Err(fault(
                "",
                "other",
                &found,
                "leave it out of the export, or say that it is replaced (replace)",
            )));
        }
        (true, true, Change::NewPartner(document)) => Change::PutPartner { domain: text("domain"), document },
        (true, true, Change::NewPolicy(document)) => Change::PutPolicy { identity: text("identity"), document },
        (true, true, other) => other,
    };
    Some(Ok((change, subject)))
}

fn twice() -> Fault {
    fault("", "other", "another file has it, too", "import it from one of them")
}

fn fault(key: &str, code: &str, found: &str, expected: &str) -> Fault {
    Fault {
        key: key.to_owned(),
        code: code.to_owned(),
        args: std::collections::BTreeMap::new(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }
}
