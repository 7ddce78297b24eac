//! Methods of strings and times.

use cel::common::ast::IdedExpr;

use super::super::calendar::{HOUR_NS, MINUTE_NS, SECOND_NS, TimePart};
use super::super::code::{BoolOp, IntOp};
use super::super::pattern::Pattern;
use super::super::text::TextOp;
use super::super::typed::{Code, Expr, Int, Text};
use super::super::zone::Zone;
use super::super::{CompileError, Type};
use super::{Checker, Node, Steps, TEXT_STEPS};

pub(super) const METHODS: [&str; 21] = [
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "size",
    "lowerAscii",
    "upperAscii",
    "trim",
    "substring",
    "charAt",
    "replace",
    "getMilliseconds",
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

/// The memory of a regular expression that counts as a step.
const PATTERN_BYTES_PER_STEP: usize = 256;

type TextTest = fn(Expr<Text>, Expr<Text>) -> BoolOp;

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that a method does not list is refused")]
impl Checker<'_> {
    pub(super) fn method(
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
        let takes = match (test, name, args) {
            (Some(test), _, [part]) => {
                let (text, at, text_steps) = self.text(target, depth)?;
                let (part, _, part_steps) = self.text(part, depth)?;
                let steps = text_steps.and(part_steps).more(TEXT_STEPS);
                return Ok(self.node(Code::Bool(Expr::op(test(text, part))), at, steps));
            }
            (_, "size", []) => return self.size(target, self.offset(target.id), depth),
            (_, "matches", [pattern]) => return self.matches(target, pattern, depth),
            (_, "lowerAscii" | "upperAscii" | "trim", []) => {
                let (text, at, steps) = self.text(target, depth)?;
                let op = match name {
                    "lowerAscii" => TextOp::Lower(text),
                    "upperAscii" => TextOp::Upper(text),
                    _ => TextOp::Trim(text),
                };
                return Ok(self.node(Code::Text(Expr::op(op)), at, steps.with_text()));
            }
            (_, "substring", [start]) => {
                let (text, at, steps) = self.text(target, depth)?;
                let (start, start_steps) = self.int(start, depth)?;
                let code = Code::Text(Expr::op(TextOp::Part(text, start, None)));
                return Ok(self.node(code, at, steps.and(start_steps).more(TEXT_STEPS)));
            }
            (_, "substring", [start, end]) => {
                let (text, at, steps) = self.text(target, depth)?;
                let (start, start_steps) = self.int(start, depth)?;
                let (end, end_steps) = self.int(end, depth)?;
                let code = Code::Text(Expr::op(TextOp::Part(text, start, Some(end))));
                return Ok(self.node(code, at, steps.and(start_steps).and(end_steps).more(TEXT_STEPS)));
            }
            (_, "charAt", [index]) => {
                let (text, at, steps) = self.text(target, depth)?;
                let (index, index_steps) = self.int(index, depth)?;
                let code = Code::Text(Expr::op(TextOp::CharAt(text, index)));
                return Ok(self.node(code, at, steps.and(index_steps).more(TEXT_STEPS)));
            }
            (_, "replace", [from, to]) => {
                let (text, at, steps) = self.text(target, depth)?;
                let (from, _, from_steps) = self.text(from, depth)?;
                let (to, _, to_steps) = self.text(to, depth)?;
                let code = Code::Text(Expr::op(TextOp::Replace(text, from, to)));
                return Ok(self.node(code, at, steps.and(from_steps).and(to_steps).with_text()));
            }
            (Some(_), _, _) => "1 string",
            (_, "size" | "lowerAscii" | "upperAscii" | "trim", _) => "no arguments",
            (_, "matches", _) => "1 regular expression",
            (_, "substring", _) => "1 or 2 ints",
            (_, "charAt", _) => "1 int",
            (_, "replace", _) => "2 strings",
            (_, _, []) => return self.time_part(name, target, None, name_at, depth),
            (_, _, [zone]) => return self.time_part(name, target, Some(zone), name_at, depth),
            _ => "at most a time zone",
        };
        let found = if args.len() == 1 { "1 value".to_owned() } else { format!("{} values", args.len()) };
        Err(self.error(name_at, format!("{name}() takes {takes}, found {found}")))
    }

    fn text(&mut self, tree: &IdedExpr, depth: usize) -> Result<(Expr<Text>, usize, Steps), CompileError> {
        let Node { code, at, steps, .. } = self.expr_of(tree, Type::Text, depth)?;
        match code {
            Code::Text(text) => Ok((text, at, steps)),
            other => Err(self.mismatch(at, &[Type::Text], &other.known())),
        }
    }

    fn int(&mut self, tree: &IdedExpr, depth: usize) -> Result<(Expr<Int>, Steps), CompileError> {
        let Node { code, at, steps, .. } = self.expr_of(tree, Type::Int, depth)?;
        match code {
            Code::Int(int) => Ok((int, steps)),
            other => Err(self.mismatch(at, &[Type::Int], &other.known())),
        }
    }

    fn matches(&mut self, text: &IdedExpr, pattern: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let (text, at, steps) = self.text(text, depth)?;
        let source = self.expr(pattern, depth + 1)?;
        let Code::Text(Expr::Const(source_text)) = &source.code else {
            let message = "expected a regular expression in quotes, because it is compiled with the expression";
            return Err(self.error(source.at, message));
        };
        let pattern = Pattern::new(source_text).map_err(|message| self.error(source.at, message))?;
        // The bound on the steps of a policy is thereby also one on the memory that its patterns take together.
        let memory_steps = u32::try_from(pattern.bytes() / PATTERN_BYTES_PER_STEP).unwrap_or(u32::MAX);
        let code = Code::Bool(Expr::op(BoolOp::Matches(text, Box::new(pattern))));
        Ok(self.node(code, at, steps.more(TEXT_STEPS.saturating_add(memory_steps))))
    }

    fn time_part(
        &mut self,
        name: &str,
        target: &IdedExpr,
        zone: Option<&IdedExpr>,
        name_at: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (part, unit_ns) = match name {
            "getMilliseconds" => (TimePart::Millisecond, None),
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
        let mut clock = Zone::UTC;
        if let Some(zone) = zone {
            let Node { code, at, .. } = self.expr(zone, depth + 1)?;
            let Code::Text(Expr::Const(zone)) = &code else {
                return Err(self.error(
                    at,
                    "expected a time zone in quotes, because it is looked up when the expression is compiled",
                ));
            };
            clock = Zone::parse(zone).map_err(|message| self.error(at, message))?;
        }
        let Node { code, at, steps, .. } = self.expr(target, depth + 1)?;
        let takes_durations = zone.is_none() && (unit_ns.is_some() || part == TimePart::Millisecond);
        let op = match (code, unit_ns) {
            (Code::Time(time), _) => IntOp::TimePart(part, Box::new(clock), time),
            (Code::Duration(duration), Some(unit_ns)) if takes_durations => IntOp::Units(unit_ns, duration),
            (Code::Duration(duration), None) if takes_durations => IntOp::Milliseconds(duration),
            (other, _) if takes_durations => {
                return Err(self.mismatch(at, &[Type::Time, Type::Duration], &other.known()));
            }
            (other, _) => return Err(self.mismatch(at, &[Type::Time], &other.known())),
        };
        Ok(self.node(Code::Int(Expr::op(op)), at, steps.more(1)))
    }
}
