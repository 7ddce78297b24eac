//! Conversions between types.

use cel::common::ast::IdedExpr;
use types::Timestamp;

use super::super::calendar::parse_duration;
use super::super::code::{DoubleOp, IntOp};
use super::super::dynamic::AnyOp;
use super::super::text::TextOp;
use super::super::typed::{Code, Expr, Static};
use super::super::{CompileError, Moment, Type, Value};
use super::{Checker, Node, TEXT_STEPS};

/// What the function `name` gives, and what it takes.
fn conversion(name: &str) -> Option<(Type, &'static [Type])> {
    Some(match name {
        "int" => (Type::Int, &[Type::Int, Type::Uint, Type::Double, Type::Text, Type::Time]),
        "uint" => (Type::Uint, &[Type::Uint, Type::Int, Type::Double, Type::Text]),
        "double" => (Type::Double, &[Type::Double, Type::Int, Type::Uint, Type::Text]),
        "string" => (
            Type::Text,
            &[Type::Text, Type::Bool, Type::Int, Type::Uint, Type::Double, Type::Bytes, Type::Time, Type::Duration],
        ),
        "bytes" => (Type::Bytes, &[Type::Bytes, Type::Text]),
        "bool" => (Type::Bool, &[Type::Bool, Type::Text]),
        "timestamp" => (Type::Time, &[Type::Time, Type::Text, Type::Int]),
        "duration" => (Type::Duration, &[Type::Duration, Type::Text]),
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what has no faster form is converted by the general one")]
impl Checker<'_> {
    pub(super) fn conversion(
        &mut self,
        name: &str,
        value: &IdedExpr,
        at: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let Some((to, from)) = conversion(name) else {
            return Err(self.error(at, format!("'{name}' is not supported")));
        };
        let Node { code, at: value_at, steps, .. } = self.expr(value, depth + 1)?;
        let ty = code.ty();
        let is_entity_as_text = to == Type::Text && matches!(ty, Type::Entity(_));
        if !from.contains(&ty) && ty != Type::Dyn && !is_entity_as_text {
            return Err(self.mismatch(value_at, from, &code.known()));
        }
        // A literal that cannot be read is a mistake whatever the row is.
        if let Code::Text(Expr::Const(text)) = &code {
            // Earlier releases read a few more forms of a literal, such as the offset +01.
            if let (Type::Time, None, Ok(time)) = (to, Moment::parse(text), text.parse::<Timestamp>()) {
                let constant = Node::constant(Value::Time(time.into()), at);
                return constant.ok_or_else(|| self.error(at, "expected a constant"));
            }
            self.check_literal(to, text, value_at)?;
        }
        let cost = if ty == Type::Text { TEXT_STEPS } else { 1 };
        let code = match (to, code) {
            (_, code) if code.ty() == to => return Ok(self.node(code, at, steps.more(1))),
            (Type::Int, Code::Double(value)) => Code::Int(Expr::op(IntOp::Whole(value))),
            (Type::Int, Code::Time(value)) => Code::Int(Expr::op(IntOp::Seconds(value))),
            (Type::Double, Code::Int(value)) => Code::Double(Expr::op(DoubleOp::Nearest(value))),
            (Type::Text, Code::Entity(_, entity)) => Code::Text(Expr::op(TextOp::ValueOf(entity))),
            (Type::Text, code) => {
                let code = Code::Text(Expr::op(TextOp::Show(code.into_any())));
                return Ok(self.node(code, at, steps.with_text()));
            }
            (_, code) => Code::of(Static::Scalar(to), Expr::op(AnyOp::Convert(to, code.into_any()))),
        };
        Ok(self.node(code, at, steps.more(cost)))
    }

    fn check_literal(&self, to: Type, text: &str, at: usize) -> Result<(), CompileError> {
        let message = match to {
            Type::Time if Moment::parse(text).is_none() => {
                let found = types::shorten(text);
                format!(
                    "`{found}` is not an RFC 3339 time between the years 1 and 9999, such as \"2026-11-22T17:30:00Z\""
                )
            }
            Type::Duration if parse_duration(text).is_none() => {
                format!("{text:?} is not a duration of up to 292 years, such as \"1h30m\" or \"7d\"")
            }
            _ => return Ok(()),
        };
        Err(self.error(at, message))
    }
}
