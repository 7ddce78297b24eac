//! Turns the syntax tree into the typed form, and checks names, types and bounds.

mod call;
mod operator;

use cel::common::ast::{Expr as Syntax, IdedExpr, LiteralValue, SourceInfo};

use super::code::BoolOp;
use super::typed::{Code, Expr};
use super::{COST_MAX, CompileError, DEPTH_MAX, EvalError, NODES_MAX, Program, Row, Schema, Slot, Type, Value, parse};

/// Checks `source` against `schema` and compiles it to a program whose result has one of the `expected` types (any type
/// if there are none). The bounds are [`super::SOURCE_BYTES_MAX`], [`super::DEPTH_MAX`], [`super::NODES_MAX`] and
/// [`super::COST_MAX`]. Every source gives either a program or an error, on a stack of 1 MiB.
pub fn compile(source: &str, schema: &Schema, expected: &[Type]) -> Result<Program, CompileError> {
    let (tree, positions) = parse::parse(source)?;
    let mut checker = Checker { source, schema, positions, nodes_count: 0 };
    let Node { code, at, steps } = checker.expr(&tree, 1)?;
    if !expected.is_empty() && !expected.contains(&code.ty()) {
        return Err(checker.mismatch(at, expected, code.ty()));
    }
    if steps.cost > COST_MAX {
        let message = format!("the expression costs up to {} steps, at most {COST_MAX} are allowed", steps.cost);
        return Err(CompileError::at(source, 0, message));
    }
    let Steps { cost, mut slots, failures, fails } = steps;
    slots.sort_unstable();
    slots.dedup();
    let failures = failures.into_iter().map(|(at, error)| checker.error(at, error.to_string())).collect();
    Ok(Program { code, slots: slots.into(), cost, source: source.into(), failures, fails })
}

/// The steps that an operation counts for if it reads through a text.
const TEXT_STEPS: u32 = 8;

struct Checker<'a> {
    source: &'a str,
    schema: &'a Schema,
    positions: SourceInfo,
    nodes_count: usize,
}

/// A checked expression.
struct Node {
    code: Code,
    /// The byte at which it starts.
    at: usize,
    steps: Steps,
}

/// The cost of an evaluation, the slots that it reads, and what of it always fails.
#[derive(Debug, Default)]
struct Steps {
    cost: u32,
    slots: Vec<Slot>,
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
        Self { cost: 1, slots: vec![slot], ..Self::default() }
    }

    /// The steps of an operation that needs both sides.
    fn and(mut self, other: Self) -> Self {
        self.fails |= other.fails;
        self.cost = self.cost.saturating_add(other.cost);
        self.slots.extend(other.slots);
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
}

/// A row without values, with which constants are computed.
pub(super) struct Nowhere;

impl Row for Nowhere {
    fn get(&self, _slot: Slot) -> Option<Value<'_>> {
        None
    }
}

impl Node {
    /// A node that is computed now if it reads nothing. If that fails, the code stays as it is and fails when it is
    /// evaluated, which may never happen, as in `false && 1 / 0 == 0`.
    fn new(code: Code, at: usize, mut steps: Steps) -> Self {
        if !steps.slots.is_empty() {
            return Self { code, at, steps };
        }
        match code.eval(&Nowhere).map(Code::constant) {
            Ok(Some(code)) => Self { code, at, steps: Steps::one() },
            Ok(None) => Self { code, at, steps },
            Err(error) => {
                if !steps.fails {
                    steps.fails = true;
                    steps.failures.push((at, error));
                }
                Self { code, at, steps }
            }
        }
    }

    fn constant(value: Value<'_>, at: usize) -> Option<Self> {
        Code::constant(value).map(|code| Self { code, at, steps: Steps::one() })
    }

    fn constant_bool(&self) -> Option<bool> {
        if let Code::Bool(Expr::Const(value)) = self.code { Some(value) } else { None }
    }
}

impl Checker<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> CompileError {
        CompileError::at(self.source, at, message)
    }

    fn mismatch(&self, at: usize, expected: &[Type], found: Type) -> CompileError {
        let names: Vec<String> = expected.iter().map(|ty| self.schema.type_name(*ty)).collect();
        self.error(at, format!("expected {}, found {}", names.join(" or "), self.schema.type_name(found)))
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
            Syntax::Ident(_) => self.name(tree),
            Syntax::Select(select) if select.test => {
                let start = self.called(tree.id).1;
                let (path, _) = self.path(&select.operand, start)?;
                self.has(&format!("{path}.{}", select.field), start)
            }
            Syntax::Select(_) => self.name(tree),
            Syntax::Call(call) => self.call(tree.id, call, depth),
            Syntax::List(_) => Err(self.error(own, "a list is only supported to the right of 'in'")),
            Syntax::Comprehension(_) => {
                let (name, at) = self.called(tree.id);
                Err(self.error(at, format!("'{name}' is not supported: there are no lists to iterate over, only 'in'")))
            }
            Syntax::Map(_) => Err(self.error(own, "maps are not supported")),
            Syntax::Struct(_) => Err(self.error(own, "messages are not supported")),
            Syntax::Unspecified => Err(self.error(own, "expected an expression")),
        }
    }

    fn literal(&self, literal: &LiteralValue, at: usize) -> Result<Node, CompileError> {
        let (value, unsupported) = match literal {
            LiteralValue::Boolean(value) => (Some(Value::Bool(*value.inner())), ""),
            LiteralValue::Int(value) => (Some(Value::Int(*value.inner())), ""),
            LiteralValue::Double(value) => (Some(Value::Double(*value.inner())), ""),
            LiteralValue::String(value) => (Some(Value::Text(value.inner())), ""),
            LiteralValue::UInt(_) => (None, "uint is not supported; write an int, without the u"),
            LiteralValue::Bytes(_) => (None, "bytes are not supported; write a plain string"),
            LiteralValue::Null => (None, "null is not supported; use has(name) to test whether there is a value"),
        };
        value.and_then(|value| Node::constant(value, at)).ok_or_else(|| self.error(at, unsupported))
    }

    /// A dotted name and where it starts.
    fn path(&self, tree: &IdedExpr, at: usize) -> Result<(String, usize), CompileError> {
        let mut fields = Vec::new();
        let mut inner = tree;
        loop {
            match &inner.expr {
                Syntax::Select(select) if !select.test => {
                    fields.push(select.field.as_str());
                    inner = &select.operand;
                }
                Syntax::Ident(name) => {
                    fields.push(name);
                    fields.reverse();
                    return Ok((fields.join("."), self.offset(inner.id)));
                }
                Syntax::Select(_)
                | Syntax::Call(_)
                | Syntax::Literal(_)
                | Syntax::List(_)
                | Syntax::Comprehension(_)
                | Syntax::Map(_)
                | Syntax::Struct(_)
                | Syntax::Unspecified => return Err(self.error(at, "only names have fields, such as payment.amount")),
            }
        }
    }

    fn find(&self, path: &str, at: usize) -> Result<(Slot, Type), CompileError> {
        self.schema.find(path).ok_or_else(|| self.error(at, self.schema.unknown(path)))
    }

    fn name(&self, tree: &IdedExpr) -> Result<Node, CompileError> {
        let (path, at) = self.path(tree, self.offset(tree.id))?;
        let (slot, ty) = self.find(&path, at)?;
        Ok(Node { code: Code::slot(slot, ty), at, steps: Steps::read(slot) })
    }

    /// `has(path)`. The row answers it even for a name that is never missing.
    fn has(&self, path: &str, at: usize) -> Result<Node, CompileError> {
        let (slot, _) = self.find(path, at)?;
        let code = Code::Bool(Expr::op(BoolOp::Has(slot)));
        Ok(Node { code, at, steps: Steps::read(slot) })
    }
}
