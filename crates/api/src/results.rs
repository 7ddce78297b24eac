//! The answer to a JSON batch: one result for each order, in the order of the request.

use engine::{AccountReply, AnyTransfer, Made, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

use crate::decisions::Payment;
use crate::problem::Problem;
use crate::responses::{Account, Assets, Transfer, Unknown};

/// The results of a batch.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BatchResults {
    /// One result for each account, transfer, payment or verb, in the order of the request.
    results: Vec<OrderResult>,
}

/// The result of one account, transfer, payment or verb of a batch.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OrderResult {
    /// `created`; `scheduled` for a transfer with a future time; `changed` for a verb; `exists` if an equal account, transfer or
    /// payment was created earlier, or if a verb with this key took effect earlier; otherwise the stable code of the refusal.
    #[schema(example = "created")]
    status: &'static str,
    /// When the account or transfer was created, or the payment decided, by this request or earlier. Absent for a verb.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    timestamp: Option<String>,
    /// The account, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    /// The transfer, if there is one, with the balances of both accounts right after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<Box<Transfer>>,
    /// The payment, if there is one: a new one with its decision, and after a verb without reasons and tags, as in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Box<Payment>>,
    #[serde(flatten)]
    refused: Option<Refused>,
}

/// Why an account, transfer or payment was refused. A payment that the policy declines is not refused: it has a decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Refused {
    /// What the code means. The text is the same for every request.
    title: String,
    /// What is wrong with this particular account, transfer or payment.
    detail: String,
    /// Where the error is: a JSON pointer into the account, transfer or payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// For a refusal of the ledger, its permanent number in the table of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
}

impl BatchResults {
    /// The answer to [`engine::OpenAccountBatch`].
    ///
    /// # Errors
    /// If `assets` lacks the ledger of an account.
    pub fn of_accounts(
        answers: &[Result<(Made, Box<AccountReply>), Refusal>],
        assets: &Assets,
    ) -> Result<Self, Unknown> {
        Self::of(answers, |made, account| {
            Ok(OrderResult {
                status: status_name(made),
                timestamp: Some(account.account.timestamp.to_string()),
                account: Some(Account::with_details(account, assets)?),
                transfer: None,
                payment: None,
                refused: None,
            })
        })
    }

    /// The answer to [`engine::CreateTransferBatch`].
    ///
    /// # Errors
    /// If `assets` lacks the ledger of a transfer.
    pub fn of_transfers(answers: &[Result<(Made, AnyTransfer), Refusal>], assets: &Assets) -> Result<Self, Unknown> {
        Self::of(answers, |made, transfer| {
            let (status, timestamp) = match (transfer, made) {
                (AnyTransfer::Made(reply), made) => (status_name(made), Some(reply.transfer.timestamp.to_string())),
                (AnyTransfer::Scheduled(_), Made::Now) => ("scheduled", None),
                (AnyTransfer::Scheduled(_), Made::Before) => ("exists", None),
            };
            let transfer = Some(Box::new(Transfer::any(transfer, assets)?));
            Ok(OrderResult { status, timestamp, account: None, transfer, payment: None, refused: None })
        })
    }

    /// The answer to a batch of payments.
    pub fn of_payments(answers: Vec<Result<(Made, Payment), Problem>>) -> Self {
        let result = |answer: Result<(Made, Payment), Problem>| match answer {
            Ok((made, payment)) => OrderResult {
                status: status_name(made),
                timestamp: Some(payment.decided_at().to_owned()),
                account: None,
                transfer: None,
                payment: Some(Box::new(payment)),
                refused: None,
            },
            Err(problem) => OrderResult::refused(&problem),
        };
        Self { results: answers.into_iter().map(result).collect() }
    }

    /// The answer to a batch of verbs.
    pub fn of_verbs(answers: Vec<Result<(Made, Payment), Problem>>) -> Self {
        let result = |answer: Result<(Made, Payment), Problem>| match answer {
            Ok((made, payment)) => OrderResult {
                status: if made == Made::Now { "changed" } else { "exists" },
                timestamp: None,
                account: None,
                transfer: None,
                payment: Some(Box::new(payment)),
                refused: None,
            },
            Err(problem) => OrderResult::refused(&problem),
        };
        Self { results: answers.into_iter().map(result).collect() }
    }

    fn of<T>(
        answers: &[Result<(Made, T), Refusal>],
        shown: impl Fn(Made, &T) -> Result<OrderResult, Unknown>,
    ) -> Result<Self, Unknown> {
        let results = answers.iter().map(|answer| match answer {
            Ok((made, it)) => shown(*made, it),
            Err(refusal) => Ok(OrderResult::refused(&Problem::from(refusal))),
        });
        Ok(Self { results: results.collect::<Result<_, _>>()? })
    }
}

impl OrderResult {
    fn refused(problem: &Problem) -> Self {
        let code = problem.code();
        let refused = Refused {
            title: code.title(),
            detail: problem.detail().to_owned(),
            field: problem.field().map(str::to_owned),
            number: code.number(),
        };
        Self {
            status: code.as_str(),
            timestamp: None,
            account: None,
            transfer: None,
            payment: None,
            refused: Some(refused),
        }
    }
}

const fn status_name(made: Made) -> &'static str {
    match made {
        Made::Now => "created",
        Made::Before => "exists",
    }
}

/// The answer to a dry run: the answer that the real request would get, and a mark that nothing was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun<T> {
    dry_run: bool,
    #[serde(flatten)]
    answer: T,
}

impl<T> DryRun<T> {
    /// Marks an answer as that of a dry run.
    pub const fn of(answer: T) -> Self {
        Self { dry_run: true, answer }
    }
}
