//! `finaira policy`: what is done with a policy folder.

use std::path::PathBuf;

use anyhow::ensure;

use crate::bundle_folder;
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the tests in policy.toml, in memory, as an upload of the policy does
    Test(Arguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with policy.toml
    folder: PathBuf,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Test(Arguments { folder, only }) = command;
    let bundle = bundle_folder::read(folder)?;
    let outcomes = engine::run_policy_tests(&bundle).map_err(|problems| bundle_folder::not_valid(folder, &problems))?;
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for outcome in outcomes.iter().filter(|outcome| is_wanted(outcome.name.as_str())) {
        if outcome.problems.is_empty() {
            passed += 1;
            outln!("passed  {}", outcome.name)?;
        } else {
            failed += 1;
            outln!("FAILED  {}", outcome.name)?;
        }
        for problem in &outcome.problems {
            outln!("  {problem}")?;
        }
    }
    outln!("{passed} passed, {failed} failed")?;
    ensure!(failed == 0, "{failed} of {} tests of {} failed", passed + failed, folder.display());
    ensure!(passed > 0 || only.is_none(), "no test has a name that contains `{}`", only.as_deref().unwrap_or_default());
    Ok(())
}
