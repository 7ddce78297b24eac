//! The model checks commands about payments and policies.

use engine::{
    Answer, AtDeadline, CaptureTerms, Cause, ChangePayment, CreatePayment, Deadline, Fact, NewPayment, PaymentDecided,
    PaymentStatus, Portion, Reply, Verb,
};
use ledger::Fact as Moved;
use policy::{FeatureValue, Reason, Verdict};
use types::{Digest, LedgerId, Name, PaymentId, RequestId, Seq};

use super::{Candidate, Expected, Next};
use crate::model::ensure;
use crate::model::turn::{Turn, says};
use crate::policies;

impl Turn<'_, '_> {
    pub(in crate::model) fn activate(&mut self, artifact: Digest, answer: &Answer) -> Result<(), String> {
        let active = self.model.payments.active.as_ref();
        if active.is_some_and(|active| active.artifact == artifact) {
            return says(answer, "before");
        }
        if !self.model.is_whole(artifact) {
            return says(answer, "artifact_incomplete");
        }
        let is_second = policies::variant(artifact).is_some_and(policies::Variant::is_second);
        if is_second && self.model.payments.lists.is_in_conflict() {
            return says(answer, "policy_list_conflict");
        }
        let eur = LedgerId::new(978);
        let book = self.model.books.books.get(&eur).copied();
        let asset = "EUR/2".parse().expect("an asset");
        if book.is_some_and(|book| book.asset != asset) {
            return says(answer, "policy_ledger_conflict");
        }
        says(answer, "now")?;
        let at = self.next_at();
        let opens = if book.is_none() {
            vec![Moved::BookOpened(ledger::Book { id: eur, asset, opened_at: at })]
        } else {
            Vec::new()
        };
        self.expect_like(self.request().id, |entry| match &entry.fact {
            Fact::PolicyActivated(activated) => {
                let right = activated.artifact == artifact && activated.ledger_facts == opens;
                ensure(right, "SIM-3", || format!("the policy is activated as {activated:?}"))
            }
            other => Err(format!("SIM-3: the entry is {other:?}")),
        })
    }

    /// The decision that the model expects for a payment, or one word if there is no decision.
    fn expected_payment(&self, new: &NewPayment) -> Result<Expected, &'static str> {
        let payments = &self.model.payments;
        if let Some(paid) = payments.all.get(&new.payment) {
            let same = paid.decided.content == new.content;
            return Err(if same { "before" } else { "payment_exists_with_different_content" });
        }
        let active = payments.active.as_ref().ok_or("no_active_policy")?;
        if active.artifact != new.policy {
            return Err("policy_changed");
        }
        let at = self.next_at();
        let payment_type = active.variant.type_name(new.payment_type);
        let (mut occurred_at, mut late) = (at, false);
        if let Some(declared) = new.occurred_at {
            if payment_type != "card" {
                return Err("occurred_not_declared");
            }
            if declared > at.saturating_add(policies::AHEAD_MAX) {
                return Err("occurred_too_far_ahead");
            }
            late = declared < at.checked_sub(policies::LATE_MAX).unwrap_or_default();
            occurred_at = if late { at } else { declared };
        }
        let (customer, merchant) = policies::entities(payment_type, &new.attributes);
        let candidate = Candidate { new, payment_type, customer, merchant, at, occurred_at, late, again: false };
        Ok(payments.expected(active, &self.model.books, &candidate))
    }

    pub(in crate::model) fn create_payment(&mut self, new: &NewPayment, answer: &Answer) -> Result<(), String> {
        let expected = match self.expected_payment(new) {
            Err(word) => return says(answer, word),
            Ok(expected) => expected,
        };
        says(answer, "now")?;
        let features = self.features();
        let request = RequestId::new(new.payment.get());
        self.expect_like(request, |entry| {
            let Fact::PaymentDecided(decided) = &entry.fact else {
                return Err(format!("SIM-3: the entry is {:?}", entry.fact));
            };
            let own = (decided.payment, decided.content, decided.amount) == (new.payment, new.content, new.amount)
                && entry.sealed == new.sealed;
            ensure(own, "SIM-2", || "the decision is of another request".to_owned())?;
            expected.check(decided, &features)
        })
    }

    /// Checks the answer to a batch of payments: each is decided as if it had been sent alone.
    pub(in crate::model) fn create_payments(&mut self, batch: &[CreatePayment], answer: &Answer) -> Result<(), String> {
        let Ok(Reply::PaymentsMade(answers)) = answer else {
            return Err(format!("SIM-3: the answer to a batch of payments is {answer:?}"));
        };
        ensure(answers.len() == batch.len(), "SIM-3", || "there is not an answer for each payment".to_owned())?;
        for (payment, answer) in batch.iter().zip(answers) {
            self.create_payment(&payment.0, &answer.clone().map(Reply::PaymentMade))?;
            self.housekeeping()?;
        }
        Ok(())
    }

    pub(super) fn features(&self) -> Vec<Name> {
        self.model.payments.active.as_ref().map(|active| active.features.clone()).unwrap_or_default()
    }

    /// Checks the dry run of a payment.
    pub(in crate::model) fn foresee_payment(&mut self, new: &NewPayment, answer: &Answer) -> Result<(), String> {
        match self.expected_payment(new) {
            Err(word) => says(answer, word),
            Ok(expected) => {
                let decided = match answer {
                    Ok(Reply::PaymentMade((engine::Made::Now, reply))) => reply.decided.as_ref(),
                    _ => None,
                };
                let decided = decided.ok_or_else(|| "SIM-3: the dry run does not say what is decided".to_owned())?;
                expected.check(decided, &self.features())
            }
        }
    }

    /// The expected outcome of a verb on a payment as one word, its next status and sums, and the transfers it causes.
    pub(in crate::model) fn judge_verb(
        &self,
        request: RequestId,
        change: &ChangePayment,
    ) -> (&'static str, Option<(Next, Vec<Moved>)>) {
        let ChangePayment { payment: id, verb, portion } = *change;
        let payments = &self.model.payments;
        let Some(paid) = payments.all.get(&id) else { return ("payment_not_found", None) };
        match payments.verbs.get(&(id, request)) {
            Some(done) if *done == (verb, portion) => return ("before", None),
            Some(_) => return ("request_id_reused", None),
            None => {}
        }
        let is_open = matches!(paid.status, PaymentStatus::Held | PaymentStatus::InReview);
        let ends = match verb {
            Verb::Approve | Verb::Decline => true,
            Verb::Capture | Verb::Void => !matches!(portion, Portion::Part(_)),
            Verb::Refund | Verb::Increment => false,
        };
        if paid.changes >= engine::Payment::CHANGES_MAX && !(is_open && ends) {
            return ("too_many_changes", None);
        }
        let at = self.next_at();
        if paid.as_of(at).0 != paid.status {
            return ("payment_status_conflict", None);
        }
        let moved = paid.next(verb, portion).and_then(|next| Ok((next, paid.moves(&self.model.books, id, &next, at)?)));
        match moved {
            Ok(moved) => ("now", Some(moved)),
            Err(word) => (word, None),
        }
    }

    pub(in crate::model) fn change_payment(
        &mut self,
        request: RequestId,
        change: &ChangePayment,
        answer: &Answer,
    ) -> Result<(), String> {
        let (word, expected) = self.judge_verb(request, change);
        says(answer, word)?;
        let Some((next, facts)) = expected else { return Ok(()) };
        let cause = (Cause::Verb(change.verb), change.portion);
        self.expect_change(request, change.payment, (cause, next, facts))
    }

    /// Checks the answer to a batch of verbs: each takes effect as if it had been sent alone.
    pub(in crate::model) fn change_payments(
        &mut self,
        batch: &[(RequestId, ChangePayment)],
        answer: &Answer,
    ) -> Result<(), String> {
        let Ok(Reply::PaymentsMade(answers)) = answer else {
            return Err(format!("SIM-3: the answer to a batch of verbs is {answer:?}"));
        };
        ensure(answers.len() == batch.len(), "SIM-3", || "there is not an answer for each verb".to_owned())?;
        for ((request, change), answer) in batch.iter().zip(answers) {
            self.change_payment(*request, change, &answer.clone().map(Reply::PaymentMade))?;
            self.housekeeping()?;
        }
        Ok(())
    }

    fn expect_change(
        &mut self,
        request: RequestId,
        id: PaymentId,
        (cause, next, facts): ((Cause, Portion), Next, Vec<Moved>),
    ) -> Result<(), String> {
        let at = self.next_at();
        let paid = self.model.payments.all.get(&id);
        let deadline = paid.and_then(|paid| match paid.decided.capture {
            _ if next.0 == paid.status => paid.deadline,
            CaptureTerms::Manual { deadline, then } if next.0 == PaymentStatus::Held => {
                Some(Deadline { at: at.saturating_add(deadline), then })
            }
            CaptureTerms::Manual { .. } | CaptureTerms::Immediate => None,
        });
        self.expect_like(request, |entry| match &entry.fact {
            Fact::PaymentChanged(changed) => {
                let found = ((changed.cause, changed.portion), (changed.status, changed.sums.unwrap_or_default()));
                let said = (changed.payment, found, changed.deadline, &changed.ledger_facts);
                let right = said == (id, (cause, next), deadline, &facts);
                ensure(right, "SIM-3", || format!("{changed:?} should be {:?}", (id, cause, next, deadline, &facts)))
            }
            other => Err(format!("SIM-3: the entry is {other:?}")),
        })
    }

    /// Checks what happens when the deadline of a payment has passed.
    pub(in crate::model) fn deadline(&mut self, id: PaymentId) -> Result<(), String> {
        let at = self.next_at();
        let paid = self.model.payments.all.get(&id).cloned().ok_or("SIM-2: a deadline is of no payment")?;
        let proceeds = paid.deadline.is_some_and(|deadline| deadline.then == AtDeadline::Proceed);
        let next = match (proceeds, paid.status) {
            (true, PaymentStatus::InReview) => paid.next(Verb::Approve, Portion::All).ok(),
            (true, _) => paid.next(Verb::Capture, Portion::All).ok(),
            (false, _) => None,
        };
        let moved = next.and_then(|next| Some((next, paid.moves(&self.model.books, id, &next, at).ok()?)));
        let (next, facts) = match moved {
            Some(moved) => moved,
            None => {
                let next = paid.given_up(PaymentStatus::Expired);
                let freed = paid.moves(&self.model.books, id, &next, at);
                (next, freed.map_err(|status| format!("SIM-3: nothing can be freed: {status}"))?)
            }
        };
        self.expect_change(RequestId::default(), id, ((Cause::Deadline, Portion::All), next, facts))
    }

    pub(in crate::model) fn record_label(
        &mut self,
        id: PaymentId,
        label: &Name,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(paid) = self.model.payments.all.get(&id) else { return says(answer, "payment_not_found") };
        if paid.label.as_ref().is_some_and(|(known, _)| known == label) {
            return says(answer, "before");
        }
        says(answer, "now")?;
        let positive = ["fraud", "chargeback"].contains(&label.as_str());
        self.expect_like(self.request().id, |entry| match &entry.fact {
            Fact::LabelRecorded(recorded) => {
                let said = (recorded.payment, &recorded.label, recorded.positive);
                ensure(said == (id, label, positive), "SIM-3", || format!("the label is {recorded:?}"))
            }
            other => Err(format!("SIM-3: the entry is {other:?}")),
        })
    }
}

impl Expected {
    /// Checks SIM-7: the decision equals the one that the model computes, features included.
    fn check(&self, decided: &PaymentDecided, names: &[Name]) -> Result<(), String> {
        let judgement = (decided.verdict, decided.score, &*decided.reasons, &*decided.features);
        self.check_judgement(judgement, names)?;
        self.check_lists(&decided.lists)?;
        let refusal = decided.refusal.map(|refusal| (refusal.leg, refusal.status.name()));
        let said = (decided.status, decided.deadline, &decided.ledger_facts, refusal, decided.late);
        let expected = (self.status, self.deadline, &self.facts, self.refusal, self.late);
        ensure(said == expected, "SIM-3", || format!("the payment is {said:?}\n  and should be {expected:?}"))
    }

    /// Checks SIM-7 for the lists that were looked into.
    pub(super) fn check_lists(&self, lists: &[(u16, Seq)]) -> Result<(), String> {
        ensure(lists == self.lists, "SIM-7", || format!("the lists are {lists:?}\n  and should be {:?}", self.lists))
    }

    /// Checks SIM-7 for what the policy says: the verdict, the score, the reasons and the features.
    pub(super) fn check_judgement(
        &self,
        (verdict, score, reasons, features): (Verdict, u16, &[Reason], &[(u16, FeatureValue)]),
        names: &[Name],
    ) -> Result<(), String> {
        let named = |(number, value): &(u16, FeatureValue)| {
            (names.get(usize::from(*number)).map_or("?", Name::as_str).to_owned(), value.clone())
        };
        let mut told: Vec<(String, FeatureValue)> = features.iter().map(named).collect();
        let mut own: Vec<(String, FeatureValue)> =
            self.features.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        own.sort_by(|a, b| a.0.cmp(&b.0));
        ensure(told == own, "SIM-7", || format!("the features are {told:?}\n  and should be {own:?}"))?;
        let reasons: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
        let (said, expected) = ((verdict, score, &reasons), (self.verdict, self.score, &self.reasons));
        ensure(said == expected, "SIM-7", || format!("the verdict is {said:?}\n  and should be {expected:?}"))
    }
}
