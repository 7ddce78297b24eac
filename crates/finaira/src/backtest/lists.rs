//! The lists of a backtest: files with one value in each line, which are in the list from the beginning.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use engine::{
    AddToList, AddedValue, Command, LIST_CHANGES_MAX, LIST_TEXT_BYTES_MAX, ListOf, ListPurpose, ListValue, MakeList,
};
use policy::{ListHolds, ListSpec, Policy};
use tables::Payments;

/// The most values of a request. Its texts have fewer bytes together than a request may have.
const VALUES_PER_REQUEST: usize = 500;
const _: () = assert!(VALUES_PER_REQUEST <= LIST_CHANGES_MAX);
const _: () = assert!(VALUES_PER_REQUEST * LIST_TEXT_BYTES_MAX <= engine::LIST_CHANGE_BYTES_MAX);

/// The lists of a policy as commands that fill them, and the names of those that have no file and so are empty.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) commands: Vec<Command>,
    pub(crate) empty: Vec<String>,
}

impl Lists {
    /// Reads the file `NAME.txt` of each list of the policy from a folder.
    ///
    /// # Errors
    /// If a file cannot be read or has a value that is too long, or if the folder has a file for no list of the policy.
    pub(crate) fn read(folder: Option<&Path>, policy: &Policy, payments: &mut Payments) -> anyhow::Result<Self> {
        let mut lists = Self::default();
        for list in policy.lists() {
            let path = folder.map(|folder| folder.join(format!("{}.txt", list.name)));
            let text = match path.as_deref().map(std::fs::read_to_string) {
                None => None,
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => None,
                Some(read) => Some(read),
            };
            let (Some(path), Some(text)) = (path, text) else {
                lists.empty.push(list.name.to_string());
                continue;
            };
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            lists.add(list, policy, payments, &text).with_context(|| format!("cannot use {}", path.display()))?;
        }
        for entry in folder
            .map(std::fs::read_dir)
            .transpose()
            .context("cannot read the folder of --lists")?
            .into_iter()
            .flatten()
        {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|ending| ending == "txt")
                && !policy.lists().iter().any(|list| list.name.as_str() == name)
            {
                let known: Vec<&str> = policy.lists().iter().map(|list| list.name.as_str()).collect();
                bail!(
                    "{} is for a list that the policy does not declare; it declares {}",
                    path.display(),
                    known.join(", ")
                );
            }
        }
        Ok(lists)
    }

    fn add(&mut self, list: &ListSpec, policy: &Policy, payments: &mut Payments, text: &str) -> anyhow::Result<()> {
        let (name, description) = (list.name.clone(), "".into());
        let entity = match list.holds {
            ListHolds::Text => None,
            ListHolds::Entity(idx) => policy.entities().get(idx.get()),
        };
        let of = entity.map_or(ListOf::Text, |entity| ListOf::Entity(entity.name.clone()));
        self.commands
            .push(MakeList { name: name.clone(), of: of.clone(), purpose: ListPurpose::Block, description }.into());
        let mut values = Vec::new();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
            if line.len() > LIST_TEXT_BYTES_MAX {
                bail!("line {number} has {} bytes, at most {LIST_TEXT_BYTES_MAX} are allowed", line.len());
            }
            let value = match entity {
                Some(entity) => ListValue::Entity(payments.token(entity, line)?),
                None => ListValue::Text(line.into()),
            };
            values.push(AddedValue { value, expires_at: None, reason: Arc::from("") });
        }
        for values in values.chunks(VALUES_PER_REQUEST) {
            self.commands.push(AddToList { list: name.clone(), of: of.clone(), values: values.to_vec() }.into());
        }
        Ok(())
    }
}
