//! The ledger's values: books, accounts, transfers, and the requests that create them.

use std::fmt;

use types::{AccountId, Amount, Asset, Code, LedgerId, PaymentId, Span, Timestamp, TransferId};

use crate::{AccountFlags, TransferFlags};

/// What names a transfer. The legs of payments are named apart from the ids that clients choose, so that neither can
/// take, post or void the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKey {
    /// A transfer that a client asked for.
    Client(TransferId),
    /// A transfer that the policy makes for a payment.
    Leg {
        /// The payment.
        payment: PaymentId,
        /// Which of the payment's transfers; the engine numbers them.
        number: u16,
    },
}

impl fmt::Display for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => id.fmt(f),
            Self::Leg { payment, number } => write!(f, "{payment}/{number}"),
        }
    }
}

/// A ledger in the sense of the API: a book of accounts in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Book {
    /// Its number, never 0.
    pub id: LedgerId,
    /// What its amounts count.
    pub asset: Asset,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// A request to open an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewAccount {
    /// Unique over all books.
    pub id: AccountId,
    /// The book it stands in.
    pub ledger: LedgerId,
    /// The client's classification, not 0.
    pub code: Code,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// What it is allowed to do.
    pub flags: AccountFlags,
    /// Its original timestamp in ns, if it is imported; else 0.
    pub timestamp_ns: u64,
    /// Must be 0. Requests of fixed layout can say otherwise, here and below.
    pub reserved: u32,
    /// Must be 0.
    pub debits_pending: Amount,
    /// Must be 0.
    pub debits_posted: Amount,
    /// Must be 0.
    pub credits_pending: Amount,
    /// Must be 0.
    pub credits_posted: Amount,
}

/// An account with its four balances, in minor units of its book's asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Unique over all books.
    pub id: AccountId,
    /// The book it stands in.
    pub ledger: LedgerId,
    /// The client's classification.
    pub code: Code,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// What it is allowed to do now; `closed` comes and goes with closing transfers.
    pub flags: AccountFlags,
    /// When it was opened; unique over accounts and transfers.
    pub timestamp: Timestamp,
    /// Reserved by pending transfers out of it.
    pub debits_pending: Amount,
    /// Moved out of it.
    pub debits_posted: Amount,
    /// Reserved by pending transfers into it.
    pub credits_pending: Amount,
    /// Moved into it.
    pub credits_posted: Amount,
}

impl Account {
    /// The account as it opens: all balances zero.
    pub const fn open(new: &NewAccount, timestamp: Timestamp) -> Self {
        Self {
            id: new.id,
            ledger: new.ledger,
            code: new.code,
            user_data_128: new.user_data_128,
            user_data_64: new.user_data_64,
            user_data_32: new.user_data_32,
            flags: new.flags,
            timestamp,
            debits_pending: Amount::ZERO,
            debits_posted: Amount::ZERO,
            credits_pending: Amount::ZERO,
            credits_posted: Amount::ZERO,
        }
    }

    /// The account with nothing in it.
    pub const fn emptied(&self) -> Self {
        let nothing = Amount::ZERO;
        Self {
            debits_pending: nothing,
            debits_posted: nothing,
            credits_pending: nothing,
            credits_posted: nothing,
            ..*self
        }
    }

    /// Debits, pending and posted.
    pub fn debits(&self) -> Amount {
        self.debits_pending.checked_add(self.debits_posted).expect("LED-6: the debits of an account add up")
    }

    /// Credits, pending and posted.
    pub fn credits(&self) -> Amount {
        self.credits_pending.checked_add(self.credits_posted).expect("LED-6: the credits of an account add up")
    }

    /// How far the posted credits exceed all debits: what a balancing debit moves at most, and what an account whose
    /// debits must not exceed its credits has left.
    pub fn debit_room(&self) -> Amount {
        self.credits_posted.saturating_sub(self.debits())
    }

    /// How far the posted debits exceed all credits: the mirror image of [`Account::debit_room`].
    pub fn credit_room(&self) -> Amount {
        self.debits_posted.saturating_sub(self.credits())
    }

    /// True while nothing but voids moves on it.
    pub const fn is_closed(&self) -> bool {
        self.flags.contains(AccountFlags::CLOSED)
    }
}

/// A request to create a transfer. In a post or void a zero account, ledger, code or user data inherits that of the
/// pending transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTransfer {
    /// Its name. A client's key makes it a client's transfer, a leg's key one of the policy.
    pub key: TransferKey,
    /// The account the amount leaves.
    pub debit: AccountId,
    /// The account the amount reaches.
    pub credit: AccountId,
    /// In minor units. The most that a balancing transfer moves; [`Amount::MAX`] in a post and 0 in a void mean all.
    pub amount: Amount,
    /// The pending transfer that a post or void resolves.
    pub pending: Option<TransferKey>,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// A pending transfer expires this many seconds after its timestamp; 0 means never.
    pub timeout_s: u32,
    /// The book of both accounts.
    pub ledger: LedgerId,
    /// The client's classification, not 0.
    pub code: Code,
    /// What it does.
    pub flags: TransferFlags,
    /// Its original timestamp in ns, if it is imported; else 0.
    pub timestamp_ns: u64,
}

impl NewTransfer {
    /// A request in which everything but the name is zero, to be filled in with `..`.
    pub const fn named(key: TransferKey) -> Self {
        Self {
            key,
            debit: AccountId::new(0),
            credit: AccountId::new(0),
            amount: Amount::ZERO,
            pending: None,
            user_data_128: 0,
            user_data_64: 0,
            user_data_32: 0,
            timeout_s: 0,
            ledger: LedgerId::new(0),
            code: Code::new(0),
            flags: TransferFlags::NONE,
            timestamp_ns: 0,
        }
    }
}

impl NewTransfer {
    /// The pending transfer that it names; the id 0 names none.
    pub(crate) fn pending_key(&self) -> Option<TransferKey> {
        self.pending.filter(|key| *key != TransferKey::Client(TransferId::new(0)))
    }

    /// The transfer that is asked for, with nothing inherited yet.
    pub(crate) fn as_asked(&self, timestamp: Timestamp) -> Transfer {
        Transfer {
            key: self.key,
            debit: self.debit,
            credit: self.credit,
            amount: self.amount,
            pending: self.pending_key(),
            user_data_128: self.user_data_128,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            timeout_s: self.timeout_s,
            ledger: self.ledger,
            code: self.code,
            flags: self.flags,
            timestamp,
        }
    }
}

/// A transfer that was created, complete: what was inherited is filled in, and the amount is what moved. Immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Its name.
    pub key: TransferKey,
    /// The account the amount left.
    pub debit: AccountId,
    /// The account the amount reached.
    pub credit: AccountId,
    /// What moved, was reserved (pending) or was released (void), in minor units.
    pub amount: Amount,
    /// The pending transfer that this one posted or voided.
    pub pending: Option<TransferKey>,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// A pending transfer expires this many seconds after its timestamp; 0 means never.
    pub timeout_s: u32,
    /// The book of both accounts.
    pub ledger: LedgerId,
    /// The client's classification.
    pub code: Code,
    /// What it did.
    pub flags: TransferFlags,
    /// When it was created; unique over accounts and transfers.
    pub timestamp: Timestamp,
}

impl Transfer {
    /// The instant from which a pending transfer counts as expired, if it has a timeout.
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.timeout_s > 0).then(|| self.timestamp.saturating_add(Span::from_secs(self.timeout_s.into())))
    }

    /// True for a transfer that reserves, whatever became of it since.
    pub const fn is_pending(&self) -> bool {
        self.flags.contains(TransferFlags::PENDING)
    }
}

/// What became of a pending transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PendingState {
    /// It still reserves its amount.
    Pending,
    /// All or part of it was posted and the rest released.
    Posted,
    /// It was released by request.
    Voided,
    /// It was released because its time passed.
    Expired,
}

impl PendingState {
    /// What this state of `transfer` reads as at `at`: past its time, pending means expired.
    pub(crate) fn as_of(self, transfer: &Transfer, at: Timestamp) -> Self {
        let passed = transfer.expires_at().is_some_and(|expiry| expiry <= at);
        if self == Self::Pending && passed { Self::Expired } else { self }
    }
}
