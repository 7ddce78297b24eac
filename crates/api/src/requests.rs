//! Bodies of requests about the ledger and about payments that exist, read into what the engine takes.

use engine::Command;
use ledger::{AccountFlags, NewAccount, NewTransfer, TransferFlags, TransferKey};
use types::{AccountId, Amount, Asset, Code, LedgerId, Name, PaymentId, RequestId, TransferId};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::identity::IdSource;
use crate::json::{Fields, Json, one_of, shorten};
use crate::problem::Problem;

/// A ledger to open.
#[derive(Debug, ToSchema)]
#[schema(as = NewLedger)]
pub struct LedgerBody {
    /// Its number, chosen by the client, not 0.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub id: u32,
    /// What it counts, with its scale.
    #[schema(example = "EUR/2")]
    pub asset: String,
}

/// An account to open. `id` is given here, or derived from the header `Idempotency-Key`.
#[derive(Debug, ToSchema)]
#[schema(as = NewAccount)]
pub struct AccountBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The ledger it stands in.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: u32,
    /// The client's classification, not 0.
    #[schema(minimum = 1, example = 10)]
    pub code: u16,
    /// What it is allowed to do: `debits_must_not_exceed_credits`, `credits_must_not_exceed_debits`, `history`,
    /// `policy_only`, `closed`.
    #[schema(example = json!(["debits_must_not_exceed_credits"]))]
    pub flags: Option<Vec<String>>,
    /// Free for the client: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// Free for the client: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// Free for the client.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
}

/// A transfer to make. `id` is given here, or derived from the header `Idempotency-Key`. A transfer that posts or voids
/// a pending one names it in `pending_id`, and may leave out what it inherits: accounts, ledger, asset, code; one that
/// voids may leave out the amount too.
#[derive(Debug, ToSchema)]
#[schema(as = NewTransfer)]
pub struct TransferBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// The account the amount leaves.
    pub debit_account: Option<String>,
    /// The account the amount reaches.
    pub credit_account: Option<String>,
    /// Minor units; `max` in a post means all that is pending, in a balancing transfer all that there is.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// What the amount counts; it must be the ledger's.
    #[schema(example = "EUR/2")]
    pub asset: Option<String>,
    /// The ledger of both accounts; the debit account's when it is not given.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: Option<u32>,
    /// The client's classification, not 0.
    #[schema(minimum = 1, example = 1)]
    pub code: Option<u16>,
    /// What it does: `pending`, `post_pending_transfer`, `void_pending_transfer`, `balancing_debit`,
    /// `balancing_credit`, `closing_debit`, `closing_credit`.
    #[schema(example = json!(["pending"]))]
    pub flags: Option<Vec<String>>,
    /// The pending transfer to post or void.
    pub pending_id: Option<String>,
    /// A pending transfer expires after so many seconds; never when it is not given.
    #[schema(format = Int64, minimum = 1)]
    pub timeout_s: Option<u32>,
    /// Free for the client: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// Free for the client: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// Free for the client.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
}

/// What a payment turned out to be.
#[derive(Debug, ToSchema)]
#[schema(as = NewLabel)]
pub struct LabelBody {
    /// The payment.
    pub payment: String,
    /// What it was, such as `fraud`. The policy says which labels count as positive.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "fraud")]
    pub label: String,
}

/// A verb on a payment says everything in its path; the body is empty or `{}`.
#[derive(Debug, ToSchema)]
#[schema(as = NoFields)]
pub struct VerbBody {}

/// A command and the id that makes a retry of it recognisable.
#[derive(Debug, Clone)]
pub struct Parsed<T = Command> {
    /// For [`engine::Request::id`].
    pub request: RequestId,
    /// What is asked.
    pub command: T,
}

/// The flags that mean something for one transfer or account alone; the others belong to batches.
const ALONE: [&str; 2] = ["linked", "imported"];

/// Reads `POST /v1/ledgers`.
pub fn ledger(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed, Problem> {
    let mut fields = Fields::of_body(body, &["id", "asset"])?;
    let id = LedgerId::new(fields.required("id", |fields, name| fields.number(name, 1, u32::MAX))?);
    let asset: Asset = fields.required("asset", |fields, name| fields.parsed(name, ASSET))?;
    let request = source.named("/v1/ledgers", &id.to_string());
    Ok(Parsed { request, command: Command::OpenLedger { id, asset } })
}

/// Reads `POST /v1/accounts`.
pub fn account(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed, Problem> {
    const KNOWN: &[&str] = &["id", "ledger", "code", "flags", "user_data_128", "user_data_64", "user_data_32"];
    let mut fields = Fields::of_body(body, KNOWN)?;
    let id: AccountId = source.id("/v1/accounts", &mut fields)?;
    let known: Vec<_> = AccountFlags::ALL.iter().copied().filter(|(name, _)| !ALONE.contains(name)).collect();
    let flags = flags(&mut fields, &known)?;
    let new = NewAccount {
        id,
        ledger: LedgerId::new(fields.required("ledger", |fields, name| fields.number(name, 1, u32::MAX))?),
        code: fields.required("code", code)?,
        user_data_128: user_data_128(&mut fields)?,
        user_data_64: user_data_64(&mut fields)?,
        user_data_32: fields.number("user_data_32", 0, u32::MAX)?.unwrap_or_default(),
        flags: flags.into_iter().fold(AccountFlags::NONE, AccountFlags::with),
        ..NewAccount::default()
    };
    Ok(Parsed { request: RequestId::new(id.get()), command: Command::OpenAccount(new) })
}

/// A transfer as far as its own body tells.
#[derive(Debug, Clone, Copy)]
pub struct TransferRequest {
    new: NewTransfer,
    asset: Option<Asset>,
}

/// Where the ledger of a transfer is looked up when its body does not name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerSource {
    /// It is this one.
    Given(LedgerId),
    /// That of an account.
    Account(AccountId),
    /// That of a transfer.
    Transfer(TransferId),
}

/// Reads `POST /v1/transfers`.
pub fn transfer(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<TransferRequest>, Problem> {
    const KNOWN: &[&str] = &[
        "id",
        "debit_account",
        "credit_account",
        "amount",
        "asset",
        "ledger",
        "code",
        "flags",
        "pending_id",
        "timeout_s",
        "user_data_128",
        "user_data_64",
        "user_data_32",
    ];
    let mut fields = Fields::of_body(body, KNOWN)?;
    let id: TransferId = source.id("/v1/transfers", &mut fields)?;
    let known: Vec<_> = TransferFlags::ALL.iter().copied().filter(|(name, _)| !ALONE.contains(name)).collect();
    let flags = flags(&mut fields, &known)?.into_iter().fold(TransferFlags::NONE, TransferFlags::with);
    let voids = flags.contains(TransferFlags::VOID_PENDING_TRANSFER);
    let resolves = voids || flags.contains(TransferFlags::POST_PENDING_TRANSFER);
    let amount = transfer_amount(&mut fields, flags)?;
    let asset = fields.parsed("asset", ASSET)?;
    let debit: Option<AccountId> = fields.parsed("debit_account", ID)?;
    let credit: Option<AccountId> = fields.parsed("credit_account", ID)?;
    let code = code(&mut fields, "code")?;
    let needed = [
        ("amount", amount.is_none() && !voids),
        ("asset", asset.is_none() && !resolves),
        ("debit_account", debit.is_none() && !resolves),
        ("credit_account", credit.is_none() && !resolves),
        ("code", code.is_none() && !resolves),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, missing)| *missing) {
        return fields.required(name, |_, _| Ok(None));
    }
    let new = NewTransfer {
        debit: debit.unwrap_or_default(),
        credit: credit.unwrap_or_default(),
        amount: amount.unwrap_or_default(),
        pending: fields.parsed("pending_id", ID)?.map(TransferKey::Client),
        user_data_128: user_data_128(&mut fields)?,
        user_data_64: user_data_64(&mut fields)?,
        user_data_32: fields.number("user_data_32", 0, u32::MAX)?.unwrap_or_default(),
        timeout_s: fields.number("timeout_s", 1, u32::MAX)?.unwrap_or_default(),
        ledger: fields.number("ledger", 1, u32::MAX)?.map(LedgerId::new).unwrap_or_default(),
        code: code.unwrap_or_default(),
        flags,
        ..NewTransfer::named(TransferKey::Client(id))
    };
    Ok(Parsed { request: RequestId::new(id.get()), command: TransferRequest { new, asset } })
}

impl TransferRequest {
    /// Where to look for the transfer's ledger: for its number when the body leaves it out, for its asset always.
    pub fn ledger(&self) -> LedgerSource {
        let inherits = TransferFlags::POST_PENDING_TRANSFER | TransferFlags::VOID_PENDING_TRANSFER;
        match self.new.pending {
            _ if self.new.ledger != LedgerId::default() => LedgerSource::Given(self.new.ledger),
            Some(TransferKey::Client(pending)) if self.new.flags.intersects(inherits) => {
                LedgerSource::Transfer(pending)
            }
            _ => LedgerSource::Account(self.new.debit),
        }
    }

    /// The command, given what was found there; `None` when there is nothing, and the engine will say what is missing.
    pub fn in_ledger(mut self, found: Option<(LedgerId, Asset)>) -> Result<Command, Problem> {
        if let (Some((ledger, actual)), Some(given)) = (found, self.asset) {
            check_asset(given, actual, ledger)?;
        }
        if matches!(self.ledger(), LedgerSource::Account(_)) {
            // Any number but 0 will do when the account is not found: the engine misses the account first.
            self.new.ledger = found.map_or(LedgerId::new(1), |(ledger, _)| ledger);
        }
        Ok(Command::CreateTransfer(self.new))
    }
}

/// Refuses an amount that is in another asset than its ledger.
pub(crate) fn check_asset(given: Asset, actual: Asset, ledger: LedgerId) -> Result<(), Problem> {
    if given == actual {
        return Ok(());
    }
    let detail = format!("found {given}, ledger {ledger} is in {actual}");
    Err(Problem::new(ErrorCode::AssetMismatch, detail).at("/asset"))
}

/// Reads `POST /v1/labels`.
pub fn label(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed, Problem> {
    let mut fields = Fields::of_body(body, &["payment", "label"])?;
    let payment: PaymentId = fields.required("payment", |fields, name| fields.parsed(name, ID))?;
    let label: Name = fields.required("label", |fields, name| fields.parsed(name, "a string with a label"))?;
    let request = source.named("/v1/labels", &format!("{payment}/{label}"));
    Ok(Parsed { request, command: Command::RecordLabel { payment, label } })
}

/// Reads the body of a verb on a payment: nothing, or an object without fields.
pub fn verb(body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    Fields::of_body(body, &[]).map(drop)
}

/// Reads an id in a path.
pub fn path_id<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| crate::parameters::invalid("id", error.to_string()))
}

/// Reads the number of a ledger, in a path or a parameter called `name`.
pub fn ledger_id(name: &str, text: &str) -> Result<LedgerId, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0).map(LedgerId::new).ok_or_else(|| {
        let detail = format!("found `{}`, expected a ledger's number, from 1 to {}", shorten(text), u32::MAX);
        crate::parameters::invalid(name, detail)
    })
}

pub(crate) const ID: &str = "a string with a hyphenated UUID or a 128-bit decimal";
pub(crate) const ASSET: &str = "a string with an asset and its scale, such as \"EUR/2\"";
pub(crate) const AMOUNT: &str = "a string with a whole number of minor units, such as \"1250\"";

fn transfer_amount(fields: &mut Fields, flags: TransferFlags) -> Result<Option<Amount>, Problem> {
    let Some(text) = fields.text("amount", AMOUNT, 64)? else { return Ok(None) };
    if text != "max" {
        return text
            .parse()
            .map(Some)
            .map_err(|error: types::AmountParseError| fields.invalid("amount", error.to_string()));
    }
    let open_ended =
        TransferFlags::POST_PENDING_TRANSFER | TransferFlags::BALANCING_DEBIT | TransferFlags::BALANCING_CREDIT;
    if flags.intersects(open_ended) {
        return Ok(Some(Amount::MAX));
    }
    let detail = "`max` is for transfers with the flag post_pending_transfer, balancing_debit or balancing_credit";
    Err(fields.invalid("amount", detail))
}

fn code(fields: &mut Fields, name: &str) -> Result<Option<Code>, Problem> {
    let number = fields.number(name, 1, u32::from(u16::MAX))?;
    Ok(number.and_then(|number| u16::try_from(number).ok()).map(Code::new))
}

fn user_data_128(fields: &mut Fields) -> Result<u128, Problem> {
    const EXPECTED: &str = "a string with a decimal below 2^128 or a hyphenated UUID";
    let Some(text) = fields.text("user_data_128", EXPECTED, 64)? else { return Ok(0) };
    let decimal = || text.parse::<Amount>().ok().map(Amount::get);
    let uuid = || text.parse::<TransferId>().ok().map(TransferId::get);
    decimal()
        .or_else(uuid)
        .ok_or_else(|| fields.invalid("user_data_128", format!("found `{}`, expected {EXPECTED}", shorten(&text))))
}

fn user_data_64(fields: &mut Fields) -> Result<u64, Problem> {
    const EXPECTED: &str = "a string with a decimal below 2^64";
    let Some(text) = fields.text("user_data_64", EXPECTED, 64)? else { return Ok(0) };
    let decimal = text.parse::<Amount>().ok().and_then(|number| u64::try_from(number.get()).ok());
    decimal.ok_or_else(|| fields.invalid("user_data_64", format!("found `{}`, expected {EXPECTED}", shorten(&text))))
}

/// The flags of a list of names, each given once.
fn flags<F: Copy + PartialEq>(fields: &mut Fields, known: &[(&str, F)]) -> Result<Vec<F>, Problem> {
    let expected = || {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        one_of(&names)
    };
    let list = match fields.take("flags") {
        None => return Ok(Vec::new()),
        Some(Json::List(list)) => list,
        Some(other) => return Err(fields.invalid("flags", format!("found {}, expected an array", other.kind()))),
    };
    let mut found: Vec<F> = Vec::new();
    for (position, item) in list.iter().enumerate() {
        let complain = |detail| Problem::new(ErrorCode::InvalidField, detail).at(format!("/flags/{position}"));
        let Json::Text(text) = item else {
            return Err(complain(format!("found {}, expected {}", item.kind(), expected())));
        };
        match known.iter().find(|(name, _)| name == text) {
            None => return Err(complain(format!("found `{}`, expected {}", shorten(text), expected()))),
            Some((_, flag)) if found.contains(flag) => return Err(complain(format!("`{text}` is given twice"))),
            Some((_, flag)) => found.push(*flag),
        }
    }
    Ok(found)
}
