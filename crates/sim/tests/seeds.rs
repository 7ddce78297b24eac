//! Whole runs. `FINAIRA_SIM_SEED=<number> cargo test -p sim` repeats the run of one seed, with either
//! kind of crash.

use std::collections::BTreeSet;
use std::ops::Range;

use journal::FileJournal;
use sim::{Crash, Hasty, SimDisk, Summary, Violation, World};

const STEPS: u32 = 2_000;

/// The seed that was asked for, otherwise these.
fn seeds(usual: Range<u64>) -> Vec<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a parameter of the test run, documented above; nothing decides by it"
    )]
    let asked = std::env::var("FINAIRA_SIM_SEED").ok();
    match asked {
        Some(seed) => vec![seed.parse().expect("FINAIRA_SIM_SEED is a number")],
        None => usual.collect(),
    }
}

fn unspoilt(journal: FileJournal<SimDisk>) -> FileJournal<SimDisk> {
    journal
}

#[track_caller]
fn run_all(usual: Range<u64>, crashes: &[Crash]) -> Vec<Summary> {
    let run = |seed| World::new(seed, crashes).run(STEPS, unspoilt).unwrap_or_else(|violation| panic!("{violation}"));
    seeds(usual).into_iter().map(run).collect()
}

#[test]
fn whatever_a_crash_keeps_every_answer_holds() {
    let summaries = run_all(0..26, &[Crash::TearsUnsynced, Crash::DropsUnsynced]);
    if summaries.len() == 1 {
        return;
    }
    // Runs that go through little show little.
    let total = |count: fn(&Summary) -> u64| summaries.iter().map(count).sum::<u64>();
    assert!(total(|run| run.answers as u64) > 4_000);
    assert!(total(|run| run.entries) > 2_000);
    assert!(total(|run| run.crashes.into()) > 100);
    assert!(total(|run| run.kills.into()) > 100);
    assert!(total(|run| run.stops.into()) > 100);
    assert!(total(|run| run.failures.into()) > 50);
    assert!(total(|run| run.losses.into()) > 100);
    assert!(summaries.iter().filter(|run| run.segments > 2).count() > 3);
    let mut missing: BTreeSet<&str> = KINDS.into_iter().collect();
    summaries.iter().flat_map(|run| &run.kinds).for_each(|kind| {
        missing.remove(kind);
    });
    assert_eq!(missing, BTreeSet::new());
}

const KINDS: [&str; 20] = [
    "account_opened",
    "api_key_added",
    "artifact_stored",
    "journal_started",
    "label_recorded",
    "ledger_opened",
    "payment_changed",
    "payment_decided",
    "policy_activated",
    "transfer_created",
    "transfer_expired",
    "transfer_failed",
    "posted",
    "held",
    "in_review",
    "declined",
    "refused",
    "voided",
    "expired",
    "refunded",
];

#[test]
fn every_answer_holds_when_every_unsynced_write_is_dropped_at_every_crash() {
    run_all(100..114, &[Crash::DropsUnsynced]);
}

#[test]
fn an_answer_before_durability_is_caught() {
    let run = |seed| World::new(seed, &[Crash::DropsUnsynced]).run(STEPS, Hasty::new);
    let runs: Vec<Result<Summary, Violation>> = (200..210).map(run).collect();
    let caught = |run: &&Result<Summary, Violation>| {
        run.as_ref().is_err_and(|violation| violation.what.starts_with("SIM-1: answers rest on entry"))
    };
    let count = runs.iter().filter(caught).count();
    // A crash has to come between an answer and the sync that it should have waited for.
    assert!(2 * count > runs.len(), "a journal that answers before it syncs gets away with it: {runs:?}");
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let run = || World::new(300, &[Crash::TearsUnsynced]).run(STEPS, unspoilt);
    assert_eq!(run(), run());
}
