//! Documents and grants in their tables.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::super::column::{integer, unsigned};
use super::super::{Session, Sql};
use super::{can_be_stored, fits, get, journal, refuse};
use crate::admin::journal::JournalEntry;
use crate::store::operator::bounds::{document_fits, grant_fits};
use crate::store::operator::*;
use crate::store::row::unreadable;

/// Tells the other gateways, as soon as the transaction is committed, which revision there is.
const TELL: &str = "SELECT pg_notify('causeway', $1)";

pub(super) async fn revision(session: &Session) -> Sql<u64> {
    unsigned(&session.query_one("SELECT value FROM operator_revision", &[]).await?, "value")
}

/// Three reads; the transaction lets them see the same revision.
pub(super) async fn read(session: &Session) -> Sql<OperatorData> {
    let revision = revision(session).await?;
    // Columns by name: a later version may add some while this one runs, and a prepared `*` would not survive that.
    let sql = "SELECT kind, identity, version, json, changed_at_ms, changed_by FROM document ORDER BY kind, identity";
    let documents = session.query(sql, &[]).await?;
    let sql = "SELECT user_jid, policy, changed_at_ms, changed_by FROM external_access_grant ORDER BY user_jid";
    let grants = session.query(sql, &[]).await?;
    Ok(OperatorData {
        revision,
        documents: documents.iter().map(read_document).collect::<Sql<_>>()?,
        grants: grants.iter().map(read_grant).collect::<Sql<_>>()?,
    })
}

fn read_document(row: &Row) -> Sql<Document> {
    let kind: &str = get(row, "kind")?;
    Ok(Document {
        kind: DocumentKind::parse(kind).ok_or_else(|| unreadable("document.kind", kind))?,
        identity: get(row, "identity")?,
        version: unsigned(row, "version")?,
        json: get(row, "json")?,
        changed_at_ms: unsigned(row, "changed_at_ms")?,
        changed_by: get(row, "changed_by")?,
    })
}

fn read_grant(row: &Row) -> Sql<Grant> {
    Ok(Grant {
        user: get(row, "user_jid")?,
        policy: get(row, "policy")?,
        changed_at_ms: unsigned(row, "changed_at_ms")?,
        changed_by: get(row, "changed_by")?,
    })
}

/// When a change was, by whom, and the revision that it makes.
struct Origin {
    revision: u64,
    at_ms: u64,
    by: String,
}

pub(super) async fn change(
    session: &Session,
    based_on: u64,
    changes: &[DocumentChange],
    entries: Vec<JournalEntry>,
) -> Sql<ChangeOutcome> {
    let Some(first) = entries.first() else {
        return refuse("a change of documents needs an entry of the journal".into());
    };
    // Who comes second waits here for the first, and then finds another value.
    let sql = "UPDATE operator_revision SET value = value + 1 WHERE value = $1";
    if session.execute(sql, &[&integer(based_on)]).await? == 0 {
        return Ok(ChangeOutcome::Conflict { revision: revision(session).await? });
    }
    // TEXT has no place for U+0000; the journal has, and what somebody is called stands there in full.
    let by = first.actor.replace('\0', "\u{fffd}");
    let origin = Origin { revision: based_on.saturating_add(1), at_ms: first.at_ms, by };
    let mut versions = Vec::with_capacity(changes.len());
    let mut grants = Grants::default();
    for change in changes {
        versions.push(match change {
            DocumentChange::Put { kind, identity, json } => put(session, *kind, identity, json, &origin).await?,
            DocumentChange::Remove { kind, identity } => {
                remove(session, *kind, identity).await?;
                0
            }
            DocumentChange::Grant { user, policy } => {
                grant_fits(user, policy)?;
                grants.insert(user, Some(policy));
                origin.revision
            }
            DocumentChange::Revoke { user } => {
                grants.insert(user, None);
                0
            }
        });
    }
    change_grants(session, &grants, &origin).await?;
    // Once for all changes: a deployment's grants may come in one.
    fit(session).await?;
    journal::append(session, entries).await?;
    tell(session, origin.revision).await?;
    Ok(ChangeOutcome::Stored { revision: origin.revision, versions })
}

async fn tell(session: &Session, revision: u64) -> Sql<()> {
    session.execute(TELL, &[&revision.to_string()]).await.map(drop)
}

/// Refuses what has made too many.
pub(super) async fn fit(session: &Session) -> Sql<()> {
    fits(session, "documents", "SELECT count(*) FROM document", MAX_DOCUMENTS).await?;
    fits(session, "grants", "SELECT count(*) FROM external_access_grant", MAX_GRANTS).await
}

async fn put(session: &Session, kind: DocumentKind, identity: &str, json: &str, origin: &Origin) -> Sql<u64> {
    document_fits(identity, json)?;
    let row = session
        .query_one(
            "INSERT INTO document AS old (kind, identity, version, json, changed_at_ms, changed_by) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, identity) DO UPDATE SET json = $4, \
             version = CASE WHEN old.json = $4 THEN old.version ELSE $3 END, \
             changed_at_ms = CASE WHEN old.json = $4 THEN old.changed_at_ms ELSE $5 END, \
             changed_by = CASE WHEN old.json = $4 THEN old.changed_by ELSE $6 END \
             RETURNING version",
            &[&kind.as_str(), &identity, &integer(origin.revision), &json, &integer(origin.at_ms), &origin.by],
        )
        .await?;
    unsigned(&row, "version")
}

async fn remove(session: &Session, kind: DocumentKind, identity: &str) -> Sql<()> {
    if can_be_stored(identity) {
        let sql = "DELETE FROM document WHERE kind = $1 AND identity = $2";
        session.execute(sql, &[&kind.as_str(), &identity]).await?;
    }
    Ok(())
}

/// What becomes of each user's grant: the last change of one counts.
type Grants<'a> = BTreeMap<&'a str, Option<&'a String>>;

/// Two statements, however many there are: those of a whole deployment may come in one change.
async fn change_grants(session: &Session, grants: &Grants<'_>, origin: &Origin) -> Sql<()> {
    let granted = grants.iter().filter_map(|(user, policy)| Some((*user, policy.as_ref()?.as_str())));
    let (users, policies): (Vec<&str>, Vec<&str>) = granted.unzip();
    if !users.is_empty() {
        session
            .execute(
                "INSERT INTO external_access_grant (user_jid, policy, changed_at_ms, changed_by) \
                 SELECT user_jid, policy, $3::bigint, $4::text FROM unnest($1::text[], $2::text[]) AS new (user_jid, policy) \
                 ON CONFLICT (user_jid) DO UPDATE SET policy = EXCLUDED.policy, changed_at_ms = $3, changed_by = $4",
                &[&users, &policies, &integer(origin.at_ms), &origin.by],
            )
            .await?;
    }
    let revoked = grants.iter().filter(|(user, policy)| policy.is_none() && can_be_stored(user));
    let revoked: Vec<&str> = revoked.map(|(user, _)| *user).collect();
    if !revoked.is_empty() {
        session.execute("DELETE FROM external_access_grant WHERE user_jid = ANY($1)", &[&revoked]).await?;
    }
    Ok(())
}

pub(super) async fn restore(session: &Session, document: &Document) -> Sql<()> {
    let Document { kind, identity, version, json, changed_at_ms, changed_by } = document;
    document_fits(identity, json)?;
    let stored = session
        .execute(
            "INSERT INTO document (kind, identity, version, json, changed_at_ms, changed_by) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            &[&kind.as_str(), identity, &integer(*version), json, &integer(*changed_at_ms), changed_by],
        )
        .await?;
    if stored == 0 { refuse(format!("the document {identity:?} comes twice")) } else { Ok(()) }
}

/// Puts grants back, all with one statement.
pub(super) async fn restore_grants(session: &Session, grants: &[Grant]) -> Sql<()> {
    let Some(first) = grants.first() else { return Ok(()) };
    grants.iter().try_for_each(|grant| grant_fits(&grant.user, &grant.policy))?;
    let texts = |of: fn(&Grant) -> &str| grants.iter().map(of).collect::<Vec<_>>();
    let times: Vec<_> = grants.iter().map(|grant| integer(grant.changed_at_ms)).collect();
    let stored = session
        .execute(
            "INSERT INTO external_access_grant (user_jid, policy, changed_at_ms, changed_by) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) ON CONFLICT DO NOTHING",
            &[&texts(|it| &it.user), &texts(|it| &it.policy), &times, &texts(|it| &it.changed_by)],
        )
        .await?;
    if usize::try_from(stored).is_ok_and(|stored| stored == grants.len()) {
        Ok(())
    } else {
        refuse(format!("a grant comes twice, near that of {:?}", first.user))
    }
}

/// Goes on behind all revisions that anybody has seen, here or where the backup was made.
pub(super) async fn set_revision(session: &Session, restored: u64) -> Sql<()> {
    let next = revision(session).await?.max(restored).saturating_add(1);
    session.execute("UPDATE operator_revision SET value = $1", &[&integer(next)]).await?;
    tell(session, next).await
}
