//! Other people's servers, which the benchmarks measure beside ours: Debian's packages, configured as a fair operator
//! would for speed, each in a folder of its own that goes away with it.
//!
//! A server is one process or many; CPU time and memory are those of the whole tree ([`Process`] counts it), and the
//! whole tree ends when the server is dropped.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpStream;

use crate::peer::pki::{Authority, Files};
use crate::peer::process::Process;
use crate::peer::{fault, until};

pub mod ejabberd;
pub mod kamailio;
pub mod prosody;

/// The host at which an XMPP server discards what it is sent; as long as the domain whose stanzas are delivered.
pub const DISCARDING: &str = "discard.example";

/// The host that an XMPP server insists on having; nobody writes to it.
const OWN: &str = "server.example";

/// What the component shows to the server.
pub const COMPONENT_SECRET: &str = "a secret on the loopback";

/// An XMPP server as it is measured.
pub struct Federated<'a> {
    /// Whom everybody believes.
    pub authority: &'a Authority,
    /// The domain of its component.
    pub domain: &'a str,
    /// Where it takes streams of other servers.
    pub s2s: SocketAddr,
    /// Where it takes the component.
    pub component: SocketAddr,
    /// Whom it asks for other servers.
    pub dns: SocketAddr,
}

/// Lines of the log that explain why a server does not serve.
const LAST_LINES: usize = 15;

/// Debian keeps servers here, where the PATH of an ordinary user does not look.
const SERVERS_OF_DEBIAN: &str = "/usr/sbin";

/// A folder of a server's own: configuration, certificates, state, log. It goes away when dropped.
pub struct Folder {
    path: PathBuf,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("CAUSEWAY_KEEP").is_some() {
            eprintln!("kept: {}", self.path.display());
        } else {
            let _what_stays_is_in_the_temporary_folder = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Folder {
    /// Makes an empty one; a server of this name is started once at a time.
    pub fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("causeway-bench-{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and tells where.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// A folder in it.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The authority's certificate, and one for these domains with its key.
    pub fn certificates(&self, authority: &Authority, domains: &[&str]) -> io::Result<(PathBuf, Files)> {
        Ok((authority.write(&self.path, "ca")?, authority.issue(domains)?.write(&self.path, "domain")?))
    }
}

/// A server that serves; ends, with everything it has started, when dropped.
pub struct Server {
    /// The root of its processes.
    pub process: Process,
    _folder: Folder,
}

impl Server {
    /// Starts a program of Debian's with its configuration in `folder`, and waits until it takes connections at all
    /// these addresses.
    pub async fn start(
        folder: Folder,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        listens: &[SocketAddr],
    ) -> io::Result<Self> {
        let log = folder.path.join("log");
        let mut process = Process::start_in(environment, &installed(program)?, arguments, &log)?;
        for address in listens {
            let what = format!("{program} listens at {address}");
            let served = until(&what, async || {
                let is_over = !process.is_running();
                (is_over || TcpStream::connect(address).await.is_ok()).then_some(is_over)
            });
            match served.await {
                Ok(false) => {}
                Ok(true) => {
                    return Err(fault(format!("{program} ended instead of serving:\n{}", last_lines(&process))));
                }
                Err(error) => return Err(fault(format!("{error}:\n{}", last_lines(&process)))),
            }
        }
        Ok(Self { process, _folder: folder })
    }
}

fn last_lines(process: &Process) -> String {
    let log = process.log();
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
}

/// Where a program of Debian's is.
pub fn installed(program: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from(SERVERS_OF_DEBIAN)])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| fault(format!("{program} is not installed: run deploy/setup bench")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_says_why_and_leaves_nothing() {
        let folder = Folder::new("ends").unwrap();
        let path = folder.path().to_owned();
        let script = folder.write("serve", "echo the key is missing\n").unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let started = Server::start(folder, "sh", &[&script.to_string_lossy()], &[], &[address]).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("the key is missing"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_what_to_do() {
        let error = installed("no-such-server").unwrap_err().to_string();
        assert!(error.contains("no-such-server") && error.contains("deploy/setup bench"), "{error}");
    }
}
