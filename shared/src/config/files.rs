//! Files that a configuration names: whether they can be read, and whether what is in them does.

use std::fmt::Display;
use std::path::Path;

use super::ConfigError;

/// The mistakes in files, collected.
#[derive(Debug, Default)]
pub struct Files {
    mistakes: Vec<ConfigError>,
}

impl Files {
    /// Judges files that belong together: each that cannot be read is a mistake at its own key, `key.name`, or `key` where
    /// the name is empty; if all can be read, `load` says whether they do.
    pub fn judge<T, E: Display>(
        &mut self,
        key: &str,
        files: &[(&str, &Path)],
        load: impl FnOnce() -> Result<T, E>,
        expected: &str,
    ) -> Option<T> {
        let before = self.mistakes.len();
        for (name, path) in files {
            if let Err(error) = std::fs::read(path) {
                let key = if name.is_empty() { key.to_owned() } else { format!("{key}.{name}") };
                self.note(key, format!("{}: {error}", path.display()), "write the path of a file that can be read");
            }
        }
        if self.mistakes.len() > before {
            return None;
        }
        load().map_err(|fault| self.note(key.to_owned(), fault.to_string(), expected)).ok()
    }

    /// Ends the judging: the mistakes, or what was configured.
    pub fn finish<T>(self, config: T) -> Result<T, Vec<ConfigError>> {
        if self.mistakes.is_empty() { Ok(config) } else { Err(self.mistakes) }
    }

    fn note(&mut self, key: String, found: String, expected: &str) {
        self.mistakes.push(ConfigError::new(key, found, expected));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_read_are_named_one_by_one_and_content_only_when_all_can() {
        let here = std::env::temp_dir().join(format!("causeway-files-{}", std::process::id()));
        std::fs::write(&here, "x").unwrap();
        let mut files = Files::default();
        let absent = Path::new("/nonexistent");
        let loaded = files.judge("link", &[("key", absent), ("ca", absent)], || Err::<(), _>("not asked"), "");
        assert_eq!(loaded, None);
        assert_eq!(files.judge("tls", &[("ca_file", &here)], || Err::<(), _>("not PEM"), "write PEM"), None);
        assert_eq!(files.judge("store", &[("", &here)], || Ok::<_, String>(1), ""), Some(1));
        let mistakes = files.finish(()).unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["link.key", "link.ca", "tls"]);
        std::fs::remove_file(here).unwrap();
    }
}
