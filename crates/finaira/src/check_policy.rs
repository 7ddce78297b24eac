//! `finaira check-policy` does the same check as activating a policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use types::Span;

use crate::bundle_folder;
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with policy.toml
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let policy = bundle_folder::check(&arguments.folder)?;
    outln!(
        "{} is valid: {} payment types, {} features, {} rules, {} models, {} tests passed",
        policy.name(),
        policy.payment_types().len(),
        policy.features().len(),
        policy.rules().len(),
        policy.models().len(),
        policy.tests().len()
    )?;
    outln!("digest {}", policy.digest())?;
    for warning in policy.warnings() {
        outln!("warning: {warning} ({})", warning.code)?;
    }
    let mut reaches = BTreeMap::<Span, Vec<&str>>::new();
    for (feature, _, reach) in policy.reaches() {
        reaches.entry(reach).or_default().push(feature.as_str());
    }
    if !reaches.is_empty() {
        outln!("a new feature is missing until its stream was recorded for as long as it looks back:")?;
    }
    for (reach, features) in reaches {
        outln!("  {reach}: {}", features.join(", "))?;
    }
    Ok(())
}
