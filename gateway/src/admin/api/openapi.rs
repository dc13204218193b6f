//! The description of the interface (OpenAPI 3.1), made from the handlers, and served without signing in.
//!
//! What holds for many operations alike is added here: the problems that each can end with, and the schemas of documents
//! as they are written, which need less than what is answered.

use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Info, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{PROBLEM_JSON, Problem};
use crate::admin::desk::Desk;
use crate::admin::documents::{PartnerDocument, PolicyDocument, SettingsDocument};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(serve))
}

/// What is declared for all.
#[derive(OpenApi)]
#[openapi(components(schemas(Problem, PartnerDocument, PolicyDocument, SettingsDocument)))]
struct Declared;

/// The document without paths.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    let mut info = Info::new("Causeway", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Operates a Causeway gateway. Documents have the keys of gateway.toml. What has versions answers with an ETag, \
         and is changed with `If-Match`. Errors are problem details (RFC 9457) whose `code` never changes."
            .to_owned(),
    );
    let mut document = OpenApiBuilder::new().info(info).components(Declared::openapi().components).build();
    if let Some(components) = &mut document.components {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token: `causeway token new`, or the panel's page of tokens. It has scopes."));
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    }
    document
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) = super::resources().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_problems(path, operation);
        }
    }
    if let Some(components) = &mut document.components {
        let schemas = &mut components.schemas;
        for (shown, whole, patch, needed) in [
            ("PartnerDocument", Some("NewPartner"), Some("PartnerPatch"), vec!["domain".to_owned()]),
            ("PolicyDocument", Some("NewPolicy"), None, vec!["identity".to_owned()]),
            ("SettingsDocument", None, Some("SettingsPatch"), Vec::new()),
        ] {
            let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(shown) else { continue };
            // It is part of what is shown, which has other members, too.
            object.additional_properties = None;
            let written = written(object);
            let mut new = written.clone();
            new.required = needed;
            whole.map(|name| schemas.insert(name.to_owned(), RefOr::T(Schema::Object(new))));
            patch.map(|name| schemas.insert(name.to_owned(), RefOr::T(Schema::Object(patched(written)))));
        }
    }
    document
}

/// The document as it is sent.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let text = serde_json::to_string_pretty(&document()).unwrap_or_default();
        text + "\n"
    });
    &TEXT
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "status", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object)),
    security(())
)]
async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// What an operation can end with besides what its handler names.
fn add_problems(path: &str, operation: &mut Operation) {
    let takes = |place: &ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == *place))
    };
    let (takes_query, takes_version) = (takes(&ParameterIn::Query), takes(&ParameterIn::Header));
    let (takes_body, is_open) = (operation.request_body.is_some(), path.ends_with("/openapi.json"));
    let is_change = takes_body || takes_version;
    let problems = [
        ("400", "A parameter or the JSON does not do.", takes_query || takes_body || path.contains('{')),
        ("401", "No valid token.", !is_open),
        ("403", "The token lacks the scope.", !is_open),
        ("404", "There is none of that name.", path.contains('{')),
        ("409", "It exists already, or gateway.toml declares it.", is_change || path.contains('{')),
        ("412", "Somebody else has changed it; `present` says who.", takes_version),
        ("413", "The body is too large.", takes_body),
        ("415", "The body has another media type.", takes_body),
        ("422", "The document has mistakes; `faults` names them.", is_change || path.contains('{')),
        ("428", "`If-Match` is missing.", takes_version),
        ("429", "Too many requests; `Retry-After` says when to come back.", true),
        ("503", "The store does not answer.", !is_open),
    ];
    for (status, description, can_be) in problems {
        if can_be && !operation.responses.responses.contains_key(status) {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
            operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
        }
    }
}

/// A document as it is written: nothing is needed, and what cannot be written is left out.
fn written(shown: &Object) -> Object {
    let mut object = shown.clone();
    object.required.clear();
    object.properties.remove("trust_anchors");
    if object.properties.remove("has_dialback_passphrase").is_some() {
        let mut secret = Object::with_type(SchemaType::Type(Type::String));
        secret.description = Some("DialbackPassphrase, at least 32 bytes. It is never shown.".to_owned());
        object.properties.insert("dialback_passphrase".to_owned(), RefOr::T(Schema::Object(secret)));
    }
    object
}

/// The same where `null` brings the default back.
fn patched(mut object: Object) -> Object {
    for property in object.properties.values_mut() {
        let RefOr::T(schema) = property else { continue };
        let kind = match schema {
            Schema::Object(object) => &mut object.schema_type,
            Schema::Array(array) => &mut array.schema_type,
            _ => continue,
        };
        if let SchemaType::Type(known) = kind {
            *kind = SchemaType::Array(vec![known.clone(), Type::Null]);
        }
    }
    object
}
