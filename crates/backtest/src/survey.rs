//! The first pass over a journal: what must be known before payments are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Again, ArtifactChunk, Entry, Fact, PaymentDecided};
use foldhash::{HashMap, HashMapExt as _};
use policy::{Bundle, Policy};
use types::{Asset, Digest, LedgerId, Name, PaymentId, Seq, Timestamp};

use crate::{Failure, Wanted};

/// The most payments whose labels are kept, each with about 40 bytes.
pub const LABELS_MAX: usize = 4_000_000;

/// By payment type: an attribute that the other policy reads and an earlier one did not record, and why it cannot be read.
type Lacking = BTreeMap<Name, (Name, &'static str)>;

/// What a policy that was active then did not record of what the other policy reads.
#[derive(Debug)]
struct Unrecorded {
    policy: Name,
    types: Arc<Lacking>,
    /// Payments that are compared, of such a type: the type, and when the last one was decided.
    compared: Option<(Name, Timestamp)>,
}

/// What the first pass finds.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Whether a payment's label is positive by the other policy, as it is at the end of the journal.
    labels: HashMap<PaymentId, bool>,
    assets: BTreeMap<LedgerId, Asset>,
    /// The parts of the bundles that were stored since the last activation.
    parts: BTreeMap<Digest, BTreeMap<u32, Arc<[u8]>>>,
    /// By the entry that activated a policy.
    policies: BTreeMap<Seq, Unrecorded>,
    /// By the digest of a bundle, so that each is compiled once.
    lacking: BTreeMap<Digest, Arc<Lacking>>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            labels: HashMap::new(),
            assets: BTreeMap::new(),
            parts: BTreeMap::new(),
            policies: BTreeMap::new(),
            lacking: BTreeMap::new(),
        }
    }
}

impl Survey {
    /// Takes the next entry.
    pub(crate) fn take(&mut self, entry: &Entry, wanted: &Wanted, again: &Again) -> Result<(), Failure> {
        for fact in entry.fact.ledger_facts() {
            if let ledger::Fact::BookOpened(book) = fact {
                self.assets.insert(book.id, book.asset);
            }
        }
        match &entry.fact {
            Fact::ArtifactStored(ArtifactChunk { artifact, index, bytes, .. }) => {
                self.parts.entry(*artifact).or_default().insert(*index, Arc::clone(bytes));
            }
            Fact::PolicyActivated(activated) => {
                // An activation drops the parts of all other bundles.
                self.parts.retain(|artifact, _| *artifact == activated.artifact);
                let types = match self.lacking.get(&activated.artifact) {
                    Some(known) => Arc::clone(known),
                    None => {
                        let found = Arc::new(self.lacking_in(activated.artifact, again));
                        self.lacking.insert(activated.artifact, Arc::clone(&found));
                        found
                    }
                };
                let unrecorded = Unrecorded { policy: activated.name.clone(), types, compared: None };
                self.policies.insert(entry.header.seq, unrecorded);
            }
            Fact::PaymentDecided(decided) => {
                let at = entry.header.decided_at;
                if let Some(unrecorded) = self.policies.get_mut(&decided.policy)
                    && unrecorded.types.contains_key(&decided.payment_type)
                    && wanted.includes(at)
                {
                    unrecorded.compared = Some((decided.payment_type.clone(), at));
                }
            }
            Fact::LabelRecorded(recorded) => {
                self.labels.insert(recorded.payment, wanted.policy.is_positive_label(recorded.label.as_str()));
                if self.labels.len() > LABELS_MAX {
                    return Err(Failure::TooManyLabels);
                }
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::PaymentChanged(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_)
            | Fact::StateDigest(_) => {}
        }
        Ok(())
    }

    /// What the policy of a bundle does not record of what the other policy reads.
    fn lacking_in(&self, artifact: Digest, again: &Again) -> Lacking {
        if artifact == again.policy().digest() {
            return Lacking::new();
        }
        let Some(earlier) = self.parts.get(&artifact).and_then(compiled) else { return Lacking::new() };
        let lacking = |payment_type: &policy::PaymentType| {
            Some((payment_type.name.clone(), again.unrecorded(&earlier, &payment_type.name)?))
        };
        earlier.payment_types().iter().filter_map(lacking).collect()
    }

    /// Refuses a comparison of payments that the journal does not have as the policy reads them.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let newest = self.policies.iter().rev().find_map(|(seq, found)| Some((*seq, found, found.compared.as_ref()?)));
        let Some((activated, unrecorded, (payment_type, last))) = newest else { return Ok(()) };
        let Some((attribute, why)) = unrecorded.types.get(payment_type) else { return Ok(()) };
        Err(Failure::Unrecorded {
            payment_type: payment_type.clone(),
            attribute: attribute.clone(),
            why,
            policy: unrecorded.policy.clone(),
            activated,
            last: *last,
        })
    }

    /// Whether the policy reads something of a payment that the journal does not have.
    pub(crate) fn lacks_attributes(&self, decided: &PaymentDecided) -> bool {
        let unrecorded = self.policies.get(&decided.policy);
        unrecorded.is_some_and(|unrecorded| unrecorded.types.contains_key(&decided.payment_type))
    }

    /// Whether a payment turned out to be fraud, if that is known.
    pub(crate) fn label(&self, payment: PaymentId) -> Option<bool> {
        self.labels.get(&payment).copied()
    }

    pub(crate) fn assets(&self) -> BTreeMap<LedgerId, Asset> {
        self.assets.clone()
    }
}

/// The policy of a bundle, if this release accepts it. Otherwise only the attributes that payments have are known.
fn compiled(parts: &BTreeMap<u32, Arc<[u8]>>) -> Option<Policy> {
    let bytes: Vec<u8> = parts.values().flat_map(|part| part.iter().copied()).collect();
    Policy::recompile(&Bundle::from_bytes(&bytes).ok()?).ok()
}
