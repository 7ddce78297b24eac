//! Writes the rows of a batch as documents.
//!
//! Every write can be repeated, and comes to nothing if the document already has a later one. So the order in which writes of two attempts
//! arrive does not matter.

use std::collections::BTreeMap;

use ledger::{MetadataOf, PendingState};
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use mongodb::{ClientSession, Database};
use types::{AccountId, PaymentId};

use super::documents::{self, Part, integer};
use super::faults::{Written, fault};
use super::{COMMAND_BYTES_MAX, INSERTS_AT_ONCE, UNANSWERED_MAX};
use crate::documents::state_name;
use crate::rows::{MetadataRow, PaymentNow, PaymentRow, Rows};
use crate::runtime::answered;
use crate::target::Fault;

/// Writes with one connection, in a transaction if there is a session.
pub(super) struct Writer<'w> {
    pub(super) database: &'w Database,
    pub(super) session: Option<&'w mut ClientSession>,
    /// Most updates in one command.
    pub(super) updates_at_once: usize,
    /// Whether the transaction has ended, because a document is there already.
    pub(super) has_duplicate: bool,
}

/// An update of one document.
#[derive(Debug, Clone)]
struct Update {
    filter: Document,
    change: Document,
}

/// Everything that a batch says about a payment.
#[derive(Debug, Default)]
struct Edit<'r> {
    decided: Option<&'r PaymentRow>,
    now: Option<&'r PaymentNow>,
    changes: Vec<Bson>,
    labels: Vec<Bson>,
}

impl Writer<'_> {
    /// Writes all rows. `is_new` says which accounts were not in the target before.
    pub(super) async fn write(
        &mut self,
        rows: &Rows,
        first: u64,
        is_new: &(dyn Fn(AccountId) -> bool + Sync),
    ) -> Result<(), Fault> {
        let ledgers: Vec<Document> =
            rows.ledgers.iter().map(|(seq, book)| documents::ledger(*seq, book)).collect::<Result<_, _>>()?;
        self.insert("ledgers", ledgers).await?;
        self.accounts(rows, is_new).await?;
        self.transfers(rows).await?;
        self.payments(rows, integer(first)?).await?;
        self.metadata(&rows.metadata).await
    }

    async fn accounts(&mut self, rows: &Rows, is_new: &(dyn Fn(AccountId) -> bool + Sync)) -> Result<(), Fault> {
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in &rows.accounts {
            let document = documents::account(row)?;
            if is_new(row.account.id) { new.push(document) } else { known.push(document) }
        }
        let there = self.insert("accounts", new.clone()).await?;
        let again = there.into_iter().filter_map(|place| new.get(place)).map(account_update).collect();
        self.update("accounts", again, |_| Vec::new()).await?;
        // An account that somebody deleted is not created again: its metadata would be lost. `verify` finds it.
        let updates = known.iter().map(account_update).collect();
        self.update("accounts", updates, |_| Vec::new()).await
    }

    async fn transfers(&mut self, rows: &Rows) -> Result<(), Fault> {
        let created: Vec<Document> = rows.transfers.iter().map(documents::transfer).collect::<Result<_, _>>()?;
        let there = self.insert("transfers", created).await?;
        let again = there.into_iter().filter_map(|place| rows.transfers.get(place));
        let again = again.filter_map(|row| resolved(&row.transfer.key.to_string(), row.state?));
        let later = rows.resolved.iter().filter_map(|row| resolved(&row.key.to_string(), row.state));
        self.update("transfers", again.chain(later).collect(), |_| Vec::new()).await
    }

    async fn payments(&mut self, rows: &Rows, first: i64) -> Result<(), Fault> {
        let mut edits: BTreeMap<PaymentId, Edit<'_>> = BTreeMap::new();
        for row in &rows.payments {
            let edit = edits.entry(row.decided.payment).or_default();
            (edit.decided, edit.now) = (Some(row), Some(&row.now));
        }
        for (payment, now) in &rows.payments_changed {
            edits.entry(*payment).or_default().now = Some(now);
        }
        for row in &rows.changes {
            edits.entry(row.payment).or_default().changes.push(documents::change(row)?.into());
        }
        for row in &rows.labels {
            edits.entry(row.payment).or_default().labels.push(documents::label(row)?.into());
        }
        let (mut new, mut decided, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for (payment, edit) in &edits {
            let id = payment.to_string();
            match edit.decided {
                Some(row) => {
                    let mut document = documents::payment(row)?;
                    document.insert("changes", edit.changes.clone());
                    document.insert("labels", edit.labels.clone());
                    new.push(document);
                    decided.push((id, edit));
                }
                None => later.push((id, edit)),
            }
        }
        let there = self.insert("payments", new).await?;
        let mut again = Vec::new();
        for (id, edit) in there.into_iter().filter_map(|place| decided.get(place)) {
            again.extend(edit.update_parts(id)?);
        }
        self.update("payments", again, |_| Vec::new()).await?;
        // Nearly always, no attempt before this one wrote any of it. Then one update changes everything.
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        for (id, edit) in &later {
            whole.extend(edit.update_whole(id, first)?);
            parts.push(edit.update_parts(id)?);
        }
        self.update("payments", whole, |places| {
            parts.get(places).unwrap_or_default().iter().flatten().cloned().collect()
        })
        .await
    }

    async fn metadata(&mut self, rows: &[MetadataRow]) -> Result<(), Fault> {
        // The last row of a key counts.
        let newest: BTreeMap<(MetadataOf, &str), &MetadataRow> =
            rows.iter().map(|row| ((row.of, row.key.as_str()), row)).collect();
        let mut updates: BTreeMap<&str, Vec<Update>> = BTreeMap::new();
        for row in newest.into_values() {
            let (collection, id) = documents::subject(row.of);
            let (path, sequence) = (format!("metadata.{}", documents::field(&row.key)), integer(row.sequence.get())?);
            let json = row.value.as_deref().map(serde_json::from_str).transpose();
            let json = json.map_err(|error| Fault::Contradicts(format!("the value of {}: {error}", row.key)))?;
            let value = doc! {
                "value": json.as_ref().map(documents::value),
                "json": row.value.as_deref(),
                "sequence": sequence,
            };
            updates.entry(collection).or_default().push(Update {
                filter: doc! {"_id": id, format!("{path}.sequence"): {"$not": {"$gte": sequence}}},
                change: doc! {"$set": {path: value}},
            });
        }
        for (collection, updates) in updates {
            self.update(collection, updates, |_| Vec::new()).await?;
        }
        Ok(())
    }

    /// Inserts documents. Returns the places of those whose ids are there already, which stay as they are.
    async fn insert(&mut self, collection: &str, documents: Vec<Document>) -> Result<Vec<usize>, Fault> {
        let mut there = Vec::new();
        let mut documents = documents.iter().enumerate().peekable();
        while let Some((begin, _)) = documents.peek().copied() {
            let (mut some, mut bytes) = (RawArrayBuf::new(), 0);
            let mut count = 0;
            while let Some((_, document)) = documents.next_if(|_| count < INSERTS_AT_ONCE && bytes < COMMAND_BYTES_MAX)
            {
                let document = RawDocumentBuf::try_from(document)
                    .map_err(|error| Fault::Refused(format!("{error}; collection: {collection}")))?;
                bytes += document.as_bytes().len();
                count += 1;
                some.push(document);
            }
            let command = rawdoc! {"insert": collection, "documents": some, "ordered": false};
            let written = Written::of(&self.command(command).await?, collection)?;
            if self.session.is_some() && !written.duplicates.is_empty() {
                self.has_duplicate = true;
                return Err(Fault::Refused(format!("a document is there already; collection: {collection}")));
            }
            there.extend(written.duplicates.into_iter().map(|place| place.saturating_add(begin)));
        }
        Ok(there)
    }

    /// Updates documents. Where not all are found, it makes the updates instead that `otherwise` returns for this range of places.
    async fn update(
        &mut self,
        collection: &str,
        updates: Vec<Update>,
        otherwise: impl Fn(std::ops::Range<usize>) -> Vec<Update>,
    ) -> Result<(), Fault> {
        let mut begin = 0;
        for some in updates.chunks(self.updates_at_once) {
            let found = self.update_at_once(collection, some).await?;
            let end = begin + some.len();
            if found < some.len() {
                for fallback in otherwise(begin..end).chunks(self.updates_at_once) {
                    self.update_at_once(collection, fallback).await?;
                }
            }
            begin = end;
        }
        Ok(())
    }

    async fn update_at_once(&mut self, collection: &str, updates: &[Update]) -> Result<usize, Fault> {
        let updates: Vec<Bson> =
            updates.iter().map(|Update { filter, change }| doc! {"q": filter, "u": change}.into()).collect();
        let command = doc! {"update": collection, "updates": updates, "ordered": false};
        let command = RawDocumentBuf::try_from(&command).map_err(|error| Fault::Refused(error.to_string()))?;
        Ok(Written::of(&self.command(command).await?, collection)?.found)
    }

    /// Moves the cursor, if it is the one in the filter.
    pub(super) async fn move_cursor(&mut self, filter: Document, set: Document) -> Result<bool, Fault> {
        let update = Update { filter, change: doc! {"$set": set} };
        Ok(self.update_at_once(super::CURSOR, &[update]).await? == 1)
    }

    /// Runs a command that writes.
    async fn command(&mut self, mut command: RawDocumentBuf) -> Result<Document, Fault> {
        let database = self.database;
        let answer = match self.session.as_deref_mut() {
            // The end of the transaction waits for the members.
            Some(session) => database.run_raw_command(command).session(session),
            None => {
                command.append(mongodb::bson::cstr!("writeConcern"), rawdoc! {"w": "majority", "j": true});
                database.run_raw_command(command)
            }
        };
        answered(UNANSWERED_MAX, async { answer.await.map_err(|error| fault(&error)) }).await
    }
}

/// Replaces an account by a later one, and leaves its metadata.
fn account_update(document: &Document) -> Update {
    let mut set = document.clone();
    let id = set.remove("_id");
    Update { filter: doc! {"_id": id, "sequence": {"$lt": set.get("sequence").cloned()}}, change: doc! {"$set": set} }
}

/// What became of a pending transfer. It happens once.
fn resolved(id: &str, state: PendingState) -> Option<Update> {
    (state != PendingState::Pending).then(|| Update {
        filter: doc! {"_id": id, "state": state_name(PendingState::Pending)},
        change: doc! {"$set": {"state": state_name(state)}},
    })
}

impl Edit<'_> {
    /// All changes as one update of a document that has no entry from `first` on.
    fn update_whole(&self, id: &str, first: i64) -> Result<Option<Update>, Fault> {
        let Some(now) = self.now else { return Ok(None) };
        let mut set = doc! {"changed_sequence": integer(now.sequence.get())?};
        set.extend(Part::of(now)?.into_iter().flat_map(|part| part.set));
        let mut change = doc! {"$set": set};
        change.extend(self.added());
        Ok(Some(Update { filter: doc! {"_id": id, "changed_sequence": {"$lt": first}}, change }))
    }

    /// The changes as updates of parts, each of which comes to nothing if the document has a later one.
    fn update_parts(&self, id: &str) -> Result<Vec<Update>, Fault> {
        let Some(now) = self.now else { return Ok(Vec::new()) };
        let mut updates: Vec<Update> = Part::of(now)?
            .into_iter()
            .map(|part| Update {
                filter: doc! {"_id": id, part.as_of: {"$lt": part.sequence}},
                change: doc! {"$set": part.set},
            })
            .collect();
        let mut change = doc! {"$max": {"changed_sequence": integer(now.sequence.get())?}};
        change.extend(self.added());
        updates.push(Update { filter: doc! {"_id": id}, change });
        Ok(updates)
    }

    /// The changes and labels, which are added unless they are there.
    fn added(&self) -> Option<(String, Bson)> {
        let lists = [("changes", &self.changes), ("labels", &self.labels)];
        let lists: Document = lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name.to_owned(), doc! {"$each": list.clone()}.into()))
            .collect();
        (!lists.is_empty()).then(|| ("$addToSet".to_owned(), lists.into()))
    }
}

#[cfg(test)]
mod tests {
    use types::Seq;

    use super::*;

    #[test]
    fn a_state_is_written_only_when_it_is_final() {
        assert!(resolved("7", PendingState::Pending).is_none());
        let Update { filter, change } = resolved("7", PendingState::Expired).unwrap();
        assert_eq!(filter, doc! {"_id": "7", "state": "pending"});
        assert_eq!(change, doc! {"$set": {"state": "expired"}});
    }

    #[test]
    fn an_account_is_replaced_only_by_a_later_one() {
        let Update { filter, change } = account_update(&doc! {"_id": "7", "code": 1, "sequence": 9_i64});
        assert_eq!(filter, doc! {"_id": "7", "sequence": {"$lt": 9_i64}});
        assert_eq!(change, doc! {"$set": {"code": 1, "sequence": 9_i64}});
    }

    #[test]
    fn each_part_of_a_payment_has_its_own_condition() {
        let now = PaymentNow {
            status: None,
            amount: Some(types::Amount::new(500)),
            sums: None,
            deadline: None,
            label: Some(("fraud".parse().unwrap(), true)),
            sequence: Seq::new(9),
        };
        let edit = Edit { now: Some(&now), labels: vec![doc! {"sequence": 9_i64}.into()], ..Edit::default() };
        let whole = edit.update_whole("7", 5).unwrap().unwrap();
        assert_eq!(whole.filter, doc! {"_id": "7", "changed_sequence": {"$lt": 5_i64}});
        let set = whole.change.get_document("$set").unwrap();
        assert_eq!(set.get("amount"), Some(&Bson::String("500".to_owned())));
        assert_eq!(set.get("as_of.label"), Some(&Bson::Int64(9)));
        assert_eq!(set.get("changed_sequence"), Some(&Bson::Int64(9)));
        let parts = edit.update_parts("7").unwrap();
        let filters: Vec<&Document> = parts.iter().map(|update| &update.filter).collect();
        let expected = [
            doc! {"_id": "7", "as_of.amount": {"$lt": 9_i64}},
            doc! {"_id": "7", "as_of.label": {"$lt": 9_i64}},
            doc! {"_id": "7"},
        ];
        assert_eq!(filters, expected.iter().collect::<Vec<_>>());
        let added =
            doc! {"$max": {"changed_sequence": 9_i64}, "$addToSet": {"labels": {"$each": [{"sequence": 9_i64}]}}};
        assert_eq!(parts[2].change, added, "it has no condition, because it is the same however often it is done");
    }
}
