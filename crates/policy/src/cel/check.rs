//! Turns the syntax tree into the typed form, and checks names, types and bounds.

mod call;
mod collect;
mod convert;
mod method;
mod operator;

use cel::common::ast::{Expr as Syntax, IdedExpr, LiteralValue, SelectExpr, SourceInfo};

use super::code::BoolOp;
use super::dynamic::AnyOp;
use super::program::{Nowhere, evaluate};
use super::room::{Room, SMALL_VALUES};
use super::schema::nearest;
use super::typed::{Any, Code, Entity, Expr, Static};
use super::value::Const;
use super::{COST_MAX, CompileError, DEPTH_MAX, EvalError, NODES_MAX, Program, Schema, Slot, Type, Value, parse};

/// Checks `source` against `schema` and compiles it to a program whose result has one of the `expected` types (any type
/// if there are none). The bounds are [`super::SOURCE_BYTES_MAX`], [`super::DEPTH_MAX`], [`super::NODES_MAX`] and
/// [`super::COST_MAX`]. Every source gives either a program or an error, on a stack of 1 MiB.
pub fn compile(source: &str, schema: &Schema, expected: &[Type]) -> Result<Program, CompileError> {
    compile_with(source, schema, expected, Folding::Fold)
}

/// Whether parts that read nothing are computed when the expression is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folding {
    Fold,
    /// Every part is computed by every evaluation, as if it read the row. Only tests want that.
    Keep,
}

pub(super) fn compile_with(
    source: &str,
    schema: &Schema,
    expected: &[Type],
    folding: Folding,
) -> Result<Program, CompileError> {
    let (tree, positions) = parse::parse(source)?;
    let mut checker = Checker { source, schema, positions, folding, nodes_count: 0, locals: Vec::new() };
    let Node { mut code, at, steps, .. } = checker.expr(&tree, 1)?;
    if !expected.is_empty() && !expected.contains(&code.ty()) {
        code = match expected {
            // What is known only later may still be of the one type that is expected.
            [one] if code.known().is_dyn() => Code::of(Static::Scalar(*one), code.into_any()),
            _ => return Err(checker.mismatch(at, expected, &code.known())),
        };
    }
    if steps.cost > COST_MAX {
        let message = format!("the expression costs up to {} steps, at most {COST_MAX} are allowed", steps.cost);
        return Err(CompileError::at(source, 0, message));
    }
    let room = steps.room();
    let Steps {
        cost,
        mut slots,
        mut read,
        by_token,
        mut tested,
        mut listed,
        lists_locals,
        reads_lists,
        failures,
        fails,
        ..
    } = steps;
    let mut beyond_tokens = read.clone();
    for slot in by_token {
        if let Some(place) = beyond_tokens.iter().position(|read| *read == slot) {
            beyond_tokens.swap_remove(place);
        }
    }
    if let Code::Entity(_, Expr::Slot(_)) = &code {
        // Groups and items are made from the token.
        beyond_tokens.clear();
    }
    if lists_locals {
        // A variable of a macro may have a value from anywhere in the expression.
        listed.extend(slots.iter().copied());
    }
    for slots in [&mut slots, &mut read, &mut beyond_tokens, &mut tested, &mut listed] {
        slots.sort_unstable();
        slots.dedup();
    }
    let failures = failures.into_iter().map(|(at, error)| checker.error(at, error.to_string())).collect();
    Ok(Program {
        code,
        room,
        slots: slots.into(),
        read: read.into(),
        beyond_tokens: beyond_tokens.into(),
        tested: tested.into(),
        listed: listed.into(),
        reads_lists,
        cost,
        source: source.into(),
        failures,
        fails,
    })
}

/// The steps that an operation counts for if it reads through a text.
const TEXT_STEPS: u32 = 8;

struct Checker<'a> {
    source: &'a str,
    schema: &'a Schema,
    positions: SourceInfo,
    folding: Folding,
    nodes_count: usize,
    /// The variables of the macros around the current part, the innermost last.
    locals: Vec<Local>,
}

/// A variable of a macro.
struct Local {
    name: String,
    known: Static,
    size: Size,
}

/// How large a value can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    /// Most elements of a list or entries of a map, of the value itself or inside it.
    len: u32,
    /// Most values in it together, itself included.
    weight: u32,
}

impl Size {
    const ONE: Self = Self { len: 0, weight: 1 };

    /// The size of what may be one or the other.
    fn either(self, other: Self) -> Self {
        Self { len: self.len.max(other.len), weight: self.weight.max(other.weight) }
    }

    /// The size of two lists one after the other.
    fn joined(self, other: Self) -> Self {
        Self { len: self.len.saturating_add(other.len), weight: self.weight.saturating_add(other.weight) }
    }
}

/// A checked expression.
struct Node {
    code: Code,
    /// The byte at which it starts.
    at: usize,
    steps: Steps,
    size: Size,
}

/// The cost of an evaluation, what it reads and needs, and what of it always fails.
#[derive(Debug, Default)]
struct Steps {
    cost: u32,
    /// Most elements of lists and maps that are made.
    items: u32,
    /// Whether strings are made or macros run.
    needs_room: bool,
    /// The variables that are read, one bit each.
    locals: u32,
    slots: Vec<Slot>,
    /// Whether lists outside the policy are read.
    reads_lists: bool,
    /// The variables of rows from which texts are made that are looked up in lists.
    listed: Vec<Slot>,
    /// Whether such texts come from variables of macros.
    lists_locals: bool,
    /// Those of them whose values are read.
    read: Vec<Slot>,
    /// The entities that are read only by their tokens, once for each time that they are.
    by_token: Vec<Slot>,
    /// Those of them that `has` asks about.
    tested: Vec<Slot>,
    /// The smallest parts that read nothing and fail, and where they start.
    failures: Vec<(usize, EvalError)>,
    /// Whether there is no value for any row.
    fails: bool,
}

impl Steps {
    fn one() -> Self {
        Self { cost: 1, ..Self::default() }
    }

    fn read(slot: Slot) -> Self {
        Self { cost: 1, slots: vec![slot], read: vec![slot], ..Self::default() }
    }

    /// The steps of a question whether there is a value.
    fn test(slot: Slot) -> Self {
        Self { cost: 1, slots: vec![slot], tested: vec![slot], ..Self::default() }
    }

    /// The steps of an operation that needs both sides.
    fn and(mut self, other: Self) -> Self {
        self.fails |= other.fails;
        self.cost = self.cost.saturating_add(other.cost);
        self.items = self.items.saturating_add(other.items);
        self.needs_room |= other.needs_room;
        self.locals |= other.locals;
        self.slots.extend(other.slots);
        self.reads_lists |= other.reads_lists;
        self.listed.extend(other.listed);
        self.lists_locals |= other.lists_locals;
        self.read.extend(other.read);
        self.by_token.extend(other.by_token);
        self.tested.extend(other.tested);
        self.failures.extend(other.failures);
        self
    }

    /// The steps of two parts of which one may do without the other.
    fn either(self, other: Self) -> Self {
        let fails = self.fails && other.fails;
        Self { fails, ..self.and(other) }
    }

    fn more(mut self, cost: u32) -> Self {
        self.cost = self.cost.saturating_add(cost);
        self
    }

    /// The steps of an operation that also makes a string.
    fn with_text(self) -> Self {
        Self { needs_room: true, ..self.more(TEXT_STEPS) }
    }

    /// The steps of an operation that takes an entity by its token.
    fn with_token(mut self, entity: &Expr<Entity>) -> Self {
        if let Expr::Slot(slot) = entity {
            self.by_token.push(*slot);
        }
        self
    }

    /// The steps of an operation that looks the text that they make up in a list.
    fn with_listed(mut self) -> Self {
        self.listed.extend(self.slots.iter().copied());
        self.lists_locals |= self.locals != 0;
        self
    }

    /// The steps of an operation that also makes a list of this many elements.
    fn with_items(self, items: u32) -> Self {
        let (cost, items) = (self.cost.saturating_add(items), self.items.saturating_add(items));
        Self { cost, items, ..self }
    }

    /// The steps of the body of a macro, which may run up to this many times, or never.
    fn times(self, count: u32) -> Self {
        let (cost, items) = (self.cost.saturating_mul(count), self.items.saturating_mul(count));
        Self { cost, items, fails: false, ..self }
    }

    fn room(&self) -> Room {
        let items = usize::try_from(self.items).unwrap_or(usize::MAX);
        match self.needs_room || items > 0 {
            false => Room::None,
            true if items <= SMALL_VALUES => Room::Small,
            true => Room::Large,
        }
    }
}

impl Node {
    fn constant(value: Value<'_>, at: usize) -> Option<Self> {
        let code = Code::constant(value, Static::Scalar(value.ty()))?;
        Some(Self { code, at, steps: Steps::one(), size: Size::ONE })
    }

    fn constant_bool(&self) -> Option<bool> {
        if let Code::Bool(Expr::Const(value)) = self.code { Some(value) } else { None }
    }
}

impl Checker<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> CompileError {
        CompileError::at(self.source, at, message)
    }

    fn mismatch(&self, at: usize, expected: &[Type], found: &Static) -> CompileError {
        let names: Vec<String> = expected.iter().map(|ty| self.schema.type_name(*ty)).collect();
        self.error(at, format!("expected {}, found {}", names.join(" or "), self.schema.static_name(found)))
    }

    /// The position of the node's own token: an operator, a name, or the bracket of a call.
    fn offset(&self, id: u64) -> usize {
        self.positions.offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or_default()
    }

    /// The name before the bracket of a call, and where it starts.
    fn called(&self, id: u64) -> (&str, usize) {
        let before = self.source.get(..self.offset(id)).unwrap_or_default().trim_end();
        let name_start = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        (before.get(name_start..).unwrap_or_default(), name_start)
    }

    /// A node of which the size is that of a single value.
    fn node(&self, code: Code, at: usize, steps: Steps) -> Node {
        self.sized(code, at, steps, Size::ONE)
    }

    /// A node that is computed now if it reads nothing. If that fails, the code stays as it is and fails when it is
    /// evaluated, which may never happen, as in `false && 1 / 0 == 0`.
    fn sized(&self, code: Code, at: usize, mut steps: Steps, size: Size) -> Node {
        // A constant is copied whole wherever it is used, so parts that would give a large one stay as they are.
        let is_large = steps.cost > COST_MAX || size.weight > COST_MAX;
        let is_open = !steps.slots.is_empty() || steps.reads_lists || steps.locals != 0 || is_large;
        if is_open || self.folding == Folding::Keep {
            return Node { code, at, steps, size };
        }
        let known = code.known();
        let folded = evaluate(&code, steps.room(), &Nowhere, |value| value.map(|value| Code::constant(value, known)));
        match folded {
            Ok(Some(code)) => Node { code, at, steps: Steps::one(), size },
            Ok(None) => Node { code, at, steps, size },
            Err(error) => {
                if !steps.fails {
                    steps.fails = true;
                    steps.failures.push((at, error));
                }
                Node { code, at, steps, size }
            }
        }
    }

    fn expr(&mut self, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let own = self.offset(tree.id);
        self.nodes_count += 1;
        if self.nodes_count > NODES_MAX {
            return Err(self.error(own, format!("the expression has more than {NODES_MAX} values and operators")));
        }
        if depth > DEPTH_MAX {
            return Err(self.error(own, format!("the expression nests deeper than {DEPTH_MAX} operators")));
        }
        match &tree.expr {
            Syntax::Literal(literal) => self.literal(literal, own),
            Syntax::Ident(_) => self.name(tree, depth),
            Syntax::Select(select) if select.test => self.has(tree, select, depth),
            Syntax::Select(_) => self.name(tree, depth),
            Syntax::Call(call) => self.call(tree.id, call, depth),
            Syntax::List(list) => self.list(&list.elements, own, depth),
            Syntax::Comprehension(comprehension) => self.comprehension(tree.id, comprehension, depth),
            Syntax::Map(map) => self.map(&map.entries, own, depth),
            Syntax::Struct(_) => Err(self.error(own, "messages are not supported")),
            Syntax::Unspecified => Err(self.error(own, "expected an expression")),
        }
    }

    /// An expression as a value of this type, which is checked now, or by the evaluation if it is not known before.
    fn expr_of(&mut self, tree: &IdedExpr, ty: Type, depth: usize) -> Result<Node, CompileError> {
        let node = self.expr(tree, depth + 1)?;
        let code = self.coerce(node.code, ty, node.at)?;
        Ok(Node { code, ..node })
    }

    fn coerce(&self, code: Code, ty: Type, at: usize) -> Result<Code, CompileError> {
        let known = code.known();
        if known.ty() == ty {
            Ok(code)
        } else if known.is_dyn() {
            Ok(Code::of(Static::Scalar(ty), code.into_any()))
        } else {
            Err(self.mismatch(at, &[ty], &known))
        }
    }

    fn literal(&self, literal: &LiteralValue, at: usize) -> Result<Node, CompileError> {
        let value = match literal {
            LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
            LiteralValue::Int(value) => Value::Int(*value.inner()),
            LiteralValue::Double(value) => Value::Double(*value.inner()),
            LiteralValue::String(value) => Value::Text(value.inner()),
            LiteralValue::UInt(value) => Value::Uint(*value.inner()),
            LiteralValue::Bytes(value) => Value::Bytes(value.inner()),
            LiteralValue::Null => Value::Null,
        };
        Node::constant(value, at).ok_or_else(|| self.error(at, "expected a constant"))
    }

    /// The parts of a dotted name and where it starts, if the tree is one.
    fn path<'t>(&self, tree: &'t IdedExpr) -> Option<(Vec<&'t str>, usize)> {
        let mut fields = Vec::new();
        let mut inner = tree;
        loop {
            match &inner.expr {
                Syntax::Select(select) if !select.test => {
                    fields.push(select.field.as_str());
                    inner = &select.operand;
                }
                Syntax::Ident(name) => {
                    fields.push(name.trim_start_matches('.'));
                    fields.reverse();
                    return Some((fields, self.offset(inner.id)));
                }
                Syntax::Select(_)
                | Syntax::Call(_)
                | Syntax::Literal(_)
                | Syntax::List(_)
                | Syntax::Comprehension(_)
                | Syntax::Map(_)
                | Syntax::Struct(_)
                | Syntax::Unspecified => return None,
            }
        }
    }

    fn find(&self, path: &str, at: usize) -> Result<(Slot, Type), CompileError> {
        self.schema.find(path).ok_or_else(|| self.error(at, self.unknown(path)))
    }

    /// The message for a name that is not declared.
    fn unknown(&self, path: &str) -> String {
        match nearest(path, self.locals.iter().map(|local| local.name.as_str())) {
            Some(near) => format!("'{path}' is not declared; did you mean '{near}'?"),
            None => self.schema.unknown(path),
        }
    }

    /// A declared name, a variable of a macro, the name of a type, or fields of one of them.
    fn name(&mut self, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let Some((parts, at)) = self.path(tree) else {
            let Syntax::Select(select) = &tree.expr else {
                return Err(self.error(self.offset(tree.id), "expected a name"));
            };
            let operand = self.expr(&select.operand, depth + 1)?;
            return self.field(operand, &select.field, self.offset(tree.id));
        };
        let Some((mut node, taken)) = self.root(&parts, at) else {
            let path = parts.join(".");
            let denoted = denoted_type(&path).and_then(|ty| Node::constant(Value::Type(ty), at));
            return denoted.ok_or_else(|| self.error(at, self.unknown(&path)));
        };
        for field in parts.iter().skip(taken) {
            node = self.field(node, field, at).map_err(|error| match self.locals.is_empty() {
                true => self.error(at, self.unknown(&parts.join("."))),
                false => error,
            })?;
        }
        Ok(node)
    }

    /// The variable or the longest declared name that the parts begin with, and how many parts it has.
    fn root(&self, parts: &[&str], at: usize) -> Option<(Node, usize)> {
        let first = parts.first()?;
        if let Some(index) = self.locals.iter().rposition(|local| local.name == **first) {
            let local = self.locals.get(index)?;
            let index = u8::try_from(index).ok()?;
            let steps = Steps { locals: 1 << index, ..Steps::one() };
            let code = Code::local(index, local.known.clone());
            return Some((Node { code, at, steps, size: local.size }, 1));
        }
        (1..=parts.len()).rev().find_map(|taken| {
            let (slot, ty) = self.schema.find(&parts.get(..taken)?.join("."))?;
            let code = Code::slot(slot, ty);
            Some((Node { code, at, steps: Steps::read(slot), size: Size::ONE }, taken))
        })
    }

    /// The value of a key of a map.
    fn field(&self, map: Node, name: &str, at: usize) -> Result<Node, CompileError> {
        let known = match map.code.known() {
            Static::Map(key, value) if key.may_equal(&Static::Scalar(Type::Text)) => *value,
            Static::Scalar(Type::Dyn) => Static::DYN,
            Static::Scalar(_) | Static::List(_) | Static::Map(..) => {
                return Err(self.error(at, "only names and maps with string keys have fields, such as payment.amount"));
            }
        };
        let key = Expr::Const(Const::Text(name.into()));
        let steps = map.steps.more(map.size.len.saturating_mul(TEXT_STEPS));
        let code = Code::of(known, Expr::op(AnyOp::Index(map.code.into_any(), key)));
        Ok(self.sized(code, map.at, steps, map.size))
    }

    /// `has(path)`. The row answers it even for a name that is never missing. `has(map.key)` asks for a key.
    fn has(&mut self, tree: &IdedExpr, select: &SelectExpr, depth: usize) -> Result<Node, CompileError> {
        let start = self.called(tree.id).1;
        if let Some((mut parts, at)) = self.path(&select.operand) {
            parts.push(&select.field);
            let path = parts.join(".");
            let is_local = parts.first().is_some_and(|first| self.locals.iter().any(|local| local.name == **first));
            let has_fields = |node: &Node| matches!(node.code.known(), Static::Map(..) | Static::Scalar(Type::Dyn));
            let is_field = self.root(&parts, at).is_some_and(|(node, taken)| taken < parts.len() && has_fields(&node));
            if !is_local && !is_field {
                let (slot, _) = self.find(&path, start)?;
                let code = Code::Bool(Expr::op(BoolOp::Has(slot)));
                return Ok(Node { code, at: start, steps: Steps::test(slot), size: Size::ONE });
            }
        }
        let map = self.expr(&select.operand, depth + 1)?;
        if !matches!(map.code.known(), Static::Map(..) | Static::Scalar(Type::Dyn)) {
            return Err(self.error(map.at, "expected has(name) with a declared name, or has(map.key)"));
        }
        let key: Expr<Any> = Expr::Const(Const::Text(select.field.as_str().into()));
        let steps = map.steps.more(map.size.len.saturating_mul(TEXT_STEPS));
        let code = Code::Bool(Expr::op(BoolOp::In(key, map.code.into_any())));
        Ok(self.node(code, start, steps))
    }
}

/// The type that a name stands for.
fn denoted_type(name: &str) -> Option<Type> {
    Some(match name {
        "null_type" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "list" => Type::List,
        "map" => Type::Map,
        "type" => Type::Type,
        "google.protobuf.Timestamp" => Type::Time,
        "google.protobuf.Duration" => Type::Duration,
        _ => return None,
    })
}
