//! Documents and grants in their tables.

use rusqlite::{Connection, params};

use super::super::pairs::{Sql, integer, unsigned};
use super::{fits, journal, refuse};
use crate::admin::journal::JournalEntry;
use crate::store::operator::bounds::{document_fits, grant_fits};
use crate::store::operator::*;
use crate::store::row::unreadable;

pub(in crate::store::sqlite) fn revision(connection: &Connection) -> Sql<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM operator_revision")?;
    Ok(statement.query_row([], |row| unsigned(row, "value"))?)
}

pub(super) fn all(connection: &Connection) -> Sql<OperatorData> {
    // Three reads that must see the same revision.
    let transaction = connection.unchecked_transaction()?;
    read(&transaction)
}

pub(super) fn read(connection: &Connection) -> Sql<OperatorData> {
    let (revision, documents) = (revision(connection)?, documents(connection)?);
    let mut statement = connection.prepare_cached("SELECT * FROM external_access_grant ORDER BY user_jid")?;
    let grants = statement.query_map([], |row| {
        Ok(Grant {
            user: row.get("user_jid")?,
            policy: row.get("policy")?,
            changed_at_ms: unsigned(row, "changed_at_ms")?,
            changed_by: row.get("changed_by")?,
        })
    })?;
    Ok(OperatorData { revision, documents, grants: grants.collect::<Result<_, _>>()? })
}

fn documents(connection: &Connection) -> Sql<Vec<Document>> {
    let mut statement = connection.prepare_cached("SELECT * FROM document ORDER BY kind, identity")?;
    let mut rows = statement.query([])?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = row.get_ref("kind")?.as_str().unwrap_or_default();
        documents.push(Document {
            kind: DocumentKind::parse(kind).ok_or_else(|| unreadable("document.kind", kind))?,
            identity: row.get("identity")?,
            version: unsigned(row, "version")?,
            json: row.get("json")?,
            changed_at_ms: unsigned(row, "changed_at_ms")?,
            changed_by: row.get("changed_by")?,
        });
    }
    Ok(documents)
}

/// When a change was, by whom, and the revision that it makes.
struct Origin {
    revision: u64,
    at_ms: u64,
    by: String,
}

pub(super) fn change(
    connection: &Connection,
    based_on: u64,
    changes: &[DocumentChange],
    entries: Vec<JournalEntry>,
) -> Sql<ChangeOutcome> {
    let Some(first) = entries.first() else {
        return refuse("a change of documents needs an entry of the journal".into());
    };
    let mut statement = connection.prepare_cached("UPDATE operator_revision SET value = value + 1 WHERE value = ?1")?;
    if statement.execute([integer(based_on)])? == 0 {
        return Ok(ChangeOutcome::Conflict { revision: revision(connection)? });
    }
    let origin = Origin { revision: based_on.saturating_add(1), at_ms: first.at_ms, by: first.actor.clone() };
    let versions = changes.iter().map(|change| change_one(connection, change, &origin)).collect::<Result<_, _>>()?;
    // Once for all changes: a deployment's grants may come in one.
    fit(connection)?;
    journal::append(connection, entries)?;
    Ok(ChangeOutcome::Stored { revision: origin.revision, versions })
}

/// Refuses what has made too many.
pub(super) fn fit(connection: &Connection) -> Sql<()> {
    fits(connection, "documents", "SELECT count(*) FROM document", MAX_DOCUMENTS)?;
    fits(connection, "grants", "SELECT count(*) FROM external_access_grant", MAX_GRANTS)
}

fn change_one(connection: &Connection, change: &DocumentChange, origin: &Origin) -> Sql<u64> {
    match change {
        DocumentChange::Put { kind, identity, json } => {
            document_fits(identity, json)?;
            put(connection, *kind, identity, json, origin)
        }
        DocumentChange::Remove { kind, identity } => {
            let mut statement = connection.prepare_cached("DELETE FROM document WHERE kind = ?1 AND identity = ?2")?;
            statement.execute(params![kind.as_str(), identity])?;
            Ok(0)
        }
        DocumentChange::Grant { user, policy } => {
            grant_fits(user, policy)?;
            grant(connection, user, policy, origin)?;
            Ok(origin.revision)
        }
        DocumentChange::Revoke { user } => {
            let mut statement = connection.prepare_cached("DELETE FROM external_access_grant WHERE user_jid = ?1")?;
            statement.execute([user])?;
            Ok(0)
        }
    }
}

fn put(connection: &Connection, kind: DocumentKind, identity: &str, json: &str, origin: &Origin) -> Sql<u64> {
    let Origin { revision, at_ms, by } = origin;
    let mut statement =
        connection.prepare_cached("SELECT version, json FROM document WHERE kind = ?1 AND identity = ?2")?;
    let mut rows = statement.query(params![kind.as_str(), identity])?;
    if let Some(row) = rows.next()? {
        if row.get_ref("json")?.as_str() == Ok(json) {
            return Ok(unsigned(row, "version")?);
        }
        let mut statement = connection.prepare_cached(
            "UPDATE document SET version = ?3, json = ?4, changed_at_ms = ?5, changed_by = ?6 \
             WHERE kind = ?1 AND identity = ?2",
        )?;
        let values = params![kind.as_str(), identity, integer(*revision), json, integer(*at_ms), by];
        statement.execute(values)?;
        return Ok(*revision);
    }
    let (identity, json, changed_by) = (identity.to_owned(), json.to_owned(), by.clone());
    insert(connection, &Document { kind, identity, version: *revision, json, changed_at_ms: *at_ms, changed_by })?;
    Ok(*revision)
}

/// Answers whether there was none.
fn insert(connection: &Connection, document: &Document) -> Sql<bool> {
    let Document { kind, identity, version, json, changed_at_ms, changed_by } = document;
    let mut statement = connection.prepare_cached(
        "INSERT INTO document (kind, identity, version, json, changed_at_ms, changed_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
    )?;
    let values = params![kind.as_str(), identity, integer(*version), json, integer(*changed_at_ms), changed_by];
    Ok(statement.execute(values)? > 0)
}

fn grant(connection: &Connection, user: &str, policy: &str, origin: &Origin) -> Sql<()> {
    let Origin { at_ms, by, .. } = origin;
    let mut statement = connection.prepare_cached(
        "UPDATE external_access_grant SET policy = ?2, changed_at_ms = ?3, changed_by = ?4 WHERE user_jid = ?1",
    )?;
    if statement.execute(params![user, policy, integer(*at_ms), by])? > 0 {
        return Ok(());
    }
    let (user, policy, changed_by) = (user.to_owned(), policy.to_owned(), by.clone());
    insert_grant(connection, &Grant { user, policy, changed_at_ms: *at_ms, changed_by }).map(drop)
}

/// Answers whether there was none.
fn insert_grant(connection: &Connection, grant: &Grant) -> Sql<bool> {
    let Grant { user, policy, changed_at_ms, changed_by } = grant;
    let mut statement = connection.prepare_cached(
        "INSERT INTO external_access_grant (user_jid, policy, changed_at_ms, changed_by) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO NOTHING",
    )?;
    Ok(statement.execute(params![user, policy, integer(*changed_at_ms), changed_by])? > 0)
}

pub(super) fn restore(connection: &Connection, document: &Document) -> Sql<()> {
    document_fits(&document.identity, &document.json)?;
    let is_new = insert(connection, document)?;
    if is_new { Ok(()) } else { refuse(format!("the document {:?} comes twice", document.identity)) }
}

pub(super) fn restore_grant(connection: &Connection, grant: &Grant) -> Sql<()> {
    grant_fits(&grant.user, &grant.policy)?;
    let is_new = insert_grant(connection, grant)?;
    if is_new { Ok(()) } else { refuse(format!("the grant of {:?} comes twice", grant.user)) }
}

/// Goes on behind all revisions that anybody has seen, here or where the backup was made.
pub(super) fn set_revision(connection: &Connection, restored: u64) -> Sql<()> {
    let next = revision(connection)?.max(restored).saturating_add(1);
    connection.prepare_cached("UPDATE operator_revision SET value = ?1")?.execute([integer(next)])?;
    Ok(())
}
