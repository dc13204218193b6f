//! Why a request is not answered as it was meant: problem details (RFC 9457).
//!
//! Handlers return a [`Trouble`]; the outermost layer ([`render`]) makes the document of it in the reader's language, and
//! of whatever else ends with an error. The `code` of a document is stable, its texts are not.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::login::{Actor, Denied};
use crate::admin::panel::language::{Language, Texts};
use crate::admin::receipt::{Fault, Refusal};
use crate::store::{StoreError, StoreFault};

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Where the kinds of problems are explained: a name, and no address that is fetched.
const KINDS: &str = "urn:causeway:problem:";

/// Seconds after which somebody who was refused for want of room may try again.
const BUSY_SECS: u32 = 2;

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem: `urn:causeway:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "urn:causeway:problem:stale")]
    pub kind: String,
    /// The kind in words, in the language of the request.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The kind for programs: it never changes.
    #[schema(example = "stale")]
    pub code: String,
    /// What is wrong with the document that was sent, key by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultText>,
    /// Where somebody else was faster: how it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<Present>,
}

/// A mistake in what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultText {
    /// The mistake.
    #[serde(flatten)]
    pub fault: Fault,
    /// The same in the language of the request.
    pub message: String,
}

/// The present version of something that was to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Present {
    /// The version.
    pub version: u64,
    /// Who made it; empty if it was never changed here.
    pub changed_by: String,
    /// When, in Unix milliseconds.
    pub changed_at_ms: u64,
}

/// Why a request is not answered as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The caller may not, or nobody may just now.
    Denied(Denied),
    /// The change is refused.
    Refused(Refusal),
    /// A parameter of path, query or head does not do.
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body has another media type.
    MediaType {
        /// What it should have.
        wanted: &'static str,
    },
    /// The body is no JSON.
    Json {
        /// Where it stops being it; 0 if that is nowhere.
        line: usize,
        /// Where in that line.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The body has more bytes than are taken.
    TooLarge {
        /// How many are.
        limit: usize,
    },
    /// A change of something that has versions names none.
    VersionNeeded,
    /// There is none of that name.
    Absent(String),
    /// There is one of that name, or somebody else has changed it.
    Conflict(String),
    /// An edge or the SIP side did not do it.
    Elsewhere(String),
    /// The engine did not answer, or stops.
    Silent(String),
    /// Too many of this kind at once.
    Busy,
}

impl Trouble {
    /// A parameter that does not do.
    pub fn parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), reason: reason.into() }
    }

    /// A mistake in one key of the body.
    pub fn key(key: &str, code: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (key, code, args) = (key.to_owned(), code.to_owned(), BTreeMap::new());
        Self::Refused(Refusal::Faults(vec![Fault { key, code, args, found: found.into(), expected: expected.into() }]))
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => denied.status(),
            Self::Refused(refusal) => match refusal {
                Refusal::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
                Refusal::Absent(_) => StatusCode::NOT_FOUND,
                Refusal::Exists(_) | Refusal::Declared(_) | Refusal::Busy => StatusCode::CONFLICT,
                Refusal::Stale { .. } => StatusCode::PRECONDITION_FAILED,
                Refusal::Store(error) => match error.fault {
                    StoreFault::Refused => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                },
                Refusal::NotInForce(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Parameter { .. } | Self::Json { .. } => StatusCode::BAD_REQUEST,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::VersionNeeded => StatusCode::PRECONDITION_REQUIRED,
            Self::Absent(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Elsewhere(_) => StatusCode::BAD_GATEWAY,
            Self::Silent(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The code; `problem-CODE` and `problem-CODE-title` are its texts, of a denial `denied-CODE`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Refused(refusal) => match refusal {
                Refusal::Faults(_) => "invalid",
                Refusal::Absent(_) => "absent",
                Refusal::Exists(_) => "exists",
                Refusal::Declared(_) => "declared",
                Refusal::Stale { .. } => "stale",
                Refusal::Busy => "contended",
                Refusal::Store(error) => match error.fault {
                    StoreFault::Refused => "too-much",
                    _ => "store",
                },
                Refusal::NotInForce(_) => "not-in-force",
            },
            Self::Parameter { .. } => "parameter",
            Self::MediaType { .. } => "media-type",
            Self::Json { .. } => "json",
            Self::TooLarge { .. } => "too-large",
            Self::VersionNeeded => "version-needed",
            Self::Absent(_) => "absent",
            Self::Conflict(_) => "conflict",
            Self::Elsewhere(_) => "elsewhere",
            Self::Silent(_) => "silent",
            Self::Busy => "busy-here",
        }
    }

    /// What the text names.
    fn arguments(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Denied(_) | Self::VersionNeeded | Self::Busy | Self::Refused(Refusal::Busy) => Vec::new(),
            Self::Refused(Refusal::Faults(faults)) => vec![("count", faults.len().to_string())],
            Self::Refused(Refusal::Absent(object) | Refusal::Exists(object) | Refusal::Declared(object))
            | Self::Absent(object) => vec![("object", object.clone())],
            Self::Refused(Refusal::Stale { object, by, .. }) => vec![("object", object.clone()), ("by", by.clone())],
            Self::Refused(Refusal::Store(error)) => vec![("reason", error.to_string())],
            Self::Refused(Refusal::NotInForce(reason))
            | Self::Conflict(reason)
            | Self::Elsewhere(reason)
            | Self::Silent(reason) => vec![("reason", reason.clone())],
            Self::Parameter { name, reason } => vec![("name", name.clone()), ("reason", reason.clone())],
            Self::MediaType { wanted } => vec![("wanted", (*wanted).to_owned())],
            Self::Json { line, column, reason } => {
                vec![("line", line.to_string()), ("column", column.to_string()), ("reason", reason.clone())]
            }
            Self::TooLarge { limit } => vec![("limit", limit.to_string())],
        }
    }

    /// The document in a language.
    pub fn document(&self, language: Language) -> Problem {
        let (texts, code) = (Texts::new(language), self.code());
        let area = if matches!(self, Self::Denied(_)) { "denied" } else { "problem" };
        let faults = match self {
            Self::Refused(Refusal::Faults(faults)) => faults.iter().map(|fault| told(fault, texts)).collect(),
            _ => Vec::new(),
        };
        let present = match self {
            Self::Refused(Refusal::Stale { version, by, at_ms, .. }) => {
                Some(Present { version: *version, changed_by: by.clone(), changed_at_ms: *at_ms })
            }
            _ => None,
        };
        Problem {
            kind: format!("{KINDS}{code}"),
            title: texts.get(&format!("{area}-{code}-title")),
            status: self.status().as_u16(),
            detail: texts.known(&format!("{area}-{code}"), &self.arguments()).unwrap_or_default(),
            code: code.to_owned(),
            faults,
            present,
        }
    }

    /// Fields of the head that belong to it.
    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                fields.insert(name, value);
            }
        };
        match self {
            Self::Denied(Denied::SignIn | Denied::Token) => set(header::WWW_AUTHENTICATE, "Bearer".to_owned()),
            Self::Denied(Denied::Rate { seconds }) => set(header::RETRY_AFTER, seconds.to_string()),
            Self::Denied(Denied::Busy) | Self::Busy | Self::Refused(Refusal::Busy | Refusal::Store(_)) => {
                set(header::RETRY_AFTER, BUSY_SECS.to_string());
            }
            Self::Refused(Refusal::Stale { version, .. }) => set(header::ETAG, format!("\"{version}\"")),
            _ => {}
        }
        fields
    }
}

/// A mistake in the reader's language; English where there is no text for it.
pub(super) fn told(fault: &Fault, texts: Texts) -> FaultText {
    let arguments: Vec<_> = fault.args.iter().collect();
    let message = match fault.code.as_str() {
        "other" => None,
        code => texts.known(&format!("fault-{code}"), &arguments),
    };
    let message = message.unwrap_or_else(|| format!("{}; {}", fault.found, fault.expected));
    FaultText { fault: fault.clone(), message }
}

impl From<Denied> for Trouble {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refusal::Store(error))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.headers_mut().extend(self.fields());
        response.extensions_mut().insert(self);
        response
    }
}

/// The outermost layer: whatever ends with an error becomes a problem document.
pub async fn render(request: Request, next: Next) -> Response {
    let language = reads(&request);
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return fresh(response);
    }
    let (mut parts, _) = response.into_parts();
    let trouble = parts.extensions.remove::<Trouble>();
    let trouble = trouble.or_else(|| parts.extensions.remove::<Denied>().map(Trouble::Denied));
    let trouble = trouble.unwrap_or_else(|| of_status(status));
    parts.headers.extend(trouble.fields());
    let mut response = answer(&trouble, language);
    // Allow, Retry-After and the like stay.
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    fresh(response)
}

/// The document as an answer.
pub fn answer(trouble: &Trouble, language: Language) -> Response {
    let document = serde_json::to_vec(&trouble.document(language)).unwrap_or_default();
    let kind = HeaderValue::from_static(PROBLEM_JSON);
    let mut response = (trouble.status(), [(header::CONTENT_TYPE, kind)], document).into_response();
    response.headers_mut().extend(trouble.fields());
    response
}

/// What the framework itself refuses.
fn of_status(status: StatusCode) -> Trouble {
    Trouble::Denied(match status {
        StatusCode::NOT_FOUND => Denied::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Denied::Method,
        StatusCode::PAYLOAD_TOO_LARGE => Denied::TooLarge,
        StatusCode::REQUEST_TIMEOUT => Denied::TooSlow,
        _ => {
            if status.is_client_error() {
                Denied::Malformed
            } else {
                Denied::Failed
            }
        }
    })
}

/// Whom an answer is for: an account's own language, or what the program accepts.
fn reads(request: &Request) -> Language {
    let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let accepted = accepted.and_then(Language::accepted);
    accepted.or_else(|| request.extensions().get::<Actor>().map(|actor| actor.language)).unwrap_or_default()
}

/// What is true now need not be later.
fn fresh(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
