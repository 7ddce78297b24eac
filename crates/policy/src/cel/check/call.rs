//! Functions, and what to write instead of those that are not supported.

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr};

use super::super::code::{BoolOp, Calc, DoubleOp, IntOp, Rounding};
use super::super::dynamic::AnyOp;
use super::super::schema::nearest;
use super::super::typed::{Any, Code, Expr, Static};
use super::super::value::Const;
use super::super::{CompileError, Type};
use super::method::METHODS;
use super::{Checker, Node, Steps, TEXT_STEPS};

const FUNCTIONS: [&str; 24] = [
    "has",
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "timestamp",
    "duration",
    "type",
    "dyn",
    "math.abs",
    "math.least",
    "math.greatest",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.trunc",
    "math.sign",
    "math.sqrt",
    "math.isNaN",
    "math.isInf",
    "math.isFinite",
];

/// The function that names a list outside the policy.
pub(super) const LIST: &str = "list";

/// Functions of the extensions that other implementations have.
const EXTENSIONS: [&str; 26] = [
    "bind",
    "block",
    "decode",
    "encode",
    "first",
    "flatten",
    "hasValue",
    "indexOf",
    "last",
    "lastIndexOf",
    "none",
    "of",
    "ofNonZeroValue",
    "optFlatMap",
    "optMap",
    "or",
    "orValue",
    "proto",
    "quote",
    "reverse",
    "split",
    "strings.quote",
    "unwrap",
    "unwrapOpt",
    "value",
    "getExt",
];

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that a function does not list is refused")]
impl Checker<'_> {
    pub(super) fn call(&mut self, id: u64, call: &CallExpr, depth: usize) -> Result<Node, CompileError> {
        let own = self.offset(id);
        let name = call.func_name.as_str();
        let name_at = self.called(id).1;
        let Some(target) = &call.target else {
            return match self.operator(name, &call.args, own, depth) {
                Some(node) => node,
                None => self.function(name.trim_start_matches('.'), &call.args, name_at, depth),
            };
        };
        match &target.expr {
            Syntax::Ident(group) if group == "math" && !self.locals.iter().any(|local| local.name == "math") => {
                self.function(&format!("math.{name}"), &call.args, self.offset(target.id), depth)
            }
            _ if METHODS.contains(&name) => self.method(name, target, &call.args, name_at, depth),
            _ => match self.pair_macro(name, target, &call.args, name_at, depth) {
                Some(node) => node,
                None => Err(self.unsupported(name, name_at, &METHODS)),
            },
        }
    }

    fn function(&mut self, name: &str, args: &[IdedExpr], at: usize, depth: usize) -> Result<Node, CompileError> {
        match (name, args) {
            ("size", [value]) => self.size(value, at, depth),
            ("int" | "uint" | "double" | "string" | "bytes" | "bool" | "timestamp" | "duration", [value]) => {
                self.conversion(name, value, at, depth)
            }
            ("type", [value]) => {
                let Node { code, steps, .. } = self.expr(value, depth + 1)?;
                let known = Static::Scalar(Type::Type);
                Ok(self.node(Code::Any(known, Expr::op(AnyOp::TypeOf(code.into_any()))), at, steps.more(1)))
            }
            ("dyn", [value]) => {
                let Node { code, at: value_at, steps, size } = self.expr(value, depth + 1)?;
                if code.known().is_of_rows_only() {
                    let found = self.schema.static_name(&code.known());
                    return Err(self.error(value_at, format!("{found} cannot be of type dyn")));
                }
                Ok(self.sized(Code::Any(Static::DYN, code.into_any()), at, steps, size))
            }
            ("math.abs", [value]) => self.absolute(value, at, depth),
            ("math.least", [left, right]) => self.choose(Calc::Least, left, right, at, depth),
            ("math.greatest", [left, right]) => self.choose(Calc::Greatest, left, right, at, depth),
            ("math.least", [_, ..]) => self.extreme(Calc::Least, args, at, depth),
            ("math.greatest", [_, ..]) => self.extreme(Calc::Greatest, args, at, depth),
            ("math.ceil", [value]) => self.rounding(Rounding::Up, value, at, depth),
            ("math.floor", [value]) => self.rounding(Rounding::Down, value, at, depth),
            ("math.round", [value]) => self.rounding(Rounding::Nearest, value, at, depth),
            ("math.trunc", [value]) => self.rounding(Rounding::TowardsZero, value, at, depth),
            ("math.sign", [value]) => self.rounding(Rounding::Sign, value, at, depth),
            ("math.sqrt", [value]) => self.rounding(Rounding::SquareRoot, value, at, depth),
            ("math.isNaN" | "math.isInf" | "math.isFinite", [value]) => {
                let Node { code, at: value_at, steps, .. } = self.expr_of(value, Type::Double, depth)?;
                let Code::Double(value) = code else {
                    return Err(self.mismatch(value_at, &[Type::Double], &code.known()));
                };
                let op = match name {
                    "math.isNaN" => BoolOp::IsNan(value),
                    "math.isInf" => BoolOp::IsInfinite(value),
                    _ => BoolOp::IsFinite(value),
                };
                Ok(self.node(Code::Bool(Expr::op(op)), at, steps.more(1)))
            }
            (LIST, _) => Err(self.error(at, "list(…) can only stand after `in`, as in x in list(\"name\")")),
            _ if FUNCTIONS.contains(&name) => {
                let expected = if name == "math.least" || name == "math.greatest" { "values" } else { "1 value" };
                Err(self.error(at, format!("{name}() takes {expected}, found {}", args.len())))
            }
            _ => Err(self.unsupported(name, at, &FUNCTIONS)),
        }
    }

    /// Refuses a function or method and suggests what to use instead.
    pub(super) fn unsupported(&self, name: &str, at: usize, supported: &[&str]) -> CompileError {
        let message = match name {
            "format" | "join" => {
                format!("'{name}' is not supported; join strings with + and convert other values with string(…)")
            }
            _ if EXTENSIONS.contains(&name) || name.starts_with("math.bit") => {
                format!("'{name}' is not supported; it belongs to an extension of CEL")
            }
            _ => match nearest(name, supported.iter().copied()) {
                Some(near) => format!("there is no function '{name}'; did you mean '{near}'?"),
                None => format!("there is no function '{name}'; there are {}", supported.join(", ")),
            },
        };
        self.error(at, message)
    }

    pub(super) fn size(&mut self, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps, .. } = self.expr(value, depth + 1)?;
        let op = match code {
            Code::Text(text) => IntOp::Chars(text),
            Code::Any(Static::List(_) | Static::Map(..) | Static::Scalar(Type::Bytes | Type::Dyn), value) => {
                IntOp::Size(value)
            }
            other => {
                let expected = [Type::Text, Type::Bytes, Type::List, Type::Map];
                return Err(self.mismatch(value_at, &expected, &other.known()));
            }
        };
        Ok(self.node(Code::Int(Expr::op(op)), at, steps.more(TEXT_STEPS)))
    }

    fn absolute(&mut self, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps, .. } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Int(value) => Code::Int(Expr::op(IntOp::Absolute(value))),
            Code::Double(value) => Code::Double(Expr::op(DoubleOp::Absolute(value))),
            Code::Any(known @ Static::Scalar(Type::Uint | Type::Dyn), value) => {
                Code::Any(known, Expr::op(AnyOp::Absolute(value)))
            }
            other => return Err(self.mismatch(value_at, &[Type::Int, Type::Uint, Type::Double], &other.known())),
        };
        Ok(self.node(code, at, steps.more(1)))
    }

    fn rounding(&mut self, how: Rounding, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps, .. } = self.expr(value, depth + 1)?;
        let code = match (how, code) {
            (Rounding::Sign, Code::Int(value)) => {
                let limits = [Calc::Greatest, Calc::Least].into_iter().zip([-1, 1]);
                let sign = |value, (calc, limit)| Expr::op(IntOp::Calc(calc, value, Expr::Const(limit)));
                Code::Int(limits.fold(value, sign))
            }
            (Rounding::Sign, Code::Any(known @ Static::Scalar(Type::Uint), value)) => {
                let values = [value, Expr::Const(Const::Uint(1))];
                Code::Any(known, Expr::op(AnyOp::Extreme(Calc::Least, values.into())))
            }
            (Rounding::SquareRoot, Code::Int(value)) => {
                Code::Double(Expr::op(DoubleOp::Round(how, Expr::op(DoubleOp::Nearest(value)))))
            }
            (_, Code::Double(value)) => Code::Double(Expr::op(DoubleOp::Round(how, value))),
            (_, code) => {
                let code = self.coerce(code, Type::Double, value_at)?;
                let Code::Double(value) = code else {
                    return Err(self.mismatch(value_at, &[Type::Double], &code.known()));
                };
                Code::Double(Expr::op(DoubleOp::Round(how, value)))
            }
        };
        Ok(self.node(code, at, steps.more(1)))
    }

    /// The smaller or larger of two numbers.
    fn choose(
        &mut self,
        calc: Calc,
        left: &IdedExpr,
        right: &IdedExpr,
        at: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (left, right) = (self.expr(left, depth + 1)?, self.expr(right, depth + 1)?);
        match (left.code, right.code) {
            (Code::Int(a), Code::Int(b)) => {
                let code = Code::Int(Expr::op(IntOp::Calc(calc, a, b)));
                Ok(self.node(code, at, left.steps.and(right.steps).more(1)))
            }
            (Code::Double(a), Code::Double(b)) => {
                let code = Code::Double(Expr::op(DoubleOp::Calc(calc, a, b)));
                Ok(self.node(code, at, left.steps.and(right.steps).more(1)))
            }
            (a, b) => self.extreme_of(calc, vec![Node { code: a, ..left }, Node { code: b, ..right }], at),
        }
    }

    fn extreme(&mut self, calc: Calc, args: &[IdedExpr], at: usize, depth: usize) -> Result<Node, CompileError> {
        let nodes = args.iter().map(|arg| self.expr(arg, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        self.extreme_of(calc, nodes, at)
    }

    /// The smallest or largest of several numbers, or of one list of numbers.
    fn extreme_of(&self, calc: Calc, nodes: Vec<Node>, at: usize) -> Result<Node, CompileError> {
        let mut steps = Steps::one();
        let mut known: Option<Static> = None;
        let mut values: Vec<Expr<Any>> = Vec::new();
        let is_single = nodes.len() == 1;
        for node in nodes {
            let found = match node.code.known() {
                Static::List(element) if is_single => *element,
                other => other,
            };
            if !matches!(found, Static::Scalar(Type::Int | Type::Uint | Type::Double | Type::Dyn)) {
                return Err(self.mismatch(node.at, &[Type::Int, Type::Uint, Type::Double], &node.code.known()));
            }
            known = match known {
                Some(known) => known.either(found),
                None => Some(found),
            };
            steps = steps.and(node.steps).more(node.size.len);
            values.push(node.code.into_any());
        }
        let op = AnyOp::Extreme(calc, values.into());
        Ok(self.node(Code::of(known.unwrap_or(Static::DYN), Expr::op(op)), at, steps))
    }
}
