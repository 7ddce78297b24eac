//! Making, changing and deleting lists.

use types::{Name, RequestId, Timestamp};

use super::{
    AddedValue, LIST_CHANGE_BYTES_MAX, LIST_CHANGES_MAX, LIST_VALUES_MAX, LISTS_MAX, ListChanged, ListFact, ListOf,
    ListPurpose, ListRefusal, ListReply, ListValue, declared_by,
};
use crate::command::Execute;
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact};
use crate::{Answered, Engine, Made, Refusal, Request, Sink};

/// Make a list. If there is one with the same content, nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeList {
    pub name: Name,
    pub of: ListOf,
    pub purpose: ListPurpose,
    pub description: Box<str>,
}

/// Add values to a list. A value that it has gets the new expiry and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddToList {
    pub list: Name,
    /// What the values are.
    pub of: ListOf,
    /// At most [`LIST_CHANGES_MAX`].
    pub values: Vec<AddedValue>,
}

/// Remove values from a list. Those that it does not have are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveFromList {
    pub list: Name,
    /// What the values are.
    pub of: ListOf,
    /// At most [`LIST_CHANGES_MAX`].
    pub values: Vec<ListValue>,
}

/// Delete a list with its values, unless the active policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteList(pub Name);

impl Decide for MakeList {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self { name, of, purpose, description } = self;
        if let Some(known) = engine.state.lists.find(name) {
            if (&known.of, known.purpose, &known.description) == (of, *purpose, description) {
                return Ok(Decided::Before((Made::Before, Box::new(known.reply(name)))));
            }
            let (of, purpose) = (known.of.clone(), known.purpose);
            return Err(ListRefusal::ExistsWithDifferentContent { list: name.clone(), of, purpose }.into());
        }
        let policy = engine.policy.as_deref();
        if let Some((_, declared)) = policy.into_iter().flat_map(declared_by).find(|(known, _)| *known == name)
            && declared != *of
        {
            return Err(ListRefusal::DeclaredOtherwise { list: name.clone(), of: of.clone(), declared }.into());
        }
        if engine.state.lists.places.len() >= LISTS_MAX {
            return Err(ListRefusal::TooManyLists.into());
        }
        Ok(made(ListFact::Made {
            list: name.clone(),
            of: of.clone(),
            purpose: *purpose,
            description: description.clone(),
        }))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, reply(engine, &self.name)?))
    }
}

impl Decide for AddToList {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self { list: name, of, values } = self;
        let list = engine.found(name)?;
        list.check(name, of)?;
        let mut before = None;
        let reason_bytes = |added: &AddedValue| {
            let is_same = before.replace(added.reason.clone()).is_some_and(|before| before == added.reason);
            if is_same { 0 } else { added.reason.len() }
        };
        let reasons: usize = values.iter().map(reason_bytes).sum();
        check_size(values.len(), reasons.saturating_add(values.iter().map(|added| text_bytes(&added.value)).sum()))?;
        let mut new: usize = 0;
        let changes = |added: &&AddedValue| match list.values.get(&added.value, Timestamp::ZERO) {
            Some(known) => known.expires_at != added.expires_at || known.reason != added.reason,
            None => {
                new = new.saturating_add(1);
                true
            }
        };
        let changed: Box<[AddedValue]> = values.iter().filter(changes).cloned().collect();
        if changed.is_empty() {
            return Ok(Decided::Before(Box::new(ListChanged {
                list: list.reply(name),
                changed: 0,
                unchanged: values.len(),
            })));
        }
        let present = engine.state.lists.slots();
        let wanted = present.saturating_sub(list.values.slots()).saturating_add(list.values.slots_with(new));
        if wanted > LIST_VALUES_MAX && wanted > present {
            return Err(ListRefusal::TooManyValues { present, wanted }.into());
        }
        Ok(made(ListFact::ValuesAdded { list: name.clone(), values: changed }))
    }

    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self> {
        changed(engine, &self.list, self.values.len(), entry)
    }
}

impl Decide for RemoveFromList {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self { list: name, of, values } = self;
        let list = engine.found(name)?;
        list.check(name, of)?;
        check_size(values.len(), values.iter().map(text_bytes).sum())?;
        let mut seen = std::collections::HashSet::with_hasher(foldhash::fast::RandomState::default());
        let there = values.iter().filter(|value| list.values.get(value, Timestamp::ZERO).is_some());
        let removed: Box<[ListValue]> = there.filter(|value| seen.insert(*value)).cloned().collect();
        if removed.is_empty() {
            return Ok(Decided::Before(Box::new(ListChanged {
                list: list.reply(name),
                changed: 0,
                unchanged: values.len(),
            })));
        }
        Ok(made(ListFact::ValuesRemoved { list: name.clone(), values: removed }))
    }

    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self> {
        changed(engine, &self.list, self.values.len(), entry)
    }
}

impl DeleteList {
    /// The list that it deletes, as it is now.
    fn judge(&self, engine: &Engine) -> Result<Box<ListReply>, Refusal> {
        let Self(name) = self;
        let reply = reply(engine, name)?;
        match engine.state.lists.declared.contains(name) {
            true => Err(ListRefusal::InUse(name.clone()).into()),
            false => Ok(reply),
        }
    }
}

impl Execute for DeleteList {
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let deleted = self.judge(engine)?;
        let recording = Recording::of(Fact::List(ListFact::Deleted { list: self.0.clone() }));
        engine.commit(now, request.actor, request.id, recording, sink);
        engine.journal_digest(now, sink);
        Ok((Made::Now, deleted))
    }

    fn without_entry(&self, engine: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        self.judge(engine).err().map(Err)
    }
}

fn made<R>(fact: ListFact) -> Decided<R> {
    Decided::Now(Recording::of(Fact::List(fact)))
}

fn reply(engine: &Engine, name: &Name) -> Result<Box<ListReply>, Refusal> {
    Ok(Box::new(engine.found(name)?.reply(name)))
}

/// The answer after an entry changed some of the values of a request.
fn changed(engine: &Engine, name: &Name, asked: usize, entry: &Entry) -> Result<Box<ListChanged>, Refusal> {
    let changed = if let Fact::List(fact) = &entry.fact { fact.values() } else { 0 };
    let list = engine.found(name)?.reply(name);
    Ok(Box::new(ListChanged { list, changed, unchanged: asked.saturating_sub(changed) }))
}

fn text_bytes(value: &ListValue) -> usize {
    match value {
        ListValue::Text(text) => text.len(),
        ListValue::Entity(_) => 0,
    }
}

fn check_size(values: usize, bytes: usize) -> Result<(), ListRefusal> {
    if values > LIST_CHANGES_MAX {
        return Err(ListRefusal::TooManyChanges(values));
    }
    if bytes > LIST_CHANGE_BYTES_MAX {
        return Err(ListRefusal::TooLarge(bytes));
    }
    Ok(())
}
