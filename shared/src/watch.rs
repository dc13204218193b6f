//! Files whose content counts: whether one of them has changed since they were last looked at.
//!
//! By content and not by time or event, so that replaced symbolic links (Kubernetes), editors that rename, and network
//! file systems all look the same. Called every [`INTERVAL`] by the services' `reload`. Not here: timers and signals.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to look: an operator waits for it, and reading a few small files costs nothing.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// A set of files and what they held.
#[derive(Debug)]
pub struct Watch {
    files: BTreeSet<PathBuf>,
    held: u64,
}

impl Watch {
    /// Looks at the files for the first time.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: BTreeSet<_> = files.into_iter().collect();
        Self { held: fingerprint(&files), files }
    }

    /// Looks again: whether anything is not as it was at the last look.
    pub fn has_changed(&mut self) -> bool {
        let now = fingerprint(&self.files);
        std::mem::replace(&mut self.held, now) != now
    }

    /// Looks at other files from now on, because a configuration that was read anew names others.
    pub fn replace(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        *self = Self::new(files);
    }
}

fn fingerprint(files: &BTreeSet<PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        content(file).hash(&mut hasher);
    }
    hasher.finish()
}

/// A file that cannot be read is a content of its own: it may come back. Of a folder it is the names and contents of its
/// files, so that one is noticed that no configuration has been able to use yet.
fn content(file: &Path) -> Option<Vec<u8>> {
    std::fs::read(file).or_else(|_| folder(file)).ok()
}

fn folder(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(file.as_os_str().as_encoded_bytes());
        all.push(0);
        all.extend(std::fs::read(&file).unwrap_or_default());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_content_is_a_change() {
        let path = std::env::temp_dir().join(format!("causeway-watch-{}", std::process::id()));
        std::fs::write(&path, "one").unwrap();
        let mut watch = Watch::new([path.clone()]);
        assert!(!watch.has_changed());
        std::fs::write(&path, "one").unwrap();
        assert!(!watch.has_changed());
        std::fs::write(&path, "two").unwrap();
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
    }

    #[test]
    fn a_file_that_comes_or_changes_or_goes_is_a_change_of_its_folder() {
        let folder = std::env::temp_dir().join(format!("causeway-watch-folder-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut watch = Watch::new([folder.clone()]);
        assert!(!watch.has_changed());
        std::fs::write(folder.join("one"), "1").unwrap();
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        std::fs::write(folder.join("one"), "2").unwrap();
        assert!(watch.has_changed());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(watch.has_changed());
    }
}
