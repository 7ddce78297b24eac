//! What the query routes are asked: filters in the layout of the reference ledger. All conditions must hold; a zero
//! disables one.

use super::record::{Field, record};

record! {
    /// Which transfers of an account, or which of its balances.
    AccountFilter 128 {
        /// The account; neither 0 nor 2^128 − 1.
        account_id: u128,
        /// Only with this, unless 0.
        user_data_128: u128,
        /// Only with this, unless 0.
        user_data_64: u64,
        /// Only with this, unless 0.
        user_data_32: u32,
        /// Only with this, unless 0.
        code: u16,
        /// Zeros.
        reserved: [u8; 58],
        /// Only from this timestamp on.
        timestamp_min: u64,
        /// Only up to this timestamp, unless 0.
        timestamp_max: u64,
        /// Results at most; not 0. An answer has at most 8,190.
        limit: u32,
        /// [`AccountFilter::DEBITS`], [`AccountFilter::CREDITS`] or both, and [`AccountFilter::REVERSED`].
        flags: u32,
    }
}

record! {
    /// Which accounts or transfers.
    QueryFilter 64 {
        /// Only with this, unless 0.
        user_data_128: u128,
        /// Only with this, unless 0.
        user_data_64: u64,
        /// Only with this, unless 0.
        user_data_32: u32,
        /// Only in this ledger, unless 0.
        ledger: u32,
        /// Only with this, unless 0.
        code: u16,
        /// Zeros.
        reserved: [u8; 6],
        /// Only from this timestamp on.
        timestamp_min: u64,
        /// Only up to this timestamp, unless 0.
        timestamp_max: u64,
        /// Results at most; not 0. An answer has at most 8,190.
        limit: u32,
        /// 0 or [`QueryFilter::REVERSED`].
        flags: u32,
    }
}

impl AccountFilter {
    /// Transfers out of the account.
    pub const DEBITS: u32 = 1;
    /// Transfers into the account.
    pub const CREDITS: u32 = 2;
    /// The newest first.
    pub const REVERSED: u32 = 4;

    /// Whether it can be answered; the answer to one that cannot is empty.
    pub fn is_valid(&self) -> bool {
        let sides = self.flags & (Self::DEBITS | Self::CREDITS);
        !matches!(self.account_id, 0 | u128::MAX)
            && times_are_valid(self.timestamp_min, self.timestamp_max)
            && self.limit != 0
            && sides != 0
            && self.flags & !(sides | Self::REVERSED) == 0
            && self.reserved == [0; 58]
    }
}

impl QueryFilter {
    /// The newest first.
    pub const REVERSED: u32 = 1;

    /// Whether it can be answered; the answer to one that cannot is empty.
    pub fn is_valid(&self) -> bool {
        times_are_valid(self.timestamp_min, self.timestamp_max)
            && self.limit != 0
            && self.flags & !Self::REVERSED == 0
            && self.reserved == [0; 6]
    }
}

/// No instant is 2^64 − 1, and the bounds leave something between them.
const fn times_are_valid(min: u64, max: u64) -> bool {
    min != u64::MAX && max != u64::MAX && (max == 0 || min <= max)
}
