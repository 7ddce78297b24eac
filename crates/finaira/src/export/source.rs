//! The entries of a tenant's journal, read beside the server that writes it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use disk::Directory;
use engine::{Entry, Fact, PolicyActivated};
use journal::{ContextSource, EntryInContext, Fault, FileReader, Reader as _};
use ledger::{Assets, Book};
use types::{Seq, TenantId};

use crate::beside::reader_of;

/// The entries that are read at once, unless a frame has more.
const ENTRIES_AT_ONCE: usize = 256;

/// The entries that were durable when this was opened.
#[derive(Debug)]
pub(super) struct Source {
    reader: FileReader<Directory>,
    known: RefCell<Known>,
}

/// What the entries that were read name by number.
#[derive(Debug, Default)]
struct Known {
    books: Vec<Book>,
    assets: Arc<Assets>,
    policies: BTreeMap<Seq, Arc<PolicyActivated>>,
}

impl Source {
    /// Opens the journal of a tenant, or of the first one of a data directory.
    ///
    /// # Errors
    /// Fails if there is no such tenant or no journal, or if the journal cannot be read.
    pub(super) fn open(data: &Path, tenant: Option<TenantId>) -> anyhow::Result<Self> {
        Ok(Self { reader: reader_of(data, tenant)?, known: RefCell::default() })
    }

    /// The last entry that is read.
    pub(super) fn last(&self) -> Seq {
        self.reader.durable()
    }

    /// Calls `visit` with every entry, in order.
    ///
    /// # Errors
    /// Fails if the journal cannot be read, or as `visit` does.
    pub(super) fn read(&self, visit: &mut dyn FnMut(Seq, &EntryInContext) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut next = Seq::new(1);
        while next <= self.last() {
            let decoded = self.reader.runs(next, ENTRIES_AT_ONCE, self)?;
            let from = next;
            for run in decoded.runs {
                // A run can begin before the entry that was asked for, at the start of its frame.
                for seq in (run.first().max(next).get()..=run.last().get()).map(Seq::new) {
                    let item = run.get(seq).context("a run has all entries from its first to its last")?;
                    self.note(item);
                    visit(seq, item)?;
                    next = seq.next();
                }
            }
            if next == from {
                bail!("the journal ends before entry {from}, but its mark covers {}", self.last());
            }
        }
        Ok(())
    }

    fn note(&self, item: &EntryInContext) {
        let (seq, fact) = (item.entry.header.seq, &item.entry.fact);
        let mut known = self.known.borrow_mut();
        if let Fact::PolicyActivated(policy) = fact {
            known.policies.entry(seq).or_insert_with(|| Arc::clone(policy));
        }
        for fact in fact.ledger_facts() {
            if let ledger::Fact::BookOpened(book) = fact
                && !known.books.iter().any(|known| known.id == book.id)
            {
                known.books.push(*book);
                known.assets = Arc::new(Assets::new(&known.books));
            }
        }
    }
}

impl ContextSource for Source {
    fn assets(&self) -> Arc<Assets> {
        Arc::clone(&self.known.borrow().assets)
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault> {
        if let Some(policy) = self.known.borrow().policies.get(&activated) {
            return Ok(Some(Arc::clone(policy)));
        }
        // An activation can be in the same read as the decisions after it.
        let Some(Entry { fact: Fact::PolicyActivated(policy), .. }) = self.reader.entry(activated)? else {
            return Ok(None);
        };
        self.known.borrow_mut().policies.insert(activated, Arc::clone(&policy));
        Ok(Some(policy))
    }
}
