//! `finaira`: the command line.
#![warn(clippy::print_stderr)] // As for standard output: what prints must not panic, see `stdio`.

mod admin;
mod backtest;
mod backup;
mod bench;
mod beside;
mod bundle_folder;
mod check_policy;
mod config;
#[cfg(feature = "connect")]
mod connect;
mod demo;
mod export;
mod fetch;
mod import;
mod lists_command;
mod policy_command;
mod prove;
mod remote;
mod restore;
mod serve;
mod stdio;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use mimalloc::MiMalloc;

/// Payments are allocated on one thread and freed on another. The allocator of glibc handles that slowly: a quarter of the server's
/// processor time went there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Decides and posts payments in one step.
#[derive(Debug, Parser)]
#[command(name = "finaira", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: the engine, its journal and the HTTP API
    Serve(serve::Arguments),
    /// Administer tenants and API keys, of a running server or in a data directory
    Admin(Box<admin::Arguments>),
    /// Check a configuration file, or print one with every key
    #[command(subcommand)]
    Config(config::Command),
    /// Run a demo: a server with simulated customers and fraudsters, and a report of the results
    Demo(demo::Arguments),
    /// Decide a file of past payments with a policy
    Backtest(backtest::Arguments),
    /// Write the decisions of a journal, with their features and labels, as a table to train models on; a server may run
    Export(export::Arguments),
    /// Measure the performance of the server on this machine
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Import an existing book of accounts and transfers into a ledger
    #[command(subcommand)]
    Import(Box<import::Command>),
    /// Load files of values into lists of a running server
    #[command(subcommand)]
    Lists(Box<lists_command::Command>),
    /// Copy the journal of a running server into a directory, once or continuously
    Backup(backup::Arguments),
    /// Keep copies of journals in other systems, such as databases
    #[cfg(feature = "connect")]
    Connect(connect::Arguments),
    /// Fetch a journal from an archive in an object store into a directory, as a copy that `restore` and `verify` read
    #[cfg(feature = "connect")]
    FetchArchive(connect::fetch::Arguments),
    /// Write proofs that something is in the journal, which others can check; or check such proofs
    #[command(subcommand)]
    Prove(Box<prove::Command>),
    /// Print the newest signed checkpoint of a server, or the key that verifies it
    Checkpoint(prove::CheckpointArgs),
    /// Restore a journal from a copy, in full or up to a point, as a new history
    Restore(restore::Arguments),
    /// Check everything in a data directory, without changing it
    Verify(verify::Arguments),
    /// Check a policy folder and list its problems
    CheckPolicy(check_policy::Arguments),
    /// Work on a policy folder
    #[command(subcommand)]
    Policy(policy_command::Command),
}

fn main() -> ExitCode {
    let command = match config::with_file(Arguments::command(), std::env::args_os()) {
        Ok(command) => command,
        Err(error) => return failed(&error),
    };
    let matches = command.get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Admin(arguments) => admin::run(&arguments),
        Command::Config(command) => config::run(&command, &Arguments::command()),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Backtest(arguments) => backtest::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Bench(benchmark) => bench::run(&benchmark),
        Command::Import(command) => import::run(&command),
        Command::Lists(command) => lists_command::run(&command),
        Command::Backup(arguments) => backup::run(&arguments),
        #[cfg(feature = "connect")]
        Command::Connect(arguments) => connect::run(&arguments),
        #[cfg(feature = "connect")]
        Command::FetchArchive(arguments) => connect::fetch::run(&arguments),
        Command::Prove(command) => prove::run(&command),
        Command::Checkpoint(arguments) => prove::checkpoint(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::CheckPolicy(arguments) => check_policy::run(&arguments),
        Command::Policy(command) => policy_command::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    stdio::errln!("finaira: {}", sentence(error));
    exit_code(error)
}

/// The exit code for an error. A failed backup has its own codes; all other errors give 1.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref().map_or(ExitCode::FAILURE, |failure: &backup::Failure| failure.exit_code().into())
}

/// Formats an error with its causes. Many errors already quote their cause, so each text appears only once.
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
