//! Partners (New-, Get-, Set-, Remove-CsXmppAllowedPartner).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use causeway_shared::domain::DomainName;
use causeway_shared::partner::{Negotiation, NegotiationSettings, PartnerType, StreamOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, changed, created, matches, versioned};
use super::body::{Asked, How, IfMatch, Named, Written};
use super::permission::{By, Read, Write};
use super::problem::Trouble;
use super::standing::Standing;
use crate::admin::administration::{InForce, stored_keys};
use crate::admin::change::{Change, Subject, document};
use crate::admin::desk::Desk;
use crate::admin::documents::{Object, PartnerDocument, method_names, row};
use crate::admin::receipt::Receipt;
use crate::store::operator::{DocumentKind, MAX_DOCUMENTS};

/// Partners of one page; as many as there can be.
const MAX_PAGE: usize = MAX_DOCUMENTS;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, put, patch, remove))
}

/// A partner as it is in force, every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PartnerView {
    /// Its keys.
    #[serde(flatten)]
    pub partner: PartnerDocument,
    /// The domain as people write it.
    pub domain_unicode: String,
    /// How its servers may prove who they are, in the order of preference: `sasl-external`, `tls-dialback`, `tcp-dialback`.
    pub methods: Vec<&'static str>,
    /// The row of the published table that its negotiation settings are.
    pub row: u8,
    /// Where it comes from, and whether it is in force.
    #[serde(flatten)]
    pub standing: Standing,
}

/// All partners that fit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PartnerList {
    /// In the order of their domains.
    pub partners: Vec<PartnerView>,
    /// Where to go on: `after` of the next page; `null` on the last.
    pub next: Option<String>,
    /// The revision of everything.
    pub revision: u64,
}

/// Which partners.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// -Filter: the primary domain with `*` and `?`, such as `*.org`.
    filter: Option<String>,
    /// Behind this domain.
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
}

/// Get-CsXmppAllowedPartner
#[utoipa::path(
    get, path = "/partners", tag = "partners", operation_id = "partners_list", params(Which),
    responses((status = 200, description = "The partners that fit.", body = PartnerList)),
    security(("token" = ["read"]))
)]
async fn list(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer<Json<PartnerList>> {
    let limit = page(which.limit, MAX_PAGE)?;
    let in_force = desk.administration.in_force();
    let after = which.after.unwrap_or_default();
    let fits =
        |domain: &String| *domain > after && which.filter.as_ref().is_none_or(|pattern| matches(pattern, domain));
    let mut domains: Vec<String> = domains(&in_force).into_iter().filter(fits).collect();
    let next = if domains.len() > limit { domains.get(limit - 1).cloned() } else { None };
    domains.truncate(limit);
    let partners = domains.iter().filter_map(|domain| view(&in_force, domain)).collect();
    Ok(Json(PartnerList { partners, next, revision: in_force.data.revision }))
}

/// New-CsXmppAllowedPartner
#[utoipa::path(
    post, path = "/partners", tag = "partners", operation_id = "partner_new", params(How),
    request_body(content = ref("#/components/schemas/NewPartner"), content_type = "application/json"),
    responses(
        (status = 201, description = "The partner is there.", body = Receipt,
            headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is."))),
        (status = 200, description = "What would be done (`dry_run`).", body = Receipt),
    ),
    security(("token" = ["write"]))
)]
async fn create(actor: By<Write>, State(desk): State<Arc<Desk>>, Asked(how): Asked<How>, body: Written) -> Answer {
    let change = Change::NewPartner(body.document());
    let receipt = desk.administration.change(&actor.author(), change, how.of(None)).await?;
    Ok(created("/api/v1/partners", receipt))
}

/// Get-CsXmppAllowedPartner -Identity
#[utoipa::path(
    get, path = "/partners/{domain}", tag = "partners", operation_id = "partner_get",
    params(("domain" = String, Path, description = "Its primary domain.")),
    responses((status = 200, description = "The partner.", body = PartnerView,
        headers(("ETag" = String, description = "Its version.")))),
    security(("token" = ["read"]))
)]
async fn read(_: By<Read>, State(desk): State<Arc<Desk>>, Named(domain): Named<String>) -> Answer {
    let in_force = desk.administration.in_force();
    let name = named(&domain)?;
    let view = view(&in_force, &name).ok_or(Trouble::Absent(domain))?;
    Ok(versioned(view.standing.version, view))
}

/// Replaces a partner: what is left out has its default.
#[utoipa::path(
    put, path = "/partners/{domain}", tag = "partners", operation_id = "partner_put",
    params(("domain" = String, Path, description = "Its primary domain."), How, IfMatch),
    request_body(content = ref("#/components/schemas/NewPartner"), content_type = "application/json"),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt,
        headers(("ETag" = String, description = "Its version now.")))),
    security(("token" = ["write"]))
)]
async fn put(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(domain): Named<String>,
    Asked(how): Asked<How>,
    base: IfMatch,
    body: Written,
) -> Answer {
    let options = how.of(base.version(version(&desk, &domain)?));
    let change = Change::PutPartner { domain, document: body.document() };
    Ok(changed(desk.administration.change(&actor.author(), change, options).await?))
}

/// Set-CsXmppAllowedPartner: changes what is named; `null` brings the default back (RFC 7396).
#[utoipa::path(
    patch, path = "/partners/{domain}", tag = "partners", operation_id = "partner_set",
    params(("domain" = String, Path, description = "Its primary domain."), How, IfMatch),
    request_body(content = ref("#/components/schemas/PartnerPatch"), content_type = "application/merge-patch+json"),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt,
        headers(("ETag" = String, description = "Its version now.")))),
    security(("token" = ["write"]))
)]
async fn patch(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(domain): Named<String>,
    Asked(how): Asked<How>,
    base: IfMatch,
    body: Written,
) -> Answer {
    let options = how.of(base.version(version(&desk, &domain)?));
    let change = Change::PatchPartner { domain, patch: body.document() };
    Ok(changed(desk.administration.change(&actor.author(), change, options).await?))
}

/// Remove-CsXmppAllowedPartner: its streams are closed, and nothing more is exchanged with it.
#[utoipa::path(
    delete, path = "/partners/{domain}", tag = "partners", operation_id = "partner_remove",
    params(("domain" = String, Path, description = "Its primary domain."), How, IfMatch),
    responses((status = 200, description = "The partner is gone, or would be.", body = Receipt)),
    security(("token" = ["write"]))
)]
async fn remove(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(domain): Named<String>,
    Asked(how): Asked<How>,
    base: IfMatch,
) -> Answer {
    let options = how.of(base.version(version(&desk, &domain)?));
    let change = Change::RemovePartner { domain };
    Ok(changed(desk.administration.change(&actor.author(), change, options).await?))
}

/// A number of things on one page.
pub(super) fn page(limit: Option<usize>, most: usize) -> Result<usize, Trouble> {
    match limit.unwrap_or(most) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        limit => Err(Trouble::parameter("limit", format!("{limit} is not within 1 to {most}"))),
    }
}

/// The canonical form of a partner's domain.
fn named(domain: &str) -> Result<String, Trouble> {
    let name = DomainName::parse(domain);
    name.map(|name| name.to_string()).map_err(|error| Trouble::parameter("domain", error.to_string()))
}

fn version(desk: &Desk, domain: &str) -> Result<u64, Trouble> {
    let data = &desk.administration.in_force().data;
    Ok(document(data, &Subject::Partner(named(domain)?)).map_or(0, |document| document.version))
}

/// The primary domains of all partners, in force or suspended.
fn domains(in_force: &InForce) -> BTreeSet<String> {
    let stored = in_force.data.documents.iter().filter(|document| document.kind == DocumentKind::Partner);
    let running = in_force.config.partners.iter().map(|partner| partner.domain.to_string());
    running.chain(stored.map(|document| document.identity.clone())).collect()
}

/// A partner by its canonical domain.
pub fn view(in_force: &InForce, domain: &str) -> Option<PartnerView> {
    let subject = Subject::Partner(domain.to_owned());
    let running = in_force.config.partners.iter().find(|partner| partner.domain.as_str() == domain);
    let (partner, methods, row) = match running {
        Some(partner) => (PartnerDocument::of(partner), method_names(partner.methods), row(partner.negotiation)),
        None => {
            document(&in_force.data, &subject)?;
            let partner = suspended(domain, stored_keys(&in_force.data, &subject));
            let row = negotiation(&partner).map_or(0, row);
            (partner, Vec::new(), row)
        }
    };
    let domain_unicode = DomainName::parse(domain).map(|name| name.to_unicode());
    let standing = Standing::of(in_force, &subject);
    Some(PartnerView { partner, domain_unicode: domain_unicode.unwrap_or_default(), methods, row, standing })
}

/// A partner that is not in force: what is stored, over the defaults.
fn suspended(domain: &str, keys: Object) -> PartnerDocument {
    let defaults = usual(domain);
    let mut object = json!(defaults).as_object().cloned().unwrap_or_default();
    object.extend(keys);
    // What is stored was valid when it was stored, so its types are right.
    serde_json::from_value(Value::Object(object)).unwrap_or(defaults)
}

/// A partner of which nothing is written but the domain.
fn usual(domain: &str) -> PartnerDocument {
    let (negotiation, options) = (NegotiationSettings::default(), StreamOptions::default());
    PartnerDocument {
        domain: domain.to_owned(),
        additional_domains: Vec::new(),
        partner_type: PartnerType::default().as_str().to_owned(),
        tls_negotiation: negotiation.tls.as_str().to_owned(),
        sasl_negotiation: negotiation.sasl.as_str().to_owned(),
        support_dialback_negotiation: negotiation.dialback,
        enable_keep_alive: true,
        connection_limit: None,
        proxy_fqdn: None,
        description: String::new(),
        archive: false,
        allow_private_addresses: false,
        trust_anchors: Vec::new(),
        trust_anchors_pem: String::new(),
        use_public_trust: true,
        pins: Vec::new(),
        direct_tls: options.direct_tls,
        stream_management: options.stream_management,
        bidi: options.bidi,
        dane: options.dane,
        posh: options.posh,
        plaintext_after_tls_failure: options.plaintext_after_tls_failure,
        force: false,
    }
}

fn negotiation(partner: &PartnerDocument) -> Option<NegotiationSettings> {
    Some(NegotiationSettings {
        tls: Negotiation::parse(&partner.tls_negotiation)?,
        sasl: Negotiation::parse(&partner.sasl_negotiation)?,
        dialback: partner.support_dialback_negotiation,
    })
}
