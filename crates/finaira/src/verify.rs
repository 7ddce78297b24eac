//! `finaira verify` checks everything in a data directory: the first tenant, the system journal and every other tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use api::installation::{Tenant, TenantState};
use datadir::{JOURNAL, KEY_OWNER, KEYS, ShardPlace};
use disk::{Directory, DirectoryError};
use journal::FileJournal;
use offline::{CheckpointFile, DataPart, Finding, Verification, VerifyError, parts_of, verify};
use proof::{Hash, VerifierKey};
use types::{Seq, TenantId};

use crate::backtest::progress::{Progress, per_second};
use crate::backtest::table::{Table, thousands};
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data directory; no server may run on it
    #[cfg_attr(feature = "connect", arg(value_name = "DIR", required_unless_present = "target"))]
    #[cfg_attr(not(feature = "connect"), arg(value_name = "DIR", required = true))]
    data: Option<PathBuf>,
    /// Check only this tenant; a server may run if the tenant is suspended
    #[arg(long, value_name = "NUMBER")]
    tenant: Option<u32>,
    /// A checkpoint that was kept elsewhere: check that the journal still has all entries that it covers. It is one of the
    /// first tenant, or of the one that --tenant names
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The vkey of the key that signed the checkpoint; the default is the keys in DIR/keys/proof.vkeys
    #[arg(long, value_name = "VKEY", requires = "checkpoint")]
    key: Option<VerifierKey>,
    #[cfg(feature = "connect")]
    #[command(flatten)]
    copy: crate::connect::verify::CopyArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    #[cfg(feature = "connect")]
    if let Some(target) = &arguments.copy.target {
        return crate::connect::verify::run(&arguments.copy, target);
    }
    let data = arguments.data.as_ref().context("found no data directory")?;
    let mut parts = parts_of(data)?;
    if let Some(tenant) = arguments.tenant.map(TenantId::new) {
        parts = only(tenant, parts)?;
    }
    let mut report = Report { is_of_several: parts.len() > 1, ..Report::default() };
    let total = if report.is_of_several { parts.iter().map(DataPart::marked_entries).sum() } else { 0 };
    let mut progress = report.is_of_several.then(|| Progress::of("entries", total));
    let checkpoint =
        arguments.checkpoint.as_ref().map(|path| CheckpointFile { path: path.clone(), key: arguments.key.clone() });
    for (place, part) in parts.iter().enumerate() {
        if !report.expects(part)? {
            continue;
        }
        let before = report.entries;
        let checked = verify(part, checkpoint.as_ref().filter(|_| place == 0), &mut |done, total| {
            progress.get_or_insert_with(|| Progress::of("entries", total)).reach(before + done);
        });
        report.take(part, checked)?;
        if let Some(progress) = progress.as_mut().filter(|_| report.is_of_several) {
            progress.reach(report.entries);
        }
    }
    if arguments.tenant.is_none() {
        report.look_for_missing(data, &parts);
    }
    let elapsed = progress.map(Progress::finish);
    report.show()?;
    if let Some(elapsed) = elapsed.filter(|_| report.entries > 0) {
        let rate = thousands(per_second(report.entries, elapsed).into());
        outln!("Read in {:.1} s, {rate} entries a second.", elapsed.as_secs_f64())?;
    }
    report.conclude()
}

/// The part of one tenant.
fn only(tenant: TenantId, parts: Vec<DataPart>) -> anyhow::Result<Vec<DataPart>> {
    let is_named = |part: &DataPart| part.place.as_ref().is_some_and(|place| place.tenant == tenant);
    let first = parts.first().cloned();
    let found: Vec<_> = parts.into_iter().filter(is_named).collect();
    if found.is_empty()
        && let Some(first) = first
    {
        // The first tenant may have any number, which is in its files.
        return match first.found_tenant()? {
            number if number == tenant => Ok(vec![first]),
            _ => bail!("{} has no tenant {tenant}", first.directory.display()),
        };
    }
    Ok(found)
}

/// What was found in all parts.
#[derive(Default)]
struct Report {
    is_of_several: bool,
    entries: u64,
    /// What was checked, added up over all parts.
    checked: Vec<(String, u64)>,
    rows: Vec<Row>,
    notes: Vec<String>,
    findings: Vec<(Option<TenantId>, Finding)>,
    /// Parts that could not be checked, and why.
    unchecked: Vec<(TenantId, String)>,
    /// The tenants of the system journal, if all of it could be read.
    tenants: Option<BTreeMap<TenantId, TenantState>>,
}

/// The result for one part.
struct Row {
    tenant: TenantId,
    end: Option<(Seq, Hash)>,
    findings: usize,
}

impl Report {
    /// Whether a part is to be checked. What the system journal says about its tenant becomes a note.
    fn expects(&mut self, part: &DataPart) -> anyhow::Result<bool> {
        let Some(tenant) = part.place.as_ref().map(|place| place.tenant).filter(|tenant| tenant.get() > 0) else {
            return Ok(true);
        };
        let Some(tenants) = &self.tenants else { return Ok(true) };
        match tenants.get(&tenant) {
            Some(TenantState::Active | TenantState::Suspended) => Ok(true),
            Some(state @ (TenantState::Creating | TenantState::Removing)) => {
                if let Some(why) = (*state == TenantState::Creating).then(|| why_it_stays(part)).flatten() {
                    self.rows.push(Row { tenant, end: None, findings: 1 });
                    self.unchecked.push((tenant, why));
                    return Ok(false);
                }
                let state = state.name();
                self.notes.push(format!(
                    "tenant {tenant} was not checked: its state is {state}, so the next start erases it"
                ));
                Ok(false)
            }
            Some(TenantState::Removed) => {
                self.notes.push(format!("tenant {tenant} was removed, so the server does not open its directory"));
                Ok(true)
            }
            None => {
                let what =
                    format!("tenant {tenant} is not in the system journal, so the server does not open its directory");
                self.notes.push(what);
                Ok(true)
            }
        }
    }

    fn take(&mut self, part: &DataPart, checked: Result<Verification, VerifyError>) -> anyhow::Result<()> {
        let Verification { checked, findings, notes, end, tenant, tenants } = match checked {
            Ok(checked) => checked,
            Err(error) if !self.is_of_several => return Err(error.into()),
            // The lock of the first tenant's journal is that of the whole data directory.
            Err(error @ VerifyError::Directory(DirectoryError::InUse(_))) if part.place.is_none() => {
                return Err(error.into());
            }
            Err(error @ VerifyError::Checkpoint { .. }) => return Err(error.into()),
            Err(error) => {
                let tenant = match &part.place {
                    Some(place) => place.tenant,
                    None => part.found_tenant().unwrap_or(ShardPlace::FIRST_TENANT),
                };
                self.unchecked.push((tenant, error.to_string()));
                self.rows.push(Row { tenant, end: None, findings: 1 });
                return Ok(());
            }
        };
        self.entries += end.map_or(0, |(last, _)| last.get());
        for one in checked {
            let what = format!("{}: {}", one.place, one.what);
            match self.checked.iter_mut().find(|(known, _)| *known == what) {
                Some((_, count)) => *count += one.count,
                None => self.checked.push((what, one.count)),
            }
        }
        let of = if self.is_of_several { format!("{}: ", named(tenant)) } else { String::new() };
        self.notes.extend(notes.into_iter().map(|note| format!("{of}{note}")));
        self.rows.push(Row { tenant, end, findings: findings.len() });
        if part.place.as_ref().is_some_and(|place| place.tenant.get() == 0) && end.is_some() {
            let read = tenants.iter().filter_map(|(name, document)| {
                Some((TenantId::new(name.as_str().parse().ok()?), Tenant::read(document).ok()?.state))
            });
            self.tenants = Some(read.collect());
        }
        self.findings.extend(findings.into_iter().map(|finding| (self.is_of_several.then_some(tenant), finding)));
        Ok(())
    }

    /// Reports tenants that the system journal has and whose directory is missing.
    fn look_for_missing(&mut self, data: &Path, parts: &[DataPart]) {
        let present: BTreeSet<TenantId> = self.rows.iter().map(|row| row.tenant).collect();
        match &self.tenants {
            Some(tenants) => {
                let missing = tenants.iter().filter(|(tenant, state)| {
                    matches!(state, TenantState::Active | TenantState::Suspended) && !present.contains(tenant)
                });
                self.unchecked.extend(missing.map(|(tenant, state)| {
                    let state = state.name();
                    (*tenant, format!("its state is {state}, but it has no directory; restore its journal and its keys from a copy"))
                }));
            }
            None if parts.iter().any(|part| part.place.is_some()) => {
                let has_system = present.contains(&ShardPlace::SYSTEM_TENANT);
                if has_system {
                    let what =
                        "the system journal could not be read to its end, so nobody knows which tenants there must be";
                    self.notes.push(what.to_owned());
                } else {
                    let what = format!("{} has tenants, but no system journal; restore it from a copy", data.display());
                    self.unchecked.push((ShardPlace::SYSTEM_TENANT, what));
                }
            }
            None => {}
        }
    }

    fn show(&self) -> anyhow::Result<()> {
        let mut table = Table::new(["CHECKED", "count"]);
        for (what, count) in &self.checked {
            table.row(vec![what.clone(), thousands((*count).into())]);
        }
        let mut out = String::new();
        table.write_to(&mut out);
        if self.is_of_several {
            let mut table = Table::new(["JOURNAL", "last entry", "findings", "Merkle root over all entries"]);
            for Row { tenant, end, findings } in &self.rows {
                let (last, root) = match end {
                    Some((last, root)) => (thousands(last.get().into()), hexadecimal(root)),
                    None => ("-".to_owned(), "-".to_owned()),
                };
                table.row(vec![named(*tenant), last, findings.to_string(), root]);
            }
            out.push('\n');
            table.write_to(&mut out);
        }
        crate::stdio::out(format_args!("{out}"))?;
        if let [Row { end: Some((last, root)), .. }] = self.rows.as_slice() {
            let root = hexadecimal(root);
            outln!("The journal ends with entry {last}; the Merkle root over all entries is {root}.")?;
        }
        for note in &self.notes {
            outln!("Note: {note}.")?;
        }
        Ok(())
    }

    /// Lists what is wrong, and fails if anything is.
    fn conclude(&self) -> anyhow::Result<()> {
        for (tenant, finding) in &self.findings {
            let of = tenant.map(|tenant| format!(" of {}", named(tenant))).unwrap_or_default();
            outln!("FOUND in the {}{of}: {}\n  what to do: {}", finding.place, finding.what, finding.advice)?;
        }
        for (tenant, why) in &self.unchecked {
            outln!("NOT CHECKED: {}: {why}", named(*tenant))?;
        }
        let truth = self.findings.iter().filter(|(_, finding)| finding.place.is_truth()).count();
        let findings = match (self.findings.len(), truth) {
            (0, _) => None,
            (all, 0) => Some(format!("{all} findings, none of them in data that cannot be rebuilt")),
            (all, truth) => Some(format!("{all} findings, {truth} of them in data that cannot be rebuilt")),
        };
        let unchecked = match self.unchecked.len() {
            0 => None,
            count => Some(format!("{count} of the journals could not be checked")),
        };
        let wrong: Vec<String> = findings.into_iter().chain(unchecked).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        outln!("All checks passed.")
    }
}

/// Why the next start does not erase a tenant whose creation did not end by the system journal; `None` if it does.
fn why_it_stays(part: &DataPart) -> Option<String> {
    let place = part.place.as_ref()?;
    let has_keys = place.folder(KEYS).join(KEY_OWNER).is_file();
    let look = || -> Result<(bool, bool), String> {
        if !place.folder(JOURNAL).is_dir() {
            return Ok((false, false));
        }
        let journal = Directory::open_existing(&place.folder(JOURNAL)).map_err(|error| error.to_string())?;
        let first = FileJournal::shard_before_opening(&journal).map_err(|fault| fault.to_string())?;
        Ok((first.is_some(), place.was_used(&journal).map_err(|fault| fault.to_string())?))
    };
    match look() {
        Ok((false, _)) if has_keys => Some("its state is creating, and it has keys, but no journal".to_owned()),
        Ok((_, false)) => None,
        Ok((_, true)) => Some(
            "its state is creating, but its journal has more entries than a creation writes, so the system journal is older \
             than it; the next start makes the tenant active; check it alone, with --tenant"
                .to_owned(),
        ),
        Err(error) => Some(format!("its state is creating, and its journal cannot be read: {error}")),
    }
}

/// Whose journal it is, for people.
fn named(tenant: TenantId) -> String {
    if tenant == ShardPlace::SYSTEM_TENANT { "the system".to_owned() } else { format!("tenant {tenant}") }
}

fn hexadecimal(root: &Hash) -> String {
    root.iter().map(|byte| format!("{byte:02x}")).collect()
}
