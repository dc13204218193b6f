//! Connections to the server: how one is made, watched and used.
//!
//! The servers named are tried in turn, the one that worked last first, until one takes changes. A server that has
//! vanished without a word is noticed by TCP within seconds, idle or not; one that is there and does not answer, by the
//! time each verb gets. What the server would keep for a gateway that has vanished, locks above all, it lets go as soon.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Statement};

use super::fault::{Fault, Sql};
use super::tls;
use crate::config::{PostgresConfig, PostgresHost, Verification};
use crate::store::{StoreError, StoreFault};

/// How long one server gets for TCP, TLS and the login.
const CONNECT: Duration = Duration::from_secs(4);
/// How long sent bytes may stay without an acknowledgement of TCP.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
/// When an idle connection is probed first, and how often then.
const PROBE_AFTER: Duration = Duration::from_secs(3);
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;
/// How long a statement waits for somebody else's lock: less than it may run.
const LOCK: Duration = Duration::from_secs(3);
/// How long the server keeps a transaction for a gateway that says nothing.
const ABANDONED: Duration = Duration::from_secs(10);
/// Ends a transaction. The time-out of statements is none of it: it would cut off the wait for a standby, and the server
/// would answer that all is committed, though a failover loses it.
pub(super) const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    config: PostgresConfig,
    place: Arc<str>,
    /// The server that worked last.
    preferred: AtomicUsize,
}

impl Connector {
    pub(super) fn new(config: &PostgresConfig) -> Self {
        Self { config: config.clone(), place: config.to_string().into(), preferred: AtomicUsize::new(0) }
    }

    /// Host and database, for messages.
    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    /// What callers hear of a fault.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        fault.into_error(&self.place)
    }

    /// A connection whose statements may each run as long as `statement`.
    pub(super) async fn connect(&self, statement: Duration) -> Sql<Session> {
        self.connect_and_hear(statement, None).await
    }

    /// The same; notifications count up `heard`.
    pub(super) async fn connect_and_hear(
        &self,
        statement: Duration,
        heard: Option<watch::Sender<u64>>,
    ) -> Sql<Session> {
        let hosts = &self.config.hosts;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed: Option<Fault> = None;
        for index in (0..hosts.len()).map(|offset| (first + offset) % hosts.len()) {
            let Some(host) = hosts.get(index) else { continue };
            let attempt = self.connect_to(host, statement, heard.clone());
            let fault = match tokio::time::timeout(CONNECT, attempt).await {
                Ok(Ok(session)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(fault)) => fault,
                Err(_) => Fault::silent("connecting"),
            };
            tracing::debug!(host = host.host, port = host.port, ?fault, "no connection to the store");
            // What somebody has to mend says more than that another server is down.
            if failed.as_ref().is_none_or(|failed| failed.class() == StoreFault::Unreachable) {
                failed = Some(fault);
            }
        }
        Err(failed.unwrap_or_else(|| Fault::Named(StoreFault::Unreachable, "no host is named".to_owned())))
    }

    async fn connect_to(
        &self,
        host: &PostgresHost,
        statement: Duration,
        heard: Option<watch::Sender<u64>>,
    ) -> Sql<Session> {
        let mut config = tokio_postgres::Config::new();
        if host.is_local() {
            config.host_path(&host.host);
        } else {
            config.host(&host.host);
        }
        config
            .port(host.port)
            .user(&self.config.user)
            .dbname(&self.config.database)
            .application_name("causeway")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(PROBE_AFTER)
            .keepalives_interval(PROBE_EVERY)
            .keepalives_retries(PROBES)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let password = self.config.load_password();
        if let Some(password) = password.map_err(|fault| Fault::Named(StoreFault::Denied, fault.to_string()))? {
            config.password(password.expose());
        }
        let session = match self.config.verification {
            Verification::VerifyCa | Verification::VerifyFull if !host.is_local() => {
                let tls = tls::client(&self.config)
                    .map_err(|fault| Fault::Named(StoreFault::Untrusted, fault.to_string()))?;
                config.ssl_mode(SslMode::Require);
                let (client, connection) = config.connect(tls).await?;
                Session::new(client, connection, heard)
            }
            Verification::VerifyCa | Verification::VerifyFull | Verification::Disable => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await?;
                Session::new(client, connection, heard)
            }
        };
        session.batch(&settings(statement)).await?;
        Ok(session)
    }
}

/// What each connection asks of the server. What was called back has to survive a power cut, so a server that commits
/// without waiting for its disk is told to wait for us; one that waits for standbys as well goes on doing so.
fn settings(statement: Duration) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         SET tcp_keepalives_idle = {}; SET tcp_keepalives_interval = {}; SET tcp_keepalives_count = {PROBES}; \
         SET tcp_user_timeout = {}; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        statement.as_millis(),
        LOCK.as_millis(),
        ABANDONED.as_millis(),
        PROBE_AFTER.as_secs(),
        PROBE_EVERY.as_secs(),
        UNACKNOWLEDGED.as_millis(),
    )
}

/// A connection in use. Its statements are prepared once; calls that are polled together travel together.
pub(crate) struct Session {
    client: Client,
    /// Bounded by the program: each statement is a text in it.
    statements: Mutex<HashMap<&'static str, Statement>>,
    driver: AbortHandle,
    ended: watch::Receiver<bool>,
}

impl Session {
    fn new<S, T>(client: Client, connection: Connection<S, T>, heard: Option<watch::Sender<u64>>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (end, ended) = watch::channel(false);
        let driver = tokio::spawn(async move {
            drive(connection, heard.as_ref()).await;
            end.send_replace(true);
        });
        Self { client, statements: Mutex::default(), driver: driver.abort_handle(), ended }
    }

    /// Waits until the connection is gone.
    pub(super) async fn ended(&self) {
        // An error means that the driver is gone, and the connection with it.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Whether the connection is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.client.is_closed()
    }

    /// Lets go of a connection without waiting for answers that will not come.
    pub(super) fn abandon(&self) {
        self.driver.abort();
    }

    async fn prepared(&self, sql: &'static str) -> Sql<Statement> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }

    /// All rows.
    pub(crate) async fn query(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Sql<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// The one row; none and several are errors.
    pub(crate) async fn query_one(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Sql<Row> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query_one(&statement, values).await?)
    }

    /// The row, if there is one; several are an error.
    pub(crate) async fn query_opt(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Sql<Option<Row>> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query_opt(&statement, values).await?)
    }

    /// How many rows it has changed.
    pub(crate) async fn execute(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Sql<u64> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// All rows, or none where there is nothing to ask.
    pub(super) async fn query_if(
        &self,
        is_needed: bool,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Sql<Vec<Row>> {
        if is_needed { self.query(sql, values).await } else { Ok(Vec::new()) }
    }

    /// Executes statements in their order, without waiting for one before the next is sent.
    pub(super) async fn pipeline(&self, statements: &[(&'static str, &[&(dyn ToSql + Sync)])]) -> Sql<()> {
        // One that had to be prepared first would be overtaken by the others.
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, values) in statements {
            prepared.push((self.prepared(sql).await?, *values));
        }
        let mut sent: Vec<_> =
            prepared.iter().map(|(statement, values)| Box::pin(self.client.execute(statement, values))).collect();
        let mut outcomes = Vec::with_capacity(sent.len());
        // Polling an execution for the first time sends it.
        poll_fn(|context| {
            outcomes.clear();
            outcomes.extend(sent.iter_mut().map(|execution| execution.as_mut().poll(context)));
            Poll::Ready(())
        })
        .await;
        for (execution, outcome) in sent.into_iter().zip(outcomes) {
            match outcome {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => execution.await?,
            };
        }
        Ok(())
    }

    /// All rows of a statement that is put together for this call, and not kept.
    pub(super) async fn query_once(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Sql<Vec<Row>> {
        Ok(self.client.query(sql, values).await?)
    }

    /// Statements without values, of which none is prepared.
    pub(crate) async fn batch(&self, sql: &str) -> Sql<()> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

async fn drive<S, T>(mut connection: Connection<S, T>, heard: Option<&watch::Sender<u64>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => {
                if let Some(heard) = heard {
                    heard.send_modify(|count| *count += 1);
                }
            }
            // Notices, and whatever else does not concern us.
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "a connection to the store broke");
                return;
            }
            None => return,
        }
    }
}
