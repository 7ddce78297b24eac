//! Parses payments, in two steps. [`PaymentRequest::parse`] needs no policy, and returns what distinguishes a retry
//! from another request. [`PaymentRequest::against`] then checks the rest against the policy that will decide.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use engine::{NewPayment, PAYMENTS_MAX, PaymentDecided, PlainValue};
use policy::{Attribute, AttributeKind, AttributeValue, Entity, PaymentType, PaymentTypeIdx, Policy};
use types::{Amount, Asset, Digest, Name, PaymentId, RequestId, Sealed, Timestamp, Token};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::identity::IdSource;
use crate::json::{Fields, Json, Number, one_of, shorten, text_fault};
use crate::problem::Problem;
use crate::requests::{AMOUNT, ASSET, check_asset};

/// The most characters of an entity's value.
const ENTITY_CHARS_MAX: usize = 256;
/// The most bytes of any string attribute: the largest `chars_max` that a policy may declare, in the longest encoding.
const TEXT_BYTES_MAX: usize = 4 * policy::limits::CHARS_MAX as usize;

/// A payment to decide. The client gives `id` here, or sends the header `Idempotency-Key`, from which the server
/// derives the id.
#[derive(ToSchema)]
#[schema(as = NewPayment)]
#[expect(dead_code, missing_debug_implementations, reason = "only its schema is used")]
pub struct PaymentBody {
    /// A hyphenated UUID or a 128-bit decimal.
    id: Option<String>,
    /// The name of a payment type of the active policy.
    #[schema(example = "card")]
    r#type: String,
    /// The amount in minor units, below 2^128. Expressions of the policy calculate with 64-bit integers. A payment of 2^63 minor units or
    /// more (9.22 units of an asset with 18 decimals) is therefore put under review if a rule, a stream or a model of its type
    /// reads its amount, and declined if a leg calculates with it. A leg that is exactly the amount moves any amount.
    #[schema(example = "1250")]
    amount: String,
    /// The asset of the amount. It must be the asset of the payment type's ledger.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The attributes that the payment type declares, by name: strings, numbers or booleans. An entity is a string of 1
    /// to 256 characters, an account is an id, and a timestamp is RFC 3339. Null counts as absent. Two values of an entity
    /// are the same customer, card or device only if all their bytes are the same, after the normalisation that the policy
    /// declares for the entity (`normalise`), if any.
    #[schema(value_type = Option<Object>, example = json!({"customer": "alice", "country": "DE"}))]
    attributes: (),
    /// When the payment happened. Only for payment types that accept it.
    #[schema(format = "date-time")]
    occurred_at: Option<String>,
}

/// A parsed payment that was not yet checked against a policy. Its `Debug` form shows no attributes.
pub struct PaymentRequest {
    pub payment: PaymentId,
    payment_type: String,
    amount: Amount,
    asset: Asset,
    occurred_at: Option<Timestamp>,
    /// Scalars, sorted by name; none of them is null.
    attributes: Vec<(String, Json)>,
    /// Whether some of them were opened for this. Then no message shows any, because a policy may call them otherwise today.
    are_opened: bool,
}

/// The fields of a payment.
const KNOWN: &[&str] = &["id", "type", "amount", "asset", "attributes", "occurred_at"];

/// A batch of payments.
#[derive(ToSchema)]
#[schema(as = NewPayments)]
#[expect(dead_code, missing_debug_implementations, reason = "only its schema is used")]
pub struct PaymentsBody {
    /// 1 to 1000 payments. They are decided in this order, one after another.
    payments: Vec<PaymentBody>,
}

impl PaymentRequest {
    /// Parses the body of `POST /v1/payments`.
    pub fn parse(source: &IdSource<'_>, body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, KNOWN)?;
        Self::of(source.id("/v1/payments", &mut fields)?, &mut fields)
    }

    /// Parses the body of `POST /v1/payments/batch`.
    pub fn parse_batch(source: &IdSource<'_>, body: &[u8]) -> Result<Vec<Self>, Problem> {
        let mut batch = Fields::of_body(body, &["payments"])?;
        let list = batch.list("payments", PAYMENTS_MAX)?;
        let payment = |(place, value): (usize, Json)| {
            let mut fields = Fields::of(value, format!("/payments/{place}"))?.among(KNOWN)?;
            Self::of(source.nth_id("/v1/payments/batch", place, &mut fields)?, &mut fields)
        };
        list.into_iter().enumerate().map(payment).collect()
    }

    fn of(payment: PaymentId, fields: &mut Fields) -> Result<Self, Problem> {
        let named =
            |fields: &mut Fields, name: &str| fields.text(name, "a string with a payment type", Name::BYTES_MAX);
        let payment_type = fields.required("type", named)?;
        let amount = fields.required("amount", |fields, name| fields.parsed(name, AMOUNT))?;
        let asset = fields.required("asset", |fields, name| fields.parsed(name, ASSET))?;
        let occurred_at = fields.parsed("occurred_at", "a string with an RFC 3339 time")?;
        let attributes = fields.take("attributes").map_or(Ok(Vec::new()), scalars)?;
        Ok(Self { payment, payment_type, amount, asset, occurred_at, attributes, are_opened: false })
    }

    /// The payment as it was asked for, from the entry that decided it and from the opened personal data, with another amount. An
    /// increment is decided with it.
    pub fn again(
        decided: &PaymentDecided,
        personal: &BTreeMap<String, serde_json::Value>,
        (amount, asset): (Amount, Asset),
    ) -> Self {
        let mut attributes: BTreeMap<&str, Json> = BTreeMap::new();
        for (name, value) in &decided.attributes {
            let json = match value {
                PlainValue::Text(text) => Json::Text(text.to_string()),
                PlainValue::Int(int) => Json::Number(Number::of(int)),
                PlainValue::Double(double) => Json::Number(Number::of(double)),
                PlainValue::Bool(yes) => Json::Bool(*yes),
                PlainValue::Time(at) => Json::Text(at.to_string()),
                PlainValue::Account(id) => Json::Text(id.to_string()),
                // The entry has only its token; its value is among the personal data.
                PlainValue::Entity(_) => continue,
            };
            attributes.insert(name.as_str(), json);
        }
        for (name, value) in personal {
            let json = match value {
                serde_json::Value::String(text) => Json::Text(text.clone()),
                serde_json::Value::Bool(yes) => Json::Bool(*yes),
                serde_json::Value::Number(number) => Json::Number(Number::of(number)),
                serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => continue,
            };
            attributes.insert(name, json);
        }
        Self {
            payment: decided.payment,
            payment_type: decided.payment_type.to_string(),
            amount,
            asset,
            occurred_at: None,
            attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            are_opened: true,
        }
    }

    /// The id by which the server recognises a retry.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(self.payment.get())
    }

    /// The request's own fields in canonical form. It depends neither on the order of the fields, nor on whether an
    /// absent field is omitted or null, nor on how a number is written, nor on any policy. It is personal data: it is
    /// hashed with a key and never stored.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |piece: &[u8]| {
            out.extend_from_slice(&(piece.len() as u64).to_le_bytes());
            out.extend_from_slice(piece);
        };
        put(self.payment_type.as_bytes());
        put(self.amount.to_string().as_bytes());
        put(self.asset.to_string().as_bytes());
        put(self.occurred_at.map_or(String::new(), |at| at.ns().to_string()).as_bytes());
        for (name, value) in &self.attributes {
            let (kind, text) = canonical_scalar(value);
            put(name.as_bytes());
            put(kind);
            put(text.as_bytes());
        }
        out
    }

    /// Checks the payment against the policy that will decide it.
    pub fn against(&self, policy: &Policy) -> Result<ParsedPayment, Problem> {
        let Some((idx, payment_type)) = policy.payment_type(&self.payment_type) else {
            let names: Vec<&str> = policy.payment_types().iter().map(|known| known.name.as_str()).collect();
            let detail = format!("found `{}`, expected {}", shorten(&self.payment_type), one_of(&names));
            return Err(Problem::new(ErrorCode::UnknownPaymentType, detail).at("/type"));
        };
        let ledger =
            policy.ledgers().get(payment_type.ledger.get()).expect("POL-3: a payment type's ledger is declared");
        check_asset(self.asset, ledger.asset, ledger.id)?;
        let (attributes, seal) = self.values(payment_type, policy.entities())?;
        Ok(ParsedPayment {
            payment: self.payment,
            policy: policy.digest(),
            payment_type: idx,
            amount: self.amount,
            occurred_at: self.occurred_at,
            attributes,
            seal,
        })
    }

    /// The values in the order of the payment type, and what must be sealed.
    fn values(
        &self,
        payment_type: &PaymentType,
        entities: &[Entity],
    ) -> Result<(Vec<Option<ParsedValue>>, Option<ToSeal>), Problem> {
        if let Some((name, _)) = self.attributes.iter().find(|(name, _)| payment_type.attribute(name).is_none()) {
            let names: Vec<&str> = payment_type.attributes.iter().map(|known| known.name.as_str()).collect();
            let detail = format!(
                "payments of type {} have no attribute `{}`, expected {}",
                payment_type.name,
                shorten(name),
                one_of(&names)
            );
            return Err(Problem::new(ErrorCode::UnknownAttribute, detail).at(pointer(name)));
        }
        let mut values = Vec::with_capacity(payment_type.attributes.len());
        let mut parts = Vec::new();
        for attribute in &payment_type.attributes {
            let name = attribute.name.as_str();
            let given = self.attributes.iter().find(|(given, _)| given == name).map(|(_, value)| value);
            let Some(json) = given else {
                if attribute.required {
                    let detail = format!("payments of type {} need the attribute `{name}`", payment_type.name);
                    return Err(Problem::new(ErrorCode::MissingAttribute, detail).at(pointer(name)));
                }
                values.push(None);
                continue;
            };
            let value = value(attribute, json, entities).map_err(|unfit| {
                // An entity may be a person.
                let hidden = attribute.personal || matches!(attribute.kind, AttributeKind::Entity(_));
                let shown = || if hidden || self.are_opened { json.kind().to_owned() } else { json.found() };
                let found = unfit.fault.unwrap_or_else(shown);
                let detail = format!("found {found}, expected {}", unfit.expected);
                Problem::new(ErrorCode::InvalidAttribute, detail).at(pointer(name))
            })?;
            let owner = match &value {
                ParsedValue::Entity { kind, personal: true, value } => Some((kind.clone(), value.clone())),
                ParsedValue::Entity { .. } | ParsedValue::Plain(_) => None,
            };
            let is_entity = matches!(value, ParsedValue::Entity { .. });
            if attribute.personal || is_entity {
                parts.push(PartToSeal { name: attribute.name.clone(), is_entity, value: json_text(json), owner });
            }
            values.push(Some(value));
        }
        let subject = payment_type.subject.and_then(|subject| match values.get(subject.get()) {
            Some(Some(ParsedValue::Entity { kind, value, .. })) => Some((kind.clone(), value.clone())),
            _ => None,
        });
        let seal = (!parts.is_empty()).then_some(ToSeal { subject, parts });
        Ok((values, seal))
    }
}

impl fmt::Debug for PaymentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentRequest").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// A payment that matches the policy. Entity values are still in the clear. Its `Debug` form shows no attributes.
pub struct ParsedPayment {
    pub payment: PaymentId,
    /// The digest of the policy that it was checked against.
    pub policy: Digest,
    payment_type: PaymentTypeIdx,
    amount: Amount,
    occurred_at: Option<Timestamp>,
    /// One for each attribute of the payment type, in its order.
    attributes: Vec<Option<ParsedValue>>,
    /// What must not be stored in the clear, if anything.
    pub seal: Option<ToSeal>,
}

/// The value of an attribute, before an entity is replaced by its token.
pub enum ParsedValue {
    Plain(AttributeValue),
    Entity { kind: Name, personal: bool, value: Box<str> },
}

/// The personal attributes and entity values of a payment, which are to be sealed.
pub struct ToSeal {
    /// Kind and value of the entity whose key seals everything. Without one, the tenant's key does.
    pub subject: Option<(Name, Box<str>)>,
    /// In the order of the payment type's attributes.
    pub parts: Vec<PartToSeal>,
}

pub struct PartToSeal {
    /// The name of the attribute.
    pub name: Name,
    /// Whether the attribute is an entity.
    pub is_entity: bool,
    /// The value, a scalar, as JSON text.
    pub value: String,
    /// Kind and value, if this is a personal entity. Its own key seals the value once more, so that once that key is
    /// erased, no other key can recover the value.
    pub owner: Option<(Name, Box<str>)>,
}

impl ParsedPayment {
    /// The payment as the engine takes it. `content` is the keyed hash of [`PaymentRequest::canonical`], `sealed` is
    /// the sealed form of [`ParsedPayment::seal`], and `token` returns the token of an entity, given its kind, its
    /// value, and whether the kind is personal.
    pub fn tokenised<E>(
        self,
        content: Digest,
        sealed: Option<Sealed>,
        mut token: impl FnMut(&Name, &str, bool) -> Result<Token, E>,
    ) -> Result<NewPayment, E> {
        let mut tokenise = |value: Option<ParsedValue>| value.map(|value| value.tokenised(&mut token)).transpose();
        Ok(NewPayment {
            payment: self.payment,
            content,
            policy: self.policy,
            payment_type: self.payment_type,
            amount: self.amount,
            occurred_at: self.occurred_at,
            attributes: self.attributes.into_iter().map(&mut tokenise).collect::<Result<_, E>>()?,
            sealed,
        })
    }
}

impl ParsedValue {
    /// The value as the core sees it; `token` gives the token of an entity: kind, value, whether its kind is personal.
    ///
    /// # Errors
    /// Those of `token`.
    pub fn tokenised<E>(
        self,
        token: &mut impl FnMut(&Name, &str, bool) -> Result<Token, E>,
    ) -> Result<AttributeValue, E> {
        match self {
            Self::Plain(value) => Ok(value),
            Self::Entity { kind, personal, value } => {
                Ok(AttributeValue::Entity { token: token(&kind, &value, personal)?, text: value })
            }
        }
    }
}

impl fmt::Debug for ParsedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedValue").finish_non_exhaustive()
    }
}

impl fmt::Debug for ParsedPayment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedPayment").field("payment", &self.payment).finish_non_exhaustive()
    }
}

impl fmt::Debug for ToSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToSeal").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl fmt::Debug for PartToSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartToSeal").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The account that a policy opens from a template: one for each holder, or a single one.
#[derive(Debug)]
pub struct TemplateAccount<'p> {
    pub template: &'p policy::AccountTemplate,
    pub ledger: types::LedgerId,
    /// The entity kind of the holder and its normalised value, if the template has one account for each.
    pub holder: Option<(&'p Entity, Box<str>)>,
}

impl<'p> TemplateAccount<'p> {
    /// Finds a template. `holder` must be given if the template has one account for each holder, and only then.
    pub fn find(policy: &'p Policy, template: &str, holder: Option<&str>) -> Result<Self, Problem> {
        let Some(found) = policy.accounts().iter().find(|known| known.name.as_str() == template) else {
            let names: Vec<&str> = policy.accounts().iter().map(|known| known.name.as_str()).collect();
            let detail = format!("found `{}`, expected {}", shorten(template), one_of(&names));
            return Err(Problem::new(ErrorCode::UnknownAccountTemplate, detail).at("template"));
        };
        let holders = found.per.and_then(|entity| policy.entities().get(entity.get()));
        let ledger = policy.ledgers().get(found.ledger.get()).expect("POL-3: a template's ledger is declared").id;
        let invalid = |detail: String| Err(crate::parameters::invalid("holder", detail));
        match (holders, holder) {
            (Some(entity), None) => {
                invalid(format!("the template `{template}` has one account for each {}; name the holder", entity.name))
            }
            (None, Some(_)) => invalid(format!("the template `{template}` has a single account without a holder")),
            (Some(entity), Some(value)) => {
                let value = entity.normalise.apply(value);
                match entity_fault(&value) {
                    Some(fault) => invalid(format!("found {fault}, expected {ENTITY}")),
                    None => Ok(Self { template: found, ledger, holder: Some((entity, value.into())) }),
                }
            }
            (None, None) => Ok(Self { template: found, ledger, holder: None }),
        }
    }
}

const ENTITY: &str = "a string of 1 to 256 characters";

pub(crate) fn pointer(name: &str) -> String {
    format!("/attributes/{}", shorten(name).replace('~', "~0").replace('/', "~1"))
}

/// The attributes of a body sorted by name, without those that are null.
fn scalars(attributes: Json) -> Result<Vec<(String, Json)>, Problem> {
    let mut attributes = Fields::of(attributes, "/attributes".to_owned())?.rest();
    attributes.retain(|(_, value)| *value != Json::Null);
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in &attributes {
        let fault = match value {
            Json::Text(text) => text_fault(text, TEXT_BYTES_MAX),
            Json::List(_) | Json::Object(_) => Some(value.kind().to_owned()),
            Json::Null | Json::Bool(_) | Json::Number(_) => None,
        };
        if let Some(fault) = fault {
            let detail = format!("found {fault}, expected a string without control characters, a number or a boolean");
            return Err(Problem::new(ErrorCode::InvalidField, detail).at(pointer(name)));
        }
    }
    Ok(attributes)
}

/// The kind and the text of a scalar, as they are compared between requests.
fn canonical_scalar(value: &Json) -> (&'static [u8], String) {
    match value {
        Json::Text(text) => (b"text", text.clone()),
        Json::Bool(yes) => (b"bool", yes.to_string()),
        // 1, 1.0 and 1e0 are the same number, and so are 0 and -0.
        Json::Number(number) => match number.as_f64().filter(|_| !number.is_whole()) {
            Some(float) => (b"number", (float + 0.0).to_string()),
            None if number.as_i64() == Some(0) => (b"number", "0".to_owned()),
            None => (b"number", number.as_str().to_owned()),
        },
        Json::Null | Json::List(_) | Json::Object(_) => unreachable!("API-1: attributes are scalars"),
    }
}

/// A scalar as JSON text, with numbers as `serde_json` writes them.
fn json_text(value: &Json) -> String {
    match value {
        Json::Text(text) => serde_json::to_string(text).expect("a text is JSON"),
        Json::Bool(yes) => yes.to_string(),
        Json::Number(number) => {
            let number: serde_json::Number =
                serde_json::from_str(number.as_str()).expect("the value of an attribute is a number of 64 bits");
            number.to_string()
        }
        Json::Null | Json::List(_) | Json::Object(_) => unreachable!("API-1: attributes are scalars"),
    }
}

/// A value as it arrived: JSON in a request, or a cell of a file. Each method returns the value if it can be read as
/// that type.
pub trait Given {
    /// How a time must be written, for error messages.
    const TIME: &'static str;

    fn text(&self) -> Option<Cow<'_, str>>;
    fn int(&self) -> Option<i64>;
    fn double(&self) -> Option<f64>;
    fn bool(&self) -> Option<bool>;
    fn time(&self) -> Option<Timestamp>;
}

/// Why an attribute cannot have a value.
#[derive(Debug)]
pub struct Unfit {
    /// What is wrong with a text; `None` if the value is of another type.
    pub fault: Option<String>,
    /// What the attribute accepts.
    pub expected: Cow<'static, str>,
}

impl Given for Json {
    const TIME: &'static str = "a string with an RFC 3339 time between 1970 and 2262";

    fn text(&self) -> Option<Cow<'_, str>> {
        self.as_text().map(Cow::Borrowed)
    }

    fn int(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    fn double(&self) -> Option<f64> {
        self.as_number().and_then(Number::as_f64)
    }

    fn bool(&self) -> Option<bool> {
        self.as_bool()
    }

    fn time(&self) -> Option<Timestamp> {
        self.as_text()?.parse().ok()
    }
}

/// Why a text cannot be the value of an entity.
pub(crate) fn entity_fault(text: &str) -> Option<String> {
    let chars = text.chars().count();
    match chars {
        0 => Some("an empty string".to_owned()),
        1..=ENTITY_CHARS_MAX => text_fault(text, usize::MAX),
        _ => Some(format!("a string of {chars} characters")),
    }
}

/// Reads the value of an attribute. Errors name kinds and lengths, never a text.
///
/// # Errors
/// If the attribute cannot have this value.
pub fn value<G: Given>(attribute: &Attribute, given: &G, entities: &[Entity]) -> Result<ParsedValue, Unfit> {
    let other = |expected: &'static str| Unfit { fault: None, expected: expected.into() };
    let text = |expected: &Cow<'static, str>, fault: &dyn Fn(&str) -> Option<String>| match given.text() {
        None => Err(Unfit { fault: None, expected: expected.clone() }),
        Some(text) => match fault(&text) {
            None => Ok(text),
            Some(fault) => Err(Unfit { fault: Some(fault), expected: expected.clone() }),
        },
    };
    let plain = match attribute.kind {
        AttributeKind::Text { chars_max } => {
            let too_long = |text: &str| {
                let chars = text.chars().count();
                (chars > usize::from(chars_max)).then(|| format!("a string of {chars} characters"))
            };
            let fault = |text: &str| too_long(text).or_else(|| text_fault(text, usize::MAX));
            AttributeValue::Text(text(&format!("a string of at most {chars_max} characters").into(), &fault)?.into())
        }
        AttributeKind::Int => {
            AttributeValue::Int(given.int().ok_or_else(|| other("a whole number from -2^63 to 2^63 - 1"))?)
        }
        AttributeKind::Double => given.double().and_then(AttributeValue::double).ok_or_else(|| other("a number"))?,
        AttributeKind::Bool => AttributeValue::Bool(given.bool().ok_or_else(|| other("true or false"))?),
        AttributeKind::Time => {
            let fault = || given.text().map(|_| "a string of another form".to_owned());
            let unfit = || Unfit { fault: fault(), expected: G::TIME.into() };
            AttributeValue::Time(given.time().ok_or_else(unfit)?)
        }
        AttributeKind::Account => {
            let expected = Cow::Borrowed("a string with the id of an account");
            let id = text(&expected, &|_| None)?.parse();
            let fault = Some("a string of another form".to_owned());
            AttributeValue::Account(id.map_err(|_no_id: types::IdParseError| Unfit { fault, expected })?)
        }
        AttributeKind::Entity(entity) => {
            let entity = entities.get(entity.get()).expect("POL-3: an attribute's entity kind is declared");
            let fault = |text: &str| entity_fault(text).or_else(|| entity_fault(&entity.normalise.apply(text)));
            let value = entity.normalise.apply(&text(&ENTITY.into(), &fault)?).into();
            return Ok(ParsedValue::Entity { kind: entity.name.clone(), personal: entity.personal, value });
        }
    };
    Ok(ParsedValue::Plain(plain))
}
