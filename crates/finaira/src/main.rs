//! `finaira`: the command line.

mod backtest;
mod backup;
mod bench;
mod bundle_folder;
mod check_policy;
mod demo;
mod import;
mod prove;
mod restore;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Decides payments and posts them, in one step.
#[derive(Debug, Parser)]
#[command(name = "finaira", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine with its journal in a directory, and the HTTP API
    Serve(serve::Arguments),
    /// Show the whole of it: a server, simulated customers and fraudsters, and what came of them
    Demo(demo::Arguments),
    /// Decide a file of past payments with a policy
    Backtest(backtest::Arguments),
    /// Measure what the server does on this machine
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Bring an existing book of accounts and transfers into a ledger
    #[command(subcommand)]
    Import(Box<import::Command>),
    /// Copy the journal of a running server into a directory, once or as it goes on
    Backup(backup::Arguments),
    /// Write down proofs that something stands in the journal, for others to check, and check them
    #[command(subcommand)]
    Prove(Box<prove::Command>),
    /// Print the newest signed checkpoint of a server, or the key that checks it
    Checkpoint(prove::Checkpoint),
    /// Restore a journal from a copy, in full or up to a point, as a history of its own
    Restore(restore::Arguments),
    /// Check everything that a data directory holds, without changing it
    Verify(verify::Arguments),
    /// Check a policy folder and say what is wrong with it
    CheckPolicy(check_policy::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Backtest(arguments) => backtest::run(&arguments),
        Command::Bench(benchmark) => bench::run(&benchmark),
        Command::Import(command) => import::run(&command),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Prove(command) => prove::run(&command),
        Command::Checkpoint(arguments) => prove::checkpoint(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::CheckPolicy(arguments) => check_policy::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("finaira: {}", sentence(&error));
            exit_code(&error)
        }
    }
}

/// What scripts may tell apart; 1 for the rest.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref().map_or(ExitCode::FAILURE, |failure: &backup::Failure| failure.exit_code().into())
}

/// An error and its causes, each said once: many already quote the one they come from.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}
