//! Runs stories. This is the only code of the stories that knows the interface of the ledger. A story is a list of
//! lines; `#` starts a comment. A line that requests something ends with the status that it must get.
//!
//! ```text
//! book 1 EUR/2                              created    open a book
//! open A1 history ledger=2                  created    open an account; ledger=1 and code=10 by default
//! pay T1 A1->A2 50 code=7                   created    a single-phase transfer; ledger=1 and code=1 by default
//! hold T2 A1->A2 50 timeout=5               created    a pending transfer
//! post T3 T2 30                             created    post 30 of T2; `all` posts the whole amount
//! void T4 T2                                created    void T2; an amount may follow
//! show A1 debits=10+50 credits=0+100 closed            the whole account: pending + posted, and whether it is closed
//! moved T1 50                                          the amount on record
//! state T2 pending                                     the current state of a pending transfer
//! says T9 …                                            the text of the last refusal
//! clock T2+5s                                          set the clock relative to the time of a transfer or account
//! wait 5s                                              move the clock
//! expire T2 T5                                         these are due now, in this order; expire them
//! sums 1 pending=0 posted=50 accounts=2                the trial balance of a book
//! together … commit | drop                             the lines in between are the steps of one plan
//! batch … done                                         the lines in between are one batch
//! limits A1 min=-50 max=100                 created    set limits on the balance, replacing earlier ones
//! address A1 customers:c1                   created    set the address
//! below customers A1 A2                                the accounts at and below an address prefix, in order
//! sums_below customers pending=0+0 posted=5+3          their sums in book 1: debits + credits
//! meta A1 color="red" size=                 created    set and remove metadata; `P7` is payment 7
//! found color="red" A1 T2                              everything that has this value
//! later 5s pay T1 A1->A2 50                 created    schedule a transfer for 5 s from now
//! execute T1                                created    carry out the first transfer that is due now
//! cancel T1                                 created    cancel a scheduled transfer
//! index 1 ledger code                       created    choose the fields that are indexed in book 1
//! forget                                               remove all client transfers so far from the ledger's memory
//! ```
//!
//! `P1/0` is a leg of payment 1. `max` is 2^128 − 1, also in ids (`Tmax`, `Amax`), and `max-1` is one less.

use crate::past::Remembered;
use ledger::{
    Account, AccountFlags, Address, BatchContext, BatchEvent, Fact, IndexedFields, Ledger, Limits, MetadataOf,
    NewAccount, NewTransfer, Outcome, PendingState, Plan, Planned, Scheduled, StatusRefusal, Step, Transfer,
    TransferFlags, TransferKey, TransferStatus,
};
use types::{AccountId, Amount, Asset, Code, Digest, DigestBuilder, LedgerId, PaymentId, Span, Timestamp, TransferId};

/// Runs a story and fails at the first line that does not hold. Afterwards it replays the facts, which must give the
/// same ledger.
#[track_caller]
pub(crate) fn check(story: &str) {
    run(story);
}

/// Runs a story on a fresh ledger with book 1 in EUR/2, and returns the final state.
#[track_caller]
pub(crate) fn run(story: &str) -> World {
    let mut world = World::default();
    world.run("book 1 EUR/2 created");
    world.run(story);
    world.check_replay();
    world
}

/// A ledger, its clock, and everything that happened.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) facts: Vec<Fact>,
    pub(crate) digest: Option<DigestBuilder>,
    forgotten: u64,
    now_ns: u64,
    refusal: String,
}

impl World {
    #[track_caller]
    fn run(&mut self, story: &str) {
        self.now_ns = self.now_ns.max(1);
        let mut lines = story.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            if line != "together" {
                if line == "batch" {
                    let events: Vec<&str> = lines.by_ref().take_while(|line| *line != "done").collect();
                    self.batch(&events);
                } else {
                    self.line(line);
                }
                continue;
            }
            let mut steps = Vec::new();
            let kept = loop {
                match lines.next().expect("`together` ends with `commit` or `drop`") {
                    "commit" => break true,
                    "drop" => break false,
                    step => steps.push(step),
                }
            };
            self.steps(&steps, kept);
        }
    }

    #[track_caller]
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["clock", moment] => {
                let (name, offset) = moment.split_once('+').expect(line);
                self.now_ns = self.timestamp_of(name).ns() + offset.parse::<Span>().expect(line).ns();
            }
            ["wait", span] => self.now_ns += span.parse::<Span>().expect(line).ns(),
            ["expire", expected @ ..] => {
                let due = self.ledger.due(self.now(), usize::MAX);
                let expected: Vec<_> = expected.iter().map(|name| key(name)).collect();
                assert_eq!(due, expected, "{line}");
                due.into_iter().for_each(|key| self.apply(Fact::TransferExpired(key)));
            }
            ["moved", name, amount_] => {
                let transfer = self.ledger.transfer(key(name)).expect(line);
                assert_eq!(transfer.amount, amount(amount_), "{line}");
            }
            ["state", name, expected] => {
                let state = self.ledger.pending_state(key(name), self.now());
                assert_eq!(state, state_named(expected), "{line}");
            }
            ["says", ..] => assert_eq!(self.refusal, line.trim_start_matches("says").trim()),
            ["sums", book, sums @ ..] => {
                let balance = self.ledger.trial_balance(LedgerId::new(number(book))).expect(line);
                for (name, value) in sums.iter().map(|sum| sum.split_once('=').expect(line)) {
                    match name {
                        "accounts" => assert_eq!(balance.accounts.to_string(), value, "{line}"),
                        "pending" => {
                            assert_eq!([balance.debits_pending, balance.credits_pending], [amount(value); 2], "{line}");
                        }
                        "posted" => {
                            assert_eq!([balance.debits_posted, balance.credits_posted], [amount(value); 2], "{line}");
                        }
                        _ => panic!("{line}"),
                    }
                }
            }
            ["show", ..] => show(&words, |id| self.ledger.account(id)),
            ["forget"] => self.forget(),
            ["below", prefix, expected @ ..] => {
                let found = self.ledger.accounts_below(prefix, None, usize::MAX);
                let expected: Vec<_> = expected.iter().map(|name| account(name)).collect();
                assert_eq!(found.iter().map(|account| account.id).collect::<Vec<_>>(), expected, "{line}");
            }
            ["sums_below", prefix, pending, posted] => {
                let sums = self.ledger.sums_below(LedgerId::new(1), prefix).expect(line);
                assert_eq!(format!("pending={}+{}", sums.debits_pending, sums.credits_pending), *pending, "{line}");
                assert_eq!(format!("posted={}+{}", sums.debits_posted, sums.credits_posted), *posted, "{line}");
            }
            ["found", value, expected @ ..] => {
                let (key, value) = value.split_once('=').expect(line);
                let expected: Vec<_> = expected.iter().map(|name| subject(name)).collect();
                assert_eq!(self.ledger.find_by_metadata(key, value, None, usize::MAX), expected, "{line}");
            }
            ["later", span, request @ .., expected] => {
                let at = self.now().saturating_add(span.parse().expect(line));
                let new = new_transfer(request).expect(line);
                let planned = self.ledger.plan_scheduled(self.now(), &Scheduled { new, at });
                self.take(planned, expected, line);
            }
            ["execute", name, expected] => {
                let due = self.ledger.due_scheduled(self.now(), 1);
                let TransferKey::Client(id) = key(name) else { panic!("{line}") };
                assert_eq!(due, [id], "{line}");
                let planned = self.ledger.plan_due_scheduled(self.now(), id);
                self.take(planned, expected, line);
            }
            ["cancel", name, expected] => {
                let TransferKey::Client(id) = key(name) else { panic!("{line}") };
                let planned = self.ledger.plan_cancel_scheduled(self.now(), id);
                self.take(planned, expected, line);
            }
            _ => self.steps(&[line], true),
        }
    }

    #[track_caller]
    fn take(&mut self, planned: Planned<TransferStatus>, expected: &str, line: &str) {
        let (status, refusal) = told(&planned.outcome, |status| status.name());
        assert_eq!(status, expected, "{line}\n{refusal}");
        planned.fact.into_iter().for_each(|fact| self.apply(fact));
        self.now_ns += 1_000;
    }

    /// Runs lines as the steps of one plan.
    #[track_caller]
    fn steps(&mut self, lines: &[&str], kept: bool) {
        let mut plan = self.ledger.plan(self.now());
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["show", ..] => show(&words, |id| plan.account(id)),
                ["state", name, expected] => assert_eq!(plan.pending_state(key(name)), state_named(expected), "{line}"),
                [request @ .., expected] => {
                    let (status, refusal) = step(&mut plan, request);
                    assert_eq!(status, *expected, "{line}\n{refusal}");
                    self.refusal = refusal;
                }
                [] => {}
            }
        }
        // Every plan is later than the one before, but by less than any timeout.
        self.now_ns += 1_000 + plan.timestamps_used();
        let facts = plan.into_facts();
        if kept {
            facts.into_iter().for_each(|fact| self.apply(fact));
        }
    }

    /// Runs lines as the events of one batch, all accounts or all transfers.
    #[track_caller]
    fn batch(&mut self, lines: &[&str]) {
        let lines: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        let (mut accounts, mut transfers, mut expected) = (vec![], vec![], vec![]);
        for words in lines.iter().filter(|words| !words.is_empty()) {
            let (status, request) = words.split_last().expect("a line");
            expected.push(*status);
            match request {
                ["open", id, options @ ..] => accounts.push(new_account(id, options)),
                _ => transfers.push(new_transfer(request).expect("a transfer")),
            }
        }
        let statuses = if transfers.is_empty() {
            let decide = |ledger: &Ledger, batch, at, new: &NewAccount| ledger.plan_account_of(batch, at, new);
            self.events(&accounts, decide).iter().map(|outcome| told(outcome, |status| status.name()).0).collect()
        } else {
            assert!(accounts.is_empty(), "a batch is all accounts or all transfers");
            let decide = |ledger: &Ledger, batch, at, new: &NewTransfer| ledger.plan_transfer_of(batch, at, new);
            self.events(&transfers, decide)
                .iter()
                .map(|outcome| told(outcome, |status| status.name()).0)
                .collect::<Vec<_>>()
        };
        assert_eq!(statuses, expected);
    }

    pub(crate) fn set_clock(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Handles a batch as a server does: each event one nanosecond after the one before.
    pub(crate) fn events<S, E: BatchEvent<Answer = Outcome<S>>>(
        &mut self,
        events: &[E],
        decide: impl Fn(&Ledger, BatchContext, Timestamp, &E) -> Planned<S>,
    ) -> Vec<Outcome<S>> {
        let batch = BatchContext::of(events, self.now());
        let mut outcomes = vec![];
        for step in BatchContext::steps(events) {
            match step {
                Step::One(event) => {
                    let planned = decide(&self.ledger, batch, self.now(), event);
                    planned.fact.into_iter().for_each(|fact| self.apply(fact));
                    outcomes.push(planned.outcome);
                    self.now_ns += 1;
                }
                Step::Chain(events) => {
                    let mut plan = self.ledger.plan(self.now());
                    outcomes.extend(plan.take_chain(batch, events));
                    plan.into_facts().into_iter().for_each(|fact| self.apply(fact));
                    self.now_ns += events.len() as u64;
                }
            }
        }
        outcomes
    }

    /// Moves clients' transfers from the ledger's memory into its past.
    pub(crate) fn forget(&mut self) {
        self.ledger.set_past(Box::new(Remembered::of(&self.facts)));
        self.forgotten = self.ledger.recorded();
        self.ledger.forget_through(self.forgotten);
    }

    pub(crate) fn apply(&mut self, fact: Fact) {
        self.ledger.apply(&fact);
        let digest = self.digest.get_or_insert_with(|| DigestBuilder::new("finaira ledger test"));
        self.ledger.digest_after(&fact, digest);
        self.facts.push(fact);
    }

    /// The digest of everything that the facts changed.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let mut digest = self.digest.clone()?;
        self.ledger.digest_changes(&mut digest);
        Some(digest.digest())
    }

    /// Checks that replaying the facts gives the same ledger and digest, and that restoring gives the same ledger.
    #[track_caller]
    pub(crate) fn check_replay(&self) {
        let mut replica = World::default();
        self.facts.iter().for_each(|fact| replica.apply(fact.clone()));
        replica.ledger.forget_through(self.forgotten);
        let all = |ledger: &Ledger| {
            let accounts: Vec<_> =
                ledger.accounts_after(None, Timestamp::ZERO, usize::MAX).into_iter().copied().collect();
            let transfers: Vec<_> = ledger.transfers_after(None, Timestamp::ZERO, usize::MAX);
            (accounts, transfers, ledger.next_due(), ledger.last_timestamp())
        };
        assert_eq!(all(&replica.ledger), all(&self.ledger), "replay equals live");
        let digest = |world: &World| world.digest();
        assert_eq!(digest(&replica), digest(self), "replay has the digest of live");
        self.check_restore();
    }

    /// Checks that a ledger restored from what an index keeps knows the same.
    #[track_caller]
    fn check_restore(&self) {
        let mut restored = Ledger::default();
        restored.set_past(Box::new(Remembered::of(&self.facts)));
        let accounts = |ledger: &Ledger| -> Vec<Account> {
            ledger.accounts_after(None, Timestamp::ZERO, usize::MAX).into_iter().copied().collect()
        };
        restored.restore_accounts(accounts(&self.ledger).into_iter());
        let created = |fact: &Fact| if let Fact::TransferCreated(transfer) = fact { Some(*transfer) } else { None };
        let transfers: Vec<Transfer> = self.facts.iter().filter_map(created).collect();
        let state = |ledger: &Ledger, transfer: &Transfer| ledger.pending_state(transfer.key, Timestamp::ZERO);
        for transfer in &transfers {
            let is_client = matches!(transfer.key, TransferKey::Client(_));
            if is_client && state(&self.ledger, transfer) == Some(PendingState::Pending) {
                restored.restore_pending(*transfer);
            }
        }
        self.facts.iter().for_each(|fact| restored.restore_fact(fact));
        restored.finish_restore(self.ledger.recorded(), self.ledger.last_transfer_timestamp());

        assert_eq!(accounts(&restored), accounts(&self.ledger));
        for transfer in &transfers {
            assert_eq!(restored.transfer(transfer.key), Some(*transfer));
            assert_eq!(state(&restored, transfer), state(&self.ledger, transfer));
        }
        let rest = |ledger: &Ledger| {
            let sums: Vec<_> = ledger.books().map(|book| ledger.trial_balance(book.id)).collect();
            let rest = (ledger.due(Timestamp::MAX, usize::MAX), ledger.last_timestamp(), ledger.recorded());
            let limits: Vec<_> = accounts(ledger).iter().map(|account| ledger.limits(account.id)).collect();
            let addresses: Vec<_> = ledger.accounts_below("", None, usize::MAX).iter().map(|found| found.id).collect();
            let below =
                addresses.iter().map(|id| ledger.sums_below(LedgerId::new(1), ledger.address(*id).expect("one")));
            let below: Vec<_> = below.collect();
            (sums, rest, limits, addresses, below, ledger.due_scheduled(Timestamp::MAX, usize::MAX))
        };
        assert_eq!(rest(&restored), rest(&self.ledger));
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ns(self.now_ns)
    }

    fn timestamp_of(&self, name: &str) -> Timestamp {
        match name.strip_prefix('A') {
            Some(_) => self.ledger.account(account(name)).map(|account| account.timestamp),
            None => self.ledger.transfer(key(name)).map(|transfer| transfer.timestamp),
        }
        .unwrap_or_else(|| panic!("{name} does not exist"))
    }
}

/// Takes one step. Returns the name of its status and, for a refusal, its text.
#[track_caller]
fn step(plan: &mut Plan<'_>, words: &[&str]) -> (&'static str, String) {
    match words {
        ["book", id, asset] => {
            let asset: Asset = asset.parse().expect("an asset");
            let outcome = plan.open_book(LedgerId::new(number(id)), asset);
            told(&outcome, |status| status.name())
        }
        ["limits", id, options @ ..] => {
            let mut limits = Limits::NONE;
            for option in options {
                match option.split_once('=') {
                    Some(("min", value)) => limits.min_balance = Some(value.parse().expect(option)),
                    Some(("max", value)) => limits.max_balance = Some(value.parse().expect(option)),
                    _ => panic!("no such option: {option}"),
                }
            }
            told(&plan.set_limits(account(id), limits), |status| status.name())
        }
        ["address", id, address] => {
            let address: Address = address.parse().expect("an address");
            told(&plan.set_address(account(id), &address), |status| status.name())
        }
        ["meta", id, values @ ..] => {
            let value = |value: &str| (!value.is_empty()).then(|| value.to_owned());
            let pairs = values.iter().map(|pair| pair.split_once('=').expect("key=value"));
            let values: Vec<_> = pairs.map(|(key, text)| (key.to_owned(), value(text))).collect();
            told(&plan.set_metadata(subject(id), &values), |status| status.name())
        }
        ["index", id, fields @ ..] => {
            let fields = fields.iter().map(|name| flag(IndexedFields::ALL, name));
            let fields = fields.fold(IndexedFields::NONE, IndexedFields::with);
            told(&plan.choose_indexes(LedgerId::new(number(id)), fields), |status| status.name())
        }
        ["open", id, options @ ..] => told(&plan.open_account(&new_account(id, options)), |status| status.name()),
        _ => {
            let new = new_transfer(words).unwrap_or_else(|| panic!("no such step: {words:?}"));
            let outcome = plan.create_transfer(&new);
            if let Outcome::Exists { timestamp } = outcome {
                let original = plan.transfer(new.key).map(|transfer| transfer.timestamp);
                assert_eq!(original, Some(timestamp), "the original's time");
            }
            told(&outcome, |status| status.name())
        }
    }
}

#[track_caller]
fn new_account(id: &str, options: &[&str]) -> NewAccount {
    let base = NewAccount { id: account(id), ledger: LedgerId::new(1), code: Code::new(10), ..Default::default() };
    account_with(base, options)
}

/// Returns `None` if the line does not request a transfer.
#[track_caller]
fn new_transfer(words: &[&str]) -> Option<NewTransfer> {
    Some(match words {
        ["pay" | "hold", id, accounts, value, options @ ..] => {
            let (debit, credit) = accounts.split_once("->").expect("debit->credit");
            let new = NewTransfer {
                debit: account(debit),
                credit: account(credit),
                amount: amount(value),
                ledger: LedgerId::new(1),
                code: Code::new(1),
                flags: if words[0] == "hold" { TransferFlags::PENDING } else { TransferFlags::NONE },
                ..NewTransfer::named(key(id))
            };
            transfer_with(new, options)
        }
        ["post", id, pending, value, options @ ..] => {
            let amount = if *value == "all" { Amount::MAX } else { amount(value) };
            let flags = TransferFlags::POST_PENDING_TRANSFER;
            let pending = pending_key(pending);
            transfer_with(NewTransfer { pending, amount, flags, ..NewTransfer::named(key(id)) }, options)
        }
        ["void", id, pending, options @ ..] => {
            let flags = TransferFlags::VOID_PENDING_TRANSFER;
            let pending = pending_key(pending);
            transfer_with(NewTransfer { pending, flags, ..NewTransfer::named(key(id)) }, options)
        }
        _ => return None,
    })
}

fn told<S: Copy + std::fmt::Display>(outcome: &Outcome<S>, name: fn(S) -> &'static str) -> (&'static str, String) {
    match outcome {
        Outcome::Created { .. } => ("created", String::new()),
        Outcome::Exists { .. } => ("exists", String::new()),
        Outcome::Refused(refusal @ StatusRefusal { status, .. }) => (name(*status), refusal.to_string()),
    }
}

fn transfer_with(mut new: NewTransfer, options: &[&str]) -> NewTransfer {
    for option in options {
        match option.split_once('=') {
            None if option.starts_with(|first: char| first.is_ascii_digit()) => new.amount = amount(option),
            None => new.flags = new.flags | flag(TransferFlags::ALL, option),
            Some(("debit", id)) => new.debit = account(id),
            Some(("credit", id)) => new.credit = account(id),
            Some(("amount", value)) => new.amount = amount(value),
            Some(("pending", id)) => new.pending = pending_key(id),
            Some(("timeout", seconds)) => new.timeout_s = number(seconds),
            Some(("ledger", id)) => new.ledger = LedgerId::new(number(id)),
            Some(("code", code)) => new.code = Code::new(number(code).try_into().expect(option)),
            Some(("user_data_128", value)) => new.user_data_128 = amount(value).get(),
            Some(("user_data_64", value)) => new.user_data_64 = number(value).into(),
            Some(("user_data_32", value)) => new.user_data_32 = number(value),
            Some(("timestamp", value)) => new.timestamp_ns = amount(value).get().try_into().expect(option),
            Some(("bits", value)) => new.flags = TransferFlags::from_bits(number(value).try_into().expect(option)),
            Some(_) => panic!("no such option: {option}"),
        }
    }
    new
}

fn account_with(mut new: NewAccount, options: &[&str]) -> NewAccount {
    for option in options {
        match option.split_once('=') {
            None => new.flags = new.flags | flag(AccountFlags::ALL, option),
            Some(("ledger", id)) => new.ledger = LedgerId::new(number(id)),
            Some(("code", code)) => new.code = Code::new(number(code).try_into().expect(option)),
            Some(("user_data_128", value)) => new.user_data_128 = amount(value).get(),
            Some(("user_data_64", value)) => new.user_data_64 = number(value).into(),
            Some(("user_data_32", value)) => new.user_data_32 = number(value),
            Some(("timestamp", value)) => new.timestamp_ns = amount(value).get().try_into().expect(option),
            Some(("reserved", value)) => new.reserved = number(value),
            Some(("debits_pending", value)) => new.debits_pending = amount(value),
            Some(("debits_posted", value)) => new.debits_posted = amount(value),
            Some(("credits_pending", value)) => new.credits_pending = amount(value),
            Some(("credits_posted", value)) => new.credits_posted = amount(value),
            Some(("bits", value)) => new.flags = AccountFlags::from_bits(number(value).try_into().expect(option)),
            Some(_) => panic!("no such option: {option}"),
        }
    }
    new
}

#[track_caller]
fn show<'a>(words: &[&str], find: impl Fn(AccountId) -> Option<&'a Account>) {
    let found = find(account(words[1])).unwrap_or_else(|| panic!("{} does not exist", words[1]));
    let mut shown = format!(
        "show {} debits={}+{} credits={}+{}",
        words[1], found.debits_pending, found.debits_posted, found.credits_pending, found.credits_posted
    );
    if found.is_closed() {
        shown += " closed";
    }
    assert_eq!(shown, words.join(" "));
}

#[track_caller]
fn flag<F: Copy>(all: &[(&str, F)], name: &str) -> F {
    let found = all.iter().find(|(candidate, _)| *candidate == name);
    found.map_or_else(|| panic!("no such flag: {name}"), |&(_, flag)| flag)
}

/// `T7` is a client's transfer, `P3/1` a leg of a payment.
#[track_caller]
pub(crate) fn key(name: &str) -> TransferKey {
    match name.strip_prefix('P').and_then(|leg| leg.split_once('/')) {
        Some((payment, number_)) => TransferKey::Leg {
            payment: PaymentId::new(amount(payment).get()),
            number: number(number_).try_into().expect(name),
        },
        None => TransferKey::Client(TransferId::new(amount(name.strip_prefix('T').expect(name)).get())),
    }
}

/// `P7` is payment 7. Everything else is read as by [`account`] and [`key`].
#[track_caller]
fn subject(name: &str) -> MetadataOf {
    match name.strip_prefix('P').filter(|number| !number.contains('/')) {
        Some(payment) => MetadataOf::Payment(PaymentId::new(amount(payment).get())),
        None if name.starts_with('A') => MetadataOf::Account(account(name)),
        None => MetadataOf::Transfer(key(name)),
    }
}

fn pending_key(name: &str) -> Option<TransferKey> {
    (name != "none").then(|| key(name))
}

#[track_caller]
pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(amount(name.strip_prefix('A').expect(name)).get())
}

#[track_caller]
fn amount(text: &str) -> Amount {
    match text.strip_prefix("max") {
        Some("") => Amount::MAX,
        Some(less) => Amount::new(u128::MAX - less.trim_start_matches('-').parse::<u128>().expect(text)),
        None => text.parse().expect(text),
    }
}

#[track_caller]
fn number(text: &str) -> u32 {
    if text == "max" { u32::MAX } else { text.parse().expect(text) }
}

#[track_caller]
fn state_named(name: &str) -> Option<PendingState> {
    match name {
        "pending" => Some(PendingState::Pending),
        "posted" => Some(PendingState::Posted),
        "voided" => Some(PendingState::Voided),
        "expired" => Some(PendingState::Expired),
        "none" => None,
        _ => panic!("no such state: {name}"),
    }
}
