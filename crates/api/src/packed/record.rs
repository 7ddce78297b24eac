//! The layouts of the packed records: the reference encoder and decoder. It depends on the ledger's types only.

use ledger::{Account, NewAccount, NewTransfer, Transfer, TransferKey};
use types::{AccountId, Amount, Code, LedgerId, TransferId};

/// A field in little-endian order. No padding comes before or after it.
pub(super) trait Field: Sized {
    const BYTES: usize;
    fn read(from: &mut &[u8]) -> Self;
    fn write(self, into: &mut &mut [u8]);
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Field for $number {
            const BYTES: usize = size_of::<Self>();

            #[inline(always)]
            fn read(from: &mut &[u8]) -> Self {
                Self::from_le_bytes(Field::read(from))
            }

            #[inline(always)]
            fn write(self, into: &mut &mut [u8]) {
                self.to_le_bytes().write(into);
            }
        })*
    };
}

numbers! { u16 u32 u64 u128 }

impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;

    #[inline(always)]
    fn read(from: &mut &[u8]) -> Self {
        let (bytes, rest) = from.split_first_chunk().expect("API-2: the fields of a record add up to its size");
        *from = rest;
        *bytes
    }

    #[inline(always)]
    fn write(self, into: &mut &mut [u8]) {
        let whole = std::mem::take(into);
        let (bytes, rest) = whole.split_first_chunk_mut().expect("API-2: the fields of a record add up to its size");
        *bytes = self;
        *into = rest;
    }
}

/// Declares a record: its size in bytes, and its fields in order. There is no padding between them.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident $bytes:literal { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl $name {
            /// The size of a record.
            pub const BYTES: usize = $bytes;

            #[inline]
            pub fn decode(bytes: &[u8; $bytes]) -> Self {
                const { assert!($bytes == 0 $(+ <$ty as Field>::BYTES)*) };
                let mut rest: &[u8] = bytes;
                Self { $($field: Field::read(&mut rest),)* }
            }

            #[inline]
            pub fn encode(&self) -> [u8; $bytes] {
                let mut bytes = [0; $bytes];
                self.encode_into(&mut bytes);
                bytes
            }

            /// Writes the record over the content of `bytes`.
            #[inline]
            pub fn encode_into(&self, bytes: &mut [u8; $bytes]) {
                let mut rest: &mut [u8] = bytes;
                $(self.$field.write(&mut rest);)*
            }
        }
    };
}
pub(super) use record;

record! {
    /// An account, as a request or an answer contains it.
    AccountRecord 128 {
        /// Unique across all ledgers; neither 0 nor 2^128 − 1.
        id: u128,
        /// In minor units; 0 in a request.
        debits_pending: u128,
        /// In minor units; 0 in a request.
        debits_posted: u128,
        /// In minor units; 0 in a request.
        credits_pending: u128,
        /// In minor units; 0 in a request.
        credits_posted: u128,
        /// For the client's own use.
        user_data_128: u128,
        /// For the client's own use.
        user_data_64: u64,
        /// For the client's own use.
        user_data_32: u32,
        /// Always 0.
        reserved: u32,
        /// The account's ledger; not 0.
        ledger: u32,
        /// The client's classification; not 0.
        code: u16,
        /// The bits of [`ledger::AccountFlags`].
        flags: u16,
        /// When the account was opened, in nanoseconds since 1970. In a request 0, unless the account is imported.
        timestamp: u64,
    }
}

record! {
    /// A transfer, as a request or an answer contains it.
    TransferRecord 128 {
        /// Unique across all ledgers; neither 0 nor 2^128 − 1.
        id: u128,
        /// The account that the amount leaves.
        debit_account_id: u128,
        /// The account that the amount reaches.
        credit_account_id: u128,
        /// In minor units.
        amount: u128,
        /// The pending transfer that this transfer posts or voids; otherwise 0.
        pending_id: u128,
        /// For the client's own use.
        user_data_128: u128,
        /// For the client's own use.
        user_data_64: u64,
        /// For the client's own use.
        user_data_32: u32,
        /// The seconds after which a pending transfer expires; 0 for never.
        timeout: u32,
        /// The ledger of both accounts; not 0.
        ledger: u32,
        /// The client's classification; not 0.
        code: u16,
        /// The bits of [`ledger::TransferFlags`].
        flags: u16,
        /// When the transfer was created, in nanoseconds since 1970. In a request 0, unless the transfer is imported.
        timestamp: u64,
    }
}

record! {
    /// The result of one event of a batch.
    ResultRecord 16 {
        /// In nanoseconds since 1970: when the account or transfer was created, by this event or earlier; for a
        /// refusal, when the event was judged.
        timestamp: u64,
        /// [`ResultRecord::CREATED`], or the permanent number of a status in the table of the operation.
        status: u32,
        /// Always 0.
        reserved: u32,
    }
}

impl ResultRecord {
    /// The status if this event created the account or transfer.
    pub const CREATED: u32 = u32::MAX;
    /// The status if an equal event created the transfer earlier.
    pub const TRANSFER_EXISTS: u32 = wide(ledger::TransferStatus::Exists.number());
    /// The status if an equal event opened the account earlier.
    pub const ACCOUNT_EXISTS: u32 = wide(ledger::AccountStatus::Exists.number());
}

const fn wide(number: u16) -> u32 {
    number as u32
}

record! {
    /// The balances of an account, in minor units. If a batch asks for balances, two of these follow the result of each
    /// transfer: those of the debit account, then those of the credit account, right after the event. They are zeros if
    /// the transfer was refused.
    Balances 64 {
        /// Reserved by pending transfers out of the account.
        debits_pending: u128,
        /// Moved out of the account.
        debits_posted: u128,
        /// Reserved by pending transfers into the account.
        credits_pending: u128,
        /// Moved into the account.
        credits_posted: u128,
    }
}

record! {
    /// The balances of an account right after one of its transfers, in minor units.
    BalanceRecord 128 {
        /// Reserved by pending transfers out of the account.
        debits_pending: u128,
        /// Moved out of the account.
        debits_posted: u128,
        /// Reserved by pending transfers into the account.
        credits_pending: u128,
        /// Moved into the account.
        credits_posted: u128,
        /// The timestamp of the transfer.
        timestamp: u64,
        /// Always zeros.
        reserved: [u8; 56],
    }
}

impl AccountRecord {
    /// The account that the client wants to open.
    #[inline]
    pub const fn to_new(&self) -> NewAccount {
        NewAccount {
            id: AccountId::new(self.id),
            ledger: LedgerId::new(self.ledger),
            code: Code::new(self.code),
            user_data_128: self.user_data_128,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            flags: ledger::AccountFlags::from_bits(self.flags),
            timestamp_ns: self.timestamp,
            reserved: self.reserved,
            debits_pending: Amount::new(self.debits_pending),
            debits_posted: Amount::new(self.debits_posted),
            credits_pending: Amount::new(self.credits_pending),
            credits_posted: Amount::new(self.credits_posted),
        }
    }
}

impl From<&NewAccount> for AccountRecord {
    /// The record that a client sends.
    #[inline]
    fn from(new: &NewAccount) -> Self {
        let account = Account::open(new, types::Timestamp::from_ns(new.timestamp_ns));
        Self { reserved: new.reserved, ..Self::from(&account) }
    }
}

impl From<&Account> for AccountRecord {
    #[inline]
    fn from(account: &Account) -> Self {
        Self {
            id: account.id.get(),
            debits_pending: account.debits_pending.get(),
            debits_posted: account.debits_posted.get(),
            credits_pending: account.credits_pending.get(),
            credits_posted: account.credits_posted.get(),
            user_data_128: account.user_data_128,
            user_data_64: account.user_data_64,
            user_data_32: account.user_data_32,
            reserved: 0,
            ledger: account.ledger.get(),
            code: account.code.get(),
            flags: account.flags.bits(),
            timestamp: account.timestamp.ns(),
        }
    }
}

impl TransferRecord {
    /// The transfer that the client wants to create.
    #[inline]
    pub const fn to_new(&self) -> NewTransfer {
        let pending = match self.pending_id {
            0 => None,
            id => Some(TransferKey::Client(TransferId::new(id))),
        };
        NewTransfer {
            key: TransferKey::Client(TransferId::new(self.id)),
            debit: AccountId::new(self.debit_account_id),
            credit: AccountId::new(self.credit_account_id),
            amount: Amount::new(self.amount),
            pending,
            user_data_128: self.user_data_128,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            timeout_s: self.timeout,
            ledger: LedgerId::new(self.ledger),
            code: Code::new(self.code),
            flags: ledger::TransferFlags::from_bits(self.flags),
            timestamp_ns: self.timestamp,
        }
    }
}

impl From<&NewTransfer> for TransferRecord {
    /// The record that a client sends.
    #[inline]
    fn from(new: &NewTransfer) -> Self {
        let id = |key| match key {
            TransferKey::Client(id) => id.get(),
            TransferKey::Leg { .. } => 0,
        };
        Self {
            id: id(new.key),
            debit_account_id: new.debit.get(),
            credit_account_id: new.credit.get(),
            amount: new.amount.get(),
            pending_id: new.pending.map_or(0, id),
            user_data_128: new.user_data_128,
            user_data_64: new.user_data_64,
            user_data_32: new.user_data_32,
            timeout: new.timeout_s,
            ledger: new.ledger.get(),
            code: new.code.get(),
            flags: new.flags.bits(),
            timestamp: new.timestamp_ns,
        }
    }
}

impl From<&Transfer> for TransferRecord {
    /// A leg of a payment has no id that a client chose, so its id is shown as 0.
    #[inline]
    fn from(transfer: &Transfer) -> Self {
        let id = |key| match key {
            TransferKey::Client(id) => id.get(),
            TransferKey::Leg { .. } => 0,
        };
        Self {
            id: id(transfer.key),
            debit_account_id: transfer.debit.get(),
            credit_account_id: transfer.credit.get(),
            amount: transfer.amount.get(),
            pending_id: transfer.pending.map_or(0, id),
            user_data_128: transfer.user_data_128,
            user_data_64: transfer.user_data_64,
            user_data_32: transfer.user_data_32,
            timeout: transfer.timeout_s,
            ledger: transfer.ledger.get(),
            code: transfer.code.get(),
            flags: transfer.flags.bits(),
            timestamp: transfer.timestamp.ns(),
        }
    }
}

impl From<&Account> for Balances {
    #[inline]
    fn from(account: &Account) -> Self {
        Self {
            debits_pending: account.debits_pending.get(),
            debits_posted: account.debits_posted.get(),
            credits_pending: account.credits_pending.get(),
            credits_posted: account.credits_posted.get(),
        }
    }
}
