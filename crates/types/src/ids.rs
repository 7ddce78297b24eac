//! Ids and numbers, each a type of its own, and how they are parsed and printed.

use std::fmt;
use std::str::FromStr;

use crate::shown::shorten;

/// Why a string is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdParseError {
    /// The string is neither a hyphenated UUID nor a decimal number.
    #[error("`{0}` is not a 128-bit id: write a hyphenated UUID or a decimal number, in a string")]
    Malformed(String),
    /// 0 and 2^128 − 1 are reserved.
    #[error("an id must be neither 0 nor 2^128 - 1")]
    Reserved,
}

/// The positions of the hyphens in a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

fn parse_u128(text: &str) -> Result<u128, IdParseError> {
    let malformed = || IdParseError::Malformed(shorten(text));
    let uuid = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(position, byte)| if HYPHENS.contains(&position) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    if uuid {
        let digits = text.chars().filter_map(|digit| digit.to_digit(16));
        return Ok(digits.fold(0, |value, digit| (value << 4_u32) | u128::from(digit)));
    }
    let decimal = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if decimal => Ok(number),
        _ if text == "0" => Ok(0),
        _ => Err(malformed()),
    }
}

fn fmt_uuid(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = id.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut text = [b'-'; 36];
    for (_, place) in text.iter_mut().enumerate().filter(|(position, _)| !HYPHENS.contains(position)) {
        let digit = digits.next().and_then(|digit| b"0123456789abcdef".get(usize::from(digit)));
        *place = digit.copied().unwrap_or_default();
    }
    f.write_str(std::str::from_utf8(&text).or(Err(fmt::Error))?)
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u128);

        impl $name {
            /// Wraps `number` without checking it. Use `FromStr` for input from outside.
            pub const fn new(number: u128) -> Self {
                Self(number)
            }

            pub const fn get(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_uuid(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;

            /// Parses a hyphenated UUID or a decimal number. Rejects 0 and 2^128 − 1.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match parse_u128(text)? {
                    0 | u128::MAX => Err(IdParseError::Reserved),
                    number => Ok(Self(number)),
                }
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($inner);

        impl $name {
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id128!(
    /// Id of an account, unique across all ledgers of its tenant.
    AccountId
);
id128!(
    /// Id of a transfer, chosen by the client. Legs of payments have no such id.
    TransferId
);
id128!(
    /// Id of an import of an existing book.
    ImportId
);
id128!(
    /// Id of a payment, chosen by the client or derived from the request's idempotency key.
    PaymentId
);
id128!(
    /// Id of an operation that one principal proposes and another one approves, chosen by the client or derived from the
    /// request's idempotency key.
    ProposalId
);
id128!(
    /// Id of one client request. A retry carries the same id and is recognised by it.
    RequestId
);
id128!(
    /// Id of a key in the key store.
    KeyId
);
id128!(
    /// Opaque stand-in for an entity key, derived at the edge with keys of the key store.
    Token
);
id128!(
    /// Identifies the history that a journal holds. It is drawn at random when the history starts.
    Origin
);
number!(
    /// Number of a ledger, that is, of a book of accounts in one asset. Never 0.
    LedgerId,
    u32
);
number!(
    /// A client's own classification of an account or transfer. Never 0 in either.
    Code,
    u16
);
number!(
    /// Number of a tenant, one customer of an installation.
    TenantId,
    u32
);
number!(
    /// Number of a shard, a set of tenants whose entries share one order.
    ShardId,
    u16
);
number!(
    /// Who made a request: the number of a principal, or 0 for the system itself.
    ActorId,
    u64
);
number!(
    /// A credential that a principal authenticates with; never 0.
    CredentialId,
    u64
);
number!(
    /// Position of an entry in its journal, from 1 without gaps. 0 means "before the first entry".
    Seq,
    u64
);
number!(
    /// Counts the writers of a history: each new writer has a higher epoch.
    Epoch,
    u64
);

impl Seq {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);

    /// Returns the position after this one.
    ///
    /// # Panics
    /// Panics if this position is 2^64 − 1.
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => panic!("a journal holds at most 2^64 - 1 entries"),
        }
    }
}

impl ActorId {
    /// The system itself, which journals expiries, state digests and the first entry.
    pub const SYSTEM: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_name_the_same_id() {
        let uuid: Result<AccountId, _> = "00000000-0000-0000-0000-0000000004d2".parse();
        assert_eq!(uuid, Ok(AccountId::new(1234)));
        assert_eq!("1234".parse(), uuid);
        assert_eq!(AccountId::new(1234).to_string(), "00000000-0000-0000-0000-0000000004d2");
    }

    #[test]
    fn reserved_and_malformed_ids_are_refused() {
        for reserved in ["0", "340282366920938463463374607431768211455", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
            assert_eq!(reserved.parse::<TransferId>(), Err(IdParseError::Reserved), "{reserved}");
        }
        let malformed =
            ["", "01", "-1", "1.0", "340282366920938463463374607431768211456", "000000000000000000000000000004d2"];
        for text in malformed {
            assert!(matches!(text.parse::<TransferId>(), Err(IdParseError::Malformed(_))), "{text}");
        }
    }
}
