//! What failed or was refused with partners, and what a probe of them finds.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use causeway_shared::domain::DomainName;
use causeway_shared::verdict;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::Asked;
use super::noted::note;
use super::permission::{By, Operate, Read};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::link::ProbeFault;

/// Edges that are asked to probe by one request; a probe of each has its own connections and takes up to a minute.
const MAX_EDGES: usize = 8;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(verdicts)).routes(routes!(last, probe))
}

/// Verdicts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerdictList {
    /// The newest first: `rung`, `side`, `code`, `cause`, `remedy`, `count`, and what is known of the attempt.
    #[schema(value_type = Vec<Object>)]
    pub verdicts: Value,
}

/// Of which partner.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfPartner {
    /// A domain of the partner; without it, of all.
    partner: Option<String>,
}

/// What failed or was refused lately, here and on the edges.
#[utoipa::path(
    get, path = "/verdicts", tag = "verdicts", operation_id = "verdicts_list", params(OfPartner),
    responses((status = 200, description = "The verdicts.", body = VerdictList)),
    security(("token" = ["read"]))
)]
async fn verdicts(
    _: By<Read>,
    State(desk): State<Arc<Desk>>,
    Asked(of): Asked<OfPartner>,
) -> Answer<Json<VerdictList>> {
    let history = desk.links.verdicts();
    let kept = match of.partner {
        Some(domain) => history.latest(&primary(&desk, &domain)?),
        None => history.newest(),
    };
    Ok(Json(VerdictList { verdicts: verdict::json::kept(&kept) }))
}

/// What probes found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProbeList {
    /// The domain that was probed.
    pub partner: String,
    /// Whether any edge could authenticate there.
    pub reachable: bool,
    /// Edge by edge: `steps` with `rung`, `state` (`ok`, `failed`, `skipped`), `what`, `remedy`.
    #[schema(value_type = Vec<Object>)]
    pub probes: Vec<Value>,
}

/// Whose last probe.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Last {
    /// A domain of the partner.
    partner: String,
}

/// What the last probe of a partner found.
#[utoipa::path(
    get, path = "/probes", tag = "verdicts", operation_id = "probes_last", params(Last),
    responses((status = 200, description = "The probe, if there was one lately.", body = ProbeList)),
    security(("token" = ["read"]))
)]
async fn last(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(of): Asked<Last>) -> Answer<Json<ProbeList>> {
    let partner = domain("partner", &of.partner)?;
    let report = desk.links.last_probe(partner.as_str());
    let reachable = report.as_ref().is_some_and(causeway_shared::probe::Report::is_reachable);
    let probes = report.iter().map(causeway_shared::probe::Report::json).collect();
    Ok(Json(ProbeList { partner: partner.to_string(), reachable, probes }))
}

/// What is to be probed.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Probe {
    /// A domain of a partner.
    partner: String,
    /// From this edge; without it, from each.
    edge: Option<String>,
    /// As this domain of ours; without it, as any.
    local: Option<String>,
}

/// Has the edges walk all rungs towards a partner, on connections of their own. Takes up to a minute.
#[utoipa::path(
    post, path = "/probes", tag = "verdicts", operation_id = "probe", params(Probe),
    responses(
        (status = 200, description = "What they found.", body = ProbeList),
        (status = 404, description = "The domain is no partner's.", body = super::problem::Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "No edge is attached.", body = super::problem::Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = ["operate"]))
)]
async fn probe(
    actor: By<Operate>,
    State(desk): State<Arc<Desk>>,
    Asked(probe): Asked<Probe>,
) -> Answer<Json<ProbeList>> {
    let partner = domain("partner", &probe.partner)?;
    if desk.settings.borrow().partner(&partner).is_none() {
        return Err(Trouble::Absent(partner.to_string()));
    }
    let local = probe.local.as_deref().map(|local| domain("local", local)).transpose()?;
    if let Some(local) = &local
        && !desk.administration.in_force().config.domains.contains(local)
    {
        return Err(Trouble::parameter("local", format!("{local} is none of our domains")));
    }
    let local = local.map(|local| local.to_string()).unwrap_or_default();
    let mut names: Vec<String> = match probe.edge {
        Some(edge) => vec![edge],
        None => desk.links.edges().into_iter().map(|edge| edge.name).collect(),
    };
    names.dedup();
    names.truncate(MAX_EDGES);
    note(&desk, &actor, "partner.probe", partner.as_str(), Outcome::Done, json!({ "edges": names })).await?;
    let asked = names.iter().map(|edge| desk.links.probe(Some(edge), partner.as_str(), &local));
    let told = futures(asked).await;
    let mut fault = ProbeFault::NoEdge;
    let mut reports = Vec::new();
    for report in told {
        match report {
            Ok(report) => reports.push(report),
            Err(other) => fault = other,
        }
    }
    if reports.is_empty() {
        return Err(match fault {
            ProbeFault::NoEdge => Trouble::Conflict(fault.to_string()),
            ProbeFault::TooMany => Trouble::Busy,
        });
    }
    let reachable = reports.iter().any(causeway_shared::probe::Report::is_reachable);
    let probes = reports.iter().map(causeway_shared::probe::Report::json).collect();
    Ok(Json(ProbeList { partner: partner.to_string(), reachable, probes }))
}

/// All of them at once, in their order.
async fn futures<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

/// A parameter that is a domain.
pub(super) fn domain(name: &str, text: &str) -> Result<DomainName, Trouble> {
    DomainName::parse(text.trim()).map_err(|error| Trouble::parameter(name, error.to_string()))
}

/// The primary domain of the partner of a domain; the domain itself where it is no partner's.
pub(super) fn primary(desk: &Desk, text: &str) -> Result<String, Trouble> {
    let name = domain("partner", text)?;
    let settings = desk.settings.borrow();
    Ok(settings.partner(&name).map_or_else(|| name.to_string(), |partner| partner.primary.to_string()))
}
