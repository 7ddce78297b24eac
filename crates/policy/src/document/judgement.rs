//! `[models]`, `[[rules]]`, `[decision]` and `[labels]`.

use toml::de::DeValue;
use types::{Digest, Name, shorten};

use super::reader::{Located, Node, Table, choice, flag, text, text_within, whole};
use super::section::{Section, items, name};
use super::{Draft, Source, payment_list, source};
use crate::bundle::{Bundle, is_file_name};
use crate::index::{PaymentTypeIdx, ReasonIdx};
use crate::limits::{LABELS_MAX, MODEL_INPUTS_MAX, MODELS_MAX, REASONS_MAX, RULES_MAX, SCORE_MAX, TAG_BYTES_MAX};
use crate::onnx::Model;
use crate::problem::{Place, Problems, suggestion};
use crate::reason::{ReasonText, SYSTEM_REASONS};
use crate::spec::{ModelSpec, OnFailure, Rule, RuleEffect, Thresholds};

/// A model and the expressions of its inputs, which can be checked even if the file has problems.
#[derive(Debug)]
pub(crate) struct ModelDraft {
    pub(crate) loaded: Option<(ModelSpec, Model)>,
    pub(crate) inputs: Vec<Source>,
    pub(crate) payments: Vec<PaymentTypeIdx>,
}

/// A rule and its expression, which can be checked even if the rest has problems.
#[derive(Debug)]
pub(crate) struct RuleDraft {
    pub(crate) spec: Option<Rule>,
    pub(crate) when: Source,
    pub(crate) payments: Vec<PaymentTypeIdx>,
}

pub(super) fn models(document: &mut Table<'_>, draft: &Draft<'_>, bundle: &Bundle) -> Section<ModelDraft> {
    Section::read(document, "models", "model", MODELS_MAX, |name, mut table| {
        let problems = table.problems;
        let file = table.need("file", text);
        let payments = payment_list(&mut table, draft).unwrap_or_else(|| draft.every_payment());
        let inputs = table.needed("inputs").and_then(Inputs::read);
        let reasons = table.node("reasons").and_then(Node::entries).unwrap_or_default();
        table.finish();
        let loaded = file.and_then(|file| {
            let bytes = bytes_of(&file, bundle).map_err(|message| problems.report(&file.place, message)).ok()?;
            let broken = |error| problems.report(&file.place, format_args!("cannot be used as a model: {error}"));
            let model = Model::load(bytes).map_err(broken).ok()?;
            if let Some(told) = model.no_probability() {
                problems.report_by_now(
                    file.place.span.start,
                    &file.place,
                    format_args!("cannot be used as a model: {told}"),
                );
            }
            Some((file.value.to_owned(), Digest::of(bytes), model))
        });
        let inputs = inputs?;
        if inputs.count() > MODEL_INPUTS_MAX {
            let message = format_args!("has {} items, at most {MODEL_INPUTS_MAX} are allowed", inputs.count());
            problems.report(&inputs.place, message);
            return None;
        }
        let inputs = inputs.in_order(loaded.as_ref().map(|(_, _, model)| model), problems);
        let reasons = reasons_of(reasons, &inputs, loaded.as_ref().map(|(_, _, model)| model), draft);
        let sources = inputs.iter().map(|input| input.value.clone()).collect();
        let loaded = loaded.map(|(file, digest, model)| {
            (ModelSpec { name, file, digest, inputs: sources, reasons, payments: payments.clone() }, model)
        });
        Some(ModelDraft { loaded, inputs, payments })
    })
}

/// Reads `[reasons]`: texts for customers, by their codes.
pub(super) fn reasons(document: &mut Table<'_>) -> Section<ReasonText> {
    Section::read(document, "reasons", "reason", REASONS_MAX, |code, mut table| {
        let (problems, place) = (table.problems, table.place.clone());
        let text = table.need("text", text);
        table.finish();
        if SYSTEM_REASONS.contains(&code.as_str()) {
            problems.report(&place, format_args!("`{code}` is a reason code of the system, expected another name"));
        }
        Some(ReasonText { code, text: text?.value.to_owned() })
    })
}

/// The reason of each input of a model: `written` has codes by the name of a column or by the expression of an input.
fn reasons_of(
    written: Vec<(Located<&str>, Node<'_>)>,
    inputs: &[Source],
    model: Option<&Model>,
    draft: &Draft<'_>,
) -> Vec<Option<ReasonIdx>> {
    let problems = draft.problems;
    let mut reasons = vec![None; inputs.len()];
    // If inputs or columns are not known, that is a problem of its own.
    let is_complete = model.is_some_and(|model| model.inputs() == inputs.len());
    let columns = model.and_then(Model::columns).filter(|_| is_complete).unwrap_or_default();
    for (key, code) in written {
        let reason = code.read(text).and_then(|code| draft.reasons.find(&code, problems)).map(ReasonIdx::at);
        let mut is_known = false;
        for (place, (input, known)) in inputs.iter().zip(&mut reasons).enumerate() {
            let is_column = columns.get(place).is_some_and(|column| column == key.value);
            if !is_column && input.value.trim() != key.value.trim() {
                continue;
            }
            is_known = true;
            if known.is_some() {
                let message = format_args!("the input `{}` already has a reason", shorten(&input.value));
                problems.report(&key.place, message);
            }
            *known = reason;
        }
        if is_complete && !is_known {
            let names: Vec<&str> =
                columns.iter().map(String::as_str).chain(inputs.iter().map(|input| input.value.as_str())).collect();
            let hint = suggestion(key.value, names.iter().copied());
            let some: Vec<String> =
                names.iter().take(COLUMNS_SHOWN).map(|name| format!("`{}`", shorten(name))).collect();
            let (some, more) = (some.join(", "), if names.len() > COLUMNS_SHOWN { ", …" } else { "" });
            let message = format_args!(
                "the model has no such column, and no input is this expression; expected one of {some}{more}{hint}"
            );
            problems.report(&key.place, message);
        }
    }
    reasons
}

/// How many columns of a model a message lists.
const COLUMNS_SHOWN: usize = 20;

/// The expressions of a model's inputs, as they are written.
struct Inputs<'d> {
    place: Place,
    written: Written<'d>,
}

enum Written<'d> {
    /// In the order of the model's columns.
    List(Vec<Node<'d>>),
    /// By the name of the column.
    Named(Vec<(Located<&'d str>, Node<'d>)>),
}

impl<'d> Inputs<'d> {
    fn read(node: Node<'d>) -> Option<Self> {
        let place = node.place.clone();
        let written = if node.is_table() { Written::Named(node.entries()?) } else { Written::List(node.items()?) };
        Some(Self { place, written })
    }

    fn count(&self) -> usize {
        match &self.written {
            Written::List(items) => items.len(),
            Written::Named(entries) => entries.len(),
        }
    }

    /// The expressions in the order of the model's columns. Reports what does not fit them.
    fn in_order(self, model: Option<&Model>, problems: &Problems<'_>) -> Vec<Source> {
        let columns = model.and_then(Model::columns);
        match self.written {
            Written::List(items) => {
                let inputs: Vec<Source> = items.into_iter().filter_map(|input| input.read(source)).collect();
                if let Some(model) = model.filter(|model| model.inputs() != inputs.len()) {
                    let message =
                        format_args!("has {} items, but the model has {} inputs", inputs.len(), model.inputs());
                    match columns.and_then(|columns| columns.get(inputs.len())) {
                        Some(next) => problems.report(&self.place, format_args!("{message}; the next one is `{next}`")),
                        None => problems.report(&self.place, message),
                    }
                }
                for ((input, column), number) in inputs.iter().zip(columns.unwrap_or_default()).zip(1_usize..) {
                    check_name(input, column, number, columns.unwrap_or_default(), problems);
                }
                inputs
            }
            Written::Named(entries) => {
                let Some(columns) = columns else {
                    if model.is_some() {
                        let message = "names the columns, but the model's file does not; write a list in their order, or add \
                                       their names to the file's metadata as `feature_names`";
                        problems.report(&self.place, message);
                    }
                    return entries.into_iter().filter_map(|(_, input)| input.read(source)).collect();
                };
                for (name, _) in entries.iter().filter(|(name, _)| !columns.iter().any(|column| column == name.value)) {
                    let hint = suggestion(name.value, columns.iter().map(String::as_str));
                    let some: Vec<String> = columns.iter().take(COLUMNS_SHOWN).map(|column| shorten(column)).collect();
                    let (some, more) = (some.join(", "), if columns.len() > COLUMNS_SHOWN { ", …" } else { "" });
                    let message = format_args!("the model has no such column, expected one of {some}{more}{hint}");
                    problems.report(&name.place, message);
                }
                let mut inputs = Vec::with_capacity(columns.len());
                for column in columns {
                    match entries.iter().find(|(name, _)| name.value == column) {
                        Some((_, input)) => inputs.extend(input.clone().read(source)),
                        None => problems.report(
                            &self.place,
                            format_args!("has no expression for the model's column `{}`", shorten(column)),
                        ),
                    }
                }
                inputs
            }
        }
    }
}

/// Reports an input that is a feature or attribute with the name of another column than its own.
fn check_name(input: &Source, column: &str, number: usize, columns: &[String], problems: &Problems<'_>) {
    let text = input.value.trim();
    let Some(name) = text.strip_prefix("features.").or_else(|| text.strip_prefix("payment.")) else { return };
    if name != column
        && let Some(other) = columns.iter().position(|column| column == name)
    {
        let message = format_args!(
            "is `{}`, but column {number} of the model is `{}`; `{name}` is its column {}",
            shorten(text),
            shorten(column),
            other + 1
        );
        problems.report_by_now(input.place.span.start, &input.place, message);
    }
}

fn bytes_of<'b>(file: &Located<&str>, bundle: &'b Bundle) -> Result<&'b [u8], String> {
    if !is_file_name(file.value) {
        return Err("is not a file name of a bundle, expected at most 128 of a-z 0-9 _ . / - without `..`".to_owned());
    }
    bundle.file(file.value).ok_or_else(|| format!("there is no file `{}` beside policy.toml", file.value))
}

pub(super) fn rules(document: &mut Table<'_>, draft: &Draft<'_>) -> Vec<Option<RuleDraft>> {
    let mut names: Vec<Name> = Vec::new();
    let mut read = |node: Node<'_>| {
        let mut table = node.table()?;
        let problems = table.problems;
        let name =
            table.need("name", text).and_then(|key| Some(Located { value: name(&key, problems)?, place: key.place }));
        let description = table.description();
        let when = table.need("when", source);
        let then = table.needed("then").and_then(effect);
        let reason = table.get("reason", text).and_then(|code| draft.reasons.find(&code, problems)).map(ReasonIdx::at);
        let payments = payment_list(&mut table, draft).unwrap_or_else(|| draft.every_payment());
        table.finish();
        if let Some(Located { value: name, place }) = &name {
            if SYSTEM_REASONS.contains(&name.as_str()) {
                problems.report(place, format_args!("`{name}` is a reason code of the system, expected another name"));
            }
            if names.contains(name) {
                problems.report(place, format_args!("an earlier rule already has the name `{name}`"));
            }
            names.push(name.clone());
        }
        let when = when?;
        let spec = name.zip(then).map(|(name, then)| Rule {
            name: name.value,
            description,
            when: when.value.clone(),
            then,
            reason,
            payments: payments.clone(),
        });
        Some(RuleDraft { spec, when, payments })
    };
    items(document, "rules", RULES_MAX).into_iter().map(&mut read).collect()
}

fn effect(node: Node<'_>) -> Option<RuleEffect> {
    let mut table = node.table()?;
    let effects = ["decline", "review", "score", "tag"].map(|key| table.node(key));
    let (problems, place) = (table.problems, table.place.clone());
    table.finish();
    let bound = i64::from(SCORE_MAX);
    match effects {
        [Some(decline), None, None, None] => decline.read(yes).map(|_| RuleEffect::Decline),
        [None, Some(review), None, None] => review.read(yes).map(|_| RuleEffect::Review),
        [None, None, Some(score), None] => Some(RuleEffect::Score(score.read(whole(-bound..=bound))?.value)),
        [None, None, None, Some(tag)] => Some(RuleEffect::Tag(tag.read(text_within(TAG_BYTES_MAX))?.value.to_owned())),
        _ => {
            problems.report(&place, "expected exactly one effect: decline = true, review = true, score or tag");
            None
        }
    }
}

fn yes(value: &DeValue<'_>) -> Result<(), String> {
    if flag(value)? { Ok(()) } else { Err("is false, expected true".to_owned()) }
}

/// Reads `[decision]`: what turns the scores of models and rules into a verdict, and what makes one score of those of the models.
pub(super) fn decision(
    document: &mut Table<'_>,
    draft: &Draft<'_>,
) -> (Thresholds, Vec<(Source, Option<PaymentTypeIdx>)>) {
    let words = [("review", OnFailure::Review), ("approve", OnFailure::Approve), ("decline", OnFailure::Decline)];
    let mut thresholds = Thresholds::default();
    let Some(mut table) = document.node("decision").and_then(Node::table) else { return (thresholds, Vec::new()) };
    let scores = table.node("score").map_or_else(Vec::new, |node| scores(node, draft));
    let score = whole::<u16>(0..=i64::from(SCORE_MAX));
    let review_at = table.get("review_at", &score);
    let decline_at = table.get("decline_at", &score);
    thresholds.on_missing_feature = table.or("on_missing_feature", OnFailure::Review, choice(&words));
    thresholds.on_model_error = table.or("on_model_error", OnFailure::Review, choice(&words));
    if let (Some(review_at), Some(decline_at)) = (&review_at, &decline_at)
        && review_at.value > decline_at.value
    {
        let message = format_args!("is {}, expected at most decline_at, {}", review_at.value, decline_at.value);
        table.problems.report(&review_at.place, message);
    }
    table.finish();
    thresholds.review_at = review_at.map(|score| score.value);
    thresholds.decline_at = decline_at.map(|score| score.value);
    (thresholds, scores)
}

/// Reads one expression for all payment types that have models, or a table with one for each of some payment types.
fn scores(node: Node<'_>, draft: &Draft<'_>) -> Vec<(Source, Option<PaymentTypeIdx>)> {
    if !node.is_table() {
        return node.read(source).map(|source| (source, None)).into_iter().collect();
    }
    let entries = node.entries().unwrap_or_default().into_iter();
    entries
        .filter_map(|(payment, node)| {
            let payment = draft.payments.find(&payment, draft.problems).map(PaymentTypeIdx::at);
            Some((node.read(source)?, Some(payment?)))
        })
        .collect()
}

/// Reads the label values that count as fraud, by default `fraud` and `chargeback`.
pub(super) fn positive_labels(document: &mut Table<'_>) -> Vec<String> {
    let default = || ["fraud", "chargeback"].map(str::to_owned).to_vec();
    let Some(mut table) = document.node("labels").and_then(Node::table) else { return default() };
    let positive = labels(&mut table, "positive");
    table.finish();
    positive
}

/// Reads a list of label values, which must not be empty.
pub(super) fn labels(table: &mut Table<'_>, key: &'static str) -> Vec<String> {
    let (problems, place) = (table.problems, table.place.clone());
    let items = items(table, key, LABELS_MAX);
    if items.is_empty() {
        problems.report(&place, format_args!("`{key}` is missing or empty, expected a list of label values"));
    }
    items.into_iter().filter_map(|item| Some(item.read(text)?.value.to_owned())).collect()
}
