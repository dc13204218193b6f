//! The `[store]` of a file, read by itself: for `causeway store`, which has to work when the rest of the file does not.

use causeway_shared::config::{ConfigError, Document};

use super::{ENVIRONMENT, StoreConfig, store};

/// Reads `[store]` of a text with the environment over it.
pub fn store_of(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<StoreConfig, Vec<ConfigError>> {
    let variables = format!("{ENVIRONMENT}__STORE__");
    let environment = environment.into_iter().filter(|(name, _)| name.starts_with(&variables));
    let mut document = Document::parse(text, ENVIRONMENT, environment)?;
    let store = store::read(document.section("store"), &mut Vec::new());
    let mut mistakes = document.finish().err().unwrap_or_default();
    // What else is in the file has not been read, which is no mistake.
    let is_ours = |key: &str| key == "store" || key.starts_with("store.") || key.starts_with(&variables);
    mistakes.retain(|mistake| is_ours(&mistake.key));
    if mistakes.is_empty() { Ok(store) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_store_of_a_file_counts() {
        let text = "nonsense = 1\n[store]\npath = '/x/a.db'\n[sip]\nwhat = 'ever'";
        assert_eq!(store_of(text, []).unwrap().sqlite().unwrap().to_str(), Some("/x/a.db"));
        assert!(store_of("", []).unwrap().sqlite().is_some());
        let mistakes = store_of("[store]\npath = 'a'\npostgres = 'b'\nwhat = 1", []).unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["store.postgres", "store.what"]);
        assert!(store_of("[store", []).is_err());
        let environment = [("CAUSEWAY_GATEWAY__STORE__PATH".to_owned(), "/y".to_owned())];
        let over = environment.into_iter().chain([("CAUSEWAY_GATEWAY__NONE".to_owned(), "x".to_owned())]);
        assert_eq!(store_of(text, over).unwrap().sqlite().unwrap().to_str(), Some("/y"));
    }
}
