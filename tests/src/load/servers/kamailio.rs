//! Debian's Kamailio, in two roles that are ours too: it passes on MESSAGEs, and it tells watchers of presence.
//!
//! Configured as a fair operator would for speed on two cores: two workers for each transport, no script beyond what
//! the role needs, TCP connections that are used again, nothing logged but errors, nothing on disk while it is
//! measured unless it is asked to keep it. What it does less than we do is said at each role.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Folder, Server};
use crate::peer::fault;
use crate::peer::process::Process;

/// Workers of each transport: one for each core of the reference machine.
const WORKERS: usize = 2;

/// Shared memory in megabytes, enough for transactions and subscriptions of all scenarios; only what is used is taken.
const SHARED_MB: &str = "1024";

/// Memory of each process in megabytes.
const PRIVATE_MB: &str = "32";

/// The allocator that stays fast. Debian's default looks for faults of memory, and passes on a third as many messages; the
/// one called fast searches ever longer after some hundred thousand transactions.
const ALLOCATOR: &str = "tlsf";

/// Bytes of a UDP socket's buffer, as much as ours ask for; the kernel grants at most net.core.rmem_max.
const UDP_ROOM: &str = "4194304";

/// Bytes that may wait for a TCP connection; a change that two hundred watchers are told of is more than the usual.
const TCP_QUEUE: u32 = 64 * 1024 * 1024;

/// How long an ended transaction stays in memory. Its duty is to answer retransmissions, and there are none.
const ENDED_MS: u32 = 1000;

/// Where Debian keeps the empty tables that `presence` reads when it starts.
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";

/// Where Debian keeps the statements that make them in SQLite.
const SQLITE_TABLES: &str = "/usr/share/kamailio/db_sqlite";

/// Those of them that it wants to see.
const TABLES_OF_PRESENCE: [&str; 5] = ["version", "presentity", "active_watchers", "watchers", "xcap"];

/// Where a presence server has its subscriptions and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// In memory: gone when it ends.
    InMemory,
    /// In SQLite, like ours: with a log that is written ahead and synchronised with each change, and read from memory where
    /// Kamailio can.
    OnDisk,
}

/// A running Kamailio.
pub struct Kamailio {
    server: Server,
}

impl Kamailio {
    /// Passes every request on to the next hop over the transport it came by, with state (`tm`).
    ///
    /// It adds a Via, matches the answer and passes that back. It translates nothing, applies no policy to the users,
    /// and promises nothing to anybody but SIP.
    pub async fn relay(listen: SocketAddr, next_hop: SocketAddr) -> io::Result<Self> {
        let config = format!(
            "{}{}\
             modparam(\"tm\", \"wt_timer\", {ENDED_MS})\n\
             request_route {{\n\
             \tif (!mf_process_maxfwd_header(\"10\")) {{ sl_send_reply(\"483\", \"Too Many Hops\"); exit; }}\n\
             \t$du = \"sip:{next_hop};transport=\" + $proto;\n\
             \tif (!t_relay()) sl_reply_error();\n\
             }}\n",
            core(listen),
            modules(&["tm", "sl", "pv", "maxfwd"]),
        );
        Self::start(Folder::new("kamailio-relay")?, &config, listen).await
    }

    /// A presence server (RFC 3856): PUBLISH to it becomes NOTIFY to each watcher, over TCP.
    ///
    /// Every watcher is authorised, none is asked for, documents go on as they came, and each change goes out at once,
    /// however many there are.
    pub async fn presence(listen: SocketAddr, keeps: Keeps) -> io::Result<Self> {
        let folder = Folder::new("kamailio-presence")?;
        let tables = folder.folder("tables")?;
        let (database, module, subscriptions, documents) = match keeps {
            Keeps::InMemory => {
                for table in TABLES_OF_PRESENCE {
                    std::fs::copy(format!("{TABLES}/{table}"), tables.join(table))?;
                }
                (format!("text://{}", tables.display()), "db_text", 0, 2)
            }
            Keeps::OnDisk => {
                let file = tables.join("presence.sqlite");
                sqlite_tables(&file)?;
                (format!("sqlite://{}", file.display()), "db_sqlite", 1, 1)
            }
        };
        let config = format!(
            "{}{}\
             modparam(\"presence|presence_xml\", \"db_url\", \"{database}\")\n\
             modparam(\"tm\", \"wt_timer\", {ENDED_MS})\n\
             modparam(\"presence\", \"server_address\", \"sip:{listen};transport=tcp\")\n\
             modparam(\"presence\", \"subs_db_mode\", {subscriptions})\n\
             modparam(\"presence\", \"publ_cache\", {documents})\n\
             modparam(\"presence\", \"notifier_processes\", 0)\n\
             modparam(\"presence\", \"send_fast_notify\", 1)\n\
             modparam(\"presence\", \"subs_htable_size\", 13)\n\
             modparam(\"presence\", \"pres_htable_size\", 13)\n\
             modparam(\"presence_xml\", \"force_active\", 1)\n\
             request_route {{\n\
             \tif (!t_newtran()) {{ sl_reply_error(); exit; }}\n\
             \tif (is_method(\"PUBLISH\")) handle_publish();\n\
             \telse if (is_method(\"SUBSCRIBE\")) handle_subscribe();\n\
             \telse t_reply(\"405\", \"Method Not Allowed\");\n\
             \tt_release();\n\
             }}\n",
            core(listen),
            modules(&["tm", "sl", "rr", "pv", "textops", module, "presence", "presence_xml"]),
        );
        Self::start(folder, &config, listen).await
    }

    async fn start(folder: Folder, config: &str, listen: SocketAddr) -> io::Result<Self> {
        let (config, run) = (folder.write("kamailio.cfg", config)?, folder.path().to_string_lossy().into_owned());
        let config = config.to_string_lossy();
        // In the foreground, so that the tree of its processes is a child of ours.
        let mut arguments = vec!["-DD", "-E", "-f", &config, "-Y", &run, "-m", SHARED_MB, "-M", PRIVATE_MB];
        arguments.extend(["-x", ALLOCATOR, "-X", ALLOCATOR, "-b", UDP_ROOM]);
        Ok(Self { server: Server::start(folder, "kamailio", &arguments, &[], &[listen]).await? })
    }

    /// Its processes.
    pub fn process(&self) -> &Process {
        &self.server.process
    }
}

/// What both roles have in common.
fn core(listen: SocketAddr) -> String {
    format!(
        "#!KAMAILIO\ndebug=-1\nlog_stderror=yes\nfork=yes\nchildren={WORKERS}\ntcp_children={WORKERS}\n\
         async_workers=0\nenable_tls=no\nauto_aliases=no\ndns=no\nrev_dns=no\n\
         listen=udp:{listen}\nlisten=tcp:{listen}\ntcp_connection_lifetime=3600\n\
         tcp_conn_wq_max={TCP_QUEUE}\ntcp_wq_max={TCP_QUEUE}\n"
    )
}

/// Makes the empty tables of `presence` in a database of SQLite.
fn sqlite_tables(file: &Path) -> io::Result<()> {
    let database = rusqlite::Connection::open(file).map_err(io::Error::other)?;
    // As ours has it; it stays so for whoever opens the file.
    database.pragma_update(None, "journal_mode", "WAL").map_err(io::Error::other)?;
    for part in ["standard", "presence"] {
        let path = format!("{SQLITE_TABLES}/{part}-create.sql");
        let statements = std::fs::read_to_string(&path).map_err(|error| fault(format!("{path}: {error}")))?;
        database.execute_batch(&statements).map_err(io::Error::other)?;
    }
    Ok(())
}

fn modules(names: &[&str]) -> String {
    names.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect()
}
