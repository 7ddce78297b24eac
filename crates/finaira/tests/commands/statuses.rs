//! Tests every status of the packed interface with a record that gets it. If a record deserves two statuses, it gets
//! the earlier one.

mod accounts;
mod table;
mod transfers;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use api::packed::{self, AccountRecord, ResultRecord, TransferRecord};
use ledger::{AccountFlags, AccountStatus, CHAIN_EVENTS_MAX, TransferFlags, TransferStatus};
use serde_json::json;

use crate::harness::{Client, Server};
use accounts::{ACCOUNTS, ACCOUNTS_APART, ACCOUNTS_EXCLUSIVE};
use table::{Case, Form, Kind, cases, lines};
use transfers::{TRANSFERS, TRANSFERS_APART, TRANSFERS_EXCLUSIVE, TRANSFERS_UNREACHABLE};
use world::{WORLD_ACCOUNTS, World, id, open, pay};

const CREATED: u32 = ResultRecord::CREATED;
const FIRST: u128 = 1;
const SECOND: u128 = 2;
const THIRD: u128 = 3;
const HALF: u128 = 1 << 127;
/// Ids from here on are used only once.
const FRESH: u128 = 1_000_000;

const ACCOUNT: Kind = Kind {
    compared: &["user_data_128", "user_data_64", "user_data_32", "ledger", "code"],
    flag: |name| if name == "bit9" { 1 << 9 } else { named(AccountFlags::ALL, name).bits() },
};

const TRANSFER: Kind = Kind {
    compared: &[
        "pending_id",
        "timeout",
        "debit_account_id",
        "credit_account_id",
        "amount",
        "user_data_128",
        "user_data_64",
        "user_data_32",
        "ledger",
        "code",
    ],
    flag: |name| if name == "bit9" { 1 << 9 } else { named(TransferFlags::ALL, name).bits() },
};

fn named<F: Copy>(all: &[(&str, F)], name: &str) -> F {
    all.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no such flag: {name}")).1
}

fn account_of(form: &Form) -> [u8; 128] {
    AccountRecord {
        id: form.get("id"),
        debits_pending: form.get("debits_pending"),
        debits_posted: form.get("debits_posted"),
        credits_pending: form.get("credits_pending"),
        credits_posted: form.get("credits_posted"),
        user_data_128: form.get("user_data_128"),
        user_data_64: form.take("user_data_64"),
        user_data_32: form.take("user_data_32"),
        reserved: form.take("reserved"),
        ledger: form.take("ledger"),
        code: form.take("code"),
        flags: form.flags | u16::from(form.open),
        timestamp: form.take("timestamp"),
    }
    .encode()
}

fn transfer_of(form: &Form) -> [u8; 128] {
    TransferRecord {
        id: form.get("id"),
        debit_account_id: form.get("debit_account_id"),
        credit_account_id: form.get("credit_account_id"),
        amount: form.get("amount"),
        pending_id: form.get("pending_id"),
        user_data_128: form.get("user_data_128"),
        user_data_64: form.take("user_data_64"),
        user_data_32: form.take("user_data_32"),
        timeout: form.take("timeout"),
        ledger: form.take("ledger"),
        code: form.take("code"),
        flags: form.flags | u16::from(form.open),
        timestamp: form.take("timestamp"),
    }
    .encode()
}

/// A server, and the operation that is tested on it.
struct Subject {
    client: Client,
    path: &'static str,
    pack: fn(&Form) -> [u8; 128],
    _server: Server,
    _data: tempfile::TempDir,
}

impl Subject {
    fn start(path: &'static str, pack: fn(&Form) -> [u8; 128]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let server = Server::start(data.path());
        let client = server.client(server.key.as_deref().expect("the first start prints an API key"));
        for (id, asset) in [(1, "EUR/2"), (2, "USD/2")] {
            assert_eq!(client.post("/v1/ledgers", &json!({"id": id, "asset": asset})).status, 201);
        }
        Self { client, path, pack, _server: server, _data: data }
    }

    fn results(&self, path: &str, records: &[[u8; 128]]) -> Vec<ResultRecord> {
        let answer = self.client.packed(path, &records.concat());
        answer.as_chunks().0.iter().map(ResultRecord::decode).collect()
    }

    /// Sends records that must all be created. Returns the last of their timestamps.
    #[track_caller]
    fn create(&self, path: &str, records: &[[u8; 128]]) -> u64 {
        let results = self.results(path, records);
        assert!(results.iter().all(|result| result.status == CREATED), "{results:?}");
        results.iter().map(|result| result.timestamp).max().unwrap_or_default()
    }

    /// Sends every case, and checks that the status is the first one that the case deserves. `leaders` are existing
    /// records of each base. The first record of a batch decides whether the batch is an import.
    #[track_caller]
    fn check(&self, cases: &mut [Case], leaders: &BTreeMap<char, Form>) {
        let mut wrong = vec![];
        for (id, case) in (FRESH..).zip(cases.iter_mut().filter(|case| case.form.get("id") == FRESH)) {
            case.form.fields.insert("id", id);
        }
        let is_import = |case: &Case| "is".contains(case.form.base);
        for import in [false, true] {
            let cases = || cases.iter().filter(|case| is_import(case) == import);
            let leader = |case: &Case| leaders[&case.form.base].clone();
            // A case that must be at the end of a batch gets a batch of its own; all others share one.
            let ends = cases().filter(|case| case.form.open).map(|case| vec![case]);
            let others: Vec<&Case> = cases().filter(|case| !case.form.open).collect();
            for batch in ends.chain(others.chunks(2_000).map(<[_]>::to_vec)) {
                let mut records = vec![(self.pack)(&leader(batch[0]))];
                let mut places = vec![];
                for case in &batch {
                    if case.form.broken {
                        let breaker = Form { flags: 1 << 9 | 1, ..leader(case) };
                        records.push((self.pack)(&breaker));
                    }
                    places.push(records.len());
                    records.push((self.pack)(&case.form));
                }
                let results = self.results(self.path, &records);
                assert_eq!(results.len(), records.len());
                for (case, place) in batch.iter().zip(places) {
                    if results[place].status != case.deserved[0].0 {
                        wrong.push(format!("found {}, expected the first of {case:?}", results[place].status));
                    }
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {} differ\n{}",
            wrong.len(),
            cases.len(),
            wrong[..wrong.len().min(9)].join("\n")
        );
    }
}

/// Checks that every status and every pair of neighbours has a line in the table or a stated reason why not.
fn check_complete(
    table: &'static str,
    cases: &[Case],
    all: &[(u16, &'static str)],
    apart: &[&str],
    unreachable: &[(&str, &str)],
    exclusive: &[(&str, &str, &str)],
) {
    let listed: BTreeSet<(u16, &str)> = lines(table)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|words| (words[0].parse().expect("a number"), words[1]))
        .collect();
    let is_unreachable = |name: &str| unreachable.iter().any(|(known, _)| *known == name);
    for status in all {
        let ways = [listed.contains(status), apart.contains(&status.1), is_unreachable(status.1)];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{status:?} is in exactly one of the lists");
    }
    let others = apart.iter().chain(unreachable.iter().map(|(name, _)| name));
    assert_eq!(listed.len() + others.count(), all.len(), "the lists contain nothing else");
    let gets: BTreeSet<u32> = cases.iter().map(|case| case.deserved[0].0).collect();
    assert!(
        listed.iter().all(|(number, _)| gets.contains(&u32::from(*number))),
        "every line has a record that gets it"
    );

    let reachable: Vec<&str> = all.iter().map(|(_, name)| *name).filter(|name| !is_unreachable(name)).collect();
    for pair in reachable.windows(2) {
        let both = |case: &Case| case.deserved.len() > 1 && [case.deserved[0].1, case.deserved[1].1] == *pair;
        let has_reason = exclusive.iter().any(|(first, second, _)| [*first, *second] == *pair);
        // Statuses with their own tests are compared with their neighbours there.
        let is_apart = pair.iter().any(|name| apart.contains(name));
        let is_tested = cases.iter().any(both);
        assert!(is_tested || has_reason || is_apart, "no record deserves both of {pair:?}");
        assert!(!(is_tested && has_reason), "there is a record that deserves both of {pair:?}");
    }
}

#[test]
fn every_status_of_an_account_has_its_precedence() {
    let subject = Subject::start("/v1/packed/create-accounts", account_of);
    let of = |id, flags: u16, timestamp: u64| {
        let fields = [("id", id), ("ledger", 1), ("code", 10), ("timestamp", timestamp.into())];
        Form::new(if timestamp == 0 { 'p' } else { 'i' }, &fields, flags)
    };
    let open = |forms: &[Form]| subject.create(subject.path, &forms.iter().map(account_of).collect::<Vec<_>>());
    let last = open(&[of(FIRST, 0, 0), of(SECOND, 0, 0)]);
    let close = pay(5, ["SECOND", "FIRST"], 0, TransferFlags::PENDING.with(TransferFlags::CLOSING_DEBIT));
    subject.create("/v1/packed/create-transfers", &[transfer_of(&close)]);
    let imported = AccountFlags::IMPORTED.bits();
    let leader = of(THIRD, imported, last + 500);
    open(std::slice::from_ref(&leader));

    let names =
        [("RECORDED", FIRST), ("CLOSED_SINCE", SECOND), ("IMPORTED", THIRD), ("LAST", u128::from(last) + 500)].into();
    let bases = [of(FRESH, 0, 0), of(FRESH, imported, last + 1_000)];
    let mut cases = cases(&ACCOUNT, ACCOUNTS, &names, &bases);
    let all: Vec<_> = AccountStatus::ALL.iter().map(|status| (status.number(), status.name())).collect();
    let unreachable =
        [("id_reserved_by_import", "rows of an import are staged over their own route; tested with imports")];
    check_complete(ACCOUNTS, &cases, &all, ACCOUNTS_APART, &unreachable, ACCOUNTS_EXCLUSIVE);
    subject.check(&mut cases, &[('p', of(FIRST, 0, 0)), ('i', leader)].into());
    let ids: Vec<u8> = (FRESH..FRESH + 5_000).flat_map(u128::to_le_bytes).collect();
    assert!(subject.client.packed("/v1/packed/lookup-accounts", &ids).is_empty(), "refused accounts do not exist");
}

#[test]
fn every_status_of_a_transfer_has_its_precedence() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    let world = World::make(&subject);
    let cases = &mut cases(&TRANSFER, TRANSFERS, &world.names, &world.bases);
    let all: Vec<_> = TransferStatus::ALL.iter().map(|status| (status.number(), status.name())).collect();
    check_complete(TRANSFERS, cases, &all, TRANSFERS_APART, TRANSFERS_UNREACHABLE, TRANSFERS_EXCLUSIVE);
    let ids: Vec<u8> = (1..100_u128).flat_map(u128::to_le_bytes).collect();
    let balances = || subject.client.packed("/v1/packed/lookup-accounts", &ids);
    let before = balances();
    subject.check(cases, &world.leaders);
    assert_eq!(balances(), before, "refused transfers move nothing");
    let ids: Vec<u8> = (FRESH..FRESH + 8_000).flat_map(u128::to_le_bytes).collect();
    assert!(subject.client.packed("/v1/packed/lookup-transfers", &ids).is_empty(), "refused transfers do not exist");
}

/// The event that makes a chain too long gets the status for that, unless the chain has no end, whatever else is wrong
/// with the event. All other events of the chain fail with it.
#[test]
fn a_chain_that_is_too_long_fails_at_the_first_event_beyond_the_limit() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    open(&subject, WORLD_ACCOUNTS);
    let statuses = |records: &[[u8; 128]], path| -> Vec<u32> {
        subject.results(path, records).iter().map(|result| result.status).collect()
    };
    // The event that makes the chain too long also has an import flag that does not match the batch.
    let fault = TransferFlags::IMPORTED.bits();
    let chain = |events: usize, open: bool, pack: &dyn Fn(u128, u16) -> [u8; 128]| -> Vec<[u8; 128]> {
        let flags = |place| u16::from(open || place + 1 < events) | if place == CHAIN_EVENTS_MAX { fault } else { 0 };
        (0..events).map(|place| pack(FRESH + place as u128, flags(place))).collect()
    };
    let transfer = |id, flags| transfer_of(&pay(id, ["FIRST", "SECOND"], 1, TransferFlags::from_bits(flags)));
    // Accounts have a different bit for the import flag.
    let account = |id, flags| {
        let flags = flags & 1 | if flags & fault != 0 { AccountFlags::IMPORTED.bits() } else { 0 };
        account_of(&Form::new('p', &[("id", id), ("ledger", 1), ("code", 1)], flags))
    };
    for (path, pack, number) in [
        ("/v1/packed/create-transfers", &transfer as &dyn Fn(u128, u16) -> [u8; 128], 1001),
        ("/v1/packed/create-accounts", &account, 1002),
    ] {
        for (events, open) in
            [(CHAIN_EVENTS_MAX + 1, false), (CHAIN_EVENTS_MAX + 3, false), (CHAIN_EVENTS_MAX + 3, true)]
        {
            let mut expected = vec![1; events];
            expected[CHAIN_EVENTS_MAX] = number;
            if open {
                expected[events - 1] = 2;
            }
            assert!(statuses(&chain(events, open, pack), path) == expected, "{path}, {events} events");
        }
        // The chain has no end if the event beyond the limit is also linked.
        let found = statuses(&chain(CHAIN_EVENTS_MAX + 1, true, pack), path);
        assert_eq!(found[CHAIN_EVENTS_MAX], 2);
        let longest = statuses(&chain(CHAIN_EVENTS_MAX, false, pack), path);
        assert!(longest == vec![CREATED; CHAIN_EVENTS_MAX], "the longest allowed chain succeeds");
    }
    let [first, ..] = subject.client.packed("/v1/packed/lookup-accounts", &FIRST.to_le_bytes()).as_chunks().0[..]
    else {
        panic!("the account exists")
    };
    assert_eq!(AccountRecord::decode(&first).debits_posted, CHAIN_EVENTS_MAX as u128);
}

/// Some microseconds pass between an import's event and the last event of its batch. The test sweeps timestamps so
/// close together that one of them must be in that gap. Timestamps before, in and after the gap are all refused, each
/// with its own status.
#[test]
fn an_import_from_the_future_is_refused_to_the_microsecond() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    let world = World::make(&subject);
    let timed = |form: Form| form.with("timeout", 1);
    let paying = timed(Form { flags: world.bases[1].flags | TransferFlags::PENDING.bits(), ..world.bases[1].clone() });
    sweep(&subject, &world.leaders[&'i'], &paying, [63, 1002, 59]);
    sweep(&subject, &world.leaders[&'i'], &paying.clone().with("id", id("IMPORTED")), [36, 36, 59]);
    sweep(&subject, &world.leaders[&'i'], &paying.with("debit_account_id", id("POLICY_ONLY")), [1000, 1000, 59]);
    let posting = &world.bases[3];
    sweep(&subject, &world.leaders[&'s'], &posting.clone().with("pending_id", id("TIMED")), [1003, 1003, 59]);

    let subject = Subject::start("/v1/packed/create-accounts", account_of);
    let imported = AccountFlags::IMPORTED.bits();
    let leader = Form::new('i', &[("id", FIRST), ("ledger", 1), ("code", 1), ("timestamp", 10)], imported);
    subject.create(subject.path, &[account_of(&leader)]);
    let opening = leader.clone().with("id", FRESH);
    sweep(&subject, &leader, &opening.clone().with("code", 0), [14, 14, 25]);
    // The earliest timestamps come last, so they regress.
    sweep(&subject, &leader, &opening, [26, 1003, 25]);
}

/// Sends batches of one record whose timestamps go down from the future to the past, and checks the statuses before,
/// within and behind the gap. Of the records that would be created, only the first one is.
#[expect(clippy::disallowed_methods, reason = "the server's time is this machine's")]
#[track_caller]
fn sweep(subject: &Subject, leader: &Form, form: &Form, [before, within, behind]: [u32; 3]) {
    const STEP_NS: u128 = 8_000;
    let count = packed::EVENTS_MAX - 1;
    assert!(STEP_NS < count as u128, "a step is smaller than the gap");
    let mut ahead_ns = 0;
    for _ in 0..20 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
        let newest = now + ahead_ns + STEP_NS * count as u128 / 2;
        let mut records = vec![(subject.pack)(leader)];
        let fresh = form.get("id") == FRESH;
        records.extend((0..count as u128).map(|place| {
            let form = form.clone().with("timestamp", newest - place * STEP_NS);
            (subject.pack)(&if fresh { form.with("id", FRESH + place) } else { form })
        }));
        let results = subject.results(subject.path, &records);
        let statuses: Vec<u32> = results[1..].iter().map(|result| result.status).collect();
        if statuses[0] == behind && (statuses[count - 1] == before) {
            let behind_count = statuses.iter().take_while(|status| **status == behind).count();
            let within_count = statuses[behind_count..].iter().take_while(|status| **status == within).count();
            assert!(
                within_count > 0,
                "status {within} is missing between {behind} and {:?}",
                &statuses[behind_count..][..3]
            );
            let mut rest = statuses[behind_count + within_count..].iter().filter(|status| **status != CREATED);
            assert!(rest.all(|status| *status == before), "the status before the gap is {before}");
            return;
        }
        // The batch was executed outside the swept range, so aim at that time next.
        ahead_ns = u128::from(results[0].timestamp.max(results[1].timestamp)).saturating_sub(now);
    }
    panic!("no sweep covered the server's time");
}
