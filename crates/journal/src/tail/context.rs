//! Entries together with the data that they refer to.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{ApprovalFact, Entry, Fact, PolicyActivated};
use ledger::Assets;
use types::{LedgerId, Seq};

use crate::fault::Fault;

/// An entry and the data that it refers to, so that code that shows it, here or in another process, looks nothing up.
#[derive(Debug, Clone)]
pub struct EntryInContext {
    pub entry: Entry,
    pub context: Context,
}

/// The data to which entries refer by number.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The assets of the ledgers that the entry names; all entries of a run share them.
    pub assets: Arc<Assets>,
    /// The policy that decided the entry's payment. It names the features and models to which the entry refers by
    /// number.
    pub policy: Option<Arc<PolicyActivated>>,
}

/// Looks up what entries refer to. It may read files.
pub trait ContextSource {
    /// Assets by ledger, including at least the ledgers of all durable entries.
    fn assets(&self) -> Arc<Assets>;

    /// The policy that the entry `activated` contains; `None` if it contains none.
    ///
    /// # Errors
    /// When the entry cannot be read.
    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault>;
}

impl EntryInContext {
    /// Looks up what one entry refers to.
    ///
    /// # Errors
    /// When `source` cannot read it.
    pub fn of(entry: Entry, source: &impl ContextSource) -> Result<Self, Fault> {
        let assets = assets_of(std::slice::from_ref(&entry), source);
        let policy = policy_of(&entry).map(|seq| source.policy(seq)).transpose()?.flatten();
        Ok(Self { entry, context: Context { assets, policy } })
    }

    /// Looks up what neighbouring entries refer to.
    pub(super) fn of_all(entries: Vec<Entry>, source: &impl ContextSource) -> Result<Vec<Self>, Fault> {
        let assets = assets_of(&entries, source);
        let mut found: Option<(Seq, Option<Arc<PolicyActivated>>)> = None;
        let mut in_context = Vec::with_capacity(entries.len());
        for entry in entries {
            let policy = match policy_of(&entry) {
                None => None,
                Some(seq) => match &found {
                    Some((known, policy)) if *known == seq => policy.clone(),
                    Some(_) | None => found.insert((seq, source.policy(seq)?)).1.clone(),
                },
            };
            in_context.push(Self { entry, context: Context { assets: Arc::clone(&assets), policy } });
        }
        Ok(in_context)
    }
}

fn assets_of(entries: &[Entry], source: &impl ContextSource) -> Arc<Assets> {
    let mut named = BTreeSet::new();
    for entry in entries {
        name_ledgers(entry, &mut named);
    }
    if named.is_empty() { Arc::default() } else { Arc::new(source.assets().only(named)) }
}

fn name_ledgers(entry: &Entry, named: &mut BTreeSet<LedgerId>) {
    if let Fact::PaymentDecided(decided) = &entry.fact {
        named.insert(decided.ledger);
    }
    if let Fact::Approval(ApprovalFact::ProposalMade(made)) = &entry.fact {
        named.extend(made.operation.ledger());
    }
    named.extend(entry.fact.ledger_facts().iter().filter_map(ledger::Fact::ledger));
}

/// The entry that activated the policy that decided this entry's payment.
fn policy_of(entry: &Entry) -> Option<Seq> {
    if let Fact::PaymentDecided(decided) = &entry.fact { Some(decided.policy) } else { None }
}
