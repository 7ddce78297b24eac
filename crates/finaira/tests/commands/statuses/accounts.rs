//! The statuses of accounts.

/// The statuses of accounts in order of precedence. Bases: `p` a plain account, `i` an account in an import.
pub(super) const ACCOUNTS: &str = "
    2    linked_event_chain_open                     pi  open
    1    linked_event_failed                         pi  broken
    22   imported_event_expected                     i   -imported
    23   imported_event_not_expected                 p   +imported
    3    timestamp_must_be_zero                      p   timestamp=*5 -imported
    24   imported_event_timestamp_out_of_range       i   timestamp=0 +imported
    24   imported_event_timestamp_out_of_range       i   timestamp=9223372036854775808 +imported
    25   imported_event_timestamp_must_not_advance   i   timestamp=9223372036854775807 +imported
    4    reserved_field                              pi  reserved=1
    5    reserved_flag                               pi  +bit9
    6    id_must_not_be_zero                         pi  id=0
    7    id_must_not_be_int_max                      pi  id=max
    15   exists_with_different_flags                 p   id=RECORDED flags=*history
    15   exists_with_different_flags                 p   id=CLOSED_SINCE
    15   exists_with_different_flags                 i   id=IMPORTED flags=*history
    16   exists_with_different_user_data_128         p   id=RECORDED user_data_128=*1
    16   exists_with_different_user_data_128         i   id=IMPORTED user_data_128=*1
    17   exists_with_different_user_data_64          p   id=RECORDED user_data_64=*1
    18   exists_with_different_user_data_32          p   id=RECORDED user_data_32=*1
    19   exists_with_different_ledger                p   id=RECORDED ledger=*2
    20   exists_with_different_code                  p   id=RECORDED code=*9
    17   exists_with_different_user_data_64          i   id=IMPORTED user_data_64=*1
    18   exists_with_different_user_data_32          i   id=IMPORTED user_data_32=*1
    19   exists_with_different_ledger                i   id=IMPORTED ledger=*2
    20   exists_with_different_code                  i   id=IMPORTED code=*9
    21   exists                                      p   id=RECORDED same
    21   exists                                      i   id=IMPORTED same
    8    flags_are_mutually_exclusive                pi  +debits_must_not_exceed_credits +credits_must_not_exceed_debits
    9    debits_pending_must_be_zero                 pi  debits_pending=1
    10   debits_posted_must_be_zero                  pi  debits_posted=1
    11   credits_pending_must_be_zero                pi  credits_pending=max
    12   credits_posted_must_be_zero                 pi  credits_posted=1
    13   ledger_must_not_be_zero                     pi  ledger=0
    1001 ledger_not_found                            pi  ledger=7
    14   code_must_not_be_zero                       pi  code=0
    26   imported_event_timestamp_must_not_regress   i   timestamp=10
    26   imported_event_timestamp_must_not_regress   i   timestamp=LAST
";

/// Statuses of accounts that a single record cannot cause. Each has its own test.
pub(super) const ACCOUNTS_APART: &[&str] = &["linked_chain_too_long", "imported_event_timestamp_must_not_pass_event"];

/// Neighbours in order of precedence that no account deserves both, and the reason.
pub(super) const ACCOUNTS_EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("linked_event_failed", "linked_chain_too_long", "one event breaks a chain, and its status is another"),
    ("imported_event_expected", "imported_event_not_expected", "the batch is an import or it is not"),
    ("imported_event_not_expected", "timestamp_must_be_zero", "the account is imported or it is not"),
    ("timestamp_must_be_zero", "imported_event_timestamp_out_of_range", "the account is imported or it is not"),
    ("imported_event_timestamp_out_of_range", "imported_event_timestamp_must_not_advance", "ranges next to each other"),
    ("id_must_not_be_zero", "id_must_not_be_int_max", "one id"),
    ("id_must_not_be_int_max", "exists_with_different_flags", "no account has that id"),
    ("exists_with_different_code", "exists", "the code differs or it does not"),
    ("exists", "flags_are_mutually_exclusive", "no account has both flags"),
    ("ledger_must_not_be_zero", "ledger_not_found", "0 is not looked up"),
    (
        "imported_event_timestamp_must_not_pass_event",
        "imported_event_timestamp_must_not_regress",
        "anything in the future is after everything that is recorded",
    ),
];
