//! The list of all targets.

mod bodies;
mod expressions;
mod files;
mod frames;
mod keys;
mod models;
mod policies;
mod proofs;
mod texts;
mod tokens;

use crate::Target;

/// Every target, in order of name.
pub const TARGETS: &[Target] = &[
    Target { name: "access_tokens", run: tokens::access_token, seeds: tokens::access_token_seeds, runs: 3_000 },
    Target { name: "archives", run: policies::archive, seeds: policies::archive_seeds, runs: 1_500 },
    Target { name: "bundles", run: policies::bundle, seeds: policies::bundle_seeds, runs: 1_500 },
    Target { name: "csv_rows", run: files::csv, seeds: files::csv_seeds, runs: 1_000 },
    Target { name: "dpop_proofs", run: tokens::dpop_proof, seeds: tokens::dpop_proof_seeds, runs: 3_000 },
    Target { name: "entries", run: frames::entries, seeds: frames::entry_seeds, runs: 6_000 },
    Target { name: "expressions", run: expressions::expression, seeds: expressions::seeds, runs: 4_000 },
    Target { name: "journals", run: frames::journal, seeds: frames::journal_seeds, runs: 800 },
    Target { name: "json_bodies", run: bodies::json, seeds: bodies::json_seeds, runs: 1_500 },
    Target { name: "key_stores", run: keys::key_store, seeds: keys::seeds, runs: 3_000 },
    Target { name: "models", run: models::model, seeds: models::seeds, runs: 1_500 },
    Target { name: "packed_batches", run: bodies::packed, seeds: bodies::packed_seeds, runs: 1_000 },
    Target { name: "parquet_rows", run: files::parquet, seeds: files::parquet_seeds, runs: 800 },
    Target { name: "policies", run: policies::policy, seeds: policies::policy_seeds, runs: 600 },
    Target { name: "proofs", run: proofs::proof, seeds: proofs::seeds, runs: 3_000 },
    Target { name: "queries", run: bodies::query, seeds: bodies::query_seeds, runs: 1_500 },
    Target { name: "texts", run: texts::text, seeds: texts::seeds, runs: 6_000 },
];
