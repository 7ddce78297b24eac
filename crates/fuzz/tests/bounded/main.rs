//! Runs every target on the stable toolchain: first the committed seeds, then a fixed number of mutations of them.
//!
//! `FINAIRA_FUZZ_SEED=<number>` sets the seed of the mutations, and `FINAIRA_FUZZ_RUNS=<number>` their number. An input
//! that breaks a promise is written to a file; `FINAIRA_FUZZ_INPUT=<file> cargo test -p fuzz --test bounded <target>`
//! runs it again.
#![expect(clippy::print_stdout, reason = "with --show-output, a run prints how many inputs it tried")]

mod memory;
mod wrappers;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::{Mutator, Target, Verdict, target};

/// The most memory that one input may use at once. The largest valid input is a policy bundle with its models.
const MEMORY_BYTES_MAX: usize = 256 << 20;

#[expect(clippy::disallowed_methods, reason = "these are parameters of a test run, documented above")]
fn parameter(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    parameter(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, found {text}")))
}

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target.name)
}

/// The committed inputs with their names, in order.
fn committed(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let mut inputs: Vec<_> =
        paths.map(|path| (name(&path), std::fs::read(&path).expect("the file can be read"))).collect();
    inputs.sort();
    inputs
}

/// Runs one input. If it breaks a promise, this prints how to run it again.
fn run(target: &Target, input: &[u8], told: &str) -> Verdict {
    let (outcome, memory_bytes) = memory::peak(|| catch_unwind(|| (target.run)(input)));
    let what = match outcome {
        Ok(_) if memory_bytes > MEMORY_BYTES_MAX => format!("it used {memory_bytes} bytes of memory"),
        Ok(verdict) => return verdict,
        Err(_panic) => "it panicked, see above".to_owned(),
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-found", target.name));
    std::fs::write(&file, input).expect("the input can be written to a file");
    panic!(
        "{} broke a promise: {what} ({told})\nrun it again: FINAIRA_FUZZ_INPUT={} cargo test -p fuzz --test bounded {}\n\
         once fixed, add it to the seeds in fuzz/seeds/{}",
        target.name,
        file.display(),
        target.name,
        target.name,
    );
}

fn attack(name: &str) {
    let target = target(name);
    if let Some(file) = parameter("FINAIRA_FUZZ_INPUT") {
        let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        println!("{:?}", (target.run)(&input));
        return;
    }
    let corpus = committed(target);
    for (name, input) in &corpus {
        run(target, input, name);
    }
    let made = (target.seeds)();
    let corpus: Vec<Vec<u8>> = corpus.into_iter().chain(made).map(|(_, input)| input).collect();
    let seed = number("FINAIRA_FUZZ_SEED").unwrap_or(1);
    let runs = number("FINAIRA_FUZZ_RUNS").unwrap_or(u64::from(target.runs));
    let mut mutator = Mutator::new(seed, &corpus);
    let mut accepted = 0;
    for number in 0..runs {
        let input = mutator.next_input();
        if run(target, &input, &format!("seed {seed}, input {number}")) == Verdict::Accepted {
            accepted += 1;
        }
    }
    println!("{name}: {} seeds, {runs} mutations, {accepted} of them accepted", corpus.len());
    // If nearly all inputs are rejected, or none is, the target tests nothing.
    assert!(accepted * 400 >= runs, "{accepted} of {runs} mutations were accepted");
    assert!(runs == 0 || accepted < runs, "no mutation was rejected");
}

macro_rules! attacks {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            attack(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

attacks! {
    access_tokens
    archives
    bundles
    csv_rows
    dpop_proofs
    entries
    expressions
    journals
    json_bodies
    key_stores
    models
    packed_batches
    parquet_rows
    policies
    proofs
    queries
    texts
}

/// The seeds that the code creates are valid, and so are the committed ones, which earlier releases created.
/// `UPDATE_EXPECT=1` writes the seeds that differ.
#[test]
fn seeds_are_accepted() {
    let update = parameter("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let mut refused = Vec::new();
    for target in fuzz::TARGETS {
        let folder = folder(target);
        let made = (target.seeds)();
        if update {
            std::fs::create_dir_all(&folder).expect("the folder can be created");
            for (name, input) in &made {
                std::fs::write(folder.join(name), input).expect("the file can be written");
            }
        }
        let committed = committed(target);
        for (name, _) in &made {
            let is_there = committed.iter().any(|(known, _)| known == name);
            assert!(is_there, "fuzz/seeds/{}/{name} is missing; UPDATE_EXPECT=1 writes it", target.name);
        }
        // Inputs that once found a bug have other names and need not be valid.
        let kept = committed.into_iter().filter(|(name, _)| made.iter().any(|(known, _)| known == name));
        for (name, input) in kept.chain(made.clone()) {
            if let Verdict::Refused(why) = (target.run)(&input) {
                refused.push(format!("{}/{name}: {why}", target.name));
            }
        }
    }
    assert_eq!(refused, Vec::<String>::new(), "seeds are valid inputs");
}
