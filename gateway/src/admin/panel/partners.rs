//! XMPP Federated Partners, the page that the original's Control Panel has under "Federation and External Access": the list,
//! one partner to read, and its removal. `form` has New, Edit and Commit.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_shared::domain::DomainName;
use serde_json::{Value, json};

use super::entry::{label_key, word_label};
use super::language::Texts;
use super::layout::{Frame, page};
use super::sheet::{Field, Kind, Sheet, Typed, field};
use super::slip;
use crate::admin::administration::{Author, InForce, Options, stored_keys};
use crate::admin::change::{self, Change, Subject};
use crate::admin::desk::Desk;
use crate::admin::documents::{Object, PartnerDocument};
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::receipt::Refusal;
use crate::config::Partner;

mod conflict;
mod form;
mod negotiation;
#[cfg(test)]
mod tests;

/// Partners on one page of the list.
const PAGE: usize = 100;

const NEGOTIATIONS: Kind = Kind::Choice(&["Required", "Optional", "NotSupported"]);

/// The fields of a partner, in the order of the form.
pub(super) const FIELDS: &[Field] = &[
    field("domain", "Domain", Kind::Line),
    field("additional_domains", "AdditionalDomains", Kind::Lines),
    field("description", "Description", Kind::Text),
    field("partner_type", "PartnerType", Kind::Choice(&["Federated", "PublicVerified", "PublicUnverified"])),
    field("tls_negotiation", "TlsNegotiation", NEGOTIATIONS),
    field("sasl_negotiation", "SaslNegotiation", NEGOTIATIONS),
    field("support_dialback_negotiation", "SupportDialbackNegotiation", Kind::Flag),
    field("enable_keep_alive", "EnableKeepAlive", Kind::Flag),
    field("connection_limit", "ConnectionLimit", Kind::Number),
    field("proxy_fqdn", "ProxyFqdn", Kind::Line),
    field("archive", "archive", Kind::Flag),
    field("use_public_trust", "use_public_trust", Kind::Flag),
    field("trust_anchors_pem", "trust_anchors_pem", Kind::Text),
    field("pins", "pins", Kind::Lines),
    field("direct_tls", "direct_tls", Kind::Flag),
    field("stream_management", "stream_management", Kind::Flag),
    field("bidi", "bidi", Kind::Flag),
    field("dane", "dane", Kind::Flag),
    field("posh", "posh", Kind::Flag),
    field("plaintext_after_tls_failure", "plaintext_after_tls_failure", Kind::Flag),
    field("allow_private_addresses", "allow_private_addresses", Kind::Flag),
    field("force", "Force", Kind::Flag),
];

/// The pages.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/partners", get(list))
        .route("/partners/new", get(form::new).post(form::create))
        .route("/partners/preview", axum::routing::post(form::preview))
        .route("/partners/{domain}", get(form::show).post(form::change))
        .route("/partners/{domain}/delete", get(ask_removal).post(remove))
}

/// The path of a partner's page. A domain is letters, digits, hyphens and dots, or brackets and colons of an address.
pub fn path(domain: &str) -> String {
    format!("/partners/{}", super::dress::form_encoded(domain))
}

/// Who changes something, for the journal.
pub(super) fn author(actor: &Actor) -> Author {
    Author { name: actor.name.clone(), kind: actor.kind, address: actor.origin() }
}

/// A partner of the list.
struct Row {
    href: String,
    domain: String,
    ascii: Option<String>,
    additional: usize,
    kind: String,
    methods: Vec<(&'static str, String)>,
    negotiation: [String; 3],
    from_file: bool,
    /// Why it is not in force, in English.
    suspended: Option<String>,
    /// The last thing that went wrong.
    verdict: Option<(String, String)>,
    matched: String,
}

#[derive(Template)]
#[template(path = "partners.html")]
struct ListPage {
    t: Texts,
    frame: Frame,
    rows: Vec<Row>,
    q: String,
    source: String,
    total: usize,
    found: usize,
    page: usize,
    pages: usize,
}

impl ListPage {
    fn page_href(&self, page: usize) -> String {
        let q = super::dress::form_encoded(&self.q);
        format!("/partners?q={q}&source={}&page={page}", super::dress::form_encoded(&self.source))
    }
}

async fn list(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let (t, typed, in_force) = (frame.t, Typed(query), desk.administration.in_force());
    let (q, source) = (typed.get("q").trim().to_owned(), typed.get("source").to_owned());
    let mut rows = rows(t, &desk, &in_force);
    let total = rows.len();
    let wanted = q.to_lowercase();
    rows.retain(|row| {
        let right_source = match source.as_str() {
            "file" => row.from_file,
            "store" => !row.from_file,
            _ => true,
        };
        right_source && fits(&row.matched, &wanted)
    });
    let found = rows.len();
    let pages = found.div_ceil(PAGE).max(1);
    let number = typed.number("page").and_then(|number| usize::try_from(number).ok()).unwrap_or(1).clamp(1, pages);
    let rows = rows.into_iter().skip((number - 1) * PAGE).take(PAGE).collect();
    let template = ListPage { t, frame, rows, q, source, total, found, page: number, pages };
    Ok(page(StatusCode::OK, &template))
}

/// Whether a text holds what is searched for; `*` stands for anything, as in `-Filter`.
fn fits(text: &str, wanted: &str) -> bool {
    let mut rest = text;
    wanted.split('*').filter(|part| !part.is_empty()).all(|part| match rest.find(part) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

fn rows(t: Texts, desk: &Desk, in_force: &InForce) -> Vec<Row> {
    let files = in_force.config.declared.partners;
    let verdicts = desk.links.verdicts();
    let mut rows: Vec<Row> = Vec::new();
    for (index, partner) in in_force.config.partners.iter().enumerate() {
        let domain = partner.domain.to_string();
        let verdict =
            verdicts.latest(&domain).into_iter().next().map(|kept| (kept.verdict.cause, t.moment(kept.verdict.at_ms)));
        let row = Row { verdict, from_file: index < files, ..row(t, &PartnerDocument::of(partner), Some(partner)) };
        rows.push(row);
    }
    for suspended in &in_force.suspended {
        if let crate::config::stored::StoredKey::Partner(domain) = &suspended.what {
            let document = document(in_force, domain);
            let Some(document) = document.and_then(|object| serde_json::from_value(Value::Object(object)).ok()) else {
                continue;
            };
            let reasons: Vec<String> = suspended.mistakes.iter().map(ToString::to_string).collect();
            rows.push(Row { suspended: Some(reasons.join("; ")), ..row(t, &document, None) });
        }
    }
    rows.sort_by(|one, other| one.domain.cmp(&other.domain));
    rows
}

fn row(t: Texts, document: &PartnerDocument, partner: Option<&Partner>) -> Row {
    let shown =
        DomainName::parse(&document.domain).map_or_else(|_| document.domain.clone(), |domain| domain.to_unicode());
    let methods = partner.map(|partner| negotiation::method_keys(partner.methods)).unwrap_or_default();
    let matched = [document.domain.clone(), shown.clone(), document.description.clone()];
    let matched = matched.iter().chain(&document.additional_domains).map(|text| text.to_lowercase());
    Row {
        href: path(&document.domain),
        ascii: Some(document.domain.clone()).filter(|ascii| *ascii != shown),
        domain: shown,
        additional: document.additional_domains.len(),
        kind: word_label(t, &document.partner_type),
        methods: methods.into_iter().map(|key| (short(key), t.get(&format!("method-{key}")))).collect(),
        negotiation: [
            t.with("partners-tls", ("setting", word_label(t, &document.tls_negotiation))),
            t.with("partners-sasl", ("setting", word_label(t, &document.sasl_negotiation))),
            t.get(if document.support_dialback_negotiation { "partners-dialback" } else { "partners-no-dialback" }),
        ],
        from_file: false,
        suspended: None,
        verdict: None,
        matched: matched.collect::<Vec<_>>().join(" "),
    }
}

/// The published table's letter of a method.
fn short(method: &str) -> &'static str {
    match method {
        "sasl-external" => "S",
        "tls-dialback" => "DT",
        _ => "DP",
    }
}

/// What a new partner has.
fn usual() -> Object {
    let usual = json!({
        "partner_type": "PublicUnverified", "tls_negotiation": "Required", "sasl_negotiation": "Required",
        "support_dialback_negotiation": true, "enable_keep_alive": true, "use_public_trust": true,
        "direct_tls": true, "stream_management": true,
        // What PartnerDocument cannot do without.
        "domain": "", "allow_private_addresses": false, "bidi": false, "dane": false, "posh": false,
        "plaintext_after_tls_failure": false, "force": false,
    });
    usual.as_object().cloned().unwrap_or_default()
}

/// A partner as it is in force, or as the store has it if it is not; `None` if there is none.
fn document(in_force: &InForce, domain: &str) -> Option<Object> {
    if let Some(partner) = in_force.partner(domain) {
        return json!(PartnerDocument::of(partner)).as_object().cloned();
    }
    let domain = DomainName::parse(domain).ok()?.to_string();
    let stored = stored_keys(&in_force.data, &Subject::Partner(domain));
    if stored.is_empty() {
        return None;
    }
    let mut document = usual();
    document.extend(stored);
    Some(document)
}

/// The version of a partner's document in the store.
fn version(in_force: &InForce, domain: &str) -> u64 {
    let subject = Subject::Partner(domain.to_owned());
    change::document(&in_force.data, &subject).map_or(0, |document| document.version)
}

/// A partner to read: from a file, or for who may not change it.
#[derive(Template)]
#[template(path = "partner_view.html")]
struct ViewPage {
    t: Texts,
    frame: Frame,
    title: String,
    from_file: bool,
    preview: negotiation::Preview,
    facts: Vec<(String, &'static str, String)>,
    type_text: String,
}

fn view(frame: Frame, in_force: &InForce, domain: &str, document: &Object) -> Response {
    let t = frame.t;
    let sheet = Sheet::of(FIELDS, document);
    let fact = |field: &Field| {
        let value = slip::shown(t, document.get(field.key).unwrap_or(&Value::Null));
        (t.get(&label_key("partner", field.key)), field.parameter, value)
    };
    let template = ViewPage {
        title: t.with("partner-title", ("domain", domain)),
        from_file: in_force.is_declared(&Subject::Partner(domain.to_owned())),
        preview: negotiation::Preview::forced(t, &sheet, in_force.config.method_rules),
        facts: FIELDS.iter().map(fact).collect(),
        type_text: type_text(t, sheet.value("partner_type")),
        t,
        frame,
    };
    page(StatusCode::OK, &template)
}

/// What partners of a type may do.
fn type_text(t: Texts, word: &str) -> String {
    t.get(&format!("type-{}-text", word.to_lowercase()))
}

#[derive(Template)]
#[template(path = "partner_delete.html")]
struct RemovalPage {
    t: Texts,
    frame: Frame,
    domain: String,
    action: String,
    additional: Vec<String>,
    version: u64,
    stale: Option<String>,
}

async fn ask_removal(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(domain): Path<String>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    Ok(removal(&desk, frame, &domain, None))
}

fn removal(desk: &Desk, frame: Frame, domain: &str, stale: Option<String>) -> Response {
    let in_force = desk.administration.in_force();
    let Some(document) = document(&in_force, domain) else { return Denied::NotFound.into_response() };
    let sheet = Sheet::of(FIELDS, &document);
    let domain = sheet.value("domain").to_owned();
    if in_force.is_declared(&Subject::Partner(domain.clone())) {
        return slip::refused(frame, &Refusal::Declared(domain.clone()), &path(&domain));
    }
    let additional = sheet.value("additional_domains").lines().map(ToOwned::to_owned).collect();
    let (version, status) =
        (version(&in_force, &domain), if stale.is_some() { StatusCode::CONFLICT } else { StatusCode::OK });
    page(status, &RemovalPage { t: frame.t, frame, action: path(&domain), domain, additional, version, stale })
}

async fn remove(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(domain): Path<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let options = Options { if_version: Typed(form).number("version"), ..Options::default() };
    let change = Change::RemovePartner { domain: domain.clone() };
    let t = frame.t;
    Ok(match desk.administration.change(&author(&actor), change, options).await {
        Ok(receipt) => {
            let title = t.with("partner-removed", ("domain", &receipt.object));
            slip::receipt(frame, "partner", title, &receipt, vec![("/partners".to_owned(), t.get("partners-to-list"))])
        }
        Err(refusal @ Refusal::Stale { .. }) => {
            let (text, _) = super::told::refusal(t, &refusal);
            removal(&desk, frame, &domain, Some(text))
        }
        Err(refusal) => slip::refused(frame, &refusal, "/partners"),
    })
}
