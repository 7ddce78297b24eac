//! Base64url without padding (RFC 4648, section 5), as JSON Object Signing and Encryption writes it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes. Every byte string has exactly one encoding: padding is refused, as are white space, the characters `+` and
/// `/`, and a last character with unused bits that are not 0.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_string_has_one_encoding() {
        assert_eq!(decode("Zm8").as_deref(), Some(b"fo".as_slice()));
        assert_eq!(encode(b"fo"), "Zm8");
        for other in ["Zm8=", "Zm9", " Zm8", "Zm8\n", "Z", "-/8", "+_8", "Zm\08"] {
            assert_eq!(decode(other), None, "{other}");
        }
    }
}
