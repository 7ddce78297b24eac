//! The second pass over a journal: one row per decision.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::anyhow;
use engine::{Fact, PaymentDecided, PlainValue, PolicyActivated};
use foldhash::fast::FixedState;
use journal::EntryInContext;
use ledger::UnknownLedger;
use policy::FeatureValue;
use types::{Name, PaymentId, Seq};

use super::Chosen;
use super::file::{Cell, Column, File, Kind};
use super::survey::{Label, Series, Survey, kind_of, plain_kind, policy_of};

/// The columns before those of models and features.
const FIRST: [(&str, Kind); 15] = [
    ("payment", Kind::Text),
    ("sequence", Kind::Int),
    ("decided_at", Kind::Time),
    ("occurred_at", Kind::Time),
    ("late", Kind::Bool),
    ("type", Kind::Text),
    ("asset", Kind::Text),
    ("amount", Kind::Int),
    ("decision", Kind::Text),
    ("status", Kind::Text),
    ("score", Kind::Int),
    ("reasons", Kind::Text),
    ("tags", Kind::Text),
    ("policy", Kind::Text),
    ("policy_version", Kind::Int),
];
/// The last columns.
const LABEL: [(&str, Kind); 4] = [
    ("label", Kind::Text),
    ("label_positive", Kind::Bool),
    ("label_known_at", Kind::Time),
    ("label_sequence", Kind::Int),
];

#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<Column>,
    with_attributes: bool,
    models: Vec<Name>,
    features: Vec<Series>,
    attributes: Vec<Series>,
    labels: HashMap<PaymentId, Label, FixedState>,
    label_names: Vec<Name>,
    places: Option<Places>,
    written: u64,
    labelled: u64,
}

/// The columns of one policy's models and features, by their numbers in the policy.
#[derive(Debug)]
struct Places {
    policy: Seq,
    models: Vec<Option<usize>>,
    /// For each feature, the column of each type.
    features: Vec<[Option<usize>; Kind::COUNT]>,
}

impl Rows {
    pub(super) fn new(survey: Survey) -> Self {
        let Survey { with_attributes, labels, label_names, models, features, attributes, .. } = survey;
        let mut taken: HashSet<String> = FIRST.iter().chain(&LABEL).map(|(name, _)| (*name).to_owned()).collect();
        let mut columns: Vec<Column> = FIRST.iter().map(|(name, kind)| Column::new(*name, *kind)).collect();
        // Fixed names take precedence. A model or feature with the same name gets its kind as a prefix.
        let mut add = |prefix: &str, mut name: String, kind: Kind| {
            while !taken.insert(name.clone()) {
                name = format!("{prefix}_{name}");
            }
            columns.push(Column::new(name, kind));
        };
        models.iter().for_each(|name| add("model", name.to_string(), Kind::Double));
        for (prefix, all) in [("feature", &features), ("attribute", &attributes)] {
            for Series { name, kind } in all {
                let is_only_one = all.iter().filter(|other| other.name == *name).count() == 1;
                let base = if prefix == "attribute" { format!("attribute_{name}") } else { name.to_string() };
                // A series without any value has no type; doubles suit most models.
                let kind = kind.unwrap_or(Kind::Double);
                add(prefix, if is_only_one { base } else { format!("{base}_{}", kind.name()) }, kind);
            }
        }
        columns.extend(LABEL.iter().map(|(name, kind)| Column::new(*name, *kind)));
        Self {
            columns,
            with_attributes,
            models,
            features,
            attributes,
            labels,
            label_names,
            places: None,
            written: 0,
            labelled: 0,
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of rows so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// The number of rows with a label so far.
    pub(super) const fn labelled(&self) -> u64 {
        self.labelled
    }

    /// The number of columns of features.
    pub(super) const fn features(&self) -> usize {
        self.features.len()
    }

    /// Writes the row of an entry, if it is a decision that was chosen.
    ///
    /// # Errors
    /// Fails if the file cannot be written, or if the journal contradicts itself.
    pub(super) fn write(&mut self, item: &EntryInContext, chosen: &Chosen, file: &mut File) -> anyhow::Result<()> {
        let header = &item.entry.header;
        let Fact::PaymentDecided(decided) = &item.entry.fact else { return Ok(()) };
        if !chosen.has(header.decided_at, &decided.payment_type) {
            return Ok(());
        }
        let policy = policy_of(item)?;
        self.find_places(decided.policy, policy);
        let asset = item.context.assets.of(decided.ledger);
        let asset = asset
            .map_err(|UnknownLedger(ledger)| anyhow!("no entry before {} opens the ledger {ledger}", header.seq))?;
        let mut cells = vec![Cell::Null; self.columns.len()];
        let first = [
            Cell::Text(decided.payment.to_string().into()),
            int(header.seq.get())?,
            Cell::Time(header.decided_at),
            Cell::Time(header.occurred_at),
            Cell::Bool(decided.late),
            Cell::Text(decided.payment_type.as_str().into()),
            Cell::Text(asset.to_string().into()),
            // Models read no amount above this, and no column of integers holds one.
            i64::try_from(decided.amount.get()).map_or(Cell::Null, Cell::Int),
            Cell::Text(decided.verdict.name().into()),
            Cell::Text(decided.status.name().into()),
            Cell::Int(decided.score.into()),
            Cell::Text(joined(decided.reasons.iter().map(|reason| reason.code.as_str())).into()),
            Cell::Text(joined(decided.tags.iter().map(String::as_str)).into()),
            Cell::Text(policy.name.as_str().into()),
            int(decided.policy.get())?,
        ];
        put(&mut cells, 0, first);
        if let Some(places) = &self.places {
            places.fill(decided, &mut cells)?;
        }
        if self.with_attributes {
            let before = FIRST.len() + self.models.len() + self.features.len();
            for (name, value) in &decided.attributes {
                let kind = Some(plain_kind(value));
                let place = self.attributes.iter().position(|known| known.name == *name && known.kind == kind);
                set(&mut cells, place.map(|place| before + place), plain(value))?;
            }
        }
        if let Some(label) = self.labels.get(&decided.payment) {
            let name = self.label_names.get(label.name as usize).map(|name| Cell::Text(name.as_str().into()));
            let known_at = Cell::Time(label.known_at);
            let last = [name.unwrap_or(Cell::Null), Cell::Bool(label.is_positive), known_at, int(label.seq.get())?];
            let place = self.columns.len() - LABEL.len();
            put(&mut cells, place, last);
            self.labelled += 1;
        }
        file.row(&cells)?;
        self.written += 1;
        Ok(())
    }

    /// Finds the columns of a policy, unless the last decision had the same one.
    fn find_places(&mut self, policy: Seq, names: &Arc<PolicyActivated>) {
        if self.places.as_ref().is_some_and(|places| places.policy == policy) {
            return;
        }
        let first_model = FIRST.len();
        let first_feature = first_model + self.models.len();
        let model = |name| self.models.iter().position(|known| known == name).map(|place| first_model + place);
        let feature = |name: &Name| {
            let mut columns = [None; Kind::COUNT];
            for (place, series) in self.features.iter().enumerate().filter(|(_, series)| series.name == *name) {
                if let Some(column) = series.kind.and_then(|kind| columns.get_mut(kind as usize)) {
                    *column = Some(first_feature + place);
                }
            }
            columns
        };
        let (models, features) =
            (names.models.iter().map(model).collect(), names.features.iter().map(feature).collect());
        self.places = Some(Places { policy, models, features });
    }
}

impl Places {
    fn fill<'e>(&self, decided: &'e PaymentDecided, cells: &mut [Cell<'e>]) -> anyhow::Result<()> {
        for (number, probability) in &decided.models {
            if let Some(probability) = probability.filter(|probability| probability.is_finite()) {
                let place = self.models.get(usize::from(*number)).copied().flatten();
                set(cells, place, Cell::Double(probability))?;
            }
        }
        for (number, value) in &decided.features {
            let Some(kind) = kind_of(value) else { continue };
            let columns = self.features.get(usize::from(*number));
            set(cells, columns.and_then(|columns| columns.get(kind as usize).copied().flatten()), feature(value))?;
        }
        Ok(())
    }
}

/// Sets the cell of a value whose column the survey found.
fn set<'e>(cells: &mut [Cell<'e>], place: Option<usize>, value: Cell<'e>) -> anyhow::Result<()> {
    let cell = place.and_then(|place| cells.get_mut(place));
    *cell.ok_or_else(|| anyhow!("the journal changed while it was read: a value has no column"))? = value;
    Ok(())
}

/// Sets neighbouring cells.
fn put<'e, const N: usize>(cells: &mut [Cell<'e>], from: usize, values: [Cell<'e>; N]) {
    for (cell, value) in cells.iter_mut().skip(from).zip(values) {
        *cell = value;
    }
}

fn int(number: u64) -> anyhow::Result<Cell<'static>> {
    Ok(Cell::Int(i64::try_from(number)?))
}

fn joined<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

fn feature(value: &FeatureValue) -> Cell<'_> {
    match value {
        FeatureValue::Int(value) => Cell::Int(*value),
        FeatureValue::Double(value) => Cell::Double(*value),
        FeatureValue::Bool(value) => Cell::Bool(*value),
        FeatureValue::Text(value) => Cell::Text((&**value).into()),
        FeatureValue::Missing(_) => Cell::Null,
    }
}

fn plain(value: &PlainValue) -> Cell<'_> {
    match value {
        PlainValue::Text(value) => Cell::Text((&**value).into()),
        PlainValue::Int(value) => Cell::Int(*value),
        PlainValue::Double(value) => Cell::Double(*value),
        PlainValue::Bool(value) => Cell::Bool(*value),
        PlainValue::Time(at) => Cell::Time(*at),
        PlainValue::Entity(token) => Cell::Text(token.to_string().into()),
        PlainValue::Account(account) => Cell::Text(account.to_string().into()),
    }
}
