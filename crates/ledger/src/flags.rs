//! The flags of accounts and transfers, with their permanent bits and names.

use std::ops::BitOr;

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $place:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(u16);

        impl $name {
            pub const NONE: Self = Self(0);
            $($(#[$bit_doc])* pub const $bit: Self = Self(1 << $place);)*
            /// All flags with the names that requests and answers use.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$bit),)*];

            /// Keeps bits that have no meaning. A request that sets them is refused.
            pub const fn from_bits(bits: u16) -> Self {
                Self(bits)
            }

            pub const fn bits(self) -> u16 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether at least one flag of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The union of both.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These flags without those of `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }
    };
}

flags! {
    /// What an account may do, with the bit values of the reference ledger.
    AccountFlags {
        /// The account succeeds or fails together with the next one in its batch.
        LINKED = 0 "linked",
        /// Debits, pending ones included, stay within the posted credits.
        DEBITS_MUST_NOT_EXCEED_CREDITS = 1 "debits_must_not_exceed_credits",
        /// Credits, pending ones included, stay within the posted debits.
        CREDITS_MUST_NOT_EXCEED_DEBITS = 2 "credits_must_not_exceed_debits",
        /// Keeps the balance after every transfer.
        HISTORY = 3 "history",
        /// The account was imported from another system with its original timestamp.
        IMPORTED = 4 "imported",
        /// Allows nothing except voiding pending transfers.
        CLOSED = 5 "closed",
        /// Only legs of payments move money here, and clients' transfers that a second principal approved. This flag is Finaira's
        /// own.
        POLICY_ONLY = 15 "policy_only",
    }
}

flags! {
    /// What a transfer does, with the bit values of the reference ledger.
    TransferFlags {
        /// The transfer succeeds or fails together with the next one in its batch.
        LINKED = 0 "linked",
        /// Reserves the amount until it is posted, voided or expires.
        PENDING = 1 "pending",
        /// Posts all or part of a pending transfer and releases the rest.
        POST_PENDING_TRANSFER = 2 "post_pending_transfer",
        /// Releases all of a pending transfer.
        VOID_PENDING_TRANSFER = 3 "void_pending_transfer",
        /// Moves at most the amount by which the debit account's posted credits exceed its debits.
        BALANCING_DEBIT = 4 "balancing_debit",
        /// Moves at most the amount by which the credit account's posted debits exceed its credits.
        BALANCING_CREDIT = 5 "balancing_credit",
        /// Closes the debit account until this pending transfer is voided or expires.
        CLOSING_DEBIT = 6 "closing_debit",
        /// Closes the credit account until this pending transfer is voided or expires.
        CLOSING_CREDIT = 7 "closing_credit",
        /// The transfer was imported from another system with its original timestamp.
        IMPORTED = 8 "imported",
    }
}

flags! {
    /// The fields by which the transfers of a book can be found.
    IndexedFields {
        USER_DATA_128 = 0 "user_data_128",
        USER_DATA_64 = 1 "user_data_64",
        USER_DATA_32 = 2 "user_data_32",
        /// Finds all transfers of the book.
        LEDGER = 3 "ledger",
        CODE = 4 "code",
    }
}
