//! The ledger's values: books, accounts, transfers, and the requests that create them.

use std::fmt;

use types::{AccountId, Amount, Asset, Code, LedgerId, PaymentId, Span, Timestamp, TransferId};

use crate::{AccountFlags, TransferFlags};

/// Names a transfer. The legs of payments are named apart from the ids that clients choose, so that neither can take,
/// post or void the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKey {
    /// A transfer that a client requested.
    Client(TransferId),
    /// A transfer that the policy makes for a payment.
    Leg {
        payment: PaymentId,
        /// Number of the transfer within its payment, assigned by the engine.
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
    /// Never 0.
    pub id: LedgerId,
    pub asset: Asset,
    pub opened_at: Timestamp,
}

/// A request to open an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewAccount {
    /// Unique across all books.
    pub id: AccountId,
    /// The book that it belongs to.
    pub ledger: LedgerId,
    /// The client's own classification; not 0.
    pub code: Code,
    /// For the client's own use, like the next two fields.
    pub user_data_128: u128,
    pub user_data_64: u64,
    pub user_data_32: u32,
    pub flags: AccountFlags,
    /// The original timestamp in ns if the account is imported, otherwise 0.
    pub timestamp_ns: u64,
    /// Must be 0, and so must the balances below. A packed request has these fields, so it can violate this.
    pub reserved: u32,
    pub debits_pending: Amount,
    pub debits_posted: Amount,
    pub credits_pending: Amount,
    pub credits_posted: Amount,
}

/// An account with its four balances, in minor units of its book's asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Unique across all books.
    pub id: AccountId,
    /// The book that it belongs to.
    pub ledger: LedgerId,
    /// The client's own classification.
    pub code: Code,
    /// For the client's own use, like the next two fields.
    pub user_data_128: u128,
    pub user_data_64: u64,
    pub user_data_32: u32,
    /// The flags as they are now. Closing transfers set and remove `closed`.
    pub flags: AccountFlags,
    /// When it was opened. Unique among accounts and transfers.
    pub timestamp: Timestamp,
    /// Sum reserved by pending transfers out of the account.
    pub debits_pending: Amount,
    /// Sum of posted transfers out of the account.
    pub debits_posted: Amount,
    /// Sum reserved by pending transfers into the account.
    pub credits_pending: Amount,
    /// Sum of posted transfers into the account.
    pub credits_posted: Amount,
}

impl Account {
    /// The account when it is opened, with all balances zero.
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

    /// The same account with all balances zero.
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

    /// Sum of pending and posted debits.
    pub fn debits(&self) -> Amount {
        self.debits_pending.checked_add(self.debits_posted).expect("LED-6: the debits of an account add up")
    }

    /// Sum of pending and posted credits.
    pub fn credits(&self) -> Amount {
        self.credits_pending.checked_add(self.credits_posted).expect("LED-6: the credits of an account add up")
    }

    /// The amount by which posted credits exceed all debits. A balancing debit moves at most this much, and an account
    /// whose debits must not exceed its credits has this much left.
    pub fn debit_room(&self) -> Amount {
        self.credits_posted.saturating_sub(self.debits())
    }

    /// The amount by which posted debits exceed all credits: the mirror image of [`Account::debit_room`].
    pub fn credit_room(&self) -> Amount {
        self.debits_posted.saturating_sub(self.credits())
    }

    /// Whether the account accepts nothing but voids.
    pub const fn is_closed(&self) -> bool {
        self.flags.contains(AccountFlags::CLOSED)
    }
}

/// A request to create a transfer. In a post or void, a zero account, ledger, code or user data is taken from the
/// pending transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTransfer {
    /// A client's key makes this a client's transfer, a leg's key makes it a leg of a payment.
    pub key: TransferKey,
    /// The account that the amount leaves.
    pub debit: AccountId,
    /// The account that the amount reaches.
    pub credit: AccountId,
    /// In minor units. A balancing transfer moves at most this much. [`Amount::MAX`] in a post and 0 in a void mean the
    /// whole pending amount.
    pub amount: Amount,
    /// The pending transfer that a post or void resolves.
    pub pending: Option<TransferKey>,
    /// For the client's own use, like the next two fields.
    pub user_data_128: u128,
    pub user_data_64: u64,
    pub user_data_32: u32,
    /// A pending transfer expires this many seconds after its timestamp. 0 means never.
    pub timeout_s: u32,
    /// The book of both accounts.
    pub ledger: LedgerId,
    /// The client's own classification; not 0.
    pub code: Code,
    pub flags: TransferFlags,
    /// The original timestamp in ns if the transfer is imported, otherwise 0.
    pub timestamp_ns: u64,
}

impl NewTransfer {
    /// A request with this key and zeros everywhere else, to be completed with `..`.
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
    /// The pending transfer that the request names. The id 0 names none.
    pub(crate) fn pending_key(&self) -> Option<TransferKey> {
        self.pending.filter(|key| *key != TransferKey::Client(TransferId::new(0)))
    }

    /// The transfer as requested, before anything is taken from a pending transfer.
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

/// A transfer that was created. What it took from a pending transfer is filled in, and the amount is what moved.
/// Immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    pub key: TransferKey,
    /// The account that the amount left.
    pub debit: AccountId,
    /// The account that the amount reached.
    pub credit: AccountId,
    /// The amount that was moved, reserved (pending) or released (void), in minor units.
    pub amount: Amount,
    /// The pending transfer that this one posted or voided.
    pub pending: Option<TransferKey>,
    /// For the client's own use, like the next two fields.
    pub user_data_128: u128,
    pub user_data_64: u64,
    pub user_data_32: u32,
    /// A pending transfer expires this many seconds after its timestamp. 0 means never.
    pub timeout_s: u32,
    /// The book of both accounts.
    pub ledger: LedgerId,
    /// The client's own classification.
    pub code: Code,
    pub flags: TransferFlags,
    /// When it was created. Unique among accounts and transfers.
    pub timestamp: Timestamp,
}

impl Transfer {
    /// The instant from which a pending transfer counts as expired, or `None` without a timeout.
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.timeout_s > 0).then(|| self.timestamp.saturating_add(Span::from_secs(self.timeout_s.into())))
    }

    /// Whether the transfer reserved its amount, whatever became of it since.
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
    /// It was released on request.
    Voided,
    /// It was released because its time passed.
    Expired,
}

impl PendingState {
    /// This state of `transfer` as seen at `at`: a pending transfer whose time has passed is expired.
    pub(crate) fn as_of(self, transfer: &Transfer, at: Timestamp) -> Self {
        let passed = transfer.expires_at().is_some_and(|expiry| expiry <= at);
        if self == Self::Pending && passed { Self::Expired } else { self }
    }
}
