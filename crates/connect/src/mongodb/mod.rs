//! MongoDB, and other servers that speak its protocol: one document for each account, transfer and payment, with everything about it.
//!
//! | collection | document |
//! | --- | --- |
//! | `accounts` | an account with its balances and metadata |
//! | `transfers` | a transfer with its metadata |
//! | `payments` | a payment in its current state: decision, features, reasons, entities, changes, labels, metadata |
//! | `ledgers` | a ledger |
//! | `cursor` | how far the copy has come |
//!
//! Where the server has transactions, which it says itself, a batch is one. Elsewhere the documents are written first and the cursor
//! last. Documents carry the sequences of what they contain, and no write replaces anything later; so a batch that was written in part is simply written
//! again, and a write of an earlier connector that arrives late does no harm.

mod documents;
mod faults;
mod writer;

use std::collections::HashSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ConnectionString, ReadConcern, ReturnDocument, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use serde::Deserialize;
use types::{AccountId, Seq};

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::runtime::{Blocking, answered};
use crate::source::{hex, unhex};
use crate::target::{Counts, Fault, Needs, Target, Wanted, confirmed};
use crate::targets::secret;
use documents::integer;
use faults::fault;
use writer::Writer;

/// The version of the documents. A copy with another one is rebuilt beside it, in another database.
const PROJECTION: i64 = 1;
/// How long a server may leave a command without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// How long to look for a server that takes commands.
const SELECTION_MAX: Duration = Duration::from_secs(10);
/// Most documents in one `insert`. Servers take 100,000.
const INSERTS_AT_ONCE: usize = 1_000;
/// Bytes of documents after which an `insert` ends. Servers take 48 MB in a command, and 16 MB in a document.
const COMMAND_BYTES_MAX: usize = 8 << 20;
/// Most updates in one command.
const UPDATES_AT_ONCE: usize = 1_000;
/// Most updates in one command to FerretDB 1, which hangs when there are 50 to 100.
const UPDATES_AT_ONCE_FERRETDB: usize = 20;
/// Documents that are read at once.
const IDS_AT_ONCE: usize = 5_000;
/// Documents up to which each is read alone from FerretDB 1, which reads a whole collection to find several ids.
const IDS_ALONE_FERRETDB: usize = 32;

const CURSOR: &str = "cursor";
/// The only document of the collection `cursor`.
const CURSOR_ID: &str = "copy";
/// The indexes beside those of `_id`: collection, name and fields.
const INDEXES: &[(&str, &str, &[&str])] = &[
    ("transfers", "debit", &["debit_account", "created_at"]),
    ("transfers", "credit", &["credit_account", "created_at"]),
    ("transfers", "payment", &["payment"]),
    ("payments", "decided_at", &["decided_at"]),
    ("payments", "entity", &["entities.token", "decided_at"]),
];

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The address, with the database that holds the collections: `mongodb://user@host:port/database`.
    url: String,
    /// A file whose first line is the password, unless the address has it.
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    password_env: Option<String>,
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    Ok(Box::new(Mongo::new(&settings)?))
}

/// A database of a server.
struct Mongo {
    address: ConnectionString,
    database: String,
    connection: Option<Connection>,
    fence: u64,
    /// Accounts that were asked for and are not in the target.
    missing: HashSet<AccountId>,
}

/// A client with what it knows of the server. The fields are dropped in this order.
struct Connection {
    database: Database,
    client: Client,
    server: ServerKind,
    blocking: Blocking,
}

/// What a server says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServerKind {
    /// Whether it is a replica set or a sharded cluster, which have transactions.
    has_transactions: bool,
    updates_at_once: usize,
    /// Documents up to which each is read alone.
    ids_alone: usize,
}

impl std::fmt::Debug for Mongo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mongo").field("database", &self.database).field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl Mongo {
    /// A target that is not connected yet.
    ///
    /// # Errors
    /// When the address or the name of the database is malformed. The message does not contain the password.
    fn new(settings: &Settings) -> Result<Self, String> {
        let address = ConnectionString::parse(&settings.url);
        // The error may quote a part of the password, if that has characters that must be escaped.
        let mut address = address
            .map_err(|_quoting| "the address is malformed, expected mongodb://user@host:port/database".to_owned())?;
        let database = address.default_database.clone().unwrap_or_default();
        let is_name =
            database.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        if !is_name || database.is_empty() || database.len() > 63 {
            return Err(format!(
                "found the database `{database}` in the address, expected 1 to 63 lower-case letters, digits and underscores"
            ));
        }
        let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
        if let Some(password) = password {
            let credential = address.credential.as_mut();
            let credential = credential.ok_or("found a password, but no user in the address".to_owned())?;
            credential.password = Some(password.reveal().to_owned());
        }
        Ok(Self { address, database, connection: None, fence: 0, missing: HashSet::new() })
    }

    fn connection(&self) -> Result<&Connection, Fault> {
        self.connection.as_ref().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }

    /// Connects, and asks the server what it is.
    fn connect(&self) -> Result<Connection, Fault> {
        let blocking = Blocking::new()?;
        let (client, server) = blocking.wait(async {
            let mut options = ClientOptions::parse(self.address.clone()).await.map_err(|error| fault(&error))?;
            options.app_name = Some("finaira".to_owned());
            options.connect_timeout = Some(SELECTION_MAX);
            options.server_selection_timeout = Some(SELECTION_MAX);
            let client = Client::with_options(options).map_err(|error| fault(&error))?;
            let admin = client.database("admin");
            let ask = |what: &str| {
                let answer = admin.run_command(doc! {what: 1});
                answered(UNANSWERED_MAX, async { answer.await.map_err(|error| fault(&error)) })
            };
            let hello = ask("hello").await?;
            // A user may lack the right to ask; then it is not FerretDB, which has no such rights.
            let build = ask("buildInfo").await.or_else(|fault| match fault {
                Fault::Refused(_) => Ok(Document::new()),
                other @ (Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_)) => {
                    Err(other)
                }
            })?;
            Ok((client, ServerKind::of(&hello, &build)))
        })?;
        Ok(Connection { database: client.database(&self.database), client, server, blocking })
    }

    /// Creates indexes and cursor, and raises the fence.
    fn take_over(&self, connection: &Connection) -> Result<(u64, Cursor), Fault> {
        let found = connection.blocking.wait(async {
            for (collection, name, fields) in INDEXES {
                let key: Document = fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(1))).collect();
                let indexes = doc! {"createIndexes": *collection, "indexes": [{"key": key, "name": *name}]};
                let answer = connection.database.run_command(indexes);
                answered(UNANSWERED_MAX, async { answer.await.map_err(|error| fault(&error)) }).await?;
            }
            let cursors = connection.cursors();
            let start = Cursor::start();
            let mut first = fields_of(&start)?;
            first.extend(doc! {"fence": 0_i64, "projection": PROJECTION});
            let filter = || doc! {"_id": CURSOR_ID};
            let create = cursors.update_one(filter(), doc! {"$setOnInsert": first}).upsert(true);
            answered(UNANSWERED_MAX, async { create.await.map_err(|error| fault(&error)) }).await?;
            let raise = cursors.find_one_and_update(filter(), doc! {"$inc": {"fence": 1_i64}});
            let raise = raise.return_document(ReturnDocument::After);
            answered(UNANSWERED_MAX, async { raise.await.map_err(|error| fault(&error)) }).await
        })?;
        let found = found.ok_or_else(|| Fault::Unreachable("somebody deleted the cursor just now".to_owned()))?;
        let projection = found.get_i64("projection").unwrap_or_default();
        if projection != PROJECTION {
            let what = format!(
                "database {} has version {projection} of the documents, and this release writes version {PROJECTION}; name another database, and drop this one when the new copy is whole",
                self.database
            );
            return Err(Fault::Refused(what));
        }
        Ok((whole(&found, "fence")?, cursor(&found)?))
    }
}

impl Connection {
    fn collection(&self, name: &str) -> Collection<Document> {
        let options = CollectionOptions::builder()
            // What this connection reads must be there after any failure of a member.
            .read_concern(self.server.has_transactions.then(ReadConcern::majority))
            .write_concern(acknowledged())
            .build();
        self.database.collection_with_options(name, options)
    }

    fn cursors(&self) -> Collection<Document> {
        self.collection(CURSOR)
    }

    async fn cursor(&self) -> Result<Option<Document>, Fault> {
        let cursors = self.cursors();
        let find = cursors.find_one(doc! {"_id": CURSOR_ID});
        answered(UNANSWERED_MAX, async { find.await.map_err(|error| fault(&error)) }).await
    }

    /// Compares fence and position.
    async fn confirm(&self, fence: u64, cursor: &Cursor) -> Result<(), Fault> {
        let found = self.cursor().await?.unwrap_or_default();
        let number = |name| whole(&found, name).unwrap_or_default();
        confirmed((number("fence"), number("position")), fence, cursor)
    }

    /// Reads documents by their ids.
    async fn read<I: Display, T>(
        &self,
        collection: &str,
        ids: &[I],
        document: impl Fn(Document) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut read = Vec::new();
        let collection = self.collection(collection);
        let at_once = if ids.len() > self.server.ids_alone { IDS_AT_ONCE } else { 1 };
        for some in ids.chunks(at_once) {
            let filter = match some {
                [one] => doc! {"_id": one.to_string()},
                several => doc! {"_id": {"$in": several.iter().map(ToString::to_string).collect::<Vec<_>>()}},
            };
            let find = collection.find(filter);
            let found = async { find.await.map_err(|error| fault(&error)) };
            let mut found = answered(UNANSWERED_MAX, found).await?;
            let mut next = async || found.try_next().await.map_err(|error| fault(&error));
            while let Some(found) = answered(UNANSWERED_MAX, next()).await? {
                read.push(document(found)?);
            }
        }
        Ok(read)
    }

    async fn count(&self, collection: &str) -> Result<u64, Fault> {
        let collection = self.collection(collection);
        // The server reads a whole collection. That may take as long as it takes.
        collection.count_documents(doc! {}).await.map_err(|error| fault(&error))
    }

    /// Writes a batch.
    async fn write(&self, what: &Writing<'_>) -> Result<(), Fault> {
        if self.server.has_transactions
            && let Some(written) = self.write_in_transaction(what).await?
        {
            return written;
        }
        // Whoever computed rows from those of another moment must not write them.
        self.confirm(what.fence, what.before).await?;
        let mut writer = self.writer(None);
        writer.write(&what.batch.rows, what.first, &|id| what.missing.contains(&id)).await?;
        let moved = writer.move_cursor(what.expected()?, fields_of(what.after)?).await?;
        self.moved(moved, what).await
    }

    /// Writes a batch in a transaction; `None` if some documents are there already, so that the batch has to be written without one.
    async fn write_in_transaction(&self, what: &Writing<'_>) -> Result<Option<Result<(), Fault>>, Fault> {
        let failed = |error| fault(&error);
        let start = self.client.start_session();
        let mut session = answered(UNANSWERED_MAX, async { start.await.map_err(failed) }).await?;
        let begin = session.start_transaction().read_concern(ReadConcern::majority()).write_concern(acknowledged());
        begin.await.map_err(failed)?;
        let mut writer = self.writer(Some(&mut session));
        let moved = writer.move_cursor(what.expected()?, fields_of(what.after)?).await?;
        if !moved {
            // Whether this succeeds does not matter: a transaction that nobody ends is aborted.
            drop(answered(UNANSWERED_MAX, async { session.abort_transaction().await.map_err(failed) }).await);
            return self.moved(moved, what).await.map(|()| None);
        }
        let written = writer.write(&what.batch.rows, what.first, &|id| what.missing.contains(&id)).await;
        if let Err(fault) = written {
            // Documents can be there already if the server had no transactions before.
            let has_duplicate = writer.has_duplicate;
            drop(answered(UNANSWERED_MAX, async { session.abort_transaction().await.map_err(failed) }).await);
            return if has_duplicate { Ok(None) } else { Err(fault) };
        }
        answered(UNANSWERED_MAX, async { session.commit_transaction().await.map_err(failed) }).await?;
        Ok(Some(Ok(())))
    }

    fn writer<'w>(&'w self, session: Option<&'w mut mongodb::ClientSession>) -> Writer<'w> {
        let updates_at_once = self.server.updates_at_once;
        Writer { database: &self.database, session, updates_at_once, has_duplicate: false }
    }

    /// What it means if the cursor was not moved.
    async fn moved(&self, moved: bool, what: &Writing<'_>) -> Result<(), Fault> {
        if moved {
            return Ok(());
        }
        // The root or the opening differs if the fence and the position do not.
        self.confirm(what.fence, what.before).await?;
        Err(Fault::Moved { found: what.before.position, expected: what.before.position })
    }
}

/// A batch that is written.
struct Writing<'b> {
    batch: &'b Batch,
    /// The first entry whose effects may be in the batch.
    first: u64,
    before: &'b Cursor,
    after: &'b Cursor,
    fence: u64,
    missing: &'b HashSet<AccountId>,
}

impl Writing<'_> {
    /// The cursor that must be there.
    fn expected(&self) -> Result<Document, Fault> {
        let mut filter = doc! {"_id": CURSOR_ID, "fence": integer(self.fence)?};
        let fields = fields_of(self.before)?;
        for name in ["position", "root", "opening"] {
            filter.insert(name, fields.get(name).cloned());
        }
        Ok(filter)
    }
}

impl ServerKind {
    fn of(hello: &Document, build: &Document) -> Self {
        let has_transactions =
            hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid");
        let is_ferretdb = build.contains_key("ferretdbVersion") || build.contains_key("ferretdb");
        let (updates_at_once, ids_alone) =
            if is_ferretdb { (UPDATES_AT_ONCE_FERRETDB, IDS_ALONE_FERRETDB) } else { (UPDATES_AT_ONCE, 0) };
        Self { has_transactions, updates_at_once, ids_alone }
    }
}

/// What is acknowledged must be there after any failure of a member.
fn acknowledged() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

/// The fields of a cursor.
fn fields_of(cursor: &Cursor) -> Result<Document, Fault> {
    Ok(doc! {
        "origin": cursor.origin_text(),
        "position": integer(cursor.position.get())?,
        "root": hex(&cursor.root),
        "opening": cursor.opening.map(|seq| integer(seq.get())).transpose()?,
    })
}

/// Reads a number that is not negative.
fn whole(document: &Document, name: &str) -> Result<u64, Fault> {
    let number = document.get_i64(name).ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| Fault::Contradicts(format!("the cursor {document} has no number `{name}`")))
}

fn cursor(found: &Document) -> Result<Cursor, Fault> {
    let wrong = |name: &str| Fault::Contradicts(format!("the cursor {found} has no usable `{name}`"));
    let text = |name: &str| found.get_str(name).map_err(|_other| wrong(name));
    Ok(Cursor {
        origin: Cursor::origin_of(text("origin")?)?,
        position: Seq::new(whole(found, "position")?),
        root: unhex(text("root")?).ok_or_else(|| wrong("root"))?,
        opening: match found.get("opening") {
            None | Some(Bson::Null) => None,
            Some(_) => Some(Seq::new(whole(found, "opening")?)),
        },
    })
}

impl Target for Mongo {
    fn open(&mut self) -> Result<Cursor, Fault> {
        (self.connection, self.missing) = (None, HashSet::new());
        let connection = self.connect()?;
        let (fence, cursor) = self.take_over(&connection)?;
        (self.connection, self.fence) = (Some(connection), fence);
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Rows
    }

    /// Nobody knows before the server was asked. A batch that is written again does no harm where there are transactions.
    fn is_atomic(&self) -> bool {
        false
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let connection = self.connection()?;
        let found = connection.blocking.wait(async {
            Ok(Documents {
                accounts: connection.read("accounts", &wanted.accounts, documents::read_account).await?,
                transfers: connection.read("transfers", &wanted.transfers, documents::read_transfer).await?,
                payments: connection.read("payments", &wanted.payments, documents::read_payment).await?,
            })
        })?;
        if found.accounts.len() < wanted.accounts.len() {
            let there: HashSet<&str> = found.accounts.iter().map(|account| account.id.as_str()).collect();
            self.missing.extend(wanted.accounts.iter().filter(|id| !there.contains(id.to_string().as_str())));
        }
        Ok(found)
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let connection = self.connection()?;
        let (fence, missing) = (self.fence, &self.missing);
        let what = Writing { batch, first: before.position.next().get(), before, after, fence, missing };
        connection.blocking.wait(connection.write(&what))?;
        // They are there now.
        self.missing.clear();
        Ok(())
    }

    fn confirm(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        let connection = self.connection()?;
        connection.blocking.wait(connection.confirm(self.fence, cursor))
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let connection = self.connect()?;
        let looked = connection.blocking.wait(async {
            let Some(found) = connection.cursor().await? else { return Ok(None) };
            let counts = Counts {
                accounts: connection.count("accounts").await?,
                transfers: connection.count("transfers").await?,
                payments: connection.count("payments").await?,
                ..Counts::default()
            };
            Ok(Some((cursor(&found)?, counts)))
        })?;
        self.connection = Some(connection);
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_what_it_is() {
        let kind = |hello, build| ServerKind::of(&hello, &build);
        let alone = ServerKind { has_transactions: false, updates_at_once: UPDATES_AT_ONCE, ids_alone: 0 };
        assert_eq!(kind(doc! {"isWritablePrimary": true}, doc! {"version": "7.0.0"}), alone);
        let with = ServerKind { has_transactions: true, ..alone };
        assert_eq!(kind(doc! {"setName": "rs0"}, doc! {}), with);
        assert_eq!(kind(doc! {"msg": "isdbgrid"}, doc! {}), with);
        let ferret = ServerKind { updates_at_once: UPDATES_AT_ONCE_FERRETDB, ids_alone: IDS_ALONE_FERRETDB, ..alone };
        assert_eq!(kind(doc! {}, doc! {"version": "7.0.42", "ferretdbVersion": "v1.24.2"}), ferret);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let written = Cursor { position: Seq::new(7), opening: Some(Seq::new(5)), ..Cursor::start() };
        for written in [written, Cursor::start()] {
            assert_eq!(cursor(&fields_of(&written).unwrap()), Ok(written));
        }
        assert!(matches!(cursor(&doc! {"origin": "", "position": -1_i64}), Err(Fault::Contradicts(_))));
    }

    #[test]
    fn settings_are_checked() {
        let made = |text: &str| make(toml::from_str(text).expect("TOML")).map(|target| format!("{target:?}"));
        let shown = made("url = 'mongodb://finaira:secret@db.internal/reports'").expect("a target");
        assert!(shown.contains("reports") && !shown.contains("secret"), "{shown}");
        for (wrong, expected) in [
            ("url = 'mongodb://finaira:secret@db.internal'", "the database ``"),
            ("url = 'mongodb://finaira:secret@db.internal/A'", "the database `A`"),
            ("url = 'mongodb://finaira:sec/ret:secret@db.internal/a'", "malformed"),
            ("url = 'mongodb://a:b:secret@db.internal/a'", "malformed"),
            ("url = 'postgresql://finaira:secret@db.internal/reports'", "malformed"),
            ("url = 'mongodb://finaira:secret@db.internal/a'\nschema = 'x'", "schema"),
            ("url = 'mongodb://db.internal/a'\npassword_env = 'PATH'", "no user in the address"),
            ("url = 'mongodb://finaira@db.internal/a'\npassword_file = 'a'\npassword_env = 'b'", "found both"),
        ] {
            let said = made(wrong).expect_err(wrong);
            assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        }
    }
}
