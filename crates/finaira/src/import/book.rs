//! Reads an existing book as rows of the ledger: its accounts, then its transfers, or one transfer per opening balance.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ledger::{AccountFlags, NewAccount, NewTransfer, TransferFlags, TransferKey};
use types::{AccountId, Amount, Code, Digest, DigestBuilder, ImportId, LedgerId, Span, Timestamp, TransferId};

use super::table::{BadRow, Row, Table};

const ACCOUNT_COLUMNS: &[&str] = &["id", "code", "timestamp", "user_data_128", "user_data_64", "user_data_32", "flags"];
const TRANSFER_COLUMNS: &[&str] = &[
    "id",
    "debit_account_id",
    "credit_account_id",
    "amount",
    "code",
    "timestamp",
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "flags",
];
const BALANCE_COLUMNS: &[&str] = &["id", "balance", "debits_posted", "credits_posted"];
/// The code of transfers that create an opening balance.
const OPENING_CODE: Code = Code::new(1);
const ID: &str = "a UUID or a decimal number, neither 0 nor 2^128 - 1";
const NUMBER: &str = "a non-negative whole number";

/// The files of an existing book, and how to read them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Source {
    /// The ledger into which the book is imported
    #[arg(long, value_name = "NUMBER")]
    ledger: u32,
    /// File of accounts: columns id, code, timestamp, user_data_128, user_data_64, user_data_32, flags
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// File of transfers: columns id, debit_account_id, credit_account_id, amount, code, timestamp, user_data_*, flags
    #[arg(long, value_name = "FILE")]
    transfers: Option<PathBuf>,
    /// File of balances: columns id and balance (credits minus debits), or debits_posted and credits_posted. With
    /// transfers, the balances are compared with the sums of the transfers; without transfers, each balance becomes one
    /// opening transfer
    #[arg(long, value_name = "FILE")]
    balances: Option<PathBuf>,
    /// The account on the other side of the opening transfers
    #[arg(long, value_name = "ID")]
    opening_account: Option<AccountId>,
    /// The timestamp of the first row of a file that has no column timestamp; each following row is 1 ns later
    #[arg(long, value_name = "TIME", default_value = "2000-01-01T00:00:00Z")]
    at: Timestamp,
}

/// A book that can be read any number of times.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) ledger: LedgerId,
    accounts: Table,
    transfers: Option<Table>,
    balances: Option<Table>,
    opening_account: Option<AccountId>,
    at: Timestamp,
    /// The digest of the files and settings, which identifies the book.
    pub(super) content: Digest,
}

/// Takes rows one by one, valid or not.
type Visit<'a, T> = &'a mut dyn FnMut(Row<'_>, Result<T, BadRow>) -> anyhow::Result<()>;

/// The balance of an account in the other system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Balance {
    pub(super) account: AccountId,
    /// Credits minus debits.
    pub(super) net: i128,
    pub(super) sides: Option<(Amount, Amount)>,
}

/// Assigns increasing timestamps to rows.
#[derive(Debug)]
pub(super) struct Timeline {
    last_given: Timestamp,
    last: Timestamp,
    /// The number of rows that had the same timestamp as the previous row and were moved by nanoseconds.
    pub(super) moved: u64,
}

impl Timeline {
    pub(super) const fn after(last: Timestamp) -> Self {
        Self { last_given: Timestamp::ZERO, last, moved: 0 }
    }

    fn next(&mut self, row: &Row<'_>, given: Timestamp) -> Result<u64, BadRow> {
        if given < self.last_given {
            let expected =
                format!("a timestamp that is not before {}, the timestamp of the previous row", self.last_given);
            return Err(row.bad("timestamp", &expected));
        }
        self.last_given = given;
        let next = self.last.saturating_add(Span::from_ns(1));
        self.moved += u64::from(given < next);
        self.last = given.max(next);
        Ok(self.last.ns())
    }
}

impl Book {
    pub(super) fn open(source: &Source) -> anyhow::Result<Self> {
        if source.transfers.is_none() && source.balances.is_some() && source.opening_account.is_none() {
            bail!(
                "balances without transfers need --opening-account, the account on the other side of the opening transfers"
            );
        }
        let balances = source.balances.as_deref().map(|path| Table::open(path, BALANCE_COLUMNS, 1)).transpose()?;
        if let Some(balances) = &balances
            && !balances.has("balance")
            && !(balances.has("debits_posted") && balances.has("credits_posted"))
        {
            bail!("the balances have neither a column `balance` nor `debits_posted` and `credits_posted`");
        }
        Ok(Self {
            ledger: LedgerId::new(source.ledger),
            accounts: Table::open(&source.accounts, ACCOUNT_COLUMNS, 2)?,
            transfers: source.transfers.as_deref().map(|path| Table::open(path, TRANSFER_COLUMNS, 5)).transpose()?,
            balances,
            opening_account: source.opening_account,
            at: source.at,
            content: digest(source)?,
        })
    }

    /// Whether there are transfers to compare the balances with.
    pub(super) fn has_history(&self) -> bool {
        self.transfers.is_some()
    }

    /// The account on the other side of the opening transfers.
    pub(super) fn opening_account(&self) -> Option<AccountId> {
        self.opening_account
    }

    /// The default id of the import. The same files and settings give the same id.
    pub(super) fn default_id(&self) -> ImportId {
        ImportId::new(first_half(self.content))
    }

    /// Calls `visit` for every account.
    pub(super) fn each_account(&self, timeline: &mut Timeline, visit: Visit<'_, NewAccount>) -> anyhow::Result<()> {
        self.accounts.each(&mut |row| visit(row, self.account(row, timeline)))
    }

    /// Calls `visit` for every transfer, or for every opening transfer. The accounts must have been visited with this
    /// timeline before.
    pub(super) fn each_transfer(
        &self,
        import: ImportId,
        timeline: &mut Timeline,
        visit: Visit<'_, NewTransfer>,
    ) -> anyhow::Result<()> {
        if let Some(transfers) = &self.transfers {
            // Transfers without timestamps come after the accounts.
            let last = if transfers.has("timestamp") { Timestamp::ZERO } else { timeline.last };
            let mut timeline = Timeline::after(last);
            return transfers.each(&mut |row| visit(row, self.transfer(row, &mut timeline)));
        }
        let (Some(balances), Some(opening)) = (&self.balances, self.opening_account) else { return Ok(()) };
        balances.each(&mut |row| match balance(row) {
            Err(bad) => visit(row, Err(bad)),
            Ok(balance) if balance.net == 0 || balance.account == opening => Ok(()),
            Ok(balance) => visit(row, Ok(self.opening(import, opening, balance, timeline))),
        })
    }

    /// Calls `visit` for the balance that each account should have in the end.
    pub(super) fn each_balance(&self, visit: Visit<'_, Balance>) -> anyhow::Result<()> {
        match &self.balances {
            Some(balances) => balances.each(&mut |row| visit(row, balance(row))),
            None => Ok(()),
        }
    }

    fn account(&self, row: Row<'_>, timeline: &mut Timeline) -> Result<NewAccount, BadRow> {
        row.check()?;
        let flags = AccountFlags::ALL.iter().map(|(name, flag)| (*name, flag.bits())).collect::<Vec<_>>();
        let given = if self.accounts.has("timestamp") { row.instant("timestamp")? } else { self.at };
        Ok(NewAccount {
            id: row.parsed("id", ID)?,
            ledger: self.ledger,
            code: Code::new(row.parsed("code", "a whole number from 1 to 65535")?),
            user_data_128: user_data_128(row)?,
            user_data_64: row.optional("user_data_64", NUMBER)?,
            user_data_32: row.optional("user_data_32", NUMBER)?,
            flags: AccountFlags::from_bits(row.flags("flags", &flags)?),
            timestamp_ns: timeline.next(&row, given)?,
            ..NewAccount::default()
        })
    }

    fn transfer(&self, row: Row<'_>, timeline: &mut Timeline) -> Result<NewTransfer, BadRow> {
        row.check()?;
        let flags = TransferFlags::ALL.iter().map(|(name, flag)| (*name, flag.bits())).collect::<Vec<_>>();
        let timestamps = self.transfers.as_ref().is_some_and(|transfers| transfers.has("timestamp"));
        let given = if timestamps { row.instant("timestamp")? } else { self.at };
        let id: TransferId = row.parsed("id", ID)?;
        Ok(NewTransfer {
            debit: row.parsed("debit_account_id", ID)?,
            credit: row.parsed("credit_account_id", ID)?,
            amount: Amount::new(row.parsed("amount", "minor units: a non-negative whole number")?),
            code: Code::new(row.parsed("code", "a whole number from 1 to 65535")?),
            user_data_128: user_data_128(row)?,
            user_data_64: row.optional("user_data_64", NUMBER)?,
            user_data_32: row.optional("user_data_32", NUMBER)?,
            ledger: self.ledger,
            flags: TransferFlags::from_bits(row.flags("flags", &flags)?),
            timestamp_ns: timeline.next(&row, given)?,
            ..NewTransfer::named(TransferKey::Client(id))
        })
    }

    fn opening(&self, import: ImportId, opening: AccountId, balance: Balance, timeline: &mut Timeline) -> NewTransfer {
        let mut id = DigestBuilder::new("finaira 2026-11 transfer of an opening balance");
        id.u128(import.get()).u128(balance.account.get());
        timeline.last = timeline.last.saturating_add(Span::from_ns(1));
        let is_credit = balance.net > 0;
        let (debit, credit) = if is_credit { (opening, balance.account) } else { (balance.account, opening) };
        NewTransfer {
            debit,
            credit,
            amount: Amount::new(balance.net.unsigned_abs()),
            code: OPENING_CODE,
            ledger: self.ledger,
            timestamp_ns: timeline.last.ns(),
            ..NewTransfer::named(TransferKey::Client(TransferId::new(first_half(id.digest()))))
        }
    }
}

fn balance(row: Row<'_>) -> Result<Balance, BadRow> {
    row.check()?;
    let account = row.parsed("id", ID)?;
    if row.cell("balance").text().is_some() {
        return Ok(Balance { account, net: row.parsed("balance", "minor units: a whole number")?, sides: None });
    }
    let side = |column| -> Result<i128, BadRow> {
        let amount: i128 = row.parsed(column, "minor units: a non-negative whole number")?;
        if amount < 0 { Err(row.bad(column, "minor units: a non-negative whole number")) } else { Ok(amount) }
    };
    let (debits, credits) = (side("debits_posted")?, side("credits_posted")?);
    let amounts = (Amount::new(debits.unsigned_abs()), Amount::new(credits.unsigned_abs()));
    Ok(Balance { account, net: credits - debits, sides: Some(amounts) })
}

/// Parses a decimal number or a UUID.
fn user_data_128(row: Row<'_>) -> Result<u128, BadRow> {
    let expected = "a decimal number below 2^128, or a UUID";
    let Some(text) = row.cell("user_data_128").text() else { return Ok(0) };
    let uuid = || text.parse::<AccountId>().ok().map(AccountId::get);
    text.parse().ok().or_else(uuid).ok_or_else(|| row.bad("user_data_128", expected))
}

/// Hashes the files and the settings that affect the rows.
fn digest(source: &Source) -> anyhow::Result<Digest> {
    let mut builder = DigestBuilder::new("finaira 2026-11 content of an import");
    builder.u64(source.ledger.into()).u64(source.at.ns()).u128(source.opening_account.map_or(0, AccountId::get));
    let mut file = |path: Option<&Path>| -> anyhow::Result<()> {
        builder.u64(path.is_some().into());
        let Some(path) = path else { return Ok(()) };
        let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut bytes = vec![0; 1 << 20];
        loop {
            let mut filled = 0;
            while filled < bytes.len() {
                let read = file.read(bytes.get_mut(filled..).unwrap_or_default())?;
                if read == 0 {
                    break;
                }
                filled += read;
            }
            builder.bytes(bytes.get(..filled).unwrap_or_default());
            if filled < bytes.len() {
                return Ok(());
            }
        }
    };
    file(Some(&source.accounts))?;
    file(source.transfers.as_deref())?;
    file(source.balances.as_deref())?;
    Ok(builder.digest())
}

/// Takes 128 bits of a digest as an id.
fn first_half(digest: Digest) -> u128 {
    let half = digest.as_bytes().first_chunk().map_or(1, |half| u128::from_le_bytes(*half));
    half.clamp(1, u128::MAX - 1)
}
