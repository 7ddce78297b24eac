//! Base64url (RFC 4648, section 5) without padding: three bytes become four characters.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes `bytes`. The last group is filled up with zero bits, and characters that carry no byte are left out.
pub fn encode(bytes: &[u8]) -> String {
    let chars = bytes.len().saturating_mul(4).div_ceil(3);
    let mut text = String::with_capacity(chars.saturating_add(3));
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| (bits << 8) | u32::from(three.get(at).copied().unwrap_or(0)));
        for six in [bits >> 18, bits >> 12, bits >> 6, bits] {
            text.push(ALPHABET.iter().copied().map(char::from).nth((six & 63) as usize).unwrap_or_default());
        }
    }
    text.truncate(chars);
    text
}

/// The inverse of [`encode`]. Returns `None` for a string that `encode` cannot produce. Every byte string has exactly
/// one encoding: the unused bits of the last character must be 0.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            let digit = four.get(at).unwrap_or(&b'A');
            bits = (bits << 6) | sextet(*digit)?;
        }
        let whole = match four.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        let [_, three @ ..] = bits.to_be_bytes();
        let (carried, filling) = three.split_at(whole);
        if filling.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(carried);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let position = ALPHABET.iter().position(|known| *known == digit)?;
    u32::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_they_were_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..=bytes.len() {
            let bytes = bytes.get(..length).unwrap_or_default();
            assert_eq!(decode(&encode(bytes)).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn texts_are_those_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["Z", "Zg==", "Zh", "Zm9", "Zm9v Y", "Zm+v", "Zm9vZ", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
