//! The id of a request: from its body, or derived from its `Idempotency-Key` header.

use types::{AccountId, Digest, DigestBuilder, PaymentId, RequestId, TenantId, TransferId};

use crate::errors::ErrorCode;
use crate::json::Fields;
use crate::problem::Problem;

/// The header from which an id can be derived.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The most characters of an `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 255;

/// An `Idempotency-Key`: 1 to 255 visible ASCII characters, chosen by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses the value of the header.
    pub fn parse(value: &[u8]) -> Result<Self, Problem> {
        let invalid = |found: String| {
            let detail = format!("found {found}, expected 1 to {KEY_CHARS_MAX} visible ASCII characters");
            Problem::new(ErrorCode::InvalidHeader, detail).at(IDEMPOTENCY_KEY)
        };
        if value.is_empty() || value.len() > KEY_CHARS_MAX {
            return Err(invalid(format!("{} bytes", value.len())));
        }
        match value.iter().find(|byte| !byte.is_ascii_graphic()) {
            Some(byte) => Err(invalid(format!("the byte 0x{byte:02x}"))),
            None => Ok(Self(value.iter().copied().map(char::from).collect())),
        }
    }
}

/// Derives ids from keys: the same key of the same tenant on the same route always gives the same id. The derivation
/// uses a secret, because a key may contain a phone number or an order number, and anyone could recover that from a
/// plain hash by trying all possible numbers.
#[derive(Debug, Clone, Copy)]
pub struct IdSource<'a> {
    /// Known only to this installation, and the same at every start.
    pub secret: Digest,
    /// The tenant that the ids belong to.
    pub tenant: TenantId,
    /// The header, if the request has it.
    pub key: Option<&'a IdempotencyKey>,
}

impl IdSource<'_> {
    /// The request id of a verb on a payment. A key names one verb on one payment.
    pub fn verb(&self) -> Result<RequestId, Problem> {
        let Some(key) = self.key else {
            let detail = "every verb on a payment needs its own Idempotency-Key, so that the server recognises a retry";
            return Err(Problem::new(ErrorCode::IdempotencyKeyRequired, detail).at(IDEMPOTENCY_KEY));
        };
        Ok(RequestId::new(self.derive("verb", &key.0)))
    }

    /// The id of the object that a request creates: its field `id`, or derived from the key.
    pub(crate) fn id<T>(&self, route: &'static str, fields: &mut Fields) -> Result<T, Problem>
    where
        T: Identified,
    {
        self.id_or(fields, |key| self.derive(route, key))
    }

    /// The id of an object that a batch creates: its field `id`, or derived from the key and the position in the batch.
    pub(crate) fn nth_id<T>(&self, route: &'static str, place: usize, fields: &mut Fields) -> Result<T, Problem>
    where
        T: Identified,
    {
        self.id_or(fields, |key| self.derive(route, &format!("{place} {key}")))
    }

    fn id_or<T>(&self, fields: &mut Fields, derive: impl Fn(&str) -> u128) -> Result<T, Problem>
    where
        T: Identified,
    {
        let at = fields.pointer_of("id");
        match (fields.parsed::<T>("id", "a string with an id")?, self.key) {
            (Some(id), None) => Ok(id),
            (None, Some(key)) => Ok(T::from_number(derive(&key.0))),
            (Some(_), Some(_)) => {
                let detail = format!("expected `id` or the header {IDEMPOTENCY_KEY}, found both");
                Err(Problem::new(ErrorCode::IdAndIdempotencyKey, detail).at(at))
            }
            (None, None) => {
                let detail = format!("expected `id` or the header {IDEMPOTENCY_KEY}, found neither");
                Err(Problem::new(ErrorCode::IdRequired, detail).at(at))
            }
        }
    }

    /// The request id for an object that is identified by `name` and needs no key.
    pub(crate) fn named(&self, route: &'static str, name: &str) -> RequestId {
        RequestId::new(self.derive(route, name))
    }

    fn derive(&self, route: &'static str, key: &str) -> u128 {
        let mut builder = DigestBuilder::new("finaira 2026-11 id of an idempotency key");
        builder
            .bytes(self.secret.as_bytes())
            .u64(u64::from(self.tenant.get()))
            .bytes(route.as_bytes())
            .bytes(key.as_bytes());
        builder.digest().head_u128().clamp(1, u128::MAX - 1)
    }
}

/// The id of an object that a request creates.
pub(crate) trait Identified: std::str::FromStr<Err = types::IdParseError> {
    fn from_number(number: u128) -> Self;
}

impl Identified for AccountId {
    fn from_number(number: u128) -> Self {
        Self::new(number)
    }
}

impl Identified for TransferId {
    fn from_number(number: u128) -> Self {
        Self::new(number)
    }
}

impl Identified for PaymentId {
    fn from_number(number: u128) -> Self {
        Self::new(number)
    }
}
