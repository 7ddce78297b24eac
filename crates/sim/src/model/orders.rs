//! The model checks accounts, transfers and the data kept with them: alone, in chains, in batches and as dry runs.

mod changes;
mod shown;

use std::collections::BTreeMap;

use engine::{
    AccountOrder, Answer, Command, CreateTransfers, DryRun, EventResult, EventStatus, Fact, Reply, TransferOrder,
    TransferResults,
};
use ledger::{
    AccountFlags, Book, Fact as Moved, MetadataOf, NewAccount, NewTransfer, Scheduled, TransferFlags as F, TransferKey,
    TransferStatus,
};
use types::{Asset, LedgerId, RequestId, Span, Timestamp, TransferId};

pub(super) use self::changes::judge_change;
use self::shown::{ordered, shows_order};
pub(super) use self::shown::{shows_account, shows_transfer};
use super::books::{Books, judge_account, made};
use super::ensure;
use super::rules::{Books as _, Moment, STICKING};
use super::turn::{Turn, says};

/// The outcome of an order: one word, and the facts it leaves.
type Judged = (&'static str, Vec<Moved>);

/// An order, or an event of a batch.
pub(crate) trait Judge {
    fn judge(&self, books: &Books, moment: Moment) -> Judged;
    fn is_linked(&self) -> bool;
    fn is_imported(&self) -> bool;
    /// The transfers that the order names.
    fn keys(&self) -> [Option<TransferKey>; 2];
}

impl Judge for NewAccount {
    fn judge(&self, books: &Books, moment: Moment) -> Judged {
        match judge_account(books, self) {
            "created" => {
                let account = ledger::Account::open(self, Timestamp::from_ns(moment.now));
                ("now", vec![Moved::AccountOpened(account)])
            }
            "exists" => ("before", Vec::new()),
            status => (status, Vec::new()),
        }
    }

    fn is_linked(&self) -> bool {
        self.flags.contains(AccountFlags::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(AccountFlags::IMPORTED)
    }

    fn keys(&self) -> [Option<TransferKey>; 2] {
        [None; 2]
    }
}

impl Judge for NewTransfer {
    fn judge(&self, books: &Books, moment: Moment) -> Judged {
        let mut new = *self;
        let status = books.judge(&mut new, moment);
        judged(status, &new, moment)
    }

    fn is_linked(&self) -> bool {
        self.flags.contains(F::LINKED)
    }

    fn is_imported(&self) -> bool {
        self.flags.contains(F::IMPORTED)
    }

    fn keys(&self) -> [Option<TransferKey>; 2] {
        [Some(self.key), self.pending]
    }
}

/// The outcome that follows from the status of a transfer.
fn judged(status: &'static str, new: &NewTransfer, moment: Moment) -> Judged {
    match (status, new.key) {
        ("created", _) => ("now", vec![Moved::TransferCreated(made(new, Timestamp::from_ns(moment.now)))]),
        ("exists", _) => ("before", Vec::new()),
        (status, TransferKey::Client(id)) if STICKING.contains(&status) => (status, vec![failed(id, status)]),
        (status, _) => (status, Vec::new()),
    }
}

fn failed(id: TransferId, status: &'static str) -> Moved {
    let status = TransferStatus::ALL.iter().find(|known| known.name() == status);
    Moved::TransferFailed { id, status: *status.expect("the rules use the ledger's names") }
}

impl Judge for AccountOrder {
    fn judge(&self, books: &Books, moment: Moment) -> Judged {
        let (word, mut facts) = self.new.judge(books, moment);
        if !matches!(word, "now" | "before") {
            return (word, facts);
        }
        let id = self.new.id;
        if word == "before" {
            let (address, limits, metadata) = books.opening(MetadataOf::Account(id));
            let differs = if address.as_deref() != self.address.as_ref().map(|address| address.as_str()) {
                "exists_with_different_address"
            } else if limits != self.limits {
                "exists_with_different_limits"
            } else if metadata != given(&self.metadata) {
                "exists_with_different_metadata"
            } else {
                word
            };
            return (differs, facts);
        }
        if let Some(address) = &self.address {
            if books.at_address(address.as_str()).is_some() {
                return ("address_already_taken", Vec::new());
            }
            facts.push(Moved::AddressSet { account: id, address: address.clone() });
        }
        if crossed(self.limits) {
            return ("min_balance_exceeds_max_balance", Vec::new());
        }
        if self.limits != ledger::Limits::NONE {
            facts.push(Moved::LimitsSet { account: id, limits: self.limits });
        }
        if self.metadata.iter().any(|(_, value)| value.is_some()) {
            facts.push(Moved::MetadataSet { of: MetadataOf::Account(id), values: self.metadata.clone() });
        }
        (word, facts)
    }

    fn is_linked(&self) -> bool {
        Judge::is_linked(&self.new)
    }

    fn is_imported(&self) -> bool {
        Judge::is_imported(&self.new)
    }

    fn keys(&self) -> [Option<TransferKey>; 2] {
        self.new.keys()
    }
}

/// The metadata that an order sets.
fn given(values: &[(String, Option<String>)]) -> BTreeMap<String, String> {
    values.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}

fn crossed(limits: ledger::Limits) -> bool {
    limits.min_balance.zip(limits.max_balance).is_some_and(|(floor, ceiling)| floor > ceiling)
}

impl Judge for TransferOrder {
    fn judge(&self, books: &Books, moment: Moment) -> Judged {
        let refused = |code| (code, Vec::new());
        let mut new = self.new;
        for (address, id) in [(&self.debit, &mut new.debit), (&self.credit, &mut new.credit)] {
            if let Some(address) = address {
                let Some(found) = books.at_address(address.as_str()) else { return refused("address_not_found") };
                *id = found;
            }
        }
        let resolves = new.flags.intersects(F::POST_PENDING_TRANSFER | F::VOID_PENDING_TRANSFER);
        let pending = new.pending.filter(|_| resolves);
        let found = match pending {
            _ if new.ledger.get() != 0 => Some(new.ledger),
            Some(pending) => books.transfers.get(&pending).map(|made| made.transfer.ledger),
            None => books.account(new.debit).map(|account| account.ledger),
        };
        let book: Option<&Book> = found.and_then(|ledger| books.books.get(&ledger));
        if let (Some(given), Some(book)) = (self.asset, book)
            && given != book.asset
        {
            return refused("asset_mismatch");
        }
        match (found, pending) {
            (_, Some(_)) if self.scheduled_at.is_none() => {}
            (Some(ledger), _) => new.ledger = ledger,
            (None, _) if self.scheduled_at.is_some() => return refused("account_not_found"),
            (None, _) => new.ledger = LedgerId::new(1),
        }
        if let Some(at) = self.scheduled_at {
            return schedule(books, Scheduled { new, at }, moment);
        }
        let (word, mut facts) = new.judge(books, moment);
        if word == "now" && self.metadata.iter().any(|(_, value)| value.is_some()) {
            facts.push(Moved::MetadataSet { of: MetadataOf::Transfer(new.key), values: self.metadata.clone() });
        }
        if word == "before" && books.opening(MetadataOf::Transfer(new.key)).2 != given(&self.metadata) {
            return refused("exists_with_different_metadata");
        }
        (word, facts)
    }

    fn is_linked(&self) -> bool {
        Judge::is_linked(&self.new)
    }

    fn is_imported(&self) -> bool {
        Judge::is_imported(&self.new)
    }

    fn keys(&self) -> [Option<TransferKey>; 2] {
        self.new.keys()
    }
}

fn schedule(books: &Books, scheduled: Scheduled, moment: Moment) -> Judged {
    let refused = |code| (code, Vec::new());
    let key = scheduled.new.key;
    if !books.books.contains_key(&scheduled.new.ledger) {
        return refused("ledger_not_found");
    }
    if scheduled.new.flags.intersects(F::LINKED | F::IMPORTED) {
        return refused("scheduled_transfer_must_stand_alone");
    }
    let mut new = scheduled.new;
    let alone = Moment { is_import: false, last: moment.now, ..moment };
    if let Some(status) = Books::judge_head(&mut new, alone) {
        return refused(status);
    }
    if let Some(known) = books.moved(key) {
        let status = books.compare(&new, &known);
        return refused(if status == "exists" { "before" } else { status });
    }
    if books.is_reserved_by_import(key) {
        return refused("id_reserved_by_import");
    }
    if books.has_failed(key) {
        return refused("id_already_failed");
    }
    match books.scheduled.iter().find(|waiting| waiting.new.key == key) {
        Some(waiting) if *waiting == scheduled => refused("before"),
        Some(_) => refused("id_already_scheduled"),
        None if scheduled.at.ns() <= moment.now => refused("scheduled_time_must_be_later"),
        None => ("now", vec![Moved::TransferScheduled(scheduled)]),
    }
}

/// Executes a scheduled transfer that is due. A refusal is final.
pub(super) fn execute(books: &Books, scheduled: &Scheduled, at: Timestamp) -> Moved {
    let mut new = scheduled.new;
    new.pending = new.pending.filter(|pending| *pending != TransferKey::Client(TransferId::new(0)));
    let moment = Moment { now: at.ns(), is_import: false, last: at.ns(), is_approved: false };
    match (books.judge_fresh(&mut new, moment), new.key) {
        ("created", _) => Moved::TransferCreated(made(&new, at)),
        (status, TransferKey::Client(id)) => failed(id, status),
        (status, key) => unreachable!("{key} is scheduled by nobody, and {status}"),
    }
}

/// Whether the fact has a timestamp of its own.
fn is_timed(fact: &Moved) -> bool {
    matches!(fact, Moved::AccountOpened(_) | Moved::TransferCreated(_))
}

/// Compares an answer after its order was checked. The arguments are the index of the order, its outcome as one word,
/// the books right after it, and the instant.
type Told<'t> = dyn FnMut(usize, &'static str, &Books, Timestamp) -> Result<(), String> + 't;

impl Turn<'_, '_> {
    /// Checks orders one after the other. Linked orders succeed or fail together.
    fn orders<J: Judge>(&mut self, orders: &[J], own_ids: bool, told: &mut Told<'_>) -> Result<(), String> {
        let id = self.id();
        let last = self.next_at().ns() + (orders.len() as u64).saturating_sub(1);
        let is_import = orders.first().is_some_and(Judge::is_imported);
        let request = |fact: &Moved| if own_ids { id } else { id_of(fact) };
        let mut place = 0;
        for run in orders.chunk_by(|order, _| order.is_linked()) {
            self.housekeeping()?;
            let is_open = run.last().is_some_and(Judge::is_linked);
            let at = self.next_at();
            let (labels, facts) = judge_run(&self.model.books, run, is_open, (at, last, is_import));
            let succeeds = run.len() > 1 && labels.iter().all(|label| *label == "now");
            if succeeds {
                // Each answer shows the books as they are right after its order.
                let (mut overlay, mut now) = (overlay(&self.model.books, run), at);
                for (order, facts) in facts.iter().enumerate() {
                    now = apply_all(&mut overlay, now, facts)?;
                    told(place + order, labels[order], &overlay, at)?;
                }
            }
            for fact in timed_first(facts) {
                self.expect(request(&fact), &Fact::Ledger(fact))?;
            }
            for (order, label) in labels.iter().enumerate().filter(|_| !succeeds) {
                told(place + order, label, &self.model.books, at)?;
            }
            place += run.len();
        }
        Ok(())
    }

    fn id(&self) -> RequestId {
        self.request().id
    }

    pub(super) fn open_ledger(&mut self, id: LedgerId, asset: Asset, answer: &Answer) -> Result<(), String> {
        match self.model.books.books.get(&id) {
            Some(book) if book.asset == asset => says(answer, "before"),
            Some(_) => says(answer, "exists_with_different_asset"),
            None => {
                says(answer, "now")?;
                let book = Book { id, asset, opened_at: self.next_at() };
                self.expect(self.id(), &Fact::Ledger(Moved::BookOpened(book)))
            }
        }
    }

    pub(super) fn open_account(&mut self, order: &AccountOrder, answer: &Answer) -> Result<(), String> {
        self.orders(std::slice::from_ref(order), true, &mut |_, word, _, _| says(answer, word))
    }

    pub(super) fn create_transfer(&mut self, order: &TransferOrder, answer: &Answer) -> Result<(), String> {
        self.orders(std::slice::from_ref(order), true, &mut |_, word, _, _| says(answer, word))
    }

    pub(super) fn packed_accounts(&mut self, events: &[NewAccount], answer: &Answer) -> Result<(), String> {
        let Ok(Reply::AccountResults(results)) = answer else { return Err("SIM-3: no results".to_owned()) };
        ensure(results.len() == events.len(), "SIM-3", || "there is not a result for each event".to_owned())?;
        self.orders(events, true, &mut |place, word, books, at| {
            let EventResult { status, timestamp } = &results[place];
            let said = match status {
                EventStatus::Created => "now",
                EventStatus::Exists => "before",
                EventStatus::Refused(refusal) => refusal.status.name(),
            };
            ensure(said == word, "SIM-3", || format!("event {place} is {said}, and should be {word}"))?;
            let expected = match word {
                "now" | "before" => books.account(events[place].id).map(|account| account.timestamp),
                _ => Some(at),
            };
            // If an earlier event of the same failing chain made it, the answer has the timestamp of that event.
            ensure(expected.is_none_or(|expected| expected == *timestamp), "SIM-3", || {
                format!("event {place} has another time")
            })
        })
    }

    pub(super) fn packed_transfers(
        &mut self,
        CreateTransfers { events, balances: with_balances }: &CreateTransfers,
        answer: &Answer,
    ) -> Result<(), String> {
        let Ok(Reply::TransferResults(TransferResults { results, balances })) = answer else {
            return Err("SIM-3: no results".to_owned());
        };
        let counts = (results.len(), balances.len());
        let expected = (events.len(), if *with_balances { events.len() } else { 0 });
        ensure(counts == expected, "SIM-3", || format!("{counts:?} results for {expected:?} events"))?;
        self.orders(events, true, &mut |place, word, books, at| {
            let EventResult { status, timestamp } = &results[place];
            let said = match status {
                EventStatus::Created => "now",
                EventStatus::Exists => "before",
                EventStatus::Refused(refusal) => refusal.status.name(),
            };
            ensure(said == word, "SIM-3", || format!("event {place} is {said}, and should be {word}"))?;
            let made = books.transfers.get(&events[place].key).filter(|_| matches!(word, "now" | "before"));
            let time = made.map_or(at, |made| made.transfer.timestamp);
            // If an earlier event of the same failing chain made it, the answer has the timestamp of that event.
            let is_known = word != "before" || made.is_some();
            ensure(!is_known || time == *timestamp, "SIM-3", || format!("event {place} has another time"))?;
            if let (true, Some(shown)) = (*with_balances, balances.get(place)) {
                let after = made.map(|made| [made.transfer.debit, made.transfer.credit]);
                let after = after.and_then(|[debit, credit]| Some([books.account(debit)?, books.account(credit)?]));
                ensure(after == *shown, "SIM-3", || format!("event {place} shows other balances than {after:?}"))?;
            }
            Ok(())
        })
    }

    pub(super) fn batch<J: Judge>(&mut self, orders: &[J], answer: &Answer) -> Result<(), String> {
        let answers = ordered(answer)?;
        ensure(answers.len() == orders.len(), "SIM-3", || "there is not an answer for each order".to_owned())?;
        self.orders(orders, false, &mut |place, word, books, at| shows_order(&answers[place], word, books, at))
    }

    pub(super) fn reverse(&mut self, id: TransferId, answer: &Answer) -> Result<(), String> {
        let (word, facts) = self.direct_reversal(reversal(&self.model.books, id, self.next_at(), false));
        says(answer, word)?;
        for fact in facts {
            let request = RequestId::new(engine::reversal_id(id).get());
            self.expect(request, &Fact::Ledger(fact))?;
        }
        Ok(())
    }

    pub(super) fn change(&mut self, change: &Command, answer: &Answer) -> Result<(), String> {
        if let Command::SetLimits(asked) = change
            && self.limits_need_approval(asked)
        {
            return says(answer, "approval_required");
        }
        let (word, fact) = judge_change(&self.model.books, change, &|payment| self.model.payments.is_known(payment));
        says(answer, word)?;
        fact.map_or(Ok(()), |fact| self.expect(self.id(), &Fact::Ledger(fact)))
    }

    /// Checks a dry run: the answer is the same as for a real run, and the dry run leaves no entry.
    pub(super) fn dry_run(&mut self, operation: &DryRun, answer: &Answer) -> Result<(), String> {
        let at = self.next_at();
        let books = &self.model.books;
        let batch = |expected: Vec<&str>| {
            let answers = ordered(answer)?;
            let said: Vec<&str> = answers.iter().map(|answer| answer.word()).collect();
            ensure(said == expected, "SIM-3", || format!("the answers are {said:?}, and should be {expected:?}"))
        };
        match operation {
            DryRun::OpenAccount(open) => says(answer, foreseen(books, std::slice::from_ref(&*open.0), at)?[0]),
            DryRun::CreateTransfer(create) => says(answer, foreseen(books, std::slice::from_ref(&*create.0), at)?[0]),
            DryRun::ReverseTransfer(reverse) => {
                says(answer, self.direct_reversal(reversal(books, reverse.0, at, false)).0)
            }
            DryRun::OpenAccountBatch(orders) => batch(foreseen(books, &orders.0, at)?),
            DryRun::CreateTransferBatch(orders) => batch(foreseen(books, &orders.0, at)?),
            DryRun::CreatePayment(create) => self.foresee_payment(&create.0, answer),
            DryRun::IncrementPayment(increment) => self.foresee_increment(increment, answer),
            DryRun::ChangePayment(change) => says(answer, self.judge_verb(self.request().id, change).0),
        }
    }
}

/// The expected outcome of each order, given that the orders before it took effect.
fn foreseen<J: Judge>(books: &Books, orders: &[J], at: Timestamp) -> Result<Vec<&'static str>, String> {
    let (mut books, mut now, mut words) = (overlay(books, orders), at, Vec::new());
    let last = at.ns() + (orders.len() as u64).saturating_sub(1);
    let is_import = orders.first().is_some_and(Judge::is_imported);
    for run in orders.chunk_by(|order, _| order.is_linked()) {
        let is_open = run.last().is_some_and(Judge::is_linked);
        let (labels, facts) = judge_run(&books, run, is_open, (now, last, is_import));
        for facts in &facts {
            now = apply_all(&mut books, now, facts)?;
        }
        words.extend(labels);
    }
    Ok(words)
}

/// A copy of the books for trying out these orders.
fn overlay<J: Judge>(books: &Books, orders: &[J]) -> Books {
    books.overlay(orders.iter().flat_map(Judge::keys).flatten())
}

/// Applies facts that are not entries yet, and returns the timestamp that the next one would have.
fn apply_all(books: &mut Books, mut now: Timestamp, facts: &[Moved]) -> Result<Timestamp, String> {
    for fact in facts {
        books.apply(now, fact)?;
        if is_timed(fact) {
            now = now.saturating_add(Span::from_ns(1));
        }
    }
    Ok(now)
}

/// The outcomes of a run of linked orders: one word for each order, and the facts that each leaves.
fn judge_run<J: Judge>(
    books: &Books,
    run: &[J],
    is_open: bool,
    (at, last, is_import): (Timestamp, u64, bool),
) -> (Vec<&'static str>, Vec<Vec<Moved>>) {
    let moment = |now: Timestamp| Moment { now: now.ns(), is_import, last, is_approved: false };
    if let ([order], false) = (run, is_open) {
        let (word, facts) = order.judge(books, moment(at));
        return (vec![word], vec![facts]);
    }
    let (mut overlay, mut now) = (overlay(books, run), at);
    let (mut labels, mut facts) = (Vec::new(), Vec::new());
    let failed = |broken: Option<(usize, &'static str)>| {
        let mut labels = vec!["linked_event_failed"; run.len()];
        if let Some((place, word)) = broken {
            labels[place] = word;
        }
        if is_open {
            labels[run.len() - 1] = "linked_event_chain_open";
        }
        labels
    };
    for order in &run[..run.len() - usize::from(is_open)] {
        let (word, left) = order.judge(&overlay, moment(now));
        if word != "now" {
            return (failed(Some((labels.len(), word))), vec![left]);
        }
        now = apply_all(&mut overlay, now, &left).expect("what was judged can be folded");
        labels.push(word);
        facts.push(left);
    }
    if is_open { (failed(None), Vec::new()) } else { (labels, facts) }
}

/// Puts the facts that have a timestamp of their own first.
fn timed_first(facts: Vec<Vec<Moved>>) -> Vec<Moved> {
    let (timed, others): (Vec<_>, Vec<_>) = facts.into_iter().flatten().partition(is_timed);
    timed.into_iter().chain(others).collect()
}

/// The request id of an order in a batch, which is the id of what the order creates.
fn id_of(fact: &Moved) -> RequestId {
    let client = |key| match key {
        TransferKey::Client(id) => RequestId::new(id.get()),
        TransferKey::Leg { payment, .. } => RequestId::new(payment.get()),
    };
    match fact {
        Moved::AccountOpened(account) => RequestId::new(account.id.get()),
        Moved::TransferCreated(transfer) => client(transfer.key),
        Moved::TransferFailed { id, .. } => RequestId::new(id.get()),
        Moved::TransferScheduled(scheduled) => client(scheduled.new.key),
        Moved::LimitsSet { account, .. } | Moved::AddressSet { account, .. } => RequestId::new(account.get()),
        Moved::MetadataSet { of: MetadataOf::Account(account), .. } => RequestId::new(account.get()),
        Moved::MetadataSet { of: MetadataOf::Transfer(key), .. } => client(*key),
        _ => RequestId::default(),
    }
}

/// The outcome of a request to reverse a transfer, if `is_approved` by a second principal.
pub(super) fn reversal(books: &Books, id: TransferId, at: Timestamp, is_approved: bool) -> Judged {
    let Some(original) = books.transfers.get(&TransferKey::Client(id)).map(|made| made.transfer) else {
        return ("transfer_not_found", Vec::new());
    };
    if original.flags.intersects(F::PENDING | F::VOID_PENDING_TRANSFER) {
        return ("transfer_not_reversible", Vec::new());
    }
    let reversal = NewTransfer {
        debit: original.credit,
        credit: original.debit,
        amount: original.amount,
        user_data_128: original.user_data_128,
        user_data_64: original.user_data_64,
        user_data_32: original.user_data_32,
        ledger: original.ledger,
        code: original.code,
        ..NewTransfer::named(TransferKey::Client(engine::reversal_id(id)))
    };
    let (word, facts) = reversal.judge(books, Moment { now: at.ns(), is_import: false, last: at.ns(), is_approved });
    // The client did not choose the id of the reversal, so a refusal does not use it up.
    (word, if word == "now" { facts } else { Vec::new() })
}
