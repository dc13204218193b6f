//! Backups over HTTP: written while somebody downloads one, read from a file that somebody has uploaded.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::mem;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::store::AsyncStore;
use crate::store::StoreError;
use crate::store::backup::{BackupItem, BackupReader, BackupWriter, Broken, Header, Numbers};
use crate::store::operator::BackupSink;

/// Bytes of a piece of a backup on its way.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for whoever downloads.
const PIECES: usize = 16;
/// How long one who downloads may take nothing: the store keeps the old state of its file for him.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether there is room again.
const PACE: Duration = Duration::from_millis(20);

/// Makes a backup, piece by piece. It is whole if the last piece has the end line; what went wrong is an error at the end.
pub fn write(store: AsyncStore, made_at_ms: u64, has_archive: bool) -> Receiver<io::Result<Bytes>> {
    let (pieces, receiver) = channel(PIECES);
    let header = Header { made_at_ms, made_by: env!("CARGO_PKG_VERSION").into(), revision: 0, has_archive };
    let last = pieces.clone();
    let sink = Box::new(Download { pieces: Some(Pieces { pieces, piece: Vec::new() }), header, writer: None });
    tokio::spawn(async move {
        if let Err(error) = store.export(has_archive, sink).await {
            // Whoever downloads may be gone.
            let _ = last.send(Err(io::Error::other(error.to_string()))).await;
        }
    });
    receiver
}

/// Turns what the store gives into pieces.
struct Download {
    pieces: Option<Pieces>,
    header: Header,
    writer: Option<BackupWriter<Pieces>>,
}

impl BackupSink for Download {
    fn begin(&mut self, revision: u64) -> ControlFlow<()> {
        self.header.revision = revision;
        let Some(pieces) = self.pieces.take() else { return ControlFlow::Break(()) };
        self.writer = BackupWriter::new(pieces, self.header.clone()).ok();
        if self.writer.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn take(&mut self, item: BackupItem) -> ControlFlow<()> {
        let written = self.writer.as_mut().map(|writer| writer.write(item));
        match written {
            Some(Ok(())) => ControlFlow::Continue(()),
            Some(Err(error)) => {
                if let Some(writer) = self.writer.take() {
                    writer.give_up(|pieces| pieces.fail(error));
                }
                ControlFlow::Break(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn end(&mut self) {
        // Nobody is left to hear of a fault of the last piece.
        let _ = self.writer.take().map(BackupWriter::finish);
    }
}

/// Collects small writes.
struct Pieces {
    pieces: Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&self, mut piece: io::Result<Bytes>) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.pieces.try_send(piece) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(io::Error::from(io::ErrorKind::BrokenPipe)),
                Err(TrySendError::Full(_)) if Instant::now() > until => {
                    return Err(io::Error::from(io::ErrorKind::TimedOut));
                }
                Err(TrySendError::Full(again)) => piece = again,
            }
            thread::sleep(PACE);
        }
    }

    fn fail(self, error: io::Error) {
        // Whoever downloads may be gone.
        let _ = self.send(Err(error));
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = mem::take(&mut self.piece);
        self.send(Ok(Bytes::from(piece)))
    }
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is not a whole backup.
    #[error("the backup cannot be restored: {0}")]
    Broken(#[from] Broken),
    /// The store does not take it.
    #[error("the backup was not restored, and nothing was changed: {0}")]
    Store(#[from] StoreError),
}

/// What is in a backup, if it is whole. It reads all of the file: not on a thread that others wait for.
pub fn check(path: &Path) -> Result<(Header, Numbers), RestoreError> {
    Ok(open(path)?.check()?)
}

/// Restores a backup that was checked.
pub async fn restore(store: &AsyncStore, path: &Path, is_replacing: bool) -> Result<Header, RestoreError> {
    let reader = open(path)?;
    let header = reader.header.clone();
    store.restore(header.revision, Box::new(reader), is_replacing).await?;
    Ok(header)
}

fn open(path: &Path) -> Result<BackupReader<BufReader<File>>, Broken> {
    let file = File::open(path).map_err(|error| Broken::at_start(&error))?;
    BackupReader::new(BufReader::new(file))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::StoreFault;
    use crate::store::operator::{DocumentChange, DocumentKind};
    use crate::store::sqlite::SqliteStore;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("causeway-backup-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn what_is_downloaded_can_be_restored() {
        let folder = folder("download");
        let open = |name: &str| AsyncStore::new(Arc::new(SqliteStore::open(folder.join(name)).unwrap()));
        let (old, new) = (open("old.db"), open("new.db"));
        let entry = crate::store::conformance::operator::entry("x");
        // More than fits into the pieces that wait.
        let documents = (0..50).map(|number| DocumentChange::Put {
            kind: DocumentKind::Partner,
            identity: number.to_string(),
            json: "x".repeat(100_000),
        });
        old.change_operator_data(0, documents.collect(), vec![entry]).await.unwrap();

        let mut pieces = write(old.clone(), 9, false);
        let (path, mut file) = (folder.join("backup"), Vec::new());
        while let Some(piece) = pieces.recv().await {
            file.extend_from_slice(&piece.unwrap());
        }
        std::fs::write(&path, &file).unwrap();
        let (header, numbers) = check(&path).unwrap();
        assert_eq!((header.revision, header.made_at_ms, numbers["document"]), (1, 9, 50));
        assert_eq!(restore(&new, &path, false).await.unwrap(), header);
        assert_eq!(new.operator_data().await.unwrap().documents, old.operator_data().await.unwrap().documents);

        let again = restore(&new, &path, false).await.unwrap_err();
        assert!(matches!(again, RestoreError::Store(error) if error.fault == StoreFault::Refused));
        std::fs::write(&path, &file[..file.len() / 2]).unwrap();
        assert!(matches!(restore(&new, &path, true).await, Err(RestoreError::Store(_))));
        assert!(matches!(check(&path), Err(RestoreError::Broken(_))));
        assert!(matches!(check(&folder.join("none")), Err(RestoreError::Broken(_))));
        assert_eq!(new.operator_data().await.unwrap().documents.len(), 50);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_download_that_nobody_takes_ends_the_export() {
        let (sender, receiver) = channel(1);
        let mut pieces = Pieces { pieces: sender, piece: Vec::new() };
        pieces.write_all(&[b'x'; PIECE]).unwrap();
        drop(receiver);
        assert!(pieces.write_all(&[b'x'; PIECE]).is_err());
    }
}
