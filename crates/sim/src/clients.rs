//! Clients that know few ids and few accounts, so that their requests conflict. They repeat requests with the same ids,
//! even after they received an answer.

mod approvals;
mod attributes;
mod keys;
mod kind;
mod lists;
mod orders;
mod settings;

use std::collections::BTreeMap;

use api::Operation;
use api::packed::{AccountRecord, TransferRecord};
use engine::{
    ActivatePolicy, Answer, AnyTransfer, ArtifactChunk, Command, CredentialAdded, CredentialKind, PrincipalAdded,
    PrincipalKind, Reply, Verb,
};
use ledger::{AccountFlags, NewAccount, NewTransfer, TransferFlags as F, TransferKey};
use serde_json::json;
use types::{AccountId, ActorId, Amount, Code, CredentialId, Digest, LedgerId, PaymentId, Span, Timestamp, TransferId};

use crate::Rng;
use crate::edge::{Http, Sent};
use crate::policies::policies;
use orders::Form;

pub(crate) use kind::Kind;

/// The clients and what they have learned.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    asked: Vec<Sent>,
    /// How many requests of each kind were sent.
    pub(crate) kinds: BTreeMap<Kind, u64>,
    transfers: Vec<u128>,
    pendings: Vec<u128>,
    scheduled: Vec<u128>,
    payments: Vec<PaymentId>,
    imports: Vec<u128>,
    proposals: Vec<u128>,
    accounts: u64,
}

/// The API key that the first start makes.
const FIRST_KEY: CredentialId = CredentialId::new(1_000);
const ACCOUNTS: u64 = 8;
const CUSTOMERS: u64 = 3;
/// The number of requests at the beginning that set up books, accounts and a policy.
const EARLY: usize = 45;

impl Clients {
    /// Creates the next request and returns its number.
    pub(crate) fn ask(&mut self, now: Timestamp, rng: &mut Rng) -> usize {
        let recent = self.asked.len().min(30);
        if recent > 0 && rng.percent(12) {
            let again = self.asked.len() - 1 - rng.place(recent);
            return self.add(self.asked[again].clone());
        }
        let kind = self.kind(rng);
        *self.kinds.entry(kind).or_default() += 1;
        let sent = self.request(kind, now, rng);
        self.add(sent)
    }

    fn add(&mut self, sent: Sent) -> usize {
        self.asked.push(sent);
        self.asked.len() - 1
    }

    pub(crate) fn sent(&self, number: usize) -> &Sent {
        &self.asked[number]
    }

    fn kind(&self, rng: &mut Rng) -> Kind {
        if self.asked.len() < EARLY {
            return *rng.pick(&[
                Kind::OpenLedger,
                Kind::OpenAccount,
                Kind::OpenAccount,
                Kind::PolicyPart,
                Kind::PolicyPart,
                Kind::Policy,
            ]);
        }
        if rng.percent(15) {
            // Picks the kind that occurred least so far, so that no kind is left out.
            let count = |kind: &&Kind| self.kinds.get(*kind).copied().unwrap_or(0);
            return Kind::ALL.iter().min_by_key(count).copied().unwrap_or(Kind::Transfer);
        }
        let mut left = rng.below(Kind::ALL.iter().map(|kind| kind.weight()).sum());
        for kind in Kind::ALL {
            match left.checked_sub(kind.weight()) {
                Some(rest) => left = rest,
                None => return *kind,
            }
        }
        Kind::Transfer
    }

    /// Records what clients learn from an answer.
    pub(crate) fn hear(&mut self, answer: &Answer) {
        match answer {
            Ok(Reply::Payment(reply) | Reply::PaymentMade((_, reply))) => self.payments.push(reply.payment.id),
            Ok(
                Reply::Transfer(AnyTransfer::Made(reply))
                | Reply::TransferMade((_, AnyTransfer::Made(reply)))
                | Reply::TransferChanged((_, reply)),
            ) => {
                if let TransferKey::Client(id) = reply.transfer.key {
                    self.transfers.push(id.get());
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn fresh(rng: &mut Rng) -> u128 {
        u128::from(rng.next()) | 1 << 64
    }

    fn request(&mut self, kind: Kind, now: Timestamp, rng: &mut Rng) -> Sent {
        use Operation as O;
        let post = |operation, id: String, body: serde_json::Value| self::http(operation, id, "", &body);
        let get = |operation, id: String, query: &str| http(operation, id, query, &serde_json::Value::Null);
        let mut sent = match kind {
            Kind::PolicyPart => {
                let chunks: Vec<ArtifactChunk> = rng.pick(policies()).chunks().collect();
                let missing =
                    |chunk: &&ArtifactChunk| !self.asked.iter().rev().take(400).any(|asked| stores(asked, chunk));
                let chunk = chunks.iter().find(missing).unwrap_or_else(|| rng.pick(&chunks));
                return Sent::within(chunk.clone());
            }
            Kind::Policy => {
                let variant = rng.pick(policies());
                let (artifact, policy) = (variant.policy.digest(), std::sync::Arc::clone(&variant.policy));
                return Sent::within(ActivatePolicy { artifact, policy });
            }
            Kind::Principal => {
                let (actor, kind) = (ActorId::new(rng.below(10)), *rng.pick(&PrincipalKind::ALL));
                return Sent::within(PrincipalAdded { actor, kind, name: "simulated".into(), subject: None });
            }
            Kind::Credential => {
                let credential = rng.below(30) + 1;
                return Sent::within(CredentialAdded {
                    credential: CredentialId::new(credential),
                    principal: ActorId::new(rng.below(10)),
                    kind: CredentialKind::ApiKey { hash: Digest::of(&credential.to_le_bytes()) },
                    scopes: 1,
                    name: "simulated".into(),
                    expires_at: None,
                });
            }
            Kind::NewApiKey => return Sent::Http(keys::new_api_key(now, rng)),
            Kind::RevokeApiKey => {
                let revoke = http(O::RevokeApiKey, keys::some_key(rng).to_string(), "", &json!({}));
                return Sent::Http(Http { credential: CredentialId::new(keys::some_key(rng)), ..revoke });
            }
            Kind::ListsOfApiKeys => match rng.below(2) {
                0 => get(O::ListApiKeys, String::new(), rng.pick::<&str>(&["", "limit=3"])),
                _ => get(O::GetApiKey, keys::some_key(rng).to_string(), ""),
            },
            Kind::ApprovalRules => approvals::rules_of_tenant(rng),
            Kind::Proposal => self.proposal(now, rng),
            Kind::EndOfProposal => self.end_of_proposal(rng),
            Kind::ListsOfProposals => self.lists_of_proposals(rng),
            Kind::Subject | Kind::Setting | Kind::RemoveSetting | Kind::GetSettings => {
                return settings::request(kind, rng);
            }
            Kind::NewList | Kind::ListValues | Kind::RemoveListValues | Kind::DeleteList | Kind::GetLists => {
                return lists::request(kind, now, rng);
            }
            Kind::Attributes => return attributes::request(now, rng),
            Kind::LargeArtifact => return Sent::within(large(rng)),
            Kind::OpenLedger => {
                let id = *rng.pick(&[1, 1, 2, 978]);
                let asset = if id == 978 {
                    "EUR/2"
                } else if rng.percent(97) {
                    "USD/2"
                } else {
                    "JPY/0"
                };
                post(O::OpenLedger, String::new(), json!({"id": id, "asset": asset}))
            }
            Kind::OpenAccount => post(O::OpenAccount, String::new(), self.account(rng)),
            Kind::DryAccount => self::http(O::OpenAccount, String::new(), "dry_run=true", &self.account(rng)),
            Kind::OpenAccounts => {
                let count = 1 + rng.below(4);
                let accounts: Vec<_> = (0..count).map(|_| self.account(rng)).collect();
                post(O::OpenAccountBatch, String::new(), json!({"accounts": accounts}))
            }
            Kind::PackedAccounts => {
                let count = 1 + rng.below(4);
                let records = (0..count).flat_map(|_| AccountRecord::from(&self.packed_account(rng)).encode());
                bytes(O::CreateAccounts, "", records.collect())
            }
            Kind::Transfer => self.create_transfer(Form::Plain, now, rng),
            Kind::PendingTransfer => self.create_transfer(Form::Pending, now, rng),
            Kind::Resolution => self.create_transfer(Form::Resolution, now, rng),
            Kind::BalancingTransfer => self.create_transfer(Form::Balancing, now, rng),
            Kind::ClosingTransfer => self.create_transfer(Form::Closing, now, rng),
            Kind::ScheduledTransfer => self.create_transfer(Form::Scheduled, now, rng),
            Kind::DryTransfer => {
                let form = *rng.pick(&[Form::Plain, Form::Pending, Form::Resolution, Form::Balancing]);
                let body = self.transfer(form, now, rng);
                self::http(O::CreateTransfer, String::new(), "dry_run=true", &body)
            }
            Kind::TransferBatch => post(O::CreateTransferBatch, String::new(), self.transfer_batch(now, rng)),
            Kind::DryBatch => {
                let body = self.transfer_batch(now, rng);
                self::http(O::CreateTransferBatch, String::new(), "dry_run=true", &body)
            }
            Kind::PackedTransfers => {
                let count = 1 + rng.below(9);
                let records: Vec<u8> =
                    (0..count).flat_map(|_| TransferRecord::from(&self.packed_transfer(rng)).encode()).collect();
                let query = if rng.percent(50) { "balances=true" } else { "" };
                bytes(O::CreateTransfers, query, records)
            }
            Kind::PackedChains => self.packed_chains(rng),
            Kind::Cancel => {
                let id = if self.scheduled.is_empty() { 7 } else { *rng.pick(&self.scheduled) };
                post(O::CancelTransfer, id.to_string(), json!({}))
            }
            Kind::Reversal => post(O::ReverseTransfer, self.some_transfer(rng).to_string(), json!({})),
            Kind::Address => {
                let body = json!({"address": address(rng)});
                post(O::SetAddress, account_name(rng), body)
            }
            Kind::Limits => {
                let low = rng.percent(60).then(|| (i64::try_from(rng.below(4_000)).unwrap_or(0) - 3_000).to_string());
                let high = rng.percent(60).then(|| (i64::try_from(rng.below(9_000)).unwrap_or(0) - 500).to_string());
                post(O::SetLimits, account_name(rng), json!({"min_balance": low, "max_balance": high}))
            }
            Kind::AccountMetadata => post(O::SetAccountMetadata, account_name(rng), metadata(rng)),
            Kind::TransferMetadata => post(O::SetTransferMetadata, self.some_transfer(rng).to_string(), metadata(rng)),
            Kind::PaymentMetadata => post(O::SetPaymentMetadata, self.some_payment(rng).to_string(), metadata(rng)),
            Kind::Indexes => {
                let fields: Vec<&str> = ["code", "user_data_64"].into_iter().filter(|_| rng.percent(50)).collect();
                post(O::ChooseIndexes, ledger(rng).to_string(), json!({"fields": fields}))
            }
            Kind::StartImport => {
                let known = !self.imports.is_empty() && rng.percent(20);
                let id = if known { *rng.pick(&self.imports) } else { self.imports.len() as u128 + 1 };
                if !known {
                    self.imports.push(id);
                }
                let content = Digest::of(&id.to_le_bytes()).to_string();
                post(O::StartImport, String::new(), json!({"id": id.to_string(), "ledger": 1, "content": content}))
            }
            Kind::StageAccounts => self.rows(true, rng),
            Kind::StageTransfers => self.rows(false, rng),
            Kind::OpenImport => post(O::OpenImport, self.some_import(rng).to_string(), json!({})),
            Kind::DiscardImport => post(O::DiscardImport, self.some_import(rng).to_string(), json!({})),
            Kind::TopUp => self.create_payment(false, now, rng),
            Kind::Card => self.create_payment(true, now, rng),
            Kind::PaymentBatch => {
                let payments: Vec<_> = (0..1 + rng.below(6)).map(|_| self.payment(rng.percent(70), now, rng)).collect();
                post(O::CreatePaymentBatch, String::new(), json!({ "payments": payments }))
            }
            Kind::DryPayment => {
                let body = self.payment(rng.percent(70), now, rng);
                self::http(O::CreatePayment, String::new(), "dry_run=true", &body)
            }
            Kind::Approve => self.verb(Verb::Approve, rng),
            Kind::Decline => self.verb(Verb::Decline, rng),
            Kind::Capture => self.verb(Verb::Capture, rng),
            Kind::Void => self.verb(Verb::Void, rng),
            Kind::Refund => self.verb(Verb::Refund, rng),
            Kind::Increment => self.verb(Verb::Increment, rng),
            Kind::VerbBatch => {
                let verbs: Vec<_> = (0..1 + rng.below(8)).map(|_| self.verb_item(rng)).collect();
                post(O::ChangePaymentBatch, String::new(), json!({ "verbs": verbs }))
            }
            Kind::DryVerb => {
                let verb = *rng.pick(&Verb::ALL);
                Http { query: "dry_run=true".to_owned(), ..self.verb(verb, rng) }
            }
            Kind::Label => {
                let label = rng.pick(&["fraud", "legitimate", "legitimate", "chargeback"]);
                let body = json!({"payment": self.some_payment(rng).to_string(), "label": label});
                post(O::RecordLabel, String::new(), body)
            }
            Kind::GetAccount => get(O::GetAccount, account_name(rng), ""),
            Kind::GetTransfer => get(O::GetTransfer, self.some_transfer(rng).to_string(), ""),
            Kind::GetPayment => get(O::GetPayment, self.some_payment(rng).to_string(), ""),
            Kind::PersonalData => get(O::GetPersonalData, self.some_payment(rng).to_string(), ""),
            Kind::TrialBalance => get(O::GetTrialBalance, ledger(rng).to_string(), ""),
            Kind::LookupAccounts => {
                let ids = (0..1 + rng.below(5)).flat_map(|_| u128::from(rng.below(ACCOUNTS + 3)).to_le_bytes());
                bytes(O::LookupAccounts, "", ids.collect())
            }
            Kind::LookupTransfers => {
                let ids: Vec<u128> = (0..1 + rng.below(5)).map(|_| self.some_transfer(rng)).collect();
                bytes(O::LookupTransfers, "", ids.iter().flat_map(|id| id.to_le_bytes()).collect())
            }
            Kind::ListsOfAccounts => match rng.below(3) {
                0 => get(O::ListLedgers, String::new(), ""),
                1 => get(O::GetAddressBalances, String::new(), "ledger=1&address_prefix=a"),
                _ => get(O::ListAccounts, String::new(), rng.pick::<&str>(&["", "limit=3", "address_prefix=a"])),
            },
            Kind::ListsOfTransfers => match rng.below(2) {
                0 => get(O::ListPending, String::new(), "limit=1000"),
                _ => get(O::ListScheduled, String::new(), ""),
            },
            Kind::ActivePolicy => get(O::GetActivePolicy, String::new(), ""),
            Kind::ListsOfImports => match rng.below(2) {
                0 => get(O::ListImports, String::new(), ""),
                _ => get(O::GetImport, self.some_import(rng).to_string(), ""),
            },
        };
        add_key(&mut sent, rng);
        Sent::Http(sent)
    }

    fn create_transfer(&mut self, form: Form, now: Timestamp, rng: &mut Rng) -> Http {
        let body = self.transfer(form, now, rng);
        self.keyed(Operation::CreateTransfer, "", body, rng)
    }

    fn create_payment(&mut self, is_card: bool, now: Timestamp, rng: &mut Rng) -> Http {
        let body = self.payment(is_card, now, rng);
        self.keyed(Operation::CreatePayment, "", body, rng)
    }

    fn packed_chains(&mut self, rng: &mut Rng) -> Http {
        let mut events: Vec<NewTransfer> = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let length = 1 + rng.below(5);
            for link in 1..=length {
                let mut event = self.packed_transfer(rng);
                if link < length {
                    event.flags = event.flags.with(F::LINKED);
                }
                events.push(event);
            }
        }
        if let (Some(last), true) = (events.last_mut(), rng.percent(6)) {
            last.flags = last.flags.with(F::LINKED);
        }
        let records = events.iter().flat_map(|event| TransferRecord::from(event).encode()).collect();
        bytes(Operation::CreateTransfers, if rng.percent(50) { "balances=true" } else { "" }, records)
    }

    /// Identifies what the request creates by an id, or sometimes by an idempotency key.
    fn keyed(&mut self, operation: Operation, query: &str, mut body: serde_json::Value, rng: &mut Rng) -> Http {
        let mut sent = http(operation, String::new(), query, &body);
        if rng.percent(12)
            && let Some(fields) = body.as_object_mut()
        {
            fields.remove("id");
            sent.key = Some(format!("key-{}", rng.below(1 << 40)));
            sent.body = serde_json::to_vec(&body).expect("a body is JSON");
        }
        sent.actor = ActorId::new(1 + rng.below(2));
        sent
    }

    fn verb(&self, verb: Verb, rng: &mut Rng) -> Http {
        let id = self.some_payment(rng).to_string();
        let mut sent = http(Operation::ChangePayment(verb), id, "", &Self::portion(verb, rng));
        sent.key = Some(verb_key(rng));
        sent
    }

    /// A verb in a batch.
    fn verb_item(&self, rng: &mut Rng) -> serde_json::Value {
        let verb = *rng.pick(&[Verb::Approve, Verb::Decline, Verb::Capture, Verb::Capture, Verb::Void, Verb::Refund]);
        let mut item = Self::portion(verb, rng);
        if item.is_null() {
            item = json!({});
        }
        item["payment"] = self.some_payment(rng).to_string().into();
        item["verb"] = verb.name().into();
        item["idempotency_key"] = verb_key(rng).into();
        item
    }

    /// How much of a payment a verb asks for.
    fn portion(verb: Verb, rng: &mut Rng) -> serde_json::Value {
        if verb == Verb::Increment {
            return json!({"amount": rng.below(300).to_string()});
        }
        let takes_part = matches!(verb, Verb::Capture | Verb::Void | Verb::Refund);
        if takes_part && rng.percent(60) {
            // Most payments are of less than 1,000.
            let amount_max = if rng.percent(70) { 300 } else { 1_000 };
            let amount = rng.below(amount_max).to_string();
            if verb == Verb::Capture && rng.percent(30) {
                json!({"amount": amount, "final": rng.percent(50)})
            } else {
                json!({"amount": amount})
            }
        } else {
            serde_json::Value::Null
        }
    }

    fn some_transfer(&self, rng: &mut Rng) -> u128 {
        let recent = self.transfers.len().min(if rng.percent(70) { 12 } else { 1_000 });
        if recent == 0 { 1 } else { self.transfers[self.transfers.len() - 1 - rng.place(recent)] }
    }

    /// Usually one of the latest payments.
    fn some_payment(&self, rng: &mut Rng) -> PaymentId {
        let recent = self.payments.len().min(if rng.percent(80) { 5 } else { 1_000 });
        if recent == 0 { PaymentId::new(1) } else { self.payments[self.payments.len() - 1 - rng.place(recent)] }
    }

    fn some_import(&self, rng: &mut Rng) -> u128 {
        let recent = self.imports.len().min(3);
        if recent == 0 { 1 } else { self.imports[self.imports.len() - 1 - rng.place(recent)] }
    }

    fn payment(&mut self, is_card: bool, now: Timestamp, rng: &mut Rng) -> serde_json::Value {
        let id = if rng.percent(4) { self.some_payment(rng).get() } else { Self::fresh(rng) };
        if rng.percent(10) {
            // The client may refer to the payment later, even if it never received the answer.
            self.payments.push(PaymentId::new(id));
        }
        // Most requests use a few returning customers. Some use a new customer, for whom the server needs a new key.
        let number = if rng.percent(85) { rng.below(CUSTOMERS) } else { rng.below(1 << 30) };
        let customer = format!("customer {number}");
        if !is_card {
            let name = rng.percent(50).then(|| "Ann Example".to_owned());
            return json!({
                "id": id.to_string(), "type": "top_up", "amount": rng.pick(&["5000", "0", "1200"]), "asset": "EUR/2",
                "attributes": {"customer": customer, "name": name},
            });
        }
        let declared = rng.percent(30).then(|| {
            let back = Span::from_ns(rng.below(40_000_000_000));
            let at = now.checked_sub(back).unwrap_or_default();
            (if rng.percent(90) { at } else { at.saturating_add(Span::from_secs(50)) }).to_string()
        });
        let amount = if rng.percent(8) { 0 } else { rng.below(1_000) };
        json!({
            "id": id.to_string(), "type": "card", "amount": amount.to_string(), "asset": "EUR/2",
            "attributes": {
                "customer": customer,
                "merchant": format!("merchant {}", rng.below(2)),
                "email": rng.percent(40).then_some("ann@example.org"),
            },
            "occurred_at": declared,
        })
    }

    fn rows(&self, accounts: bool, rng: &mut Rng) -> Http {
        let id = self.some_import(rng);
        let (all_accounts, all_transfers) = import_rows(id);
        let count = if accounts { all_accounts.len() } else { all_transfers.len() };
        let first = if rng.percent(75) { 0 } else { rng.place(count) };
        let last = if rng.percent(70) { count } else { first + rng.place(count - first) };
        let body = if accounts {
            all_accounts[first..last].iter().flat_map(|row| AccountRecord::from(row).encode()).collect()
        } else {
            all_transfers[first..last].iter().flat_map(|row| TransferRecord::from(row).encode()).collect()
        };
        let kind = if accounts { "accounts" } else { "transfers" };
        let sent = bytes(Operation::StageRows, &format!("first={first}&kind={kind}"), body);
        Http { id: id.to_string(), ..sent }
    }

    fn packed_account(&mut self, rng: &mut Rng) -> NewAccount {
        self.accounts += 1;
        let id = if rng.percent(50) { 1 + rng.below(ACCOUNTS) } else { 100 + rng.below(12) };
        NewAccount {
            id: AccountId::new(id.into()),
            ledger: LedgerId::new(if rng.percent(90) { 1 } else { 2 }),
            code: Code::new(if rng.percent(95) { 10 } else { 0 }),
            flags: if rng.percent(15) { AccountFlags::LINKED } else { AccountFlags::NONE },
            ..NewAccount::default()
        }
    }
}

/// There are few keys, so that a key is sometimes used twice.
fn verb_key(rng: &mut Rng) -> String {
    if rng.percent(8) { "again".to_owned() } else { format!("verb-{}", rng.next()) }
}

fn http(operation: Operation, id: String, query: &str, body: &serde_json::Value) -> Http {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).expect("a body is JSON") };
    Http { operation, actor: ActorId::new(1), credential: FIRST_KEY, key: None, id, query: query.to_owned(), body }
}

fn bytes(operation: Operation, query: &str, body: Vec<u8>) -> Http {
    let (id, query) = (String::new(), query.to_owned());
    Http { operation, actor: ActorId::new(2), credential: FIRST_KEY, key: None, id, query, body }
}

fn stores(asked: &Sent, chunk: &ArtifactChunk) -> bool {
    matches!(asked, Sent::Within(command) if matches!(&**command, Command::StoreArtifact(asked) if asked == chunk))
}

fn ledger(rng: &mut Rng) -> u32 {
    *rng.pick(&[1, 1, 1, 2, 978])
}

fn address(rng: &mut Rng) -> String {
    (*rng.pick(&["a", "a:b", "a:b:c", "a:d", "e:f"])).to_owned()
}

/// Names an account by its id or its address.
fn account_name(rng: &mut Rng) -> String {
    if rng.percent(12) { address(rng) } else { (1 + rng.below(ACCOUNTS)).to_string() }
}

/// Gives some changes and batches an idempotency key. There are few keys, so that a key is often used twice, sometimes
/// with the same content.
fn add_key(sent: &mut Http, rng: &mut Rng) {
    use Operation as O;
    let list = match sent.operation {
        O::OpenAccountBatch => Some("accounts"),
        O::CreateTransferBatch => Some("transfers"),
        O::CreatePaymentBatch => Some("payments"),
        _ => None,
    };
    let is_change = matches!(
        sent.operation,
        O::SetAddress
            | O::SetLimits
            | O::SetAccountMetadata
            | O::SetTransferMetadata
            | O::SetPaymentMetadata
            | O::ChooseIndexes
            | O::CancelTransfer
            | O::ReverseTransfer
            | O::RecordLabel
            | O::OpenLedger
            | O::SetApprovalRules
    );
    if sent.key.is_some() || !sent.query.is_empty() || !(is_change || list.is_some()) || !rng.percent(25) {
        return;
    }
    let keys = if rng.percent(50) { 4 } else { 1 << 30 };
    sent.key = Some(format!("again-{}", rng.below(keys)));
    if let Some(list) = list {
        let mut body: serde_json::Value = serde_json::from_slice(&sent.body).expect("a body is JSON");
        for item in body[list].as_array_mut().into_iter().flatten().filter_map(|item| item.as_object_mut()) {
            item.remove("id");
        }
        sent.body = serde_json::to_vec(&body).expect("a body is JSON");
    }
}

fn metadata(rng: &mut Rng) -> serde_json::Value {
    let value = if rng.percent(25) { serde_json::Value::Null } else { json!({"n": rng.below(3)}) };
    json!({"metadata": {*rng.pick(&["k", "l", "m"]): value}})
}

/// A chunk that is large enough to fill segments.
fn large(rng: &mut Rng) -> ArtifactChunk {
    let number = rng.below(1 << 40);
    let bytes = usize::try_from(rng.below(200)).unwrap_or(0) * 1024;
    let filler = number.to_le_bytes()[0] | 1;
    ArtifactChunk { artifact: Digest::of(&number.to_le_bytes()), index: 0, count: 1, bytes: vec![filler; bytes].into() }
}

/// The accounts and transfers of an import. They are the same every time.
fn import_rows(id: u128) -> (Vec<NewAccount>, Vec<NewTransfer>) {
    let base = 1_000_000_000_000_000_000 + u64::try_from(id).unwrap_or(0) * 1_000_000_000;
    let (ledger, code) = (LedgerId::new(1), Code::new(5));
    let account = |place: u64| NewAccount {
        id: AccountId::new(1_000 * id + u128::from(place)),
        ledger,
        code,
        timestamp_ns: base + place,
        ..NewAccount::default()
    };
    let transfer = |place: u64| NewTransfer {
        debit: AccountId::new(1_000 * id + u128::from(place % 4)),
        credit: AccountId::new(1_000 * id + u128::from((place + 1) % 4)),
        amount: Amount::new(u128::from(place)),
        ledger,
        code,
        timestamp_ns: base + 1_000 + place,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(1_000 * id + u128::from(place))))
    };
    ((0..4).map(account).collect(), (1..9).map(transfer).collect())
}
