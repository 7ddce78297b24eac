//! `finaira check-policy` does the same check as activating a policy.

use std::path::PathBuf;

use crate::bundle_folder;
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with policy.toml
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (_, policy) = bundle_folder::compile(&arguments.folder)?;
    outln!(
        "{} is valid: {} payment types, {} features, {} rules, {} models",
        policy.name(),
        policy.payment_types().len(),
        policy.features().len(),
        policy.rules().len(),
        policy.models().len()
    )?;
    outln!("digest {}", policy.digest())
}
