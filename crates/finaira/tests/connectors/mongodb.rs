//! The MongoDB protocol, which FerretDB speaks. It has no transactions, so those of the connector are not tested here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Client, Collection, Database};
use serde_json::{Value, json};

use crate::service::Service;
use crate::suite::{Tried, again, holds_what_the_journal_says, number};

#[test]
fn mongodb_holds_what_the_journal_says() {
    // FerretDB keeps its data there. It is dropped last.
    let Some(_postgres) = Service::up("postgres", "FINAIRA_REQUIRE_FERRETDB") else { return };
    let Some(service) = Service::up("ferretdb", "FINAIRA_REQUIRE_FERRETDB") else { return };
    let mongo = Mongo { pid: number(&service.description, "pid"), service, saved: RefCell::default() };
    let mongo = holds_what_the_journal_says(mongo);
    everything_about_a_payment_is_in_its_document(&mongo);
    // The example of the documentation.
    let page = include_str!("../../../../docs/connectors.md");
    let example = page.split("db.payments.aggregate(").nth(1).and_then(|rest| rest.split(")\n```").next()).unwrap();
    let pipeline: Vec<Document> = serde_json::from_str(example).expect("JSON");
    let declined = mongo.run(async |database| {
        all(database.collection::<Document>("payments").aggregate(pipeline.clone()).await?).await
    });
    let whole = |number: &Bson| number.as_i64().or_else(|| number.as_i32().map(i64::from));
    let cents = declined.iter().filter_map(|kind| kind.get("cents").and_then(whole)).sum::<i64>();
    assert!(cents > 0, "some payments of the traffic were declined: {declined:?}");
}

/// Decision, features, changes, labels and metadata.
fn everything_about_a_payment_is_in_its_document(mongo: &Mongo) {
    let payments = mongo.documents("payments");
    let count = |field: &str| {
        let lengths = payments.iter().filter_map(|payment| payment.get_array(field).ok()).map(Vec::len);
        lengths.sum::<usize>()
    };
    for field in ["features", "reasons", "entities", "changes", "labels"] {
        assert!(count(field) > 10, "{} {field}", count(field));
    }
    for payment in &payments {
        // However often a batch was written, each change is there once, and the newest is the state.
        let changes = payment.get_array("changes").expect("changes");
        let sequences: Vec<i64> =
            changes.iter().filter_map(|change| change.as_document()?.get_i64("sequence").ok()).collect();
        assert!(sequences.is_sorted_by(|one, next| one < next), "{payment}");
        if let Some(Bson::Document(newest)) = changes.last() {
            for field in ["status", "captured", "released", "refunded"] {
                assert_eq!(payment.get(field), newest.get(field), "{field} of {payment}");
            }
        }
        let amount = payment.get_str("amount").expect("a text").parse::<i64>().ok();
        assert_eq!(payment.get_document("numbers").expect("numbers").get_i64("amount").ok(), amount, "{payment}");
    }
    let accounts = mongo.documents("accounts");
    let keys: BTreeMap<&String, &Bson> =
        accounts.iter().filter_map(|account| account.get_document("metadata").ok()).flatten().collect();
    assert!(keys.contains_key(&"größe".to_owned()) && keys.contains_key(&"segment%20".to_owned()), "{keys:?}");
}

struct Mongo {
    service: Service,
    pid: u32,
    /// What was kept, by the name of the collection.
    saved: RefCell<BTreeMap<&'static str, Vec<Document>>>,
}

/// The collections with rows. `cursor` is apart, because it is taken away first and put back last.
const COLLECTIONS: [&str; 4] = ["ledgers", "accounts", "transfers", "payments"];

async fn all(cursor: mongodb::Cursor<Document>) -> Result<Vec<Document>, Error> {
    let mut cursor = cursor;
    let mut documents = Vec::new();
    while cursor.advance().await? {
        documents.push(cursor.deserialize_current()?);
    }
    Ok(documents)
}

/// Puts documents back. A connector that works meanwhile may have inserted some of them, as they were earlier.
async fn put_back(collection: &Collection<Document>, documents: &[Document]) -> Result<(), Error> {
    let mut there = Vec::new();
    for some in documents.chunks(1_000) {
        let Err(error) = collection.insert_many(some).ordered(false).await else { continue };
        let ErrorKind::InsertMany(refused) = error.kind.as_ref() else { return Err(error) };
        there.extend(refused.write_errors.iter().flatten().map(|place| &some[place.index]));
    }
    if there.is_empty() {
        return Ok(());
    }
    let id = |document: &Document| document.get("_id").map(ToString::to_string);
    let found: BTreeMap<_, Document> =
        all(collection.find(doc! {}).await?).await?.into_iter().map(|found| (id(&found), found)).collect();
    for document in there.into_iter().filter(|document| found.get(&id(document)) != Some(*document)) {
        collection.replace_one(doc! {"_id": document.get("_id").cloned()}, document).await?;
    }
    Ok(())
}

impl Mongo {
    #[track_caller]
    fn run<T>(&self, work: impl AsyncFn(Database) -> Result<T, Error>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = runtime.block_on(async {
            let client = Client::with_uri_str(self.service.text("/url")).await?;
            work(client.database(self.service.text("/database"))).await
        });
        done.unwrap()
    }

    fn documents(&self, collection: &str) -> Vec<Document> {
        self.run(async |database| all(database.collection(collection).find(doc! {}).await?).await)
    }

    fn texts(&self, collection: &str, fields: &[&str]) -> Vec<Value> {
        let row = |document: &Document| {
            let mut row = json!({"id": document.get_str("_id").expect("an id")});
            for field in fields {
                row[field] = document.get_str(field).expect("a text").into();
            }
            row
        };
        self.documents(collection).iter().map(row).collect()
    }
}

impl Tried for Mongo {
    fn settings(&self) -> String {
        format!("kind = \"mongodb\"\nurl = {:?}", self.service.text("/url"))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("ferretdb"), "pid");
    }

    fn longer_each_time(&self) -> Duration {
        Duration::from_millis(150)
    }

    /// FerretDB reads a whole collection for each question about it.
    fn import_transfers(&self) -> usize {
        12_000
    }

    fn save(&self) {
        let names = COLLECTIONS.into_iter().chain(["cursor"]);
        *self.saved.borrow_mut() = names.map(|name| (name, self.documents(name))).collect();
    }

    fn restore_saved(&self) {
        let saved = self.saved.borrow().clone();
        self.run(async |database| {
            database.collection::<Document>("cursor").delete_many(doc! {}).await?;
            for name in COLLECTIONS {
                let collection = database.collection::<Document>(name);
                collection.delete_many(doc! {}).await?;
                put_back(&collection, &saved[name]).await?;
            }
            put_back(&database.collection("cursor"), &saved["cursor"]).await
        });
    }

    fn accounts(&self) -> Vec<Value> {
        self.texts("accounts", &["debits_pending", "debits_posted", "credits_pending", "credits_posted"])
    }

    fn payments(&self) -> Vec<Value> {
        self.texts("payments", &["status", "amount", "captured", "released", "refunded"])
    }

    fn tamper(&self) -> u64 {
        self.run(async |database| {
            let [accounts, transfers, payments] =
                ["accounts", "transfers", "payments"].map(|name| database.collection::<Document>(name));
            let account = accounts.find_one(doc! {}).sort(doc! {"_id": 1}).await?.expect("an account");
            let more = format!("1{}", account.get_str("credits_posted").expect("a text"));
            let id = doc! {"_id": account.get("_id").cloned()};
            accounts.update_one(id, doc! {"$set": {"credits_posted": more}}).await?;
            let transfer = transfers.find_one(doc! {"state": null}).sort(doc! {"_id": -1}).await?.expect("a transfer");
            transfers.delete_one(doc! {"_id": transfer.get("_id").cloned()}).await?;
            let other = doc! {"status": {"$ne": "posted"}};
            let payment = payments.find_one(other).sort(doc! {"_id": 1}).await?.expect("a payment");
            let id = doc! {"_id": payment.get("_id").cloned()};
            payments.update_one(id, doc! {"$set": {"status": "posted"}}).await?;
            Ok(())
        });
        // The deleted transfer is missing, and there is one less.
        4
    }
}
