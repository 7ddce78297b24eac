//! Lists, by their rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    AddToList, AddedValue, DeleteList, Engine, Header, ListFact, ListOf, ListReply, ListValue, ListedReply, MakeList,
    RemoveFromList,
};
use types::{Name, Seq, Timestamp, Token};

use super::ensure;

/// The list that the second policy declares; it holds customers.
const DECLARED: &str = "blocked";

/// All lists.
#[derive(Debug, Default, Clone)]
pub(crate) struct Lists(BTreeMap<Name, List>);

#[derive(Debug, Clone)]
struct List {
    /// What the list is, apart from the number of its values.
    shown: ListReply,
    /// The values by their debug form, which is unique.
    values: BTreeMap<String, ListedReply>,
}

fn key(value: &ListValue) -> String {
    format!("{value:?}")
}

fn declared() -> ListOf {
    ListOf::Entity("customer".parse().expect("a name"))
}

impl List {
    fn reply(&self) -> ListReply {
        ListReply { values: self.values.len(), ..self.shown.clone() }
    }
}

impl Lists {
    /// The expected answer to a request to make a list.
    pub(super) fn outcome_of_making(&self, make: &MakeList, is_declared: bool) -> &'static str {
        match self.0.get(&make.name).map(|list| &list.shown) {
            Some(known)
                if (&known.of, known.purpose, &known.description) == (&make.of, make.purpose, &make.description) =>
            {
                "before"
            }
            Some(_) => "list_exists_with_different_content",
            None if is_declared && make.name.as_str() == DECLARED && make.of != declared() => "policy_list_conflict",
            None => "now",
        }
    }

    /// The expected answer to a request to delete a list.
    pub(super) fn outcome_of_deleting(&self, DeleteList(name): &DeleteList, is_declared: bool) -> &'static str {
        match self.0.contains_key(name) {
            false => "list_not_found",
            true if is_declared && name.as_str() == DECLARED => "list_in_use",
            true => "now",
        }
    }

    /// The expected refusal of a request to add values, or those that change the list.
    pub(super) fn adds(&self, add: &AddToList) -> Result<Box<[AddedValue]>, &'static str> {
        let list = self.of(&add.list, &add.of)?;
        let is_new = |added: &&AddedValue| {
            let known = list.values.get(&key(&added.value));
            known.is_none_or(|known| (known.expires_at, &known.reason) != (added.expires_at, &added.reason))
        };
        Ok(add.values.iter().filter(is_new).cloned().collect())
    }

    /// The expected refusal of a request to remove values, or those that the list has.
    pub(super) fn removes(&self, remove: &RemoveFromList) -> Result<Box<[ListValue]>, &'static str> {
        let list = self.of(&remove.list, &remove.of)?;
        Ok(remove.values.iter().filter(|value| list.values.contains_key(&key(value))).cloned().collect())
    }

    fn of(&self, name: &Name, of: &ListOf) -> Result<&List, &'static str> {
        let list = self.0.get(name).ok_or("list_not_found")?;
        if list.shown.of == *of { Ok(list) } else { Err("list_holds_other_values") }
    }

    /// Whether the list that the second policy declares exists and holds something else.
    pub(super) fn is_in_conflict(&self) -> bool {
        self.0.get(DECLARED).is_some_and(|list| list.shown.of != declared())
    }

    /// Whether a customer is in the list that the second policy declares, and the version of that list.
    pub(super) fn blocks(&self, customer: Token, at: Timestamp) -> (bool, Seq) {
        let Some(list) = self.0.get(DECLARED) else { return (false, Seq::ZERO) };
        let known = list.values.get(&key(&ListValue::Entity(customer)));
        let is_in = known.is_some_and(|known| known.expires_at.is_none_or(|expires_at| expires_at > at));
        (is_in, list.shown.version)
    }

    pub(super) fn knows(&self, name: &Name) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn shows(&self, told: &ListReply) -> bool {
        self.0.get(&told.name).is_some_and(|list| list.reply() == *told)
    }

    pub(super) fn shows_all(&self, told: &[ListReply]) -> bool {
        self.0.values().map(List::reply).eq(told.iter().cloned())
    }

    /// Whether a value is shown as a list has it at `at`.
    pub(super) fn has(&self, name: Option<&Name>, told: &ListedReply, at: Timestamp) -> bool {
        let same = |list: &List| {
            list.values.get(&key(&told.value)).is_some_and(|known| {
                let has_expired = known.expires_at.is_some_and(|expires_at| expires_at <= at);
                ListedReply { has_expired, ..known.clone() } == *told
            })
        };
        match name {
            Some(name) => self.0.get(name).is_some_and(same),
            None => self.0.values().any(same),
        }
    }

    /// The number of values of a list.
    pub(super) fn count(&self, name: &Name) -> usize {
        self.0.get(name).map_or(0, |list| list.values.len())
    }

    pub(super) fn has_value(&self, name: &Name, of: &ListOf, value: &ListValue) -> bool {
        self.of(name, of).is_ok_and(|list| list.values.contains_key(&key(value)))
    }

    /// Applies a fact. Fails if something is made twice, or changes that is not there.
    pub(super) fn apply(&mut self, header: &Header, fact: &ListFact) -> Result<(), String> {
        let (seq, at, by) = (header.seq, header.decided_at, header.actor);
        if let ListFact::Made { list, of, purpose, description } = fact {
            let shown = ListReply {
                name: list.clone(),
                of: of.clone(),
                purpose: *purpose,
                description: description.clone(),
                values: 0,
                made: seq,
                made_at: at,
                made_by: by,
                version: seq,
                changed_at: at,
                changed_by: by,
            };
            let before = self.0.insert(list.clone(), List { shown, values: BTreeMap::new() });
            return ensure(before.is_none(), "SIM-2", || format!("entry {seq} makes a list again"));
        }
        let list = self.0.get_mut(fact.list()).ok_or_else(|| format!("SIM-2: entry {seq} changes no list"))?;
        (list.shown.version, list.shown.changed_at, list.shown.changed_by) = (seq, at, by);
        match fact {
            ListFact::ValuesAdded { values, .. } => {
                for AddedValue { value, expires_at, reason } in values {
                    let added = ListedReply {
                        value: value.clone(),
                        expires_at: *expires_at,
                        has_expired: false,
                        reason: Arc::clone(reason),
                        added: seq,
                        added_at: at,
                        added_by: by,
                    };
                    list.values.insert(key(value), added);
                }
            }
            ListFact::ValuesRemoved { values, .. } => {
                for value in values {
                    let removed = list.values.remove(&key(value));
                    ensure(removed.is_some(), "SIM-2", || format!("entry {seq} removes a value again"))?;
                }
            }
            ListFact::Deleted { list } => {
                self.0.remove(list);
            }
            ListFact::Made { .. } => {}
        }
        Ok(())
    }

    /// Checks that the engine has the same lists. Their values are compared when they are asked for.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        let is_same = engine.lists().eq(self.0.values().map(List::reply));
        ensure(is_same, "SIM-5", || "the engine has other lists".to_owned())
    }
}
