//! `[store]`: which database, and how it is reached.
//!
//! `path` is a SQLite file, for one gateway; `postgres` is a database that all gateways of a pool share. Passwords and
//! keys stay in files, which are read whenever a connection is made, so that they may change.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use causeway_shared::config::{ConfigWarning, Section};
use tokio_postgres::config::Host;

/// Where the file is if nothing is said.
const DEFAULT_PATH: &str = "/var/lib/causeway/gateway.sqlite";
/// Where PostgreSQL listens if nothing is said.
const DEFAULT_PORT: u16 = 5432;
/// Servers of one database: a primary and its standbys.
const MAX_HOSTS: usize = 16;
/// What `postgres` looks like.
const FORM: &str = "write \"postgresql://user@host1,host2/database?sslmode=verify-full\"";

/// The database of this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresConfig),
}

/// A PostgreSQL database, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The role.
    pub user: String,
    /// The servers, of which one takes changes at a time.
    pub hosts: Vec<PostgresHost>,
    /// The name of the database.
    pub database: String,
    /// What the server has to prove.
    pub verification: Verification,
    /// The file with the password.
    pub password: Option<PathBuf>,
    /// PEM: the authorities of the servers' certificates.
    pub authorities: Option<PathBuf>,
    /// PEM: our certificate with its intermediates, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresHost {
    /// A name, an address, or the folder of a Unix socket, which begins with a slash.
    pub host: String,
    /// The port; it names the Unix socket, too.
    pub port: u16,
}

/// What a server has to prove: libpq's `sslmode`. Its weaker forms, which take any certificate or none, are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// `disable`: nothing, and nothing is encrypted.
    Disable,
    /// `verify-ca`: that its certificate comes from an authority of `ca`.
    VerifyCa,
    /// `verify-full`: that, and that the certificate bears the host's name.
    VerifyFull,
}

impl PostgresHost {
    /// Whether it is the folder of a Unix socket.
    pub fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether what is said to it stays on this machine.
    fn is_near(&self) -> bool {
        let is_loopback = self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.is_local() || is_loopback || self.host == "localhost"
    }
}

impl fmt::Display for PostgresConfig {
    /// The address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgresql://")?;
        for (index, PostgresHost { host, port }) in self.hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{host}")?;
            if *port != DEFAULT_PORT {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.database)
    }
}

impl StoreConfig {
    /// The file, if it is one.
    pub fn sqlite(&self) -> Option<&PathBuf> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

pub(super) fn read(mut section: Section, warnings: &mut Vec<ConfigWarning>) -> StoreConfig {
    let path = section.text("path");
    let postgres = section.text("postgres");
    let password = section.text("password_file").map(PathBuf::from);
    let authorities = section.text("ca").map(PathBuf::from);
    let certificate = section.text("certificate").map(PathBuf::from);
    let key = section.text("key").map(PathBuf::from);
    let read = match (path, postgres) {
        (Some(_), Some(_)) => {
            let remedy = "keep path for one gateway with a file of its own, or postgres for a pool";
            section.mistake("postgres", "path is there too", remedy);
            None
        }
        (path, None) => {
            for (name, given) in
                [("password_file", &password), ("ca", &authorities), ("certificate", &certificate), ("key", &key)]
            {
                if given.is_some() {
                    section.mistake(name, "a SQLite file needs none", "remove it, or write postgres instead of path");
                }
            }
            Some(StoreConfig::Sqlite(path.unwrap_or_else(|| DEFAULT_PATH.to_owned()).into()))
        }
        (None, Some(address)) => {
            let client = match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                (Some(_), None) => {
                    section.mistake("key", "there is none for the certificate", "write the file with its private key");
                    None
                }
                (None, Some(_)) => {
                    section.mistake("certificate", "there is none for the key", "write the file with our certificate");
                    None
                }
            };
            let config = address
                .parse()
                .map(|config: PostgresConfig| PostgresConfig { password, authorities, client, ..config })
                .map_err(|(found, remedy): Mistake| section.mistake("postgres", found, remedy))
                .ok();
            config.map(|config| {
                needs_fit(&section, &config);
                if config.verification == Verification::Disable && !config.hosts.iter().all(PostgresHost::is_near) {
                    let text = "sslmode=disable: who watches whom crosses the network in clear";
                    warnings.push(ConfigWarning::new(section.key("postgres"), text));
                }
                StoreConfig::Postgres(config)
            })
        }
    };
    section.finish();
    // What stands in for a mistake is never used.
    read.unwrap_or_else(|| StoreConfig::Sqlite(DEFAULT_PATH.into()))
}

/// What TLS needs, and what is useless without it.
fn needs_fit(section: &Section, config: &PostgresConfig) {
    match config.verification {
        Verification::VerifyCa | Verification::VerifyFull if config.authorities.is_none() => section.mistake(
            "ca",
            "there is none, so no server would be believed",
            "write the PEM file with the authority of the server's certificate",
        ),
        Verification::VerifyCa | Verification::VerifyFull => {}
        Verification::Disable => {
            for (name, is_given) in [("ca", config.authorities.is_some()), ("certificate", config.client.is_some())] {
                if is_given {
                    let remedy = "remove it, or write sslmode=verify-full at the end of postgres";
                    section.mistake(name, "without TLS there is no use for it", remedy);
                }
            }
        }
    }
}

/// What was found, and what to write.
type Mistake = (String, &'static str);

impl FromStr for PostgresConfig {
    type Err = Mistake;

    /// Reads `postgresql://user@host1:port,host2/database?sslmode=verify-full`. Without `sslmode` servers prove all,
    /// except behind a Unix socket.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
            return Err(("it is no address of PostgreSQL".to_owned(), FORM));
        }
        let (address, options) = text.split_once('?').unwrap_or((text, ""));
        let mut mode = None;
        for (name, value) in options
            .split('&')
            .filter(|option| !option.is_empty())
            .map(|option| option.split_once('=').unwrap_or((option, "")))
        {
            match (name, value) {
                ("sslmode", "disable") => mode = Some(Verification::Disable),
                ("sslmode", "verify-ca") => mode = Some(Verification::VerifyCa),
                ("sslmode", "verify-full") => mode = Some(Verification::VerifyFull),
                ("sslmode", other) => {
                    let found = format!("sslmode={other} would take any certificate, or none");
                    return Err((found, "write sslmode=verify-full, verify-ca or disable"));
                }
                (other, _) => {
                    let found = format!("\"{other}\" is no option here");
                    return Err((found, "write only sslmode; files are keys of their own, time-outs are fixed"));
                }
            }
        }
        // The library's own words would repeat the text, which may hold a password.
        let Ok(parsed) = address.parse::<tokio_postgres::Config>() else {
            return Err(("it cannot be read".to_owned(), FORM));
        };
        if parsed.get_password().is_some() {
            return Err((
                "it holds a password".to_owned(),
                "write the password to a file and name that in password_file",
            ));
        }
        let (Some(user), Some(database)) = (parsed.get_user(), parsed.get_dbname()) else {
            return Err(("user or database is missing".to_owned(), FORM));
        };
        let ports = parsed.get_ports();
        let hosts: Vec<_> = parsed
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(index, host)| {
                // One port counts for all hosts.
                let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
                let host = match host {
                    Host::Tcp(name) => name.clone(),
                    Host::Unix(folder) => folder.display().to_string(),
                };
                PostgresHost { host, port }
            })
            .collect();
        if hosts.is_empty() || hosts.iter().any(|host| host.host.is_empty()) {
            return Err(("a host is missing".to_owned(), FORM));
        }
        if hosts.len() > MAX_HOSTS {
            return Err((format!("there are {} hosts", hosts.len()), "write 16 at most"));
        }
        let is_local = hosts.iter().all(PostgresHost::is_local);
        let usual = if is_local { Verification::Disable } else { Verification::VerifyFull };
        Ok(Self {
            user: user.to_owned(),
            hosts,
            database: database.to_owned(),
            verification: mode.unwrap_or(usual),
            password: None,
            authorities: None,
            client: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PostgresConfig, Mistake> {
        text.parse()
    }

    #[test]
    fn an_address_names_user_hosts_and_database() {
        let config = read("postgresql://causeway@db1:6432,db2:6433/gateway?sslmode=verify-full").unwrap();
        assert_eq!((config.user.as_str(), config.database.as_str()), ("causeway", "gateway"));
        let hosts: Vec<_> = config.hosts.iter().map(|host| (host.host.as_str(), host.port)).collect();
        assert_eq!(hosts, [("db1", 6432), ("db2", 6433)]);
        assert_eq!(config.to_string(), "postgresql://db1:6432,db2:6433/gateway");
        let plain = read("postgresql://causeway@db1,db2/gateway").unwrap();
        assert_eq!(
            (plain.verification, plain.to_string().as_str()),
            (Verification::VerifyFull, "postgresql://db1,db2/gateway")
        );
    }

    #[test]
    fn a_unix_socket_needs_no_certificate() {
        let config = read("postgresql://causeway@%2Frun%2Fpostgresql/gateway").unwrap();
        assert!(config.hosts[0].is_local());
        assert_eq!(config.verification, Verification::Disable);
    }

    #[test]
    fn what_could_not_be_trusted_or_would_show_a_password_is_refused_without_repeating_it() {
        for (text, word) in [
            ("postgresql://u:hunter2@db/x", "password"),
            ("postgresql://u:hunter2@db:port/x", "read"),
            ("postgresql://u@db/x?sslmode=require", "sslmode=require"),
            ("postgresql://u@db/x?sslmode=prefer", "sslmode=prefer"),
            ("postgresql://u@db/x?connect_timeout=5", "connect_timeout"),
            ("postgresql://db/x", "user"),
            ("postgresql://u@db", "database"),
            ("postgresql://u@/x", "host"),
            ("mysql://u@db/x", "PostgreSQL"),
        ] {
            let (found, remedy) = read(text).unwrap_err();
            assert!(found.contains(word), "{text}: {found}");
            assert!(!format!("{found}{remedy}").contains("hunter2"), "{found}");
        }
    }
}
