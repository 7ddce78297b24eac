//! API keys: how they are generated, parsed, hashed and compared.

use std::fmt;
use std::str::FromStr;

use types::{CredentialId, Digest, DigestBuilder, TenantId};

use crate::Random;
use crate::base64url;
use crate::secret::{Secret, wipe};

/// A client's credential: a prefix, the number of the credential in decimal and 256 random bits as 43 characters of
/// base64url. Scanners find leaked keys by the prefix, which also names the tenant; the number finds the stored hash.
///
/// | text | of |
/// | --- | --- |
/// | `fin_<number>_<secret>` | tenant 1 |
/// | `fin_t<tenant>_<number>_<secret>` | another tenant |
/// | `fin_test_t<tenant>_<number>_<secret>` | a tenant in test mode |
#[derive(Debug)]
pub struct ApiKey {
    tenant: KeyTenant,
    credential: CredentialId,
    secret: Secret,
}

/// The tenant that the text of an API key names, and its mode. The hash of a key does not cover it: each tenant has the
/// hashes of its own keys, so a key whose text names another tenant is unknown there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyTenant {
    /// Tenant 1.
    #[default]
    First,
    /// Another tenant.
    Tenant(TenantId),
    /// A tenant in test mode.
    Test(TenantId),
}

const FIRST: TenantId = TenantId::new(1);

impl KeyTenant {
    /// What the keys of this tenant name.
    pub const fn of(tenant: TenantId, is_test: bool) -> Self {
        match (tenant.get() == FIRST.get(), is_test) {
            (true, _) => Self::First,
            (false, false) => Self::Tenant(tenant),
            (false, true) => Self::Test(tenant),
        }
    }

    pub const fn number(self) -> TenantId {
        match self {
            Self::First => FIRST,
            Self::Tenant(tenant) | Self::Test(tenant) => tenant,
        }
    }

    /// Reads the part of a key before its number. Returns the rest.
    fn split(text: &str) -> Result<(Self, &str), ApiKeyParseError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ApiKeyParseError::Shape)?;
        let (is_test, rest) = match rest.strip_prefix(TEST) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let Some(rest) = rest.strip_prefix('t') else {
            return if is_test { Err(ApiKeyParseError::Shape) } else { Ok((Self::First, rest)) };
        };
        let (number, rest) = rest.split_once('_').ok_or(ApiKeyParseError::Shape)?;
        let tenant = canonical(number).map(TenantId::new).filter(|tenant| *tenant != FIRST);
        Ok((Self::of(tenant.ok_or(ApiKeyParseError::Tenant)?, is_test), rest))
    }
}

impl fmt::Display for KeyTenant {
    /// Writes the part of a key before its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str(PREFIX),
            Self::Tenant(tenant) => write!(f, "{PREFIX}t{tenant}_"),
            Self::Test(tenant) => write!(f, "{PREFIX}{TEST}t{tenant}_"),
        }
    }
}

const PREFIX: &str = "fin_";
const TEST: &str = "test_";
const SECRET_CHARS: usize = 43;

impl ApiKey {
    /// Draws a new key of tenant 1 with this number.
    pub fn generate(credential: CredentialId, random: &mut dyn Random) -> Self {
        Self { tenant: KeyTenant::First, credential, secret: Secret::random(random) }
    }

    /// The same key as one of another tenant.
    #[must_use]
    pub fn of(self, tenant: KeyTenant) -> Self {
        Self { tenant, ..self }
    }

    /// The tenant that the key claims to be of. Trust it only if [`ApiKey::matches`] returns true for a key of that tenant.
    pub const fn tenant(&self) -> KeyTenant {
        self.tenant
    }

    /// The credential that the key claims to be. Trust it only if [`ApiKey::matches`] returns true.
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The key as text, for the one time that it is shown. Nothing else prints it.
    pub fn reveal(&self) -> String {
        format!("{}{}_{}", self.tenant, self.credential, base64url::encode(self.secret.as_bytes()))
    }

    /// The hash that is stored instead of the key. Passwords need a slow, salted hash because they can be guessed. 256
    /// random bits cannot be guessed, and one fast hash keeps every request cheap.
    pub fn hash(&self) -> Digest {
        DigestBuilder::new("finaira vault v1 api key").u64(self.credential.get()).bytes(self.secret.as_bytes()).digest()
    }

    /// Whether this is the key with the hash `stored`. The comparison takes the same time wherever the two differ.
    pub fn matches(&self, stored: &Digest) -> bool {
        blake3::Hash::from_bytes(*self.hash().as_bytes()) == blake3::Hash::from_bytes(*stored.as_bytes())
    }
}

/// Why a string is not an API key. The messages quote nothing of the string, which may well be somebody's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyParseError {
    /// The prefix differs, or there is no second `_`.
    #[error("an API key must have the form fin_<number>_<43 characters>, or fin_t<tenant>_<number>_<43 characters>")]
    Shape,
    /// The part after `t` is not the number of a tenant that is named in keys.
    #[error("the tenant of an API key must be 2 to 2^32 - 1, without leading zeros")]
    Tenant,
    /// The part between the first two `_` is not a valid number.
    #[error("the number of an API key must be 1 to 2^64 - 1, without leading zeros")]
    Number,
    /// The secret was cut off, or something follows it.
    #[error("the secret of an API key must have 43 characters, this one has {0}")]
    Length(usize),
    /// The secret has a character outside base64url, or an end that no key has.
    #[error("the secret of an API key must be base64url (A-Z, a-z, 0-9, - and _) of 32 bytes")]
    Secret,
}

impl FromStr for ApiKey {
    type Err = ApiKeyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tenant, rest) = KeyTenant::split(text)?;
        let (number, secret) = rest.split_once('_').ok_or(ApiKeyParseError::Shape)?;
        let number = canonical(number).ok_or(ApiKeyParseError::Number)?;
        let chars = secret.chars().count();
        if chars != SECRET_CHARS {
            return Err(ApiKeyParseError::Length(chars));
        }
        let secret = decode(secret).ok_or(ApiKeyParseError::Secret)?;
        Ok(Self { tenant, credential: CredentialId::new(number), secret: Secret::new(secret) })
    }
}

/// A number above 0 in its only spelling.
fn canonical<T: FromStr>(text: &str) -> Option<T> {
    let is_canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_canonical)
}

fn decode(text: &str) -> Option<[u8; 32]> {
    let mut bytes = base64url::decode(text)?;
    let secret = bytes.as_slice().try_into().ok();
    wipe(&mut bytes);
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ApiKey {
        ApiKey::generate(CredentialId::new(7), &mut |bytes: &mut [u8]| bytes.fill(byte))
    }

    #[test]
    fn a_key_reads_as_it_was_revealed() {
        let mut next = 0_u8;
        let counting = ApiKey::generate(CredentialId::new(u64::MAX), &mut |bytes: &mut [u8]| {
            bytes.fill_with(|| {
                next = next.wrapping_add(37);
                next
            });
        });
        for key in [counting, key(1), key(0xff)] {
            let text = key.reveal();
            let read: ApiKey = text.parse().unwrap();
            assert_eq!(read.reveal(), text);
            assert_eq!(read.credential(), key.credential());
            assert!(read.matches(&key.hash()));
        }
    }

    #[test]
    fn the_text_of_a_key_is_base64url() {
        assert_eq!(key(0xff).reveal(), "fin_7___________________________________________8");
        assert_eq!(key(0x01).reveal(), "fin_7_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
    }

    #[test]
    fn the_text_of_a_key_names_its_tenant() {
        let five = TenantId::new(5);
        for (tenant, prefix) in [
            (KeyTenant::First, "fin_7_"),
            (KeyTenant::Tenant(five), "fin_t5_7_"),
            (KeyTenant::Test(five), "fin_test_t5_7_"),
        ] {
            let text = key(1).of(tenant).reveal();
            assert!(text.starts_with(prefix), "{text}");
            let read: ApiKey = text.parse().unwrap();
            assert_eq!((read.tenant(), read.reveal()), (tenant, text));
            assert_eq!(KeyTenant::of(tenant.number(), matches!(tenant, KeyTenant::Test(_))), tenant);
        }
    }

    #[test]
    fn a_key_is_its_number_and_its_secret() {
        let (seven, text) = (key(1), key(1).reveal());
        assert!(!key(2).matches(&seven.hash()));
        let eight: ApiKey = text.replace("fin_7_", "fin_8_").parse().unwrap();
        assert!(!eight.matches(&seven.hash()), "the number is part of the hash");
    }

    #[test]
    fn the_hash_of_a_key_is_pinned() {
        assert_eq!(key(1).hash().to_string(), "5cbbb47382828037e996a25437469c120646fc05e2d8dd035483deca2979aaa7");
    }

    #[test]
    fn a_string_that_is_no_key_is_refused_with_the_reason() {
        let secret = base64url::encode(&[1; 32]);
        let long = format!("fin_7_{secret}A");
        let cases = [
            ("", ApiKeyParseError::Shape),
            ("fin_", ApiKeyParseError::Shape),
            ("fin_7", ApiKeyParseError::Shape),
            (&format!("FIN_7_{secret}"), ApiKeyParseError::Shape),
            (&format!(" fin_7_{secret}"), ApiKeyParseError::Shape),
            (&format!("fin__{secret}"), ApiKeyParseError::Number),
            (&format!("fin_0_{secret}"), ApiKeyParseError::Number),
            (&format!("fin_07_{secret}"), ApiKeyParseError::Number),
            (&format!("fin_+7_{secret}"), ApiKeyParseError::Number),
            (&format!("fin_18446744073709551616_{secret}"), ApiKeyParseError::Number),
            ("fin_7_", ApiKeyParseError::Length(0)),
            (&long, ApiKeyParseError::Length(44)),
            (long.trim_end_matches("EA"), ApiKeyParseError::Length(42)),
            (&long.replace("AQE", "A+E"), ApiKeyParseError::Length(44)),
            (&format!("fin_t_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_t0_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_t1_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_t05_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_t4294967296_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_test_7_{secret}"), ApiKeyParseError::Shape),
            (&format!("fin_test_test_t5_7_{secret}"), ApiKeyParseError::Tenant),
            (&format!("fin_T5_7_{secret}"), ApiKeyParseError::Number),
            ("fin_t5_7", ApiKeyParseError::Shape),
            (&format!("fin_7_{}", secret.replace("AQE", "A+E")), ApiKeyParseError::Secret),
            (&format!("fin_7_{}é", secret.trim_end_matches('E')), ApiKeyParseError::Secret),
            (&format!("fin_7_{}F", secret.trim_end_matches('E')), ApiKeyParseError::Secret),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<ApiKey>().map(|key| key.reveal()), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let printed = format!("{:?}", key(1));
        assert_eq!(printed, "ApiKey { tenant: First, credential: CredentialId(7), secret: Secret(…) }");
    }
}
