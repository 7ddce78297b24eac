//! Checks the types of operators.

use cel::common::ast::{IdedExpr, operators};

use super::super::code::{BoolOp, Calc, Compare, DoubleOp, DurationOp, IntOp, Order, TimeOp};
use super::super::dynamic::AnyOp;
use super::super::text::TextOp;
use super::super::typed::{Code, Expr, Static};
use super::super::{CompileError, Type};
use super::{Checker, Node, TEXT_STEPS};

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operator does not list is refused")]
impl Checker<'_> {
    /// Compiles the operator `name` (as the library spells it) at byte `own`. Returns `None` if there is no such
    /// operator.
    pub(super) fn operator(
        &mut self,
        name: &str,
        args: &[IdedExpr],
        own: usize,
        depth: usize,
    ) -> Option<Result<Node, CompileError>> {
        let calc = |symbol| match symbol {
            operators::ADD => Some((Calc::Add, "+")),
            operators::SUBSTRACT => Some((Calc::Subtract, "-")),
            operators::MULTIPLY => Some((Calc::Multiply, "*")),
            operators::DIVIDE => Some((Calc::Divide, "/")),
            operators::MODULO => Some((Calc::Remainder, "%")),
            _ => None,
        };
        let order = |symbol| match symbol {
            operators::EQUALS => Some(Order::Equal),
            operators::NOT_EQUALS => Some(Order::NotEqual),
            operators::LESS => Some(Order::Less),
            operators::LESS_EQUALS => Some(Order::LessOrEqual),
            operators::GREATER => Some(Order::Greater),
            operators::GREATER_EQUALS => Some(Order::GreaterOrEqual),
            _ => None,
        };
        Some(match (name, args) {
            (operators::LOGICAL_NOT, [value]) => self.not(value, own, depth),
            (operators::NEGATE, [value]) => self.negate(value, own, depth),
            (operators::LOGICAL_AND, [left, right]) => self.logic(false, left, right, depth),
            (operators::LOGICAL_OR, [left, right]) => self.logic(true, left, right, depth),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                self.conditional(condition, then, otherwise, depth)
            }
            (operators::IN, [value, list]) => self.member(value, list, depth),
            (operators::INDEX, [container, key]) => self.index(container, key, depth),
            (_, [left, right]) => match (calc(name), order(name)) {
                (Some((calc, symbol)), _) => self.arithmetic(calc, symbol, left, right, own, depth),
                (None, Some(order)) => self.comparison(order, left, right, own, depth),
                (None, None) => return None,
            },
            _ => return None,
        })
    }

    fn bool(&mut self, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        self.expr_of(tree, Type::Bool, depth)
    }

    fn not(&mut self, value: &IdedExpr, own: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at, steps, .. } = self.bool(value, depth)?;
        match code {
            Code::Bool(value) => Ok(self.node(Code::Bool(Expr::op(BoolOp::Not(value))), own, steps.more(1))),
            other => Err(self.mismatch(at, &[Type::Bool], &other.known())),
        }
    }

    fn negate(&mut self, value: &IdedExpr, own: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at, steps, .. } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Int(value) => Code::Int(Expr::op(IntOp::Negate(value))),
            Code::Double(value) => Code::Double(Expr::op(DoubleOp::Negate(value))),
            Code::Duration(value) => Code::Duration(Expr::op(DurationOp::Negate(value))),
            Code::Any(Static::Scalar(Type::Dyn), value) => Code::Any(Static::DYN, Expr::op(AnyOp::Negate(value))),
            other => return Err(self.mismatch(at, &[Type::Int, Type::Double, Type::Duration], &other.known())),
        };
        Ok(self.node(code, own, steps.more(1)))
    }

    /// `&&` (`decisive` is false) and `||` (`decisive` is true).
    fn logic(&mut self, decisive: bool, left: &IdedExpr, right: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let (left, right) = (self.bool(left, depth)?, self.bool(right, depth)?);
        let at = left.at;
        // A constant side either decides, even over an error of the other side, or leaves the answer to the other side.
        match (left.constant_bool(), right.constant_bool()) {
            (Some(value), _) if value == decisive => return Ok(Node { at, ..left }),
            (_, Some(value)) if value == decisive => return Ok(Node { at, ..right }),
            (Some(_), _) => return Ok(Node { at, ..right }),
            (_, Some(_)) => return Ok(Node { at, ..left }),
            (None, None) => {}
        }
        let steps = left.steps.either(right.steps).more(1);
        match (left.code, right.code) {
            (Code::Bool(left), Code::Bool(right)) if decisive => {
                Ok(self.node(Code::Bool(Expr::op(BoolOp::Or(left, right))), at, steps))
            }
            (Code::Bool(left), Code::Bool(right)) => {
                Ok(self.node(Code::Bool(Expr::op(BoolOp::And(left, right))), at, steps))
            }
            (left, _) => Err(self.mismatch(at, &[Type::Bool], &left.known())),
        }
    }

    fn conditional(
        &mut self,
        condition: &IdedExpr,
        then: &IdedExpr,
        otherwise: &IdedExpr,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let condition = self.bool(condition, depth)?;
        let (mut then, mut otherwise) = (self.expr(then, depth + 1)?, self.expr(otherwise, depth + 1)?);
        let (then_type, otherwise_type) = (then.code.known(), otherwise.code.known());
        let size = then.size.either(otherwise.size);
        if then_type != otherwise_type {
            let mixes = then_type.is_dyn() || otherwise_type.is_dyn() || then_type.ty() == otherwise_type.ty();
            let either = if mixes { then_type.clone().either(otherwise_type.clone()) } else { None };
            let Some(either) = either else {
                return Err(self.mismatch_of(otherwise.at, &then_type, &otherwise_type));
            };
            then.code = Code::Any(either.clone(), then.code.into_any());
            otherwise.code = Code::Any(either, otherwise.code.into_any());
        }
        let at = condition.at;
        match condition.constant_bool() {
            Some(true) => return Ok(Node { at, ..then }),
            Some(false) => return Ok(Node { at, ..otherwise }),
            None => {}
        }
        let steps = condition.steps.and(then.steps.either(otherwise.steps)).more(1);
        let Code::Bool(condition) = condition.code else {
            return Err(self.mismatch(at, &[Type::Bool], &condition.code.known()));
        };
        let code = match (then.code, otherwise.code) {
            (Code::Bool(then), Code::Bool(otherwise)) => Code::Bool(Expr::choice(condition, then, otherwise)),
            (Code::Int(then), Code::Int(otherwise)) => Code::Int(Expr::choice(condition, then, otherwise)),
            (Code::Double(then), Code::Double(otherwise)) => Code::Double(Expr::choice(condition, then, otherwise)),
            (Code::Text(then), Code::Text(otherwise)) => Code::Text(Expr::choice(condition, then, otherwise)),
            (Code::Time(then), Code::Time(otherwise)) => Code::Time(Expr::choice(condition, then, otherwise)),
            (Code::Duration(then), Code::Duration(otherwise)) => {
                Code::Duration(Expr::choice(condition, then, otherwise))
            }
            (Code::Account(then), Code::Account(otherwise)) => Code::Account(Expr::choice(condition, then, otherwise)),
            (Code::Entity(kind, then), Code::Entity(_, otherwise)) => {
                Code::Entity(kind, Expr::choice(condition, then, otherwise))
            }
            (Code::Any(known, then), Code::Any(_, otherwise)) => {
                Code::Any(known, Expr::choice(condition, then, otherwise))
            }
            _ => return Err(self.mismatch_of(otherwise.at, &then_type, &otherwise_type)),
        };
        Ok(self.sized(code, at, steps, size))
    }

    pub(super) fn mismatch_of(&self, at: usize, expected: &Static, found: &Static) -> CompileError {
        let (expected, found) = (self.schema.static_name(expected), self.schema.static_name(found));
        self.error(at, format!("expected {expected}, found {found}"))
    }

    fn arithmetic(
        &mut self,
        calc: Calc,
        symbol: &str,
        left: &IdedExpr,
        right: &IdedExpr,
        own: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (left, right) = (self.expr(left, depth + 1)?, self.expr(right, depth + 1)?);
        let at = left.at;
        let types = (left.code.known(), right.code.known());
        let mut size = left.size.joined(right.size);
        let mut steps = left.steps.and(right.steps).more(1);
        let code = match (calc, left.code, right.code) {
            (_, Code::Int(left), Code::Int(right)) => Code::Int(Expr::op(IntOp::Calc(calc, left, right))),
            (Calc::Add | Calc::Subtract | Calc::Multiply | Calc::Divide, Code::Double(left), Code::Double(right)) => {
                Code::Double(Expr::op(DoubleOp::Calc(calc, left, right)))
            }
            (Calc::Add, Code::Time(time), Code::Duration(by)) | (Calc::Add, Code::Duration(by), Code::Time(time)) => {
                Code::Time(Expr::op(TimeOp::Later(time, by)))
            }
            (Calc::Subtract, Code::Time(time), Code::Duration(by)) => Code::Time(Expr::op(TimeOp::Earlier(time, by))),
            (Calc::Subtract, Code::Time(end), Code::Time(start)) => {
                Code::Duration(Expr::op(DurationOp::Between(end, start)))
            }
            (Calc::Add, Code::Duration(left), Code::Duration(right)) => {
                Code::Duration(Expr::op(DurationOp::Sum(left, right)))
            }
            (Calc::Subtract, Code::Duration(left), Code::Duration(right)) => {
                Code::Duration(Expr::op(DurationOp::Difference(left, right)))
            }
            (Calc::Add, Code::Text(left), Code::Text(right)) => {
                steps = steps.with_text();
                Code::Text(Expr::op(TextOp::Join(left, right)))
            }
            (_, left, right) => {
                let Some(known) = result(calc, &types.0, &types.1) else {
                    return Err(self.no_arithmetic(symbol, (types.0.ty(), types.1.ty()), types, own));
                };
                // What is known only later may be strings or lists.
                if calc == Calc::Add {
                    let is_number = known == Static::Scalar(Type::Uint);
                    steps = if is_number { steps } else { steps.with_text().with_items(size.len) };
                }
                Code::Any(known, Expr::op(AnyOp::Calc(calc, left.into_any(), right.into_any())))
            }
        };
        if calc != Calc::Add {
            size = super::Size::ONE;
        }
        Ok(self.sized(code, at, steps, size))
    }

    fn no_arithmetic(&self, symbol: &str, types: (Type, Type), known: (Static, Static), own: usize) -> CompileError {
        let (left, right) = (self.schema.static_name(&known.0), self.schema.static_name(&known.1));
        let found = format!("found {left} {symbol} {right}");
        let expected = match types {
            (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
                "expected int on both sides or double on both sides; convert one with int(…) or double(…)"
            }
            (Type::Text, _) | (_, Type::Text) if symbol == "+" => {
                "expected two strings; convert the other value with string(…)"
            }
            _ if symbol == "%" => "expected two ints or two uints",
            _ if symbol == "+" => {
                "expected two numbers of one type, two strings, two lists, or timestamps and durations that can be combined"
            }
            _ if symbol == "-" => "expected two numbers of one type, or timestamps and durations that can be combined",
            _ => "expected two numbers of one type",
        };
        self.error(own, format!("{expected}, {found}"))
    }

    fn comparison(
        &mut self,
        order: Order,
        left: &IdedExpr,
        right: &IdedExpr,
        own: usize,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let (left, right) = (self.expr(left, depth + 1)?, self.expr(right, depth + 1)?);
        let at = left.at;
        let types = (left.code.known(), right.code.known());
        let is_text = |known: &Static| *known == Static::Scalar(Type::Text);
        let text_steps = match &types {
            (left, right) if is_text(left) || is_text(right) => TEXT_STEPS,
            (Static::Scalar(_), Static::Scalar(_)) if !types.0.is_dyn() || !types.1.is_dyn() => 1,
            _ => left.size.weight.min(right.size.weight).saturating_mul(TEXT_STEPS),
        };
        let mut steps = left.steps.and(right.steps).more(text_steps);
        let is_equality = matches!(order, Order::Equal | Order::NotEqual);
        let op = match (left.code, right.code) {
            (Code::Bool(left), Code::Bool(right)) => BoolOp::Bools(Compare { order, left, right }),
            (Code::Int(left), Code::Int(right)) => BoolOp::Ints(Compare { order, left, right }),
            (Code::Double(left), Code::Double(right)) => BoolOp::Doubles(Compare { order, left, right }),
            (Code::Int(left), Code::Double(right)) => BoolOp::IntDouble(order, left, right),
            (Code::Double(left), Code::Int(right)) => BoolOp::IntDouble(order.mirrored(), right, left),
            (Code::Text(left), Code::Text(right)) => BoolOp::Texts(Compare { order, left, right }),
            (Code::Time(left), Code::Time(right)) => BoolOp::Times(Compare { order, left, right }),
            (Code::Duration(left), Code::Duration(right)) => BoolOp::Durations(Compare { order, left, right }),
            (Code::Account(left), Code::Account(right)) if is_equality => {
                BoolOp::Accounts(Compare { order, left, right })
            }
            (Code::Entity(kind, left), Code::Entity(other, right)) if is_equality && kind == other => {
                steps = steps.with_token(&left).with_token(&right);
                BoolOp::Entities(Compare { order, left, right })
            }
            (Code::Entity(_, left), Code::Text(right)) if is_equality => {
                BoolOp::Texts(Compare { order, left: Expr::op(TextOp::ValueOf(left)), right })
            }
            (Code::Text(left), Code::Entity(_, right)) if is_equality => {
                BoolOp::Texts(Compare { order, left, right: Expr::op(TextOp::ValueOf(right)) })
            }
            (left, right) if is_equality && types.0.may_equal(&types.1) => {
                BoolOp::Equal(order == Order::Equal, left.into_any(), right.into_any())
            }
            (left, right) if !is_equality && may_order(&types.0, &types.1) => {
                BoolOp::Ordered(order, left.into_any(), right.into_any())
            }
            _ => return Err(self.no_comparison(&types, own)),
        };
        Ok(self.node(Code::Bool(Expr::op(op)), at, steps))
    }

    fn no_comparison(&self, types: &(Static, Static), own: usize) -> CompileError {
        let (left, right) = (self.schema.static_name(&types.0), self.schema.static_name(&types.1));
        let message = if types.0 == types.1 {
            format!("{left} can only be compared with == and !=")
        } else if let (Type::Entity(_), Type::Text) | (Type::Text, Type::Entity(_)) = (types.0.ty(), types.1.ty()) {
            format!("{left} can only be compared with {right} by ==, != and 'in'")
        } else {
            format!("expected two values of one type to compare, found {left} and {right}")
        };
        self.error(own, message)
    }
}

/// The type of the result of arithmetic on values of these types, if there is such arithmetic.
fn result(calc: Calc, left: &Static, right: &Static) -> Option<Static> {
    match (left, right) {
        (Static::Scalar(Type::Uint), Static::Scalar(Type::Uint)) => Some(left.clone()),
        (Static::Scalar(Type::Bytes), Static::Scalar(Type::Bytes)) if calc == Calc::Add => Some(left.clone()),
        (Static::List(_), Static::List(_)) if calc == Calc::Add => left.clone().either(right.clone()),
        (Static::Scalar(Type::Dyn), other) | (other, Static::Scalar(Type::Dyn)) if takes_part(calc, other) => {
            Some(Static::DYN)
        }
        (Static::Scalar(_) | Static::List(_) | Static::Map(..), _) => None,
    }
}

/// Whether there is any arithmetic of this kind with values of this type.
fn takes_part(calc: Calc, known: &Static) -> bool {
    let is_sum = matches!(calc, Calc::Add | Calc::Subtract);
    match known {
        Static::Scalar(Type::Dyn | Type::Int | Type::Uint) => true,
        Static::Scalar(Type::Double) => calc != Calc::Remainder,
        Static::Scalar(Type::Time | Type::Duration) => is_sum,
        Static::Scalar(Type::Text | Type::Bytes) | Static::List(_) => calc == Calc::Add,
        Static::Scalar(
            Type::Null | Type::Bool | Type::Account | Type::Entity(_) | Type::Type | Type::List | Type::Map,
        )
        | Static::Map(..) => false,
    }
}

/// Whether values of these types can be ordered.
fn may_order(left: &Static, right: &Static) -> bool {
    const ORDERED: [Type; 8] =
        [Type::Dyn, Type::Bool, Type::Int, Type::Uint, Type::Double, Type::Bytes, Type::Text, Type::Time];
    let is_ordered = |known: &Static| ORDERED.contains(&known.ty()) || known.ty() == Type::Duration;
    is_ordered(left) && is_ordered(right) && left.may_equal(right)
}
