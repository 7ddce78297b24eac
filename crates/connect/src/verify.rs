//! Compares a copy with the journal, row for row.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{PendingState, TransferKey};
use serde_json::Value;
use types::{AccountId, Amount, PaymentId, Seq};

use crate::batch::Batch;
use crate::connector::{Connector, Ended, Settings};
use crate::cursor::Cursor;
use crate::documents::{
    AccountDocument, Documents, PaymentDocument, TransferDocument, parse, state_name, transfer_key,
};
use crate::filter::Filter;
use crate::fold::Map;
use crate::rows::{AccountRow, PaymentNow, PaymentRow, TransferRow};
use crate::source::Source;
use crate::status::Status;
use crate::stop::Stop;
use crate::target::{Counts, Fault, Needs, Target, Wanted};
use crate::verify_events;

/// Most differences that are described. All are counted.
const DESCRIBED_MAX: usize = 20;
/// Rows that are read from the target at once.
const ROWS_AT_ONCE: usize = 4_096;

/// The result of a verification.
#[derive(Debug, Clone)]
pub struct Verification {
    /// How far the copy has come. Its Merkle root is that of the journal.
    pub cursor: Cursor,
    /// The rows that the journal has, and the target must have.
    pub expected: Counts,
    /// The rows that were compared.
    pub compared: Counts,
    /// How many rows differ, are missing or are too many.
    pub differences: u64,
    /// The first of them.
    pub described: Vec<String>,
    /// Events that are in the target more than once, with the same id. Only some targets may have them.
    pub repeated: u64,
    /// Events of the journal that the target may not have got yet: nothing later of their lane is in it.
    pub unchecked: u64,
}

impl Verification {
    /// Whether the copy is whole and right, as far as it was compared.
    pub const fn is_right(&self) -> bool {
        self.differences == 0
    }
}

/// Compares the copy in a target with the journal of a source: the Merkle root, the number of rows, and of every `each`th transfer and payment
/// and all accounts the values. Of a target that keeps events, it compares every `each`th one with its entry; `from` is the first entry that it
/// should have. `filter` is that of the connector. It reads the journal from its first entry to the position of the copy. Returns `None` if the target holds no copy yet.
///
/// # Errors
/// When the target or the source cannot be read, or the target holds another history. A difference is no error.
pub fn verify(
    source: &Arc<Source>,
    target: Box<dyn Target>,
    (each, from): (u64, Seq),
    filter: Arc<Filter>,
    status: &Arc<Status>,
) -> Result<Option<Verification>, Ended> {
    let mut target = target;
    let findings = Arc::new(Mutex::new(Findings::default()));
    let comparing = match target.needs() {
        Needs::Rows | Needs::Balances => None,
        Needs::Events => None,
        Needs::History | Needs::Bytes => target.comparing(&findings),
    };
    let Some((cursor, found)) = target.look()? else { return Ok(None) };
    check_root(source, &cursor)?;
    if target.needs() == Needs::Events {
        return verify_events::verify(source, &mut *target, &cursor, (each, from)).map(Some);
    }
    if cursor.opening.is_some() {
        let what = "an import is being opened, so a part of its rows is there; verify again when the connector has written the rest";
        return Err(Fault::Refused(what.to_owned()).into());
    }
    let settings = Settings { once: true, until: Some(cursor.position), filter, ..Settings::default() };
    let stop = Arc::new(Stop::default());
    if let Some(comparing) = comparing {
        Connector::new(Arc::clone(source), comparing, settings, Arc::clone(status), stop).run()?;
        let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
        return Ok(Some(findings.of(&cursor, findings.compared)));
    }
    let mut comparing =
        Comparing { target, each: each.max(1), expected: Expected::default(), findings: Findings::default() };
    Connector::new(Arc::clone(source), &mut comparing, settings, Arc::clone(status), stop).run()?;
    comparing.finish(&cursor, found).map(Some)
}

fn check_root(source: &Source, cursor: &Cursor) -> Result<(), Ended> {
    match source.root_at(cursor.position)? {
        Some(root) if root == cursor.root => Ok(()),
        Some(_) => {
            let what = format!("its first {} entries are those of another history", cursor.position);
            Err(Fault::Contradicts(what).into())
        }
        None => {
            let what = format!("it holds the entries up to {}, and the journal fewer", cursor.position);
            Err(Fault::Contradicts(what).into())
        }
    }
}

/// What the journal says, as far as it has been read.
#[derive(Debug, Default)]
struct Expected {
    accounts: Map<AccountId, AccountRow>,
    /// Transfers that are or were pending, with the state that they ended in.
    pendings: Map<TransferKey, TransferRow>,
    payments: Map<PaymentId, Payment>,
    counts: Counts,
}

/// A payment. Only those that are compared are kept whole.
#[derive(Debug)]
enum Payment {
    Whole(Box<PaymentRow>),
    /// The amount, and the last entry about the payment.
    Amount(Amount, Seq),
}

impl Payment {
    /// As far as the fold needs it.
    fn document(&self, id: PaymentId) -> PaymentDocument {
        match self {
            Self::Whole(row) => (&**row).into(),
            Self::Amount(amount, sequence) => PaymentDocument {
                id: id.to_string(),
                amount: amount.to_string(),
                changed_sequence: sequence.get(),
                ..PaymentDocument::default()
            },
        }
    }

    fn whole(self) -> Option<PaymentRow> {
        if let Self::Whole(row) = self { Some(*row) } else { None }
    }

    fn follow(&mut self, now: &PaymentNow) {
        match self {
            Self::Whole(row) => row.now.follow(now),
            Self::Amount(amount, sequence) => {
                *amount = now.amount.unwrap_or(*amount);
                *sequence = now.sequence;
            }
        }
    }
}

/// What a comparison has found so far.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The rows that were compared.
    pub compared: Counts,
    /// How many rows differ, are missing or are too many.
    pub differences: u64,
    /// The first of them.
    pub described: Vec<String>,
}

/// A target that writes nothing, and compares instead.
#[derive(Debug)]
struct Comparing {
    target: Box<dyn Target>,
    each: u64,
    expected: Expected,
    findings: Findings,
}

impl Target for &mut Comparing {
    fn open(&mut self) -> Result<Cursor, Fault> {
        Ok(Cursor::start())
    }

    fn needs(&self) -> Needs {
        self.target.needs()
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let Expected { accounts, pendings, payments, .. } = &self.expected;
        Ok(Documents {
            accounts: wanted.accounts.iter().filter_map(|id| accounts.get(id)).map(AccountDocument::from).collect(),
            transfers: wanted
                .transfers
                .iter()
                .filter_map(|key| pendings.get(key))
                .map(TransferDocument::from)
                .collect(),
            payments: wanted.payments.iter().filter_map(|id| Some(payments.get(id)?.document(*id))).collect(),
        })
    }

    fn write(&mut self, batch: &Batch, _before: &Cursor, _after: &Cursor) -> Result<(), Fault> {
        let rows = &batch.rows;
        let keeps_payments = self.target.needs() == Needs::Rows;
        for row in &rows.accounts {
            self.expected.accounts.insert(row.account.id, row.clone());
        }
        for resolved in &rows.resolved {
            if keeps_payments {
                if let Some(row) = self.expected.pendings.get_mut(&resolved.key) {
                    row.state = Some(resolved.state);
                }
            } else {
                self.expected.pendings.remove(&resolved.key);
            }
        }
        let (each, before) = (self.each, self.expected.counts);
        for row in &rows.transfers {
            if row.state == Some(PendingState::Pending) || (row.state.is_some() && keeps_payments) {
                self.expected.pendings.insert(row.transfer.key, *row);
            }
        }
        for (number, row) in (before.payments..).zip(&rows.payments).filter(|_| keeps_payments) {
            let payment = if number % each == 0 {
                Payment::Whole(Box::new(row.clone()))
            } else {
                Payment::Amount(row.now.amount.unwrap_or(row.decided.amount), row.now.sequence)
            };
            self.expected.payments.insert(row.decided.payment, payment);
        }
        for (id, now) in &rows.payments_changed {
            let missing = || Fault::Contradicts(format!("the payment {id} changes before it is decided"));
            self.expected.payments.get_mut(id).ok_or_else(missing)?.follow(now);
        }
        self.expected.counts.transfers += rows.transfers.len() as u64;
        self.expected.counts.payments += rows.payments.len() as u64;
        let chosen: Vec<&TransferRow> = (before.transfers..)
            .zip(&rows.transfers)
            .filter(|(number, _)| number % each == 0)
            .map(|(_, row)| row)
            .collect();
        if self.target.needs() == Needs::Rows {
            for some in chosen.chunks(ROWS_AT_ONCE) {
                self.compare_transfers(some)?;
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        Ok(None)
    }
}

impl Comparing {
    /// Compares transfers, except for the state of those that were pending, which a later entry may change.
    fn compare_transfers(&mut self, rows: &[&TransferRow]) -> Result<(), Fault> {
        let wanted = Wanted { transfers: rows.iter().map(|row| row.transfer.key).collect(), ..Wanted::default() };
        let mut found: Map<String, TransferDocument> = Map::default();
        for document in self.target.load(&wanted)?.transfers {
            found.insert(document.id.clone(), document);
        }
        for row in rows {
            let expected = TransferDocument::from(*row);
            let found = found.remove(&expected.id).map(|mut found| {
                if expected.state.is_some() && found.state.is_some() {
                    found.state.clone_from(&expected.state);
                }
                found
            });
            self.findings.compared.transfers += 1;
            self.findings.compare("transfer", &expected.id.clone(), &expected, found.as_ref());
        }
        Ok(())
    }

    /// Compares what may have changed until the last entry.
    fn finish(mut self, cursor: &Cursor, found: Counts) -> Result<Verification, Ended> {
        let mut expected = std::mem::take(&mut self.expected);
        expected.counts.accounts = expected.accounts.len() as u64;
        let mut accounts: Vec<AccountRow> = expected.accounts.into_values().collect();
        accounts.sort_unstable_by_key(|row| row.account.id);
        for some in accounts.chunks(ROWS_AT_ONCE) {
            let wanted = Wanted { accounts: some.iter().map(|row| row.account.id).collect(), ..Wanted::default() };
            let mut found: Map<AccountId, AccountDocument> = Map::default();
            for document in self.target.load(&wanted)?.accounts {
                found.insert(parse("id", &document.id)?, document);
            }
            for row in some {
                self.findings.compared.accounts += 1;
                let found = found.remove(&row.account.id);
                self.findings.compare("account", &row.account.id, &AccountDocument::from(row), found.as_ref());
            }
        }
        self.findings.count("accounts", expected.counts.accounts, found.accounts);
        if self.target.needs() == Needs::Balances {
            expected.counts = Counts { accounts: expected.counts.accounts, ..Counts::default() };
            return Ok(self.findings.of(cursor, expected.counts));
        }
        let mut pendings: Vec<TransferRow> = expected.pendings.into_values().collect();
        pendings.sort_unstable_by_key(|row| row.transfer.key);
        for some in pendings.chunks(ROWS_AT_ONCE) {
            self.compare_states(some)?;
        }
        let mut payments: Vec<PaymentRow> = expected.payments.into_values().filter_map(Payment::whole).collect();
        payments.sort_unstable_by_key(|row| row.decided.payment);
        for some in payments.chunks(ROWS_AT_ONCE) {
            let wanted = Wanted { payments: some.iter().map(|row| row.decided.payment).collect(), ..Wanted::default() };
            let mut found: Map<PaymentId, PaymentDocument> = Map::default();
            for document in self.target.load(&wanted)?.payments {
                found.insert(parse("id", &document.id)?, document);
            }
            for row in some {
                self.findings.compared.payments += 1;
                let found = found.remove(&row.decided.payment);
                self.findings.compare("payment", &row.decided.payment, &PaymentDocument::from(row), found.as_ref());
            }
        }
        self.findings.count("transfers", expected.counts.transfers, found.transfers);
        self.findings.count("payments", expected.counts.payments, found.payments);
        Ok(self.findings.of(cursor, expected.counts))
    }

    fn compare_states(&mut self, rows: &[TransferRow]) -> Result<(), Fault> {
        let wanted = Wanted { transfers: rows.iter().map(|row| row.transfer.key).collect(), ..Wanted::default() };
        let mut found: Map<TransferKey, Option<String>> = Map::default();
        for document in self.target.load(&wanted)?.transfers {
            found.insert(transfer_key(&document.id)?, document.state);
        }
        for row in rows {
            let expected = row.state.unwrap_or(PendingState::Pending);
            // A missing row was noted already, if the transfer was compared.
            if let Some(found) = found.remove(&row.transfer.key)
                && found.as_deref() != Some(state_name(expected))
            {
                let (key, found) = (row.transfer.key, found.unwrap_or_else(|| "none".to_owned()));
                self.findings
                    .differ(format!("transfer {key}: the state is `{found}`, expected `{}`", state_name(expected)));
            }
        }
        Ok(())
    }
}

impl Findings {
    pub(crate) fn of(&self, cursor: &Cursor, expected: Counts) -> Verification {
        let Self { compared, differences, described } = self.clone();
        Verification { cursor: *cursor, expected, compared, differences, described, repeated: 0, unchecked: 0 }
    }

    /// Notes one difference.
    pub fn differ(&mut self, what: String) {
        self.differences += 1;
        if self.described.len() < DESCRIBED_MAX {
            self.described.push(what);
        }
    }

    fn count(&mut self, what: &str, expected: u64, found: u64) {
        if expected != found {
            self.differ(format!("{found} {what}, expected {expected}"));
        }
    }

    pub(crate) fn compare(
        &mut self,
        kind: &str,
        id: &impl fmt::Display,
        expected: &impl serde::Serialize,
        found: Option<&impl serde::Serialize>,
    ) {
        match found {
            None => self.differ(format!("{kind} {id} is missing")),
            Some(found) => {
                let (expected, found) = (serde_json::to_value(expected), serde_json::to_value(found));
                let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
                let fields = expected.as_object().into_iter().flatten();
                let differing: Vec<String> = fields
                    .filter(|(name, value)| !found.get(name.as_str()).is_some_and(|found| is_same(found, value)))
                    .map(|(name, value)| {
                        let found = found.get(name.as_str()).map_or_else(|| "nothing".to_owned(), ToString::to_string);
                        format!("{name} is {found}, expected {value}")
                    })
                    .collect();
                if !differing.is_empty() {
                    self.differ(format!("{kind} {id}: {}", differing.join("; ")));
                }
            }
        }
    }
}

/// Whether two JSON values are equal. A target may write the double 1e16 as an integer.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value): (&String, &Value)| other.get(name).is_some_and(|found| is_same(found, value));
            one.len() == other.len() && one.iter().all(has)
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let same = |one: &str, other: &str| {
            is_same(&serde_json::from_str(one).unwrap(), &serde_json::from_str(other).unwrap())
        };
        for (one, other) in
            [("1e16", "10000000000000000"), ("[0.1, {\"a\": 2.0}]", "[0.1, {\"a\": 2}]"), ("\"1\"", "\"1\"")]
        {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("0.1", "0.10000000000000002"),
            ("[1]", "[1, 2]"),
            ("{\"a\": 1}", "{\"b\": 1}"),
            ("1", "\"1\""),
            ("1", "2"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
