//! The store that the gateways of a run keep things in: a SQLite file on a small disk of its own, or a PostgreSQL server
//! as a party of the network.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::network::{Network, Party};
use crate::peer::fault;
use crate::peer::postgres::TestServer;
use crate::peer::process::run;

/// The last octet of the server's address.
const PARTY: u8 = 60;

/// The disk of the SQLite file: little to fill, and enough for a run.
const DISK: &str = "size=24m";

/// The disk of PostgreSQL: a new cluster has 40 MB, and the log that it writes ahead is kept below [`SETTINGS`].
const SERVER_DISK: &str = "size=192m";

/// Little log is kept, so that a full disk is met soon.
const SETTINGS: &str = "min_wal_size = 32MB\nmax_wal_size = 64MB\nwal_recycle = off";

/// Beyond the largest number of a process.
const NOBODY: &str = "2147483646\n";

/// What a full disk is filled with at a time.
const BLOCK: [u8; 4096] = [0; 4096];

/// The store of a run.
pub enum Store {
    /// One file, for one gateway.
    Sqlite(Disk),
    /// One server, for all gateways.
    Postgres {
        /// Where it is.
        party: Arc<Party>,
        /// The server.
        server: Box<Mutex<TestServer>>,
        /// What gateways dial.
        address: String,
        /// Where its data is.
        disk: Disk,
    },
}

impl Store {
    /// A file for one gateway, a server for several.
    pub fn start(network: &Network, folder: &Path, gateways: usize) -> io::Result<Self> {
        if gateways < 2 {
            return Ok(Self::Sqlite(Disk::mount(&folder.join("store"), DISK)?));
        }
        let party = network.party("db", PARTY)?;
        let access = "host all all 10.77.0.0/24 trust\n";
        let mut server = TestServer::start_in(Some(party.space()), &party.address.to_string(), SETTINGS, access);
        let disk = Disk::mount(&folder.join("store"), SERVER_DISK)?;
        server.stop();
        disk.take_in(&server.folder().join("data"))?;
        server.resume_service();
        let database = server.database();
        let address = format!("postgresql://postgres@{}:{}/{database}?sslmode=disable", party.address, server.port());
        Ok(Self::Postgres { party, server: Box::new(Mutex::new(server)), address, disk })
    }

    /// The line of `[store]`.
    pub fn setting(&self) -> String {
        match self {
            Self::Sqlite(disk) => format!("path = '{}'", disk.folder.join("gateway.sqlite").display()),
            Self::Postgres { address, .. } => format!("postgres = '{address}'"),
        }
    }

    /// Where the server is.
    pub fn party(&self) -> io::Result<&Party> {
        match self {
            Self::Sqlite(_) => Err(fault("a SQLite file is nowhere in the network")),
            Self::Postgres { party, .. } => Ok(party),
        }
    }

    /// Does something to the server. It takes its time, and nothing else runs meanwhile on this thread.
    pub fn server<T>(&self, act: impl FnOnce(&mut TestServer) -> T) -> io::Result<T> {
        match self {
            Self::Sqlite(_) => Err(fault("a SQLite file has no server")),
            Self::Postgres { server, .. } => {
                let done = || act(&mut server.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(tokio::task::block_in_place(done))
            }
        }
    }

    /// Leaves no room on the disk, or gives it back.
    pub fn fill(&self, is_full: bool) -> io::Result<()> {
        match self {
            Self::Sqlite(disk) => disk.fill(is_full),
            Self::Postgres { disk, .. } => {
                disk.fill(is_full)?;
                self.server(if is_full { meet_full_disk } else { start_if_ended })?
            }
        }
    }
}

/// The next thing that is written needs a new file of the log, for which there is no room.
fn meet_full_disk(server: &mut TestServer) -> io::Result<()> {
    let (folder, port) = (server.folder().to_string_lossy(), server.port().to_string());
    let words = ["-X", "-q", "-U", "postgres", "-h", &folder, "-p", &port, "-c", "SELECT pg_switch_wal()", "postgres"];
    // What it says does not matter: the server may die of it.
    run(Path::new("psql"), &words).map(drop)
}

/// A server that cannot write its log ends, and cannot recover before there is room; then somebody starts it.
fn start_if_ended(server: &mut TestServer) -> io::Result<()> {
    let its_number = server.folder().join("data/postmaster.pid");
    // Who holds the server looks there for whom to end: a number that no process can have.
    if !its_number.exists() {
        std::fs::write(its_number, NOBODY)?;
        server.kill();
        server.resume_service();
    }
    Ok(())
}

/// A small disk in memory; gone when dropped.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(folder: &Path, size: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.to_string_lossy();
        let output = run(Path::new("mount"), &["-t", "tmpfs", "-o", size, "tmpfs", &path])?;
        if !output.status.success() {
            return Err(fault(format!("mount: {}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Moves a folder onto the disk, and leaves a link where it was.
    fn take_in(&self, data: &Path) -> io::Result<()> {
        let (from, to) = (data.to_string_lossy(), self.folder.join("data"));
        let output = run(Path::new("cp"), &["-a", &from, &to.to_string_lossy()])?;
        if !output.status.success() {
            return Err(fault(format!("cp: {}", String::from_utf8_lossy(&output.stderr))));
        }
        std::fs::remove_dir_all(data)?;
        std::os::unix::fs::symlink(to, data)
    }

    fn fill(&self, is_full: bool) -> io::Result<()> {
        let filler = self.folder.join("filler");
        if !is_full {
            return std::fs::remove_file(filler);
        }
        let mut file = File::create(filler)?;
        loop {
            match file.write_all(&BLOCK) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Gateways that still hold the file keep it, not the mount.
        let _best_effort = run(Path::new("umount"), &["-l", &self.folder.to_string_lossy()]);
    }
}
