use engine::{Answer, ApiKeyAdded, ArtifactChunk, Command, NewPayment, Query, Reply, Request, Verb};
use ledger::{AccountFlags, NewAccount, NewTransfer, TransferFlags, TransferKey};
use policy::AttributeValue;
use types::{
    AccountId, ActorId, Amount, Code, Digest, DigestBuilder, KeyId, LedgerId, PaymentId, RequestId, Sealed, Token,
    TransferId,
};

use crate::Rng;
use crate::policies::policies;
use crate::process::TENANT;

/// Clients that know few ids and few accounts, so that they get into each other's way. They repeat themselves, with the
/// same ids and also after they got an answer.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    asked: Vec<Request>,
    /// Payments that answers were about, and the policy that an answer named last.
    payments: Vec<PaymentId>,
    policy: Option<Digest>,
}

const ACCOUNTS: u64 = 6;
const CUSTOMERS: u64 = 3;

impl Clients {
    /// The next request, and its number.
    pub(crate) fn ask(&mut self, rng: &mut Rng) -> (usize, Request) {
        let recent = self.asked.len().min(30);
        let request = if recent > 0 && rng.percent(20) {
            self.asked[self.asked.len() - 1 - rng.place(recent)].clone()
        } else {
            self.new_request(rng)
        };
        self.asked.push(request.clone());
        (self.asked.len() - 1, request)
    }

    pub(crate) fn request(&self, number: usize) -> Request {
        self.asked[number].clone()
    }

    /// What clients learn from an answer.
    pub(crate) fn hear(&mut self, answer: &Answer) {
        if let Ok(Reply::Payment(_, reply)) = answer {
            self.payments.push(reply.payment.id);
        }
        if let Ok(Reply::Policy(_, active)) = answer {
            self.policy = Some(active.activated.artifact);
        }
    }

    fn new_request(&self, rng: &mut Rng) -> Request {
        let fresh = u128::from(rng.next()) | 1 << 64;
        // Everything starts with books, accounts and a policy.
        let early = self.asked.len() < 40;
        let command = match rng.below(100) {
            0..3 => open_ledger(rng),
            3..10 => Command::OpenAccount(Box::new(new_account(rng).into())),
            10..20 if early => Command::OpenAccount(Box::new(new_account(rng).into())),
            20..40 if early => self.install(rng),
            10..32 => Command::CreateTransfer(Box::new(transfer(rng, fresh).into())),
            32..44 => Command::CreateTransfer(Box::new(self.resolution(rng, fresh).into())),
            44..49 => Command::StoreArtifact(large(rng)),
            49..50 => self.install(rng),
            50..52 => Command::AddApiKey(api_key(rng)),
            52..70 => Command::CreatePayment(Box::new(self.payment(rng, fresh))),
            70..80 => Command::ChangePayment { payment: self.some_payment(rng), verb: *rng.pick(&Verb::ALL) },
            80..84 => {
                let label = rng.pick(&["fraud", "legitimate"]).parse().expect("both are names");
                Command::RecordLabel { payment: self.some_payment(rng), label }
            }
            _ => Command::Query(self.query(rng)),
        };
        let mut id = RequestId::new(fresh);
        if let Command::CreatePayment(new) = &command {
            id = RequestId::new(new.payment.get());
        }
        Request { tenant: TENANT, actor: ActorId::new(rng.below(2)), id, command }
    }

    /// Mostly the parts of a policy, sometimes its activation, whether or not all parts are there.
    fn install(&self, rng: &mut Rng) -> Command {
        let prepared = rng.pick(policies());
        let missing = prepared.chunks.iter().find(|chunk| !self.asked.iter().any(|asked| stores(asked, chunk)));
        match missing {
            Some(chunk) if rng.percent(95) => Command::StoreArtifact(chunk.clone()),
            Some(_) | None => Command::ActivatePolicy {
                artifact: prepared.policy.digest(),
                policy: std::sync::Arc::clone(&prepared.policy),
            },
        }
    }

    fn some_transfer(&self, rng: &mut Rng, pending: bool) -> TransferKey {
        let transfer = |asked: &Request| {
            let Command::CreateTransfer(order) = &asked.command else { return None };
            (!pending || order.new.flags.contains(TransferFlags::PENDING)).then_some(order.new.key)
        };
        let recent: Vec<TransferKey> = self.asked.iter().rev().filter_map(transfer).take(8).collect();
        if recent.is_empty() { TransferKey::Client(TransferId::new(1)) } else { *rng.pick(&recent) }
    }

    /// Mostly one that was decided; sometimes one of which nobody knows what became of it.
    fn some_payment(&self, rng: &mut Rng) -> PaymentId {
        let payment = |asked: &Request| {
            if let Command::CreatePayment(new) = &asked.command { Some(new.payment) } else { None }
        };
        let unsure = self.asked.iter().rev().filter_map(payment);
        let known = self.payments.iter().rev().copied();
        let some: Vec<PaymentId> = if rng.percent(85) { known.take(4).collect() } else { unsure.take(8).collect() };
        if some.is_empty() { PaymentId::new(1) } else { *rng.pick(&some) }
    }

    fn resolution(&self, rng: &mut Rng, id: u128) -> NewTransfer {
        let all = rng.percent(60);
        let (flags, amount) = if rng.percent(60) {
            (TransferFlags::POST_PENDING_TRANSFER, if all { Amount::MAX } else { amount(rng) })
        } else {
            (TransferFlags::VOID_PENDING_TRANSFER, Amount::ZERO)
        };
        let pending = Some(self.some_transfer(rng, true));
        NewTransfer { amount, flags, pending, ..NewTransfer::named(TransferKey::Client(TransferId::new(id))) }
    }

    fn payment(&self, rng: &mut Rng, id: u128) -> NewPayment {
        // The edge parses a payment with the policy it believes to decide.
        let known = policies().iter().find(|known| Some(known.policy.digest()) == self.policy);
        let policy = &known.filter(|_| rng.percent(95)).unwrap_or_else(|| rng.pick(policies())).policy;
        let name = if rng.percent(40) { "top_up" } else { "card" };
        let (payment_type, _) = policy.payment_type(name).expect("the policy has both types");
        // Now and then an id that another payment has.
        let payment = if rng.percent(5) { self.some_payment(rng) } else { PaymentId::new(id) };
        let customer = Token::new(u128::from(rng.below(CUSTOMERS)) + 1);
        let amount = if name == "top_up" { Amount::new(5_000) } else { amount(rng) };
        let mut content = DigestBuilder::new("finaira simulated payment");
        content.bytes(name.as_bytes()).u128(customer.get()).u128(amount.get()).u128(payment.get());
        // Nothing to move, nothing to learn from it: these carry a sealed section, see the checker.
        let sealed = amount.is_zero().then(|| Sealed { keys: vec![KeyId::new(id)], ciphertext: [5; 60].into() });
        NewPayment {
            payment,
            content: content.digest(),
            policy: policy.digest(),
            payment_type,
            amount,
            occurred_at: None,
            attributes: vec![Some(AttributeValue::Entity(customer))],
            sealed,
        }
    }

    fn query(&self, rng: &mut Rng) -> Query {
        match rng.below(5) {
            0 => Query::TrialBalance(ledger(rng)),
            1 => match self.some_transfer(rng, false) {
                TransferKey::Client(id) => Query::Transfer(id),
                TransferKey::Leg { payment, .. } => Query::Payment(payment),
            },
            2 => Query::Payment(self.some_payment(rng)),
            _ => Query::Account(account(rng).into()),
        }
    }
}

fn stores(asked: &Request, chunk: &ArtifactChunk) -> bool {
    matches!(&asked.command, Command::StoreArtifact(asked) if asked == chunk)
}

fn open_ledger(rng: &mut Rng) -> Command {
    let asset = if rng.percent(90) { "USD/2" } else { "JPY/0" };
    Command::OpenLedger { id: ledger(rng), asset: asset.parse().expect("both are assets") }
}

fn ledger(rng: &mut Rng) -> LedgerId {
    LedgerId::new(*rng.pick(&[1, 1, 1, 2, 978]))
}

fn account(rng: &mut Rng) -> AccountId {
    AccountId::new(u128::from(rng.below(ACCOUNTS)) + 1)
}

fn amount(rng: &mut Rng) -> Amount {
    Amount::new(u128::from(if rng.percent(10) { 0 } else { rng.below(1_000) }))
}

fn new_account(rng: &mut Rng) -> NewAccount {
    let id = account(rng);
    // The same content for the same id, mostly.
    let flags = match id.get() {
        1 => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        2 => AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
        _ => AccountFlags::NONE,
    };
    let code = Code::new(if rng.percent(95) { 10 } else { 11 });
    NewAccount { id, ledger: LedgerId::new(1), code, flags, ..NewAccount::default() }
}

fn transfer(rng: &mut Rng, id: u128) -> NewTransfer {
    let pending = rng.percent(45);
    NewTransfer {
        debit: account(rng),
        credit: account(rng),
        amount: amount(rng),
        user_data_64: rng.next(),
        timeout_s: if pending { *rng.pick(&[0, 1, 5, 60]) } else { 0 },
        ledger: LedgerId::new(1),
        code: Code::new(1),
        flags: if pending { TransferFlags::PENDING } else { TransferFlags::NONE },
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}

/// Fills segments.
fn large(rng: &mut Rng) -> ArtifactChunk {
    let number = rng.below(1 << 40);
    let bytes = usize::try_from(rng.below(257)).unwrap_or(0) * 1024;
    let filler = u8::try_from(number % 256).unwrap_or(0);
    ArtifactChunk { artifact: Digest::of(&number.to_le_bytes()), index: 0, count: 1, bytes: vec![filler; bytes].into() }
}

fn api_key(rng: &mut Rng) -> ApiKeyAdded {
    let key = rng.below(20) + 1;
    ApiKeyAdded { key: ActorId::new(key), hash: Digest::of(&key.to_le_bytes()), scopes: 1, name: "simulated".into() }
}
