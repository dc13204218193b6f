//! The settings for all partners (Get-, Set-CsXmppGatewayConfiguration).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, changed, versioned};
use super::body::{Asked, How, IfMatch, Written};
use super::permission::{By, Read, Write};
use super::standing::Standing;
use crate::admin::administration::InForce;
use crate::admin::change::{Change, Subject, document};
use crate::admin::desk::Desk;
use crate::admin::documents::SettingsDocument;
use crate::admin::receipt::Receipt;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(read, patch))
}

/// The settings as they are in force, every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SettingsView {
    /// The keys.
    #[serde(flatten)]
    pub settings: SettingsDocument,
    /// Those that gateway.toml has: they are changed there only.
    pub declared: BTreeSet<String>,
    /// Who changed them, and whether all of them are in force.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Get-CsXmppGatewayConfiguration
#[utoipa::path(
    get, path = "/settings", tag = "settings", operation_id = "settings_get",
    responses((status = 200, description = "The settings.", body = SettingsView,
        headers(("ETag" = String, description = "Their version.")))),
    security(("token" = ["read"]))
)]
async fn read(_: By<Read>, State(desk): State<Arc<Desk>>) -> Answer {
    let view = view(&desk.administration.in_force());
    Ok(versioned(view.standing.version, view))
}

/// Set-CsXmppGatewayConfiguration: changes what is named; `null` brings the default back (RFC 7396).
#[utoipa::path(
    patch, path = "/settings", tag = "settings", operation_id = "settings_set", params(How, IfMatch),
    request_body(content = ref("#/components/schemas/SettingsPatch"), content_type = "application/merge-patch+json"),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt,
        headers(("ETag" = String, description = "Their version now.")))),
    security(("token" = ["write"]))
)]
async fn patch(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Asked(how): Asked<How>,
    base: IfMatch,
    body: Written,
) -> Answer {
    let present = document(&desk.administration.in_force().data, &Subject::Settings).map_or(0, |stored| stored.version);
    let change = Change::PatchSettings(body.document());
    Ok(changed(desk.administration.change(&actor.author(), change, how.of(base.version(present))).await?))
}

/// The settings and what is known about them.
pub fn view(in_force: &InForce) -> SettingsView {
    SettingsView {
        settings: SettingsDocument::of(&in_force.config),
        declared: in_force.config.declared.settings.clone(),
        standing: Standing::of(in_force, &Subject::Settings),
    }
}
