//! Four eyes: parses the rules and the proposals, and renders them.

use std::collections::BTreeMap;

use engine::{
    ApprovalRules, ApprovalRulesReply, Demand, PROPOSAL_LIFETIME_MAX, Proposable, ProposalReply, ProposalStatus,
    Propose, Proposed, REASON_BYTES_MAX, REVERSAL_BOUNDS_MAX, SetApprovalRules, SetLimits, reversal_id,
};
use serde::Serialize;
use types::{Amount, Asset, ImportId, ProposalId, RequestId, Span, TransferId};
use utoipa::ToSchema;

use crate::changes::limits_of;
use crate::errors::ErrorCode;
use crate::identity::IdSource;
use crate::json::{Fields, one_of, shorten};
use crate::orders;
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;
use crate::requests::{AMOUNT, ID, Parsed};
use crate::responses::{Assets, Transfer, Unknown};

/// How long a proposal is open if the client does not say.
const LIFETIME_DEFAULT_S: u32 = 24 * 3_600;
/// The longest time for which a proposal is open: 30 days.
const LIFETIME_MAX_S: u32 = 30 * 24 * 3_600;
const _: () = assert!(PROPOSAL_LIFETIME_MAX.ns() == Span::from_secs(LIFETIME_MAX_S as u64).ns());

/// Which operations need the approval of a second principal. The rules replace earlier ones.
#[derive(Debug, ToSchema)]
#[schema(as = NewApprovalRules)]
pub struct ApprovalRulesBody {
    /// For limits on the balance of an account: `direct` (the default) or `approval`.
    #[schema(example = "approval")]
    pub limits: Option<String>,
    /// For opening an import: `direct` (the default) or `approval`.
    #[schema(example = "approval")]
    pub imports: Option<String>,
    /// For each asset the most, in minor units, that a reversal moves without an approval. Reversals in other assets need none.
    #[schema(example = json!({"EUR/2": "100000"}))]
    pub reversals_above: Option<BTreeMap<String, String>>,
}

/// An operation that another principal is to approve: exactly one of `transfer`, `set_limits`, `reverse`, `open_import` and
/// `approval_rules`. The client gives `id` here, or sends the header `Idempotency-Key`, from which the server derives the id.
#[derive(Debug, ToSchema)]
#[schema(as = NewProposal)]
pub struct ProposalBody {
    /// A hyphenated UUID or a 128-bit decimal.
    pub id: Option<String>,
    /// A transfer, also on accounts that are `policy_only`.
    pub transfer: Option<ProposedTransferBody>,
    /// Limits on the balance of an account, which replace earlier ones.
    pub set_limits: Option<ProposedLimitsBody>,
    /// The reversal of a transfer.
    pub reverse: Option<ProposedReversalBody>,
    /// The opening of an import.
    pub open_import: Option<ProposedImportBody>,
    /// Rules that say which operations need an approval.
    pub approval_rules: Option<ApprovalRulesBody>,
    /// Why, for people to read: at most 512 bytes, and no personal data, because it is not encrypted.
    #[schema(example = "wrong account, ticket 4711")]
    pub reason: Option<String>,
    /// The seconds for which the proposal can be approved, at most 2592000 (30 days). Default: 86400 (a day).
    #[schema(format = Int64, minimum = 1, maximum = 2_592_000, example = 86_400)]
    pub expires_in_s: Option<u32>,
}

/// A transfer that is made when it is approved: like a new transfer, without what has a time of its own and without metadata,
/// which is set afterwards.
#[derive(Debug, ToSchema)]
#[schema(as = NewProposedTransfer)]
pub struct ProposedTransferBody {
    /// A hyphenated UUID or a 128-bit decimal. Without it, the transfer gets the id of the proposal.
    pub id: Option<String>,
    /// The account that the amount leaves: its id or its address.
    pub debit_account: Option<String>,
    /// The account that the amount reaches: its id or its address.
    pub credit_account: Option<String>,
    /// The amount in minor units, or `max`: everything that is pending if this transfer posts, and everything that is
    /// available if it is a balancing transfer.
    #[schema(example = "1250")]
    pub amount: Option<String>,
    /// The asset of the amount. It must be the asset of the ledger.
    #[schema(example = "EUR/2")]
    pub asset: Option<String>,
    /// The number of the ledger of both accounts. Without it, the ledger of the debit account applies.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: Option<u32>,
    /// The client's classification; not 0.
    #[schema(minimum = 1, example = 1)]
    pub code: Option<u16>,
    /// What the transfer does: `pending`, `post_pending_transfer`, `void_pending_transfer`, `balancing_debit`,
    /// `balancing_credit`, `closing_debit` or `closing_credit`.
    #[schema(example = json!(["pending"]))]
    pub flags: Option<Vec<String>>,
    /// The pending transfer to post or void.
    pub pending_id: Option<String>,
    /// The seconds after which a pending transfer expires. Without it, the transfer never expires.
    #[schema(format = Int64, minimum = 1)]
    pub timeout_s: Option<u32>,
    /// For the client's own use: a decimal below 2^128 or a hyphenated UUID.
    pub user_data_128: Option<String>,
    /// For the client's own use: a decimal below 2^64.
    pub user_data_64: Option<String>,
    /// For the client's own use.
    #[schema(format = Int64)]
    pub user_data_32: Option<u32>,
}

/// Limits on the balance of an account.
#[derive(Debug, ToSchema)]
#[schema(as = NewProposedLimits)]
pub struct ProposedLimitsBody {
    /// The account: its id or its address.
    pub account: String,
    /// The minimum in minor units; without it, there is none.
    #[schema(example = "-50000")]
    pub min_balance: Option<String>,
    /// The maximum in minor units; without it, there is none.
    #[schema(example = "100000")]
    pub max_balance: Option<String>,
}

/// The reversal of a transfer.
#[derive(Debug, ToSchema)]
#[schema(as = NewProposedReversal)]
pub struct ProposedReversalBody {
    /// The id of the transfer to reverse.
    pub transfer: String,
}

/// The opening of an import.
#[derive(Debug, ToSchema)]
#[schema(as = NewProposedImport)]
pub struct ProposedImportBody {
    /// The id of the import.
    pub import: String,
}

/// Which operations need the approval of a second principal.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ApprovalRules)]
pub struct Rules {
    /// For limits on the balance of an account: `direct` or `approval`.
    #[schema(example = "approval")]
    limits: &'static str,
    /// For opening an import: `direct` or `approval`.
    #[schema(example = "approval")]
    imports: &'static str,
    /// For each asset the most, in minor units, that a reversal moves without an approval. Reversals in other assets need none.
    #[schema(example = json!({"EUR/2": "100000"}))]
    reversals_above: BTreeMap<String, String>,
}

impl From<&ApprovalRules> for Rules {
    fn from(rules: &ApprovalRules) -> Self {
        let ApprovalRules { limits, imports, reversals_above } = rules;
        let bound = |(asset, bound): (&Asset, &Amount)| (asset.to_string(), bound.to_string());
        Self {
            limits: limits.name(),
            imports: imports.name(),
            reversals_above: reversals_above.iter().map(bound).collect(),
        }
    }
}

impl From<&ApprovalRulesReply> for Rules {
    fn from(reply: &ApprovalRulesReply) -> Self {
        Self::from(&reply.rules)
    }
}

/// What is proposed; the field with the name of the operation says what it would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProposedOperation {
    /// The name of the operation: `transfer`, `set_limits`, `reverse`, `open_import` or `approval_rules`.
    #[schema(example = "transfer")]
    operation: &'static str,
    /// The transfer that an approval makes. An amount of `max` stands for everything that is pending or available.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<Box<Transfer>>,
    /// The limits that an approval sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_limits: Option<ProposedLimits>,
    /// The transfer that an approval reverses.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse: Option<ProposedReversal>,
    /// The import that an approval opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_import: Option<ProposedImport>,
    /// The rules that an approval sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_rules: Option<Rules>,
}

/// Limits on the balance of an account, in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProposedLimits {
    /// The id of the account.
    account: String,
    /// The minimum; null if there is none.
    #[schema(required)]
    min_balance: Option<String>,
    /// The maximum; null if there is none.
    #[schema(required)]
    max_balance: Option<String>,
}

/// The reversal of a transfer.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProposedReversal {
    /// The id of the transfer to reverse.
    transfer: String,
    /// The id of the transfer that reverses it.
    reversal: String,
}

/// The opening of an import.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProposedImport {
    /// The id of the import.
    import: String,
}

impl ProposedOperation {
    /// # Errors
    /// If `assets` lacks the ledger of a transfer.
    pub fn new(operation: &Proposed, assets: &Assets) -> Result<Self, Unknown> {
        let mut shown = Self {
            operation: operation.name(),
            transfer: None,
            set_limits: None,
            reverse: None,
            open_import: None,
            approval_rules: None,
        };
        match operation {
            Proposed::Transfer(new) => shown.transfer = Some(Box::new(Transfer::proposed(new, assets)?)),
            Proposed::SetLimits { account, limits } => {
                let text = |bound: Option<i128>| bound.map(|bound| bound.to_string());
                shown.set_limits = Some(ProposedLimits {
                    account: account.to_string(),
                    min_balance: text(limits.min_balance),
                    max_balance: text(limits.max_balance),
                });
            }
            Proposed::Reverse(transfer) => {
                let reversal = reversal_id(*transfer).to_string();
                shown.reverse = Some(ProposedReversal { transfer: transfer.to_string(), reversal });
            }
            Proposed::OpenImport(import) => shown.open_import = Some(ProposedImport { import: import.to_string() }),
            Proposed::SetRules(rules) => shown.approval_rules = Some(rules.into()),
        }
        Ok(shown)
    }
}

/// An operation that one principal proposed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Proposal {
    /// The id. The entries that an approval makes have it as their request.
    id: String,
    #[serde(flatten)]
    proposed: ProposedOperation,
    /// Why, as the proposer wrote it; empty if no reason was given.
    reason: String,
    /// `open`, `approved`, `rejected`, `withdrawn` or `expired`.
    #[schema(example = "open")]
    status: &'static str,
    /// The number of the principal that proposed it. Another one must approve it.
    #[schema(example = 2)]
    proposed_by: u64,
    #[schema(format = "date-time")]
    proposed_at: String,
    /// From when on it can no longer be approved.
    #[schema(format = "date-time")]
    expires_at: String,
    /// The number of the principal that approved, rejected or withdrew it; null if nobody did.
    #[schema(required, example = 3)]
    ended_by: Option<u64>,
    /// When that was; null if nobody did.
    #[schema(required, format = "date-time")]
    ended_at: Option<String>,
}

impl Proposal {
    /// # Errors
    /// If `assets` lacks the ledger of a transfer.
    pub fn new(reply: &ProposalReply, assets: &Assets) -> Result<Self, Unknown> {
        let ProposalReply { proposal, status } = reply;
        Ok(Self {
            id: proposal.made.proposal.to_string(),
            proposed: ProposedOperation::new(&proposal.made.operation, assets)?,
            reason: proposal.made.reason.to_string(),
            status: status.name(),
            proposed_by: proposal.made_by.get(),
            proposed_at: proposal.made_at.to_string(),
            expires_at: proposal.made.expires_at.to_string(),
            ended_by: proposal.ended.map(|(_, by, _)| by.get()),
            ended_at: proposal.ended.map(|(_, _, at)| at.to_string()),
        })
    }
}

/// Parses the body of `POST /v1/approval-rules`.
///
/// # Errors
/// If the body does not describe rules.
pub fn rules(body: &[u8]) -> Result<Parsed<SetApprovalRules>, Problem> {
    let rules = rules_of(Fields::of_body(body, RULES)?)?;
    Ok(Parsed { request: RequestId::default(), operation: SetApprovalRules(rules) })
}

/// Parses the body of `POST /v1/proposals`.
///
/// # Errors
/// If the body does not describe a proposal.
pub fn proposal(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<Propose>, Problem> {
    let known: Vec<&str> = OPERATIONS.iter().copied().chain(["id", "reason", "expires_in_s"]).collect();
    let mut fields = Fields::of_body(body, &known)?;
    let proposal: ProposalId = source.id("/v1/proposals", &mut fields)?;
    let operation = operation(&mut fields, proposal)?;
    let expected = format!("a string of at most {REASON_BYTES_MAX} bytes");
    let reason = fields.text("reason", &expected, REASON_BYTES_MAX)?.unwrap_or_default();
    let lifetime_s = fields.number("expires_in_s", 1, LIFETIME_MAX_S)?.unwrap_or(LIFETIME_DEFAULT_S);
    let lifetime = Span::from_secs(lifetime_s.into());
    let operation = Propose { proposal, operation, reason: reason.into(), lifetime };
    Ok(Parsed { request: RequestId::new(proposal.get()), operation })
}

/// The parameter `status` of `GET /v1/proposals`.
///
/// # Errors
/// If no proposal can have this status.
pub fn status(parameters: &Parameters) -> Result<Option<ProposalStatus>, Problem> {
    let Some(text) = parameters.get("status") else { return Ok(None) };
    let found = ProposalStatus::ALL.into_iter().find(|status| status.name() == text);
    found.map(Some).ok_or_else(|| {
        let names = ProposalStatus::ALL.map(ProposalStatus::name);
        invalid("status", format!("found `{}`, expected {}", shorten(text), one_of(&names)))
    })
}

const OPERATIONS: &[&str] = &["transfer", "set_limits", "reverse", "open_import", "approval_rules"];
const RULES: &[&str] = &["limits", "imports", "reversals_above"];

fn operation(fields: &mut Fields, proposal: ProposalId) -> Result<Proposable, Problem> {
    let given: Vec<&str> = OPERATIONS.iter().copied().filter(|name| fields.has(name)).collect();
    let name = match given.as_slice() {
        [name] => *name,
        [] => {
            let detail = format!("expected {}, found none of them", one_of(OPERATIONS));
            return Err(Problem::new(ErrorCode::MissingField, detail));
        }
        [_, second, ..] => {
            let detail = format!("found {}, expected only {}", given.join(" and "), one_of(OPERATIONS));
            return Err(fields.invalid(second, detail));
        }
    };
    let pointer = fields.pointer_of(name);
    let value = fields.required(name, |fields, name| Ok(fields.take(name)))?;
    let mut inner = Fields::of(value, pointer)?;
    Ok(match name {
        "transfer" => Proposable::Transfer(Box::new(orders::proposed(inner, TransferId::new(proposal.get()))?)),
        "set_limits" => {
            inner = inner.among(&["account", "min_balance", "max_balance"])?;
            let account = inner.required("account", |inner, name| inner.parsed(name, orders::ACCOUNT_NAME))?;
            Proposable::SetLimits(SetLimits { account, limits: limits_of(inner)? })
        }
        "reverse" => {
            inner = inner.among(&["transfer"])?;
            let transfer: TransferId = inner.required("transfer", |inner, name| inner.parsed(name, ID))?;
            Proposable::Reverse(transfer)
        }
        "open_import" => {
            inner = inner.among(&["import"])?;
            let import: ImportId = inner.required("import", |inner, name| inner.parsed(name, ID))?;
            Proposable::OpenImport(import)
        }
        _ => Proposable::SetRules(rules_of(inner.among(RULES)?)?),
    })
}

fn rules_of(mut fields: Fields) -> Result<ApprovalRules, Problem> {
    let (limits, imports) = (demand(&mut fields, "limits")?, demand(&mut fields, "imports")?);
    let mut reversals_above = BTreeMap::new();
    if let Some(bounds) = fields.take("reversals_above") {
        let mut bounds = Fields::of(bounds, fields.pointer_of("reversals_above"))?;
        let assets = bounds.names();
        if assets.len() > REVERSAL_BOUNDS_MAX {
            let detail = format!("found {} assets, expected at most {REVERSAL_BOUNDS_MAX}", assets.len());
            return Err(fields.invalid("reversals_above", detail));
        }
        for name in assets {
            let asset: Asset =
                name.parse().map_err(|error: types::AssetParseError| bounds.invalid(&name, error.to_string()))?;
            let bound = bounds.required(&name, |bounds, name| bounds.parsed(name, AMOUNT))?;
            reversals_above.insert(asset, bound);
        }
    }
    Ok(ApprovalRules { limits, imports, reversals_above })
}

fn demand(fields: &mut Fields, name: &str) -> Result<Demand, Problem> {
    const EXPECTED: &str = "`direct` or `approval`";
    let Some(text) = fields.text(name, EXPECTED, 64)? else { return Ok(Demand::Direct) };
    let found = Demand::ALL.into_iter().find(|demand| demand.name() == text);
    found.ok_or_else(|| fields.invalid(name, format!("found `{}`, expected {EXPECTED}", shorten(&text))))
}
