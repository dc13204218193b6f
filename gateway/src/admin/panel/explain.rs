//! Why two users see each other as they do, whether a message would pass, and the end of their authorisation.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use causeway_shared::jid::BareJid;
use serde::Deserialize;

use super::language::Texts;
use super::layout::{Frame, page};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::presence::record::PairKey;
use crate::trace::explain::Explanation;
use crate::trace::operator::TestReport;
use crate::trace::statement::Statement;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/explain", get(show))
        .route("/explain/test-im", post(test_im))
        .route("/explain/remove", post(remove))
}

/// Whom it is about.
#[derive(Debug, Clone, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    local: String,
    #[serde(default)]
    remote: String,
    /// Whether the end of an authorisation is meant.
    #[serde(default)]
    sure: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    local: bool,
    remote: bool,
}

impl Wanted {
    fn pair(&self) -> Result<PairKey, Faults> {
        let user = |address: &str| BareJid::parse(address.trim()).ok().filter(|user| user.as_jid().local().is_some());
        match (user(&self.local), user(&self.remote)) {
            (Some(local), Some(remote)) => Ok(PairKey { local, remote }),
            (local, remote) => Err(Faults { local: local.is_none(), remote: remote.is_none() }),
        }
    }
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Page {
    t: Texts,
    frame: Frame,
    wanted: Wanted,
    faults: Faults,
    explanation: Option<Explanation>,
    test: Option<TestReport>,
    /// What became of what was asked, and how it is marked.
    said: Option<(&'static str, String)>,
}

impl Page {
    fn may_operate(&self) -> bool {
        self.frame.may(Scope::Operate)
    }

    fn say(&self, statement: &Statement) -> String {
        let args: Vec<_> = statement.args.iter().collect();
        self.t.known(&statement.code, &args).unwrap_or_else(|| statement.text.clone())
    }

    /// The parts of an explanation, each with the key of its heading.
    fn parts<'e>(&self, explanation: &'e Explanation) -> [(&'static str, &'e [Statement]); 5] {
        [
            ("explain-policy", &explanation.policy),
            ("explain-inbound", &explanation.inbound),
            ("explain-outbound", &explanation.outbound),
            ("explain-events", &explanation.events),
            ("explain-verdicts", &explanation.verdicts),
        ]
    }
}

async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    filled(&desk, frame, wanted, None, None).await
}

/// Sends a test message (Test-CsXmppIM).
async fn test_im(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Operate)?;
    let Ok(pair) = wanted.pair() else { return filled(&desk, frame, wanted, None, None).await };
    super::note(&desk, &actor, "pair.test-im", &named(&pair)).await?;
    let tested = desk.operator.test_im(&pair, None).await;
    if let Err(fault) = &tested {
        super::note_refusal(&desk, &actor, "pair.test-im", &named(&pair), fault).await;
    }
    match tested {
        Ok(report) => filled(&desk, frame, wanted, Some(report), None).await,
        Err(fault) => filled(&desk, frame, wanted, None, Some(("bad", fault.to_string()))).await,
    }
}

async fn remove(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Operate)?;
    let t = frame.t;
    let Ok(pair) = wanted.pair() else { return filled(&desk, frame, wanted, None, None).await };
    if wanted.sure.is_empty() {
        return filled(&desk, frame, wanted, None, Some(("warn", t.get("pair-remove-sure")))).await;
    }
    super::note(&desk, &actor, "pair.remove", &named(&pair)).await?;
    let removed = desk.operator.remove_pair(&pair).await;
    if let Err(fault) = &removed {
        super::note_refusal(&desk, &actor, "pair.remove", &named(&pair), fault).await;
    }
    let said = match removed {
        Ok(removal) if removal.is_changed => ("good", t.get("pair-removed")),
        Ok(_) => ("warn", t.get("pair-absent")),
        Err(fault) => ("bad", format!("{} {fault}", t.get("pair-failed"))),
    };
    filled(&desk, frame, wanted, None, Some(said)).await
}

fn named(pair: &PairKey) -> String {
    format!("{} {}", pair.local.as_str(), pair.remote.as_str())
}

async fn filled(
    desk: &Desk,
    frame: Frame,
    wanted: Wanted,
    test: Option<TestReport>,
    mut said: Option<(&'static str, String)>,
) -> Result<Response, Denied> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let (faults, explanation) = match wanted.pair() {
        Ok(pair) => match desk.operator.explain(&pair, now_ms).await {
            Ok(explanation) => (Faults::default(), Some(explanation)),
            Err(fault) => {
                said.get_or_insert_with(|| ("bad", fault.to_string()));
                (Faults::default(), None)
            }
        },
        Err(_) if wanted.local.is_empty() && wanted.remote.is_empty() => (Faults::default(), None),
        Err(faults) => (faults, None),
    };
    let status = if faults.local || faults.remote { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page(status, &Page { t: frame.t, frame, wanted, faults, explanation, test, said }))
}
