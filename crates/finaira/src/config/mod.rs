//! The configuration file of `finaira serve`. Its values become defaults of the flags, so that flags and the environment count
//! before them, and everything is parsed by the same code.

mod file;
mod keys;
mod reference;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::FromArgMatches as _;

use crate::stdio::{out, outln};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file without starting a server
    Check {
        /// The file to check
        file: PathBuf,
    },
    /// Print a file with every key, its default and what it does
    Reference,
}

pub(crate) fn run(command: &Command, of_program: &clap::Command) -> anyhow::Result<()> {
    match command {
        Command::Check { file } => check(file, of_program),
        Command::Reference => out(format_args!("{}", reference::toml(of_program))),
    }
}

/// Checks a file as a start with it alone would, as far as this is possible without the files that it names.
fn check(file: &Path, command: &clap::Command) -> anyhow::Result<()> {
    let sets = file::read(file, command)?;
    let has_data = sets.iter().any(|set| set.key.flag == "data");
    let with_file = sets.iter().fold(command.clone(), with_default);
    let alone = serve(&with_file).clone().mut_args(|flag| flag.env(None::<&str>));
    // A flag or the environment may name the directory.
    let given: &[&str] = if has_data { &["serve"] } else { &["serve", "--data=."] };
    let matches = alone.try_get_matches_from(given).with_context(|| format!("in {}", file.display()))?;
    let arguments = crate::serve::Arguments::from_arg_matches(&matches)?;
    arguments.check().with_context(|| format!("in {}", file.display()))?;
    outln!("{} sets {} keys and is valid", file.display(), sets.len())
}

/// The command line, with the values of the configuration file as defaults if the arguments or the environment name a file.
pub(crate) fn with_file(
    command: clap::Command,
    arguments: impl Iterator<Item = OsString>,
) -> anyhow::Result<clap::Command> {
    // Only to find the file: errors are found again by the parser of everything.
    let lenient = command.clone().ignore_errors(true).mut_subcommand("serve", |serve| serve.ignore_errors(true));
    let Ok(found) = lenient.try_get_matches_from(arguments) else { return Ok(command) };
    let named =
        found.subcommand_matches("serve").and_then(|serve| serve.try_get_one::<PathBuf>("config").ok().flatten());
    let Some(file) = named else { return Ok(command) };
    Ok(file::read(file, &command)?.iter().fold(command, with_default))
}

fn with_default(command: clap::Command, set: &file::Set) -> clap::Command {
    let id = serve(&command)
        .get_arguments()
        .find(|flag| flag.get_long() == Some(set.key.flag))
        .map(clap::Arg::get_id)
        .cloned();
    let Some(id) = id else { return command };
    command.mut_subcommand("serve", |serve| {
        serve.mut_arg(id, |flag| flag.default_value(set.value.clone()).required(false))
    })
}

/// The command whose flags a file sets.
fn serve(command: &clap::Command) -> &clap::Command {
    command.find_subcommand("serve").expect("the program has the command serve")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_of_serve_is_a_key_or_for_one_start_only() {
        let command = crate::Arguments::command();
        let flags: Vec<&str> = serve(&command).get_arguments().filter_map(clap::Arg::get_long).collect();
        let of_keys = keys::KEYS.iter().map(|key| key.flag);
        let mut known: Vec<&str> = of_keys.chain(keys::NOT_IN_FILES.iter().copied()).collect();
        known.sort_unstable();
        let mut flags = flags;
        flags.retain(|flag| !["help", "version"].contains(flag));
        flags.sort_unstable();
        assert_eq!(flags, known);
        for key in keys::KEYS {
            assert!(keys::SECTIONS.iter().any(|(section, _)| *section == key.section), "{key:?}");
        }
    }

    #[test]
    fn the_page_is_up_to_date() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        expect_test::expect_file![page].assert_eq(&reference::page(&crate::Arguments::command()));
    }

    #[test]
    fn the_reference_is_a_valid_file() {
        let command = crate::Arguments::command();
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("finaira.toml");
        let uncommented: String = reference::toml(&command)
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.contains(" = ") && !key.starts_with(' ') => format!("{key}\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(&path, uncommented).expect("a file");
        let sets = file::read(&path, &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sets.len(), keys::KEYS.len(), "every key is in the reference");
    }
}
