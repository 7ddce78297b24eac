//! The id of a request: from its body, or derived from its `Idempotency-Key` header.

use engine::{IfMatch, Key, KeyUsed};
use types::{AccountId, Digest, DigestBuilder, PaymentId, ProposalId, RequestId, TenantId, TransferId};

use crate::errors::ErrorCode;
use crate::json::{Fields, Json, pointer_to};
use crate::problem::Problem;

/// The header from which an id can be derived.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header that names the versions of a setting on which a request may change it.
pub const IF_MATCH: &str = "If-Match";
/// The most characters of an `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 255;

/// An `Idempotency-Key`: 1 to 255 visible ASCII characters, chosen by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses the value of the header.
    pub fn parse(value: &[u8]) -> Result<Self, Problem> {
        Self::checked(value).map_err(|detail| Problem::new(ErrorCode::InvalidHeader, detail).at(IDEMPOTENCY_KEY))
    }

    /// Parses a key; an error says what was found and what was expected.
    fn checked(value: &[u8]) -> Result<Self, String> {
        let invalid = |found: String| format!("found {found}, expected 1 to {KEY_CHARS_MAX} visible ASCII characters");
        if value.is_empty() || value.len() > KEY_CHARS_MAX {
            return Err(invalid(format!("{} bytes", value.len())));
        }
        match value.iter().find(|byte| !byte.is_ascii_graphic()) {
            Some(byte) => Err(invalid(format!("the byte 0x{byte:02x}"))),
            None => Ok(Self(value.iter().copied().map(char::from).collect())),
        }
    }
}

impl std::str::FromStr for IdempotencyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::checked(text.as_bytes())
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
        Ok(self.verb_with(key))
    }

    /// The request id of a verb with this key: the same whether the verb is sent alone or in a batch.
    pub(crate) fn verb_with(&self, key: &IdempotencyKey) -> RequestId {
        RequestId::new(self.derive("verb", &key.0))
    }

    /// The id of a request on `route` that makes something new: derived from its key. Without a key, no retry is recognised.
    pub fn request(&self, route: &'static str) -> RequestId {
        self.key.map_or_else(RequestId::default, |key| RequestId::new(self.derive(route, &key.0)))
    }

    /// The key of a request on `route`, and what the request asks for: the decoded id in its path, and its body. `None` if
    /// the request has no key.
    ///
    /// # Errors
    /// If the body is not JSON. An empty body counts as one without fields.
    pub fn key(&self, route: &'static str, path_id: &str, body: &[u8]) -> Result<Option<Key>, Problem> {
        let Some(key) = self.key else { return Ok(None) };
        let id = RequestId::new(self.derive(route, &key.0));
        let fields = match body {
            [] => Vec::new(),
            body => match Json::parse(body)? {
                Json::Object(fields) => fields,
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => Vec::new(),
            },
        };
        let mut content = Content::default();
        content.part("id".to_owned(), path_id);
        content.body(fields)?;
        Ok(Some(content.of(id)))
    }

    /// The key of a request on `route` whose body is an archive with this digest.
    pub fn key_of_archive(&self, route: &'static str, digest: Digest) -> Option<Key> {
        let key = self.key?;
        let mut content = Content::default();
        content.part("the archive".to_owned(), &digest.to_string());
        Some(content.of(RequestId::new(self.derive(route, &key.0))))
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

/// What a request asks for, in parts: a retry has the same parts, whatever the order of its fields.
#[derive(Default)]
struct Content {
    items: usize,
    names: Vec<String>,
    parts: Vec<u64>,
}

impl Content {
    fn part(&mut self, name: String, text: &str) {
        let mut builder = DigestBuilder::new("finaira 2026-11 part of a request");
        builder.bytes(name.as_bytes()).bytes(text.as_bytes());
        self.parts.push(u64::try_from(builder.digest().head_u128() >> 64_u32).unwrap_or_default());
        self.names.push(name);
    }

    /// Each field is a part; of a list, each item is one, and of an object, each of its fields.
    fn body(&mut self, mut fields: Vec<(String, Json)>) -> Result<(), Problem> {
        fields.retain(|(_, value)| *value != Json::Null);
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in fields {
            let pointer = pointer_to("", &name);
            match value {
                Json::List(items) => {
                    self.items = self.items.saturating_add(items.len());
                    for (place, item) in items.into_iter().enumerate() {
                        let pointer = format!("{pointer}/{place}");
                        self.part(pointer.clone(), &item.canonical(&pointer)?);
                    }
                }
                Json::Object(mut fields) => {
                    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                    for (name, value) in fields {
                        let pointer = pointer_to(&pointer, &name);
                        self.part(pointer.clone(), &value.canonical(&pointer)?);
                    }
                }
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {
                    self.part(pointer.clone(), &value.canonical(&pointer)?);
                }
            }
        }
        Ok(())
    }

    fn of(self, id: RequestId) -> Key {
        let items = u32::try_from(self.items).unwrap_or(u32::MAX);
        Key { id, used: KeyUsed { items, parts: self.parts.into() }, names: self.names }
    }
}

/// Parses the value of an `If-Match`: `*`, or entity tags. A tag that no version has matches none.
pub fn if_match(value: &[u8]) -> Result<IfMatch, Problem> {
    let invalid = || {
        let detail = "expected `*` or entity tags in quotes, separated by commas, as the header `ETag` shows them";
        Problem::new(ErrorCode::InvalidHeader, detail).at(IF_MATCH)
    };
    let text = std::str::from_utf8(value).map_err(|_not_text| invalid())?.trim();
    if text == "*" {
        return Ok(IfMatch::Any);
    }
    let mut versions = Vec::new();
    for tag in text.split(',').map(str::trim) {
        let strong = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        match strong {
            Some(tag) if !tag.contains('"') => {
                versions.extend(u64::from_str_radix(tag, 16).ok().filter(|_| tag.len() == 16));
            }
            // A weak tag is never equal to a strong one.
            None if tag.starts_with("W/\"") && tag.ends_with('"') => {}
            Some(_) | None => return Err(invalid()),
        }
    }
    Ok(IfMatch::OneOf(versions))
}

/// The entity tag of a version.
pub fn entity_tag(version: u64) -> String {
    format!("\"{version:016x}\"")
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

impl Identified for ProposalId {
    fn from_number(number: u128) -> Self {
        Self::new(number)
    }
}
