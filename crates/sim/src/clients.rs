//! Clients that know few ids and few accounts, so that their requests conflict. They repeat requests with the same ids,
//! even after they received an answer.

mod orders;

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

/// Every kind of request and its weight.
pub(crate) const KINDS: [(&str, u64); 54] = [
    ("open_ledger", 1),
    ("open_account", 3),
    ("open_accounts", 2),
    ("packed_accounts", 2),
    ("transfer", 7),
    ("pending_transfer", 7),
    ("resolution", 9),
    ("balancing_transfer", 3),
    ("closing_transfer", 2),
    ("scheduled_transfer", 3),
    ("cancel", 2),
    ("transfer_batch", 4),
    ("packed_transfers", 6),
    ("packed_chains", 5),
    ("reversal", 3),
    ("address", 2),
    ("limits", 2),
    ("account_metadata", 1),
    ("transfer_metadata", 2),
    ("payment_metadata", 1),
    ("indexes", 1),
    ("dry_account", 1),
    ("dry_transfer", 2),
    ("dry_batch", 1),
    ("dry_payment", 2),
    ("dry_verb", 1),
    ("start_import", 1),
    ("stage_accounts", 3),
    ("stage_transfers", 3),
    ("open_import", 1),
    ("discard_import", 1),
    ("top_up", 7),
    ("card", 16),
    ("approve", 3),
    ("decline", 1),
    ("capture", 3),
    ("void", 2),
    ("refund", 2),
    ("label", 3),
    ("policy_part", 2),
    ("policy", 2),
    ("principal", 1),
    ("credential", 1),
    ("large_artifact", 2),
    ("get_account", 3),
    ("get_transfer", 3),
    ("get_payment", 2),
    ("trial_balance", 2),
    ("lookup_accounts", 1),
    ("lookup_transfers", 1),
    ("lists_of_accounts", 2),
    ("lists_of_transfers", 2),
    ("lists_of_payments", 1),
    ("lists_of_imports", 1),
];

/// The clients and what they have learned.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    asked: Vec<Sent>,
    /// How many requests of each kind were sent.
    pub(crate) kinds: BTreeMap<&'static str, u64>,
    transfers: Vec<u128>,
    pendings: Vec<u128>,
    scheduled: Vec<u128>,
    payments: Vec<PaymentId>,
    imports: Vec<u128>,
    accounts: u64,
}

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

    fn kind(&self, rng: &mut Rng) -> &'static str {
        if self.asked.len() < EARLY {
            return rng.pick::<&str>(&[
                "open_ledger",
                "open_account",
                "open_account",
                "policy_part",
                "policy_part",
                "policy",
            ]);
        }
        if rng.percent(15) {
            // Picks the kind that occurred least so far, so that no kind is left out.
            let kinds = KINDS.iter().map(|(kind, _)| *kind);
            return kinds.min_by_key(|kind| self.kinds.get(kind).copied().unwrap_or(0)).unwrap_or("transfer");
        }
        let mut left = rng.below(KINDS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in KINDS {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        "transfer"
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

    fn request(&mut self, kind: &'static str, now: Timestamp, rng: &mut Rng) -> Sent {
        match self.within(kind, rng) {
            Some(command) => Sent::Within(Box::new(command)),
            None => Sent::Http(self.over_the_network(kind, now, rng)),
        }
    }

    /// A command that the server itself submits.
    fn within(&self, kind: &str, rng: &mut Rng) -> Option<Command> {
        Some(match kind {
            "policy_part" => {
                let chunks: Vec<ArtifactChunk> = rng.pick(policies()).chunks().collect();
                let missing =
                    |chunk: &&ArtifactChunk| !self.asked.iter().rev().take(400).any(|asked| stores(asked, chunk));
                let chunk = chunks.iter().find(missing).unwrap_or_else(|| rng.pick(&chunks));
                chunk.clone().into()
            }
            "policy" => {
                let variant = rng.pick(policies());
                let (artifact, policy) = (variant.policy.digest(), std::sync::Arc::clone(&variant.policy));
                ActivatePolicy { artifact, policy }.into()
            }
            "principal" => {
                let (actor, kind) = (ActorId::new(rng.below(10)), *rng.pick(&PrincipalKind::ALL));
                PrincipalAdded { actor, kind, name: "simulated".into() }.into()
            }
            "credential" => {
                let credential = rng.below(30) + 1;
                let added = CredentialAdded {
                    credential: CredentialId::new(credential),
                    principal: ActorId::new(rng.below(10)),
                    kind: CredentialKind::ApiKey { hash: Digest::of(&credential.to_le_bytes()) },
                    scopes: 1,
                    name: "simulated".into(),
                };
                added.into()
            }
            "large_artifact" => large(rng).into(),
            _ => return None,
        })
    }

    fn over_the_network(&mut self, kind: &'static str, now: Timestamp, rng: &mut Rng) -> Http {
        use Operation as O;
        let post = |operation, id: String, body: serde_json::Value| self::http(operation, id, "", &body);
        match kind {
            "open_ledger" => {
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
            "open_account" => post(O::OpenAccount, String::new(), self.account(rng)),
            "dry_account" => self::http(O::OpenAccount, String::new(), "dry_run=true", &self.account(rng)),
            "open_accounts" => {
                let count = 1 + rng.below(4);
                let accounts: Vec<_> = (0..count).map(|_| self.account(rng)).collect();
                post(O::OpenAccountBatch, String::new(), json!({"accounts": accounts}))
            }
            "packed_accounts" => {
                let count = 1 + rng.below(4);
                let records = (0..count).flat_map(|_| AccountRecord::from(&self.packed_account(rng)).encode());
                bytes(O::CreateAccounts, "", records.collect())
            }
            "transfer" | "pending_transfer" | "balancing_transfer" | "closing_transfer" | "scheduled_transfer"
            | "resolution" => {
                let body = self.transfer(kind, now, rng);
                self.keyed(O::CreateTransfer, "", body, rng)
            }
            "dry_transfer" => {
                let kind = *rng.pick(&["transfer", "pending_transfer", "resolution", "balancing_transfer"]);
                let body = self.transfer(kind, now, rng);
                self::http(O::CreateTransfer, String::new(), "dry_run=true", &body)
            }
            "transfer_batch" | "dry_batch" => {
                let body = self.transfer_batch(now, rng);
                let query = if kind == "dry_batch" { "dry_run=true" } else { "" };
                self::http(O::CreateTransferBatch, String::new(), query, &body)
            }
            "packed_transfers" => {
                let count = 1 + rng.below(9);
                let records: Vec<u8> =
                    (0..count).flat_map(|_| TransferRecord::from(&self.packed_transfer(rng)).encode()).collect();
                let query = if rng.percent(50) { "balances=true" } else { "" };
                bytes(O::CreateTransfers, query, records)
            }
            "packed_chains" => {
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
                bytes(O::CreateTransfers, if rng.percent(50) { "balances=true" } else { "" }, records)
            }
            "cancel" => {
                let id = if self.scheduled.is_empty() { 7 } else { *rng.pick(&self.scheduled) };
                post(O::CancelTransfer, id.to_string(), json!({}))
            }
            "reversal" => post(O::ReverseTransfer, self.some_transfer(rng).to_string(), json!({})),
            "address" => {
                let body = json!({"address": address(rng)});
                post(O::SetAddress, account_name(rng), body)
            }
            "limits" => {
                let low = rng.percent(60).then(|| (i64::try_from(rng.below(4_000)).unwrap_or(0) - 3_000).to_string());
                let high = rng.percent(60).then(|| (i64::try_from(rng.below(9_000)).unwrap_or(0) - 500).to_string());
                post(O::SetLimits, account_name(rng), json!({"min_balance": low, "max_balance": high}))
            }
            "account_metadata" => post(O::SetAccountMetadata, account_name(rng), metadata(rng)),
            "transfer_metadata" => post(O::SetTransferMetadata, self.some_transfer(rng).to_string(), metadata(rng)),
            "payment_metadata" => post(O::SetPaymentMetadata, self.some_payment(rng).to_string(), metadata(rng)),
            "indexes" => {
                let fields: Vec<&str> = ["code", "user_data_64"].into_iter().filter(|_| rng.percent(50)).collect();
                post(O::ChooseIndexes, ledger(rng).to_string(), json!({"fields": fields}))
            }
            "start_import" => {
                let known = !self.imports.is_empty() && rng.percent(20);
                let id = if known { *rng.pick(&self.imports) } else { self.imports.len() as u128 + 1 };
                if !known {
                    self.imports.push(id);
                }
                let content = Digest::of(&id.to_le_bytes()).to_string();
                post(O::StartImport, String::new(), json!({"id": id.to_string(), "ledger": 1, "content": content}))
            }
            "stage_accounts" | "stage_transfers" => self.rows(kind == "stage_accounts", rng),
            "open_import" => post(O::OpenImport, self.some_import(rng).to_string(), json!({})),
            "discard_import" => post(O::DiscardImport, self.some_import(rng).to_string(), json!({})),
            "top_up" | "card" => {
                let body = self.payment(kind == "card", now, rng);
                self.keyed(O::CreatePayment, "", body, rng)
            }
            "dry_payment" => {
                let body = self.payment(rng.percent(70), now, rng);
                self::http(O::CreatePayment, String::new(), "dry_run=true", &body)
            }
            "approve" => self.verb(Verb::Approve, rng),
            "decline" => self.verb(Verb::Decline, rng),
            "capture" => self.verb(Verb::Capture, rng),
            "void" => self.verb(Verb::Void, rng),
            "refund" => self.verb(Verb::Refund, rng),
            "dry_verb" => {
                let verb = *rng.pick(&Verb::ALL);
                Http { query: "dry_run=true".to_owned(), ..self.verb(verb, rng) }
            }
            "label" => {
                let label = rng.pick(&["fraud", "legitimate", "legitimate", "chargeback"]);
                let body = json!({"payment": self.some_payment(rng).to_string(), "label": label});
                post(O::RecordLabel, String::new(), body)
            }
            other => self.query(other, rng),
        }
    }

    fn query(&mut self, kind: &'static str, rng: &mut Rng) -> Http {
        use Operation as O;
        let get = |operation, id: String, query: &str| http(operation, id, query, &serde_json::Value::Null);
        match kind {
            "get_account" => get(O::GetAccount, account_name(rng), ""),
            "get_transfer" => get(O::GetTransfer, self.some_transfer(rng).to_string(), ""),
            "get_payment" => get(O::GetPayment, self.some_payment(rng).to_string(), ""),
            "trial_balance" => get(O::GetTrialBalance, ledger(rng).to_string(), ""),
            "lookup_accounts" => {
                let ids = (0..1 + rng.below(5)).flat_map(|_| u128::from(rng.below(ACCOUNTS + 3)).to_le_bytes());
                bytes(O::LookupAccounts, "", ids.collect())
            }
            "lookup_transfers" => {
                let ids: Vec<u128> = (0..1 + rng.below(5)).map(|_| self.some_transfer(rng)).collect();
                bytes(O::LookupTransfers, "", ids.iter().flat_map(|id| id.to_le_bytes()).collect())
            }
            "lists_of_accounts" => match rng.below(3) {
                0 => get(O::ListLedgers, String::new(), ""),
                1 => get(O::GetAddressBalances, String::new(), "ledger=1&address_prefix=a"),
                _ => get(O::ListAccounts, String::new(), rng.pick::<&str>(&["", "limit=3", "address_prefix=a"])),
            },
            "lists_of_transfers" => match rng.below(2) {
                0 => get(O::ListPending, String::new(), "limit=1000"),
                _ => get(O::ListScheduled, String::new(), ""),
            },
            "lists_of_payments" => match rng.below(2) {
                0 => get(O::ListPayments, String::new(), "limit=1000"),
                _ => get(O::GetActivePolicy, String::new(), ""),
            },
            _ => match rng.below(2) {
                0 => get(O::ListImports, String::new(), ""),
                _ => get(O::GetImport, self.some_import(rng).to_string(), ""),
            },
        }
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
        let mut sent = http(Operation::ChangePayment(verb), id, "", &serde_json::Value::Null);
        // There are few keys, so that a key is sometimes used twice.
        sent.key = Some(if rng.percent(8) { "again".to_owned() } else { format!("verb-{}", rng.next()) });
        sent
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
}

fn http(operation: Operation, id: String, query: &str, body: &serde_json::Value) -> Http {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).expect("a body is JSON") };
    Http { operation, actor: ActorId::new(1), key: None, id, query: query.to_owned(), body }
}

fn bytes(operation: Operation, query: &str, body: Vec<u8>) -> Http {
    let (id, query) = (String::new(), query.to_owned());
    Http { operation, actor: ActorId::new(2), key: None, id, query, body }
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

impl Clients {
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
