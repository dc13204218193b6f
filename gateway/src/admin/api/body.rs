//! What a request brings: a JSON object with the keys of gateway.toml, parameters, and the version it is based on.
//!
//! Types are judged by the reader of gateway.toml, so that a wrong one is a fault of its key like any other mistake.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Required, Type};

use super::problem::Trouble;
use crate::admin::administration::Options;
use crate::admin::documents::Object;
use crate::store::operator::MAX_DOCUMENT;

/// Bytes of a body: a document as large as the store keeps one.
pub const MAX_BODY: usize = MAX_DOCUMENT;

/// A JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Written(pub Object);

impl<S: Sync> FromRequest<S> for Written {
    type Rejection = Trouble;

    async fn from_request(request: Request, _: &S) -> Result<Self, Trouble> {
        let wanted = "application/json";
        let is_json = essence(request.headers()).is_some_and(|kind| {
            kind.eq_ignore_ascii_case(wanted) || kind.eq_ignore_ascii_case("application/merge-patch+json")
        });
        if !is_json {
            return Err(Trouble::MediaType { wanted });
        }
        let bytes = bounded(request.into_body(), MAX_BODY).await?;
        object(&bytes).map(Self)
    }
}

/// The media type without parameters.
pub fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// A body of at most so many bytes.
pub async fn bounded(body: Body, limit: usize) -> Result<Bytes, Trouble> {
    // One that breaks off has nobody who reads the answer.
    to_bytes(body, limit).await.map_err(|_| Trouble::TooLarge { limit })
}

pub(super) fn object(bytes: &[u8]) -> Result<Object, Trouble> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        // The place is told by itself.
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
        Trouble::Json { line: error.line(), column: error.column(), reason }
    })
}

/// A JSON object as a type of ours; the first key that does not do is named.
pub fn read<T: DeserializeOwned>(object: Object) -> Result<T, Trouble> {
    serde_json::from_value(serde_json::Value::Object(object)).map_err(|error| {
        let text = error.to_string();
        let key = text.split('`').nth(1).filter(|_| text.contains("field")).unwrap_or("body");
        Trouble::key(key, "other", text.clone(), "see the description of the interface, /api/v1/openapi.json")
    })
}

/// Members of answers that are no keys of documents: whoever sends back what he was given, means no change by them.
const READ_ONLY: [&str; 11] = [
    "source",
    "version",
    "changed_at_ms",
    "changed_by",
    "warnings",
    "suspended",
    "methods",
    "row",
    "domain_unicode",
    "declared",
    "has_dialback_passphrase",
];

impl Written {
    /// The keys of the document in it.
    pub fn document(self) -> Object {
        let Self(mut object) = self;
        object.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
        object
    }
}

/// The parameters of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|rejection: QueryRejection| {
            let text = rejection.body_text();
            let text = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
            let (name, reason) = text.split_once(": ").unwrap_or(("query", text));
            Trouble::parameter(name, reason)
        })
    }
}

/// A part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(name)| Self(name)).map_err(|rejection| Trouble::parameter("path", rejection.body_text()))
    }
}

/// How a change is made.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// WhatIf: only tries the change out, and tells what it would do.
    dry_run: bool,
    /// Force: what is never meant so is meant so (SASL without TLS, domains that look like others).
    force: bool,
}

impl How {
    /// The same for the administration, for something that has versions.
    pub const fn of(self, if_version: Option<u64>) -> Options {
        Options { dry_run: self.dry_run, force: self.force, if_version }
    }

    /// Whether it is only tried out.
    pub const fn is_dry_run(self) -> bool {
        self.dry_run
    }
}

/// The versions that a change is based on (If-Match, RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever there is.
    Any,
    /// One of these. Weak ones and those of others are none of ours, so that nothing is.
    These(Vec<u64>),
}

/// Versions that are looked at.
const MAX_VERSIONS: usize = 8;

/// No version of anything.
const NONE_OF_OURS: u64 = u64::MAX;

impl IfMatch {
    /// The version that has to be there, where this one is.
    pub fn version(&self, present: u64) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::These(versions) if versions.contains(&present) => Some(present),
            Self::These(versions) => Some(versions.first().copied().unwrap_or(NONE_OF_OURS)),
        }
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let field = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some("The ETag of what the change is based on, or `*` for whatever there is."))
            .schema(Some(utoipa::openapi::Object::with_type(Type::String)));
        vec![field.build()]
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        let mut fields = parts.headers.get_all(header::IF_MATCH).iter().peekable();
        if fields.peek().is_none() {
            return Err(Trouble::VersionNeeded);
        }
        let mut versions = Vec::new();
        for field in fields {
            let text = field.to_str().map_err(|_| unreadable())?;
            if text.trim() == "*" {
                return Ok(Self::Any);
            }
            for tag in text.split(',').map(str::trim).take(MAX_VERSIONS) {
                let is_tag = tag.trim_start_matches("W/").len() > 1 && tag.ends_with('"') && tag.contains('"');
                if !is_tag {
                    return Err(unreadable());
                }
                let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                versions.push(number.and_then(|number| number.parse().ok()).unwrap_or(NONE_OF_OURS));
            }
        }
        Ok(Self::These(versions))
    }
}

fn unreadable() -> Trouble {
    Trouble::parameter("If-Match", "write the ETag that you were given, as If-Match: \"7\", or * for any version")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    async fn if_match(value: Option<&'static str>) -> Result<IfMatch, Trouble> {
        let mut request = Request::new(Body::empty());
        if let Some(value) = value {
            request.headers_mut().insert(header::IF_MATCH, HeaderValue::from_static(value));
        }
        let (mut parts, _) = request.into_parts();
        IfMatch::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_change_names_the_version_that_it_is_based_on() {
        assert_eq!(if_match(None).await, Err(Trouble::VersionNeeded));
        assert_eq!(if_match(Some("*")).await, Ok(IfMatch::Any));
        assert_eq!(if_match(Some("\"7\"")).await, Ok(IfMatch::These(vec![7])));
        assert_eq!(if_match(Some("\"7\", \"8\"")).await, Ok(IfMatch::These(vec![7, 8])));
        assert_eq!(if_match(Some("W/\"7\"")).await, Ok(IfMatch::These(vec![NONE_OF_OURS])));
        assert!(matches!(if_match(Some("7")).await, Err(Trouble::Parameter { .. })));
    }

    #[test]
    fn any_of_the_named_versions_will_do_and_otherwise_the_first_is_stale() {
        let named = IfMatch::These(vec![7, 8]);
        assert_eq!((named.version(8), named.version(9)), (Some(8), Some(7)));
        assert_eq!(IfMatch::Any.version(9), None);
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_its_place() {
        let Err(Trouble::Json { line, column, reason }) = object(b"{\n  \"domain\": ,}") else { panic!() };
        assert_eq!((line, column), (2, 13));
        assert_eq!(reason, "expected value");
        assert!(matches!(object(b"[1]"), Err(Trouble::Json { .. })));
        assert!(object(br#"{"domain": "a.example"}"#).is_ok());
    }
}
