//! The entries of a batch, for targets that keep events.

use engine::{Entry, Fact};
use journal::EntryInContext;
use types::{Origin, Seq};

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::target::Fault;

/// Which kinds of events are sent; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Kinds(Option<Vec<String>>);

impl Kinds {
    /// # Errors
    /// When there is no kind, or one of them is unknown.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(kinds) = &self.0 else { return Ok(()) };
        if kinds.is_empty() {
            return Err("found no kind in `kinds`, expected at least one".to_owned());
        }
        match kinds.iter().find(|kind| !journal::KIND_NAMES.contains(&kind.as_str())) {
            Some(kind) => Err(format!("found the kind `{kind}`, expected some of: {}", journal::KIND_NAMES.join(", "))),
            None => Ok(()),
        }
    }

    pub(crate) fn include(&self, entry: &Entry) -> bool {
        self.0.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == journal::kind_name(entry)))
    }
}

/// An entry that is to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing<'b> {
    pub(crate) seq: Seq,
    pub(crate) item: &'b EntryInContext,
    /// The origin of the history that the entry belongs to.
    pub(crate) origin: Origin,
}

/// The entries of a batch that follow the cursor `before`, in their order.
pub(crate) fn outgoing<'b>(
    batch: &'b Batch,
    before: &Cursor,
) -> impl Iterator<Item = Result<Outgoing<'b>, Fault>> + use<'b> {
    let mut origin = before.origin;
    let of_run = |run: &'b std::sync::Arc<journal::EntryRun>| {
        let (first, last) = (run.first().max(batch.first), run.last().min(batch.last));
        (first.get()..=last.get()).filter_map(|seq| run.get(Seq::new(seq)))
    };
    batch.runs.iter().flat_map(of_run).map(move |item| {
        let seq = item.entry.header.seq;
        if let Fact::JournalStarted { origin: new } | Fact::JournalContinued { origin: new, .. } = &item.entry.fact {
            origin = Some(*new);
        }
        let origin = origin.ok_or_else(|| Fault::Contradicts(format!("entry {seq} belongs to no history")))?;
        Ok(Outgoing { seq, item, origin })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_checked() {
        let of = |kinds: &[&str]| Kinds(Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()));
        assert_eq!(Kinds::default().check(), Ok(()));
        assert_eq!(of(&["payment_decided"]).check(), Ok(()));
        let error = of(&["payment_decided", "payments"]).check().expect_err("no such kind");
        assert!(error.starts_with("found the kind `payments`, expected some of: journal_started"), "{error}");
        assert!(of(&[]).check().is_err_and(|error| error.contains("found no kind")));
    }
}
