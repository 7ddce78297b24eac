//! The model decides increments of holds: like new payments of the raised amount, without the records of the payment itself.

use engine::{
    Answer, Cause, Fact, IncrementPayment, Incremented, NewPayment, PaymentChanged, PaymentStatus, Portion, Reply, Verb,
};
use ledger::{Fact as Moved, NewTransfer, Transfer, TransferFlags as F, TransferKey};
use policy::Verdict;
use types::{AccountId, Amount, Code, LedgerId, RequestId, Span, Timestamp, Token};

use super::{Candidate, Expected, Paid, records};
use crate::model::books::{Books, made};
use crate::model::ensure;
use crate::model::rules::{Books as _, Moment};
use crate::model::turn::{Turn, says};
use crate::policies::{self, Variant};

/// The transfers and opened accounts, and the amount of each leg with what was captured of it; or the leg that is refused, and why.
type Raised = Result<(Vec<Moved>, Vec<(u128, u128)>), (u16, &'static str)>;

/// What the model expects of an increment.
struct Raise {
    decided: Expected,
    /// `None` if the policy does not approve.
    raised: Option<Raised>,
}

impl Paid {
    /// The customer of the payment, and its merchant if it has one, by the attributes that it was decided with.
    fn tokens(&self) -> Option<(Token, Option<Token>)> {
        let entity = |wanted: &str| {
            let found = self.decided.attributes.iter().find(|(name, _)| name.as_str() == wanted);
            if let Some((_, engine::PlainValue::Entity(token))) = found { Some(*token) } else { None }
        };
        Some((entity("customer")?, entity("merchant")))
    }

    /// Follows an entry that raised the hold.
    pub(super) fn raise(
        &mut self,
        variant: &Variant,
        at: Timestamp,
        (amount, legs): (Amount, &[engine::Leg]),
    ) -> Result<(), String> {
        let tokens = self.tokens().ok_or("SIM-2: a payment has no customer")?;
        self.amount = Amount::new(self.amount.get() + amount.get());
        self.before = self.sums.captured.get();
        let payment_type = self.decided.payment_type.as_str();
        self.records = records(variant, payment_type, tokens, self.amount, (at, at));
        self.legs = legs.iter().map(transfer).collect();
        self.moved = legs.iter().map(|leg| leg.moved.get()).collect();
        Ok(())
    }

    /// What the hold becomes when the payment is of `total`.
    fn raised(&self, books: &Books, customer: Token, total: u128, at: Timestamp) -> Raised {
        let wanted = [(0, "wallet", "shop", total, 2), (1, "shop", "bank", total / 10, 3)];
        let mut books = books.overlay(self.legs.iter().map(|leg| leg.key));
        let (mut facts, mut now, mut transfers, mut legs) = (Vec::new(), at, Vec::new(), Vec::new());
        let id = self.decided.payment;
        for (number, debit, credit, amount, code) in wanted.into_iter().filter(|(_, _, _, amount, _)| *amount > 0) {
            let mut ids = [AccountId::default(); 2];
            for (template, id) in [debit, credit].into_iter().zip(&mut ids) {
                let account = policies::account(template, customer);
                *id = account.id;
                if books.account(account.id).is_none() {
                    let opened = Moved::AccountOpened(ledger::Account::open(&account, now));
                    books.apply(now, &opened).expect("a new account opens");
                    facts.push(opened);
                    now = now.saturating_add(Span::from_ns(1));
                }
            }
            let held_by = self.legs.iter().zip(&self.moved).find(|(leg, _)| leg.code == Code::new(code));
            let [captured, held, _] = held_by.map_or([0; 3], |(leg, moved)| self.shares(leg, *moved, self.sums));
            let key = held_by.map_or(TransferKey::Leg { payment: id, number: 0 }, |(leg, _)| leg.key);
            let leg = NewTransfer {
                debit: ids[0],
                credit: ids[1],
                amount: Amount::new(amount),
                ledger: LedgerId::new(978),
                code: Code::new(code),
                ..NewTransfer::named(key)
            };
            let raised = Self { amount: Amount::new(total), before: self.sums.captured.get(), ..self.clone() };
            let [_, then, _] = raised.shares(&made(&leg, now), captured, self.sums);
            if held != then {
                let void =
                    NewTransfer { pending: Some(key), flags: F::VOID_PENDING_TRANSFER, ..NewTransfer::named(key) };
                transfers.extend((held > 0).then_some((number, void)));
                let hold = NewTransfer { flags: F::PENDING, amount: Amount::new(then), ..leg };
                transfers.extend((then > 0).then_some((number, hold)));
            }
            legs.push((amount, captured));
        }
        for (number, (leg, new)) in (self.transfers..).zip(transfers) {
            let mut new = NewTransfer { key: TransferKey::Leg { payment: id, number }, ..new };
            match books.judge(&mut new, Moment { now: now.ns(), is_import: false, last: now.ns(), is_approved: false })
            {
                "created" => {
                    let created = Moved::TransferCreated(made(&new, now));
                    books.apply(now, &created).expect("what was judged can be folded");
                    facts.push(created);
                    now = now.saturating_add(Span::from_ns(1));
                }
                status => return Err((leg, status)),
            }
        }
        Ok((facts, legs))
    }
}

fn transfer(leg: &engine::Leg) -> Transfer {
    let new = NewTransfer {
        debit: leg.debit,
        credit: leg.credit,
        amount: leg.amount,
        ledger: LedgerId::new(978),
        code: leg.code,
        ..NewTransfer::named(leg.transfer)
    };
    made(&new, Timestamp::ZERO)
}

impl Turn<'_, '_> {
    /// The expected outcome of an increment as one word, and what is expected of its entry.
    fn judge_increment(&self, request: RequestId, increment: &IncrementPayment) -> (&'static str, Option<Raise>) {
        let IncrementPayment { payment: id, amount, again } = increment;
        let payments = &self.model.payments;
        let Some(paid) = payments.all.get(id) else { return ("payment_not_found", None) };
        match payments.verbs.get(&(*id, request)) {
            Some(done) if *done == (Verb::Increment, Portion::Part(*amount)) => return ("before", None),
            Some(_) => return ("request_id_reused", None),
            None => {}
        }
        if paid.changes >= engine::Payment::CHANGES_BEFORE_INCREMENT_MAX {
            return ("too_many_changes", None);
        }
        let at = self.next_at();
        if (paid.status, paid.as_of(at).0) != (PaymentStatus::Held, PaymentStatus::Held) {
            return ("payment_status_conflict", None);
        }
        let Some(again) = again else { return ("increment_not_possible", None) };
        let Some(active) = payments.active.as_ref() else { return ("no_active_policy", None) };
        if active.artifact != again.policy {
            return ("policy_changed", None);
        }
        let total = paid.amount.get() + amount.get();
        let new = NewPayment { amount: Amount::new(total), ..(**again).clone() };
        let payment_type = active.variant.type_name(new.payment_type);
        let (customer, merchant) = policies::entities(payment_type, &new.attributes);
        let candidate =
            Candidate { new: &new, payment_type, customer, merchant, at, occurred_at: at, late: false, again: true };
        let decided = payments.expected(active, &self.model.books, &candidate);
        let approved = decided.verdict == Verdict::Approve;
        let raised = approved.then(|| paid.raised(&self.model.books, customer, total, at));
        ("now", Some(Raise { decided, raised }))
    }

    pub(in crate::model) fn increment(
        &mut self,
        request: RequestId,
        increment: &IncrementPayment,
        answer: &Answer,
    ) -> Result<(), String> {
        let (word, expected) = self.judge_increment(request, increment);
        says(answer, word)?;
        let Some(expected) = expected else { return Ok(()) };
        let paid = self.model.payments.all.get(&increment.payment).cloned().ok_or("SIM-2: nothing is incremented")?;
        let names = self.features();
        self.expect_like(request, |entry| {
            let Fact::PaymentChanged(changed) = &entry.fact else {
                return Err(format!("SIM-3: the entry is {:?}", entry.fact));
            };
            let PaymentChanged {
                payment, cause, portion, status, sums, deadline, ledger_facts, increment: told, ..
            } = changed;
            let said = (*payment, *cause, *portion, *status, *sums, *deadline);
            let asked = Portion::Part(increment.amount);
            let same =
                (increment.payment, Cause::Verb(Verb::Increment), asked, paid.status, Some(paid.sums), paid.deadline);
            ensure(said == same, "SIM-3", || format!("the increment is {said:?}\n  and should be {same:?}"))?;
            let told = told.as_deref().ok_or("SIM-3: an increment has no decision")?;
            expected.check(told, ledger_facts, &names)
        })
    }

    /// Checks the dry run of an increment.
    pub(in crate::model) fn foresee_increment(
        &mut self,
        increment: &IncrementPayment,
        answer: &Answer,
    ) -> Result<(), String> {
        let (word, expected) = self.judge_increment(self.request().id, increment);
        says(answer, word)?;
        let (Some(expected), Ok(Reply::PaymentMade((_, reply)))) = (expected, answer) else { return Ok(()) };
        let raised = reply.payment.increments.last().map(|last| last.raised);
        let right = raised == Some(matches!(expected.raised, Some(Ok(_))));
        ensure(right, "SIM-3", || format!("the dry run of an increment says {raised:?}"))
    }
}

impl Raise {
    fn check(&self, told: &Incremented, facts: &[Moved], names: &[types::Name]) -> Result<(), String> {
        self.decided.check_judgement((told.verdict, told.score, &told.reasons[..], &told.features[..]), names)?;
        self.decided.check_lists(&told.lists)?;
        let legs = told.legs.as_ref();
        let legs = legs.map(|legs| legs.iter().map(|leg| (leg.amount.get(), leg.moved.get())).collect::<Vec<_>>());
        let refusal = told.refusal.map(|refusal| (refusal.leg, refusal.status.name()));
        let (wanted_facts, wanted_legs, wanted_refusal) = match &self.raised {
            None => (&[][..], None, None),
            Some(Ok((facts, legs))) => (&**facts, Some(legs.clone()), None),
            Some(Err(refusal)) => (&[][..], None, Some(*refusal)),
        };
        let right = (facts, &legs, refusal) == (wanted_facts, &wanted_legs, wanted_refusal);
        ensure(right, "SIM-3", || {
            format!(
                "the increment is {:?}\n  and should be {:?}",
                (facts, legs, refusal),
                (wanted_facts, wanted_legs, wanted_refusal)
            )
        })
    }
}
