//! Requests of every kind that changes rows, in an order that a seed determines.

use fixtures::WALLET;
use serde_json::{Value, json};

use crate::harness::{Client, Reply};

/// The ledger of the transfers that clients make.
const LEDGER: u32 = 1;
const ACCOUNTS: u64 = 40;
const CUSTOMERS: u64 = 12;

/// Sends requests. Ids are numbers that go up, so that each request is a new one.
pub(crate) struct Traffic {
    client: Client,
    random: u64,
    next: u64,
    /// Pending transfers that nobody has resolved.
    pendings: Vec<u64>,
    /// Payments that may be changed.
    payments: Vec<u128>,
}

impl Traffic {
    /// Opens the ledger and the accounts, and activates a policy.
    pub(crate) fn begin(client: &Client, seed: u64) -> Self {
        let created = |reply: &Reply| assert!([200, 201].contains(&reply.status), "{reply:?}");
        created(&client.post("/v1/ledgers", &json!({"id": LEDGER, "asset": "EUR/2"})));
        let accounts: Vec<Value> =
            (1..=ACCOUNTS).map(|id| json!({"id": id.to_string(), "ledger": LEDGER, "code": 1})).collect();
        created(&client.post("/v1/accounts/batch", &json!({"accounts": accounts})));
        created(&client.activate(WALLET));
        Self { client: client.clone(), random: seed.max(1), next: 1_000_000, pendings: Vec::new(), payments: Vec::new() }
    }

    /// A number below `limit`, by xorshift.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends some requests. A server that is gone is no failure: the test looks at what is in the journal.
    pub(crate) fn send(&mut self, count: usize) {
        for _ in 0..count {
            match self.below(12) {
                0..=2 => self.transfers(),
                3 => self.pending(),
                4 => self.resolve(),
                5..=7 => self.pay(),
                8..=9 => self.change(),
                10 => self.settings(),
                _ => self.label(),
            }
        }
    }

    fn transfer(&mut self) -> Value {
        let debit = 1 + self.below(ACCOUNTS);
        let credit = 1 + (debit + self.below(ACCOUNTS - 1)) % ACCOUNTS;
        json!({"id": self.id().to_string(), "debit_account": debit.to_string(), "credit_account": credit.to_string(),
            "amount": self.below(1_000).to_string(), "code": 1, "ledger": LEDGER, "asset": "EUR/2"})
    }

    fn transfers(&mut self) {
        let transfers: Vec<Value> = (0..=self.below(30)).map(|_| self.transfer()).collect();
        self.client.post("/v1/transfers/batch", &json!({"transfers": transfers}));
    }

    fn pending(&mut self) {
        let mut transfer = self.transfer();
        let id = self.next;
        transfer["flags"] = json!(["pending"]);
        // A part of them expires while the test runs.
        transfer["timeout_s"] = json!(if self.below(2) == 0 { 1 } else { 600 });
        if self.client.post("/v1/transfers", &transfer).status == 201 {
            self.pendings.push(id);
        }
    }

    fn resolve(&mut self) {
        let Some(pending) = self.pendings.pop() else { return };
        let flag = if self.below(2) == 0 { "post_pending_transfer" } else { "void_pending_transfer" };
        let id = self.id().to_string();
        let mut transfer = json!({"id": id, "pending_id": pending.to_string(), "flags": [flag]});
        if flag == "post_pending_transfer" {
            transfer["amount"] = json!("max");
        }
        self.client.post("/v1/transfers", &transfer);
    }

    fn pay(&mut self) {
        let id = u128::from(self.id());
        let customer = format!("customer {}", self.below(CUSTOMERS));
        let amount = 1 + self.below(4_000);
        let reply = match self.below(4) {
            0 => self.client.pay(id, "top_up", 5_000, &json!({"customer": customer})),
            1 => self.client.pay(id, "card", amount, &json!({"customer": customer, "device": "phone"})),
            2 => self.client.pay(id, "card", amount, &json!({"customer": customer})),
            _ => {
                let recipient = format!("customer {}", self.below(CUSTOMERS));
                let attributes = json!({"customer": customer, "recipient": recipient, "country": "DE", "rate": 0.1,
                    "note": "a \"quoted\"\tnote"});
                self.client.pay(id, "transfer", amount, &attributes)
            }
        };
        if reply.status == 201 {
            self.payments.push(id);
        }
    }

    fn change(&mut self) {
        if self.payments.is_empty() {
            return;
        }
        let place = usize::try_from(self.below(self.payments.len() as u64)).expect("a position");
        let payment = self.payments[place];
        let key = self.id().to_string();
        let verb = ["approve", "decline", "capture", "void", "refund", "increment"]
            [usize::try_from(self.below(6)).expect("a position")];
        let portion = json!({"amount": (1 + self.below(500)).to_string()});
        match verb {
            "approve" | "decline" => drop(self.client.verb(&payment.to_string(), verb, &key)),
            _ => drop(self.client.part(payment, verb, &key, &portion)),
        }
    }

    fn label(&mut self) {
        let Some(payment) = self.payments.last().copied() else { return };
        let label = if self.below(2) == 0 { "fraud" } else { "legitimate" };
        self.client.post("/v1/labels", &json!({"payment": payment.to_string(), "label": label}));
    }

    fn settings(&mut self) {
        let account = 1 + self.below(ACCOUNTS);
        let (path, body) = match self.below(2) {
            0 => (format!("/v1/accounts/{account}/limits"), json!({"max_balance": (1_000_000 + self.below(1_000)).to_string()})),
            _ => {
                let number = self.below(100);
                let value = json!({"name": format!("a\\b\t{number}"), "of": [number, null]});
                let value = if number < 30 { Value::Null } else { value };
                (format!("/v1/accounts/{account}/metadata"), json!({"metadata": {"segment": value}}))
            }
        };
        self.client.post(&path, &body);
    }
}
