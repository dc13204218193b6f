//! Certificates and how long they hold: ours, and those that partners' servers have shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{By, Read};
use crate::admin::check::certificates::{OwnCertificate, of_edges, ours};
use crate::admin::desk::Desk;
use crate::link::{PartnerCertificate, partner_certificates};
use crate::shell::now;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CertificateList {
    /// Ours, on this gateway and on its edges.
    pub ours: Vec<OwnCertificate>,
    /// The newest that each server of a partner has shown.
    pub partners: Vec<PartnerCertificate>,
}

/// Certificates and how long they hold.
#[utoipa::path(
    get, path = "/certificates", tag = "certificates", operation_id = "certificates_list",
    responses((status = 200, description = "Ours and the partners'.", body = CertificateList)),
    security(("token" = ["read"]))
)]
async fn list(_: By<Read>, State(desk): State<Arc<Desk>>) -> Json<CertificateList> {
    let now_ms = now().unix_ms;
    let mut ours = ours(&desk.administration.in_force().config, now_ms).await;
    let streams = desk.links.streams(None).await;
    ours.extend(of_edges(&streams));
    let partners = partner_certificates(&streams, &desk.links.verdicts().newest(), now_ms);
    Json(CertificateList { ours, partners })
}
