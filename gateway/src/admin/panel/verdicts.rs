//! Why federation with a partner does not work: the last verdicts, and a probe of all rungs from every edge.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use causeway_shared::domain::DomainName;
use causeway_shared::probe::{Report, Step, StepState};
use causeway_shared::verdict::history::Kept;
use causeway_shared::verdict::{Code, Direction, Side, printable};
use serde::Deserialize;

use super::language::Texts;
use super::layout::{Frame, page};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};

/// Verdicts that one page shows.
const SHOWN: usize = 100;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/verdicts", get(show)).route("/verdicts/probe", post(probe))
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// A domain of a partner, or of a stranger; empty is all.
    #[serde(default)]
    partner: String,
}

#[derive(Template)]
#[template(path = "verdicts.html")]
struct Page {
    t: Texts,
    frame: Frame,
    partner: String,
    /// Whether the partner asked for is no domain.
    is_unreadable: bool,
    verdicts: Vec<Kept>,
    reports: Vec<Probed>,
}

/// What an edge found.
struct Probed {
    edge: String,
    /// Why there is no report.
    fault: String,
    report: Option<Report>,
}

impl Page {
    fn may_probe(&self) -> bool {
        self.frame.may(Scope::Operate)
    }

    fn side(&self, side: Side) -> (&'static str, &'static str) {
        side_of(side)
    }

    /// What the kind of a verdict means, in the reader's language.
    fn meaning(&self, kept: &Kept) -> String {
        let Some(entry) = kept.verdict.code.map(Code::entry) else { return String::new() };
        self.told("meaning", entry.name).unwrap_or_else(|| entry.meaning.trim().to_owned())
    }

    /// What to do, in the reader's language; as the edge said it where its kind is not known here.
    fn remedy(&self, code: Option<Code>, said: &str) -> String {
        code.and_then(|code| self.told("remedy", code.entry().name)).unwrap_or_else(|| printable(said))
    }

    /// What the catalogue says of a code, where it is translated.
    fn told(&self, what: &str, code: &str) -> Option<String> {
        self.t.known::<&str, &str>(&format!("{what}-{code}"), &[])
    }

    /// The remedy as it was made, for the other side's operator, who reads English.
    fn copy(&self, kept: &Kept) -> String {
        let verdict = &kept.verdict;
        let peer = verdict.peer.map(|peer| format!(" ({peer})")).unwrap_or_default();
        format!("{}{peer}: {} {}", printable(&verdict.partner), printable(&verdict.cause), printable(&verdict.remedy))
    }

    fn name(&self, code: Option<Code>) -> &'static str {
        code.map_or("", |code| code.entry().name)
    }

    fn direction(&self, direction: Direction) -> &'static str {
        match direction {
            Direction::In => "direction-in",
            Direction::Out => "direction-out",
        }
    }

    fn state(&self, step: &Step) -> (&'static str, &'static str) {
        match step.state {
            StepState::Ok => ("good", "step-ok"),
            StepState::Failed => ("bad", "step-failed"),
            StepState::Skipped => ("warn", "step-skipped"),
        }
    }

    fn safe(&self, text: &str) -> String {
        printable(text)
    }

    fn edge(&self, kept: &Kept) -> String {
        if kept.edge.is_empty() { self.t.get("gateway") } else { printable(&kept.edge) }
    }
}

/// How a side is shown, and the key of its name.
pub(super) const fn side_of(side: Side) -> (&'static str, &'static str) {
    match side {
        Side::Theirs => ("warn", "side-theirs"),
        Side::Ours => ("bad", "side-ours"),
        Side::Network => ("warn", "side-network"),
        Side::Operator => ("bad", "side-operator"),
    }
}

async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let partner = wanted.partner.trim().to_owned();
    let reports = desk.links.last_probe(&partner).into_iter().map(probed).collect();
    Ok(page(StatusCode::OK, &filled(&desk, frame, partner, reports)))
}

/// Walks all rungs from every edge at once.
async fn probe(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Operate)?;
    let Ok(partner) = DomainName::parse(wanted.partner.trim()) else {
        return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &filled(&desk, frame, wanted.partner, Vec::new())));
    };
    super::note(&desk, &actor, "partner.probe", partner.as_str()).await?;
    let mut edges: Vec<String> = desk.links.edges().into_iter().map(|edge| edge.name).collect();
    edges.sort();
    edges.dedup();
    let mut probes = tokio::task::JoinSet::new();
    for edge in edges {
        let (links, partner) = (desk.links.clone(), partner.clone());
        probes.spawn(async move {
            let report = links.probe(Some(&edge), partner.as_str(), "").await;
            match report {
                Ok(report) => probed(report),
                Err(fault) => Probed { edge, fault: fault.to_string(), report: None },
            }
        });
    }
    let mut reports = probes.join_all().await;
    reports.sort_by(|one, other| one.edge.cmp(&other.edge));
    Ok(page(StatusCode::OK, &filled(&desk, frame, partner.to_string(), reports)))
}

fn probed(report: Report) -> Probed {
    Probed { edge: printable(&report.edge), fault: printable(&report.refused), report: Some(report) }
}

fn filled(desk: &Desk, frame: Frame, partner: String, reports: Vec<Probed>) -> Page {
    let kept = desk.links.verdicts();
    let named = DomainName::parse(&partner);
    let mut verdicts = match (&named, partner.is_empty()) {
        (_, true) => kept.newest(),
        (Ok(_), false) => kept.latest(&super::primary(desk, &partner)),
        (Err(_), false) => Vec::new(),
    };
    verdicts.truncate(SHOWN);
    let is_unreadable = named.is_err() && !partner.is_empty();
    Page { t: frame.t, frame, is_unreadable, partner, verdicts, reports }
}
