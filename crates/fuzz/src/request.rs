//! Requests as bytes: a line with method, path and query, then the body. They are parsed as the server parses them, up
//! to the command for the engine.

use api::history::{Instant, Period, TransferFilter};
use api::payments::{PaymentRequest, TemplateAccount};
use api::requests::{self, Parsed};
use api::routes::{Body, Method};
use api::segments::{BytesWanted, SegmentsWanted};
use api::{ErrorCode, List, Operation, Parameters, Problem, ROUTES, Route, changes, filters, imports, orders, packed};
use engine::{
    AccountName, ChangePayment, Command, CreateAccounts, CreatePayment, CreateTransfers, DryRun, ImportCommand,
    PaymentStatus, ReverseTransfer, query,
};
use policy::Policy;
use types::{AccountId, Digest, ImportId, PaymentId, RequestId, Seq, Timestamp, Token, TransferId};

use crate::desk::{self, HISTORY};

/// A request whose route exists.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    route: &'static Route,
    path_id: &'a str,
    parameters: Parameters,
    body: &'a [u8],
}

/// A command with its request id.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: RequestId,
    pub(crate) command: Command,
}

impl<O: Into<Command>> From<Parsed<O>> for Asked {
    fn from(Parsed { request, operation }: Parsed<O>) -> Self {
        Self { request, command: operation.into() }
    }
}

impl<'a> Call<'a> {
    pub(crate) fn read(request: &'a [u8]) -> Result<Self, Problem> {
        let none = || Problem::new(ErrorCode::NotFound, "the input names no route");
        let end = request.iter().position(|&byte| byte == b'\n').unwrap_or(request.len());
        let (line, body) = request.split_at(end);
        let line = std::str::from_utf8(line).map_err(|_bytes| none())?;
        let (method, target) = line.split_once(' ').ok_or_else(none)?;
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            _ => return Err(none()),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let matches = |route: &&Route| {
            let (mut wanted, mut given) = (route.path.split('/'), path.split('/'));
            let same = wanted.by_ref().zip(given.by_ref()).all(|(a, b)| a == b || a.starts_with('{'));
            route.method == method && same && route.path.split('/').count() == path.split('/').count()
        };
        // A path without parameters takes precedence over one with parameters.
        let route =
            ROUTES.iter().filter(matches).min_by_key(|route| route.path.matches('{').count()).ok_or_else(none)?;
        let mut parts = route.path.split('/').zip(path.split('/'));
        let path_id = parts.find(|(name, _)| name.starts_with('{')).map_or("", |(_, part)| part);
        let known: Vec<&str> = route.parameters.iter().map(|parameter| parameter.name).collect();
        let parameters = Parameters::parse(query, &known)?;
        let body = body.get(1..).unwrap_or_default();
        if body.len() > route.body_bytes_max() {
            return Err(Problem::new(ErrorCode::BodyTooLarge, "the body is larger than the limit of the route"));
        }
        Ok(Self { route, path_id, parameters, body })
    }

    #[cfg(test)]
    pub(crate) fn is_of(&self, route: &Route) -> bool {
        self.route.operation == route.operation
    }

    pub(crate) fn has_packed_body(&self) -> bool {
        matches!(self.route.body, Body::Packed { .. })
    }

    pub(crate) fn has_json_body(&self) -> bool {
        matches!(self.route.body, Body::Json(_) | Body::Batch(_) | Body::Empty(_))
    }

    /// Returns the commands for the engine. There are none if something else answers the request.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation, so that none is missing")]
    pub(crate) fn parse(&self, policy: &Policy) -> Result<Vec<Asked>, Problem> {
        let Self { route, parameters, body, .. } = self;
        let ids = desk::ids();
        match route.operation {
            Operation::OpenLedger => one(requests::ledger(&ids, body)?),
            Operation::OpenAccount => self.trial(orders::account(&ids, body)?),
            Operation::OpenAccountBatch => self.trial(orders::accounts(&ids, body)?),
            Operation::CreateTransfer => self.trial(orders::transfer(&ids, body)?),
            Operation::CreateTransferBatch => self.trial(orders::transfers(&ids, body)?),
            Operation::SetAddress => one(changes::address(self.id()?, body)?),
            Operation::SetLimits => one(changes::limits(self.id()?, body)?),
            Operation::SetAccountMetadata => one(changes::account_metadata(self.id()?, body)?),
            Operation::SetTransferMetadata => one(changes::transfer_metadata(self.id()?, body)?),
            Operation::SetPaymentMetadata => one(changes::payment_metadata(self.id()?, body)?),
            Operation::ChooseIndexes => one(changes::indexes(requests::ledger_id("id", self.path_id)?, body)?),
            Operation::RecordLabel => one(requests::label(&ids, body)?),
            Operation::StartImport => one(imports::start(&ids, body)?),
            Operation::CancelTransfer => {
                requests::verb(body)?;
                one(changes::cancel(self.id()?))
            }
            Operation::ReverseTransfer => {
                requests::verb(body)?;
                self.trial(unnamed(ReverseTransfer(self.id()?)))
            }
            Operation::ConfirmClock => {
                requests::verb(body)?;
                Ok(Vec::new())
            }
            Operation::ChangePayment(verb) => {
                requests::verb(body)?;
                let operation = ChangePayment { payment: self.id()?, verb };
                self.trial(Parsed { request: RequestId::new(7), operation })
            }
            Operation::CreatePayment => self.trial(payment(policy, body)?),
            Operation::StageRows => {
                let command = imports::rows(self.id::<ImportId>()?, parameters, body)?;
                one(unnamed(command))
            }
            Operation::OpenImport => one(unnamed(ImportCommand::Open(self.id()?))),
            Operation::DiscardImport => one(unnamed(ImportCommand::Discard(self.id()?))),
            Operation::CreateAccounts => one(unnamed(CreateAccounts(packed::accounts(body)?))),
            Operation::CreateTransfers => {
                let balances = parameters.flag("balances")?;
                one(unnamed(CreateTransfers { events: packed::transfers(body)?, balances }))
            }
            Operation::LookupAccounts => ask(query::LookupAccounts(packed::account_ids(body)?)),
            Operation::LookupTransfers => ask(query::LookupTransfers(packed::transfer_ids(body)?)),
            Operation::AccountTransfers | Operation::AccountBalances => {
                let filter = packed::account_filter(body)?;
                assert_eq!(
                    packed::AccountFilter::decode(&filter.encode()),
                    filter,
                    "a filter is encoded as it was decoded"
                );
                if filter.is_valid() {
                    ask(query::Account(AccountId::new(filter.account_id).into()))
                } else {
                    Ok(vec![])
                }
            }
            Operation::QueryAccounts | Operation::QueryTransfers => {
                let filter = packed::query_filter(body)?;
                assert_eq!(
                    packed::QueryFilter::decode(&filter.encode()),
                    filter,
                    "a filter is encoded as it was decoded"
                );
                if filter.is_valid() { ask(query::Ledgers) } else { Ok(vec![]) }
            }
            Operation::ListLedgers => ask(query::Ledgers),
            Operation::GetLedger | Operation::GetTrialBalance => {
                Instant::read(parameters)?;
                ask(query::TrialBalance(requests::ledger_id("id", self.path_id)?))
            }
            Operation::GetAddressBalances => {
                let prefix = parameters.get("address_prefix").map(filters::address_prefix).transpose()?;
                let ledger = requests::ledger_id("ledger", parameters.get("ledger").unwrap_or_default())?;
                ask(query::AddressSums(ledger, prefix.unwrap_or_default().into()))
            }
            Operation::ListAccounts => self.accounts(policy),
            Operation::GetAccount => ask(query::Account(self.id()?)),
            Operation::ListAccountTransfers | Operation::ListAccountBalances => {
                let account: AccountName = self.id()?;
                self.transfers()?;
                ask(query::Account(account))
            }
            Operation::GetAccountBalance => {
                Instant::read(parameters)?;
                ask(query::Account(self.id()?))
            }
            Operation::GetStatement => {
                Period::read(parameters, Timestamp::MAX)?;
                self.cursor::<u64>(List::Statement)?;
                ask(query::Account(self.id()?))
            }
            Operation::ListTransfers => self.transfers(),
            Operation::GetTransfer | Operation::ProveTransfer => ask(query::Transfer(self.id()?)),
            Operation::ListScheduled => {
                let after: u128 = self.cursor(List::Scheduled)?.unwrap_or(0);
                let half = |shift: u32| u64::try_from(after >> shift & u128::from(u64::MAX)).unwrap_or(u64::MAX);
                ask(query::Scheduled { after: (Timestamp::from_ns(half(64)), half(0)), limit: parameters.limit()? })
            }
            Operation::ListPending => {
                let account: Option<AccountName> = parameters.parsed("account")?;
                let account = account.map(|name| if let AccountName::Id(id) = name { id } else { AccountId::new(1) });
                let ledger = parameters.get("ledger").map(|text| requests::ledger_id("ledger", text)).transpose()?;
                let after = Timestamp::from_ns(self.cursor(List::Pending)?.unwrap_or(0));
                ask(query::Pending { account, ledger, after, limit: parameters.limit()? })
            }
            Operation::ListImports => ask(query::Imports),
            Operation::GetImport => ask(query::Import(self.id()?)),
            Operation::ListPayments => {
                let named = |name| PaymentStatus::ALL.into_iter().find(|status| Some(status.name()) == name);
                let after = Seq::new(self.cursor(List::Payments)?.unwrap_or(0));
                let status = named(parameters.get("status"));
                ask(query::Payments { status, after, limit: parameters.limit()? })
            }
            Operation::GetPayment | Operation::GetDecision | Operation::GetPersonalData | Operation::ProvePayment => {
                ask(query::Payment(self.id()?))
            }
            Operation::ProveConsistency => {
                parameters.parsed::<u64>("from")?;
                parameters.parsed::<u64>("to")?;
                Ok(Vec::new())
            }
            Operation::GetActivePolicy => ask(query::Policy),
            Operation::ListEvents => {
                self.cursor::<u64>(List::Events)?;
                parameters.limit()?;
                Ok(Vec::new())
            }
            Operation::ListSegments => {
                SegmentsWanted::read(parameters)?;
                Ok(Vec::new())
            }
            Operation::ReadSegment => {
                BytesWanted::read(self.path_id, parameters)?;
                Ok(Vec::new())
            }
            // These operations read no input, or another target covers their input.
            Operation::ActivatePolicy
            | Operation::GetIndex
            | Operation::ProveEntry
            | Operation::GetCheckpoint
            | Operation::GetProofKeys
            | Operation::GetTile
            | Operation::Health
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi => Ok(Vec::new()),
        }
    }

    fn id<T>(&self) -> Result<T, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        requests::path_id(self.path_id)
    }

    /// Returns the operation, preceded by a dry run of it.
    fn trial<O: Clone + Into<Command> + Into<DryRun>>(&self, parsed: Parsed<O>) -> Result<Vec<Asked>, Problem> {
        let dry = Asked { request: parsed.request, command: Command::DryRun(parsed.operation.clone().into()) };
        Ok(if self.parameters.flag("dry_run")? { vec![dry] } else { vec![dry, parsed.into()] })
    }

    /// Parses a cursor and checks that encoding its position gives the same cursor.
    fn cursor<T: std::str::FromStr + std::fmt::Display + Copy>(&self, list: List) -> Result<Option<T>, Problem> {
        let place: Option<T> = self.parameters.cursor_if_given(HISTORY, list)?;
        if let Some(place) = place {
            let again: Result<T, _> = HISTORY.position(&HISTORY.cursor(list, place), list);
            assert_eq!(
                again.map(|again| again.to_string()),
                Ok(place.to_string()),
                "a cursor is encoded as it was parsed"
            );
        }
        Ok(place)
    }

    fn transfers(&self) -> Result<Vec<Asked>, Problem> {
        let filter = TransferFilter::read(&self.parameters)?;
        let metadata = filters::metadata(&self.parameters)?;
        let limit = self.parameters.limit()?;
        if metadata.is_empty() {
            let list = if filter.is_of_all() { List::AllTransfers } else { List::Transfers };
            self.cursor::<u64>(list)?;
            return Ok(Vec::new());
        }
        let after: Option<u128> = self.cursor(List::TransfersByMetadata)?;
        ask(query::TransfersByMetadata { metadata, after: after.map(TransferId::new), limit })
    }

    fn accounts(&self, policy: &Policy) -> Result<Vec<Asked>, Problem> {
        if let Some(template) = self.parameters.get("template") {
            let found = TemplateAccount::find(policy, template, self.parameters.get("holder"))?;
            return ask(query::TrialBalance(found.ledger));
        }
        let filter = Box::new(filters::accounts(&self.parameters)?);
        self.cursor::<u64>(List::Accounts)?;
        ask(query::Accounts { filter, after: None, limit: self.parameters.limit()? })
    }
}

fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}

#[expect(clippy::unnecessary_wraps, reason = "it has the same signature as the functions that parse requests")]
fn one<O: Into<Command>>(parsed: Parsed<O>) -> Result<Vec<Asked>, Problem> {
    Ok(vec![parsed.into()])
}

fn ask(query: impl Into<Command>) -> Result<Vec<Asked>, Problem> {
    one(unnamed(query))
}

/// Converts a body to a payment as the edge does, except for secrets: tokens are plain hashes, and nothing is sealed.
fn payment(policy: &Policy, body: &[u8]) -> Result<Parsed<CreatePayment>, Problem> {
    let request = PaymentRequest::parse(&desk::ids(), body)?;
    let content = Digest::of(&request.canonical());
    let (id, payment): (RequestId, PaymentId) = (request.request_id(), request.payment);
    let parsed = request.against(policy)?;
    assert_eq!(parsed.payment, payment, "a payment keeps its id");
    if let Some(to_seal) = &parsed.seal {
        assert!(!to_seal.parts.is_empty(), "sealed data is not empty");
    }
    let token = |kind: &types::Name, value: &str, _personal| {
        Ok::<_, Problem>(Token::new(Digest::of(format!("{kind} {value}").as_bytes()).head_u128()))
    };
    let new = parsed.tokenised(content, None, token)?;
    Ok(Parsed { request: id, operation: CreatePayment(Box::new(new)) })
}
