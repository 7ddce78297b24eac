//! Reads `policy.toml`, with one module per part of the document. Every part is read to its end whatever was wrong
//! before, so that an author sees all problems at once.

mod books;
mod file;
mod judgement;
mod payments;
mod policy_tests;
mod reader;
mod section;
mod streams;

use toml::de::{DeTable, DeValue};
use types::Name;

pub(crate) use self::judgement::{ModelDraft, RuleDraft};
pub(crate) use self::payments::PaymentDraft;
pub(crate) use self::reader::Located;
use self::reader::{Table, any_text, text};
use self::section::{Section, name};
pub(crate) use self::streams::{Asker, FeatureDraft, StreamDraft};
use crate::bundle::Bundle;
use crate::cel::SOURCE_BYTES_MAX;
use crate::index::PaymentTypeIdx;
use crate::limits::PAYMENT_TYPES_MAX;
use crate::problem::{Place, Problems};
use crate::reason::ReasonText;
use crate::spec::{AccountTemplate, Entity, FileMapping, LedgerSpec, ListSpec, PolicyTest, Thresholds};

/// An expression as it is written. Its type is checked when it is compiled.
pub(crate) type Source = Located<String>;

/// The document as far as it could be read. It is complete if no problem was reported.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    pub(crate) problems: &'d Problems<'d>,
    pub(crate) name: Option<Name>,
    pub(crate) description: String,
    pub(crate) ledgers: Section<LedgerSpec>,
    pub(crate) entities: Section<Entity>,
    pub(crate) accounts: Section<AccountTemplate>,
    pub(crate) lists: Section<ListSpec>,
    pub(crate) payments: Section<PaymentDraft>,
    pub(crate) streams: Section<StreamDraft>,
    pub(crate) features: Section<FeatureDraft>,
    pub(crate) reasons: Section<ReasonText>,
    pub(crate) models: Section<ModelDraft>,
    pub(crate) rules: Vec<Option<RuleDraft>>,
    pub(crate) thresholds: Thresholds,
    /// What makes one probability of those of the models: for the payment type, or for all types with models.
    pub(crate) scores: Vec<(Source, Option<PaymentTypeIdx>)>,
    pub(crate) positive_labels: Vec<String>,
    pub(crate) file_mapping: Option<FileMapping>,
    pub(crate) tests: Vec<PolicyTest>,
}

/// Parses the document. If it is not TOML, this reports why and returns `None`.
pub(crate) fn parse<'d>(text: &'d str, problems: &Problems<'_>) -> Option<DeTable<'d>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = Place { path: String::new(), span: error.span().unwrap_or_default() };
        problems.report(&place, format_args!("is not TOML: {}", error.message()));
    }
    errors.is_empty().then(|| table.into_inner())
}

impl<'d> Draft<'d> {
    /// Reads the document. Each part may refer to the parts before it.
    pub(crate) fn read(document: &'d DeTable<'d>, bundle: &Bundle, problems: &'d Problems<'d>) -> Self {
        let mut table = Table::document(document, problems);
        let name = table.need("name", text).and_then(|key| name(&key, problems));
        let description = table.description();
        let ledgers = books::ledgers(&mut table);
        let entities = books::entities(&mut table);
        let accounts = books::accounts(&mut table, &ledgers, &entities);
        let lists = books::lists(&mut table, &entities);
        let mut draft = Self {
            problems,
            name,
            description,
            ledgers,
            entities,
            accounts,
            lists,
            payments: Section::empty("payment type"),
            streams: Section::empty("stream"),
            features: Section::empty("feature"),
            reasons: judgement::reasons(&mut table),
            models: Section::empty("model"),
            rules: Vec::new(),
            thresholds: Thresholds::default(),
            scores: Vec::new(),
            positive_labels: judgement::positive_labels(&mut table),
            file_mapping: None,
            tests: Vec::new(),
        };
        draft.payments = payments::payment_types(&mut table, &draft);
        draft.streams = streams::streams(&mut table, &draft);
        draft.features = streams::features(&mut table, &draft);
        draft.models = judgement::models(&mut table, &draft, bundle);
        (draft.thresholds, draft.scores) = judgement::decision(&mut table, &draft);
        draft.rules = judgement::rules(&mut table, &draft);
        draft.file_mapping = file::file_mapping(&mut table, &draft);
        draft.tests = policy_tests::tests(&mut table, &draft);
        table.finish();
        streams::set_needs(&mut draft.streams, &draft.features);
        streams::cover_attributes(&mut draft.streams, &draft.features, &draft.entities);
        draft
    }

    pub(crate) fn every_payment(&self) -> Vec<PaymentTypeIdx> {
        (0..self.payments.len()).map(PaymentTypeIdx::at).collect()
    }
}

/// Reads the payment types under `payments`, in the order of the document and each once. `None` if the key is absent.
fn payment_list(table: &mut Table<'_>, draft: &Draft<'_>) -> Option<Vec<PaymentTypeIdx>> {
    let node = table.node("payments")?;
    let place = node.place.clone();
    let names = node.items().unwrap_or_default();
    if names.is_empty() || names.len() > PAYMENT_TYPES_MAX {
        let message = format_args!("has {} items, expected 1 to {PAYMENT_TYPES_MAX} payment types", names.len());
        draft.problems.report(&place, message);
    }
    let found = names
        .into_iter()
        .take(PAYMENT_TYPES_MAX)
        .filter_map(|name| draft.payments.find(&name.read(text)?, draft.problems));
    let mut payments: Vec<_> = found.map(PaymentTypeIdx::at).collect();
    payments.sort_unstable();
    payments.dedup();
    Some(payments)
}

/// Reads an expression.
fn source(value: &DeValue<'_>) -> Result<String, String> {
    let text = any_text(value)?;
    if text.len() > SOURCE_BYTES_MAX {
        return Err(format!("has {} bytes, an expression may have at most {SOURCE_BYTES_MAX}", text.len()));
    }
    Ok(text.to_owned())
}

/// Reads the expression under `key`, or takes `default` if the key is absent.
fn source_or(table: &mut Table<'_>, key: &'static str, default: &str) -> Option<Source> {
    match table.node(key) {
        Some(node) => node.read(source),
        None => Some(Located { value: default.to_owned(), place: table.place.clone() }),
    }
}
