//! `[ledgers]`, `[entities]`, `[accounts]` and `[lists]`.

use types::{Asset, Code, LedgerId, Name};

use super::reader::{Table, choice, flag, parsed, text, whole};
use super::section::{Section, items};
use crate::index::{EntityIdx, LedgerIdx};
use crate::limits::{ACCOUNTS_MAX, ENTITIES_MAX, ENTITY_ATTRIBUTES_MAX, LEDGERS_MAX, LISTS_MAX};
use crate::spec::{
    AccountFlagsSpec, AccountTemplate, Entity, EntityAttribute, EntityAttributeType, LedgerSpec, ListHolds, ListSpec,
    Normalise,
};

pub(super) fn ledgers(document: &mut Table<'_>) -> Section<LedgerSpec> {
    let mut ids: Vec<(LedgerId, Name)> = Vec::new();
    Section::read(document, "ledgers", "ledger", LEDGERS_MAX, |name, mut table| {
        let id = table.need("id", whole(1..=i64::from(u32::MAX)));
        let asset = table.need("asset", parsed::<Asset>);
        let problems = table.problems;
        table.finish();
        let (id, asset) = (id?, asset?);
        let number = LedgerId::new(id.value);
        if let Some((_, other)) = ids.iter().find(|(known, _)| *known == number) {
            problems.report(&id.place, format_args!("is {number}, but ledger `{other}` already has this id"));
        }
        ids.push((number, name.clone()));
        Some(LedgerSpec { name, id: number, asset: asset.value })
    })
}

pub(super) fn entities(document: &mut Table<'_>) -> Section<Entity> {
    Section::read(document, "entities", "entity", ENTITIES_MAX, |name, mut table| {
        let personal = table.or("personal", true, flag);
        let normalise = normalise(&mut table);
        let attributes = Section::read(&mut table, "attributes", "attribute", ENTITY_ATTRIBUTES_MAX, |name, table| {
            attribute(name, table)
        });
        table.finish();
        let is_whole = attributes.broken().next().is_none();
        is_whole.then(|| Entity { name, personal, normalise, attributes: attributes.into_items() })
    })
}

fn attribute(name: Name, mut table: Table<'_>) -> Option<EntityAttribute> {
    table.description();
    let ty = table.need("type", choice(&EntityAttributeType::ALL));
    table.finish();
    Some(EntityAttribute { name, ty: ty?.value })
}

/// The word with which a list says that it holds texts.
const TEXT: &str = "text";

pub(super) fn lists(document: &mut Table<'_>, entities: &Section<Entity>) -> Section<ListSpec> {
    Section::read(document, "lists", "list", LISTS_MAX, |name, mut table| {
        let problems = table.problems;
        table.description();
        let holds = table.need("holds", text).and_then(|holds| match holds.value {
            TEXT => Some(ListHolds::Text),
            _ => entities.find(&holds, problems).map(|entity| ListHolds::Entity(EntityIdx::at(entity))),
        });
        table.finish();
        Some(ListSpec { name, holds: holds? })
    })
}

fn normalise(table: &mut Table<'_>) -> Normalise {
    let none = Normalise::default();
    let steps = [
        ("trim", Normalise { trim: true, ..none }),
        ("lowercase", Normalise { lowercase: true, ..none }),
        ("nfc", Normalise { nfc: true, ..none }),
    ];
    let named = items(table, "normalise", steps.len()).into_iter().filter_map(|node| node.read(choice(&steps)));
    named.fold(none, |all, step| Normalise {
        trim: all.trim || step.value.trim,
        lowercase: all.lowercase || step.value.lowercase,
        nfc: all.nfc || step.value.nfc,
    })
}

pub(super) fn accounts(
    document: &mut Table<'_>,
    ledgers: &Section<LedgerSpec>,
    entities: &Section<Entity>,
) -> Section<AccountTemplate> {
    Section::read(document, "accounts", "account", ACCOUNTS_MAX, |name, mut table| {
        let problems = table.problems;
        let ledger = table.need("ledger", text).and_then(|ledger| ledgers.find(&ledger, problems));
        let code = table.need("code", whole(1..=i64::from(u16::MAX)));
        let per = table.get("per", text).map(|entity| entities.find(&entity, problems));
        let flags = account_flags(&mut table);
        let open_on_first_use = table.or("open", true, choice(&[("on_first_use", true), ("never", false)]));
        table.finish();
        Some(AccountTemplate {
            name,
            ledger: LedgerIdx::at(ledger?),
            code: Code::new(code?.value),
            flags,
            per: match per {
                Some(entity) => Some(EntityIdx::at(entity?)),
                None => None,
            },
            open_on_first_use,
        })
    })
}

fn account_flags(table: &mut Table<'_>) -> AccountFlagsSpec {
    #[derive(Clone, Copy)]
    enum Flag {
        Debits,
        Credits,
        WindowSource,
    }
    let words = [
        ("debits_must_not_exceed_credits", Flag::Debits),
        ("credits_must_not_exceed_debits", Flag::Credits),
        ("history", Flag::WindowSource),
    ];
    let mut flags = AccountFlagsSpec::default();
    for node in items(table, "flags", words.len()) {
        let (problems, place) = (node.problems, node.place.clone());
        match node.read(choice(&words)).map(|flag| flag.value) {
            Some(Flag::Debits) => flags.debits_must_not_exceed_credits = true,
            Some(Flag::Credits) => flags.credits_must_not_exceed_debits = true,
            Some(Flag::WindowSource) => flags.history = true,
            None => {}
        }
        if flags.debits_must_not_exceed_credits && flags.credits_must_not_exceed_debits {
            problems.report(&place, "conflicts with the other limit, expected only one of them");
        }
    }
    flags
}
