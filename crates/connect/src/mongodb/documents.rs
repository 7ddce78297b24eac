//! Rows as documents of MongoDB, and back.
//!
//! They are the documents of [`crate::documents`] with these differences: `id` is `_id`; times are dates, which have milliseconds, beside the
//! exact `…_ns`; `numbers` has amounts as integers beside the exact texts, as far as 64 bits hold them.

use std::fmt::Write as _;

use ledger::{Book, MetadataOf};
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use types::{Amount, Seq, Timestamp};

use crate::documents::{AccountDocument, PaymentDocument, TransferDocument};
use crate::rows::{AccountRow, ChangeRow, LabelRow, PaymentNow, PaymentRow, TransferRow};
use crate::target::Fault;

/// Which fields of a document are dates. Each has a field `…_ns` beside it.
const ACCOUNT_DATES: &[&str] = &["opened_at"];
const TRANSFER_DATES: &[&str] = &["created_at"];
const PAYMENT_DATES: &[&str] = &["decided_at", "occurred_at", "deadline"];

/// A sequence as MongoDB's integer.
pub(super) fn integer(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_range| Fault::Refused(format!("{number} is more than MongoDB's integers hold")))
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(i64::try_from(at.ns() / 1_000_000).unwrap_or(i64::MAX))
}

/// The document of anything that serializes, with `_id` and dates.
fn document(value: &impl Serialize, dates: &[&str]) -> Result<Document, Fault> {
    let mut document =
        bson::serialize_to_document(value).map_err(|error| Fault::Refused(format!("not a document: {error}")))?;
    let mut with = Document::new();
    with.extend(document.remove("id").map(|id| ("_id".to_owned(), id)));
    for name in dates {
        let ns = document.get(format!("{name}_ns")).and_then(Bson::as_i64).and_then(|ns| u64::try_from(ns).ok());
        document.insert(*name, ns.map_or(Bson::Null, |ns| date(Timestamp::from_ns(ns)).into()));
    }
    with.extend(document);
    Ok(with)
}

/// Reads what [`document`] made.
fn read<T: DeserializeOwned>(mut document: Document, dates: &[&str]) -> Result<T, Fault> {
    let id = document.remove("_id").unwrap_or(Bson::Null);
    let shown = id.to_string();
    document.insert("id", id);
    for name in dates {
        let ns = document.get(format!("{name}_ns")).and_then(Bson::as_i64).and_then(|ns| u64::try_from(ns).ok());
        document.insert(*name, ns.map_or(Bson::Null, |ns| Timestamp::from_ns(ns).to_string().into()));
    }
    bson::deserialize_from_document(document).map_err(|error| Fault::Contradicts(format!("document {shown}: {error}")))
}

/// Adds an amount to those that are numbers; null if 64 bits do not hold it.
fn add_number(numbers: &mut Document, name: &str, amount: Option<i128>) {
    numbers.insert(name, amount.and_then(|amount| i64::try_from(amount).ok()));
}

fn signed(amount: Amount) -> Option<i128> {
    i128::try_from(amount.get()).ok()
}

pub(super) fn account(row: &AccountRow) -> Result<Document, Fault> {
    let mut document = document(&AccountDocument::from(row), ACCOUNT_DATES)?;
    let account = &row.account;
    let mut numbers = Document::new();
    for (name, amount) in [
        ("debits_pending", account.debits_pending),
        ("debits_posted", account.debits_posted),
        ("credits_pending", account.credits_pending),
        ("credits_posted", account.credits_posted),
    ] {
        add_number(&mut numbers, name, signed(amount));
    }
    let balance = signed(account.credits_posted)
        .zip(signed(account.debits_posted))
        .and_then(|(credits, debits)| credits.checked_sub(debits));
    add_number(&mut numbers, "balance", balance);
    document.insert("numbers", numbers);
    Ok(document)
}

pub(super) fn read_account(document: Document) -> Result<AccountDocument, Fault> {
    read(document, ACCOUNT_DATES)
}

pub(super) fn transfer(row: &TransferRow) -> Result<Document, Fault> {
    let mut document = document(&TransferDocument::from(row), TRANSFER_DATES)?;
    let mut numbers = Document::new();
    add_number(&mut numbers, "amount", signed(row.transfer.amount));
    document.insert("numbers", numbers);
    Ok(document)
}

pub(super) fn read_transfer(document: Document) -> Result<TransferDocument, Fault> {
    read(document, TRANSFER_DATES)
}

/// A payment, without its changes and labels.
pub(super) fn payment(row: &PaymentRow) -> Result<Document, Fault> {
    let mut document = document(&PaymentDocument::from(row), PAYMENT_DATES)?;
    let entity = |name: String, token: String| doc! {"name": name, "token": token};
    let entities = row.entities().map(|(name, token)| entity(name.to_string(), token.to_string()).into());
    let entities: Vec<Bson> = entities.collect();
    document.insert("entities", entities);
    let sequence = integer(row.now.sequence.get())?;
    document.insert("as_of", doc! {"status": sequence, "amount": sequence, "label": 0_i64});
    // What changes is written as changes are, so that both have the same form.
    for part in Part::of(&row.now)? {
        for (path, value) in part.set {
            insert(&mut document, &path, value);
        }
    }
    Ok(document)
}

/// Inserts a value at a path of at most two names.
fn insert(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        Some((name, rest)) => match document.get_document_mut(name) {
            Ok(inner) => drop(inner.insert(rest, value)),
            Err(_missing) => drop(document.insert(name, doc! {rest: value})),
        },
        None => drop(document.insert(path, value)),
    }
}

pub(super) fn read_payment(document: Document) -> Result<PaymentDocument, Fault> {
    let amount = document.get_document("as_of").ok().and_then(|as_of| as_of.get_i64("amount").ok());
    let mut payment: PaymentDocument = read(document, PAYMENT_DATES)?;
    payment.amount_sequence = amount.and_then(|sequence| u64::try_from(sequence).ok());
    Ok(payment)
}

/// Fields of a payment that change together.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    /// The path of the field that says up to which entry the part is known. An update that knows no more changes nothing.
    pub(super) as_of: &'static str,
    /// The entry up to which the values are known.
    pub(super) sequence: i64,
    /// The new values by their paths, without `as_of`.
    pub(super) set: Document,
}

impl Part {
    /// The parts of a payment that changed.
    pub(super) fn of(now: &PaymentNow) -> Result<Vec<Self>, Fault> {
        let sequence = integer(now.sequence.get())?;
        let mut parts = Vec::new();
        let mut add = |as_of: &'static str, mut set: Document| {
            set.insert(as_of, sequence);
            parts.push(Self { as_of, sequence, set });
        };
        if let Some(status) = now.status {
            let sums = now.sums.unwrap_or_default();
            let mut set = doc! {"status": status.name()};
            for (name, number, amount) in [
                ("captured", "numbers.captured", sums.captured),
                ("released", "numbers.released", sums.released),
                ("refunded", "numbers.refunded", sums.refunded),
            ] {
                set.insert(name, amount.to_string());
                add_number(&mut set, number, signed(amount));
            }
            let deadline = now.deadline.flatten().map(|deadline| deadline.at);
            set.insert("deadline", deadline.map(date));
            set.insert("deadline_ns", deadline.map(|at| integer(at.ns())).transpose()?);
            add("as_of.status", set);
        }
        if let Some(amount) = now.amount {
            let mut set = doc! {"amount": amount.to_string()};
            add_number(&mut set, "numbers.amount", signed(amount));
            add("as_of.amount", set);
        }
        if let Some((label, positive)) = &now.label {
            add("as_of.label", doc! {"label": label.to_string(), "label_positive": *positive});
        }
        Ok(parts)
    }
}

/// A change, as an element of the changes of its payment.
pub(super) fn change(row: &ChangeRow) -> Result<Document, Fault> {
    Ok(doc! {
        "sequence": integer(row.sequence.get())?,
        "cause": row.cause,
        "status": row.status.name(),
        "captured": row.sums.captured.to_string(),
        "released": row.sums.released.to_string(),
        "refunded": row.sums.refunded.to_string(),
        "at": date(row.at),
        "at_ns": integer(row.at.ns())?,
        "actor": integer(row.actor)?,
    })
}

/// A label, as an element of the labels of its payment.
pub(super) fn label(row: &LabelRow) -> Result<Document, Fault> {
    Ok(doc! {
        "sequence": integer(row.sequence.get())?,
        "label": row.label.to_string(),
        "positive": row.positive,
        "at": date(row.at),
        "at_ns": integer(row.at.ns())?,
        "actor": integer(row.actor)?,
    })
}

pub(super) fn ledger(sequence: Seq, book: &Book) -> Result<Document, Fault> {
    Ok(doc! {
        "_id": i64::from(book.id.get()),
        "asset": book.asset.to_string(),
        "opened_at": date(book.opened_at),
        "opened_at_ns": integer(book.opened_at.ns())?,
        "sequence": integer(sequence.get())?,
    })
}

/// The collection and the id of the document that metadata belongs to.
pub(super) fn subject(of: MetadataOf) -> (&'static str, String) {
    match of {
        MetadataOf::Account(id) => ("accounts", id.to_string()),
        MetadataOf::Transfer(key) => ("transfers", key.to_string()),
        MetadataOf::Payment(id) => ("payments", id.to_string()),
    }
}

/// A key of metadata as the name of a field: paths use points, operators begin with a dollar, a name ends at NUL, and FerretDB takes no
/// name with a blank at its end.
pub(super) fn field(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for letter in key.chars() {
        if matches!(letter, '%' | '.' | '$') || letter.is_whitespace() || letter.is_control() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                let _infallible = write!(name, "%{byte:02X}");
            }
        } else {
            name.push(letter);
        }
    }
    name
}

/// JSON as a value of MongoDB. Integers beyond 64 bits become doubles; the text beside has them exactly.
pub(super) fn value(json: &Value) -> Bson {
    match json {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => {
            number.as_i64().map(Bson::Int64).or_else(|| number.as_f64().map(Bson::Double)).unwrap_or(Bson::Null)
        }
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(values) => Bson::Array(values.iter().map(value).collect()),
        Value::Object(members) => {
            Bson::Document(members.iter().map(|(name, member)| (field(name), value(member))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::{PaymentStatus, PaymentSums};

    use super::*;

    #[test]
    fn keys_of_metadata_are_names_of_fields() {
        assert_eq!(field("größe 1 "), "größe%201%20");
        assert_eq!(field("$a.b%\0"), "%24a%2Eb%25%00");
        let json: Value = serde_json::from_str(r#"{"a.b": [1, 1.5, 18446744073709551615, null, true, "x"]}"#).unwrap();
        let expected = doc! {"a%2Eb": [1_i64, 1.5, 18_446_744_073_709_551_615.0, null, true, "x"]};
        assert_eq!(value(&json), Bson::Document(expected));
    }

    #[test]
    fn amounts_that_64_bits_hold_are_numbers_too() {
        let mut numbers = Document::new();
        add_number(&mut numbers, "a", signed(Amount::new(7)));
        add_number(&mut numbers, "b", signed(Amount::new(1 << 63)));
        add_number(&mut numbers, "c", signed(Amount::MAX));
        assert_eq!(numbers, doc! {"a": 7_i64, "b": null, "c": null});
    }

    #[test]
    fn what_did_not_change_is_left_out() {
        let nothing = PaymentNow {
            status: None,
            amount: None,
            sums: None,
            deadline: None,
            label: Some(("fraud".parse().unwrap(), true)),
            sequence: Seq::new(9),
        };
        let set = doc! {"label": "fraud", "label_positive": true, "as_of.label": 9_i64};
        let label = Part { as_of: "as_of.label", sequence: 9, set };
        assert_eq!(Part::of(&nothing), Ok(vec![label]));
        let captured = PaymentNow {
            status: Some(PaymentStatus::Posted),
            sums: Some(PaymentSums { captured: Amount::new(5), ..PaymentSums::default() }),
            label: None,
            ..nothing
        };
        let parts = Part::of(&captured).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].set.get("captured"), Some(&Bson::String("5".to_owned())));
        assert_eq!(parts[0].set.get("deadline"), Some(&Bson::Null), "a deadline that is over");
    }
}
