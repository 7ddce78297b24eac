//! A caller that moves money without a policy: with packed batches, or with JSON orders one by one and in batches.

use std::collections::{BTreeMap, BTreeSet};

use api::packed::{AccountRecord, ResultRecord, TransferRecord};
use ledger::{AccountFlags, TransferFlags};
use serde_json::{Value, json};
use sim::Rng;

use super::Caller;
use super::books::{Books, CREATED, EXISTS, FAILED_BEFORE, LINKED_EVENT_FAILED, SentTransfer, Sums, What, sticks};
use crate::harness::{Client, Reply};

const ACCOUNTS: u128 = 6;
const PACKED_EVENTS_MAX: u64 = 40;
/// How many of the transfers acknowledged long ago are looked up after each kill.
const OLD_LOOKED_UP: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Packed,
    Json,
}

pub(super) struct Mover {
    first: u128,
    wire: Wire,
    rng: Rng,
    books: Books,
    next_id: u128,
    requests: u64,
    /// The created and acknowledged events in order. `checked` is how many of them have been looked up.
    created: Vec<SentTransfer>,
    checked: usize,
    unanswered: Option<Vec<SentTransfer>>,
}

impl Mover {
    pub(super) fn new(number: u128, wire: Wire, client: &Client, seed: u64) -> Self {
        let first = number * 1_000_000;
        let limited = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS.bits();
        let blank = AccountRecord::decode(&[0; 128]);
        let account = |id: u128| {
            let flags = if id == first { 0 } else { limited };
            AccountRecord { id, ledger: 1, code: 1, flags, ..blank }.encode()
        };
        let ids = first..first + ACCOUNTS;
        let answer = client.packed("/v1/packed/create-accounts", &ids.clone().flat_map(account).collect::<Vec<_>>());
        assert!(statuses(&answer).iter().all(|status| *status == CREATED));
        Self {
            first,
            wire,
            rng: Rng::new(seed),
            books: Books::new(ids),
            next_id: first + 1_000,
            requests: 0,
            created: Vec::new(),
            checked: 0,
            unanswered: None,
        }
    }

    fn account(&mut self) -> u128 {
        self.first + u128::from(self.rng.below(6))
    }

    fn events(&mut self) -> Vec<SentTransfer> {
        let count = match self.wire {
            Wire::Packed => 1 + self.rng.below(PACKED_EVENTS_MAX),
            Wire::Json if self.rng.percent(60) => 1,
            Wire::Json => 2 + self.rng.below(3),
        };
        let mut events: Vec<SentTransfer> = (0..count).map(|_| self.event()).collect();
        // Add a chain somewhere, of any possible length.
        if count > 2 {
            let from = self.rng.place(events.len() - 2);
            let until = from + 1 + self.rng.place(events.len() - from - 1);
            events[from..until].iter_mut().for_each(|event| event.linked = true);
        }
        events
    }

    fn event(&mut self) -> SentTransfer {
        self.next_id += 1;
        let amount = u128::from(1 + self.rng.below(500));
        let holds = self.books.hold_ids();
        let recent = holds.len().min(12);
        let what = match self.rng.below(10) {
            0..3 if recent > 0 => {
                let pending = holds[holds.len() - 1 - self.rng.place(recent)];
                match self.rng.below(3) {
                    0 => What::Void { pending },
                    1 => What::Post { pending, amount: None },
                    _ => What::Post { pending, amount: Some(1 + amount / 3) },
                }
            }
            kind => {
                let debit = if self.rng.percent(40) { self.first } else { self.account() };
                let mut credit = self.account();
                if credit == debit {
                    credit = self.first + (debit - self.first + 1) % ACCOUNTS;
                }
                if self.rng.percent(2) {
                    credit = self.first + 900;
                }
                if kind < 6 { What::Hold { debit, credit, amount } } else { What::Move { debit, credit, amount } }
            }
        };
        SentTransfer { id: self.next_id, what, linked: false }
    }

    /// Sends events. Returns `None` if the connection broke.
    fn send(&self, client: &Client, events: &[SentTransfer]) -> Option<Vec<u32>> {
        match (self.wire, events) {
            (Wire::Packed, _) => {
                let body: Vec<u8> = events.iter().flat_map(|event| record(event).encode()).collect();
                client.try_packed("/v1/packed/create-transfers", &body).map(|answer| statuses(&answer))
            }
            (Wire::Json, [event]) => {
                let reply = client.try_post("/v1/transfers", &order(event))?;
                Some(vec![status_of_one(&reply)])
            }
            (Wire::Json, _) => {
                let body = json!({"transfers": events.iter().map(order).collect::<Vec<_>>()});
                let reply = client.try_post("/v1/transfers/batch", &body)?;
                assert_eq!(reply.status, 200, "{reply:?}");
                Some(reply.body["results"].as_array().expect("results").iter().map(status_of_result).collect())
            }
        }
    }

    fn check_balances(&self, client: &Client, books: &Books) {
        let ids: Vec<u8> = books.accounts.keys().flat_map(|id| id.to_le_bytes()).collect();
        let answer = client.packed("/v1/packed/lookup-accounts", &ids);
        let sums = |account: AccountRecord| Sums {
            debits_pending: account.debits_pending,
            debits_posted: account.debits_posted,
            credits_pending: account.credits_pending,
            credits_posted: account.credits_posted,
        };
        let found: BTreeMap<u128, Sums> =
            answer.as_chunks().0.iter().map(AccountRecord::decode).map(|account| (account.id, sums(account))).collect();
        assert_eq!(found, books.accounts, "balances follow from acknowledged and settled events");
    }

    /// Checks that acknowledged transfers are there as they were sent.
    fn check_created(&mut self, client: &Client) {
        let mut wanted: Vec<SentTransfer> = self.created[self.checked..].to_vec();
        for _ in 0..OLD_LOOKED_UP.min(self.checked) {
            wanted.push(self.created[self.rng.place(self.checked)]);
        }
        self.checked = self.created.len();
        let found = look_up(client, &wanted);
        assert_eq!(found.len(), wanted.len(), "every acknowledged transfer exists");
        for (found, event) in found.iter().zip(&wanted) {
            assert_eq!((found.id, found.flags), (event.id, record(event).flags), "{event:?} was stored as {found:?}");
            if let What::Move { debit, credit, amount } | What::Hold { debit, credit, amount } = event.what {
                let is = (found.debit_account_id, found.credit_account_id, found.amount);
                assert_eq!(is, (debit, credit, amount), "{event:?} was stored as {found:?}");
            }
        }
    }

    /// Settles unacknowledged events: a prefix of them happened, with chains complete, and sending them again does the
    /// rest.
    fn settle(&mut self, client: &Client, events: &[SentTransfer]) {
        let mut after = self.books.clone();
        let statuses = after.take(events);
        let made: Vec<SentTransfer> =
            events.iter().zip(&statuses).filter(|(_, status)| **status == CREATED).map(|(event, _)| *event).collect();
        let found: BTreeSet<u128> = look_up(client, &made).iter().map(|found| found.id).collect();
        let (there, missing) = made.split_at(found.len());
        assert!(
            there.iter().all(|event| found.contains(&event.id)),
            "the events that happened are a prefix: {found:?} of {made:?}"
        );
        assert!(there.last().is_none_or(|event| !event.linked), "a chain is complete: {there:?}, not {missing:?}");
        let part =
            there.last().and_then(|last| events.iter().position(|event| event.id == last.id)).map_or(0, |at| at + 1);
        let mut now = self.books.clone();
        now.take(&events[..part]);
        self.check_balances(client, &now);

        let again = self.send(client, events).expect("the server answers");
        for (((event, status), first), place) in events.iter().zip(again).zip(statuses).zip(0..) {
            let is_right = match first {
                CREATED if place >= part => status == CREATED,
                // The first transfer of a chain exists already, which fails the others.
                CREATED => status == if follows(events, place) { LINKED_EVENT_FAILED } else { EXISTS },
                // An event that was refused before one that happened stays refused, if only because of later events.
                _ if place < part => ![CREATED, EXISTS].contains(&status),
                // A refusal that spends the id is an entry of its own, which may be missing.
                first => status == first || (sticks(first) && status == FAILED_BEFORE),
            };
            assert!(is_right, "sent again, {event:?} gives {status}, at first {first}; {part} of {events:?} happened");
        }
        self.books = after;
        self.created.extend(made);
        self.requests += 1;
    }
}

impl Caller for Mover {
    fn go_on(&mut self, client: &Client) -> bool {
        let events = self.events();
        let Some(statuses) = self.send(client, &events) else {
            self.unanswered = Some(events);
            return false;
        };
        let expected = self.books.take(&events);
        assert_eq!(statuses, expected, "{events:?}");
        self.created
            .extend(events.iter().zip(expected).filter(|(_, status)| *status == CREATED).map(|(event, _)| *event));
        self.requests += 1;
        true
    }

    fn check(&mut self, client: &Client) {
        self.check_created(client);
        if let Some(events) = self.unanswered.take() {
            self.settle(client, &events);
        }
        self.check_balances(client, &self.books);
        // Sending the last created event again gives "exists".
        if let Some(event) = self.created.last() {
            let alone = SentTransfer { linked: false, ..*event };
            if !event.linked {
                assert_eq!(self.send(client, &[alone]), Some(vec![EXISTS]), "{event:?} happened once");
            }
        }
    }

    fn requests(&self) -> u64 {
        self.requests
    }
}

/// Whether an event follows another one in its chain.
fn follows(events: &[SentTransfer], place: usize) -> bool {
    place.checked_sub(1).and_then(|before| events.get(before)).is_some_and(|before| before.linked)
}

fn statuses(answer: &[u8]) -> Vec<u32> {
    answer.as_chunks().0.iter().map(|record| ResultRecord::decode(record).status).collect()
}

fn look_up(client: &Client, events: &[SentTransfer]) -> Vec<TransferRecord> {
    let mut found = Vec::new();
    for events in events.chunks(1_000) {
        let ids: Vec<u8> = events.iter().flat_map(|event| event.id.to_le_bytes()).collect();
        let answer = client.packed("/v1/packed/lookup-transfers", &ids);
        found.extend(answer.as_chunks().0.iter().map(TransferRecord::decode));
    }
    found
}

fn record(event: &SentTransfer) -> TransferRecord {
    let linked = if event.linked { TransferFlags::LINKED.bits() } else { 0 };
    let blank = TransferRecord { id: event.id, flags: linked, ..TransferRecord::decode(&[0; 128]) };
    let between = |debit_account_id, credit_account_id, amount, flags: TransferFlags| TransferRecord {
        debit_account_id,
        credit_account_id,
        amount,
        ledger: 1,
        code: 1,
        flags: linked | flags.bits(),
        ..blank
    };
    let end = |pending_id, amount, flags: TransferFlags| TransferRecord {
        pending_id,
        amount,
        flags: linked | flags.bits(),
        ..blank
    };
    match event.what {
        What::Move { debit, credit, amount } => between(debit, credit, amount, TransferFlags::NONE),
        What::Hold { debit, credit, amount } => between(debit, credit, amount, TransferFlags::PENDING),
        What::Post { pending, amount } => {
            end(pending, amount.unwrap_or(u128::MAX), TransferFlags::POST_PENDING_TRANSFER)
        }
        What::Void { pending } => end(pending, 0, TransferFlags::VOID_PENDING_TRANSFER),
    }
}

fn order(event: &SentTransfer) -> Value {
    let mut flags = if event.linked { vec!["linked"] } else { Vec::new() };
    let mut order = match event.what {
        What::Move { debit, credit, amount } | What::Hold { debit, credit, amount } => json!({
            "debit_account": debit.to_string(), "credit_account": credit.to_string(),
            "amount": amount.to_string(), "asset": "EUR/2", "ledger": 1, "code": 1,
        }),
        What::Post { pending, amount } => {
            let amount = amount.map_or("max".to_owned(), |amount| amount.to_string());
            json!({"pending_id": pending.to_string(), "amount": amount})
        }
        What::Void { pending } => json!({"pending_id": pending.to_string()}),
    };
    match event.what {
        What::Move { .. } => {}
        What::Hold { .. } => flags.push("pending"),
        What::Post { .. } => flags.push("post_pending_transfer"),
        What::Void { .. } => flags.push("void_pending_transfer"),
    }
    order["id"] = json!(event.id.to_string());
    order["flags"] = json!(flags);
    order
}

fn status_of_one(reply: &Reply) -> u32 {
    match (reply.status, reply.replayed) {
        (201, false) => CREATED,
        (200, true) => EXISTS,
        _ => number(&reply.body),
    }
}

fn status_of_result(result: &Value) -> u32 {
    match result["status"].as_str() {
        Some("created") => CREATED,
        Some("exists") => EXISTS,
        _ => number(result),
    }
}

fn number(body: &Value) -> u32 {
    let number = body["number"].as_u64().and_then(|number| u32::try_from(number).ok());
    number.unwrap_or_else(|| panic!("a refusal has a number: {body}"))
}
