//! The first pass over a journal: which columns its decisions need, and what their labels are.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use engine::{Fact, LabelRecorded, PlainValue, PolicyActivated};
use foldhash::fast::FixedState;
use journal::EntryInContext;
use policy::FeatureValue;
use types::{Name, PaymentId, Seq, Timestamp};

use super::Chosen;
use super::file::Kind;

/// The label that a payment has, as far as it was known in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    /// The position of its name.
    pub(super) name: u32,
    pub(super) is_positive: bool,
    pub(super) known_at: Timestamp,
    pub(super) seq: Seq,
}

/// Values of the same name and type, which share a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: Name,
    /// `None` if every value is missing.
    pub(super) kind: Option<Kind>,
}

#[derive(Debug)]
pub(super) struct Survey {
    labels_until: Option<Timestamp>,
    pub(super) with_attributes: bool,
    decisions: u64,
    pub(super) labels: HashMap<PaymentId, Label, FixedState>,
    pub(super) label_names: Vec<Name>,
    pub(super) models: Vec<Name>,
    pub(super) features: Vec<Series>,
    pub(super) attributes: Vec<Series>,
    /// The policy of the last decision, and the types that its features had.
    policy: Option<(Seq, Vec<[bool; Kind::COUNT]>)>,
}

impl Survey {
    /// A survey that leaves out labels recorded after `labels_until`.
    pub(super) fn new(labels_until: Option<Timestamp>, with_attributes: bool) -> Self {
        Self {
            labels_until,
            with_attributes,
            decisions: 0,
            labels: HashMap::default(),
            label_names: Vec::new(),
            models: Vec::new(),
            features: Vec::new(),
            attributes: Vec::new(),
            policy: None,
        }
    }

    /// The number of decisions that are exported.
    pub(super) const fn decisions(&self) -> u64 {
        self.decisions
    }

    pub(super) fn add(&mut self, item: &EntryInContext, chosen: &Chosen) -> anyhow::Result<()> {
        let header = &item.entry.header;
        if let Fact::LabelRecorded(recorded) = &item.entry.fact {
            self.label(header.seq, header.decided_at, recorded)?;
        }
        let Fact::PaymentDecided(decided) = &item.entry.fact else { return Ok(()) };
        if !chosen.has(header.decided_at, &decided.payment_type) {
            return Ok(());
        }
        self.decisions += 1;
        let names = policy_of(item)?;
        if self.policy.as_ref().is_none_or(|(seq, _)| *seq != decided.policy) {
            for model in &names.models {
                if !self.models.contains(model) {
                    self.models.push(model.clone());
                }
            }
            names.features.iter().for_each(|name| note(&mut self.features, name, None));
            self.policy = Some((decided.policy, vec![[false; Kind::COUNT]; names.features.len()]));
        }
        let known = self.policy.as_mut().map(|(_, known)| known.as_mut_slice()).unwrap_or_default();
        for (number, value) in &decided.features {
            let Some(kind) = kind_of(value) else { continue };
            let number = usize::from(*number);
            let name = names.features.get(number);
            let name = name.with_context(|| format!("the policy of entry {} has no feature {number}", header.seq))?;
            let Some(seen) = known.get_mut(number).and_then(|kinds| kinds.get_mut(kind as usize)) else { continue };
            if !std::mem::replace(seen, true) {
                note(&mut self.features, name, Some(kind));
            }
        }
        if self.with_attributes {
            decided
                .attributes
                .iter()
                .for_each(|(name, value)| note(&mut self.attributes, name, Some(plain_kind(value))));
        }
        Ok(())
    }

    fn label(&mut self, seq: Seq, at: Timestamp, recorded: &LabelRecorded) -> anyhow::Result<()> {
        if self.labels_until.is_some_and(|until| at > until) {
            return Ok(());
        }
        let place = self.label_names.iter().position(|name| *name == recorded.label).unwrap_or_else(|| {
            self.label_names.push(recorded.label.clone());
            self.label_names.len() - 1
        });
        let label = Label { name: u32::try_from(place)?, is_positive: recorded.positive, known_at: at, seq };
        // A later label replaces an earlier one.
        self.labels.insert(recorded.payment, label);
        Ok(())
    }
}

/// The entry that activated the policy of a decision. It names features and models.
pub(super) fn policy_of(item: &EntryInContext) -> anyhow::Result<&Arc<PolicyActivated>> {
    let policy = item.context.policy.as_ref();
    policy.with_context(|| format!("the policy of entry {} is missing", item.entry.header.seq))
}

/// Notes a series, in the order of names. A series whose type is not known yet gets the first one that appears.
fn note(series: &mut Vec<Series>, name: &Name, kind: Option<Kind>) {
    let of_name = |known: &&mut Series| known.name == *name;
    let Some(kind) = kind else {
        if !series.iter().any(|known| known.name == *name) {
            series.push(Series { name: name.clone(), kind: None });
        }
        return;
    };
    if series.iter().any(|known| known.name == *name && known.kind == Some(kind)) {
        return;
    }
    match series.iter_mut().filter(of_name).find(|known| known.kind.is_none()) {
        Some(open) => open.kind = Some(kind),
        None => {
            let after = series.iter().rposition(|known| known.name == *name).map_or(series.len(), |place| place + 1);
            series.insert(after, Series { name: name.clone(), kind: Some(kind) });
        }
    }
}

/// The type of a value; `None` if it is missing.
pub(super) const fn kind_of(value: &FeatureValue) -> Option<Kind> {
    match value {
        FeatureValue::Int(_) => Some(Kind::Int),
        FeatureValue::Double(_) => Some(Kind::Double),
        FeatureValue::Bool(_) => Some(Kind::Bool),
        FeatureValue::Text(_) => Some(Kind::Text),
        FeatureValue::Missing(_) => None,
    }
}

pub(super) const fn plain_kind(value: &PlainValue) -> Kind {
    match value {
        PlainValue::Int(_) => Kind::Int,
        PlainValue::Double(_) => Kind::Double,
        PlainValue::Bool(_) => Kind::Bool,
        PlainValue::Time(_) => Kind::Time,
        PlainValue::Text(_) | PlainValue::Entity(_) | PlainValue::Account(_) => Kind::Text,
    }
}
