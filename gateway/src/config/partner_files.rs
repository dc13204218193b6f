//! `partner_files`: partners that are kept in files of their own, such as a ConfigMap or a folder of `/etc/causeway`.
//!
//! Each holds `[[partner]]` sections and nothing else. They count as the file's own: they win over the store, and nobody
//! changes them from elsewhere. A folder stands for every `*.toml` in it, by name.

use std::path::{Path, PathBuf};

use causeway_shared::config::{ConfigError, Document};
use toml::{Table, Value};

use super::ENVIRONMENT;

/// The key.
const KEY: &str = "partner_files";

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct PartnerFiles {
    /// One for each file with what it holds, in the order in which they are laid.
    files: Vec<(PathBuf, Vec<Table>)>,
    /// What to look at again: files, and folders with what is in them.
    pub(super) watched: Vec<PathBuf>,
    /// What cannot be read.
    pub(super) mistakes: Vec<ConfigError>,
}

impl PartnerFiles {
    /// Reads the files that the text names, with the environment over it. A text that cannot be read names none: who
    /// reads all of it says why.
    pub(super) fn read(text: &str, environment: &[(String, String)]) -> Self {
        let mut found = Self::default();
        let Ok(mut document) = Document::parse(text, ENVIRONMENT, environment.iter().cloned()) else { return found };
        for path in document.root().texts(KEY).into_iter().map(PathBuf::from) {
            found.take(path);
        }
        found
    }

    fn take(&mut self, path: PathBuf) {
        self.watched.push(path.clone());
        if !path.is_dir() {
            return self.take_file(path);
        }
        match folder(&path) {
            Ok(files) => {
                for file in files {
                    self.take_file(file);
                }
            }
            Err(error) => self.mistake(&path, &error.to_string(), "let the service read it, or take it out"),
        }
    }

    fn take_file(&mut self, path: PathBuf) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return self.mistake(&path, &error.to_string(), "write a file or a folder that is there"),
        };
        match partners(&text) {
            Ok(sections) => self.files.push((path, sections)),
            Err(found) => self.mistake(&path, &found, "write [[partner]] sections and nothing else"),
        }
    }

    fn mistake(&mut self, path: &Path, found: &str, expected: &str) {
        self.mistakes.push(ConfigError::new(KEY, format!("{}: {found}", path.display()), expected));
    }

    /// Lays the partners behind those of the document. Returns how many it has itself.
    pub(super) fn lay_under(&self, document: &mut Document) -> usize {
        document.append_sections("partner", self.files.iter().flat_map(|(_, sections)| sections.iter().cloned()))
    }

    /// Names a mistake by the file and the place in it, where it is about a partner of a file. `own` is how many the
    /// document has itself.
    pub(super) fn place(&self, own: usize, mut mistake: ConfigError) -> ConfigError {
        let Some((index, key)) = mistake.key.strip_prefix("partner[").and_then(|rest| rest.split_once(']')) else {
            return mistake;
        };
        let Some(mut index) = index.parse::<usize>().ok().and_then(|index| index.checked_sub(own)) else {
            return mistake;
        };
        for (path, sections) in &self.files {
            if index < sections.len() {
                mistake.key = format!("{}: partner[{index}]{key}", path.display());
                return mistake;
            }
            index -= sections.len();
        }
        mistake
    }
}

/// The files of a folder, by name. What Kubernetes and editors keep beside them does not end in `.toml`, or begins with a
/// dot.
fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".toml") && !name.starts_with('.') {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The sections of a file, or what is wrong with it.
fn partners(text: &str) -> Result<Vec<Table>, String> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let partners = table.remove("partner");
    if let Some(other) = table.keys().next() {
        return Err(format!("{other} does not belong here"));
    }
    let sections = match partners {
        None => Vec::new(),
        Some(Value::Array(sections)) => sections,
        Some(_) => return Err("partner is no list of sections".to_owned()),
    };
    let sections = sections.into_iter().map(|section| match section {
        Value::Table(section) => Ok(section),
        _ => Err("partner is no list of sections".to_owned()),
    });
    sections.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Stored, tests::GOOD};
    use super::*;

    /// A folder of the test's own, which goes with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let path = std::env::temp_dir().join(format!("causeway-partners-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            Self(path)
        }

        /// The configuration that names this folder, over what is in the store.
        fn read(&self, stored: &Stored) -> Result<Config, Vec<ConfigError>> {
            let text = format!(
                "partner_files = ['{}']\n{GOOD}\n[[partner]]\ndomain = 'adatum.example'\nsasl_negotiation = 'Required'\n",
                self.0.display()
            );
            Config::parse_with_files(&text, [], stored).map(|(config, _)| config)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _left_behind = std::fs::remove_dir_all(&self.0);
        }
    }

    fn partner(domain: &str) -> String {
        format!("[[partner]]\ndomain = '{domain}'\n")
    }

    #[test]
    fn every_toml_file_of_a_folder_counts_as_the_files_own_and_is_watched() {
        let (fabrikam, litware) = (partner("fabrikam.example"), partner("litware.example"));
        let both =
            [("b.toml", litware.as_str()), ("a.toml", fabrikam.as_str()), ("notes", "no TOML"), (".c.toml", "?")];
        let folder = Folder::new("all", &both);
        let config = folder.read(&Stored::default()).unwrap();
        let domains: Vec<_> = config.partners.iter().map(|partner| partner.domain.as_str()).collect();
        assert_eq!(domains, ["adatum.example", "fabrikam.example", "litware.example"]);
        assert_eq!(config.declared.partners, 3, "nobody changes them from elsewhere");
        assert!(config.files().contains(&folder.0));
    }

    #[test]
    fn what_is_in_the_store_comes_behind_them_and_gives_way() {
        let folder = Folder::new("stored", &[("a.toml", &partner("fabrikam.example"))]);
        let table = partner("fabrikam.example").parse::<Table>().unwrap();
        let Some(Value::Array(sections)) = table.get("partner") else { panic!("no list") };
        let stored = Stored {
            partners: [("fabrikam.example".to_owned(), sections[0].as_table().unwrap().clone())].into(),
            ..Stored::default()
        };
        let text = format!("partner_files = ['{}']\n{GOOD}", folder.0.display());
        let (read, suspended) = Config::load_leniently(&text, &[], &stored);
        assert_eq!(suspended.len(), 1, "the store's is left out");
        // The certificates of the shortest file are nowhere; its partners are no mistake.
        let mistakes: Vec<_> = read.unwrap_err().into_iter().map(|mistake| mistake.key).collect();
        assert!(mistakes.iter().all(|key| key.starts_with("link")), "{mistakes:?}");
    }

    #[test]
    fn a_mistake_is_named_by_its_file_and_the_place_in_it() {
        let wrong = format!("{}{}type = 'x'\n", partner("fabrikam.example"), partner("litware.example"));
        let files = [("a.toml", "[link]\n"), ("b.toml", wrong.as_str()), ("c.toml", "partner = 1")];
        let folder = Folder::new("wrong", &files);
        let mistakes = folder.read(&Stored::default()).unwrap_err();
        let (b, said) = (folder.0.join("b.toml"), format!("{mistakes:?}"));
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.clone()).collect();
        assert_eq!(
            keys,
            ["partner_files".to_owned(), "partner_files".to_owned(), format!("{}: partner[1].type", b.display())]
        );
        assert!(said.contains("a.toml: link does not belong here") && said.contains("c.toml"), "{said}");
    }

    #[test]
    fn a_path_that_leads_nowhere_is_a_mistake() {
        let gone = Folder::new("gone", &[]);
        std::fs::remove_dir_all(&gone.0).unwrap();
        let mistakes = gone.read(&Stored::default()).unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].found.contains("causeway-partners-gone"), "{}", mistakes[0]);
    }
}
