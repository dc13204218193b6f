//! The Unix socket: whoever can open it is the administrator of the machine.
//!
//! The kernel lets in only who may write to the file, mode 0600; a second look at the peer's user keeps it that way where
//! somebody loosens the mode. The socket appears under its name complete: it is made in a folder that nobody else can
//! enter, and then renamed, so that there is no moment with a wider mode, and a stale one is replaced.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The owner alone.
const MODE: u32 = 0o600;
/// A folder for the owner alone, while the socket is made.
const PRIVATE: u32 = 0o700;
/// A folder that others may enter, for the socket's own mode decides.
const FOLDER: u32 = 0o755;
/// The administrator of the machine.
const ROOT: u32 = 0;

/// A socket that is listened on; its file goes with it.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Whose process we are.
    owner: u32,
    /// Which file is ours: another gateway may have replaced it.
    inode: u64,
}

impl Listener {
    /// Listens at a path; one where nobody listens any more is taken over.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(FOLDER).create(folder)?;
        }
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file has this name"));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another gateway listens there"));
            }
        }
        let private = folder.join(format!(".causeway-{}", std::process::id()));
        let _left_by_a_process_of_the_same_number = std::fs::remove_dir_all(&private);
        std::fs::DirBuilder::new().mode(PRIVATE).create(&private)?;
        let made = Self::make(&private.join("s"), path);
        let _nothing_is_left_in_it = std::fs::remove_dir_all(&private);
        made
    }

    fn make(first: &Path, path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(first)?;
        std::fs::set_permissions(first, std::fs::Permissions::from_mode(MODE))?;
        let made = std::fs::symlink_metadata(first)?;
        std::fs::rename(first, path)?;
        Ok(Self { listener, path: path.to_owned(), owner: made.uid(), inode: made.ino() })
    }

    /// The next connection of our own user or root.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let user = stream.peer_cred()?.uid();
            if user == self.owner || user == ROOT {
                return Ok(stream);
            }
            tracing::warn!(user, "another user came over the panel's socket and was refused; its mode should be 0600");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _it_is_replaced_at_the_next_start = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("causeway-socket-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_alone_in_a_folder_that_is_made() {
        let folder = folder("mode");
        let path = folder.join("deep/gateway.sock");
        let listener = Listener::bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (accepted, connected) = tokio::join!(listener.accept(), UnixStream::connect(&path));
        assert!(accepted.is_ok() && connected.is_ok());
        drop(listener);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(folder.join("deep")).unwrap().count(), 0);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_replaced_and_no_other() {
        let folder = folder("stale");
        let path = folder.join("gateway.sock");
        std::fs::create_dir_all(&folder).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&path).await.unwrap();
        let second = Listener::bind(&path).await.unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        std::fs::write(&path, "a file").unwrap();
        assert_eq!(Listener::bind(&path).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
