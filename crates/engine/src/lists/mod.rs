//! Lists: values to block, to allow or to watch, which the policy looks up.
//!
//! A list exists beside the policy. A change of it is an entry of its own and takes effect with it: the next payment is decided with the
//! list as the entry left it. A decision names the version of every list that it looked into, which is the sequence of the list's
//! last change.

mod change;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::Policy;
use policy::cel::Listed;
use types::{ActorId, DigestBuilder, Name, Seq, Timestamp, Token};

pub use self::change::{AddToList, DeleteList, MakeList, RemoveFromList};
use self::table::{Added, Kept, Table};
use crate::command::Look;
use crate::entry::Header;
use crate::query::{List as AskedList, ListValues as AskedValues, ListedValue as AskedValue, Lists as AskedLists};
use crate::{Answered, Engine, PAGE_MAX, Page};

/// The most lists of a tenant.
pub const LISTS_MAX: usize = 256;
/// The most places for values in all lists of a tenant together. A value has a place until it is removed, also when it has expired. A place that
/// became free is used for the next value of its list, and all places of a list are given back when it has no value left.
pub const LIST_VALUES_MAX: usize = 4_194_304;
/// The most values that one request adds or removes.
pub const LIST_CHANGES_MAX: usize = 5_000;
/// The most bytes of the texts and reasons that one request has. A reason counts once if the next values have the same one.
pub const LIST_CHANGE_BYTES_MAX: usize = 160 * 1024;
/// The longest text in a list, in bytes.
pub const LIST_TEXT_BYTES_MAX: usize = 256;
/// The longest reason for a value, and the longest description of a list, in bytes.
pub const LIST_REASON_BYTES_MAX: usize = 256;
/// The most places of a list that are examined for one page, so that a list from which most values were removed cannot hold the
/// engine for long.
const SLOTS_EXAMINED_MAX: usize = 16_384;

/// What the values of a list are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListOf {
    /// Texts, such as country codes. They are kept in the clear.
    Text,
    /// Values of this kind of entity, which are tokens.
    Entity(Name),
}

impl std::fmt::Display for ListOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Entity(kind) => write!(f, "{kind}"),
        }
    }
}

/// What a list is for. It changes no decision: rules say what follows from a value in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListPurpose {
    Block,
    Allow,
    Watch,
}

impl ListPurpose {
    /// All purposes, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Block, Self::Allow, Self::Watch];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
            Self::Watch => "watch",
        }
    }
}

/// A value of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListValue {
    Text(Box<str>),
    Entity(Token),
}

/// A value that was added to a list, or that replaced the same one with another expiry or reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedValue {
    pub value: ListValue,
    /// From then on the value is not in the list any more.
    pub expires_at: Option<Timestamp>,
    /// May be empty.
    pub reason: Arc<str>,
}

/// A fact about lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFact {
    /// A list was made.
    Made { list: Name, of: ListOf, purpose: ListPurpose, description: Box<str> },
    /// Values were added to a list.
    ValuesAdded { list: Name, values: Box<[AddedValue]> },
    /// Values were removed from a list.
    ValuesRemoved { list: Name, values: Box<[ListValue]> },
    /// A list was deleted with its values.
    Deleted { list: Name },
}

/// A list without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReply {
    pub name: Name,
    pub of: ListOf,
    pub purpose: ListPurpose,
    pub description: Box<str>,
    /// How many values it has, those that have expired included.
    pub values: usize,
    /// The entry that made it.
    pub made: Seq,
    pub made_at: Timestamp,
    pub made_by: ActorId,
    /// The entry that changed it last.
    pub version: Seq,
    pub changed_at: Timestamp,
    pub changed_by: ActorId,
}

/// A list after values were added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChanged {
    pub list: ListReply,
    /// How many of the values changed the list.
    pub changed: usize,
    /// How many were there already in the same way, or were not there to be removed.
    pub unchanged: usize,
}

/// A value of a list, and who added it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReply {
    pub value: ListValue,
    pub expires_at: Option<Timestamp>,
    /// Whether it had expired at the time of the answer.
    pub has_expired: bool,
    pub reason: Arc<str>,
    /// The entry that added it.
    pub added: Seq,
    pub added_at: Timestamp,
    pub added_by: ActorId,
}

/// Why a request about lists was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListRefusal {
    #[error("list `{0}` not found")]
    NotFound(Name),
    #[error("list `{list}` does not have this value")]
    ValueNotFound { list: Name },
    #[error("list `{list}` exists, and it holds `{of}` with the purpose `{}` or has another description", purpose.name())]
    ExistsWithDifferentContent { list: Name, of: ListOf, purpose: ListPurpose },
    #[error("list `{list}` holds `{of}`, but the values of the request are `{given}`")]
    HoldsOther { list: Name, of: ListOf, given: ListOf },
    #[error("list `{list}` holds `{of}`, but the active policy declares that it holds `{declared}`")]
    DeclaredOtherwise { list: Name, of: ListOf, declared: ListOf },
    #[error("the policy declares that list `{list}` holds `{declared}`, but it exists and holds `{of}`")]
    PolicyConflict { list: Name, of: ListOf, declared: ListOf },
    #[error("the active policy declares list `{0}`; without it, payments would be decided as if it had no values")]
    InUse(Name),
    #[error("there are {LISTS_MAX} lists, which is the limit")]
    TooManyLists,
    #[error(
        "the lists have {present} places for values together and would need {wanted}, at most {LIST_VALUES_MAX} are allowed; values that have expired have a place until they are removed"
    )]
    TooManyValues { present: usize, wanted: usize },
    #[error("the request has {0} values, at most {LIST_CHANGES_MAX} are allowed")]
    TooManyChanges(usize),
    #[error(
        "the values and reasons of the request have {0} bytes together, at most {LIST_CHANGE_BYTES_MAX} are allowed"
    )]
    TooLarge(usize),
}

/// The values of a list.
#[derive(Debug)]
enum Values {
    Texts(Table<Box<str>>),
    Entities(Table<Token>),
}

/// A list as the state keeps it.
#[derive(Debug)]
struct List {
    of: ListOf,
    purpose: ListPurpose,
    description: Box<str>,
    made: Changed,
    changed: Changed,
    values: Values,
}

/// An entry that changed a list.
#[derive(Debug, Clone, Copy)]
struct Changed {
    seq: Seq,
    at: Timestamp,
    by: ActorId,
}

impl Changed {
    const fn by(header: &Header) -> Self {
        Self { seq: header.seq, at: header.decided_at, by: header.actor }
    }
}

/// All lists: the fold of the facts about them.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    kept: Vec<Option<List>>,
    places: BTreeMap<Name, usize>,
    /// The lists of the active policy, in its order.
    declared: Vec<Name>,
    /// The places of these lists. `None` for one that was not made.
    declared_places: Vec<Option<usize>>,
}

impl Values {
    fn of(of: &ListOf) -> Self {
        match of {
            ListOf::Text => Self::Texts(Table::default()),
            ListOf::Entity(_) => Self::Entities(Table::default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(table) => table.len(),
            Self::Entities(table) => table.len(),
        }
    }

    fn slots(&self) -> usize {
        match self {
            Self::Texts(table) => table.slots(),
            Self::Entities(table) => table.slots(),
        }
    }

    fn slots_with(&self, new: usize) -> usize {
        match self {
            Self::Texts(table) => table.slots_with(new),
            Self::Entities(table) => table.slots_with(new),
        }
    }

    fn expiry(&self, value: Listed<'_>) -> Option<Timestamp> {
        match (self, value) {
            (Self::Texts(table), Listed::Text(text)) => table.expiry(text),
            (Self::Entities(table), Listed::Entity(token)) => table.expiry(&token),
            (Self::Texts(_), Listed::Entity(_)) | (Self::Entities(_), Listed::Text(_)) => None,
        }
    }

    fn get(&self, value: &ListValue, at: Timestamp) -> Option<ListedReply> {
        match (self, value) {
            (Self::Texts(table), ListValue::Text(text)) => table.get(&**text).map(|kept| text_reply(kept, at)),
            (Self::Entities(table), ListValue::Entity(token)) => table.get(token).map(|kept| entity_reply(kept, at)),
            (Self::Texts(_), ListValue::Entity(_)) | (Self::Entities(_), ListValue::Text(_)) => None,
        }
    }

    fn add(&mut self, header: &Header, values: &[AddedValue]) {
        match self {
            Self::Texts(table) => add_all(table, header, values, |value| match value {
                ListValue::Text(text) => Some(text.clone()),
                ListValue::Entity(_) => None,
            }),
            Self::Entities(table) => add_all(table, header, values, |value| match value {
                ListValue::Entity(token) => Some(*token),
                ListValue::Text(_) => None,
            }),
        }
    }

    fn remove(&mut self, value: &ListValue) -> bool {
        match (self, value) {
            (Self::Texts(table), ListValue::Text(text)) => table.remove(&**text),
            (Self::Entities(table), ListValue::Entity(token)) => table.remove(token),
            (Self::Texts(_), ListValue::Entity(_)) | (Self::Entities(_), ListValue::Text(_)) => false,
        }
    }
}

/// Adds values. Those with the same reason share what is kept about their entry.
fn add_all<K: std::hash::Hash + Eq + Default>(
    table: &mut Table<K>,
    header: &Header,
    values: &[AddedValue],
    own: impl Fn(&ListValue) -> Option<K>,
) {
    for same in values.chunk_by(|one, next| one.reason == next.reason) {
        let Some(first) = same.first() else { continue };
        let Header { seq, decided_at: at, actor, .. } = *header;
        let origin = table.begin(Added { seq, at, actor, reason: Arc::clone(&first.reason) });
        for AddedValue { value, expires_at, .. } in same {
            let value = own(value).expect("ENG-43: the values of a list are of its kind");
            table.insert(value, *expires_at, origin);
        }
        table.end(origin);
    }
}

fn reply<K>(kept: &Kept<'_, K>, value: ListValue, at: Timestamp) -> ListedReply {
    ListedReply {
        value,
        expires_at: kept.expires_at,
        has_expired: kept.expires_at.is_some_and(|expires_at| expires_at <= at),
        reason: Arc::clone(&kept.added.reason),
        added: kept.added.seq,
        added_at: kept.added.at,
        added_by: kept.added.actor,
    }
}

fn text_reply(kept: Kept<'_, Box<str>>, at: Timestamp) -> ListedReply {
    reply(&kept, ListValue::Text(kept.value.clone()), at)
}

fn entity_reply(kept: Kept<'_, Token>, at: Timestamp) -> ListedReply {
    reply(&kept, ListValue::Entity(*kept.value), at)
}

impl List {
    fn reply(&self, name: &Name) -> ListReply {
        ListReply {
            name: name.clone(),
            of: self.of.clone(),
            purpose: self.purpose,
            description: self.description.clone(),
            values: self.values.len(),
            made: self.made.seq,
            made_at: self.made.at,
            made_by: self.made.by,
            version: self.changed.seq,
            changed_at: self.changed.at,
            changed_by: self.changed.by,
        }
    }
}

impl Lists {
    fn find(&self, name: &Name) -> Option<&List> {
        self.kept.get(*self.places.get(name)?)?.as_ref()
    }

    /// The places for values in all lists, which is what takes memory.
    fn slots(&self) -> usize {
        self.kept.iter().flatten().map(|list| list.values.slots()).sum()
    }

    /// The list with this number among those of the active policy.
    fn declared(&self, number: usize) -> Option<&List> {
        self.kept.get((*self.declared_places.get(number)?)?)?.as_ref()
    }

    /// Whether a list of the active policy has a value that has not expired at `at`.
    pub(crate) fn has(&self, number: usize, value: Listed<'_>, at: Timestamp) -> bool {
        self.declared(number).and_then(|list| list.values.expiry(value)).is_some_and(|expires_at| expires_at > at)
    }

    /// The version of a list of the active policy: the entry that changed it last, or 0 if it does not exist.
    pub(crate) fn version(&self, number: usize) -> Seq {
        self.declared(number).map_or(Seq::ZERO, |list| list.changed.seq)
    }

    /// A policy was activated that declares these lists.
    pub(crate) fn declare(&mut self, names: &[Name]) {
        self.declared = names.to_vec();
        self.resolve();
    }

    fn resolve(&mut self) {
        self.declared_places = self.declared.iter().map(|name| self.places.get(name).copied()).collect();
    }

    fn change(&mut self, header: &Header, name: &Name) -> &mut List {
        let place = self.places.get(name).copied().expect("ENG-44: a list that changes exists");
        let list = self.kept.get_mut(place).and_then(Option::as_mut).expect("ENG-44: a list that changes exists");
        list.changed = Changed::by(header);
        list
    }

    pub(crate) fn apply(&mut self, header: &Header, fact: &ListFact) {
        match fact {
            ListFact::Made { list, of, purpose, description } => {
                let made = Changed::by(header);
                let new = List {
                    of: of.clone(),
                    purpose: *purpose,
                    description: description.clone(),
                    made,
                    changed: made,
                    values: Values::of(of),
                };
                let free = self.kept.iter().position(Option::is_none);
                let place = free.unwrap_or(self.kept.len());
                match self.kept.get_mut(place) {
                    Some(free) => *free = Some(new),
                    None => self.kept.push(Some(new)),
                }
                let before = self.places.insert(list.clone(), place);
                assert_eq!(before, None, "ENG-44: a list is made once, until it is deleted");
                self.resolve();
            }
            ListFact::ValuesAdded { list, values } => self.change(header, list).values.add(header, values),
            ListFact::ValuesRemoved { list, values } => {
                let changed = self.change(header, list);
                for value in values {
                    assert!(changed.values.remove(value), "ENG-45: a value that is removed is in its list");
                }
            }
            ListFact::Deleted { list } => {
                let place = self.places.remove(list).expect("ENG-44: a list that is deleted exists");
                if let Some(kept) = self.kept.get_mut(place) {
                    *kept = None;
                }
                self.resolve();
            }
        }
    }
}

impl ListFact {
    /// The list that it is about.
    pub const fn list(&self) -> &Name {
        let (Self::Made { list, .. }
        | Self::ValuesAdded { list, .. }
        | Self::ValuesRemoved { list, .. }
        | Self::Deleted { list }) = self;
        list
    }

    /// How many values it adds or removes one by one.
    pub const fn values(&self) -> usize {
        match self {
            Self::ValuesAdded { values, .. } => values.len(),
            Self::ValuesRemoved { values, .. } => values.len(),
            Self::Made { .. } | Self::Deleted { .. } => 0,
        }
    }

    /// Adds the new state to a digest.
    pub(crate) fn digest_into(&self, header: &Header, builder: &mut DigestBuilder) {
        let value = |value: &ListValue, builder: &mut DigestBuilder| {
            match value {
                ListValue::Text(text) => builder.u64(0).bytes(text.as_bytes()),
                ListValue::Entity(token) => builder.u64(1).u128(token.get()),
            };
        };
        builder.bytes(self.list().as_str().as_bytes()).u64(header.actor.get());
        match self {
            Self::Made { of, purpose, description, .. } => {
                builder.bytes(b"list_made").bytes(purpose.name().as_bytes()).bytes(description.as_bytes());
                match of {
                    ListOf::Text => builder.u64(0),
                    ListOf::Entity(kind) => builder.u64(1).bytes(kind.as_str().as_bytes()),
                };
            }
            Self::ValuesAdded { values, .. } => {
                builder.bytes(b"list_values_added").u64(values.len() as u64);
                for added in values {
                    value(&added.value, builder);
                    builder.u64(added.expires_at.map_or(u64::MAX, Timestamp::ns)).bytes(added.reason.as_bytes());
                }
            }
            Self::ValuesRemoved { values, .. } => {
                builder.bytes(b"list_values_removed").u64(values.len() as u64);
                values.iter().for_each(|removed| value(removed, builder));
            }
            Self::Deleted { .. } => {
                builder.bytes(b"list_deleted");
            }
        }
    }
}

/// What the lists of a policy hold.
pub(crate) fn declared_by(policy: &Policy) -> impl Iterator<Item = (&Name, ListOf)> {
    policy.lists().iter().map(|list| {
        let of = match list.holds {
            policy::ListHolds::Text => ListOf::Text,
            policy::ListHolds::Entity(idx) => {
                let kind = policy.entities().get(idx.get()).expect("POL-3: a list's entity is declared");
                ListOf::Entity(kind.name.clone())
            }
        };
        (&list.name, of)
    })
}

impl Engine {
    /// Refuses a policy that declares a list with other values than it has.
    pub(crate) fn check_lists(&self, policy: &Policy) -> Result<(), ListRefusal> {
        for (name, declared) in declared_by(policy) {
            if let Some(list) = self.state.lists.find(name).filter(|list| list.of != declared) {
                return Err(ListRefusal::PolicyConflict { list: name.clone(), of: list.of.clone(), declared });
            }
        }
        Ok(())
    }

    /// The list with this name.
    pub fn list(&self, name: &Name) -> Option<ListReply> {
        Some(self.state.lists.find(name)?.reply(name))
    }

    /// Whether a list has a value that has not expired at `at`.
    pub fn list_has(&self, list: &Name, value: Listed<'_>, at: Timestamp) -> bool {
        let found = self.state.lists.find(list).and_then(|list| list.values.expiry(value));
        found.is_some_and(|expires_at| expires_at > at)
    }

    /// All lists, in order of name.
    pub fn lists(&self) -> impl Iterator<Item = ListReply> {
        let lists = &self.state.lists;
        lists.places.keys().filter_map(|name| Some(lists.find(name)?.reply(name)))
    }

    fn found(&self, name: &Name) -> Result<&List, ListRefusal> {
        self.state.lists.find(name).ok_or_else(|| ListRefusal::NotFound(name.clone()))
    }
}

impl Look for AskedLists {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.lists().collect())
    }
}

impl Look for AskedList {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(Box::new(engine.found(&self.0)?.reply(&self.0)))
    }
}

impl Look for AskedValues {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let limit = self.limit.min(PAGE_MAX);
        let after = self.after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        let (items, next) = match &engine.found(&self.list)?.values {
            Values::Texts(table) => page(table.after(after, SLOTS_EXAMINED_MAX), limit, |kept| text_reply(kept, at)),
            Values::Entities(table) => {
                page(table.after(after, SLOTS_EXAMINED_MAX), limit, |kept| entity_reply(kept, at))
            }
        };
        Ok(Page { items, next: next.map(u64::from) })
    }
}

/// A page of the values that are found, and where the next one continues. `last` is where the search ended, if it did not end with
/// the list.
fn page<'a, K: 'a>(
    (mut found, last): (impl Iterator<Item = (u32, Kept<'a, K>)>, Option<u32>),
    limit: usize,
    reply: impl Fn(Kept<'a, K>) -> ListedReply,
) -> (Vec<ListedReply>, Option<u32>) {
    let (mut items, mut next) = (Vec::new(), None);
    for (slot, kept) in found.by_ref().take(limit) {
        items.push(reply(kept));
        next = Some(slot);
    }
    let is_cut = items.len() >= limit && found.next().is_some();
    (items, if is_cut { next } else { last })
}

impl Look for AskedValue {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let Self { list: name, of, value } = self;
        let list = engine.found(name)?;
        list.check(name, of)?;
        let found = list.values.get(value, at);
        Ok(Box::new(found.ok_or_else(|| ListRefusal::ValueNotFound { list: name.clone() })?))
    }
}

impl List {
    /// Refuses values that are not of the kind that the list holds.
    fn check(&self, name: &Name, given: &ListOf) -> Result<(), ListRefusal> {
        match self.of == *given {
            true => Ok(()),
            false => Err(ListRefusal::HoldsOther { list: name.clone(), of: self.of.clone(), given: given.clone() }),
        }
    }
}
