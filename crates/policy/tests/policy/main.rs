//! Tests of the policy as its users see it: bundles, documents with and without problems, evaluations.

mod aggregates;
mod attributes;
mod bundle;
mod document;
mod evaluation;
mod example;
mod explanation;
mod reads;
mod support;
mod value;
