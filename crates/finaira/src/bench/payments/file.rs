//! Payments from a file, which `--input` names: the columns are those that the policy's `[file]` maps, as in a backtest.

use std::path::Path;

use anyhow::{Context as _, bail};
use policy::{AmountUnit, AttributeKind, Policy};
use tables::{Cell, Input};
use types::{Amount, Timestamp};

/// A payment of the file.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: Timestamp,
    pub(super) amount: Amount,
    /// The attributes as the fields of a JSON object.
    pub(super) attributes: Box<str>,
}

/// Reads the first `most` payments of a file, in order of time.
pub(super) fn read(path: &Path, policy: &Policy, most: Option<u64>) -> anyhow::Result<Vec<Row>> {
    let mapping = policy.file_mapping().context("the policy has no [file], which says how to read --input")?;
    let payment_type = policy.payment_types().get(mapping.payment.get()).context("[file] names no payment type")?;
    let ledger = policy.ledgers().get(payment_type.ledger.get()).context("the payment type has no ledger")?;
    let scale = if mapping.amount_unit == AmountUnit::Major { ledger.asset.scale() } else { 0 };
    let input = Input::open(path, mapping.delimiter)?;
    let mut columns = vec![input.find(&mapping.time)?, input.find(&mapping.amount)?];
    let mut names = Vec::new();
    for (idx, column) in &mapping.attributes {
        let attribute = payment_type.attributes.get(idx.get()).context("[file] names no attribute")?;
        if !matches!(attribute.kind, AttributeKind::Entity(_) | AttributeKind::Text { .. }) {
            bail!("attribute `{}`: the benchmark sends only entities and texts", attribute.name);
        }
        names.push(attribute.name.as_str());
        columns.push(input.find(column)?);
    }
    let mut rows = Vec::new();
    let mut number = 0_u64;
    for batch in input.batches(&columns)? {
        let batch = batch?;
        if let Some(broken) = batch.broken.first() {
            bail!("row {}: {broken}", number + broken.row as u64);
        }
        for place in 0..batch.rows {
            let cell = |column: usize| batch.columns.get(column).map_or(Cell::Null, |column| column.cell(place));
            let unfit = |name: &str, cell: Cell<'_>| format!("row {number}, column `{name}`: found {cell}");
            let at = cell(0).time().with_context(|| unfit(&mapping.time, cell(0)) + ", expected a time")?;
            let amount =
                cell(1).amount(scale).with_context(|| unfit(&mapping.amount, cell(1)) + ", expected an amount")?;
            let mut attributes = String::new();
            for (name, column) in names.iter().zip(2..) {
                // An absent value is an absent attribute.
                let Some(text) = cell(column).text() else { continue };
                let comma = if attributes.is_empty() { "" } else { "," };
                attributes += &format!("{comma}\"{name}\":{}", serde_json::Value::from(&*text));
            }
            rows.push(Row { at, amount, attributes: attributes.into() });
            number += 1;
        }
    }
    rows.sort_by_key(|row| row.at);
    rows.truncate(most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)));
    if rows.is_empty() {
        bail!("{} has no payments", path.display());
    }
    Ok(rows)
}
