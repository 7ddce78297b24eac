//! The statuses of transfers.

/// The statuses of transfers in order of precedence. Bases: `p` a plain payment, `i` a payment in an import, `r` the
/// post of a pending transfer, `s` a post in an import.
pub(super) const TRANSFERS: &str = "
    2    linked_event_chain_open                       pirs  open
    1    linked_event_failed                           pirs  broken
    56   imported_event_expected                       is    -imported
    57   imported_event_not_expected                   pr    +imported
    3    timestamp_must_be_zero                        pr    timestamp=*5 -imported
    58   imported_event_timestamp_out_of_range         is    timestamp=0 +imported
    58   imported_event_timestamp_out_of_range         is    timestamp=9223372036854775808 +imported
    59   imported_event_timestamp_must_not_advance     is    timestamp=9223372036854775807 +imported
    4    reserved_flag                                 pirs  +bit9
    5    id_must_not_be_zero                           pirs  id=0
    6    id_must_not_be_int_max                        pirs  id=max
    36   exists_with_different_flags                   p     id=RECORDED flags=*balancing_debit
    36   exists_with_different_flags                   i     id=IMPORTED flags=*balancing_debit
    36   exists_with_different_flags                   rs    id=RECORDED
    40   exists_with_different_pending_id              p     id=RECORDED pending_id=*HELD
    40   exists_with_different_pending_id              i     id=IMPORTED pending_id=*HELD
    44   exists_with_different_timeout                 p     id=RECORDED timeout=*5
    44   exists_with_different_timeout                 i     id=IMPORTED timeout=*5
    37   exists_with_different_debit_account_id        p     id=RECORDED debit_account_id=*THIRD
    37   exists_with_different_debit_account_id        i     id=IMPORTED debit_account_id=*THIRD
    38   exists_with_different_credit_account_id       p     id=RECORDED credit_account_id=*THIRD
    38   exists_with_different_credit_account_id       i     id=IMPORTED credit_account_id=*THIRD
    39   exists_with_different_amount                  p     id=RECORDED amount=*11
    39   exists_with_different_amount                  i     id=IMPORTED amount=*11
    41   exists_with_different_user_data_128           p     id=RECORDED user_data_128=*1
    41   exists_with_different_user_data_128           i     id=IMPORTED user_data_128=*1
    42   exists_with_different_user_data_64            p     id=RECORDED user_data_64=*1
    42   exists_with_different_user_data_64            i     id=IMPORTED user_data_64=*1
    43   exists_with_different_user_data_32            p     id=RECORDED user_data_32=*1
    43   exists_with_different_user_data_32            i     id=IMPORTED user_data_32=*1
    67   exists_with_different_ledger                  p     id=RECORDED ledger=*2
    67   exists_with_different_ledger                  i     id=IMPORTED ledger=*2
    45   exists_with_different_code                    p     id=RECORDED code=*9
    45   exists_with_different_code                    i     id=IMPORTED code=*9
    46   exists                                        p     id=RECORDED same
    46   exists                                        i     id=IMPORTED same
    68   id_already_failed                             pirs  id=FAILED
    1006 id_already_scheduled                          pirs  id=SCHEDULED
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +void_pending_transfer
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +pending
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +balancing_debit
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +balancing_credit
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +closing_debit
    7    flags_are_mutually_exclusive                  rs    -post_pending_transfer +void_pending_transfer +closing_credit
    8    debit_account_id_must_not_be_zero             pi    debit_account_id=0
    9    debit_account_id_must_not_be_int_max          pi    debit_account_id=max
    10   credit_account_id_must_not_be_zero            pi    credit_account_id=0
    11   credit_account_id_must_not_be_int_max         pi    credit_account_id=max
    12   accounts_must_be_different                    pi    debit_account_id=FIRST credit_account_id=FIRST
    13   pending_id_must_be_zero                       pi    pending_id=*HELD
    13   pending_id_must_be_zero                       pi    pending_id=max
    14   pending_id_must_not_be_zero                   rs    pending_id=0
    15   pending_id_must_not_be_int_max                rs    pending_id=max
    16   pending_id_must_be_different                  rs    id=ITSELF pending_id=ITSELF
    17   timeout_reserved_for_pending_transfer         pi    -pending timeout=*5
    17   timeout_reserved_for_pending_transfer         rs    timeout=*5
    64   closing_transfer_must_be_pending              pi    -pending +closing_debit
    64   closing_transfer_must_be_pending              pi    -pending +closing_credit
    19   ledger_must_not_be_zero                       pi    ledger=0
    20   code_must_not_be_zero                         pi    code=0
    21   debit_account_not_found                       pi    debit_account_id=NOBODY
    22   credit_account_not_found                      pi    credit_account_id=NOBODY_EITHER
    23   accounts_must_have_the_same_ledger            pi    credit_account_id=FOREIGN
    24   transfer_must_have_the_same_ledger_as_accounts  pi  ledger=2
    1000 account_is_policy_only                        pi    debit_account_id=POLICY_ONLY
    1000 account_is_policy_only                        pi    credit_account_id=POLICY_ONLY_TOO
    25   pending_transfer_not_found                    rs    pending_id=NOBODY
    25   pending_transfer_not_found                    rs    pending_id=FAILED
    25   pending_transfer_not_found                    rs    pending_id=SCHEDULED
    26   pending_transfer_not_pending                  rs    pending_id=RECORDED
    27   pending_transfer_has_different_debit_account_id   rs  debit_account_id=THIRD
    28   pending_transfer_has_different_credit_account_id  rs  credit_account_id=THIRD
    29   pending_transfer_has_different_ledger         rs    ledger=2
    30   pending_transfer_has_different_code           rs    code=9
    31   exceeds_pending_transfer_amount               rs    amount=51
    31   exceeds_pending_transfer_amount               rs    -post_pending_transfer +void_pending_transfer amount=51
    32   pending_transfer_has_different_amount         rs    -post_pending_transfer +void_pending_transfer amount=49|51
    33   pending_transfer_already_posted               rs    pending_id=POSTED
    34   pending_transfer_already_voided               rs    pending_id=VOIDED
    35   pending_transfer_expired                      rs    pending_id=EXPIRED
    1003 imported_event_must_not_resolve_timed_transfer  s   pending_id=TIMED|EXPIRED
    60   imported_event_timestamp_must_not_regress     is    timestamp=10
    60   imported_event_timestamp_must_not_regress     is    timestamp=LAST
    61   imported_event_timestamp_must_postdate_debit_account   i  debit_account_id=LATE
    62   imported_event_timestamp_must_postdate_credit_account  i  credit_account_id=LATER
    63   imported_event_timeout_must_be_zero           i     +pending timeout=*5
    65   debit_account_already_closed                  pi    debit_account_id=CLOSED
    65   debit_account_already_closed                  rs    pending_id=DEBIT_CLOSED
    66   credit_account_already_closed                 pi    credit_account_id=CLOSED_TOO
    66   credit_account_already_closed                 rs    pending_id=CREDIT_CLOSED
    47   overflows_debits_pending                      pi    +pending debit_account_id=ALL_HELD
    48   overflows_credits_pending                     pi    +pending credit_account_id=ALL_RESERVED
    49   overflows_debits_posted                       pi    debit_account_id=ALL_PAID
    50   overflows_credits_posted                      pi    credit_account_id=ALL_GAINED
    51   overflows_debits                              pi    debit_account_id=HALF_PAID amount=170141183460469231731687303715884105728
    52   overflows_credits                             pi    credit_account_id=HALF_GAINED amount=170141183460469231731687303715884105728
    54   exceeds_credits                               pi    debit_account_id=NO_CREDIT
    55   exceeds_debits                                pi    credit_account_id=NO_DEBIT
    1004 exceeds_min_balance                           pi    debit_account_id=FLOOR
    1005 exceeds_max_balance                           pi    credit_account_id=CEILING
";

/// Statuses of transfers that a single record cannot cause. Each has its own test.
pub(super) const TRANSFERS_APART: &[&str] = &["linked_chain_too_long", "imported_event_timestamp_must_not_pass_event"];

/// Statuses that no packed record gets, and the reason.
pub(super) const TRANSFERS_UNREACHABLE: &[(&str, &str)] = &[
    ("overflows_timeout", "the longest timeout, 136 years, ends before the year 2262 until 2126; an import has none"),
    ("scheduled_transfer_must_stand_alone", "transfers are scheduled over HTTP"),
    ("scheduled_time_must_be_later", "transfers are scheduled over HTTP"),
    ("scheduled_transfer_not_found", "scheduled transfers are cancelled over HTTP"),
    ("scheduled_transfer_cancelled", "a cancelled transfer gets id_already_failed afterwards"),
    ("id_reserved_by_import", "rows of an import are staged over their own route; tested with imports"),
    ("import_takes_single_phase_only", "rows of an import are staged over their own route; tested with imports"),
];

/// Neighbours in order of precedence that no transfer deserves both, and the reason. Statuses that no record gets are
/// left out.
pub(super) const TRANSFERS_EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("linked_event_failed", "linked_chain_too_long", "one event breaks a chain, and its status is another"),
    ("imported_event_expected", "imported_event_not_expected", "the batch is an import or it is not"),
    ("imported_event_not_expected", "timestamp_must_be_zero", "the transfer is imported or it is not"),
    ("timestamp_must_be_zero", "imported_event_timestamp_out_of_range", "the transfer is imported or it is not"),
    ("imported_event_timestamp_out_of_range", "imported_event_timestamp_must_not_advance", "ranges next to each other"),
    ("id_must_not_be_zero", "id_must_not_be_int_max", "one id"),
    ("id_must_not_be_int_max", "exists_with_different_flags", "no transfer has that id"),
    ("exists_with_different_code", "exists", "the code differs or it does not"),
    ("exists", "id_already_failed", "an id is created or fails"),
    ("id_already_failed", "id_already_scheduled", "a scheduled transfer has not failed"),
    ("flags_are_mutually_exclusive", "debit_account_id_must_not_be_zero", "a post may leave its accounts zero"),
    ("debit_account_id_must_not_be_zero", "debit_account_id_must_not_be_int_max", "one id"),
    ("credit_account_id_must_not_be_zero", "credit_account_id_must_not_be_int_max", "one id"),
    (
        "credit_account_id_must_not_be_int_max",
        "accounts_must_be_different",
        "the debit account would already be refused",
    ),
    ("pending_id_must_be_zero", "pending_id_must_not_be_zero", "one id"),
    ("pending_id_must_not_be_zero", "pending_id_must_not_be_int_max", "one id"),
    ("pending_id_must_not_be_int_max", "pending_id_must_be_different", "no transfer has that id"),
    ("credit_account_not_found", "accounts_must_have_the_same_ledger", "every existing account has a ledger"),
    (
        "account_is_policy_only",
        "pending_transfer_not_found",
        "the first is for payments, the second for posts and voids",
    ),
    ("pending_transfer_not_found", "pending_transfer_not_pending", "a transfer that does not exist has no state"),
    ("pending_transfer_already_posted", "pending_transfer_already_voided", "a transfer is resolved once"),
    ("pending_transfer_already_voided", "pending_transfer_expired", "a transfer is resolved once"),
    (
        "imported_event_timestamp_must_not_pass_event",
        "imported_event_timestamp_must_not_regress",
        "anything in the future is after everything that is recorded",
    ),
];
