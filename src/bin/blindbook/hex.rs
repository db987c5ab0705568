//! Bytes as text, for keys and hashes.

use std::fmt::Write;

pub(crate) fn encode(bytes: &[u8]) -> String {
    // Of the final size at once: a string that grows leaves copies of secrets behind.
    let text = String::with_capacity(2 * bytes.len());
    bytes.iter().fold(text, |mut text, byte| {
        // Writing to a string doesn't fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes, in either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_else() {
        assert_eq!(decode(&encode(&[0, 0x7f, 0xff])), Some([0, 0x7f, 0xff]));
        assert_eq!(decode("0AfF"), Some([0x0a, 0xff]));
        for bad in ["", "0", "00", "+1ff", "0g00", "00ff0", "äff"] {
            assert_eq!(decode::<2>(bad), None, "{bad}");
        }
    }
}
