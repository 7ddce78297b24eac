//! A named table of the document, in which references still resolve to items that have problems.

use types::{Name, Span};

use super::reader::{Located, Node, Table};
use crate::problem::{Problems, suggestion};

/// The named items of one part of the document, in its order. An item with problems keeps its position without a value,
/// so that references to it resolve and are not reported too.
#[derive(Debug)]
pub(crate) struct Section<T> {
    what: &'static str,
    names: Vec<String>,
    items: Vec<Option<T>>,
    /// The document has more items than are allowed, so a reference that does not resolve may be to one of the items
    /// left out.
    overfull: bool,
}

impl<T> Section<T> {
    /// Reads the table of named tables under `key`: at most `max` items, each with `read`.
    pub(crate) fn read<'d>(
        table: &mut Table<'d>,
        key: &'static str,
        what: &'static str,
        max: usize,
        mut read: impl FnMut(Name, Table<'d>) -> Option<T>,
    ) -> Self {
        let mut section = Self::empty(what);
        let Some(node) = table.node(key) else { return section };
        let (problems, place) = (node.problems, node.place.clone());
        let entries = node.entries().unwrap_or_default();
        if entries.len() > max {
            problems.report(&place, format_args!("has {} items, at most {max} are allowed", entries.len()));
        }
        section.overfull = entries.len() > max;
        for (key, node) in entries.into_iter().take(max) {
            let (name, table) = (name(&key, problems), node.table());
            section.names.push(key.value.to_owned());
            section.items.push(name.zip(table).and_then(|(name, table)| read(name, table)));
        }
        section
    }

    /// A section without items. `what` is the word for one item in messages.
    pub(crate) const fn empty(what: &'static str) -> Self {
        Self { what, names: Vec::new(), items: Vec::new(), overfull: false }
    }

    /// Resolves a reference to one of the items.
    pub(crate) fn find(&self, name: &Located<&str>, problems: &Problems<'_>) -> Option<usize> {
        let position = self.names.iter().position(|known| known == name.value);
        if position.is_none() && !self.overfull {
            let hint = suggestion(name.value, self.names.iter().map(String::as_str));
            let message = format_args!("there is no {} `{}`{hint}", self.what, types::shorten(name.value));
            problems.report(&name.place, message);
        }
        position
    }

    /// The item at `position`, if it has no problem.
    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        self.items.get(position)?.as_ref()
    }

    /// Iterates over the items without problems, with their positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.items.iter().enumerate().filter_map(|(position, item)| Some((position, item.as_ref()?)))
    }

    /// Like [`Section::iter`], with mutable items.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.items.iter_mut().enumerate().filter_map(|(position, item)| Some((position, item.as_mut()?)))
    }

    /// The name of the item at `position`, whether or not it has problems.
    pub(crate) fn name(&self, position: usize) -> &str {
        self.names.get(position).map_or("", String::as_str)
    }

    /// Number of items, with and without problems.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The names of the items that have problems.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &str> {
        self.names.iter().zip(&self.items).filter(|(_, item)| item.is_none()).map(|(name, _)| name.as_str())
    }

    /// The items of a document that has no problems.
    pub(crate) fn into_items(self) -> Vec<T> {
        self.items.into_iter().flatten().collect()
    }
}

/// Parses the key as a name.
pub(crate) fn name(key: &Located<&str>, problems: &Problems<'_>) -> Option<Name> {
    key.value.parse().map_err(|error| problems.report(&key.place, error)).ok()
}

/// The shortest span that is not zero.
pub(crate) const SPAN_MIN: Span = Span::from_ns(1);

/// Reads the items of the array under `key`, at most `max`. Empty if the key is absent.
pub(crate) fn items<'d>(table: &mut Table<'d>, key: &'static str, max: usize) -> Vec<Node<'d>> {
    let Some(node) = table.node(key) else { return Vec::new() };
    let (problems, place) = (node.problems, node.place.clone());
    let mut items = node.items().unwrap_or_default();
    if items.len() > max {
        problems.report(&place, format_args!("has {} items, at most {max} are allowed", items.len()));
        items.truncate(max);
    }
    items
}
