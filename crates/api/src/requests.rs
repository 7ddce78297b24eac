//! Parses the bodies of requests about ledgers, labels and verbs, and the ids in paths.

use engine::{ChangePayment, OpenLedger, Portion, RecordLabel, VERBS_MAX, Verb};
use types::{Amount, Asset, LedgerId, Name, PaymentId, RequestId};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::identity::{IdSource, IdempotencyKey};
use crate::json::{Fields, Json, one_of, shorten};
use crate::problem::Problem;

/// A ledger to open.
#[derive(Debug, ToSchema)]
#[schema(as = NewLedger)]
pub struct LedgerBody {
    /// The number of the ledger, chosen by the client; not 0.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub id: u32,
    /// The asset that the ledger counts, with its scale: amounts of `EUR/2` are in euro cents.
    #[schema(example = "EUR/2")]
    pub asset: String,
}

/// What a payment turned out to be.
#[derive(Debug, ToSchema)]
#[schema(as = NewLabel)]
pub struct LabelBody {
    /// The id of the payment.
    pub payment: String,
    /// What it was, such as `fraud`. The labels that the policy lists under `[labels]` count as positive, by default
    /// `fraud` and `chargeback`. Every other label counts as negative, even one that the policy does not know, such as a
    /// misspelt one.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "fraud")]
    pub label: String,
}

/// An empty body or `{}`, because the path of the request says everything.
#[derive(Debug, ToSchema)]
#[schema(as = NoFields)]
pub struct VerbBody {}

/// How much of a payment to void or refund. The body may be empty.
#[derive(Debug, ToSchema)]
#[schema(as = Portion)]
pub struct PortionBody {
    /// The amount in minor units, at least 1. By default all that is left: what is held, or what is captured and not refunded.
    #[schema(example = "1250")]
    pub amount: Option<String>,
}

/// How much of a payment to capture. The body may be empty.
#[derive(Debug, ToSchema)]
#[schema(as = CapturePortion)]
pub struct CaptureBody {
    /// The amount in minor units, at least 1. By default all that is held.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// Whether the capture is the last one, so that what it leaves of the hold is released. By default, the rest stays held. It
    /// changes nothing without an amount.
    #[schema(default = false)]
    pub r#final: Option<bool>,
}

/// By how much to raise what a payment holds.
#[derive(Debug, ToSchema)]
#[schema(as = Increment)]
pub struct IncrementBody {
    /// The amount to add, in minor units, at least 1. With what was authorised before, it must be below 2^128.
    #[schema(example = "1250")]
    pub amount: String,
}

/// A batch of verbs.
#[derive(Debug, ToSchema)]
#[schema(as = PaymentVerbs)]
pub struct VerbsBody {
    /// 1 to 1000 verbs, on one or several payments. They take effect in this order, one after another.
    pub verbs: Vec<VerbItem>,
}

/// A verb on a payment, in a batch.
#[derive(Debug, ToSchema)]
#[schema(as = PaymentVerb)]
pub struct VerbItem {
    /// The id of the payment.
    pub payment: String,
    /// What to do: `approve`, `decline`, `capture`, `void` or `refund`. The first two also need the scope `reviews:write`. An
    /// increment is sent alone, because the policy decides it.
    #[schema(example = "capture")]
    pub verb: String,
    /// What the header `Idempotency-Key` is for a verb that is sent alone: 1 to 255 visible ASCII characters. A retry with the
    /// same key changes nothing, whether it is sent alone or in a batch.
    pub idempotency_key: String,
    /// The amount in minor units, at least 1. By default all that is left. Not for `approve` and `decline`.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// Whether a capture is the last one, so that what it leaves of the hold is released. Only for `capture`.
    #[schema(default = false)]
    pub r#final: Option<bool>,
}

/// A parsed operation, and the id by which the server recognises a retry.
#[derive(Debug, Clone)]
pub struct Parsed<O> {
    /// For [`engine::Request::id`].
    pub request: RequestId,
    pub operation: O,
}

/// Parses the body of `POST /v1/ledgers`.
pub fn ledger(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<OpenLedger>, Problem> {
    let mut fields = Fields::of_body(body, &["id", "asset"])?;
    let id = LedgerId::new(fields.required("id", |fields, name| fields.number(name, 1, u32::MAX))?);
    let asset: Asset = fields.required("asset", |fields, name| fields.parsed(name, ASSET))?;
    let request = source.named("/v1/ledgers", &id.to_string());
    Ok(Parsed { request, operation: OpenLedger { id, asset } })
}

/// Rejects an amount whose asset is not the asset of the ledger.
pub(crate) fn check_asset(given: Asset, actual: Asset, ledger: LedgerId) -> Result<(), Problem> {
    if given == actual {
        return Ok(());
    }
    let detail = format!("found {given}, but ledger {ledger} has the asset {actual}");
    Err(Problem::new(ErrorCode::AssetMismatch, detail).at("/asset"))
}

/// Parses the body of `POST /v1/labels`.
pub fn label(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<RecordLabel>, Problem> {
    let mut fields = Fields::of_body(body, &["payment", "label"])?;
    let payment: PaymentId = fields.required("payment", |fields, name| fields.parsed(name, ID))?;
    let label: Name = fields.required("label", |fields, name| fields.parsed(name, "a string with a label"))?;
    let request = source.named("/v1/labels", &format!("{payment}/{label}"));
    Ok(Parsed { request, operation: RecordLabel { payment, label } })
}

/// Parses the body of a verb on a payment: nothing, or how much of the payment it is about.
pub fn portion(verb: Verb, body: &[u8]) -> Result<Portion, Problem> {
    if body.is_empty() {
        return Ok(Portion::All);
    }
    portion_of(&mut Fields::of_body(body, portion_fields(verb))?)
}

/// The fields that say how much of a payment a verb is about.
const fn portion_fields(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Approve | Verb::Decline => &[],
        Verb::Capture => &["amount", "final"],
        Verb::Void | Verb::Refund | Verb::Increment => &["amount"],
    }
}

/// Parses the body of an increment.
pub fn increment(body: &[u8]) -> Result<Amount, Problem> {
    let mut fields = Fields::of_body(body, portion_fields(Verb::Increment))?;
    let amount = fields.required("amount", |fields, name| fields.parsed(name, AMOUNT))?;
    if amount == Amount::ZERO {
        return Err(fields.invalid("amount", "found 0, expected at least 1 minor unit"));
    }
    Ok(amount)
}

fn portion_of(fields: &mut Fields) -> Result<Portion, Problem> {
    let (amount, is_last) = (fields.parsed("amount", AMOUNT)?, fields.flag("final")?);
    match amount {
        None => Ok(Portion::All),
        Some(Amount::ZERO) => Err(fields.invalid("amount", "found 0, expected at least 1 minor unit")),
        Some(amount) if is_last => Ok(Portion::Last(amount)),
        Some(amount) => Ok(Portion::Part(amount)),
    }
}

/// Parses the body of `POST /v1/payments/verbs/batch`.
pub fn verbs(source: &IdSource<'_>, body: &[u8]) -> Result<Vec<Parsed<ChangePayment>>, Problem> {
    let list = Fields::of_body(body, &["verbs"])?.list("verbs", VERBS_MAX)?;
    let item = |(place, value): (usize, Json)| {
        let known = &["payment", "verb", "idempotency_key", "amount", "final"];
        let mut fields = Fields::of(value, format!("/verbs/{place}"))?.among(known)?;
        let payment = fields.required("payment", |fields, name| fields.parsed(name, ID))?;
        let verb = fields.required("verb", verb_named)?;
        let key: IdempotencyKey = fields.required("idempotency_key", |fields, name| fields.parsed(name, KEY))?;
        let unfit =
            ["amount", "final"].into_iter().find(|name| fields.has(name) && !portion_fields(verb).contains(name));
        if let Some(name) = unfit {
            return Err(fields.invalid(name, format!("the verb `{}` takes no `{name}`", verb.name())));
        }
        let portion = portion_of(&mut fields)?;
        Ok(Parsed { request: source.verb_with(&key), operation: ChangePayment { payment, verb, portion } })
    };
    list.into_iter().enumerate().map(item).collect()
}

fn verb_named(fields: &mut Fields, name: &str) -> Result<Option<Verb>, Problem> {
    // The policy decides an increment, so it is not one of many.
    let in_batches = || Verb::ALL.into_iter().filter(|verb| *verb != Verb::Increment);
    let names: Vec<&str> = in_batches().map(Verb::name).collect();
    let expected = one_of(&names);
    let Some(text) = fields.text(name, &expected, NAME_BYTES_MAX)? else { return Ok(None) };
    let verb = in_batches().find(|verb| verb.name() == text);
    verb.map(Some).ok_or_else(|| fields.invalid(name, format!("found `{}`, expected {expected}", shorten(&text))))
}

/// Parses the body of a request whose path says everything: nothing, or an object without fields.
pub fn verb(body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    Fields::of_body(body, &[]).map(drop)
}

/// Parses an id in a path.
pub fn path_id<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| crate::parameters::invalid("id", error.to_string()))
}

/// Parses the number of a ledger, in a path or in the parameter `name`.
pub fn ledger_id(name: &str, text: &str) -> Result<LedgerId, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0).map(LedgerId::new).ok_or_else(|| {
        let detail = format!("found `{}`, expected the number of a ledger, from 1 to {}", shorten(text), u32::MAX);
        crate::parameters::invalid(name, detail)
    })
}

/// No name of a verb is this long.
const NAME_BYTES_MAX: usize = 64;
const KEY: &str = "a string of 1 to 255 visible ASCII characters";
pub(crate) const ID: &str = "a string with a hyphenated UUID or a 128-bit decimal";
pub(crate) const ASSET: &str = "a string with an asset and its scale, such as \"EUR/2\"";
pub(crate) const AMOUNT: &str = "a string with a whole number of minor units, such as \"1250\"";
