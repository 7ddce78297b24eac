//! What stands between the network and the queue: bodies are parsed into commands and answers rendered by the very code
//! that the server uses, payments are tokenised and sealed with keys that are on disk before the entries that need them.

use std::sync::Arc;

use api::payments::PaymentRequest;
use api::requests::{self, Parsed};
use api::responses::{self, Assets};
use api::{IdSource, IdempotencyKey, Operation, Parameters, Problem, decisions, filters, orders, packed, results};
use datadir::KeyStore;
use engine::{
    Answer, AnyTransfer, ChangePayment, Command, CreateAccounts, CreatePayment, CreateTransfers, Dry, DryRun,
    ImportCommand, PaymentDecided, Refusal, Reply, Request, ReverseTransfer, query,
};
use policy::Policy;
use server::sealing_context;
use types::{ActorId, Digest, RequestId, Seq, Timestamp};

use crate::SimDisk;
use crate::process::TENANT;

/// What a client sends.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    /// Over the network.
    Http(Http),
    /// What the server asks itself: the parts of a policy that is installed, an API key.
    Within(Box<Command>),
}

/// A request as it comes over the network, with its actor instead of a key.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) operation: Operation,
    pub(crate) actor: ActorId,
    pub(crate) key: Option<String>,
    /// What the route calls `{id}`.
    pub(crate) id: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

/// The edge of one process.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) keys: KeyStore<SimDisk>,
    policy: Option<Arc<Policy>>,
    assets: Assets,
    secret: Digest,
}

impl Edge {
    pub(crate) fn new(keys: KeyStore<SimDisk>) -> Self {
        let secret = keys.request_hash(TENANT, b"ids from idempotency keys");
        Self { keys, policy: None, assets: Assets::default(), secret }
    }

    /// What the engine decided last, before any answer is shown.
    pub(crate) fn note(&mut self, engine: &engine::Engine, policy: Option<Arc<Policy>>) {
        if engine.ledgers().len() > self.assets.len() {
            self.assets = Assets::new(engine.ledgers());
        }
        self.policy = policy;
    }

    /// What the engine is asked, or the problem that the client is told at once.
    pub(crate) fn parse(&self, sent: &Sent) -> Result<Request, Problem> {
        let (actor, (id, command)) = match sent {
            Sent::Within(command) => (ActorId::SYSTEM, (RequestId::default(), (**command).clone())),
            Sent::Http(http) => (http.actor, self.parse_http(http)?),
        };
        Ok(Request { tenant: TENANT, actor, id, command })
    }

    fn parse_http(&self, http: &Http) -> Result<(RequestId, Command), Problem> {
        let route = api::ROUTES.iter().find(|route| route.operation == http.operation);
        let known: Vec<&str> = route.into_iter().flat_map(|route| route.parameters).map(|known| known.name).collect();
        let parameters = Parameters::parse(&http.query, &known)?;
        let key = http.key.as_ref().map(|key| IdempotencyKey::parse(key.as_bytes())).transpose()?;
        let ids = IdSource { secret: self.secret, tenant: TENANT, key: key.as_ref() };
        let (body, id) = (&*http.body, &*http.id);
        let is_dry = http.query.contains("dry_run") && parameters.flag("dry_run")?;
        let limit = || parameters.limit();
        Ok(match http.operation {
            Operation::OpenLedger => named(requests::ledger(&ids, body)?),
            Operation::OpenAccount => trial(orders::account(&ids, body)?, is_dry),
            Operation::OpenAccountBatch => trial(orders::accounts(&ids, body)?, is_dry),
            Operation::CreateTransfer => trial(orders::transfer(&ids, body)?, is_dry),
            Operation::CreateTransferBatch => trial(orders::transfers(&ids, body)?, is_dry),
            Operation::ReverseTransfer => {
                requests::verb(body)?;
                trial(unnamed(ReverseTransfer(requests::path_id(id)?)), is_dry)
            }
            Operation::SetAddress => named(api::changes::address(requests::path_id(id)?, body)?),
            Operation::SetLimits => named(api::changes::limits(requests::path_id(id)?, body)?),
            Operation::SetAccountMetadata => named(api::changes::account_metadata(requests::path_id(id)?, body)?),
            Operation::SetTransferMetadata => named(api::changes::transfer_metadata(requests::path_id(id)?, body)?),
            Operation::SetPaymentMetadata => named(api::changes::payment_metadata(requests::path_id(id)?, body)?),
            Operation::CancelTransfer => {
                requests::verb(body)?;
                named(api::changes::cancel(requests::path_id(id)?))
            }
            Operation::ChooseIndexes => named(api::changes::indexes(requests::ledger_id("id", id)?, body)?),
            Operation::CreateAccounts => ask(CreateAccounts(packed::accounts(body)?)),
            Operation::CreateTransfers => {
                let balances = parameters.get("balances") == Some("true");
                ask(CreateTransfers { events: packed::transfers(body)?, balances })
            }
            Operation::LookupAccounts => ask(query::LookupAccounts(packed::account_ids(body)?)),
            Operation::LookupTransfers => ask(query::LookupTransfers(packed::transfer_ids(body)?)),
            Operation::StartImport => named(api::imports::start(&ids, body)?),
            Operation::StageRows => ask(api::imports::rows(requests::path_id(id)?, &parameters, body)?),
            Operation::OpenImport => ask(ImportCommand::Open(requests::path_id(id)?)),
            Operation::DiscardImport => ask(ImportCommand::Discard(requests::path_id(id)?)),
            Operation::CreatePayment => trial(self.payment(&ids, is_dry, body)?, is_dry),
            Operation::ChangePayment(verb) => {
                requests::verb(body)?;
                let payment = requests::path_id(id)?;
                trial(Parsed { request: ids.verb()?, operation: ChangePayment { payment, verb } }, is_dry)
            }
            Operation::RecordLabel => named(requests::label(&ids, body)?),
            Operation::ListLedgers => ask(query::Ledgers),
            Operation::GetTrialBalance => ask(query::TrialBalance(requests::ledger_id("id", id)?)),
            Operation::GetAccount => ask(query::Account(requests::path_id(id)?)),
            Operation::ListAccounts => {
                let filter = Box::new(filters::accounts(&parameters)?);
                ask(query::Accounts { filter, after: None, limit: limit()? })
            }
            Operation::GetAddressBalances => {
                let ledger = requests::ledger_id("ledger", parameters.get("ledger").unwrap_or_default())?;
                let prefix = filters::address_prefix(parameters.get("address_prefix").unwrap_or_default())?;
                ask(query::AddressSums(ledger, prefix.into()))
            }
            Operation::GetTransfer => ask(query::Transfer(requests::path_id(id)?)),
            Operation::ListPending => {
                let after = Timestamp::ZERO;
                ask(query::Pending { account: None, ledger: None, after, limit: limit()? })
            }
            Operation::ListScheduled => ask(query::Scheduled { after: (Timestamp::ZERO, 0), limit: limit()? }),
            Operation::GetPayment => ask(query::Payment(requests::path_id(id)?)),
            Operation::ListPayments => ask(query::Payments { status: None, after: Seq::ZERO, limit: limit()? }),
            Operation::ListImports => ask(query::Imports),
            Operation::GetImport => ask(query::Import(requests::path_id(id)?)),
            Operation::GetActivePolicy => ask(query::Policy),
            other => unreachable!("nobody here sends {other:?}"),
        })
    }

    fn payment(&self, ids: &IdSource<'_>, is_dry: bool, body: &[u8]) -> Result<Parsed<CreatePayment>, Problem> {
        let request = PaymentRequest::parse(ids, body)?;
        let content = self.keys.request_hash(TENANT, &request.canonical());
        let policy = self.policy.as_deref().ok_or_else(|| Problem::from(&Refusal::NoActivePolicy))?;
        let parsed = request.against(policy)?;
        let full = |full: vault::Full| Problem::new(api::ErrorCode::KeyStoreFull, full.to_string());
        let context = sealing_context(parsed.payment);
        let seal = |subject: Option<(&str, &str)>, bytes: &[u8]| self.keys.seal(TENANT, subject, &context, bytes);
        let sealed = match &parsed.seal {
            Some(to_seal) if !is_dry => Some(server::seal_payment(to_seal, seal).map_err(full)?),
            Some(_) | None => None,
        };
        let token = |kind: &types::Name, value: &str, personal| {
            // As the server does: a dry run makes no keys.
            match self.keys.known_token(TENANT, kind.as_str(), value, personal).filter(|_| is_dry) {
                Some(known) => Ok(known),
                None if is_dry => {
                    let passing = self.keys.request_hash(TENANT, format!("{kind} {value}").as_bytes());
                    Ok(types::Token::new(passing.head_u128()))
                }
                None => self.keys.token(TENANT, kind.as_str(), value, personal),
            }
        };
        let new = parsed.tokenised(content, sealed, token).map_err(full)?;
        Ok(Parsed { request: request.request_id(), operation: CreatePayment(Box::new(new)) })
    }

    /// The bytes of an answer. `decision` reads the entry that decided a payment.
    pub(crate) fn render(
        &self,
        answer: &Answer,
        decision: impl FnOnce(Seq) -> Result<Arc<PaymentDecided>, String>,
    ) -> Result<Vec<u8>, String> {
        let assets = &self.assets;
        let unknown = |unknown: responses::Unknown| format!("SIM-3: an answer cannot be shown: {unknown:?}");
        let reply = match answer {
            Ok(reply) => reply,
            Err(refusal) => return json(&Problem::from(refusal).body()),
        };
        match reply {
            Reply::LedgerMade((_, book)) => json(&responses::Ledger::from(book)),
            Reply::Account(account) | Reply::AccountMade((_, account)) => {
                json(&responses::Account::with_details(account, assets).map_err(unknown)?)
            }
            Reply::Transfer(any) | Reply::TransferMade((_, any)) => {
                json(&responses::Transfer::any(any, assets).map_err(unknown)?)
            }
            Reply::TransferChanged((_, reply)) => {
                json(&responses::Transfer::with_balances(reply, assets).map_err(unknown)?)
            }
            Reply::AccountOrders(answers) => {
                json(&results::BatchResults::of_accounts(answers, assets).map_err(unknown)?)
            }
            Reply::TransferOrders(answers) => {
                json(&results::BatchResults::of_transfers(answers, assets).map_err(unknown)?)
            }
            Reply::AccountResults(results) => Ok(packed::account_results(results)),
            Reply::TransferResults(made) => Ok(packed::transfer_results(&made.results, &made.balances)),
            Reply::Accounts(all) => {
                Ok(packed::answer(all.iter().map(|account| packed::AccountRecord::from(account).encode())))
            }
            Reply::Transfers(all) => {
                Ok(packed::answer(all.iter().map(|(transfer, _)| packed::TransferRecord::from(transfer).encode())))
            }
            Reply::Payment(reply) | Reply::PaymentMade((_, reply)) => {
                let decided = match &reply.decided {
                    Some(decided) => Arc::clone(decided),
                    None => decision(reply.payment.seq)?,
                };
                let shown = decisions::Payment::new(&reply.payment, Some(&decided), assets).map_err(unknown)?;
                json(&shown.with_metadata(&reply.metadata))
            }
            Reply::Label((_, label)) => json(&responses::Label::from(label)),
            Reply::Policy(active) | Reply::PolicyMade((_, active)) => json(&responses::Policy::from(active)),
            Reply::Import(status) | Reply::ImportMade((_, status)) => json(&api::imports::Import::from(&**status)),
            Reply::AccountsPage(page) => {
                let shown = page.items.iter().map(|account| responses::Account::with_details(account, assets));
                json(&shown.collect::<Result<Vec<_>, _>>().map_err(unknown)?)
            }
            // Lists of what is rendered one by one above, and what the server keeps to itself.
            Reply::Ledgers(_)
            | Reply::Scheduled(_)
            | Reply::Sums(_)
            | Reply::TransferIds(_)
            | Reply::Pending(_)
            | Reply::PendingStates(_)
            | Reply::AccountsOpened(_)
            | Reply::Payments(_)
            | Reply::Cancelled(_)
            | Reply::Imports(_)
            | Reply::Made(_) => Ok(Vec::new()),
        }
    }
}

fn named<O: Into<Command>>(Parsed { request, operation }: Parsed<O>) -> (RequestId, Command) {
    (request, operation.into())
}

fn ask(operation: impl Into<Command>) -> (RequestId, Command) {
    (RequestId::default(), operation.into())
}

fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}

fn trial<O: Into<Command> + Into<DryRun>>(parsed: Parsed<O>, is_dry: bool) -> (RequestId, Command) {
    if is_dry { (parsed.request, Dry(parsed.operation).into()) } else { named(parsed) }
}

fn json<T: serde::Serialize>(body: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(body).map_err(|error| format!("SIM-3: an answer is not JSON: {error}"))
}

/// SIM-8: the bytes that a client gets say what the answer says.
pub(crate) fn check_rendered(answer: &Answer, bytes: &[u8]) -> Result<(), String> {
    let fails = |what: &str| Err(format!("SIM-8: {what} in {}", String::from_utf8_lossy(bytes)));
    let parsed = || serde_json::from_slice::<serde_json::Value>(bytes).map_err(|error| format!("SIM-8: {error}"));
    let text = |value: &serde_json::Value, field: &str| value[field].as_str().map(str::to_owned);
    match answer {
        Err(refusal) => {
            let code = Problem::from(refusal).code().as_str();
            if text(&parsed()?, "code").as_deref() == Some(code) { Ok(()) } else { fails("another code") }
        }
        Ok(Reply::Account(reply) | Reply::AccountMade((_, reply))) => {
            let (shown, account) = (parsed()?, &reply.account);
            let sides = [
                ("debits_pending", account.debits_pending),
                ("debits_posted", account.debits_posted),
                ("credits_pending", account.credits_pending),
                ("credits_posted", account.credits_posted),
            ];
            let same = sides.iter().all(|(name, amount)| text(&shown, name) == Some(amount.to_string()));
            if same { Ok(()) } else { fails("other balances") }
        }
        Ok(
            Reply::Transfer(AnyTransfer::Made(reply))
            | Reply::TransferMade((_, AnyTransfer::Made(reply)))
            | Reply::TransferChanged((_, reply)),
        ) => {
            let same = text(&parsed()?, "amount") == Some(reply.transfer.amount.to_string());
            if same { Ok(()) } else { fails("another amount") }
        }
        Ok(Reply::Payment(reply) | Reply::PaymentMade((_, reply))) => {
            let shown = parsed()?;
            let said = (text(&shown, "status"), text(&shown, "amount"));
            let payment = &reply.payment;
            let same = said == (Some(payment.status.name().to_owned()), Some(payment.amount.to_string()));
            if same { Ok(()) } else { fails("another status or amount") }
        }
        Ok(Reply::TransferResults(engine::TransferResults { results, balances })) => {
            let size =
                if balances.is_empty() { packed::ResultRecord::BYTES } else { packed::RESULT_WITH_BALANCES_BYTES };
            let times = bytes.chunks(size).map(|record| record.first_chunk().map(|time| u64::from_le_bytes(*time)));
            let same = times.eq(results.iter().map(|result| Some(result.timestamp.ns())));
            if same { Ok(()) } else { fails("other results") }
        }
        Ok(_) => Ok(()),
    }
}
