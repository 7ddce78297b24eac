//! The routes that prove what is in the journal.

use super::build::{get, list};
use super::table::TEXT;
use super::{Answer, Kind, Operation, Parameter, Route, shape};
use crate::proofs::{ConsistencyProof, EntryProof, ProofKeys};
use crate::scope::Scope;

const FROM: Parameter =
    Parameter { name: "from", summary: "The number of entries in the older journal, at least 1.", kind: Kind::Number };
const TO: Parameter = Parameter {
    name: "to",
    summary: "The number of entries in the newer journal. Default: as many as the newest checkpoint covers.",
    kind: Kind::Number,
};

pub(super) const PROVE_TRANSFER: Route = get(
    Operation::ProveTransfer,
    "/v1/transfers/{id}/proof",
    Scope::LEDGER_READ,
    shape::<EntryProof>(),
    "Prove that a transfer is in the journal",
);

pub(super) const PROVE_PAYMENT: Route = get(
    Operation::ProvePayment,
    "/v1/payments/{id}/proof",
    Scope::PAYMENTS_READ,
    shape::<EntryProof>(),
    "Prove that the decision about a payment is in the journal",
);

pub(super) const PROVE_ENTRY: Route = get(
    Operation::ProveEntry,
    "/v1/proofs/entries/{sequence}",
    Scope::EVENTS_READ,
    shape::<EntryProof>(),
    "Prove that an entry is in the journal",
);

pub(super) const PROVE_CONSISTENCY: Route = list(
    Operation::ProveConsistency,
    "/v1/proofs/consistency",
    Scope::PROOFS_READ,
    &[FROM, TO],
    shape::<ConsistencyProof>(),
    "Prove that the journal of one size begins with the journal of a smaller size",
);

pub(super) const GET_CHECKPOINT: Route = Route {
    answer: TEXT,
    ..get(
        Operation::GetCheckpoint,
        "/v1/proofs/checkpoint",
        Scope::PROOFS_READ,
        shape::<ProofKeys>(),
        "Get the newest signed checkpoint (C2SP tlog-checkpoint)",
    )
};

pub(super) const GET_PROOF_KEYS: Route = get(
    Operation::GetProofKeys,
    "/v1/proofs/keys",
    Scope::PROOFS_READ,
    shape::<ProofKeys>(),
    "List the public keys that verify checkpoints",
);

pub(super) const GET_TILE: Route = Route {
    answer: Answer::Bytes("Up to 256 hashes of 32 bytes; or leaves, each after its length in two bytes."),
    ..get(
        Operation::GetTile,
        "/v1/proofs/tile/{tile}",
        Scope::PROOFS_READ,
        shape::<ProofKeys>(),
        "Get a tile of the tree by its path, such as `0/x001/234.p/5`, or of leaves, `entries/…` (C2SP tlog-tiles)",
    )
};
