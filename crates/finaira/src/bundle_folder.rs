//! Reads policy folders from disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use policy::{Bundle, DOCUMENT, Policy, Problem, model_files};

/// Reads a policy folder: `policy.toml` and the models that it names.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Bundle> {
    let document = folder.join(DOCUMENT);
    let text = std::fs::read(&document).with_context(|| format!("cannot read {}", document.display()))?;
    let mut files = BTreeMap::from([(DOCUMENT.to_owned(), text.clone())]);
    for name in model_files(&text) {
        let path = folder.join(&name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(name, bytes);
    }
    Ok(Bundle::new(files)?)
}

/// Reads and compiles a policy folder. The error lists every problem.
pub(crate) fn compile(folder: &Path) -> anyhow::Result<(Bundle, Policy)> {
    let bundle = read(folder)?;
    match Policy::compile(&bundle) {
        Ok(policy) => Ok((bundle, policy)),
        Err(problems) => Err(not_valid(folder, &problems)),
    }
}

/// Reads and compiles a policy folder, and runs its tests. The error lists every problem.
pub(crate) fn check(folder: &Path) -> anyhow::Result<Policy> {
    engine::check_policy(&read(folder)?).map_err(|problems| not_valid(folder, &problems))
}

/// An error that lists the problems of a policy.
pub(crate) fn not_valid(folder: &Path, problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    anyhow::anyhow!("{} is not valid:\n{}", folder.display(), lines.join("\n"))
}
