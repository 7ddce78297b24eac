//! The transfers and accounts that clients request.

use ledger::{NewTransfer, TransferFlags as F, TransferKey};
use serde_json::{Value, json};
use types::{AccountId, Amount, Code, LedgerId, Span, Timestamp, TransferId};

use super::{ACCOUNTS, Clients, account_name, address};
use crate::Rng;

/// The form of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Pending,
    /// Posts or voids a pending transfer.
    Resolution,
    Balancing,
    Closing,
    Scheduled,
}

impl Clients {
    pub(super) fn account(&mut self, rng: &mut Rng) -> Value {
        self.accounts += 1;
        let id = 1 + rng.below(ACCOUNTS);
        // The same id mostly comes with the same content.
        let flags: &[&str] = match id {
            1 => &["debits_must_not_exceed_credits"],
            2 => &["credits_must_not_exceed_debits"],
            3 => &["history"],
            7 => &["policy_only"],
            _ => &[],
        };
        let mut body = json!({
            "id": id.to_string(),
            "ledger": if id == 8 { 2 } else { 1 },
            "code": if rng.percent(95) { 10 } else { 11 },
            "flags": flags,
        });
        if rng.percent(20) {
            body["address"] = json!(address(rng));
        }
        if rng.percent(10) {
            body["limits"] = json!({"min_balance": "-5000"});
        }
        if rng.percent(10) {
            body["metadata"] = json!({"k": rng.below(3)});
        }
        body
    }

    pub(super) fn transfer(&mut self, form: Form, now: Timestamp, rng: &mut Rng) -> Value {
        let id = if rng.percent(4) { self.some_transfer(rng) } else { Self::fresh(rng) };
        self.transfers.push(id);
        if form == Form::Resolution {
            return self.resolution(id, rng);
        }
        let mut body = json!({
            "id": id.to_string(),
            "debit_account": account_name(rng),
            "credit_account": account_name(rng),
            "amount": amount(rng).to_string(),
            "asset": if rng.percent(98) { "USD/2" } else { "EUR/2" },
            "code": 1,
        });
        match form {
            Form::Pending => {
                self.pendings.push(id);
                body["flags"] = json!(["pending"]);
                if rng.percent(50) {
                    body["timeout_s"] = json!(rng.pick(&[1, 5, 60]));
                }
            }
            Form::Balancing => {
                body["flags"] = json!([rng.pick(&["balancing_debit", "balancing_credit"])]);
                if rng.percent(30) {
                    body["amount"] = json!("max");
                }
            }
            Form::Closing => {
                self.pendings.push(id);
                body["flags"] = json!(["pending", rng.pick(&["closing_debit", "closing_credit"])]);
                body["timeout_s"] = json!(rng.pick(&[1, 20]));
                body["amount"] = json!("0");
            }
            Form::Scheduled => {
                self.scheduled.push(id);
                let at = now.saturating_add(Span::from_ns(rng.below(90_000_000_000)));
                body["scheduled_at"] = json!(at.to_string());
            }
            Form::Plain | Form::Resolution => {
                if rng.percent(15) {
                    body["metadata"] = json!({"k": rng.below(3)});
                }
                if rng.percent(20) {
                    body["user_data_64"] = json!(rng.below(5).to_string());
                }
            }
        }
        body
    }

    fn resolution(&self, id: u128, rng: &mut Rng) -> Value {
        let pending = self.some_pending(rng).to_string();
        if rng.percent(60) {
            let amount = if rng.percent(60) { "max".to_owned() } else { amount(rng).to_string() };
            json!({"id": id.to_string(), "pending_id": pending, "amount": amount, "flags": ["post_pending_transfer"]})
        } else {
            json!({"id": id.to_string(), "pending_id": pending, "flags": ["void_pending_transfer"]})
        }
    }

    fn some_pending(&self, rng: &mut Rng) -> u128 {
        let recent = self.pendings.len().min(if rng.percent(80) { 8 } else { 1_000 });
        if recent == 0 { 1 } else { self.pendings[self.pendings.len() - 1 - rng.place(recent)] }
    }

    pub(super) fn transfer_batch(&mut self, now: Timestamp, rng: &mut Rng) -> Value {
        const FORMS: [Form; 6] =
            [Form::Plain, Form::Plain, Form::Pending, Form::Resolution, Form::Balancing, Form::Scheduled];
        let is_atomic = rng.percent(40);
        // Orders that succeed or fail together are mostly simple, because otherwise none would succeed.
        let forms = if is_atomic { &FORMS[..3] } else { &FORMS[..] };
        let count = 1 + rng.below(5);
        let mut one = || {
            let form = *rng.pick(forms);
            self.transfer(form, now, rng)
        };
        let transfers: Vec<Value> = (0..count).map(|_| one()).collect();
        json!({"transfers": transfers, "atomic": is_atomic})
    }

    /// A transfer that is usually valid, sometimes wrong in one of many ways, pending, or resolves a pending one.
    pub(super) fn packed_transfer(&mut self, rng: &mut Rng) -> NewTransfer {
        let id = if rng.percent(4) { self.some_transfer(rng) } else { Self::fresh(rng) };
        self.transfers.push(id);
        let account = |rng: &mut Rng| AccountId::new(u128::from(1 + rng.below(ACCOUNTS)));
        let new = NewTransfer {
            debit: account(rng),
            credit: account(rng),
            amount: Amount::new(amount(rng).into()),
            user_data_64: rng.below(5),
            ledger: LedgerId::new(1),
            code: Code::new(1),
            ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
        };
        match rng.below(100) {
            0..15 => {
                self.pendings.push(id);
                let timeout_s = *rng.pick(&[0, 0, 1, 4]);
                NewTransfer { flags: F::PENDING, timeout_s, ..new }
            }
            15..27 => {
                let pending = Some(TransferKey::Client(TransferId::new(self.some_pending(rng))));
                let named = NewTransfer::named(new.key);
                if rng.percent(50) {
                    NewTransfer { pending, amount: Amount::MAX, flags: F::POST_PENDING_TRANSFER, ..named }
                } else {
                    NewTransfer { pending, flags: F::VOID_PENDING_TRANSFER, ..named }
                }
            }
            27..32 => NewTransfer { flags: F::BALANCING_DEBIT, ..new },
            32 => NewTransfer { credit: AccountId::new(77), ..new },
            33 => NewTransfer { code: Code::new(0), ..new },
            34 => NewTransfer { ledger: LedgerId::new(2), ..new },
            35 => NewTransfer { flags: F::IMPORTED, timestamp_ns: 5, ..new },
            36 => NewTransfer { timeout_s: 3, ..new },
            _ => new,
        }
    }
}

fn amount(rng: &mut Rng) -> u64 {
    if rng.percent(10) { 0 } else { rng.below(1_000) }
}
