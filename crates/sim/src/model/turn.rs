//! Checks one run of the decider, command by command: first the entries that time alone causes, then those of the
//! request.

use engine::{
    ActivatePolicy, Answer, Command, CredentialRevoked, EntityAttributesSet, Entry, Fact, Guard, IdentityFact,
    ListFact, Made, MakeList, OpenLedger, RecordLabel, Refusal, Reply, Request, SettingFact, query,
};
use ledger::ImportState;
use types::{ActorId, RequestId, Seq, Span, Timestamp};

use super::{Model, ensure};

/// A request that was decided, its answer, and the last entry at the time of the answer.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) request: &'a Request,
    pub(crate) seq: Seq,
    pub(crate) answer: &'a Answer,
}

/// The request that is being checked, with the entries that are not checked yet.
#[derive(Debug)]
pub(crate) struct Turn<'m, 'e> {
    pub(crate) model: &'m mut Model,
    pub(crate) now: Timestamp,
    entries: &'e [Entry],
    request: &'e Request,
}

/// The next expiry, deadline or scheduled transfer that is due.
enum Due {
    Deadline(types::PaymentId),
    Timeout(ledger::TransferKey),
    Scheduled(Box<ledger::Scheduled>),
}

impl Model {
    /// Checks what one run of the decider produced: the entries, and the answers with the entries they depend on.
    pub(crate) fn judge(&mut self, now: Timestamp, steps: &[Step<'_>], entries: &[Entry]) -> Result<(), String> {
        let nobody = nobody();
        let mut turn = Turn { model: self, now, entries, request: &nobody };
        turn.due()?;
        let mut rest = turn.entries;
        for step in steps {
            let count = rest.iter().take_while(|entry| entry.header.seq <= step.seq).count();
            let (mine, later) = rest.split_at(count);
            rest = later;
            let judged = self.judge_step(now, step, mine);
            judged.map_err(|what| {
                format!("{what}\n  asked {:?}\n  answered {:?}\n  with {mine:?}", step.request, step.answer)
            })?;
        }
        ensure(rest.is_empty(), "SIM-2", || format!("no request or deadline explains these entries: {rest:?}"))?;
        self.books.balance()
    }
}

fn nobody() -> Request {
    let command = query::Ledgers.into();
    Request { tenant: crate::process::TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command }
}

impl Model {
    fn judge_step(&mut self, now: Timestamp, step: &Step<'_>, entries: &[Entry]) -> Result<(), String> {
        let Command::Guarded(guarded) = &step.request.command else {
            let mut turn = Turn { model: self, now, entries, request: step.request };
            return turn.command(step).and_then(|()| turn.finish());
        };
        let request = &Request { command: guarded.operation.clone().into(), ..step.request.clone() };
        let mut turn = Turn { model: self, now, entries, request };
        turn.guarded(&guarded.guard, &Step { request, ..*step }).and_then(|()| turn.finish())
    }
}

impl<'e> Turn<'_, 'e> {
    /// A request with a key takes effect once, and its key is recorded first.
    fn guarded(&mut self, guard: &Guard, step: &Step<'_>) -> Result<(), String> {
        let Some(key) = &guard.key else { return self.command(step) };
        self.housekeeping()?;
        let may_be_superseded = matches!(
            step.request.command,
            Command::SetLimits(_)
                | Command::SetAccountMetadata(_)
                | Command::SetTransferMetadata(_)
                | Command::SetPaymentMetadata(_)
                | Command::ChooseIndexes(_)
                | Command::RecordLabel(_)
                | Command::ActivatePolicy(_)
                | Command::SetApprovalRules(_)
        );
        let is_batch = matches!(
            step.request.command,
            Command::OpenAccountBatch(_) | Command::CreateTransferBatch(_) | Command::CreatePaymentBatch(_)
        );
        match self.model.keys.get(&key.id) {
            Some(first) if *first != key.used => says(step.answer, "request_id_reused"),
            Some(_) if may_be_superseded => says(step.answer, "before"),
            Some(_) => self.command(step),
            None => {
                if is_batch || step.answer.is_ok() {
                    self.expect(key.id, &Fact::KeyUsed(key.used.clone()))?;
                }
                self.command(step)
            }
        }
    }

    /// The request that is being checked, with its actor.
    pub(crate) fn request(&self) -> &'e Request {
        self.request
    }

    /// The timestamp of the next entry.
    pub(crate) fn next_at(&self) -> Timestamp {
        self.now.max(self.model.clock.saturating_add(Span::from_ns(1)))
    }

    /// State digests and the notes about staged imports appear between the entries that requests cause.
    pub(crate) fn housekeeping(&mut self) -> Result<(), String> {
        while let Some((entry, rest)) = self.entries.split_first() {
            let is_note = matches!(
                &entry.fact,
                Fact::StateDigest(_) | Fact::Ledger(ledger::Fact::ImportNoted { state: ImportState::Staged, .. })
            );
            if !is_note {
                break;
            }
            ensure(entry.header.actor == ActorId::SYSTEM, "SIM-2", || {
                format!("the entry should have the system as its actor: {entry:?}")
            })?;
            self.entries = rest;
            self.model.apply(entry)?;
        }
        Ok(())
    }

    /// Checks that the next entry is this fact, made now and by this request.
    pub(crate) fn expect(&mut self, request: RequestId, fact: &Fact) -> Result<(), String> {
        self.expect_like(request, |entry| {
            ensure(entry.fact == *fact, "SIM-3", || format!("the entry is {:?}\n  and should be {fact:?}", entry.fact))
        })
    }

    /// Checks that the next entry was made now and by this request, and that it passes the given check.
    pub(crate) fn expect_like(
        &mut self,
        request: RequestId,
        check: impl FnOnce(&Entry) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = self.next_at();
        let Some((entry, rest)) = self.entries.split_first() else {
            return Err("SIM-3: an entry is missing".to_owned());
        };
        check(entry)?;
        let header = &entry.header;
        let by = (header.actor, header.request, header.decided_at);
        let expected = (self.request.actor, request, at);
        ensure(by == expected, "SIM-3", || format!("the entry says {by:?}, and should say {expected:?}"))?;
        self.entries = rest;
        self.model.apply(entry)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.housekeeping()?;
        ensure(self.entries.is_empty(), "SIM-2", || {
            format!("no request or deadline explains these entries: {:?}", self.entries)
        })
    }

    /// Checks that everything that is due by now was recorded, in the right order.
    fn due(&mut self) -> Result<(), String> {
        for _ in 0..pipeline::EXPIRIES_PER_BATCH_MAX {
            self.housekeeping()?;
            let at = self.next_at();
            let model = &self.model;
            let deadline = model.payments.next_deadline().map(|(due, payment)| (due, Due::Deadline(payment)));
            let timeout = model.books.next_timeout().map(|(due, key)| (due, Due::Timeout(key)));
            let scheduled = model.books.next_scheduled().map(|one| (one.at, Due::Scheduled(Box::new(one))));
            let first = [deadline, timeout, scheduled].into_iter().flatten().min_by_key(|(due, _)| *due);
            let fact = match first.filter(|(due, _)| *due <= at) {
                None => return Ok(()),
                Some((_, Due::Timeout(key))) => Fact::Ledger(ledger::Fact::TransferExpired(key)),
                Some((_, Due::Scheduled(one))) => Fact::Ledger(super::orders::execute(&model.books, &one, at)),
                Some((_, Due::Deadline(payment))) => {
                    self.deadline(payment)?;
                    continue;
                }
            };
            self.expect(RequestId::default(), &fact)?;
        }
        Ok(())
    }

    fn command(&mut self, step: &Step<'_>) -> Result<(), String> {
        self.housekeeping()?;
        let Step { request, answer, .. } = *step;
        match &request.command {
            Command::OpenLedger(OpenLedger { id, asset }) => self.open_ledger(*id, *asset, answer)?,
            Command::OpenAccount(open) => self.open_account(&open.0, answer)?,
            Command::CreateTransfer(create) => self.create_transfer(&create.0, answer)?,
            Command::ReverseTransfer(reverse) => self.reverse(reverse.0, answer)?,
            change @ (Command::SetAddress(_)
            | Command::SetLimits(_)
            | Command::SetAccountMetadata(_)
            | Command::SetTransferMetadata(_)
            | Command::SetPaymentMetadata(_)
            | Command::CancelScheduled(_)
            | Command::ChooseIndexes(_)) => self.change(change, answer)?,
            Command::OpenAccountBatch(batch) => self.batch(&batch.0, answer)?,
            Command::CreateTransferBatch(batch) => self.batch(&batch.0, answer)?,
            Command::DryRun(operation) => return self.dry_run(operation, answer),
            Command::CreateAccounts(batch) => self.packed_accounts(&batch.0, answer)?,
            Command::CreateTransfers(batch) => self.packed_transfers(batch, answer)?,
            Command::CreatePayment(create) => self.create_payment(&create.0, answer)?,
            Command::CreatePaymentBatch(batch) => self.create_payments(&batch.0, answer)?,
            Command::ChangePayment(change) => self.change_payment(request.id, change, answer)?,
            Command::IncrementPayment(increment) => self.increment(request.id, increment, answer)?,
            Command::ChangePaymentBatch(batch) => self.change_payments(&batch.0, answer)?,
            Command::RecordLabel(RecordLabel { payment, label }) => self.record_label(*payment, label, answer)?,
            Command::StoreArtifact(chunk) => {
                let known = self.model.chunks.get(&chunk.artifact);
                let made = known.is_none_or(|parts| !parts.contains_key(&chunk.index));
                says(answer, if made { "now" } else { "before" })?;
                if made {
                    self.expect(request.id, &Fact::ArtifactStored(chunk.clone()))?;
                }
            }
            Command::ActivatePolicy(ActivatePolicy { artifact, .. }) => self.activate(*artifact, answer)?,
            Command::AddPrincipal(added) => {
                let expected = self.model.identities.outcome_of_principal(added);
                says(answer, expected)?;
                if expected == "now" {
                    self.expect(request.id, &Fact::Identity(IdentityFact::PrincipalAdded(added.clone())))?;
                }
            }
            Command::AddCredential(added) => {
                let expected = self.model.identities.outcome_of_credential(added);
                says(answer, expected)?;
                if expected == "now" {
                    self.expect(request.id, &Fact::Identity(IdentityFact::CredentialAdded(added.clone())))?;
                }
            }
            Command::AddApiKey(asked) => {
                let (expected, facts) = self.model.identities.outcome_of_key(asked, self.next_at(), request.id);
                says(answer, expected)?;
                for fact in facts {
                    self.expect(request.id, &Fact::Identity(fact))?;
                }
            }
            Command::RevokeCredential(asked) => {
                let expected = self.model.identities.outcome_of_revocation(asked, self.next_at());
                says(answer, expected)?;
                if expected == "now" {
                    let revoked = CredentialRevoked { credential: asked.credential };
                    self.expect(request.id, &Fact::Identity(IdentityFact::CredentialRevoked(revoked)))?;
                }
            }
            Command::SetApprovalRules(rules) => self.set_rules(&rules.0, answer)?,
            Command::Propose(asked) => self.propose(asked, answer)?,
            Command::EndProposal(asked) => self.end_proposal(asked, answer)?,
            Command::AdmitSubject(asked) => {
                let (expected, fact) = self.model.identities.outcome_of_subject(asked);
                says(answer, expected)?;
                if let Some(fact) = fact {
                    self.expect(request.id, &Fact::Identity(fact))?;
                }
            }
            Command::PutSetting(put) => {
                let expected = self.model.settings.outcome_of_put(put);
                says(answer, expected)?;
                if expected == "now" {
                    let (kind, name, document) = (put.kind, put.name.clone(), std::sync::Arc::clone(&put.document));
                    self.expect(request.id, &Fact::Setting(SettingFact::Put { kind, name, document }))?;
                }
            }
            Command::RemoveSetting(remove) => {
                let expected = self.model.settings.outcome_of_removal(remove);
                says(answer, expected)?;
                if expected == "now" {
                    let (kind, name) = (remove.kind, remove.name.clone());
                    self.expect(request.id, &Fact::Setting(SettingFact::Removed { kind, name }))?;
                }
            }
            Command::MakeList(make) => {
                let is_declared = self.declares_lists();
                let expected = self.model.payments.lists.outcome_of_making(make, is_declared);
                says(answer, expected)?;
                if expected == "now" {
                    let MakeList { name: list, of, purpose, description } = make.clone();
                    self.expect(request.id, &Fact::List(ListFact::Made { list, of, purpose, description }))?;
                }
            }
            Command::DeleteList(delete) => {
                let is_declared = self.declares_lists();
                let expected = self.model.payments.lists.outcome_of_deleting(delete, is_declared);
                says(answer, expected)?;
                if expected == "now" {
                    self.expect(request.id, &Fact::List(ListFact::Deleted { list: delete.0.clone() }))?;
                    // The answer shows the list as it was.
                    return Ok(());
                }
            }
            Command::AddToList(add) => {
                let added = self.model.payments.lists.adds(add);
                let fact = added.map(|values| ListFact::ValuesAdded { list: add.list.clone(), values });
                self.list_changes(fact, add.values.len(), answer)?;
            }
            Command::RemoveFromList(remove) => {
                let removed = self.model.payments.lists.removes(remove);
                let fact = removed.map(|values| ListFact::ValuesRemoved { list: remove.list.clone(), values });
                self.list_changes(fact, remove.values.len(), answer)?;
            }
            Command::SetEntityAttributes(set) => {
                let active = self.model.payments.active.as_ref().map(|active| active.digest());
                let changes = self.model.payments.attributes.changes(set);
                let expected = match active {
                    None => "no_active_policy",
                    Some(active) if active != set.policy => "policy_changed",
                    Some(_) if changes.is_empty() => "before",
                    Some(_) => "now",
                };
                says(answer, expected)?;
                if expected == "now" {
                    let (kind, entity) = (set.kind.clone(), set.entity);
                    let fact = EntityAttributesSet { kind, entity, changes };
                    self.expect(request.id, &Fact::EntityAttributes(fact))?;
                }
                if let Ok(Reply::EntityAttributesMade((_, told))) = answer {
                    let is_same = self.model.payments.attributes.shows_of(&set.kind, set.entity, told);
                    ensure(is_same, "SIM-3", || "the attributes of another entity are shown".to_owned())?;
                }
            }
            Command::RecordRead(read) => {
                says(answer, "now")?;
                self.expect(request.id, &Fact::PersonalDataRead(read.clone()))?;
            }
            Command::Import(command) => self.import(command, answer)?,
            Command::Query(query) => return self.query(query, answer),
            Command::Guarded(_) => unreachable!("a guard is taken off first"),
        }
        let at = self.next_at();
        match answer {
            Ok(reply) => self.model.shows(at, reply),
            Err(_) => Ok(()),
        }
    }
}

impl Turn<'_, '_> {
    /// Whether the active policy declares a list.
    fn declares_lists(&self) -> bool {
        self.model.payments.active.as_ref().is_some_and(|active| active.declares_lists())
    }

    /// Checks a request that adds or removes values, `asked` of them: the fact that it makes unless it has no values, or its refusal.
    fn list_changes(
        &mut self,
        fact: Result<ListFact, &'static str>,
        asked: usize,
        answer: &Answer,
    ) -> Result<(), String> {
        let fact = match fact {
            Ok(fact) => fact,
            Err(refusal) => return says(answer, refusal),
        };
        let changed = fact.values();
        if changed > 0 {
            self.expect(self.request().id, &Fact::List(fact))?;
        }
        let told = if let Ok(Reply::ListChanged(told)) = answer { Some((told.changed, told.unchanged)) } else { None };
        let expected = Some((changed, asked - changed));
        ensure(told == expected, "SIM-3", || format!("the answer counts {told:?}, and should count {expected:?}"))
    }
}

/// Checks that the answer has the expected outcome: made now, made before, or refused with this code.
pub(crate) fn says(answer: &Answer, expected: &str) -> Result<(), String> {
    let told = outcome(answer);
    ensure(told == expected, "SIM-3", || format!("the answer is {told}, and should be {expected}"))
}

/// The outcome of an answer as one word.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Ok(reply) => made(reply).map_or("shown", word),
        Err(refusal) => code(refusal),
    }
}

pub(crate) const fn word(made: Made) -> &'static str {
    match made {
        Made::Now => "now",
        Made::Before => "before",
    }
}

/// The stable error code of a refusal.
pub(crate) fn code(refusal: &Refusal) -> &'static str {
    api::Problem::from(refusal).code().as_str()
}

fn made(reply: &Reply) -> Option<Made> {
    match reply {
        Reply::Made(made)
        | Reply::LedgerMade((made, _))
        | Reply::AccountMade((made, _))
        | Reply::TransferMade((made, _))
        | Reply::TransferChanged((made, _))
        | Reply::Cancelled((made, _))
        | Reply::PaymentMade((made, _))
        | Reply::Label((made, _))
        | Reply::PolicyMade((made, _))
        | Reply::CredentialMade((made, _))
        | Reply::ApprovalRulesMade((made, _))
        | Reply::ProposalMade((made, _))
        | Reply::Admitted((made, _))
        | Reply::SettingMade((made, _))
        | Reply::ListMade((made, _))
        | Reply::EntityAttributesMade((made, _))
        | Reply::ImportMade((made, _)) => Some(*made),
        Reply::Ledgers(_)
        | Reply::Account(_)
        | Reply::Accounts(_)
        | Reply::AccountsPage(_)
        | Reply::Transfer(_)
        | Reply::Transfers(_)
        | Reply::TransferIds(_)
        | Reply::Pending(_)
        | Reply::PendingStates(_)
        | Reply::AccountsOpened(_)
        | Reply::Payment(_)
        | Reply::Import(_)
        | Reply::Imports(_)
        | Reply::Policy(_)
        | Reply::Sums(_)
        | Reply::Scheduled(_)
        | Reply::Features(_)
        | Reply::Credential(_)
        | Reply::Credentials(_)
        | Reply::NextCredential(_)
        | Reply::Principals(_)
        | Reply::ApprovalRules(_)
        | Reply::Proposal(_)
        | Reply::Proposals(_)
        | Reply::Setting(_)
        | Reply::Settings(_)
        | Reply::Lists(_)
        | Reply::List(_)
        | Reply::ListChanged(_)
        | Reply::ListValues(_)
        | Reply::ListedValue(_)
        | Reply::EntityAttributes(_)
        | Reply::AccountOrders(_)
        | Reply::TransferOrders(_)
        | Reply::PaymentsMade(_)
        | Reply::AccountResults(_)
        | Reply::TransferResults(_) => None,
    }
}

impl Model {
    /// Checks the answers given while the server accepts no writes: requests that leave no entry are answered as usual,
    /// and all others are refused with the reason for it.
    pub(crate) fn judge_closed(&mut self, now: Timestamp, steps: &[Step<'_>], why: &'static str) -> Result<(), String> {
        for step in steps {
            if outcome(step.answer) == why {
                let read = matches!(step.request.command, Command::Query(_) | Command::DryRun(_));
                ensure(!read, "SIM-3", || format!("reads go on, and {:?} is refused", step.request))?;
                continue;
            }
            self.judge_one(now, step)
                .map_err(|what| format!("{what}\n  asked {:?}\n  answered {:?}", step.request, step.answer))?;
        }
        Ok(())
    }

    /// Checks one request that leaves no entry.
    pub(crate) fn judge_one(&mut self, now: Timestamp, step: &Step<'_>) -> Result<(), String> {
        self.judge_step(now, step, &[])
    }
}
