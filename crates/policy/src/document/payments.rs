//! `[payments]`: types, their attributes and their legs.

use types::{Code, Name, Span};

use super::reader::{Located, Node, Table, choice, flag, span, text, whole};
use super::section::{SPAN_MIN, Section, items};
use super::{Draft, Source, source_or};
use crate::compiled_type::BUILT_IN;
use crate::index::{AccountTemplateIdx, AttributeIdx, EntityIdx, LedgerIdx};
use crate::limits::{
    ATTRIBUTES_MAX, CHARS_MAX, CHARS_MAX_DEFAULT, DEADLINE_MAX, LEGS_MAX, OCCURRED_AT_MAX, PAYMENT_TYPES_MAX,
    REVIEW_DEADLINE_DEFAULT,
};
use crate::problem::Place;
use crate::spec::{
    Attribute, AttributeKind, Capture, CaptureExpiry, Leg, LegAccount, OccurredAt, PaymentType, Review, ReviewExpiry,
};

/// A payment type with the expressions of its legs' amounts.
#[derive(Debug)]
pub(crate) struct PaymentDraft {
    pub(crate) spec: PaymentType,
    pub(crate) amounts: Vec<Source>,
    pub(crate) place: Place,
}

pub(super) fn payment_types(document: &mut Table<'_>, draft: &Draft<'_>) -> Section<PaymentDraft> {
    let section = Section::read(document, "payments", "payment type", PAYMENT_TYPES_MAX, |name, table| {
        payment_type(name, table, draft)
    });
    if section.len() == 0 {
        document
            .problems
            .report(&document.place, "there is no payment type, expected at least one `[payments.<name>]`");
    }
    section
}

fn payment_type(name: Name, mut table: Table<'_>, draft: &Draft<'_>) -> Option<PaymentDraft> {
    let problems = table.problems;
    let description = table.description();
    let ledger = table.need("ledger", text).and_then(|ledger| draft.ledgers.find(&ledger, problems));
    let attributes = attributes(&mut table, draft);
    let subject = table.get("subject", text).map(|subject| subject_attribute(&subject, &attributes, &table, draft));
    if let (None, Some((_, attribute))) = (&subject, attributes.iter().find(|(_, attribute)| attribute.personal)) {
        let message =
            format_args!("`subject` is missing, but its key must seal the personal attribute `{}`", attribute.name);
        problems.report(&table.place, message);
    }
    let capture = capture(&mut table);
    let review = Review {
        deadline: table.or("review_deadline", REVIEW_DEADLINE_DEFAULT, span(SPAN_MIN..=DEADLINE_MAX)),
        on_deadline: table.or(
            "on_review_deadline",
            ReviewExpiry::Decline,
            choice(&[("decline", ReviewExpiry::Decline), ("approve", ReviewExpiry::Approve)]),
        ),
    };
    let occurred_at = table.node("occurred_at").map(occurred_at);
    let scope = LegScope { ledger, attributes: &attributes, draft };
    let place = table.place.clone();
    let legs: Vec<_> = items(&mut table, "legs", LEGS_MAX).into_iter().map(|leg| scope.leg(leg)).collect();
    if legs.is_empty() {
        problems.report(&place, format_args!("there is no leg, expected at least one `[[{}.legs]]`", place.path));
    }
    table.finish();
    if attributes.broken().next().is_some() {
        return None;
    }
    // Other parts with problems are left out or replaced by a default: the attributes suffice to check the expressions.
    let (legs, amounts) = legs.into_iter().flatten().unzip();
    let spec = PaymentType {
        name,
        description,
        ledger: LedgerIdx::at(ledger.unwrap_or_default()),
        subject: subject.flatten(),
        legs,
        capture: capture.unwrap_or(Capture::Immediate),
        review,
        occurred_at: occurred_at.flatten(),
        attributes: attributes.into_items(),
    };
    Some(PaymentDraft { spec, amounts, place })
}

fn attributes(table: &mut Table<'_>, draft: &Draft<'_>) -> Section<Attribute> {
    Section::read(table, "attributes", "attribute", ATTRIBUTES_MAX, |name, mut table| {
        let problems = table.problems;
        let built_in = BUILT_IN.iter().any(|(known, ..)| *known == name.as_str());
        if built_in {
            problems.report(&table.place, format_args!("every payment already has `{name}`, expected another name"));
        }
        let kind = kind(&mut table, draft);
        let required = table.or("required", true, flag);
        let personal = table.get("personal", flag).filter(|personal| personal.value);
        table.finish();
        let kind = kind?;
        if let (Some(personal), AttributeKind::Entity(_) | AttributeKind::Account) = (&personal, kind) {
            let message = "is true, expected false: values of entities and accounts are already opaque";
            problems.report(&personal.place, message);
        }
        let attribute = Attribute { name, kind, required, personal: personal.is_some() };
        (!built_in).then_some(attribute)
    })
}

fn kind(table: &mut Table<'_>, draft: &Draft<'_>) -> Option<AttributeKind> {
    const STRING: AttributeKind = AttributeKind::Text { chars_max: CHARS_MAX_DEFAULT };
    // A placeholder: the entity is filled in below.
    const ENTITY: AttributeKind = AttributeKind::Entity(EntityIdx::new(0));
    let words = [
        ("string", STRING),
        ("int", AttributeKind::Int),
        ("double", AttributeKind::Double),
        ("bool", AttributeKind::Bool),
        ("timestamp", AttributeKind::Time),
        ("entity", ENTITY),
        ("account", AttributeKind::Account),
    ];
    let kind = table.need("type", choice(&words))?.value;
    match kind {
        AttributeKind::Text { .. } => {
            let chars_max = table.or("chars_max", CHARS_MAX_DEFAULT, whole(1..=i64::from(CHARS_MAX)));
            Some(AttributeKind::Text { chars_max })
        }
        AttributeKind::Entity(_) => {
            let entity = table.need("entity", text)?;
            Some(AttributeKind::Entity(EntityIdx::at(draft.entities.find(&entity, table.problems)?)))
        }
        AttributeKind::Int
        | AttributeKind::Double
        | AttributeKind::Bool
        | AttributeKind::Time
        | AttributeKind::Account => Some(kind),
    }
}

/// Finds the subject and checks it: it must be present whenever something is sealed with its key, and it must have a
/// key of its own.
fn subject_attribute(
    subject: &Located<&str>,
    attributes: &Section<Attribute>,
    table: &Table<'_>,
    draft: &Draft<'_>,
) -> Option<AttributeIdx> {
    let position = attributes.find(subject, table.problems)?;
    let attribute = attributes.get(position)?;
    let personal = |entity: EntityIdx| draft.entities.get(entity.get()).is_none_or(|entity| entity.personal);
    let sealing = matches!(attribute.kind, AttributeKind::Entity(entity) if personal(entity));
    if !sealing || !attribute.required {
        let message = format_args!("is `{}`, expected a required attribute of a personal entity", attribute.name);
        table.problems.report(&subject.place, message);
    }
    Some(AttributeIdx::at(position))
}

fn capture(table: &mut Table<'_>) -> Option<Capture> {
    let problems = table.problems;
    let manual = table.or("capture", false, choice(&[("immediate", false), ("manual", true)]));
    if manual {
        let deadline = table.need("capture_deadline", span(SPAN_MIN..=DEADLINE_MAX))?.value;
        let words = [("void", CaptureExpiry::Void), ("capture", CaptureExpiry::Capture)];
        let on_deadline = table.or("on_capture_deadline", CaptureExpiry::Void, choice(&words));
        return Some(Capture::Manual { deadline, on_deadline });
    }
    for node in ["capture_deadline", "on_capture_deadline"].into_iter().filter_map(|key| table.node(key)) {
        problems.report(&node.place, "has no effect without `capture = \"manual\"`");
    }
    Some(Capture::Immediate)
}

fn occurred_at(node: Node<'_>) -> Option<OccurredAt> {
    let mut table = node.table()?;
    let late_max = table.need("late_max", span(Span::ZERO..=OCCURRED_AT_MAX));
    let ahead_max = table.need("ahead_max", span(Span::ZERO..=OCCURRED_AT_MAX));
    table.finish();
    Some(OccurredAt { late_max: late_max?.value, ahead_max: ahead_max?.value })
}

/// What the legs of one payment type can refer to.
struct LegScope<'a> {
    ledger: Option<usize>,
    attributes: &'a Section<Attribute>,
    draft: &'a Draft<'a>,
}

impl LegScope<'_> {
    fn leg(&self, node: Node<'_>) -> Option<(Leg, Source)> {
        let mut table = node.table()?;
        let debit = table.needed("debit").map(|debit| self.account(debit));
        let credit = table.needed("credit").map(|credit| self.account(credit));
        let amount = source_or(&mut table, "amount", "payment.amount");
        let code = table.need("code", whole(1..=i64::from(u16::MAX)));
        let (problems, place) = (table.problems, table.place.clone());
        table.finish();
        let (debit, credit) = (debit??, credit??);
        if debit == credit {
            problems.report(&place, "debit and credit are the same account, expected two different ones");
        }
        let amount = amount?;
        Some((Leg { debit, credit, amount: amount.value.clone(), code: Code::new(code?.value) }, amount))
    }

    /// Reads `{ account = "wallet", of = "customer" }`, `{ account = "settlement" }` or `{ attribute = "from" }`.
    fn account(&self, node: Node<'_>) -> Option<LegAccount> {
        let mut table = node.table()?;
        let problems = table.problems;
        let (account, of, attribute) =
            (table.get("account", text), table.get("of", text), table.get("attribute", text));
        let place = table.place.clone();
        table.finish();
        match (account, attribute) {
            (Some(account), None) => self.template(&account, of.as_ref()),
            (None, Some(attribute)) if of.is_none() => {
                let position = self.required(&attribute)?;
                let kind = self.attributes.get(position)?.kind;
                if kind != AttributeKind::Account {
                    problems.report(&attribute.place, "is not an account attribute, expected one of type \"account\"");
                }
                Some(LegAccount::Attribute(AttributeIdx::at(position)))
            }
            _ => {
                let expected = "expected `account`, `account` with `of`, or `attribute` alone";
                problems.report(&place, format_args!("does not name exactly one account, {expected}"));
                None
            }
        }
    }

    fn template(&self, account: &Located<&str>, of: Option<&Located<&str>>) -> Option<LegAccount> {
        let problems = self.draft.problems;
        let position = self.draft.accounts.find(account, problems)?;
        let attribute = of.map(|of| self.required(of));
        let template = self.draft.accounts.get(position)?;
        if self.ledger.is_some_and(|ledger| ledger != template.ledger.get()) {
            let message = format_args!("account `{}` is in another ledger than the payment type", template.name);
            problems.report(&account.place, message);
        }
        let idx = AccountTemplateIdx::at(position);
        match (template.per, of) {
            (None, None) => Some(LegAccount::Single(idx)),
            (Some(entity), Some(of)) => {
                let position = attribute.flatten()?;
                let attribute = self.attributes.get(position)?;
                if attribute.kind != AttributeKind::Entity(entity) {
                    let expected = self.draft.entities.get(entity.get()).map(|entity| entity.name.as_str());
                    let message = format_args!(
                        "`{}` is not an attribute of entity `{}`, for each value of which there is one account `{}`",
                        attribute.name,
                        expected.unwrap_or_default(),
                        template.name
                    );
                    problems.report(&of.place, message);
                }
                Some(LegAccount::Of(idx, AttributeIdx::at(position)))
            }
            (Some(_), None) => {
                let message = format_args!("`of` is missing: there is one account `{}` per entity", template.name);
                problems.report(&account.place, message);
                None
            }
            (None, Some(of)) => {
                problems.report(
                    &of.place,
                    format_args!("account `{}` is a single account, expected no `of`", template.name),
                );
                None
            }
        }
    }

    /// Finds an attribute that a leg can rely on.
    fn required(&self, name: &Located<&str>) -> Option<usize> {
        let problems = self.draft.problems;
        let position = self.attributes.find(name, problems)?;
        if self.attributes.get(position).is_some_and(|attribute| !attribute.required) {
            problems.report(
                &name.place,
                format_args!("`{}` is optional, but a leg needs a required attribute", name.value),
            );
        }
        Some(position)
    }
}
