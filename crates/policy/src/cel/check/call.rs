//! Functions and methods, and what to write instead of those that are not supported.

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr};
use types::Timestamp;

use super::super::calendar::{HOUR_NS, MINUTE_NS, SECOND_NS, TimePart, parse_duration};
use super::super::code::{BoolOp, Calc, DoubleOp, IntOp};
use super::super::schema::nearest;
use super::super::typed::{Code, Expr, Text};
use super::super::{CompileError, Type, Value};
use super::{Checker, Node, Steps, TEXT_STEPS};

const FUNCTIONS: [&str; 9] =
    ["has", "size", "int", "double", "timestamp", "duration", "math.abs", "math.least", "math.greatest"];

const METHODS: [&str; 13] = [
    "startsWith",
    "endsWith",
    "contains",
    "size",
    "getSeconds",
    "getMinutes",
    "getHours",
    "getDayOfWeek",
    "getDayOfMonth",
    "getDate",
    "getDayOfYear",
    "getMonth",
    "getFullYear",
];

type TextTest = fn(Expr<Text>, Expr<Text>) -> BoolOp;

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that a function does not list is refused")]
impl Checker<'_> {
    pub(super) fn call(&mut self, id: u64, call: &CallExpr, depth: usize) -> Result<Node, CompileError> {
        let own = self.offset(id);
        let name = call.func_name.as_str();
        let Some(target) = &call.target else {
            return match self.operator(name, &call.args, own, depth) {
                Some(node) => node,
                None => self.function(name, &call.args, self.called(id).1, depth),
            };
        };
        let name_at = self.called(id).1;
        match &target.expr {
            Syntax::Ident(group) if group == "math" => {
                self.function(&format!("math.{name}"), &call.args, self.offset(target.id), depth)
            }
            _ if METHODS.contains(&name) => self.method(name, target, &call.args, name_at, depth),
            _ => Err(self.unsupported(name, name_at, &METHODS)),
        }
    }

    fn function(&mut self, name: &str, args: &[IdedExpr], at: usize, depth: usize) -> Result<Node, CompileError> {
        match (name, args) {
            ("size", [text]) => self.size(text, at, depth),
            ("int", [value]) => self.int(value, at, depth),
            ("double", [value]) => self.double(value, at, depth),
            ("timestamp", [text]) => {
                let ns = |text: &str| text.parse::<Timestamp>().map(Value::Time).map_err(|error| error.to_string());
                self.time_literal(text, at, ns)
            }
            ("duration", [text]) => self.time_literal(text, at, |text| {
                let unreadable =
                    || format!("{text:?} is not a duration of up to 292 years, such as \"1h30m\" or \"7d\"");
                parse_duration(text).map(Value::Duration).ok_or_else(unreadable)
            }),
            ("math.abs", [value]) => self.absolute(value, at, depth),
            ("math.least", [left, right]) => self.choose(Calc::Least, left, right, at, depth),
            ("math.greatest", [left, right]) => self.choose(Calc::Greatest, left, right, at, depth),
            _ if FUNCTIONS.contains(&name) => {
                let expected = if name == "math.least" || name == "math.greatest" { "2 values" } else { "1 value" };
                Err(self.error(at, format!("{name}() takes {expected}, found {}", args.len())))
            }
            _ => Err(self.unsupported(name, at, &FUNCTIONS)),
        }
    }

    /// Refuses a function or method and suggests what to use instead.
    fn unsupported(&self, name: &str, at: usize, supported: &[&str]) -> CompileError {
        let instead = match name {
            "matches" => "there are no regular expressions; use startsWith, endsWith or contains",
            "all" | "exists" | "exists_one" | "existsOne" | "map" | "filter" => {
                "there are no lists to iterate over, only 'in' to test for one of several values"
            }
            "dyn" | "type" => "every type is known when the expression is compiled",
            "bool" => "compare with == or != to get a bool",
            "uint" => "numbers are int or double",
            "bytes" | "string" | "format" | "join" | "lowerAscii" | "upperAscii" | "replace" | "substring" | "trim" => {
                "an expression cannot build a new string"
            }
            "getMilliseconds" => "the finest unit of a time is getSeconds()",
            _ => match nearest(name, supported.iter().copied()) {
                Some(near) => return self.error(at, format!("'{name}' is not supported; did you mean '{near}'?")),
                None => {
                    return self
                        .error(at, format!("'{name}' is not supported; supported are {}", supported.join(", ")));
                }
            },
        };
        self.error(at, format!("'{name}' is not supported: {instead}"))
    }

    fn text(&mut self, tree: &IdedExpr, depth: usize) -> Result<(Expr<Text>, usize, Steps), CompileError> {
        let Node { code, at, steps } = self.expr(tree, depth + 1)?;
        match code {
            Code::Text(text) => Ok((text, at, steps)),
            other => Err(self.mismatch(at, &[Type::Text], other.ty())),
        }
    }

    fn size(&mut self, text: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let (text, _, steps) = self.text(text, depth)?;
        Ok(Node::new(Code::Int(Expr::op(IntOp::Chars(text))), at, steps.more(TEXT_STEPS)))
    }

    fn int(&mut self, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Int(value) => Code::Int(value),
            Code::Double(value) => Code::Int(Expr::op(IntOp::Whole(value))),
            Code::Time(value) => Code::Int(Expr::op(IntOp::Seconds(value))),
            other => return Err(self.mismatch(value_at, &[Type::Int, Type::Double, Type::Time], other.ty())),
        };
        Ok(Node::new(code, at, steps.more(1)))
    }

    fn double(&mut self, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Double(value) => Code::Double(value),
            Code::Int(value) => Code::Double(Expr::op(DoubleOp::Nearest(value))),
            other => return Err(self.mismatch(value_at, &[Type::Int, Type::Double], other.ty())),
        };
        Ok(Node::new(code, at, steps.more(1)))
    }

    /// `timestamp("…")` and `duration("…")`, whose text is read at compile time.
    fn time_literal<'t>(
        &self,
        text: &'t IdedExpr,
        at: usize,
        read: impl FnOnce(&'t str) -> Result<Value<'static>, String>,
    ) -> Result<Node, CompileError> {
        let text_at = self.offset(text.id);
        let Syntax::Literal(cel::common::ast::LiteralValue::String(text)) = &text.expr else {
            return Err(
                self.error(text_at, "expected a string in quotes, because it is read when the expression is compiled")
            );
        };
        let value = read(text.inner()).map_err(|message| self.error(text_at, message))?;
        Node::constant(value, at).ok_or_else(|| self.error(at, "expected a constant"))
    }

    fn absolute(&mut self, value: &IdedExpr, at: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at: value_at, steps } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Int(value) => Code::Int(Expr::op(IntOp::Absolute(value))),
            Code::Double(value) => Code::Double(Expr::op(DoubleOp::Absolute(value))),
            other => return Err(self.mismatch(value_at, &[Type::Int, Type::Double], other.ty())),
        };
        Ok(Node::new(code, at, steps.more(1)))
    }

    /// The smaller or larger of two numbers of one type.
    fn choose(
        &mut self,
        calc: Calc,
        left: &IdedExpr,
        right: &IdedExpr,
        at: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (left, right) = (self.expr(left, depth + 1)?, self.expr(right, depth + 1)?);
        let steps = left.steps.and(right.steps).more(1);
        let code = match (left.code, right.code) {
            (Code::Int(left), Code::Int(right)) => Code::Int(Expr::op(IntOp::Calc(calc, left, right))),
            (Code::Double(left), Code::Double(right)) => Code::Double(Expr::op(DoubleOp::Calc(calc, left, right))),
            (left @ (Code::Int(_) | Code::Double(_)), other) => {
                return Err(self.mismatch(right.at, &[left.ty()], other.ty()));
            }
            (other, _) => return Err(self.mismatch(left.at, &[Type::Int, Type::Double], other.ty())),
        };
        Ok(Node::new(code, at, steps))
    }

    fn method(
        &mut self,
        name: &str,
        target: &IdedExpr,
        args: &[IdedExpr],
        name_at: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let test: Option<TextTest> = match name {
            "startsWith" => Some(BoolOp::StartsWith),
            "endsWith" => Some(BoolOp::EndsWith),
            "contains" => Some(BoolOp::Contains),
            _ => None,
        };
        match (test, name, args) {
            (Some(test), _, [part]) => {
                let (text, at, text_steps) = self.text(target, depth)?;
                let (part, _, part_steps) = self.text(part, depth)?;
                let steps = text_steps.and(part_steps).more(TEXT_STEPS);
                Ok(Node::new(Code::Bool(Expr::op(test(text, part))), at, steps))
            }
            (None, "size", []) => self.size(target, self.offset(target.id), depth),
            (None, _, []) => self.time_part(name, target, name_at, depth),
            (None, "size", _) => Err(self.error(name_at, "size() takes no arguments")),
            (None, _, _) => Err(self.error(name_at, format!("{name}() takes no time zone: times are in UTC"))),
            (Some(_), _, _) => {
                Err(self.error(name_at, format!("{name}() takes 1 string, found {} values", args.len())))
            }
        }
    }

    fn time_part(&mut self, name: &str, target: &IdedExpr, name_at: usize, depth: usize) -> Result<Node, CompileError> {
        let (part, unit_ns) = match name {
            "getSeconds" => (TimePart::Second, Some(SECOND_NS)),
            "getMinutes" => (TimePart::Minute, Some(MINUTE_NS)),
            "getHours" => (TimePart::Hour, Some(HOUR_NS)),
            "getDayOfWeek" => (TimePart::DayOfWeek, None),
            "getDayOfMonth" => (TimePart::DayOfMonth, None),
            "getDate" => (TimePart::Date, None),
            "getDayOfYear" => (TimePart::DayOfYear, None),
            "getMonth" => (TimePart::Month, None),
            "getFullYear" => (TimePart::Year, None),
            _ => return Err(self.unsupported(name, name_at, &METHODS)),
        };
        let Node { code, at, steps } = self.expr(target, depth + 1)?;
        let op = match (code, unit_ns) {
            (Code::Time(time), _) => IntOp::TimePart(part, time),
            (Code::Duration(duration), Some(unit_ns)) => IntOp::Units(unit_ns, duration),
            (other, Some(_)) => return Err(self.mismatch(at, &[Type::Time, Type::Duration], other.ty())),
            (other, None) => return Err(self.mismatch(at, &[Type::Time], other.ty())),
        };
        Ok(Node::new(Code::Int(Expr::op(op)), at, steps.more(1)))
    }
}
