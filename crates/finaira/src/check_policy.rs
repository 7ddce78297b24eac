//! `finaira check-policy` does the same check as activating a policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use types::Span;

use crate::bundle_folder;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with policy.toml
    folder: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the result goes to standard output")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (_, policy) = bundle_folder::compile(&arguments.folder)?;
    println!(
        "{} is valid: {} payment types, {} features, {} rules, {} models",
        policy.name(),
        policy.payment_types().len(),
        policy.features().len(),
        policy.rules().len(),
        policy.models().len()
    );
    println!("digest {}", policy.digest());
    for warning in policy.warnings() {
        println!("warning: {warning} ({})", warning.code);
    }
    let mut reaches = BTreeMap::<Span, Vec<&str>>::new();
    for (feature, _, reach) in policy.reaches() {
        reaches.entry(reach).or_default().push(feature.as_str());
    }
    if !reaches.is_empty() {
        println!("a new feature is missing until its stream was recorded for as long as it looks back:");
    }
    for (reach, features) in reaches {
        println!("  {reach}: {}", features.join(", "));
    }
    Ok(())
}
