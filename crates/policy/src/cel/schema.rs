//! The names that expressions may use, with their types and slots.

use foldhash::HashMap;
use foldhash::HashMapExt;

use super::typed::Static;
use super::{Slot, Type};
use crate::problem::edit_distance;

/// The names that expressions may use.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    names: Vec<Declared>,
    slots: HashMap<String, Slot>,
    entity_names: Vec<String>,
    lists: Vec<(String, Type)>,
    /// Names that are declared later, each with who can read them.
    later: Vec<(String, &'static str)>,
}

#[derive(Debug, Clone)]
struct Declared {
    path: String,
    ty: Type,
    optional: bool,
}

impl Schema {
    pub fn new() -> Self {
        Self {
            names: Vec::new(),
            slots: HashMap::new(),
            entity_names: Vec::new(),
            lists: Vec::new(),
            later: Vec::new(),
        }
    }

    /// Adds a list with values of this type, which is [`Type::Text`] or a kind of entity.
    pub fn declare_list(&mut self, name: &str, of: Type) {
        self.lists.push((name.to_owned(), of));
    }

    /// The number of a list and the type of its values.
    pub(super) fn list(&self, name: &str) -> Option<(u16, Type)> {
        let position = self.lists.iter().position(|(known, _)| known == name)?;
        Some((u16::try_from(position).ok()?, self.lists.get(position)?.1))
    }

    /// The message for a list that is not declared, with the nearest declared name.
    pub(super) fn unknown_list(&self, name: &str) -> String {
        let shown = types::shorten(name);
        match nearest(name, self.lists.iter().map(|(known, _)| known.as_str())) {
            Some(near) => format!("the policy declares no list '{shown}'; did you mean '{near}'?"),
            None => format!("the policy declares no list '{shown}'; declare it under [lists]"),
        }
    }

    /// Tells who can read the name `path`, for messages about what cannot read it because it is compiled before [`Schema::declare`].
    pub fn declared_later(&mut self, path: String, readers: &'static str) {
        self.later.push((path, readers));
    }

    /// Sets the names of the entity kinds for messages: the kind of `Type::Entity(i)` is the i-th of `names`.
    pub fn entity_names(&mut self, names: impl IntoIterator<Item = String>) {
        self.entity_names = names.into_iter().collect();
    }

    /// Adds the name `path`, such as `payment.amount`. `optional` means that a row may lack it.
    ///
    /// # Panics
    /// If the name is already declared (see [`Schema::find`]) or there are already 65,536 names.
    pub fn declare(&mut self, path: &str, ty: Type, optional: bool) -> Slot {
        let slot = u16::try_from(self.names.len()).map(Slot).expect("CEL-2: a schema has at most 65,536 names");
        let known = self.slots.insert(path.to_owned(), slot);
        assert_eq!(known, None, "CEL-1: a name is declared once");
        self.names.push(Declared { path: path.to_owned(), ty, optional });
        slot
    }

    /// The slot and the type of the name `path`.
    pub fn find(&self, path: &str) -> Option<(Slot, Type)> {
        let slot = *self.slots.get(path)?;
        self.declared(slot).map(|declared| (slot, declared.ty))
    }

    /// The name whose value is in `slot`.
    pub fn path(&self, slot: Slot) -> Option<&str> {
        self.declared(slot).map(|declared| declared.path.as_str())
    }

    /// Whether a row may lack the value in `slot`.
    pub fn is_optional(&self, slot: Slot) -> bool {
        self.declared(slot).is_some_and(|declared| declared.optional)
    }

    /// The name of `ty` in messages: `string`, `entity(customer)`.
    pub fn type_name(&self, ty: Type) -> String {
        let name = match ty {
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Text => "string",
            Type::Bytes => "bytes",
            Type::Time => "timestamp",
            Type::Duration => "duration",
            Type::Account => "account",
            Type::Entity(kind) => match self.entity_names.get(usize::from(kind)) {
                Some(name) => return format!("entity({name})"),
                None => return format!("entity({kind})"),
            },
            Type::Type => "type",
            Type::List => "list",
            Type::Map => "map",
            Type::Dyn => "dyn",
        };
        name.to_owned()
    }

    /// As [`Schema::type_name`], with the types of elements: `list(string)`.
    pub(super) fn static_name(&self, known: &Static) -> String {
        match known {
            Static::Scalar(ty) => self.type_name(*ty),
            Static::List(element) => format!("list({})", self.static_name(element)),
            Static::Map(key, value) => format!("map({}, {})", self.static_name(key), self.static_name(value)),
        }
    }

    fn declared(&self, slot: Slot) -> Option<&Declared> {
        self.names.get(usize::from(slot.0))
    }

    /// The message for a `path` that is not declared, with the nearest declared name.
    pub(super) fn unknown(&self, path: &str) -> String {
        if let Some((_, readers)) = self.later.iter().find(|(known, _)| known == path) {
            return format!("'{path}' is computed later, only {readers} can read it");
        }
        let inside = self.names.iter().find(|declared| is_inside(&declared.path, path));
        if let Some(declared) = inside {
            return format!("'{path}' is a group of names, not a value; one of them is '{}'", declared.path);
        }
        match nearest(path, self.names.iter().map(|declared| declared.path.as_str())) {
            Some(near) => format!("'{path}' is not declared; did you mean '{near}'?"),
            None => format!("'{path}' is not declared"),
        }
    }
}

fn is_inside(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

/// The first of the names that differ least from `word`, unless they differ by more than a third of its characters.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let differs_max = (word.chars().count() / 3).max(1);
    let near = names.map(|name| (edit_distance(word, name), name)).filter(|(edits, _)| *edits <= differs_max);
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["payment.amount", "payment.asset"];
        assert_eq!(nearest("payment.amont", names.into_iter()), Some("payment.amount"));
        assert_eq!(nearest("features.x", names.into_iter()), None);
    }
}
