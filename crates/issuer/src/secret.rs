//! Secrets of clients: how they are made, read, hashed and compared.

use std::fmt;
use std::str::FromStr;

use oauth::base64url;
use types::{Digest, DigestBuilder};

const PREFIX: &str = "fin_cs_";

/// A client's secret: `fin_cs_` and 256 random bits as 43 characters of base64url. Scanners find leaked ones by the prefix.
pub struct ClientSecret([u8; 32]);

/// Why a text is no secret of a client. It quotes nothing of the text, which may well be somebody's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client secret must have the form {PREFIX}<43 characters of base64url>")]
pub struct SecretParseError;

impl ClientSecret {
    /// The secret with these bytes, which must be random.
    pub const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The secret as text, for the one time that it is shown. Nothing else prints it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", base64url::encode(&self.0))
    }

    /// The hash that is stored instead of the secret. It covers the client's id, so that a stored hash is worth nothing to another
    /// client. Passwords need a slow, salted hash because they can be guessed; 256 random bits cannot.
    pub fn hash(&self, client_id: &str) -> Digest {
        DigestBuilder::new("finaira issuer v1 client secret").bytes(client_id.as_bytes()).bytes(&self.0).digest()
    }

    /// Whether one of the hashes in `stored` is that of this secret. Takes the same time wherever they differ.
    pub(crate) fn matches(&self, client_id: &str, stored: &[Digest]) -> bool {
        let hash = blake3::Hash::from_bytes(*self.hash(client_id).as_bytes());
        let is_it = |stored: &Digest| hash == blake3::Hash::from_bytes(*stored.as_bytes());
        stored.iter().fold(false, |found, stored| found | is_it(stored))
    }
}

impl FromStr for ClientSecret {
    type Err = SecretParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = text.strip_prefix(PREFIX).and_then(base64url::decode).ok_or(SecretParseError)?;
        let secret = bytes.as_slice().try_into().map(Self).map_err(|_length| SecretParseError);
        wipe(&mut bytes);
        secret
    }
}

impl Drop for ClientSecret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// Overwrites secret bytes. `black_box` keeps the optimiser from dropping the write.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_as_it_was_revealed() {
        let secret = ClientSecret::new([1; 32]);
        let text = secret.reveal();
        assert_eq!(text, "fin_cs_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        let read: ClientSecret = text.parse().unwrap();
        assert!(read.matches("a", &[Digest::default(), secret.hash("a")]));
        assert!(!read.matches("b", &[secret.hash("a")]), "the id is part of the hash");
        assert!(!read.matches("a", &[]));
        assert_eq!(format!("{secret:?}"), "ClientSecret(…)");
    }

    #[test]
    fn the_hash_of_a_secret_is_pinned() {
        let hash = ClientSecret::new([1; 32]).hash("checkout").to_string();
        assert_eq!(hash, "eabc34fb3f405793d44bc7636157621af3da64a765578a0f5f12e74d13dbb52c");
    }

    #[test]
    fn other_texts_are_no_secrets() {
        let text = ClientSecret::new([1; 32]).reveal();
        for other in
            ["", "fin_cs_", &text[1..], &text[..text.len() - 1], &format!("{text}A"), &text.replace("AQE", "A+E")]
        {
            assert_eq!(other.parse::<ClientSecret>().map(drop), Err(SecretParseError), "{other}");
        }
    }
}
