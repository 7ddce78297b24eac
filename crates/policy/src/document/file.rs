//! `[file]`: how to read a file of past payments.

use toml::de::DeValue;
use types::{Span, shorten};

use super::Draft;
use super::judgement::labels;
use super::reader::{Located, Node, Table, any_text, choice, span, text};
use crate::index::{AttributeIdx, PaymentTypeIdx};
use crate::limits::DEADLINE_MAX;
use crate::problem::suggestion;
use crate::spec::{AmountUnit, DecimalMark, FileMapping, LabelColumn, PaymentType};

pub(super) fn file_mapping(document: &mut Table<'_>, draft: &Draft<'_>) -> Option<FileMapping> {
    let mut table = document.node("file")?.table()?;
    let payment = table.need("payment", text).and_then(|payment| draft.payments.find(&payment, table.problems));
    let id = table.need("id", text);
    let time = table.need("time", text);
    let amount = table.needed("amount").and_then(amount);
    let label = table.node("label").map(label);
    let columns = table.node("attributes");
    let delimiter = table.or("delimiter", b',', delimiter);
    let decimal = choice(&[(".", DecimalMark::Point), (",", DecimalMark::Comma)]);
    let decimal = table.or("decimal", DecimalMark::Point, decimal);
    let problems = table.problems;
    let place = table.place.clone();
    table.finish();
    let spec = payment.and_then(|payment| Some(&draft.payments.get(payment)?.spec));
    let attributes = columns.and_then(Node::entries).unwrap_or_default();
    let attributes = attributes.into_iter().map(|(name, column)| {
        let attribute =
            spec.map(|spec| attribute(spec, &name).map_err(|message| problems.report(&name.place, message)));
        let column = column.read(text)?.value.to_owned();
        Some((attribute?.ok()?, column))
    });
    let attributes: Vec<_> = attributes.collect();
    let spec = spec?;
    for (position, attribute) in spec.attributes.iter().enumerate().filter(|(_, attribute)| attribute.required) {
        let mapped =
            |mapping: &Option<(AttributeIdx, String)>| mapping.as_ref().is_none_or(|(idx, _)| idx.get() == position);
        if !attributes.iter().any(mapped) {
            let message = format_args!("the required attribute `{}` has no column", attribute.name);
            problems.report(&place, format_args!("{message}, expected one under `[file.attributes]`"));
        }
    }
    let (amount, amount_unit) = amount?;
    Some(FileMapping {
        payment: PaymentTypeIdx::at(payment?),
        id: id?.value.to_owned(),
        time: time?.value.to_owned(),
        amount,
        amount_unit,
        label: label.flatten(),
        attributes: attributes.into_iter().flatten().collect(),
        delimiter,
        decimal,
    })
}

fn attribute(payment: &PaymentType, name: &Located<&str>) -> Result<AttributeIdx, String> {
    let found = payment.attribute(name.value).map(|(idx, _)| idx);
    found.ok_or_else(|| {
        let hint = suggestion(name.value, payment.attributes.iter().map(|attribute| attribute.name.as_str()));
        format!("payment type `{}` has no such attribute{hint}", payment.name)
    })
}

fn amount(node: Node<'_>) -> Option<(String, AmountUnit)> {
    let mut table = node.table()?;
    let column = table.need("column", text);
    let unit = table.need("unit", choice(&[("major", AmountUnit::Major), ("minor", AmountUnit::Minor)]));
    table.finish();
    Some((column?.value.to_owned(), unit?.value))
}

fn delimiter(value: &DeValue<'_>) -> Result<u8, String> {
    let written = any_text(value)?;
    match written.as_bytes() {
        b"tab" => Ok(b'\t'),
        [byte] if *byte == b'\t' || *byte == b' ' || byte.is_ascii_punctuation() && *byte != b'"' => Ok(*byte),
        _ => Err(format!("is `{}`, expected a space, a punctuation mark other than `\"`, or tab", shorten(written))),
    }
}

fn label(node: Node<'_>) -> Option<LabelColumn> {
    let mut table = node.table()?;
    let column = table.need("column", text);
    let positive = labels(&mut table, "positive");
    let delay = table.or("delay", Span::ZERO, span(Span::ZERO..=DEADLINE_MAX));
    table.finish();
    Some(LabelColumn { column: column?.value.to_owned(), positive, delay })
}
