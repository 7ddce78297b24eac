//! The permanent status codes of books, accounts, transfers and changes.

use std::fmt;

/// Declares a table of statuses in order of precedence. Each line has a variant, its permanent number, its stable name
/// and its sentence.
macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal $text:literal $sentence:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $sentence] $variant,)*
        }

        impl $name {
            /// All statuses, in the order in which they are checked.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code that the API shows.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The permanent number within this operation's table.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $sentence,)*
                })
            }
        }
    };
}

statuses! {
    /// Why a book was not opened. All of these are Finaira's own.
    BookStatus {
        IdMustNotBeZero = 1000 "id_must_not_be_zero" "the ledger id is 0",
        ExistsWithDifferentAsset = 1001 "exists_with_different_asset" "the ledger exists with a different asset",
        Exists = 1002 "exists" "the ledger exists with the same asset",
    }
}

statuses! {
    /// Why an account was not opened. Append, never renumber. The numbers of Finaira's own statuses start at 1000.
    AccountStatus {
        LinkedEventChainOpen = 2 "linked_event_chain_open" "the last account of the batch is flagged `linked`, so its chain has no end",
        LinkedEventFailed = 1 "linked_event_failed" "another account of its chain was refused",
        LinkedChainTooLong = 1002 "linked_chain_too_long" "the chain has more than 4000 events, and this is the first one past the limit",
        ImportedEventExpected = 22 "imported_event_expected" "the batch is an import and this account is not flagged `imported`",
        ImportedEventNotExpected = 23 "imported_event_not_expected" "the batch is not an import and this account is flagged `imported`",
        TimestampMustBeZero = 3 "timestamp_must_be_zero" "only an imported account may have a timestamp",
        ImportedEventTimestampOutOfRange = 24 "imported_event_timestamp_out_of_range" "the imported timestamp is 0 or after the year 2262",
        ImportedEventTimestampMustNotAdvance = 25 "imported_event_timestamp_must_not_advance" "the imported timestamp is not in the past",
        ReservedField = 4 "reserved_field" "a reserved field is not 0",
        ReservedFlag = 5 "reserved_flag" "a flag is set that accounts do not support",
        IdMustNotBeZero = 6 "id_must_not_be_zero" "the account id is 0",
        IdMustNotBeIntMax = 7 "id_must_not_be_int_max" "the account id is 2^128 - 1",
        ExistsWithDifferentFlags = 15 "exists_with_different_flags" "the account exists with different flags",
        ExistsWithDifferentUserData128 = 16 "exists_with_different_user_data_128" "the account exists with a different user_data_128",
        ExistsWithDifferentUserData64 = 17 "exists_with_different_user_data_64" "the account exists with a different user_data_64",
        ExistsWithDifferentUserData32 = 18 "exists_with_different_user_data_32" "the account exists with a different user_data_32",
        ExistsWithDifferentLedger = 19 "exists_with_different_ledger" "the account exists in a different ledger",
        ExistsWithDifferentCode = 20 "exists_with_different_code" "the account exists with a different code",
        Exists = 21 "exists" "the same account exists",
        IdReservedByImport = 1004 "id_reserved_by_import" "an import that is not open yet reserves this id",
        FlagsAreMutuallyExclusive = 8 "flags_are_mutually_exclusive" "an account can have a debit limit or a credit limit, not both",
        DebitsPendingMustBeZero = 9 "debits_pending_must_be_zero" "a new account must have no pending debits",
        DebitsPostedMustBeZero = 10 "debits_posted_must_be_zero" "a new account must have no posted debits",
        CreditsPendingMustBeZero = 11 "credits_pending_must_be_zero" "a new account must have no pending credits",
        CreditsPostedMustBeZero = 12 "credits_posted_must_be_zero" "a new account must have no posted credits",
        LedgerMustNotBeZero = 13 "ledger_must_not_be_zero" "the ledger of the account is 0",
        LedgerNotFound = 1001 "ledger_not_found" "the ledger of the account does not exist",
        CodeMustNotBeZero = 14 "code_must_not_be_zero" "the code of the account is 0",
        ImportedEventTimestampMustNotPassEvent = 1003 "imported_event_timestamp_must_not_pass_event" "the imported timestamp is later than the time of the import itself",
        ImportedEventTimestampMustNotRegress = 26 "imported_event_timestamp_must_not_regress" "the imported timestamp is not after those of earlier accounts, or is that of a transfer",
    }
}

statuses! {
    /// Why a transfer was not created. Append, never renumber. The numbers of Finaira's own statuses start at 1000.
    TransferStatus {
        LinkedEventChainOpen = 2 "linked_event_chain_open" "the last transfer of the batch is flagged `linked`, so its chain has no end",
        LinkedEventFailed = 1 "linked_event_failed" "another transfer of its chain was refused",
        LinkedChainTooLong = 1001 "linked_chain_too_long" "the chain has more than 4000 events, and this is the first one past the limit",
        ImportedEventExpected = 56 "imported_event_expected" "the batch is an import and this transfer is not flagged `imported`",
        ImportedEventNotExpected = 57 "imported_event_not_expected" "the batch is not an import and this transfer is flagged `imported`",
        TimestampMustBeZero = 3 "timestamp_must_be_zero" "only an imported transfer may have a timestamp",
        ImportedEventTimestampOutOfRange = 58 "imported_event_timestamp_out_of_range" "the imported timestamp is 0 or after the year 2262",
        ImportedEventTimestampMustNotAdvance = 59 "imported_event_timestamp_must_not_advance" "the imported timestamp is not in the past",
        ReservedFlag = 4 "reserved_flag" "a flag is set that transfers do not support",
        IdMustNotBeZero = 5 "id_must_not_be_zero" "the transfer id is 0",
        IdMustNotBeIntMax = 6 "id_must_not_be_int_max" "the transfer id is 2^128 - 1",
        ExistsWithDifferentFlags = 36 "exists_with_different_flags" "the transfer exists with different flags",
        ExistsWithDifferentPendingId = 40 "exists_with_different_pending_id" "the transfer exists with a different pending_id",
        ExistsWithDifferentTimeout = 44 "exists_with_different_timeout" "the transfer exists with a different timeout",
        ExistsWithDifferentDebitAccountId = 37 "exists_with_different_debit_account_id" "the transfer exists with a different debit account",
        ExistsWithDifferentCreditAccountId = 38 "exists_with_different_credit_account_id" "the transfer exists with a different credit account",
        ExistsWithDifferentAmount = 39 "exists_with_different_amount" "the transfer exists with a different amount",
        ExistsWithDifferentUserData128 = 41 "exists_with_different_user_data_128" "the transfer exists with a different user_data_128",
        ExistsWithDifferentUserData64 = 42 "exists_with_different_user_data_64" "the transfer exists with a different user_data_64",
        ExistsWithDifferentUserData32 = 43 "exists_with_different_user_data_32" "the transfer exists with a different user_data_32",
        ExistsWithDifferentLedger = 67 "exists_with_different_ledger" "the transfer exists in a different ledger",
        ExistsWithDifferentCode = 45 "exists_with_different_code" "the transfer exists with a different code",
        Exists = 46 "exists" "the same transfer exists",
        IdAlreadyFailed = 68 "id_already_failed" "a transfer with this id was refused before, which is final; use another id",
        IdAlreadyScheduled = 1006 "id_already_scheduled" "a transfer with this id is already scheduled",
        IdReservedByImport = 1011 "id_reserved_by_import" "an import that is not open yet reserves this id",
        ImportTakesSinglePhaseOnly = 1012 "import_takes_single_phase_only" "an import accepts only single-phase transfers: not pending, posting, voiding, balancing or closing, and without a timeout",
        ScheduledTransferMustStandAlone = 1007 "scheduled_transfer_must_stand_alone" "only a client's single transfer can be scheduled: not linked, not imported, not a leg of a payment",
        ScheduledTimeMustBeLater = 1008 "scheduled_time_must_be_later" "the scheduled time of a transfer must be in the future",
        ScheduledTransferNotFound = 1009 "scheduled_transfer_not_found" "no transfer with this id is scheduled",
        ScheduledTransferCancelled = 1010 "scheduled_transfer_cancelled" "the transfer was cancelled before its time came",
        FlagsAreMutuallyExclusive = 7 "flags_are_mutually_exclusive" "a transfer can either post or void, and then it cannot be pending, balancing or closing",
        DebitAccountIdMustNotBeZero = 8 "debit_account_id_must_not_be_zero" "the debit account id is 0",
        DebitAccountIdMustNotBeIntMax = 9 "debit_account_id_must_not_be_int_max" "the debit account id is 2^128 - 1",
        CreditAccountIdMustNotBeZero = 10 "credit_account_id_must_not_be_zero" "the credit account id is 0",
        CreditAccountIdMustNotBeIntMax = 11 "credit_account_id_must_not_be_int_max" "the credit account id is 2^128 - 1",
        AccountsMustBeDifferent = 12 "accounts_must_be_different" "the debit and the credit account are the same",
        PendingIdMustBeZero = 13 "pending_id_must_be_zero" "only a transfer that posts or voids may name a pending transfer",
        PendingIdMustNotBeZero = 14 "pending_id_must_not_be_zero" "a transfer that posts or voids must name a pending transfer",
        PendingIdMustNotBeIntMax = 15 "pending_id_must_not_be_int_max" "the id of the pending transfer is 2^128 - 1",
        PendingIdMustBeDifferent = 16 "pending_id_must_be_different" "a transfer cannot post or void itself",
        TimeoutReservedForPendingTransfer = 17 "timeout_reserved_for_pending_transfer" "only a pending transfer may have a timeout",
        ClosingTransferMustBePending = 64 "closing_transfer_must_be_pending" "a transfer that closes an account must be pending",
        LedgerMustNotBeZero = 19 "ledger_must_not_be_zero" "the ledger of the transfer is 0",
        CodeMustNotBeZero = 20 "code_must_not_be_zero" "the code of the transfer is 0",
        DebitAccountNotFound = 21 "debit_account_not_found" "the debit account does not exist",
        CreditAccountNotFound = 22 "credit_account_not_found" "the credit account does not exist",
        AccountsMustHaveTheSameLedger = 23 "accounts_must_have_the_same_ledger" "the two accounts are in different ledgers",
        TransferMustHaveTheSameLedgerAsAccounts = 24 "transfer_must_have_the_same_ledger_as_accounts" "the transfer is in a different ledger than its accounts",
        AccountIsPolicyOnly = 1000 "account_is_policy_only" "only payments, and transfers that a second principal approved, move money on this account",
        PendingTransferNotFound = 25 "pending_transfer_not_found" "the pending transfer does not exist",
        PendingTransferNotPending = 26 "pending_transfer_not_pending" "the transfer to post or void is not a pending transfer",
        PendingTransferHasDifferentDebitAccountId = 27 "pending_transfer_has_different_debit_account_id" "the pending transfer has a different debit account",
        PendingTransferHasDifferentCreditAccountId = 28 "pending_transfer_has_different_credit_account_id" "the pending transfer has a different credit account",
        PendingTransferHasDifferentLedger = 29 "pending_transfer_has_different_ledger" "the pending transfer is in a different ledger",
        PendingTransferHasDifferentCode = 30 "pending_transfer_has_different_code" "the pending transfer has a different code",
        ExceedsPendingTransferAmount = 31 "exceeds_pending_transfer_amount" "the amount is more than the pending transfer reserved",
        PendingTransferHasDifferentAmount = 32 "pending_transfer_has_different_amount" "the amount of a void must be 0 or exactly the pending amount",
        PendingTransferAlreadyPosted = 33 "pending_transfer_already_posted" "the pending transfer was already posted",
        PendingTransferAlreadyVoided = 34 "pending_transfer_already_voided" "the pending transfer was already voided",
        PendingTransferExpired = 35 "pending_transfer_expired" "the pending transfer has expired",
        ImportedEventMustNotResolveTimedTransfer = 1003 "imported_event_must_not_resolve_timed_transfer" "an imported transfer cannot post or void one that has a timeout",
        ImportedEventTimestampMustNotPassEvent = 1002 "imported_event_timestamp_must_not_pass_event" "the imported timestamp is later than the time of the import itself",
        ImportedEventTimestampMustNotRegress = 60 "imported_event_timestamp_must_not_regress" "the imported timestamp is not after those of earlier transfers, or is that of an account",
        ImportedEventTimestampMustPostdateDebitAccount = 61 "imported_event_timestamp_must_postdate_debit_account" "the imported timestamp is not after that of the debit account",
        ImportedEventTimestampMustPostdateCreditAccount = 62 "imported_event_timestamp_must_postdate_credit_account" "the imported timestamp is not after that of the credit account",
        ImportedEventTimeoutMustBeZero = 63 "imported_event_timeout_must_be_zero" "an imported transfer must have no timeout",
        DebitAccountAlreadyClosed = 65 "debit_account_already_closed" "the debit account is closed",
        CreditAccountAlreadyClosed = 66 "credit_account_already_closed" "the credit account is closed",
        OverflowsDebitsPending = 47 "overflows_debits_pending" "the pending debits of the debit account would be more than 2^128 - 1",
        OverflowsCreditsPending = 48 "overflows_credits_pending" "the pending credits of the credit account would be more than 2^128 - 1",
        OverflowsDebitsPosted = 49 "overflows_debits_posted" "the posted debits of the debit account would be more than 2^128 - 1",
        OverflowsCreditsPosted = 50 "overflows_credits_posted" "the posted credits of the credit account would be more than 2^128 - 1",
        OverflowsDebits = 51 "overflows_debits" "the debits of the debit account, pending and posted, would be more than 2^128 - 1",
        OverflowsCredits = 52 "overflows_credits" "the credits of the credit account, pending and posted, would be more than 2^128 - 1",
        OverflowsTimeout = 53 "overflows_timeout" "the pending transfer would expire after the year 2262",
        ExceedsCredits = 54 "exceeds_credits" "the debits of the debit account would exceed its posted credits",
        ExceedsDebits = 55 "exceeds_debits" "the credits of the credit account would exceed its posted debits",
        ExceedsMinBalance = 1004 "exceeds_min_balance" "the balance of the debit account would fall below its minimum",
        ExceedsMaxBalance = 1005 "exceeds_max_balance" "the balance of the credit account would rise above its maximum",
    }
}

statuses! {
    /// Why an account, transfer, payment or book was not changed. All of these are Finaira's own.
    ChangeStatus {
        AccountNotFound = 1000 "account_not_found" "the account does not exist",
        TransferNotFound = 1001 "transfer_not_found" "the transfer does not exist",
        LedgerNotFound = 1002 "ledger_not_found" "the ledger does not exist",
        MinBalanceExceedsMaxBalance = 1003 "min_balance_exceeds_max_balance" "the minimum balance is above the maximum balance",
        AddressAlreadyTaken = 1004 "address_already_taken" "another account has this address",
        AddressMustNotChange = 1005 "address_must_not_change" "the account already has another address",
        MetadataKeyTooLong = 1006 "metadata_key_too_long" "a metadata key is empty or longer than 64 bytes",
        MetadataValueTooLong = 1007 "metadata_value_too_long" "a metadata value is longer than 1024 bytes",
        MetadataHasTooManyKeys = 1008 "metadata_has_too_many_keys" "an account, transfer or payment can have at most 64 metadata keys",
        ReservedFlag = 1009 "reserved_flag" "one of the fields cannot be indexed",
    }
}

impl TransferStatus {
    /// Whether this refusal makes the client's id unusable forever. That is so if the cause of the refusal may go
    /// away: a late retry must not move money that everybody believes was refused.
    pub const fn sticks(self) -> bool {
        matches!(
            self,
            Self::DebitAccountNotFound
                | Self::CreditAccountNotFound
                | Self::PendingTransferNotFound
                | Self::DebitAccountAlreadyClosed
                | Self::CreditAccountAlreadyClosed
                | Self::ExceedsCredits
                | Self::ExceedsDebits
                | Self::ExceedsMinBalance
                | Self::ExceedsMaxBalance
                | Self::ScheduledTransferCancelled
        )
    }
}
