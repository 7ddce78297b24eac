//! Redis and Valkey: balances and the latest features of entities, which an app reads in a fraction of a millisecond.
//!
//! | key | value |
//! | --- | --- |
//! | `{prefix}:account:<id>` | JSON: the account with its balances, `balance` and `available` |
//! | `{prefix}:entity:<entity>:<token>` | JSON: the last payment of the entity, when it was decided, and its features |
//! | `{prefix}:pending:<id>` | JSON: a pending transfer that is not resolved yet |
//! | `{prefix}:cursor` | a hash: how far the copy has come |
//!
//! The braces make all keys of a copy share a slot of a cluster, because a batch is one call of a function that changes several keys. The
//! function compares the cursor first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::PlainValue;
use ledger::PendingState;
use redis::{Client, Connection, RedisError, Value};
use serde::{Deserialize, Serialize};
use types::Seq;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::{AccountDocument, Documents, PaymentDocument, TransferDocument};
use crate::rows::{AccountRow, Rows};
use crate::source::{hex, unhex};
use crate::target::{Counts, Fault, Needs, Target, Wanted};
use crate::targets::secret;

const FUNCTIONS: &str = include_str!("functions.lua");
/// The version of the keys.
const PROJECTION: &str = "1";
/// How long the server may leave a command without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// Keys that are read at once.
const KEYS_AT_ONCE: usize = 4_096;

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The address: `redis://user@host:port/database`.
    url: String,
    /// A file whose first line is the password, unless the address has it.
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    password_env: Option<String>,
    /// What all keys begin with, in braces.
    #[serde(default = "default_prefix")]
    prefix: String,
}

fn default_prefix() -> String {
    "finaira".to_owned()
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let prefix = &settings.prefix;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > 63 || !prefix.chars().all(fits) {
        return Err(format!("found the prefix `{prefix}`, expected 1 to 63 letters, digits, `-`, `_`, `.` and `:`"));
    }
    let info = redis::IntoConnectionInfo::into_connection_info(settings.url.as_str());
    let mut info = info.map_err(|error| format!("the address is malformed: {error}"))?;
    let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
    if let Some(password) = password {
        let with = info.redis_settings().clone().set_password(password.reveal());
        info = info.set_redis_settings(with);
    }
    let client = Client::open(info).map_err(|error| format!("the address is malformed: {error}"))?;
    Ok(Box::new(Redis { client, prefix: format!("{{{prefix}}}"), connection: None, fence: String::new() }))
}

/// The keys of a copy.
struct Redis {
    client: Client,
    /// In braces.
    prefix: String,
    connection: Option<Connection>,
    fence: String,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// An account with what apps show.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    account: AccountDocument,
    /// Posted credits less posted debits, in minor units.
    balance: String,
    /// As `balance`, less what pending transfers reserve.
    available: String,
    /// What may still leave the account before its minimum is reached; absent without a minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_left: Option<String>,
}

impl Shown {
    fn new(row: &AccountRow) -> Self {
        let account = &row.account;
        let (credits, debits) = (account.credits_posted.get(), account.debits_posted.get());
        let reserved = account.debits().get();
        let left = row.limits.min_balance.map(|_| row.limits.debit_room(account).to_string());
        Self {
            account: row.into(),
            balance: difference(credits, debits),
            available: difference(credits, reserved),
            limit_left: left,
        }
    }
}

/// A difference of two amounts, which may be negative.
fn difference(more: u128, less: u128) -> String {
    match more.checked_sub(less) {
        Some(rest) => rest.to_string(),
        None => format!("-{}", less.abs_diff(more)),
    }
}

impl Redis {
    fn key(&self, kind: &str, name: impl std::fmt::Display) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    fn cursor_key(&self) -> String {
        format!("{}:cursor", self.prefix)
    }

    fn connection(&mut self) -> Result<&mut Connection, Fault> {
        self.connection.as_mut().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }

    fn connect(&self) -> Result<Connection, Fault> {
        let connection = self.client.get_connection_with_timeout(UNANSWERED_MAX).map_err(|error| fault(&error))?;
        connection.set_read_timeout(Some(UNANSWERED_MAX)).map_err(|error| fault(&error))?;
        connection.set_write_timeout(Some(UNANSWERED_MAX)).map_err(|error| fault(&error))?;
        Ok(connection)
    }

    /// Reads JSON values by their keys.
    fn read<T: for<'d> Deserialize<'d>>(&mut self, keys: &[String]) -> Result<Vec<T>, Fault> {
        let mut found = Vec::new();
        for some in keys.chunks(KEYS_AT_ONCE) {
            let values: Vec<Option<Vec<u8>>> =
                redis::cmd("MGET").arg(some).query(self.connection()?).map_err(|error| fault(&error))?;
            for (key, value) in some.iter().zip(values) {
                let Some(value) = value else { continue };
                let value = serde_json::from_slice(&value);
                found.push(value.map_err(|error| Fault::Contradicts(format!("key {key}: {error}")))?);
            }
        }
        Ok(found)
    }

    /// What the rows of a batch set and delete.
    fn changes(&self, rows: &Rows) -> Result<(BTreeMap<String, String>, Vec<String>), Fault> {
        let mut sets = BTreeMap::new();
        let mut set = |key: String, value: &dyn erased::Json| -> Result<(), Fault> {
            sets.insert(key, value.text()?);
            Ok(())
        };
        for row in &rows.accounts {
            set(self.key("account", row.account.id), &Shown::new(row))?;
        }
        for row in rows.transfers.iter().filter(|row| row.state == Some(PendingState::Pending)) {
            set(self.key("pending", row.transfer.key), &TransferDocument::from(row))?;
        }
        for row in &rows.payments {
            let PaymentDocument { id, features, decided_at, sequence, .. } = row.into();
            let latest = Latest { payment: id, decided_at, features, sequence };
            for (name, value) in &row.decided.attributes {
                if let PlainValue::Entity(token) = value {
                    set(self.key("entity", format!("{name}:{token}")), &latest)?;
                }
            }
        }
        let deletes = rows.resolved.iter().map(|resolved| self.key("pending", resolved.key)).collect();
        Ok((sets, deletes))
    }
}

/// The features of an entity, as its last payment saw them.
#[derive(Debug, Serialize)]
struct Latest {
    payment: String,
    decided_at: String,
    features: serde_json::Value,
    sequence: u64,
}

mod erased {
    use crate::target::Fault;

    /// Any value that is JSON.
    pub(super) trait Json {
        fn text(&self) -> Result<String, Fault>;
    }

    impl<T: serde::Serialize> Json for T {
        fn text(&self) -> Result<String, Fault> {
            serde_json::to_string(self).map_err(|error| Fault::Refused(error.to_string()))
        }
    }
}

/// Reads origin, position, root and opening, which is empty if no import is being opened.
fn cursor(fields: &[Option<String>]) -> Result<Cursor, Fault> {
    let wrong = || Fault::Contradicts(format!("{fields:?} is not a cursor"));
    let [Some(origin), Some(position), Some(root), Some(opening)] = fields else { return Err(wrong()) };
    let origin = Cursor::origin_of(origin)?;
    let position = Seq::new(position.parse().map_err(|_| wrong())?);
    let root = unhex(root).ok_or_else(wrong)?;
    let opening = match opening.as_str() {
        "" => None,
        seq => Some(Seq::new(seq.parse().map_err(|_| wrong())?)),
    };
    Ok(Cursor { origin, position, root, opening })
}

fn opening(cursor: &Cursor) -> String {
    cursor.opening.map_or_else(String::new, |seq| seq.to_string())
}

impl Target for Redis {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.connection = None;
        let mut connection = self.connect()?;
        let loaded: Result<Value, _> =
            redis::cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(FUNCTIONS).query(&mut connection);
        loaded.map_err(|error| fault(&error))?;
        let start = Cursor::start();
        let mut take = redis::cmd("FCALL");
        take.arg("finaira_take").arg(1).arg(self.cursor_key());
        take.arg(PROJECTION).arg(start.origin_text()).arg(hex(&start.root));
        let fields: Vec<Option<String>> = take.query(&mut connection).map_err(|error| fault(&error))?;
        let [fence, projection, rest @ ..] = fields.as_slice() else {
            return Err(Fault::Contradicts(format!("{fields:?} is not a cursor")));
        };
        if projection.as_deref() != Some(PROJECTION) {
            let found = projection.as_deref().unwrap_or("none");
            let what = format!(
                "the keys {}:… have version {found}, and this release writes version {PROJECTION}; name another prefix, and delete these keys when the new copy is whole",
                self.prefix
            );
            return Err(Fault::Refused(what));
        }
        let cursor = cursor(rest)?;
        self.fence = fence.clone().unwrap_or_default();
        self.connection = Some(connection);
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Balances
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let accounts: Vec<String> = wanted.accounts.iter().map(|id| self.key("account", id)).collect();
        let transfers: Vec<String> = wanted.transfers.iter().map(|key| self.key("pending", key)).collect();
        Ok(Documents { accounts: self.read(&accounts)?, transfers: self.read(&transfers)?, payments: Vec::new() })
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let (sets, deletes) = self.changes(&batch.rows)?;
        let mut call = redis::cmd("FCALL");
        call.arg("finaira_write").arg(1 + sets.len() + deletes.len()).arg(self.cursor_key());
        for key in sets.keys().chain(&deletes) {
            call.arg(key);
        }
        call.arg(&self.fence).arg(before.position.get()).arg(hex(&before.root)).arg(opening(before));
        call.arg(after.origin_text()).arg(after.position.get()).arg(hex(&after.root)).arg(opening(after));
        call.arg(sets.len());
        for value in sets.values() {
            call.arg(value);
        }
        let (outcome, found): (String, String) = call.query(self.connection()?).map_err(|error| fault(&error))?;
        let found: u64 = found.parse().unwrap_or_default();
        let own: u64 = self.fence.parse().unwrap_or_default();
        match outcome.as_str() {
            "done" => Ok(()),
            "fenced" if found > own => Err(Fault::Fenced),
            // A lower fence belongs to an older copy of the data.
            "fenced" => Err(Fault::Moved { found: Seq::ZERO, expected: before.position }),
            _ => Err(Fault::Moved { found: Seq::new(found), expected: before.position }),
        }
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let mut connection = self.connect()?;
        let key = self.cursor_key();
        let fields = redis::cmd("HMGET").arg(&key).arg(&["origin", "position", "root", "opening"]).query(&mut connection);
        let fields: Vec<Option<String>> = fields.map_err(|error| fault(&error))?;
        if fields.iter().all(Option::is_none) {
            return Ok(None);
        }
        let cursor = cursor(&fields)?;
        let mut counts = Counts::default();
        let pattern = format!("{}:account:*", self.prefix.replace(['{', '}'], "?"));
        let mut place = "0".to_owned();
        loop {
            let scan = redis::cmd("SCAN").arg(&place).arg("MATCH").arg(&pattern).arg("COUNT").arg(KEYS_AT_ONCE).query(&mut connection);
            let (next, keys): (String, Vec<String>) = scan.map_err(|error| fault(&error))?;
            counts.accounts += keys.len() as u64;
            place = next;
            if place == "0" {
                break;
            }
        }
        self.connection = Some(connection);
        Ok(Some((cursor, counts)))
    }
}

/// What an error of Redis means for a connector.
fn fault(error: &RedisError) -> Fault {
    let passing = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        // Out of memory, loading its data, a replica that cannot write, a cluster that is being changed.
        || error.code().is_some_and(|code| {
            ["OOM", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF"].contains(&code)
        });
    if passing { Fault::Unreachable(error.to_string()) } else { Fault::Refused(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(difference(5, 3), "2");
        assert_eq!(difference(3, 5), "-2");
        assert_eq!(difference(0, u128::MAX), format!("-{}", u128::MAX));
    }
}
