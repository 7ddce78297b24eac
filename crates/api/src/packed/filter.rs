//! The filters of the packed queries, in the layout of the reference ledger. All conditions must hold; a condition that
//! is zero does not apply.

use types::Timestamp;

use super::record::{Field, record};

record! {
    /// Which transfers of an account to return, or its balances after which of them.
    AccountFilter 128 {
        /// The account; neither 0 nor 2^128 − 1.
        account_id: u128,
        /// Only records with this value; 0 for any.
        user_data_128: u128,
        /// Only records with this value; 0 for any.
        user_data_64: u64,
        /// Only records with this value; 0 for any.
        user_data_32: u32,
        /// Only records with this value; 0 for any.
        code: u16,
        /// Must be zeros.
        reserved: [u8; 58],
        /// Only records with this timestamp or a later one.
        timestamp_min: u64,
        /// Only records with this timestamp or an earlier one; 0 for any.
        timestamp_max: u64,
        /// The most records to return; not 0. An answer has at most 8,190.
        limit: u32,
        /// [`AccountFilter::DEBITS`], [`AccountFilter::CREDITS`] or both, and [`AccountFilter::REVERSED`].
        flags: u32,
    }
}

record! {
    /// Which accounts or transfers to return.
    QueryFilter 64 {
        /// Only records with this value; 0 for any.
        user_data_128: u128,
        /// Only records with this value; 0 for any.
        user_data_64: u64,
        /// Only records with this value; 0 for any.
        user_data_32: u32,
        /// Only records in this ledger; 0 for any.
        ledger: u32,
        /// Only records with this value; 0 for any.
        code: u16,
        /// Must be zeros.
        reserved: [u8; 6],
        /// Only records with this timestamp or a later one.
        timestamp_min: u64,
        /// Only records with this timestamp or an earlier one; 0 for any.
        timestamp_max: u64,
        /// The most records to return; not 0. An answer has at most 8,190.
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
    /// From the newest to the oldest.
    pub const REVERSED: u32 = 4;

    /// Whether the filter is valid. The answer to an invalid filter is empty.
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
    /// From the newest to the oldest.
    pub const REVERSED: u32 = 1;

    /// Whether the filter is valid. The answer to an invalid filter is empty.
    pub fn is_valid(&self) -> bool {
        times_are_valid(self.timestamp_min, self.timestamp_max)
            && self.limit != 0
            && self.flags & !Self::REVERSED == 0
            && self.reserved == [0; 6]
    }
}

/// Both bounds are timestamps that a ledger can hold, and they do not exclude every timestamp.
const fn times_are_valid(min: u64, max: u64) -> bool {
    let latest = Timestamp::MAX.ns();
    min <= latest && max <= latest && (max == 0 || min <= max)
}
