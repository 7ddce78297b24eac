//! A policy after it was checked and compiled.

use types::{Digest, Name, Span};

use crate::bundle::{Bundle, DOCUMENT};
use crate::compile::compile;
use crate::compiled_type::CompiledType;
use crate::document::{self, Draft};
use crate::index::{PaymentTypeIdx, ReasonIdx, StreamIdx};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::onnx::Model;
use crate::problem::{Age, Problem, Problems, Warning};
use crate::reason::{Codes, ReasonText};
use crate::spec::{
    AccountTemplate, Entity, FeatureSpec, FileMapping, LedgerSpec, ListSpec, ModelSpec, PaymentType, PolicyTest, Rule,
    StreamSpec, Thresholds,
};

/// A policy that was checked and compiled. It is immutable, and any number of threads may share it.
#[derive(Debug)]
pub struct Policy {
    pub(crate) digest: Digest,
    pub(crate) document: Document,
    /// One per payment type.
    pub(crate) plans: Vec<CompiledType>,
    /// One per model of the document.
    pub(crate) models: Vec<Model>,
    pub(crate) codes: Codes,
    pub(crate) warnings: Vec<Warning>,
}

/// The content of a checked document, in its order.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) name: Name,
    pub(crate) description: String,
    pub(crate) ledgers: Vec<LedgerSpec>,
    pub(crate) entities: Vec<Entity>,
    pub(crate) accounts: Vec<AccountTemplate>,
    pub(crate) lists: Vec<ListSpec>,
    pub(crate) payment_types: Vec<PaymentType>,
    pub(crate) streams: Vec<StreamSpec>,
    pub(crate) features: Vec<FeatureSpec>,
    pub(crate) reasons: Vec<ReasonText>,
    pub(crate) models: Vec<ModelSpec>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) thresholds: Thresholds,
    pub(crate) positive_labels: Vec<String>,
    pub(crate) file_mapping: Option<FileMapping>,
    pub(crate) tests: Vec<PolicyTest>,
}

impl Policy {
    /// Checks the whole document and compiles it.
    ///
    /// # Errors
    /// All problems of the document, in order of place, at most [`PROBLEMS_MAX`](crate::limits::PROBLEMS_MAX).
    pub fn compile(bundle: &Bundle) -> Result<Self, Vec<Problem>> {
        Self::compile_as(Age::New, bundle)
    }

    /// Compiles a policy that is active already. Where this release is stricter than the one that accepted the policy, it
    /// only warns, because an upgrade must not stop a server from deciding.
    ///
    /// # Errors
    /// As for [`Policy::compile`].
    pub fn recompile(bundle: &Bundle) -> Result<Self, Vec<Problem>> {
        Self::compile_as(Age::Accepted, bundle)
    }

    /// Compiles a policy as its tests use it: its accounts can always pay, so that a test need not give them money first.
    ///
    /// # Errors
    /// As for [`Policy::compile`].
    pub fn compile_for_tests(bundle: &Bundle) -> Result<Self, Vec<Problem>> {
        let mut policy = Self::compile(bundle)?;
        for account in &mut policy.document.accounts {
            account.flags.debits_must_not_exceed_credits = false;
            account.flags.credits_must_not_exceed_debits = false;
        }
        Ok(policy)
    }

    /// What the policy should decide about example payments. `engine::run_policy_tests` runs them.
    pub fn tests(&self) -> &[PolicyTest] {
        &self.document.tests
    }

    fn compile_as(age: Age, bundle: &Bundle) -> Result<Self, Vec<Problem>> {
        let problem = |message: String| vec![Problem { file: DOCUMENT.to_owned(), line: 1, column: 1, message }];
        let document = bundle.file(DOCUMENT).unwrap_or_default();
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(problem(format!("has {} bytes, at most {DOCUMENT_BYTES_MAX} are allowed", document.len())));
        }
        let text = std::str::from_utf8(document).map_err(|error| problem(format!("is not UTF-8: {error}")))?;
        let problems = Problems::new(text, age);
        let table = document::parse(text, &problems);
        match table.and_then(|table| compile(Draft::read(&table, bundle, &problems), bundle.digest())) {
            Some(policy) => Ok(Self { warnings: problems.into_warnings(), ..policy }),
            None => Err(problems.into_list()),
        }
    }

    /// What works, but perhaps not as the author expects.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The features that look back over a window, in the order of the document, each with how far it looks back: the
    /// window and its delay together. A feature is missing until its stream was recorded for that long.
    pub fn reaches(&self) -> impl Iterator<Item = (&Name, StreamIdx, Span)> {
        self.features().iter().filter_map(|feature| {
            let (stream, reach) = feature.source.reach()?;
            Some((&feature.name, stream, reach))
        })
    }

    /// The digest of the bundle, which identifies the policy.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The name that the policy gives itself.
    pub fn name(&self) -> &Name {
        &self.document.name
    }

    /// A description for people; may be empty.
    pub fn description(&self) -> &str {
        &self.document.description
    }

    /// All ledgers, in the order of the document, like every list here.
    pub fn ledgers(&self) -> &[LedgerSpec] {
        &self.document.ledgers
    }

    pub fn entities(&self) -> &[Entity] {
        &self.document.entities
    }

    pub fn accounts(&self) -> &[AccountTemplate] {
        &self.document.accounts
    }

    /// The lists that expressions can name.
    pub fn lists(&self) -> &[ListSpec] {
        &self.document.lists
    }

    pub fn payment_types(&self) -> &[PaymentType] {
        &self.document.payment_types
    }

    pub fn payment_type(&self, name: &str) -> Option<(PaymentTypeIdx, &PaymentType)> {
        let types = &self.document.payment_types;
        let position = types.iter().position(|payment_type| payment_type.name.as_str() == name)?;
        Some((PaymentTypeIdx::at(position), types.get(position)?))
    }

    pub fn streams(&self) -> &[StreamSpec] {
        &self.document.streams
    }

    pub fn features(&self) -> &[FeatureSpec] {
        &self.document.features
    }

    /// The texts for customers that models and rules refer to.
    pub fn reasons(&self) -> &[ReasonText] {
        &self.document.reasons
    }

    /// The text of a reason.
    pub(crate) fn reason(&self, reason: Option<ReasonIdx>) -> Option<&ReasonText> {
        self.reasons().get(reason?.get())
    }

    pub fn models(&self) -> &[ModelSpec] {
        &self.document.models
    }

    /// All rules, in the order in which they are evaluated.
    pub fn rules(&self) -> &[Rule] {
        &self.document.rules
    }

    /// What turns scores and failures into a verdict.
    pub const fn thresholds(&self) -> Thresholds {
        self.document.thresholds
    }

    /// How to read a file of past payments, if the document says so.
    pub const fn file_mapping(&self) -> Option<&FileMapping> {
        self.document.file_mapping.as_ref()
    }

    /// Whether a label of this value counts as fraud.
    pub fn is_positive_label(&self, value: &str) -> bool {
        self.document.positive_labels.iter().any(|positive| positive == value)
    }
}

/// The engine and the other folds of the log share one policy across threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Policy>()
};
