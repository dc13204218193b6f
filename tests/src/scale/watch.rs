//! What the database and this process have used: CPU time, bytes on disk, bytes of the write-ahead log.

use std::fs;

use crate::peer::postgres::TestServer;

/// Clock ticks of `/proc/*/stat` in a second, on every Linux that Debian runs on.
const TICKS: f64 = 100.0;

/// Looks at a server and its database.
pub struct Meter<'a> {
    server: &'a TestServer,
    database: &'a str,
}

/// What was used until a moment.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// CPU seconds of the server's processes.
    pub server_s: f64,
    /// CPU seconds of this process.
    pub client_s: f64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: f64,
}

impl Spent {
    /// What was used since an earlier moment.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            server_s: self.server_s - before.server_s,
            client_s: self.client_s - before.client_s,
            wal_bytes: self.wal_bytes - before.wal_bytes,
        }
    }
}

impl<'a> Meter<'a> {
    /// A meter of this database.
    pub fn new(server: &'a TestServer, database: &'a str) -> Self {
        Self { server, database }
    }

    /// Bytes of the database on disk, indexes included.
    pub fn bytes(&self) -> Result<u64, String> {
        self.number("SELECT pg_database_size(current_database())")
    }

    /// What was used until now.
    pub fn spent(&self) -> Result<Spent, String> {
        let server_s = self.server.pids().into_iter().map(cpu_seconds).sum();
        let wal_bytes = self.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")? as f64;
        Ok(Spent { server_s, client_s: cpu_seconds(std::process::id()), wal_bytes })
    }

    fn number(&self, statement: &str) -> Result<u64, String> {
        let text = self.server.sql(self.database, statement);
        text.parse().map_err(|_| format!("{statement} said {text}"))
    }
}

/// User and system time of a process; 0 if it has ended.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may have anything in it.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let times = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    times.sum::<f64>() / TICKS
}
