//! Measures what deciding and applying one transfer costs: `cargo bench -p ledger -- [accounts] [transfers]`. The
//! default is 10,000 accounts and 2,000,000 single-phase transfers between two random accounts. The ledger forgets
//! transfers in the same way as in a server.
#![expect(clippy::print_stdout, reason = "printing the figures is the purpose of the program")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::Instant;

use ledger::{AccountFlags, Fact, Ledger, NewAccount, NewTransfer, TransferKey, WARM_EVENTS};
use types::{AccountId, Amount, Asset, Code, LedgerId, Timestamp, TransferId};

/// Number of records that stay in memory.
const KEPT: u64 = 600_000;
const BANK: u64 = u64::MAX;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let accounts = numbers.first().copied().unwrap_or(10_000);
    let transfers = numbers.get(1).copied().unwrap_or(2_000_000);
    for (name, flags) in [("off", AccountFlags::NONE), ("on", AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS)] {
        for ids in [Ids::Ordered, Ids::Random] {
            let mut bench = Bench::new(accounts, flags);
            let started = Instant::now();
            bench.run(transfers, ids);
            let ns = started.elapsed().as_nanos() / u128::from(transfers);
            println!("{accounts} accounts, limits {name}, {ids:?} ids: {ns} ns per transfer");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Ids {
    Ordered,
    Random,
}

struct Bench {
    ledger: Ledger,
    clock: u64,
    accounts: u64,
    random: u64,
}

impl Bench {
    fn new(accounts: u64, flags: AccountFlags) -> Self {
        let mut bench = Self { ledger: Ledger::default(), clock: 0, accounts, random: 88_172_645_463_325_252 };
        let asset: Asset = "EUR/2".parse().expect("a known asset");
        let mut plan = bench.ledger.plan(Timestamp::from_ns(1));
        plan.open_book(LedgerId::new(1), asset);
        let facts = plan.into_facts();
        for fact in facts {
            bench.ledger.apply(&fact);
        }
        bench.open(BANK, AccountFlags::NONE);
        for id in 1..=accounts {
            bench.open(id, flags);
            // Large enough that no limit is ever reached.
            let id = u128::from(id);
            bench.pay(u128::MAX - id - 1, BANK.into(), id, 1 << 60);
            if id.is_multiple_of(100_000) {
                bench.ledger.forget_through(u64::MAX);
                drop(bench.ledger.take_changes());
            }
        }
        bench.ledger.forget_through(u64::MAX);
        drop(bench.ledger.take_changes());
        bench
    }

    fn open(&mut self, id: u64, flags: AccountFlags) {
        let (ledger, code) = (LedgerId::new(1), Code::new(1));
        let new = NewAccount { id: AccountId::new(id.into()), ledger, code, flags, ..NewAccount::default() };
        let now = self.tick();
        let planned = self.ledger.plan_account(now, &new);
        self.apply(planned.fact);
    }

    fn pay(&mut self, id: u128, debit: u128, credit: u128, amount: u128) {
        self.judge(&transfer(id, debit, credit, amount));
    }

    fn judge(&mut self, new: &NewTransfer) {
        let now = self.tick();
        let planned = self.ledger.plan_transfer(now, new);
        self.apply(planned.fact);
    }

    fn run(&mut self, transfers: u64, ids: Ids) {
        let mut waiting = Vec::with_capacity(WARM_EVENTS);
        for number in 1..=transfers {
            let debit = 1 + self.random() % self.accounts;
            let credit = 1 + self.random() % self.accounts;
            let id = match ids {
                Ids::Ordered => u128::from(number),
                Ids::Random => u128::from(self.random()) << 64 | u128::from(number),
            };
            let credit = if debit == credit { credit % self.accounts + 1 } else { credit };
            waiting.push(transfer(id, debit.into(), credit.into(), 1));
            if waiting.len() == WARM_EVENTS || number == transfers {
                self.ledger.warm(&waiting);
                waiting.drain(..).for_each(|new| self.judge(&new));
            }
            if number.is_multiple_of(100_000) {
                self.ledger.forget_through(self.ledger.recorded().saturating_sub(KEPT));
                drop(self.ledger.take_changes());
            }
        }
    }

    fn apply(&mut self, fact: Option<Fact>) {
        self.ledger.apply(&fact.expect("nothing is refused here"));
    }

    fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp::from_ns(self.clock)
    }

    /// Xorshift. Any pseudo-random sequence would do.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> NewTransfer {
    NewTransfer {
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        user_data_128: id,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}
