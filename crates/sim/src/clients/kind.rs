//! The kinds of requests.

/// Declares the kinds, each with its weight.
macro_rules! kinds {
    ($($kind:ident = $weight:literal,)*) => {
        /// A kind of request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind { $($kind),* }

        impl Kind {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// How often clients choose the kind, relative to the others.
            pub(super) const fn weight(self) -> u64 {
                match self { $(Self::$kind => $weight,)* }
            }
        }
    };
}

kinds! {
    OpenLedger = 1,
    OpenAccount = 3,
    OpenAccounts = 2,
    PackedAccounts = 2,
    Transfer = 7,
    PendingTransfer = 7,
    Resolution = 9,
    BalancingTransfer = 3,
    ClosingTransfer = 2,
    ScheduledTransfer = 3,
    Cancel = 2,
    TransferBatch = 4,
    PackedTransfers = 6,
    PackedChains = 5,
    Reversal = 3,
    Address = 2,
    Limits = 2,
    AccountMetadata = 1,
    TransferMetadata = 2,
    PaymentMetadata = 1,
    Indexes = 1,
    DryAccount = 1,
    DryTransfer = 2,
    DryBatch = 1,
    DryPayment = 2,
    DryVerb = 1,
    StartImport = 1,
    StageAccounts = 3,
    StageTransfers = 3,
    OpenImport = 1,
    DiscardImport = 1,
    TopUp = 7,
    Card = 14,
    PaymentBatch = 3,
    Approve = 3,
    Decline = 1,
    Capture = 3,
    Void = 2,
    Refund = 2,
    VerbBatch = 4,
    Increment = 4,
    Label = 3,
    PolicyPart = 2,
    Policy = 2,
    Principal = 1,
    Credential = 1,
    NewApiKey = 2,
    RevokeApiKey = 2,
    ListsOfApiKeys = 1,
    PersonalData = 1,
    ApprovalRules = 1,
    Proposal = 4,
    EndOfProposal = 6,
    ListsOfProposals = 1,
    Subject = 1,
    Setting = 1,
    RemoveSetting = 1,
    GetSettings = 1,
    NewList = 1,
    ListValues = 3,
    RemoveListValues = 1,
    DeleteList = 1,
    GetLists = 1,
    Attributes = 3,
    LargeArtifact = 2,
    GetAccount = 3,
    GetTransfer = 3,
    GetPayment = 2,
    TrialBalance = 2,
    LookupAccounts = 1,
    LookupTransfers = 1,
    ListsOfAccounts = 2,
    ListsOfTransfers = 2,
    ActivePolicy = 1,
    ListsOfImports = 1,
}
