//! The policy: one versioned bundle of payment types, features, rules and models. It is compiled once and evaluated for
//! every payment.
//!
//! A [`Bundle`] is the `policy.toml` of a folder with the models that it names. [`Policy::compile`] checks all of it
//! and returns either an immutable [`Policy`] or every [`Problem`] with its place in the document. [`Policy::evaluate`]
//! turns the [`Facts`] of a payment and the [`WindowSource`] of its entities into an [`Evaluation`]. It is a pure function,
//! so the same payment gets the same answer on every machine. It does no I/O and uses no clock or randomness.
//!
//! An evaluation goes in this order: the streams that record the payment, features, models, the score of the models, rules, thresholds, legs.
//! Each feature is computed once. The verdict is the strictest one that rules, thresholds and failures ask for. A rule
//! that fails for any reason other than a missing value always asks for a review, and so does a stream that cannot
//! record the payment: neither is ever skipped silently. The codes of the system's own reasons are in [`reason`]; what
//! they mean and what to do is in `docs/reasons.md`.
//!
//! The document may contain tests: payments of a history, a payment, and the decision that is expected. `engine` runs them
//! whenever a policy is checked or uploaded.
//!
//! # The document
//!
//! This is a complete `policy.toml`. Names have 1 to 64 characters of `a-z 0-9 _` and start with a letter. The bounds
//! on everything are in [`limits`]. A span of time is a whole number followed by one of `d h m s ms us ns`.
//!
//! ```toml
#![doc = include_str!("../example/policy.toml")]
//! ```
//!
//! Expressions are written in [CEL](cel). They can read `payment.amount` (an int, in minor units), `payment.type` and
//! `payment.asset` (strings), `payment.occurred_at` and `payment.decided_at` (timestamps) and `payment.<attribute>`.
//! Features, rules and inputs of models can also read `features.<feature>`, and streams those that are attributes of entities; features must not read each other in a circle. An expression is compiled for every payment type that
//! it applies to and must be valid for all of them; `payments` limits it to some types. An optional attribute or a
//! feature may be missing. `has(payment.device)` tests for that; if an expression reads a missing value without
//! testing, `on_missing_feature` decides.
//!
//! ```text
//! payment.country in ['NO', 'SE'] && !payment.email.matches('@(example|test)\\.com$')
//! payment.decided_at.getHours('Europe/Berlin') < 6 && features.cards_1h > 3
//! [features.cards_1h, features.cards_1d].exists(count, count > 10)
//! payment.amount > {'NO': 50000, 'SE': 70000}[payment.country]
//! ```
//!
//! # Lists
//!
//! `payment.device in list("blocked_devices")` looks a value up in a list that requests change while the policy is active. Expressions of
//! every kind can do that. The document declares each list and what it holds; to name another one is a problem, and the message has
//! the nearest declared name. A list that no request has made yet is empty. An entity is looked up in a list of its kind, which holds
//! tokens. A string is looked up in a list of texts, which are kept in the clear, so it must not be personal. A value that has expired at
//! the time of the decision is not in the list. A decision names the version of every list that it looked into.
//!
//! # Attributes of entities
//!
//! `[entities.customer.attributes]` declares what can be set for each value of an entity, with its type: `string`, `int`, `double`, `bool` or
//! `timestamp`. Requests to `PUT /v1/entities/{entity}/{key}` set and remove values while the policy is active; they are kept in the clear, so they must not be
//! personal data. A feature with `attribute` is the value that the entity in the payment's attribute `of` has at the moment of the decision. A
//! timestamp is read as an int: the whole seconds from it to `payment.decided_at`, rounded down, negative if it is in the future.
//!
//! The feature is missing with the reason `not_set` if nobody has set the attribute for this entity, with `attribute_absent` if the payment leaves out the entity, and with
//! `out_of_range` if the value was set when a policy declared another type. Such features need no history, so the expressions of streams can
//! read them too (`where = "has(features.kyc_level) && features.kyc_level < 2"`), but not other features. A record keeps what counted when its payment was decided.
//!
//! A test sets attributes with `entities = [{ entity = "customer", key = "ann", attributes = { kyc_level = 1 } }]`; `before = "2h"` sets them that long before the
//! payment under test, and without it they are set before everything else.
//!
//! # Expressions
//!
//! What there is, where the language leaves a choice, and the bounds are in [`cel`].
//!
//! An entity can be compared with another one of its kind, and with strings: `payment.merchant == 'm-17'` or
//! `payment.merchant in ['m-17', 'm-18']`. Strings are equal if they are the same byte by byte: `Café`, `café` and
//! `café ` are three values, and so are two ways to write é in Unicode. A policy is stored in the clear and never
//! erased, so it should not contain the names of persons.
//!
//! An input of a model that is missing is best written as `has(payment.risk) ? payment.risk : 0.0 / 0.0`: the model gets
//! NaN, and each branch of a tree says where NaN goes.
//!
//! `inputs` lists one expression per column of the model, in order. If the model's file names its columns, `inputs` may
//! instead be a table with the name of each column as key, in any order. Names come from the file's metadata
//! (`feature_names`, one a line; `scripts/add_covers.py --columns` writes them) or from the graph's inputs if each has one
//! column. A name that the model does not have, a column without an expression, and in a list a feature that has the name
//! of another column, are problems.
//!
//! # Several models
//!
//! Rules, the inputs of later models and `decision.score` can read `models.<model>`: the probability that the model gave, a double from 0 to 1. It is missing if
//! the model gave none. So a model can be asked only in rules, two models can be combined, and the answers of models can be inputs of another one further
//! down in the document, the ensemble. A feature, a stream and a leg cannot read one.
//!
//! The score of the models is round(1000 · probability) of the highest one, unless `[decision]` has `score`: an expression that gives a probability, a double. A result
//! below 0 or above 1 counts as 0 or 1. What is written once holds for every payment type that has models. If types differ, it is a table:
//! `score = { card = "0.7 * models.fraud + 0.3 * models.takeover", transfer = "models.takeover" }`, and types that are not named take the highest.
//! If it reads a model that gave no probability, `on_missing_feature` decides; if it has no value for another reason, `on_model_error` does. Both
//! are then added to the reasons, and the score of the models counts as 0.
//!
//! # Explanations and reasons for customers
//!
//! [`Policy::explain`] divides the score of a model among its inputs, for a payment that was decided. [`Policy::explain_stored`] does so from
//! what the journal keeps of the payment in the clear, and [`Policy::trace`] tells what became of each rule. Personal attributes and the values of
//! entities are sealed there, so a model that reads one is not explained, and a rule of which the outcome depends on one is not evaluated again.
//!
//! `[reasons]` has texts that are fit for a letter to a customer, each with a code of up to 64 characters that the policy chooses and that no
//! reason of the system has. A rule refers to one with `reason`. A model does so with the table `reasons`: its keys are columns, if the model's
//! file names them, or expressions exactly as in `inputs`, and a key that is neither is a problem. The text belongs to an input only where the input
//! raised the score. Several inputs may have the same reason, and then count together. A description of a rule is for the people who examine payments;
//! a text of `[reasons]` is for the customer.
//!
//! Features, amounts, records and what they are grouped by are stored in the clear, so their expressions must not read a personal
//! attribute, except for features that are true or false. Filters, rules and inputs of models may read one.
//!
//! # Streams
//!
//! A stream has these settings besides those in the example:
//!
//! | setting | meaning |
//! | --- | --- |
//! | `of = ["customer", "device"]` | Each pair of a customer and a device has records of its own. A payment without one of the two adds none. |
//! | `group = "payment.country"` | An expression over `payment.*` that gives a string, an int, a bool, an entity or an account. The records of each value are apart, and a feature reads those of the payment's own group: `payment.occurred_at.getHours()` for groups per hour of the day. Only payment types that the stream records have its features. |
//! | `item = "payment.device"` | Such an expression, which says what else a record is about. `distinct` counts different items, and `seen` looks for the payment's own one. A payment that leaves out the attribute adds a record without an item. |
//!
//! The records of a pair or a group are kept under a token that is derived from the tokens of its entities and from the group. Once the
//! key of one of the entities is erased, nobody can tell which records are about it: neither its token nor one derived from it can be
//! made from the entity's value any more. An item is the lower half of an entity's token, or a hash of 64 bits of another value; two
//! different values of an entity count as one with a probability of 2^-64.
//!
//! A record takes 22 bytes of memory, and half a byte for sums. In a stream with items it takes 16 bytes more. If a feature asks a
//! stream for `min`, `max`, `stddev` or `zscore`, a record takes 1.25 bytes more.
//!
//! # Aggregates
//!
//! A window contains the records of the entity, pair or group in (t − delay − window, t − delay], where t is the payment's time on the stream's
//! clock. If there is no `delay`, the payment's own record is one of them. The *earlier* records are those without it; an aggregate
//! over them needs no delay to leave the payment out. *x* are the values of the records, *n* is their number, and *v* is the value of the
//! payment. Everything is computed from exact integers. A double is rounded where the table says so, and the same on every machine.
//!
//! | aggregate | type | value | without records |
//! | --- | --- | --- | --- |
//! | `count` | int | *n* | 0 |
//! | `sum` | int | Σ*x* | 0 |
//! | `mean` | double | Σ*x* / *n*: the quotient of the nearest doubles | 0.0 |
//! | `stddev` | double | √((*n* Σ*x*² − (Σ*x*)²) / (*n* (*n* − 1))), the standard deviation of a sample: numerator and denominator are exact and each is rounded to the nearest double, then the quotient and the root are rounded | 0.0, also with one record |
//! | `min`, `max` | int | the smallest or largest *x* | missing |
//! | `quantile` | int | with `quantile = 0.95`, a share from 0 to 1 with at most 6 decimals: the smallest *x* such that at least this share of all records have a value that is not larger (nearest rank) | missing |
//! | `median` | int | the quantile 0.5 | missing |
//! | `last` | int | *x* of the newest record, which is the payment's own one if that is in the window | missing |
//! | `previous` | int | *x* of the record before the newest one | missing, also with one record |
//! | `since_last` | int | whole seconds from the newest earlier record to t, rounded down | missing |
//! | `since_first` | int | whole seconds from the oldest earlier record to t, rounded down | missing |
//! | `ratio` | double | *v* / mean of the earlier records: *v* *n* / Σ*x*, the quotient of the nearest doubles | missing, also if Σ*x* is 0 |
//! | `zscore` | double | (*v* − mean) / `stddev`, both of the earlier records: (*v* *n* − Σ*x*) / *n*, the quotient of the nearest doubles, divided by the standard deviation | missing, also with one record or if all are equal |
//! | `count_change` | double | *n* in this window over *n* in the window before, which has the length `compare_to` (default: `window`), for equal lengths: (*n* / *n* before) · (`compare_to` / `window`), with quotients of the nearest doubles | 0.0; missing if the window before has none |
//! | `sum_change` | double | the same with Σ*x* | 0.0; missing if the sum before is 0 |
//! | `distinct` | int | the number of different items | 0 |
//! | `seen` | bool | whether an earlier record has the payment's own item | false; missing if the payment has no item |
//! | `label_count` | int | the number of records with a positive label by now | 0 |
//! | `label_rate` | double | `label_count` / *n*: the quotient of the nearest doubles | 0.0 |
//!
//! *Missing without records* has the reason `too_few_records`. Every aggregate is missing with the reason `window_truncated` if the
//! window lost records (`records_max`) or reaches back to before its stream began to record, with `too_many_entities` if records of the
//! entity may have been dropped (`entities_max`), and with `attribute_absent` if the payment leaves out an attribute that identifies the records.
//! An int beyond 64 bits and a double that is not finite are missing with `out_of_range`. `ratio`, `zscore` and `seen` exist only for
//! payment types that add records to the stream; if the filter leaves a payment out, they compare what it would have added.
//!
//! `count`, `sum`, `mean` and labels take the same time for every window, and so do `last`, `previous`, `since_last` and
//! `since_first`. `min`, `max`, `stddev` and `zscore` look at each 32 records of the window, `distinct`, `seen` and quantiles
//! at each of them, so that `records_max` bounds the time. `finaira bench features` measures them.

pub mod cel;
pub mod limits;
pub mod onnx;
pub mod reason;

mod bundle;
mod compile;
mod compiled_type;
mod document;
mod evaluate;
mod evaluation;
mod explain;
mod history;
mod index;
mod literal;
mod policy;
mod problem;
mod reads;
mod spec;
mod value;

pub use bundle::{Bundle, BundleError, DOCUMENT, is_file_name, model_files};
pub use evaluation::{
    AccountRef, Effect, Evaluation, Facts, Failure, FailureCause, LegPlan, Part, Reason, Score, StreamRecord, Verdict,
    WindowSource,
};
pub use explain::{
    Contribution, Explained, Explanation, LIST, LOOKS_INTO_A_LIST, NotExplained, RuleOutcome, RuleTrace, Sealed, Stored,
};
pub use index::{
    AccountTemplateIdx, AttributeIdx, EntityAttributeIdx, EntityIdx, FeatureIdx, LedgerIdx, ListIdx, ModelIdx,
    PaymentTypeIdx, ReasonIdx, StreamIdx,
};
pub use limits::AMOUNT_MAX;
pub use policy::Policy;
pub use problem::{Problem, ProblemPlace, Warning};
pub use reads::Reads;
pub use reason::{LEG_FAILED, ReasonText};
pub use spec::{
    AccountFlagsSpec, AccountTemplate, AggregateKind, AmountUnit, Attribute, AttributeKind, Capture, CaptureExpiry,
    Counts, DecimalMark, Entity, EntityAttribute, EntityAttributeType, FeatureSource, FeatureSpec, FeatureType,
    FileMapping, LabelColumn, LedgerSpec, Leg, LegAccount, ListHolds, ListSpec, ModelSpec, Normalise, OccurredAt,
    OnFailure, PaymentType, PolicyTest, Review, ReviewExpiry, Rule, RuleEffect, StreamClock, StreamSpec, TestAttribute,
    TestExpectation, TestPayment, Thresholds,
};
pub use value::{AttributeValue, EntityValue, FeatureValue, MissingReason};
