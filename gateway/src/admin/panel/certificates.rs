//! Certificates and how long they hold: ours on this gateway, and what partners' servers have shown.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::language::Texts;
use super::layout::{Frame, page};
use super::streams::answer;
use crate::admin::check::certificates::{OwnCertificate, of_edges, ours};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::link::PartnerCertificate;
use crate::link::live::Answer;
use crate::link::partner_certificates;

/// Days left from which a certificate is worth a look: two weeks after public authorities' clients renew.
const SOON: i64 = 21;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/certificates", get(show))
}

#[derive(Template)]
#[template(path = "certificates.html")]
struct Page {
    t: Texts,
    frame: Frame,
    own: Vec<OwnCertificate>,
    partners: Vec<PartnerCertificate>,
    unsure: Vec<(&'static str, String)>,
}

impl Page {
    fn mark(&self, days: i64) -> &'static str {
        match days {
            ..1 => "bad",
            1..=SOON => "warn",
            _ => "good",
        }
    }

    fn days(&self, days: i64) -> String {
        if days < 0 { self.t.with("days-over", ("days", -days)) } else { self.t.with("days-left", ("days", days)) }
    }

    fn peer(&self, seen: &PartnerCertificate) -> String {
        seen.peer.map(|peer| peer.to_string()).unwrap_or_default()
    }
}

async fn show(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
    let edges = desk.links.streams(None).await;
    let unsure = edges.iter().filter(|edge| edge.answer != Answer::Complete);
    let unsure = unsure.map(|edge| (answer(edge.answer), edge.edge.clone())).collect();
    let mut partners = partner_certificates(&edges, &desk.links.verdicts().newest(), now_ms);
    partners.sort_by_key(|seen| seen.certificate.not_after);
    let config = Arc::clone(&desk.administration.in_force().config);
    let mut own = ours(&config, now_ms).await;
    own.extend(of_edges(&edges));
    Ok(page(StatusCode::OK, &Page { t: frame.t, frame, own, partners, unsure }))
}
