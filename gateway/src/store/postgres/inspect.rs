//! Looking at a PostgreSQL database without changing it.

use std::sync::Arc;

use super::connection::Connector;
use super::{LONG_STATEMENT, PostgresStore, Session, Sql, integer, migrate, unsigned};
use crate::config::PostgresConfig;
use crate::store::StoreError;
use crate::store::inspect::{Inspection, RUNNING_MS, TABLES};

impl PostgresStore {
    /// Looks at a database, whatever its schema.
    pub async fn inspect(config: &PostgresConfig) -> Result<Inspection, StoreError> {
        let connector = Connector::new(config);
        let looking = async {
            let session = connector.connect(LONG_STATEMENT).await?;
            inspect(&session, connector.place()).await
        };
        looking.await.map_err(|fault| connector.error(fault))
    }
}

async fn inspect(session: &Session, place: &Arc<str>) -> Sql<Inspection> {
    let row = session
        .query_one(
            "SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding, \
             pg_database_size(current_database()) AS bytes",
            &[],
        )
        .await?;
    let (version, encoding): (String, String) = (row.try_get("version")?, row.try_get("encoding")?);
    let mut inspection = Inspection {
        place: Arc::clone(place),
        engine: format!("PostgreSQL {version}"),
        schema: 0,
        known: migrate::KNOWN,
        bytes: unsigned(&row, "bytes")?,
        revision: 0,
        rows: Vec::new(),
        gateways: Vec::new(),
        faults: Vec::new(),
    };
    if encoding != "UTF8" {
        inspection.faults.push(format!("its encoding is {encoding} and not UTF8: make another database"));
    }
    if exists(session, "schema_version").await? {
        let sql = "SELECT coalesce(max(number), 0)::bigint AS number FROM schema_version";
        let number = unsigned(&session.query_one(sql, &[]).await?, "number")?;
        inspection.schema = u32::try_from(number).unwrap_or(u32::MAX);
    }
    for (word, table) in TABLES {
        if exists(session, table).await? {
            let rows = session.query_once(&format!("SELECT count(*) AS number FROM {table}"), &[]).await?;
            inspection.rows.push((word, rows.first().map_or(Ok(0), |row| unsigned(row, "number"))?));
        }
    }
    if exists(session, "operator_revision").await? {
        let row = session.query_one("SELECT value FROM operator_revision", &[]).await?;
        inspection.revision = unsigned(&row, "value")?;
    }
    if exists(session, "replica").await? {
        let sql = "SELECT replica_id FROM replica \
                   WHERE seen_ms > extract(epoch FROM clock_timestamp()) * 1000 - $1::bigint ORDER BY 1";
        for row in session.query(sql, &[&integer(RUNNING_MS)]).await? {
            inspection.gateways.push(row.try_get(0)?);
        }
    }
    Ok(inspection)
}

async fn exists(session: &Session, table: &str) -> Sql<bool> {
    let row = session.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?;
    Ok(row.try_get(0)?)
}
