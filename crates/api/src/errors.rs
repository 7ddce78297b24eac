//! Every error a client can get, in one table, and the one form they are answered in.

use engine::{IdentityRefusal, Refusal, WritesClosed};
use ledger::{AccountStatus, BookStatus, ChangeStatus, ImportRefusal, TransferStatus};

use crate::problem::Problem;

/// Declares the table: variant = HTTP status, stable name, title.
macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $name:literal $title:literal,)*) => {
        /// What went wrong, apart from what the ledger says. The names are permanent; each has a page in
        /// `docs/errors`. 400: no state of the server would accept the request. 422: it is well formed, but the
        /// policy or the ledger says no. 409: something else is on record already.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it means, in a few words that are the same every time.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

errors! {
    /// The body is not JSON.
    MalformedJson = 400 "malformed_json" "the body is not valid JSON",
    /// The body has a field that the request does not have.
    UnknownField = 400 "unknown_field" "the request has no such field",
    /// The same field stands twice in one object.
    DuplicateField = 400 "duplicate_field" "a field is given twice",
    /// A field that the request needs is absent or null.
    MissingField = 400 "missing_field" "a required field is missing",
    /// A field has a value of another type, form or range.
    InvalidField = 400 "invalid_field" "a field has a value that it cannot have",
    /// The route has no such query parameter.
    UnknownParameter = 400 "unknown_parameter" "the route has no such query parameter",
    /// A query parameter or a part of the path has a value of another form or range.
    InvalidParameter = 400 "invalid_parameter" "a parameter has a value that it cannot have",
    /// `limit` is above its bound.
    PageSizeTooLarge = 400 "page_size_too_large" "the page is too large",
    /// A request header has a value that it cannot have.
    InvalidHeader = 400 "invalid_header" "a request header has a value that it cannot have",
    /// The id is given in the body and by the header.
    IdAndIdempotencyKey = 400 "id_and_idempotency_key" "the id is given twice, in the body and by the Idempotency-Key",
    /// The id is given neither in the body nor by the header.
    IdRequired = 400 "id_required" "the request names no id",
    /// A verb without its request id.
    IdempotencyKeyRequired = 400 "idempotency_key_required" "the request needs an Idempotency-Key",
    /// The uploaded policy has problems.
    InvalidPolicy = 400 "invalid_policy" "the policy has problems",
    /// The uploaded policy is not an archive that can be read.
    InvalidArchive = 400 "invalid_archive" "the body is not a tar archive of a policy folder",
    /// A packed body is not a whole number of records.
    InvalidBatchLength = 400 "invalid_batch_length" "the body is not a whole number of packed records",
    /// A packed body has more records than a batch may have.
    TooManyEvents = 400 "too_many_events" "the batch has too many records",
    /// The query is by a field of transfers that is not indexed for the ledger.
    FieldNotIndexed = 400 "field_not_indexed" "transfers are not indexed by this field",
    /// No condition of the query finds transfers.
    NothingToFind = 400 "nothing_to_find" "no condition of the query finds transfers",
    /// The sums at an instant are too far from any that are kept.
    TooMuchToAddUp = 422 "too_much_to_add_up" "the sums at this instant cannot be told",
    /// The index of the field is being built.
    IndexIncomplete = 503 "index_incomplete" "the index is still being built",
    /// No `Authorization: Bearer`.
    MissingApiKey = 401 "missing_api_key" "the request has no API key",
    /// The key is not one that is let in.
    InvalidApiKey = 401 "invalid_api_key" "the API key is not valid",
    /// The key's scopes do not include the route's.
    InsufficientScope = 403 "insufficient_scope" "the API key lacks the scope of this route",
    /// No such route.
    NotFound = 404 "not_found" "there is nothing at this path",
    /// A ledger that does not exist.
    LedgerNotFound = 404 "ledger_not_found" "the ledger does not exist",
    /// An account that does not exist.
    AccountNotFound = 404 "account_not_found" "the account does not exist",
    /// An address that no account has.
    AddressNotFound = 404 "address_not_found" "no account has this address",
    /// A transfer that does not exist.
    TransferNotFound = 404 "transfer_not_found" "the transfer does not exist",
    /// A payment that does not exist.
    PaymentNotFound = 404 "payment_not_found" "the payment does not exist",
    /// An import that does not exist.
    ImportNotFound = 404 "import_not_found" "the import does not exist",
    /// A principal that does not exist.
    PrincipalNotFound = 404 "principal_not_found" "the principal does not exist",
    /// An entry that does not exist.
    EntryNotFound = 404 "entry_not_found" "the entry does not exist",
    /// A tile that the tree does not have.
    TileNotFound = 404 "tile_not_found" "the tree has no such tile",
    /// The server was started without proofs.
    ProofsOff = 404 "proofs_off" "the server keeps no proofs",
    /// The path exists for other methods.
    MethodNotAllowed = 405 "method_not_allowed" "the path does not have this method",
    /// The body did not arrive in time.
    RequestTimeout = 408 "request_timeout" "the body of the request did not arrive in time",
    /// Another request has this payment's id.
    PaymentExistsWithDifferentContent = 409 "payment_exists_with_different_content" "the payment exists with different content",
    /// The verb does not fit the payment's status.
    PaymentStatusConflict = 409 "payment_status_conflict" "the status of the payment does not allow this",
    /// The transfer moved nothing.
    TransferNotReversible = 409 "transfer_not_reversible" "the transfer moved nothing that could be moved back",
    /// The transfer was made already.
    TransferNotCancellable = 409 "transfer_not_cancellable" "the transfer was made and cannot be cancelled",
    /// The key of one verb is used for another.
    RequestIdReused = 409 "request_id_reused" "the Idempotency-Key was used for another verb on this payment",
    /// The payment has had too many verbs.
    TooManyChanges = 409 "too_many_changes" "the payment takes no more changes",
    /// The id is that of an import of other files.
    ImportExistsWithDifferentContent = 409 "import_exists_with_different_content" "the import exists with different content",
    /// The import was opened or discarded.
    ImportEnded = 409 "import_ended" "the import was opened or discarded before",
    /// As many imports are staged as there may be.
    TooManyImports = 409 "too_many_imports" "as many imports are staged as there may be",
    /// Rows before these were not staged.
    ImportRowsMissing = 409 "import_rows_missing" "rows are missing between those that are staged and these",
    /// The number is that of another principal.
    PrincipalExistsWithDifferentContent = 409 "principal_exists_with_different_content" "the principal exists with different content",
    /// The number is that of another credential.
    CredentialExistsWithDifferentContent = 409 "credential_exists_with_different_content" "the credential exists with different content",
    /// Nothing can be decided yet.
    NoActivePolicy = 409 "no_active_policy" "no policy is active",
    /// The policy wants a ledger with another asset.
    PolicyLedgerConflict = 409 "policy_ledger_conflict" "the policy declares a ledger that exists with another asset",
    /// The cursor belongs to another history.
    CursorOfAnotherOrigin = 410 "cursor_of_another_origin" "the cursor belongs to another history",
    /// The body is above its bound.
    BodyTooLarge = 413 "body_too_large" "the body is too large",
    /// The body is declared to be something else.
    UnsupportedMediaType = 415 "unsupported_media_type" "the body has another media type than the route takes",
    /// The asset is not the ledger's.
    AssetMismatch = 422 "asset_mismatch" "the amount is in another asset than the ledger",
    /// The amount of a payment is above what policies calculate with.
    AmountTooLarge = 422 "amount_too_large" "the amount is too large for a payment",
    /// The active policy has no such payment type.
    UnknownPaymentType = 422 "unknown_payment_type" "the active policy has no such payment type",
    /// The active policy has no such account template.
    UnknownAccountTemplate = 422 "unknown_account_template" "the active policy has no such account template",
    /// The payment type has no such attribute.
    UnknownAttribute = 422 "unknown_attribute" "the payment type has no such attribute",
    /// An attribute that the payment type requires is absent or null.
    MissingAttribute = 422 "missing_attribute" "a required attribute is missing",
    /// An attribute has a value of another type or length.
    InvalidAttribute = 422 "invalid_attribute" "an attribute has a value that it cannot have",
    /// The payment type takes no `occurred_at`.
    OccurredNotDeclared = 422 "occurred_not_declared" "the payment type does not take occurred_at",
    /// `occurred_at` is too far in the future.
    OccurredTooFarAhead = 422 "occurred_too_far_ahead" "occurred_at is too far in the future",
    /// A row of an import is refused.
    ImportRowRefused = 422 "import_row_refused" "a row of the import is refused",
    /// The principal is of the kind `system`.
    PrincipalIsSystem = 422 "principal_is_system" "a principal of the kind system has no credentials",
    /// A fault of the server itself.
    Internal = 500 "internal" "the server failed",
    /// The queue before the engine is full.
    QueueFull = 503 "queue_full" "the server has more requests than it can take",
    /// As many event streams are open as there may be.
    TooManyStreams = 503 "too_many_streams" "too many event streams are open",
    /// The server is still recovering.
    NotReady = 503 "not_ready" "the server is not ready yet",
    /// The server is on its way down.
    Stopping = 503 "stopping" "the server is stopping",
    /// The journal cannot be written or read.
    JournalFailed = 503 "journal_failed" "the journal failed",
    /// Bytes of the journal are not what was written.
    JournalDamaged = 503 "journal_damaged" "the journal is damaged and nothing is written",
    /// The disk is nearly full.
    DiskReserveReached = 503 "disk_reserve_reached" "the disk is nearly full and nothing is written",
    /// The wall clock jumped.
    ClockNotBelieved = 503 "clock_not_believed" "the clock is not believed and nothing is written",
    /// No room for another subject's key.
    KeyStoreFull = 503 "key_store_full" "the key store has no room for another subject",
    /// The tree has not reached the entry.
    ProofsBehind = 503 "proofs_behind" "the proofs do not cover the entry yet",
    /// The proofs cannot be read.
    ProofsFailed = 503 "proofs_failed" "the proofs failed",
    /// The policy changed again and again while the request was read.
    PolicyChanged = 503 "policy_changed" "the active policy changed while the request was on its way",
    /// The policy's artifact is incomplete.
    ArtifactIncomplete = 503 "artifact_incomplete" "the policy was not stored in full",
}

/// The stable code of an answer: ours, or the ledger's own status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// From the table above.
    Error(ErrorCode),
    /// The ledger refuses to open the ledger.
    Book(BookStatus),
    /// The ledger refuses to open the account.
    Account(AccountStatus),
    /// The ledger refuses the transfer.
    Transfer(TransferStatus),
    /// The ledger refuses to change something.
    Change(ChangeStatus),
}

impl Code {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error(error) => error.name(),
            Self::Book(status) => status.name(),
            Self::Account(status) => status.name(),
            Self::Transfer(status) => status.name(),
            Self::Change(status) => status.name(),
        }
    }

    /// The permanent number in the table of its operation, for the ledger's statuses.
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::Error(_) => None,
            Self::Book(status) => Some(status.number()),
            Self::Account(status) => Some(status.number()),
            Self::Transfer(status) => Some(status.number()),
            Self::Change(status) => Some(status.number()),
        }
    }

    /// The HTTP status: 409 where something else is on record under the id, 422 for every other refusal of the ledger.
    pub fn status(self) -> u16 {
        match self {
            Self::Error(error) => error.status(),
            Self::Change(
                ChangeStatus::AccountNotFound | ChangeStatus::TransferNotFound | ChangeStatus::LedgerNotFound,
            )
            | Self::Transfer(TransferStatus::ScheduledTransferNotFound) => 404,
            Self::Change(ChangeStatus::AddressAlreadyTaken | ChangeStatus::AddressMustNotChange)
            | Self::Account(AccountStatus::IdReservedByImport)
            | Self::Transfer(TransferStatus::IdAlreadyScheduled | TransferStatus::IdReservedByImport) => 409,
            Self::Book(_) | Self::Account(_) | Self::Transfer(_) | Self::Change(_) => {
                let taken = self.as_str().starts_with("exists_with_different_") || self.as_str() == "id_already_failed";
                if taken { 409 } else { 422 }
            }
        }
    }

    /// What it means, in a few words that are the same every time.
    pub fn title(self) -> String {
        match self {
            Self::Error(error) => error.title().to_owned(),
            Self::Book(status) => status.to_string(),
            Self::Account(status) => status.to_string(),
            Self::Transfer(status) => status.to_string(),
            Self::Change(status) => status.to_string(),
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(error: ErrorCode) -> Self {
        Self::Error(error)
    }
}

impl From<&Refusal> for Problem {
    /// What the engine refused, for the client.
    fn from(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::LedgerNotFound(_) => ErrorCode::LedgerNotFound.into(),
            Refusal::LedgerExistsWithDifferentAsset(_) => Code::Book(BookStatus::ExistsWithDifferentAsset),
            Refusal::AccountNotFound(_) => ErrorCode::AccountNotFound.into(),
            Refusal::Account(refused) => Code::Account(refused.status),
            Refusal::TransferNotFound(_) => ErrorCode::TransferNotFound.into(),
            Refusal::Transfer(refused) => Code::Transfer(refused.status),
            Refusal::TransferNotReversible(_) => ErrorCode::TransferNotReversible.into(),
            Refusal::AddressNotFound(_) => ErrorCode::AddressNotFound.into(),
            Refusal::Change(refused) => Code::Change(refused.status),
            Refusal::AssetMismatch { .. } => ErrorCode::AssetMismatch.into(),
            Refusal::PaymentNotFound(_) => ErrorCode::PaymentNotFound.into(),
            Refusal::PaymentExistsWithDifferentContent(_) => ErrorCode::PaymentExistsWithDifferentContent.into(),
            Refusal::PaymentStatusConflict { .. } => ErrorCode::PaymentStatusConflict.into(),
            Refusal::RequestIdReused(_) => ErrorCode::RequestIdReused.into(),
            Refusal::TooManyChanges(_) => ErrorCode::TooManyChanges.into(),
            Refusal::OccurredTooFarAhead { .. } => ErrorCode::OccurredTooFarAhead.into(),
            Refusal::OccurredNotDeclared(_) => ErrorCode::OccurredNotDeclared.into(),
            Refusal::Import(refusal) => match refusal {
                ImportRefusal::NotFound(_) => ErrorCode::ImportNotFound.into(),
                ImportRefusal::ExistsWithDifferentContent(_) => ErrorCode::ImportExistsWithDifferentContent.into(),
                ImportRefusal::LedgerNotFound(_) => ErrorCode::LedgerNotFound.into(),
                ImportRefusal::TooMany(_) => ErrorCode::TooManyImports.into(),
                ImportRefusal::Ended { .. } => ErrorCode::ImportEnded.into(),
                ImportRefusal::RowsMissing { .. } => ErrorCode::ImportRowsMissing.into(),
            },
            Refusal::ImportRow { .. } => ErrorCode::ImportRowRefused.into(),
            Refusal::Identity(refusal) => match refusal {
                IdentityRefusal::PrincipalNotFound(_) => ErrorCode::PrincipalNotFound.into(),
                IdentityRefusal::PrincipalExistsWithDifferentContent(_) => {
                    ErrorCode::PrincipalExistsWithDifferentContent.into()
                }
                IdentityRefusal::PrincipalIsSystem(_) => ErrorCode::PrincipalIsSystem.into(),
                IdentityRefusal::CredentialExistsWithDifferentContent(_) => {
                    ErrorCode::CredentialExistsWithDifferentContent.into()
                }
            },
            Refusal::NoActivePolicy => ErrorCode::NoActivePolicy.into(),
            Refusal::PolicyChanged => ErrorCode::PolicyChanged.into(),
            Refusal::ArtifactIncomplete(_) => ErrorCode::ArtifactIncomplete.into(),
            Refusal::PolicyLedgerConflict(_) => ErrorCode::PolicyLedgerConflict.into(),
            Refusal::WritesClosed(closed) => match closed {
                WritesClosed::JournalDamaged(_) => ErrorCode::JournalDamaged.into(),
                WritesClosed::DiskReserveReached { .. } => ErrorCode::DiskReserveReached.into(),
                WritesClosed::ClockNotBelieved { .. } => ErrorCode::ClockNotBelieved.into(),
            },
        };
        let problem = Self::new(code, refusal.to_string());
        if matches!(refusal, Refusal::OccurredTooFarAhead { .. } | Refusal::OccurredNotDeclared(_)) {
            problem.at("/occurred_at")
        } else if matches!(refusal, Refusal::AssetMismatch { .. }) {
            problem.at("/asset")
        } else {
            problem
        }
    }
}
