//! Messages made beforehand: only a number changes, in place; and finding that number where the message arrives.

/// Digits of a number.
const DIGITS: usize = 10;

/// Stands for the number in a template's text.
pub const SLOT: &str = "##########";

/// A text with places for a number.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    slots: Vec<usize>,
}

impl Template {
    /// From a text that has [`SLOT`] wherever the number goes.
    pub fn new(text: &str) -> Self {
        let slots = text.match_indices(SLOT).map(|(at, _)| at).collect();
        Self { bytes: text.as_bytes().to_vec(), slots }
    }

    /// The text with this number.
    pub fn with(&mut self, number: u64) -> &[u8] {
        let mut digits = [b'0'; DIGITS];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        for slot in &self.slots {
            if let Some(place) = self.bytes.get_mut(*slot..slot + DIGITS) {
                place.copy_from_slice(&digits);
            }
        }
        &self.bytes
    }
}

/// The number behind an opening mark that ends just before `at`.
pub fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    let digits = bytes.get(at..at + DIGITS)?;
    digits.iter().try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

/// Calls `found` for each number in square brackets, and tells where the search must go on when more bytes come.
pub fn bracketed(bytes: &[u8], mut found: impl FnMut(u64)) -> usize {
    let mut last = 0;
    for open in memchr::memchr_iter(b'[', bytes) {
        if open + DIGITS + 2 > bytes.len() {
            return open;
        }
        if bytes.get(open + DIGITS + 1) == Some(&b']')
            && let Some(number) = number_at(bytes, open + 1)
        {
            found(number);
        }
        last = open + 1;
    }
    last.max(bytes.len().saturating_sub(DIGITS + 1))
}

/// Fills up with words to exactly this length.
pub fn padding(length: usize) -> String {
    "the quick brown fox jumps over the lazy dog and ".chars().cycle().take(length).collect()
}

/// A user of a pair: `u0000@domain`.
pub fn user(prefix: &str, pair: usize, domain: &str) -> String {
    format!("{prefix}{pair:05}@{domain}")
}

/// One message of [`STANZA_BYTES`] per pair, from a partner's user to one of ours.
pub fn stanzas(pairs: usize, remote: &str, local: &str) -> Vec<Template> {
    (0..pairs).map(|pair| stanza(&format!("{}/desk", user("u", pair, remote)), &user("a", pair, local))).collect()
}

/// The size of a stanza in all figures.
pub const STANZA_BYTES: usize = 230;

/// A message of exactly [`STANZA_BYTES`], with its number as id and at the beginning of the body.
pub fn stanza(from: &str, to: &str) -> Template {
    let head = format!("<message from='{from}' to='{to}' type='chat' id='{SLOT}'><body>[{SLOT}] ");
    let tail = "</body></message>";
    let fill = padding(STANZA_BYTES.saturating_sub(head.len() + tail.len()));
    Template::new(&format!("{head}{fill}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_has_its_size_and_its_number() {
        let mut stanza = stanza("u00001@load1.example/desk", "a00001@contoso.example");
        let bytes = stanza.with(1_234);
        assert_eq!(bytes.len(), STANZA_BYTES);
        let mut numbers = Vec::new();
        bracketed(bytes, |number| numbers.push(number));
        assert_eq!(numbers, [1_234]);
    }

    #[test]
    fn numbers_are_found_once_wherever_the_bytes_are_cut() {
        let text = b"..[0000000001]..[0000000002][no][0000000003]";
        for cut in 0..text.len() {
            let (mut buffer, mut numbers) = (Vec::new(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                buffer.extend_from_slice(part);
                let seen = bracketed(&buffer, |number| numbers.push(number));
                buffer.drain(..seen);
            }
            assert_eq!(numbers, [1, 2, 3], "cut at {cut}");
        }
    }
}
