//! Checks the types of operators.

use cel::common::ast::{Expr as Syntax, IdedExpr, operators};

use super::super::code::{BoolOp, Calc, Compare, DoubleOp, DurationOp, IntOp, Order, TimeOp};
use super::super::typed::{Code, Expr, ValueOf};
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
            (operators::INDEX, _) => Err(self.error(own, "[] after a value is not supported: there are no lists")),
            (_, [left, right]) => match (calc(name), order(name)) {
                (Some((calc, symbol)), _) => self.arithmetic(calc, symbol, left, right, own, depth),
                (None, Some(order)) => self.comparison(order, left, right, own, depth),
                (None, None) => return None,
            },
            _ => return None,
        })
    }

    fn bool(&mut self, tree: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let node = self.expr(tree, depth)?;
        if node.code.ty() == Type::Bool { Ok(node) } else { Err(self.mismatch(node.at, &[Type::Bool], node.code.ty())) }
    }

    fn not(&mut self, value: &IdedExpr, own: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at, steps } = self.expr(value, depth + 1)?;
        match code {
            Code::Bool(value) => Ok(Node::new(Code::Bool(Expr::op(BoolOp::Not(value))), own, steps.more(1))),
            other => Err(self.mismatch(at, &[Type::Bool], other.ty())),
        }
    }

    fn negate(&mut self, value: &IdedExpr, own: usize, depth: usize) -> Result<Node, CompileError> {
        let Node { code, at, steps } = self.expr(value, depth + 1)?;
        let code = match code {
            Code::Int(value) => Code::Int(Expr::op(IntOp::Negate(value))),
            Code::Double(value) => Code::Double(Expr::op(DoubleOp::Negate(value))),
            other => return Err(self.mismatch(at, &[Type::Int, Type::Double], other.ty())),
        };
        Ok(Node::new(code, own, steps.more(1)))
    }

    /// `&&` (`decisive` is false) and `||` (`decisive` is true).
    fn logic(&mut self, decisive: bool, left: &IdedExpr, right: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let (left, right) = (self.bool(left, depth + 1)?, self.bool(right, depth + 1)?);
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
                Ok(Node::new(Code::Bool(Expr::op(BoolOp::Or(left, right))), at, steps))
            }
            (Code::Bool(left), Code::Bool(right)) => {
                Ok(Node::new(Code::Bool(Expr::op(BoolOp::And(left, right))), at, steps))
            }
            (left, _) => Err(self.mismatch(at, &[Type::Bool], left.ty())),
        }
    }

    fn conditional(
        &mut self,
        condition: &IdedExpr,
        then: &IdedExpr,
        otherwise: &IdedExpr,
        depth: usize,
    ) -> Result<Node, CompileError> {
        let condition = self.bool(condition, depth + 1)?;
        let (then, otherwise) = (self.expr(then, depth + 1)?, self.expr(otherwise, depth + 1)?);
        let (then_type, otherwise_type) = (then.code.ty(), otherwise.code.ty());
        if then_type != otherwise_type {
            return Err(self.mismatch(otherwise.at, &[then_type], otherwise_type));
        }
        let at = condition.at;
        match condition.constant_bool() {
            Some(true) => return Ok(Node { at, ..then }),
            Some(false) => return Ok(Node { at, ..otherwise }),
            None => {}
        }
        let steps = condition.steps.and(then.steps.either(otherwise.steps)).more(1);
        let Code::Bool(condition) = condition.code else {
            return Err(self.mismatch(at, &[Type::Bool], condition.code.ty()));
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
            (then, _) => return Err(self.mismatch(otherwise.at, &[then.ty()], otherwise_type)),
        };
        Ok(Node::new(code, at, steps))
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
        let types = (left.code.ty(), right.code.ty());
        let steps = left.steps.and(right.steps).more(1);
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
            _ => return Err(self.no_arithmetic(symbol, types, own)),
        };
        Ok(Node::new(code, at, steps))
    }

    fn no_arithmetic(&self, symbol: &str, types: (Type, Type), own: usize) -> CompileError {
        let found = format!("found {} {symbol} {}", self.schema.type_name(types.0), self.schema.type_name(types.1));
        let expected = match types {
            (Type::Text, Type::Text) if symbol == "+" => {
                "strings cannot be joined: an expression cannot build a new string"
            }
            (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
                "expected int on both sides or double on both sides; convert one with int(…) or double(…)"
            }
            _ if symbol == "%" => "expected int % int",
            _ if symbol == "+" || symbol == "-" => {
                "expected two ints, two doubles, or timestamps and durations that can be combined"
            }
            _ => "expected int on both sides or double on both sides",
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
        let types = (left.code.ty(), right.code.ty());
        let text_steps = if types.0 == Type::Text || types.1 == Type::Text { TEXT_STEPS } else { 1 };
        let steps = left.steps.and(right.steps).more(text_steps);
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
                BoolOp::Entities(Compare { order, left, right })
            }
            (Code::Entity(_, left), Code::Text(right)) if is_equality => {
                BoolOp::Texts(Compare { order, left: Expr::op(ValueOf(left)), right })
            }
            (Code::Text(left), Code::Entity(_, right)) if is_equality => {
                BoolOp::Texts(Compare { order, left, right: Expr::op(ValueOf(right)) })
            }
            _ => return Err(self.no_comparison(types, own)),
        };
        Ok(Node::new(Code::Bool(Expr::op(op)), at, steps))
    }

    fn no_comparison(&self, types: (Type, Type), own: usize) -> CompileError {
        let (left, right) = (self.schema.type_name(types.0), self.schema.type_name(types.1));
        let message = if types.0 == types.1 {
            format!("{left} can only be compared with == and !=")
        } else if let (Type::Entity(_), Type::Text) | (Type::Text, Type::Entity(_)) = types {
            format!("{left} can only be compared with {right} by ==, != and 'in'")
        } else {
            format!("expected two values of one type to compare, found {left} and {right}")
        };
        self.error(own, message)
    }

    /// `value in [..]`.
    fn member(&mut self, value: &IdedExpr, list: &IdedExpr, depth: usize) -> Result<Node, CompileError> {
        let mut value = self.expr(value, depth + 1)?;
        if let Code::Entity(_, entity) = value.code {
            value.code = Code::Text(Expr::op(ValueOf(entity)));
        }
        let list_at = self.offset(list.id);
        let Syntax::List(list) = &list.expr else {
            return Err(self.error(list_at, "expected a list such as ['NO', 'SE'] to the right of 'in'"));
        };
        let (mut ints, mut texts) = (Vec::new(), Vec::new());
        for element in &list.elements {
            let Node { code, at, .. } = self.expr(element, depth + 1)?;
            match (value.code.ty(), code) {
                (Type::Int, Code::Int(Expr::Const(int))) => ints.push(int),
                (Type::Text, Code::Text(Expr::Const(text))) => texts.push(text),
                (Type::Int, Code::Int(_)) | (Type::Text, Code::Text(_)) => {
                    return Err(self.error(at, "expected a constant: lists cannot contain names"));
                }
                (ty @ (Type::Int | Type::Text), code) => return Err(self.mismatch(at, &[ty], code.ty())),
                _ => {}
            }
        }
        ints.sort_unstable();
        ints.dedup();
        texts.sort_unstable();
        texts.dedup();
        let at = value.at;
        // A binary search looks at one element more than the logarithm of the length.
        let looks = list.elements.len().checked_ilog2().unwrap_or_default() + 1;
        let (op, cost) = match value.code {
            Code::Int(value) => (BoolOp::InInts(value, ints.into()), looks),
            Code::Text(value) => (BoolOp::InTexts(value, texts.into()), looks.saturating_mul(TEXT_STEPS)),
            other => return Err(self.mismatch(at, &[Type::Int, Type::Text], other.ty())),
        };
        Ok(Node::new(Code::Bool(Expr::op(op)), at, value.steps.more(cost)))
    }
}
