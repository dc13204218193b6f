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

/// What a full disk is filled with at a time.
const BLOCK: [u8; 4096] = [0; 4096];

/// The store of a run.
pub enum Store {
    /// One file, for one gateway.
    Sqlite(Disk),
    /// One server, for all gateways.
    Postgres(Arc<Party>, Box<Mutex<TestServer>>, String),
}

impl Store {
    /// A file for one gateway, a server for several.
    pub fn start(network: &Network, folder: &Path, gateways: usize) -> io::Result<Self> {
        if gateways < 2 {
            return Ok(Self::Sqlite(Disk::mount(&folder.join("store"))?));
        }
        let party = network.party("db", PARTY)?;
        let access = "host all all 10.77.0.0/24 trust\n";
        let server = TestServer::start_in(Some(party.space()), &party.address.to_string(), "", access);
        let database = server.database();
        let address = format!("postgresql://postgres@{}:{}/{database}?sslmode=disable", party.address, server.port());
        Ok(Self::Postgres(party, Box::new(Mutex::new(server)), address))
    }

    /// The line of `[store]`.
    pub fn setting(&self) -> String {
        match self {
            Self::Sqlite(disk) => format!("path = '{}'", disk.folder.join("gateway.sqlite").display()),
            Self::Postgres(_, _, address) => format!("postgres = '{address}'"),
        }
    }

    /// Where the server is.
    pub fn party(&self) -> io::Result<&Party> {
        match self {
            Self::Sqlite(_) => Err(fault("a SQLite file is nowhere in the network")),
            Self::Postgres(party, ..) => Ok(party),
        }
    }

    /// Does something to the server. It takes its time, and nothing else runs meanwhile on this thread.
    pub fn server(&self, act: impl FnOnce(&mut TestServer)) -> io::Result<()> {
        match self {
            Self::Sqlite(_) => Err(fault("a SQLite file has no server")),
            Self::Postgres(_, server, _) => {
                tokio::task::block_in_place(|| act(&mut server.lock().unwrap_or_else(PoisonError::into_inner)));
                Ok(())
            }
        }
    }

    /// Leaves no room on the disk, or gives it back.
    pub fn fill(&self, is_full: bool) -> io::Result<()> {
        match self {
            Self::Sqlite(disk) => disk.fill(is_full),
            Self::Postgres(..) => Err(fault("the disk of PostgreSQL is not filled")),
        }
    }
}

/// A small disk in memory; gone when dropped.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.to_string_lossy();
        let output = run(Path::new("mount"), &["-t", "tmpfs", "-o", DISK, "tmpfs", &path])?;
        if !output.status.success() {
            return Err(fault(format!("mount: {}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(Self { folder: folder.to_owned() })
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
