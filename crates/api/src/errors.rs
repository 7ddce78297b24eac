//! The table of every error that a client can get, with its HTTP status, name and title, and the mapping from refusals
//! of the engine to errors.

use engine::{
    ApprovalRefusal, CredentialStatus, EntityRefusal, IdentityRefusal, ListRefusal, NotIncrementable, Refusal,
    SettingRefusal, Verb, WritesClosed,
};
use ledger::{AccountStatus, BookStatus, ChangeStatus, ImportRefusal, Setting, TransferStatus};

use crate::identity::IF_MATCH;
use crate::problem::Problem;
use crate::scope::Scope;

/// Declares the table: variant = HTTP status, stable name, title.
macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $name:literal $title:literal,)*) => {
        /// An error other than a refusal of the ledger. The names are permanent, and each has a page in `docs/errors`.
        /// Status 400: the server would not accept the request in any state. 409: the request conflicts with something
        /// that is already recorded. 422: the request is well formed, but the policy or the ledger refuses it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every error, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What the error means. The text is the same for every request.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

errors! {
    MalformedRequest = 400 "malformed_request" "the request is not valid HTTP/1.1",
    MalformedJson = 400 "malformed_json" "the body is not valid JSON",
    UnknownField = 400 "unknown_field" "the body has an unknown field",
    DuplicateField = 400 "duplicate_field" "an object contains a field twice",
    MissingField = 400 "missing_field" "a required field is missing",
    InvalidField = 400 "invalid_field" "a field has an invalid value",
    UnknownParameter = 400 "unknown_parameter" "the query has an unknown parameter",
    InvalidParameter = 400 "invalid_parameter" "a parameter has an invalid value",
    PageSizeTooLarge = 400 "page_size_too_large" "the page is too large",
    InvalidHeader = 400 "invalid_header" "a request header has an invalid value",
    IdAndIdempotencyKey = 400 "id_and_idempotency_key" "the id is given twice: in the body and by the Idempotency-Key header",
    IdRequired = 400 "id_required" "the request has neither an id nor an Idempotency-Key",
    IdempotencyKeyRequired = 400 "idempotency_key_required" "the request needs an Idempotency-Key header",
    InvalidPolicy = 400 "invalid_policy" "the policy does not compile",
    InvalidArchive = 400 "invalid_archive" "the body is not a tar archive of a policy folder",
    InvalidBatchLength = 400 "invalid_batch_length" "the body is not a whole number of packed records",
    TooManyEvents = 400 "too_many_events" "the batch has too many records",
    FieldNotIndexed = 400 "field_not_indexed" "transfers are not indexed by this field",
    NothingToFind = 400 "nothing_to_find" "the query names neither an account nor an indexed field",
    /// The instant is too far from the sums that the index keeps, or the account has too many transfers.
    TooMuchToAddUp = 422 "too_much_to_add_up" "the balances at this instant cannot be computed",
    /// A filter of the packed interface matches few of very many accounts.
    TooManyToExamine = 422 "too_many_to_examine" "the filter would examine too many accounts",
    /// The filter of a list of payments matches few of very many candidates.
    FilterWouldScan = 422 "filter_would_scan" "the filter would examine too many payments",
    IndexIncomplete = 503 "index_incomplete" "the index is still being built",
    MissingApiKey = 401 "missing_api_key" "the request has no API key",
    InvalidApiKey = 401 "invalid_api_key" "the API key is not valid",
    ApiKeyExpired = 401 "api_key_expired" "the API key has expired",
    ApiKeyRevoked = 401 "api_key_revoked" "the API key was revoked",
    InvalidToken = 401 "invalid_token" "the access token is not valid here, or not for who sent it",
    InvalidDpopProof = 401 "invalid_dpop_proof" "the DPoP proof is missing or not valid",
    UseDpopNonce = 401 "use_dpop_nonce" "the DPoP proof needs the nonce that the answer carries",
    InsufficientScope = 403 "insufficient_scope" "the API key lacks the scope that this route needs",
    ScopesNotHeld = 403 "scopes_not_held" "the new API key would have scopes that the API key of the request lacks",
    FirstTenantOnly = 403 "first_tenant_only" "only credentials of the first tenant may do this",
    TenantSuspended = 403 "tenant_suspended" "the tenant is suspended",
    ApprovalByProposer = 403 "approval_by_proposer" "the principal that made a proposal cannot approve or reject it",
    NotTheProposer = 403 "not_the_proposer" "only the principal that made a proposal can withdraw it",
    NotFound = 404 "not_found" "no route has this path",
    LedgerNotFound = 404 "ledger_not_found" "the ledger does not exist",
    AccountNotFound = 404 "account_not_found" "the account does not exist",
    AddressNotFound = 404 "address_not_found" "no account has this address",
    TransferNotFound = 404 "transfer_not_found" "the transfer does not exist",
    PaymentNotFound = 404 "payment_not_found" "the payment does not exist",
    EntityNotFound = 404 "entity_not_found" "there is no such entity",
    ImportNotFound = 404 "import_not_found" "the import does not exist",
    PrincipalNotFound = 404 "principal_not_found" "the principal does not exist",
    SettingNotFound = 404 "setting_not_found" "the setting does not exist",
    ListNotFound = 404 "list_not_found" "the list does not exist",
    ListValueNotFound = 404 "list_value_not_found" "the list does not have the value",
    BacktestNotFound = 404 "backtest_not_found" "the backtest does not exist, or the server was restarted since",
    ApiKeyNotFound = 404 "api_key_not_found" "the API key does not exist",
    ProposalNotFound = 404 "proposal_not_found" "the proposal does not exist",
    EntryNotFound = 404 "entry_not_found" "the entry does not exist",
    TileNotFound = 404 "tile_not_found" "the tree has no such tile",
    ProofsOff = 404 "proofs_off" "the server was started without proofs",
    IssuerOff = 404 "issuer_off" "the built-in issuer is off, because the server does not know its public address",
    TenantNotFound = 404 "tenant_not_found" "the tenant does not exist",
    MethodNotAllowed = 405 "method_not_allowed" "the path does not support this method",
    RequestTimeout = 408 "request_timeout" "the body of the request did not arrive in time",
    ExistsWithDifferentAddress = 409 "exists_with_different_address" "the account was opened with a different address, or without one",
    ExistsWithDifferentLimits = 409 "exists_with_different_limits" "the account was opened with different limits",
    ExistsWithDifferentMetadata = 409 "exists_with_different_metadata" "the account or transfer was created with different metadata",
    PaymentExistsWithDifferentContent = 409 "payment_exists_with_different_content" "the payment exists with different content",
    PaymentStatusConflict = 409 "payment_status_conflict" "the status of the payment does not allow this verb",
    IncrementNotPossible = 409 "increment_not_possible" "the payment cannot be incremented",
    AmountExceedsHeld = 409 "amount_exceeds_held" "the amount exceeds what is held of the payment",
    AmountExceedsCaptured = 409 "amount_exceeds_captured" "the amount exceeds what is captured and not refunded",
    TransferNotReversible = 409 "transfer_not_reversible" "the transfer moved no money, so there is nothing to move back",
    TransferNotCancellable = 409 "transfer_not_cancellable" "the transfer was already made and cannot be cancelled",
    RequestIdReused = 409 "request_id_reused" "the Idempotency-Key was already used for another request",
    TooManyChanges = 409 "too_many_changes" "the payment already had the maximum number of verbs",
    ImportExistsWithDifferentContent = 409 "import_exists_with_different_content" "the import exists with different content",
    ImportEnded = 409 "import_ended" "the import was already opened or discarded",
    TooManyImports = 409 "too_many_imports" "too many imports are staged",
    ImportRowsMissing = 409 "import_rows_missing" "rows are missing between the staged rows and these",
    PrincipalExistsWithDifferentContent = 409 "principal_exists_with_different_content" "the principal exists with different content",
    CredentialExistsWithDifferentContent = 409 "credential_exists_with_different_content" "the credential exists with different content",
    LastKeyManager = 409 "last_key_manager" "no other API key could manage API keys",
    TooManyApiKeys = 409 "too_many_api_keys" "there are too many API keys",
    ClientStateConflict = 409 "client_state_conflict" "the state of the client does not allow this",
    TenantStateConflict = 409 "tenant_state_conflict" "the state of the tenant does not allow this",
    TooManyTenants = 409 "too_many_tenants" "there are too many tenants",
    ProposalExistsWithDifferentContent = 409 "proposal_exists_with_different_content" "the proposal exists with different content",
    ProposalEnded = 409 "proposal_ended" "the proposal is not open any more",
    ImportProposed = 409 "import_proposed" "a proposal to open the import is open",
    TooManyProposals = 409 "too_many_proposals" "too many proposals are open",
    TooManySubjects = 409 "too_many_subjects" "too many principals have access tokens",
    ListExistsWithDifferentContent = 409 "list_exists_with_different_content" "the list exists with different content",
    ListHoldsOtherValues = 409 "list_holds_other_values" "the list holds values of another kind",
    ListInUse = 409 "list_in_use" "the active policy declares the list",
    TooManyLists = 409 "too_many_lists" "there are too many lists",
    TooManyEntityAttributes = 409 "too_many_entity_attributes" "the entities have too many attributes",
    TooManyListValues = 409 "too_many_list_values" "the lists have too many values",
    SettingExists = 409 "setting_exists" "the setting exists with different content",
    TooManySettings = 409 "too_many_settings" "there are too many settings of this kind",
    NoActivePolicy = 409 "no_active_policy" "no policy is active",
    PolicyLedgerConflict = 409 "policy_ledger_conflict" "the policy declares a ledger that exists with another asset",
    BacktestNotDone = 409 "backtest_not_done" "the backtest has no result",
    TooManyBacktests = 409 "too_many_backtests" "too many backtests are waiting",
    /// The policy reads something that a journal does not have in the clear.
    PolicyNotBacktestable = 422 "policy_not_backtestable" "the policy reads what the journal does not have",
    BacktestTooLarge = 422 "backtest_too_large" "the backtest would need too much memory",
    PolicyListConflict = 409 "policy_list_conflict" "the policy and an existing list do not agree about what the list holds",
    SettingChanged = 412 "setting_changed" "the setting is not the version that the request names",
    PreconditionFailed = 412 "precondition_failed" "what the request changes is not the version that If-Match names",
    CursorOfAnotherOrigin = 410 "cursor_of_another_origin" "the cursor belongs to another history",
    BodyTooLarge = 413 "body_too_large" "the body is too large",
    UriTooLong = 414 "uri_too_long" "the path and the query are too long",
    UnsupportedMediaType = 415 "unsupported_media_type" "the route does not accept this media type",
    AssetMismatch = 422 "asset_mismatch" "the asset is not the asset of the ledger",
    AmountTooLarge = 422 "amount_too_large" "the amount is too large for a payment",
    UnknownPaymentType = 422 "unknown_payment_type" "the active policy declares no such payment type",
    UnknownAccountTemplate = 422 "unknown_account_template" "the active policy declares no such account template",
    UnknownAttribute = 422 "unknown_attribute" "the payment type or the entity declares no such attribute",
    MissingAttribute = 422 "missing_attribute" "a required attribute is missing",
    InvalidAttribute = 422 "invalid_attribute" "an attribute has an invalid value",
    OccurredNotDeclared = 422 "occurred_not_declared" "the payment type does not accept occurred_at",
    OccurredTooFarAhead = 422 "occurred_too_far_ahead" "occurred_at is too far in the future",
    ApprovalRequired = 422 "approval_required" "the operation needs the approval of another principal",
    TooManyListChanges = 422 "too_many_list_changes" "the request changes too many values, or too long ones",
    SettingTooLarge = 422 "setting_too_large" "the content of the setting is too large",
    ImportRowRefused = 422 "import_row_refused" "a row of the import is refused",
    PrincipalIsSystem = 422 "principal_is_system" "a principal of the kind system has no credentials",
    ExpiryNotLater = 422 "expiry_not_later" "the expiry of the API key is not in the future",
    RateLimited = 429 "rate_limited" "too many requests from this sender",
    HeadTooLarge = 431 "head_too_large" "the head of the request is too large",
    Internal = 500 "internal" "internal error; see the server log",
    UnsupportedTransferCoding = 501 "unsupported_transfer_coding" "the server does not support this transfer coding",
    Overloaded = 503 "overloaded" "the server is overloaded",
    QueueFull = 503 "queue_full" "too many requests are waiting",
    TooManyStreams = 503 "too_many_streams" "too many event streams are open",
    TooManyConnections = 503 "too_many_connections" "too many connections are open",
    NotReady = 503 "not_ready" "the server is not ready to accept requests",
    Stopping = 503 "stopping" "the server is stopping",
    JournalFailed = 503 "journal_failed" "the journal cannot be written or read",
    JournalDamaged = 503 "journal_damaged" "the journal is damaged, so the server refuses writes",
    DiskReserveReached = 503 "disk_reserve_reached" "the disk is nearly full, so the server refuses writes",
    ClockNotBelieved = 503 "clock_not_believed" "the clock is not believed, so the server refuses writes",
    KeyStoreFull = 503 "key_store_full" "the key store has no room for another subject",
    IssuerUnavailable = 503 "issuer_unavailable" "the keys of the token's issuer are not available at the moment",
    TenantOpening = 503 "tenant_opening" "the tenant is being opened",
    TooManyOpenTenants = 503 "too_many_open_tenants" "too many tenants are open and have requests in progress",
    TenantUnavailable = 503 "tenant_unavailable" "the tenant failed and is not available",
    ProofsBehind = 503 "proofs_behind" "the proofs do not cover the entry yet",
    ProofsFailed = 503 "proofs_failed" "the proofs cannot be read",
    PolicyChanged = 503 "policy_changed" "the active policy changed while the payment was being processed",
    ArtifactIncomplete = 503 "artifact_incomplete" "the stored policy is incomplete",
    DiskQuotaReached = 507 "disk_quota_reached" "the files of the tenant take more disk than its quota",
}

/// The stable code of an answer: an error of this crate, or a status of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A row of the table above.
    Error(ErrorCode),
    /// Why the ledger refused to open a ledger.
    Book(BookStatus),
    /// Why the ledger refused to open an account.
    Account(AccountStatus),
    /// Why the ledger refused a transfer.
    Transfer(TransferStatus),
    /// Why the ledger refused a change.
    Change(ChangeStatus),
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error(error) => error.name(),
            Self::Book(status) => status.name(),
            Self::Account(status) => status.name(),
            Self::Transfer(status) => status.name(),
            Self::Change(status) => status.name(),
        }
    }

    /// For a status of the ledger, its permanent number in the table of the operation.
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::Error(_) => None,
            Self::Book(status) => Some(status.number()),
            Self::Account(status) => Some(status.number()),
            Self::Transfer(status) => Some(status.number()),
            Self::Change(status) => Some(status.number()),
        }
    }

    /// The HTTP status. For a status of the ledger it is 404 if the object does not exist, 409 if something else is
    /// already recorded under the id or address, and 422 otherwise.
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

    /// What the code means. The text is the same for every request.
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
    /// The error that a client gets when the engine refuses its request.
    fn from(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::LedgerNotFound(_) => ErrorCode::LedgerNotFound.into(),
            Refusal::LedgerExistsWithDifferentAsset { .. } => Code::Book(BookStatus::ExistsWithDifferentAsset),
            Refusal::AccountNotFound(_) => ErrorCode::AccountNotFound.into(),
            Refusal::Account(refused) => Code::Account(refused.status),
            Refusal::ExistsWithDifferent(setting) => match setting {
                Setting::Address => ErrorCode::ExistsWithDifferentAddress.into(),
                Setting::Limits => ErrorCode::ExistsWithDifferentLimits.into(),
                Setting::Metadata => ErrorCode::ExistsWithDifferentMetadata.into(),
            },
            Refusal::TransferNotFound(_) => ErrorCode::TransferNotFound.into(),
            Refusal::Transfer(refused) => Code::Transfer(refused.status),
            Refusal::TransferNotReversible(_) => ErrorCode::TransferNotReversible.into(),
            Refusal::AddressNotFound(_) => ErrorCode::AddressNotFound.into(),
            Refusal::Change(refused) => Code::Change(refused.status),
            Refusal::AssetMismatch { .. } => ErrorCode::AssetMismatch.into(),
            Refusal::PaymentNotFound(_) => ErrorCode::PaymentNotFound.into(),
            Refusal::PaymentExistsWithDifferentContent(_) => ErrorCode::PaymentExistsWithDifferentContent.into(),
            Refusal::PaymentStatusConflict { .. } => ErrorCode::PaymentStatusConflict.into(),
            Refusal::AmountExceedsLeft { verb: Verb::Refund, .. } => ErrorCode::AmountExceedsCaptured.into(),
            Refusal::AmountExceedsLeft { .. } => ErrorCode::AmountExceedsHeld.into(),
            Refusal::NotIncrementable(NotIncrementable::TooLarge) => ErrorCode::AmountTooLarge.into(),
            Refusal::NotIncrementable(_) => ErrorCode::IncrementNotPossible.into(),
            Refusal::RequestIdReused(_)
            | Refusal::KeyUsedWithOtherItems { .. }
            | Refusal::KeyUsedWithOtherContent(_) => ErrorCode::RequestIdReused.into(),
            Refusal::PreconditionFailed(_) => ErrorCode::PreconditionFailed.into(),
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
                IdentityRefusal::CredentialNotFound(_) => ErrorCode::ApiKeyNotFound.into(),
                IdentityRefusal::SenderEnded { status: CredentialStatus::Expired, .. } => {
                    ErrorCode::ApiKeyExpired.into()
                }
                IdentityRefusal::SenderEnded {
                    status: CredentialStatus::Active | CredentialStatus::Revoked, ..
                } => ErrorCode::ApiKeyRevoked.into(),
                IdentityRefusal::SenderMayNotManage(_) => {
                    return Self::insufficient_scope(Scope::KEYS_MANAGE, refusal.to_string());
                }
                IdentityRefusal::ScopesNotHeld { missing } => return scopes_not_held(*missing),
                IdentityRefusal::ExpiryNotLater { .. } => {
                    return Self::new(ErrorCode::ExpiryNotLater, refusal.to_string()).at("/expires_at");
                }
                IdentityRefusal::LastManager(_) => ErrorCode::LastKeyManager.into(),
                IdentityRefusal::TooManyCredentials(_) => ErrorCode::TooManyApiKeys.into(),
                IdentityRefusal::TooManySubjects(_) => ErrorCode::TooManySubjects.into(),
            },
            Refusal::Setting(refusal) => match refusal {
                SettingRefusal::NotFound { .. } => ErrorCode::SettingNotFound.into(),
                SettingRefusal::Exists { .. } => ErrorCode::SettingExists.into(),
                SettingRefusal::Changed { .. } => ErrorCode::SettingChanged.into(),
                SettingRefusal::TooLarge { .. } => ErrorCode::SettingTooLarge.into(),
                SettingRefusal::TooMany { .. } => ErrorCode::TooManySettings.into(),
            },
            Refusal::List(refusal) => match refusal {
                ListRefusal::NotFound(_) => ErrorCode::ListNotFound.into(),
                ListRefusal::ValueNotFound { .. } => ErrorCode::ListValueNotFound.into(),
                ListRefusal::ExistsWithDifferentContent { .. } => ErrorCode::ListExistsWithDifferentContent.into(),
                ListRefusal::HoldsOther { .. } => ErrorCode::ListHoldsOtherValues.into(),
                ListRefusal::DeclaredOtherwise { .. } | ListRefusal::PolicyConflict { .. } => {
                    ErrorCode::PolicyListConflict.into()
                }
                ListRefusal::InUse(_) => ErrorCode::ListInUse.into(),
                ListRefusal::TooManyLists => ErrorCode::TooManyLists.into(),
                ListRefusal::TooManyValues { .. } => ErrorCode::TooManyListValues.into(),
                ListRefusal::TooManyChanges(_) | ListRefusal::TooLarge(_) => ErrorCode::TooManyListChanges.into(),
            },
            Refusal::Entity(refusal) => match refusal {
                EntityRefusal::UnknownKind(_) => ErrorCode::EntityNotFound.into(),
                EntityRefusal::UnknownAttribute { .. } => ErrorCode::UnknownAttribute.into(),
                EntityRefusal::OtherType { .. } | EntityRefusal::TextLength { .. } => {
                    ErrorCode::InvalidAttribute.into()
                }
                EntityRefusal::NamedTwice(_) | EntityRefusal::ChangesCount(_) => ErrorCode::InvalidField.into(),
                EntityRefusal::TooManyNames(_) | EntityRefusal::TooManyValues { .. } => {
                    ErrorCode::TooManyEntityAttributes.into()
                }
            },
            Refusal::Approval(refusal) => match refusal {
                ApprovalRefusal::Required(_) => ErrorCode::ApprovalRequired.into(),
                ApprovalRefusal::NotFound(_) => ErrorCode::ProposalNotFound.into(),
                ApprovalRefusal::ExistsWithDifferentContent(_) => ErrorCode::ProposalExistsWithDifferentContent.into(),
                ApprovalRefusal::ByProposer { .. } => ErrorCode::ApprovalByProposer.into(),
                ApprovalRefusal::NotProposer { .. } => ErrorCode::NotTheProposer.into(),
                ApprovalRefusal::Ended { .. } => ErrorCode::ProposalEnded.into(),
                ApprovalRefusal::TooManyOpen(_) => ErrorCode::TooManyProposals.into(),
                ApprovalRefusal::ImportProposed(_) => ErrorCode::ImportProposed.into(),
            },
            Refusal::NoActivePolicy => ErrorCode::NoActivePolicy.into(),
            Refusal::PolicyChanged => ErrorCode::PolicyChanged.into(),
            Refusal::ArtifactIncomplete(_) => ErrorCode::ArtifactIncomplete.into(),
            Refusal::PolicyLedgerConflict { .. } => ErrorCode::PolicyLedgerConflict.into(),
            Refusal::WritesClosed(closed) => match closed {
                WritesClosed::JournalDamaged(_) => ErrorCode::JournalDamaged.into(),
                WritesClosed::DiskReserveReached { .. } => ErrorCode::DiskReserveReached.into(),
                WritesClosed::DiskQuotaReached { .. } => ErrorCode::DiskQuotaReached.into(),
                WritesClosed::ClockNotBelieved { .. } => ErrorCode::ClockNotBelieved.into(),
            },
        };
        let problem = Self::new(code, refusal.to_string());
        if let Refusal::ExistsWithDifferent(setting) = refusal {
            problem.at(format!("/{}", setting.name()))
        } else if matches!(refusal, Refusal::OccurredTooFarAhead { .. } | Refusal::OccurredNotDeclared(_)) {
            problem.at("/occurred_at")
        } else if matches!(
            refusal,
            Refusal::AmountExceedsLeft { .. } | Refusal::NotIncrementable(NotIncrementable::TooLarge)
        ) {
            problem.at("/amount")
        } else if matches!(refusal, Refusal::AssetMismatch { .. }) {
            problem.at("/asset")
        } else if let Refusal::KeyUsedWithOtherContent(differs) = refusal {
            problem.at(differs)
        } else if matches!(refusal, Refusal::PreconditionFailed(_)) {
            problem.at(IF_MATCH)
        } else {
            problem
        }
    }
}

fn scopes_not_held(missing: u32) -> Problem {
    let names: Vec<&str> = Scope::from_bits(missing).names().collect();
    let detail = format!("the API key of the request lacks {}, so it cannot give it to another key", names.join(", "));
    Problem::new(ErrorCode::ScopesNotHeld, detail).at("/scopes")
}
