//! Numbers as the tags, branches and Call-IDs that we make have them.

/// A prefix, and each number in sixteen hexadecimal digits.
///
/// Every message has several of these: with `format!` they were a seventh of the instructions of its translation.
pub fn numbered(prefix: &str, numbers: &[u64]) -> String {
    let mut text = String::with_capacity(prefix.len() + 16 * numbers.len());
    text.push_str(prefix);
    for number in numbers {
        let digits = number.to_be_bytes().map(|byte| [byte >> 4, byte & 15]);
        text.extend(
            digits
                .as_flattened()
                .iter()
                .map(|nibble| char::from(if *nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble })),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn numbers_have_all_their_digits() {
        assert_eq!(numbered("cw-", &[0x0123_4567_89ab_cdef, 10]), "cw-0123456789abcdef000000000000000a");
        for number in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            assert_eq!(numbered("", &[number]), format!("{number:016x}"));
        }
    }
}
