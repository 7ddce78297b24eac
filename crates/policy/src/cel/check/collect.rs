//! Lists, maps, what looks into them, and the macros that go through them.

use cel::common::ast::{
    ComprehensionExpr, EntryExpr, Expr as Syntax, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

use super::super::code::BoolOp;
use super::super::dynamic::AnyOp;
use super::super::each::Each;
use super::super::text::TextOp;
use super::super::typed::{Any, Bool, Code, Expr, Static};
use super::super::value::Const;
use super::super::{COST_MAX, CompileError, LOCALS_MAX, Type};
use super::call::LIST;
use super::{Checker, Folding, Local, Node, Size, Steps, TEXT_STEPS};

/// A macro with its parts.
struct Macro<'t> {
    name: &'t str,
    range: &'t IdedExpr,
    variables: Vec<&'t str>,
    test: Option<&'t IdedExpr>,
    give: Option<&'t IdedExpr>,
}

/// Macros with two variables.
const PAIR_MACROS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "transformList", "transformMap"];

impl Checker<'_> {
    pub(super) fn list(&mut self, elements: &[IdedExpr], own: usize, depth: usize) -> Result<Node, CompileError> {
        let mut parts = Parts::default();
        let mut known = None;
        for element in elements {
            let node = self.expr(element, depth + 1)?;
            known = Some(self.join(known, &node)?);
            parts.add(node);
        }
        let Parts { values, steps, weight } = parts;
        let len = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        let size = Size { len: weight.len.max(len), weight: weight.weight };
        let known = Static::list(known.unwrap_or(Static::DYN));
        // A list of constants takes no steps, however long it is.
        let constant = |value: &Expr<Any>| if let Expr::Const(value) = value { Some(value.clone()) } else { None };
        let folds = self.folding == Folding::Fold && size.weight <= COST_MAX;
        if let (true, Some(values)) = (folds, values.iter().map(constant).collect::<Option<Vec<_>>>()) {
            let code = Code::Any(known, Expr::Const(Const::List(values.into())));
            return Ok(Node { code, at: own, steps: Steps::one(), size });
        }
        let code = Code::Any(known, Expr::op(AnyOp::List(values.into())));
        Ok(self.sized(code, own, steps.with_items(len), size))
    }

    pub(super) fn map(&mut self, entries: &[IdedEntryExpr], own: usize, depth: usize) -> Result<Node, CompileError> {
        const KEYS: [Type; 5] = [Type::Bool, Type::Int, Type::Uint, Type::Text, Type::Dyn];
        let mut parts = Parts::default();
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(self.error(own, "messages are not supported"));
            };
            let key = self.expr(&entry.key, depth + 1)?;
            if !KEYS.contains(&key.code.ty()) {
                return Err(self.mismatch(key.at, &[Type::Bool, Type::Int, Type::Uint, Type::Text], &key.code.known()));
            }
            keys = Some(self.join(keys, &key)?);
            parts.add(key);
            let value = self.expr(&entry.value, depth + 1)?;
            values = Some(self.join(values, &value)?);
            parts.add(value);
        }
        let Parts { values: entries_code, steps, weight } = parts;
        let len = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let known = Static::map(keys.unwrap_or(Static::DYN), values.unwrap_or(Static::DYN));
        let code = Code::Any(known, Expr::op(AnyOp::Map(entries_code.into())));
        // Every key is compared with those before it.
        let comparisons = len.saturating_mul(len) / 2;
        let steps = steps.with_items(len.saturating_mul(2)).more(comparisons);
        Ok(self.sized(code, own, steps, Size { len: weight.len.max(len), weight: weight.weight }))
    }

    /// The type of elements of which some are `known` and one more is this.
    fn join(&self, known: Option<Static>, node: &Node) -> Result<Static, CompileError> {
        let found = node.code.known();
        let Some(known) = known else { return Ok(found) };
        let message = || {
            let (known, found) = (self.schema.static_name(&known), self.schema.static_name(&found));
            format!("expected {known}, found {found}: accounts and entities of one kind cannot be mixed with others")
        };
        known.clone().either(found.clone()).ok_or_else(|| self.error(node.at, message()))
    }

    /// `container[key]`.
    pub(super) fn index(&mut self, container: &IdedExpr, key: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let container = self.expr(container, depth + 1)?;
        let key = self.expr(key, depth + 1)?;
        let (known, cost) = match container.code.known() {
            Static::List(element) if matches!(key.code.ty(), Type::Int | Type::Dyn) => (*element, 1),
            Static::List(_) => return Err(self.mismatch(key.at, &[Type::Int], &key.code.known())),
            Static::Map(expected, _) if !expected.may_equal(&key.code.known()) => {
                return Err(self.mismatch_of(key.at, &expected, &key.code.known()));
            }
            Static::Map(_, value) => (*value, container.size.len.saturating_mul(TEXT_STEPS)),
            Static::Scalar(Type::Dyn) => (Static::DYN, container.size.len.saturating_mul(TEXT_STEPS)),
            found @ Static::Scalar(_) => {
                return Err(self.mismatch(container.at, &[Type::List, Type::Map], &found));
            }
        };
        let steps = container.steps.and(key.steps).more(cost);
        let op = AnyOp::Index(container.code.into_any(), key.code.into_any());
        Ok(self.sized(Code::of(known, Expr::op(op)), container.at, steps, container.size))
    }

    /// `value in tree`.
    pub(super) fn member(&mut self, value: &IdedExpr, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let mut value = self.expr(value, depth + 1)?;
        if let Some(name) = self.list_named(tree, depth + 1)? {
            return self.listed(value, name, self.offset(tree.id));
        }
        let container = self.expr(tree, depth + 1)?;
        let at = value.at;
        let (element, is_map) = match container.code.known() {
            Static::List(element) => (*element, false),
            Static::Map(key, _) => (*key, true),
            Static::Scalar(Type::Dyn) => (Static::DYN, false),
            found @ Static::Scalar(_) => {
                return Err(self.mismatch(container.at, &[Type::List, Type::Map], &found));
            }
        };
        let is_text = element == Static::Scalar(Type::Text);
        if let (Code::Entity(_, _), true) = (&value.code, is_text || element.is_dyn()) {
            let Code::Entity(_, entity) = value.code else { return Err(self.error(at, "expected an entity")) };
            value.code = Code::Text(Expr::op(TextOp::ValueOf(entity)));
        }
        if !element.may_equal(&value.code.known()) {
            // The first element shows the mistake best.
            let first = if let Syntax::List(list) = &tree.expr { list.elements.first() } else { None };
            return Err(match first {
                Some(first) => self.mismatch_of(self.offset(first.id), &value.code.known(), &element),
                None => self.mismatch_of(at, &element, &value.code.known()),
            });
        }
        if let (Code::Any(_, Expr::Const(Const::List(list))), false) = (&container.code, is_map)
            && let Some(sorted) = Sorted::of(list, &value.code)
        {
            // A binary search looks at one element more than the logarithm of the length.
            let looks = list.len().checked_ilog2().unwrap_or_default() + 1;
            let (op, cost) = match (sorted, value.code) {
                (Sorted::Ints(ints), Code::Int(value)) => (BoolOp::InInts(value, ints), looks),
                (Sorted::Texts(texts), Code::Text(value)) => {
                    (BoolOp::InTexts(value, texts), looks.saturating_mul(TEXT_STEPS))
                }
                (_, other) => return Err(self.mismatch_of(at, &element, &other.known())),
            };
            return Ok(self.node(Code::Bool(Expr::op(op)), at, value.steps.more(cost)));
        }
        let steps = value.steps.and(container.steps).more(container.size.weight.saturating_mul(TEXT_STEPS));
        let op = BoolOp::In(value.code.into_any(), container.code.into_any());
        Ok(self.node(Code::Bool(Expr::op(op)), at, steps))
    }

    /// The name in `list("name")`, if the tree is that.
    fn list_named<'t>(&mut self, tree: &'t IdedExpr, depth: usize) -> Result<Option<&'t str>, CompileError> {
        let Syntax::Call(call) = &tree.expr else { return Ok(None) };
        if call.target.is_some() || call.func_name.trim_start_matches('.') != LIST {
            return Ok(None);
        }
        let name = match call.args.as_slice() {
            [name] => name,
            args => {
                return Err(self.error(self.called(tree.id).1, format!("list() takes 1 name, found {}", args.len())));
            }
        };
        // Counts the name as a part of the expression.
        let at = self.expr(name, depth + 1)?.at;
        match &name.expr {
            Syntax::Literal(LiteralValue::String(name)) => Ok(Some(name.inner())),
            Syntax::Literal(_)
            | Syntax::Call(_)
            | Syntax::Comprehension(_)
            | Syntax::Ident(_)
            | Syntax::List(_)
            | Syntax::Map(_)
            | Syntax::Select(_)
            | Syntax::Struct(_)
            | Syntax::Unspecified => {
                Err(self.error(at, "the name of a list must be a constant string, such as list(\"blocked_devices\")"))
            }
        }
    }

    /// A look-up of a value in a list outside the policy.
    fn listed(&mut self, value: Node, name: &str, own: usize) -> Result<Node, CompileError> {
        let own = self.source.get(..own).map_or(own, |before| before.rfind(LIST).unwrap_or(own));
        let Some((list, of)) = self.schema.list(name) else {
            return Err(self.error(own, self.schema.unknown_list(name)));
        };
        let Node { code, at, mut steps, .. } = value;
        steps.reads_lists = true;
        let steps = steps.more(TEXT_STEPS);
        match (code, of) {
            (Code::Entity(kind, entity), Type::Entity(wanted)) if kind == wanted => {
                let steps = steps.with_token(&entity);
                Ok(self.node(Code::Bool(Expr::op(BoolOp::EntityListed(entity, list))), at, steps))
            }
            (Code::Text(text), Type::Text) => {
                let steps = steps.with_listed();
                Ok(self.node(Code::Bool(Expr::op(BoolOp::TextListed(text, list))), at, steps))
            }
            (code, of) if of == Type::Text && code.known().is_dyn() => {
                let steps = steps.with_listed();
                let text = Expr::of(code.into_any());
                Ok(self.node(Code::Bool(Expr::op(BoolOp::TextListed(text, list))), at, steps))
            }
            (code, of) => {
                let (of, found) = (self.schema.type_name(of), self.schema.static_name(&code.known()));
                Err(self.error(at, format!("list '{name}' holds values of the type {of}, found {found}")))
            }
        }
    }

    /// A macro that the parser has already expanded.
    pub(super) fn comprehension(
        &mut self,
        id: u64,
        tree: &ComprehensionExpr,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (name, at) = self.called(id);
        let name = name.to_owned();
        let step = match &tree.loop_step.expr {
            Syntax::Call(call) => (call.func_name.as_str(), call.args.as_slice()),
            Syntax::Comprehension(_)
            | Syntax::Ident(_)
            | Syntax::List(_)
            | Syntax::Literal(_)
            | Syntax::Map(_)
            | Syntax::Select(_)
            | Syntax::Struct(_)
            | Syntax::Unspecified => ("", [].as_slice()),
        };
        let (test, give) = match (name.as_str(), step) {
            ("all" | "exists", (_, [_, test])) | ("exists_one" | "existsOne", (_, [test, ..])) => (Some(test), None),
            ("filter", (operators::CONDITIONAL, [test, ..])) => (Some(test), None),
            ("map", (operators::ADD, [_, list])) => (None, only_element(list)),
            ("map", (operators::CONDITIONAL, [test, step, _])) => match &step.expr {
                Syntax::Call(call) => (Some(test), call.args.get(1).and_then(only_element)),
                Syntax::Comprehension(_)
                | Syntax::Ident(_)
                | Syntax::List(_)
                | Syntax::Literal(_)
                | Syntax::Map(_)
                | Syntax::Select(_)
                | Syntax::Struct(_)
                | Syntax::Unspecified => (None, None),
            },
            _ => (None, None),
        };
        if test.is_none() && give.is_none() {
            return Err(self.error(at, format!("'{name}' is not supported")));
        }
        let variables = vec![tree.iter_var.as_str()];
        self.expand(&Macro { name: &name, range: &tree.iter_range, variables, test, give }, at, depth)
    }

    /// A macro with two variables, which the parser leaves as a call, or a macro with wrong arguments. Returns `None` if
    /// `name` is no macro.
    pub(super) fn pair_macro(
        &mut self,
        name: &str,
        range: &IdedExpr,
        args: &[IdedExpr],
        at: usize,
        depth: usize,
    ) -> Option<Result<Node, CompileError>> {
        let variable = |tree: &IdedExpr| if let Syntax::Ident(name) = &tree.expr { Some(name.clone()) } else { None };
        let (test, give) = match (name, args) {
            ("transformList" | "transformMap", [_, _, give]) => (None, Some(give)),
            ("transformList" | "transformMap", [_, _, test, give]) => (Some(test), Some(give)),
            ("all" | "exists" | "exists_one" | "existsOne", [_, _, test]) => (Some(test), None),
            _ if PAIR_MACROS.contains(&name) || name == "filter" || name == "map" => {
                let arguments = match name {
                    "transformList" | "transformMap" => "two variables and an expression, such as (i, x, x + i)",
                    "map" => "a variable and an expression, such as (x, x + 1)",
                    _ => "a variable and a condition, such as (x, x > 0)",
                };
                return Some(Err(self.error(at, format!("{name}() takes {arguments}"))));
            }
            _ => return None,
        };
        let (Some(first), Some(second)) = (args.first().and_then(variable), args.get(1).and_then(variable)) else {
            return Some(
                Err(self.error(at, format!("{name}() takes two names of variables first, such as (i, x, …)"))),
            );
        };
        let variables = vec![first.as_str(), second.as_str()];
        Some(self.expand(&Macro { name, range, variables, test, give }, at, depth))
    }

    fn expand(&mut self, found: &Macro<'_>, at: usize, depth: usize) -> Result<Node, CompileError> {
        let range = self.expr(found.range, depth + 1)?;
        let (key, element, is_map) = match range.code.known() {
            Static::List(element) => (Static::Scalar(Type::Int), *element, false),
            Static::Map(key, value) => (*key, *value, true),
            Static::Scalar(Type::Dyn) => (Static::DYN, Static::DYN, false),
            other @ Static::Scalar(_) => return Err(self.mismatch(range.at, &[Type::List, Type::Map], &other)),
        };
        let types = match (found.variables.len(), is_map) {
            (1, false) => vec![element],
            (1, true) => vec![key.clone()],
            _ => vec![key.clone(), element],
        };
        let first = self.locals.len();
        if first + types.len() > LOCALS_MAX {
            return Err(self.error(at, format!("macros nest deeper than {LOCALS_MAX} variables")));
        }
        for (name, known) in found.variables.iter().zip(&types) {
            self.locals.push(Local { name: (*name).to_owned(), known: known.clone(), size: range.size });
        }
        let body = self.body(found, depth);
        self.locals.truncate(first);
        let (test, give) = body?;
        let len = range.size.len;
        let own = |steps: Steps| Steps { locals: steps.locals & !(u32::MAX << first), ..steps };
        let mut steps = Steps { needs_room: true, ..range.steps.more(len) };
        let (mut test_code, mut give_code) = (None, None);
        let mut size = range.size;
        if let Some(test) = test {
            steps = steps.and(own(test.steps).times(len));
            test_code = Some(test.code);
        }
        if let Some(give) = give {
            steps = steps.and(own(give.steps).times(len));
            let weight = give.size.weight.saturating_mul(len).saturating_add(1);
            size = Size { len: give.size.len.max(len), weight };
            give_code = Some(give.code);
        }
        let index = u8::try_from(first).unwrap_or(u8::MAX);
        let second = (types.len() > 1).then(|| index.saturating_add(1));
        let each = Each { range: range.code.into_any(), first: index, second };
        let test = test_code.and_then(|code| if let Code::Bool(test) = code { Some(test) } else { None });
        let first_type = types.into_iter().next().unwrap_or(Static::DYN);
        let Some((code, items)) = assemble(found.name, each, test, give_code, (first_type, key, len)) else {
            return Err(self.error(at, format!("'{}' is not supported", found.name)));
        };
        Ok(self.sized(code, range.at, steps.with_items(items), size))
    }

    fn body(&mut self, found: &Macro<'_>, depth: usize) -> Result<(Option<Node>, Option<Node>), CompileError> {
        let test = found.test.map(|test| self.expr_of(test, Type::Bool, depth)).transpose()?;
        let give = found.give.map(|give| self.expr(give, depth + 1)).transpose()?;
        Ok((test, give))
    }
}

/// The code of a macro, and how many elements it makes. `of` has the type of its first variable, the type of the keys of
/// its range, and the length of its range.
fn assemble(
    name: &str,
    each: Each,
    test: Option<Expr<Bool>>,
    give: Option<Code>,
    of: (Static, Static, u32),
) -> Option<(Code, u32)> {
    let (first, key, len) = of;
    Some(match (name, test, give) {
        ("all", Some(test), None) => (Code::Bool(Expr::op(BoolOp::All(each, test))), 0),
        ("exists", Some(test), None) => (Code::Bool(Expr::op(BoolOp::Exists(each, test))), 0),
        ("exists_one" | "existsOne", Some(test), None) => (Code::Bool(Expr::op(BoolOp::ExistsOne(each, test))), 0),
        ("filter", Some(test), None) => {
            let give: Expr<Any> = Expr::Local(each.first);
            (Code::Any(Static::list(first), Expr::op(AnyOp::Collect(each, Some(test), give))), len)
        }
        ("map" | "transformList", test, Some(give)) => {
            let known = Static::list(give.known());
            (Code::Any(known, Expr::op(AnyOp::Collect(each, test, give.into_any()))), len)
        }
        ("transformMap", test, Some(give)) => {
            let known = Static::map(key, give.known());
            let code = Expr::op(AnyOp::CollectMap(each, test, give.into_any()));
            (Code::Any(known, code), len.saturating_mul(2))
        }
        _ => return None,
    })
}

fn only_element(tree: &IdedExpr) -> Option<&IdedExpr> {
    if let Syntax::List(list) = &tree.expr { list.elements.first() } else { None }
}

/// The parts of a list or map that is being checked.
struct Parts {
    values: Vec<Expr<Any>>,
    steps: Steps,
    weight: Size,
}

impl Default for Parts {
    fn default() -> Self {
        Self { values: Vec::new(), steps: Steps::one(), weight: Size::ONE }
    }
}

impl Parts {
    fn add(&mut self, node: Node) {
        let Size { len, weight } = node.size;
        self.weight = Size { len: self.weight.len.max(len), weight: self.weight.weight.saturating_add(weight) };
        self.steps = std::mem::take(&mut self.steps).and(node.steps);
        self.values.push(node.code.into_any());
    }
}

/// A constant list in which a value can be searched for by bisection.
enum Sorted {
    Ints(Box<[i64]>),
    Texts(Box<[Box<str>]>),
}

impl Sorted {
    /// Returns `None` if the list or the value is of another type.
    fn of(list: &[Const], value: &Code) -> Option<Self> {
        match value {
            Code::Int(_) => {
                let int = |item: &Const| if let Const::Int(int) = item { Some(*int) } else { None };
                let mut ints = list.iter().map(int).collect::<Option<Vec<_>>>()?;
                ints.sort_unstable();
                ints.dedup();
                Some(Self::Ints(ints.into()))
            }
            Code::Text(_) => {
                let text = |item: &Const| if let Const::Text(text) = item { Some(text.clone()) } else { None };
                let mut texts = list.iter().map(text).collect::<Option<Vec<_>>>()?;
                texts.sort_unstable();
                texts.dedup();
                Some(Self::Texts(texts.into()))
            }
            Code::Bool(_)
            | Code::Double(_)
            | Code::Time(_)
            | Code::Duration(_)
            | Code::Account(_)
            | Code::Entity(..)
            | Code::Any(..) => None,
        }
    }
}
