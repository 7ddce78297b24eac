//! Turns the rows of a file into payments of a policy, as the edge of the API does with requests.

use std::borrow::Cow;
use std::sync::Arc;

use api::payments::Given;
use engine::NewPayment;
use policy::{AttributeKind, DecimalMark, Entity, FileMapping, PaymentType, Policy};
use types::{Digest, DigestBuilder, Name, PaymentId, Timestamp, Token};
use vault::{RootKey, Vault};

use crate::TENANT;
use crate::cell::Cell;
use crate::forms;
use crate::input::{BrokenRow, Column, IdKind, Input, RowGroup};
use crate::labels::Labels;

#[derive(Debug)]
pub struct Row {
    /// The number of the row in the file, from 0.
    pub number: u64,
    /// The payment's id, in the form in which it is written back.
    pub id: Id,
    /// When the payment happened, if the row says so.
    pub at: Option<Timestamp>,
    /// Whether the payment turned out to be fraud, if the file says so.
    pub positive: Option<bool>,
    /// The payment, or why the row is not a payment.
    pub payment: Result<Box<NewPayment>, String>,
}

/// A payment's id in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// The id is missing or cannot be read.
    Unreadable,
    /// A 64-bit integer.
    Int(i64),
    Text(Box<str>),
}

/// Turns rows into payments.
#[derive(Debug)]
pub struct Payments {
    policy: Arc<Policy>,
    mapping: FileMapping,
    places: Places,
    id_kind: IdKind,
    /// The labels of the rows so far, if the policy names a label column.
    labels: Option<Labels>,
    tokens: Tokens,
}

/// The positions of the fields among the columns that are read.
#[derive(Debug)]
struct Places {
    /// The position of each column in the file, in the order in which batches contain them.
    columns: Vec<usize>,
    id: usize,
    time: usize,
    amount: usize,
    label: Option<usize>,
    /// One element per attribute of the payment type: `None` for an optional attribute without a column.
    attributes: Vec<Option<(usize, String)>>,
}

impl Payments {
    /// Finds the columns that the policy names.
    ///
    /// # Errors
    /// Fails if one of them is missing.
    pub fn new(policy: &Arc<Policy>, mapping: &FileMapping, input: &Input) -> anyhow::Result<Self> {
        let mut columns = Vec::new();
        let mut place = |name: &str| -> anyhow::Result<usize> {
            let column = input.find(name)?;
            let known = columns.iter().position(|known| *known == column);
            Ok(known.unwrap_or_else(|| {
                columns.push(column);
                columns.len() - 1
            }))
        };
        let id = place(&mapping.id)?;
        let time = place(&mapping.time)?;
        let amount = place(&mapping.amount)?;
        let label = mapping.label.as_ref().map(|label| place(&label.column)).transpose()?;
        let mut attributes = vec![None; payment_type(policy, mapping).attributes.len()];
        for (attribute, name) in &mapping.attributes {
            if let Some(slot) = attributes.get_mut(attribute.get()) {
                *slot = Some((place(name)?, name.clone()));
            }
        }
        let id_kind = columns.get(id).map_or(IdKind::Text, |&column| input.id_kind(column));
        let places = Places { columns, id, time, amount, label, attributes };
        let labels = mapping.label.as_ref().map(|label| Labels::new(label, mapping.decimal));
        let tokens = Tokens::new();
        Ok(Self { policy: Arc::clone(policy), mapping: mapping.clone(), places, id_kind, labels, tokens })
    }

    /// The token by which payments of the file name a value of an entity.
    ///
    /// # Errors
    /// Fails if the key store has no room for another value.
    pub fn token(&mut self, entity: &Entity, value: &str) -> Result<Token, vault::Full> {
        let token = self.tokens.token(&entity.name, &entity.normalise.apply(value), entity.personal);
        self.tokens.forget_unsaved();
        token
    }

    /// The positions in the file of the columns to read.
    pub fn columns(&self) -> &[usize] {
        &self.places.columns
    }

    /// How ids are written back.
    pub fn id_kind(&self) -> IdKind {
        self.id_kind
    }

    /// The values of the label column in the rows so far, if the policy names that column.
    pub fn into_labels(self) -> Option<Labels> {
        self.labels
    }

    /// Converts the rows of a batch. `first` is the number of its first row in the file.
    pub fn rows(&mut self, batch: &RowGroup, first: u64) -> Vec<Row> {
        let mut broken = batch.broken.iter().peekable();
        let mut rows = Vec::with_capacity(batch.rows);
        for (row, number) in (0..batch.rows).zip(first..) {
            let cells = Cells { columns: &batch.columns, row };
            let broken = broken.next_if(|broken| broken.row == row);
            rows.push(self.row(cells, number, broken));
        }
        self.tokens.forget_unsaved();
        rows
    }

    fn row(&mut self, cells: Cells<'_>, number: u64, broken: Option<&BrokenRow>) -> Row {
        let id = match (cells.at(self.places.id), self.id_kind) {
            (Cell::Int(id), IdKind::Int) => Id::Int(id),
            (cell, _) => cell.text().map_or(Id::Unreadable, |text| Id::Text(text.into())),
        };
        let at = cells.at(self.places.time).time();
        // The values of a broken row are not those of its columns.
        let labels = self.labels.as_mut().filter(|_| broken.is_none()).zip(self.places.label);
        let positive = labels.and_then(|(labels, place)| labels.read(cells.at(place)));
        let payment = match broken {
            Some(broken) => Err(broken.to_string()),
            None => self.payment(cells).map(Box::new),
        };
        Row { number, id, at, positive, payment }
    }

    fn payment(&mut self, cells: Cells<'_>) -> Result<NewPayment, String> {
        let Self { policy, mapping, places, tokens, .. } = self;
        let payment_type = payment_type(policy, mapping);
        let id = cells.at(places.id);
        let Some(id) = id.text() else { return Err(unfit(&mapping.id, id, "a payment's id")) };
        let time = cells.at(places.time);
        let at = time.time().ok_or_else(|| unfit(&mapping.time, time, TIME))?;
        let amount_cell = cells.at(places.amount);
        let scale = match mapping.amount_unit {
            policy::AmountUnit::Major => asset_scale(policy, payment_type),
            policy::AmountUnit::Minor => 0,
        };
        let mut room = String::new();
        let amount = forms::number(amount_cell, mapping.decimal, &mut room).amount(scale);
        let amount = amount.ok_or_else(|| {
            let expected = amount_expected(scale) + with_mark(mapping.decimal);
            unfit(&mapping.amount, amount_cell, &expected)
        })?;
        let mut attributes = Vec::with_capacity(payment_type.attributes.len());
        for (attribute, place) in payment_type.attributes.iter().zip(&places.attributes) {
            let Some((place, column)) = place else {
                attributes.push(None);
                continue;
            };
            let cell = cells.at(*place);
            if cell == Cell::Null && !attribute.required {
                attributes.push(None);
                continue;
            }
            let (is_number, mut room) = (is_number(attribute.kind), String::new());
            let given = if is_number {
                forms::number(cell, mapping.decimal, &mut room)
            } else {
                forms::one_line(cell, &mut room)
            };
            let value = api::payments::value(attribute, &given, policy.entities()).map_err(|complaint| {
                let mark = if is_number { with_mark(mapping.decimal) } else { "" };
                unfit(column, cell, &format!("{}{mark}", complaint.expected))
            })?;
            let token = value.tokenised(&mut |kind, value, personal| tokens.token(kind, value, personal));
            attributes
                .push(Some(token.map_err(|full| {
                    unfit(column, cell, &format!("a value that the key store has room for: {full}"))
                })?));
        }
        Ok(NewPayment {
            payment: payment_id(&id),
            // The hash detects retries with other content. An id occurs once in a file, so it is not needed.
            content: Digest::default(),
            policy: policy.digest(),
            payment_type: mapping.payment,
            amount,
            occurred_at: payment_type.occurred_at.map(|_| at),
            attributes,
            // Nothing is journaled, so no personal data needs to be kept.
            sealed: None,
        })
    }
}

#[derive(Clone, Copy)]
struct Cells<'a> {
    columns: &'a [Column],
    row: usize,
}

impl<'a> Cells<'a> {
    fn at(self, place: usize) -> Cell<'a> {
        self.columns.get(place).map_or(Cell::Null, |column| column.cell(self.row))
    }
}

const TIME: &str =
    "an instant of 1970 to 2262: a timestamp, RFC 3339, or YYYY-MM-DD, with or without HH:MM or HH:MM:SS, in UTC";

fn unfit(column: &str, cell: Cell<'_>, expected: &str) -> String {
    format!("column `{column}`: found {cell}, expected {expected}")
}

fn amount_expected(scale: u8) -> String {
    match scale {
        0 => "a non-negative whole number, at most 2^63 - 1".to_owned(),
        scale => format!("a non-negative number with at most {scale} decimals, at most 2^63 - 1 minor units"),
    }
}

/// Says how numbers are written, for messages.
fn with_mark(mark: DecimalMark) -> &'static str {
    match mark {
        DecimalMark::Point => "",
        DecimalMark::Comma => ", with a decimal comma",
    }
}

fn is_number(kind: AttributeKind) -> bool {
    match kind {
        AttributeKind::Int | AttributeKind::Double | AttributeKind::Bool => true,
        AttributeKind::Text { .. } | AttributeKind::Time | AttributeKind::Account | AttributeKind::Entity(_) => false,
    }
}

fn payment_type<'p>(policy: &'p Policy, mapping: &FileMapping) -> &'p PaymentType {
    policy.payment_types().get(mapping.payment.get()).expect("the mapping names a payment type of its policy")
}

fn asset_scale(policy: &Policy, payment_type: &PaymentType) -> u8 {
    policy.ledgers().get(payment_type.ledger.get()).expect("a payment type names a ledger of its policy").asset.scale()
}

/// Derives a payment id from the id in the file.
fn payment_id(id: &str) -> PaymentId {
    let mut builder = DigestBuilder::new("finaira 2026-11 payment id of a row in a file");
    let digest = builder.bytes(id.as_bytes()).digest();
    PaymentId::new(digest.head_u128().clamp(1, u128::MAX - 1))
}

impl Given for Cell<'_> {
    const TIME: &'static str = TIME;

    fn text(&self) -> Option<Cow<'_, str>> {
        Cell::text(*self)
    }

    fn int(&self) -> Option<i64> {
        Cell::int(*self)
    }

    fn double(&self) -> Option<f64> {
        Cell::double(*self)
    }

    fn bool(&self) -> Option<bool> {
        Cell::bool(*self)
    }

    fn time(&self) -> Option<Timestamp> {
        Cell::time(*self)
    }
}

/// Tokens of entity values. A key store creates them as in a server, but from fixed numbers instead of random ones:
/// there is nothing to protect here, and two runs over the same file give the same result.
struct Tokens {
    vault: Vault,
    drawn: u64,
}

impl Tokens {
    fn new() -> Self {
        let mut drawn = 0;
        let root = RootKey::from_bytes([1; 32]);
        let (vault, _) = Vault::open(&root, &[], &mut |bytes: &mut [u8]| draw(&mut drawn, bytes))
            .expect("an empty key store can be opened with any key");
        Self { vault, drawn }
    }

    fn token(&mut self, kind: &Name, value: &str, personal: bool) -> Result<Token, vault::Full> {
        let Self { vault, drawn } = self;
        let mut random = |bytes: &mut [u8]| draw(drawn, bytes);
        vault.token(TENANT, kind.as_str(), value, personal, &mut random)
    }

    /// Drops the key store's records, because no file stores them.
    fn forget_unsaved(&mut self) {
        drop(self.vault.take_unsaved());
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

/// Fills `bytes` with bytes that are different in every draw.
fn draw(drawn: &mut u64, bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(32) {
        *drawn += 1;
        let digest = DigestBuilder::new("finaira 2026-11 keys of a backtest").u64(*drawn).digest();
        chunk.iter_mut().zip(digest.as_bytes()).for_each(|(byte, drawn)| *byte = *drawn);
    }
}
