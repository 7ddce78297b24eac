//! Whole runs. `FINAIRA_SIM_SEED=<number> cargo test -p sim` repeats the run of one seed in every test here.

use std::ops::Range;

use journal::FileJournal;
use sim::{Crash, Hasty, SimDisk, Summary, Violation, World};

const STEPS: u32 = 1_200;

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
    let summaries = run_all(0..28, &[Crash::TearsUnsynced, Crash::DropsUnsynced]);
    if summaries.len() == 1 {
        return;
    }
    // A run that goes through nothing shows nothing.
    let total = |count: fn(&Summary) -> u64| summaries.iter().map(count).sum::<u64>();
    assert!(total(|run| run.answers as u64) > 2_000, "{summaries:?}");
    assert!(total(|run| run.entries) > 1_000, "{summaries:?}");
    assert!(total(|run| run.crashes.into()) > 50, "{summaries:?}");
    assert!(total(|run| run.kills.into()) > 50, "{summaries:?}");
    assert!(total(|run| run.stops.into()) > 20, "{summaries:?}");
    assert!(total(|run| run.failures.into()) > 20, "{summaries:?}");
    assert!(total(|run| run.losses.into()) > 20, "{summaries:?}");
    assert!(summaries.iter().any(|run| run.segments > 2), "{summaries:?}");
}

#[test]
fn every_answer_holds_when_every_unsynced_write_is_dropped_at_every_crash() {
    run_all(100..112, &[Crash::DropsUnsynced]);
}

#[test]
fn an_answer_before_durability_is_caught() {
    let caught = |seed: &u64| {
        let run: Result<Summary, Violation> = World::new(*seed, &[Crash::DropsUnsynced]).run(STEPS, Hasty::new);
        run.is_err_and(|violation| violation.what.starts_with("SIM-1"))
    };
    let seeds = seeds(200..206);
    let count = seeds.iter().filter(|seed| caught(seed)).count();
    assert_eq!(count, seeds.len(), "a journal that answers before it syncs gets away with it");
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let run = || World::new(300, &[Crash::TearsUnsynced]).run(STEPS, unspoilt);
    assert_eq!(run(), run());
}
