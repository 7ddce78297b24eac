//! One node of a tree in eight bytes, and how ONNX's branches become such nodes.

use super::super::{INPUTS_MAX, TREE_NODES_MAX};

/// A branch or a leaf. A branch asks one of three questions: whether its column is below the threshold, whether the
/// negative of the column is, or whether column and threshold are equal. "Yes" leads to the next node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// The threshold of a branch, or the value of a leaf.
    threshold: f32,
    /// How many nodes further "no" leads. For a leaf it is 0.
    jump: u16,
    /// The column that a branch reads, above the bits of its question.
    column_and_question: u16,
}

const _: () = assert!(size_of::<Node>() == 8);
const _: () = assert!(INPUTS_MAX <= 1 << (16 - Node::QUESTION_BITS));
const _: () = assert!(TREE_NODES_MAX <= 1 << 16);

impl Node {
    const QUESTION_BITS: u32 = 2;
    /// The question is about the negative of the column. Together with [`Self::EQUALITY`]: NaN is "yes".
    const NEGATIVE: u16 = 1;
    const EQUALITY: u16 = 2;
    /// Together with the threshold NaN: "yes" for NaN alone.
    const IS_MISSING: u16 = Self::EQUALITY | Self::NEGATIVE;

    pub(super) fn leaf(value: f32) -> Self {
        Self { threshold: value, jump: 0, column_and_question: 0 }
    }

    /// `column` must be below [`INPUTS_MAX`]. The jump is set once the node that it leads to has a place.
    fn branch(column: u16, question: u16, threshold: f32) -> Self {
        Self { threshold, jump: 0, column_and_question: (column << Self::QUESTION_BITS) | question }
    }

    /// A branch that always answers "no", and so leads to the node that is `nodes` further.
    pub(super) fn jump_over(nodes: usize) -> Self {
        let mut jump = Self::branch(0, 0, f32::NEG_INFINITY);
        jump.set_jump(nodes);
        jump
    }

    pub(super) fn set_jump(&mut self, nodes: usize) {
        self.jump = u16::try_from(nodes).expect("MDL-2: a tree has at most 2^16 nodes");
    }

    /// The value of a leaf, or `None` for a branch.
    pub(super) fn value(&self) -> Option<f32> {
        (self.jump == 0).then_some(self.threshold)
    }

    /// How many nodes further "no" leads.
    pub(super) fn jump(self) -> usize {
        usize::from(self.jump)
    }

    /// The column that a branch reads.
    pub(super) fn column(self) -> usize {
        usize::from(self.column_and_question >> Self::QUESTION_BITS)
    }

    /// The threshold of a branch that asks whether its column is below it, or whether the negative of the column is.
    /// `None` for the other questions.
    pub(super) fn below(self) -> Option<(f32, IsNegative)> {
        let is_negative = IsNegative(self.column_and_question & Self::NEGATIVE != 0);
        (self.column_and_question & Self::EQUALITY == 0).then_some((self.threshold, is_negative))
    }

    /// How many nodes further the walk goes from a branch.
    pub(super) fn step(&self, row: &[f32]) -> usize {
        if self.is_yes(row[self.column()]) { 1 } else { self.jump() }
    }

    /// A branch's answer to a value of its column.
    pub(super) fn is_yes(self, value: f32) -> bool {
        let negative = self.column_and_question & Self::NEGATIVE;
        if self.column_and_question & Self::EQUALITY == 0 {
            // Flipping the sign bit avoids a jump that the processor would often mispredict.
            f32::from_bits(value.to_bits() ^ (u32::from(negative) << 31)) < self.threshold
        } else {
            match value.partial_cmp(&self.threshold) {
                Some(order) => order.is_eq(),
                // The threshold is NaN if the question is only whether the value is missing.
                None => negative != 0 && value.is_nan(),
            }
        }
    }
}

/// Whether a question is about the negative of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IsNegative(pub bool);

/// ONNX's mode of a branch: how its column must compare with the threshold for "true".
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Lt,
    Leq,
    Gt,
    Gte,
    Eq,
    Neq,
}

impl Mode {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"BRANCH_LT" => Some(Self::Lt),
            b"BRANCH_LEQ" => Some(Self::Leq),
            b"BRANCH_GT" => Some(Self::Gt),
            b"BRANCH_GTE" => Some(Self::Gte),
            b"BRANCH_EQ" => Some(Self::Eq),
            b"BRANCH_NEQ" => Some(Self::Neq),
            _ => None,
        }
    }
}

/// A branch whose place is not known yet.
pub(super) struct Branch {
    pub node: Node,
    /// Where "yes" and "no" lead, by position in the file.
    pub yes: usize,
    pub no: usize,
}

impl Branch {
    /// Reduces a branch of the file to one of the three questions.
    ///
    /// NaN is not below anything, so a question of order always answers "no" for it. Where the file sends NaN therefore
    /// determines the question: it is `x < bound`, or the opposite, `x >= bound`, which is asked as `-x <= -bound`.
    /// "Not above a number" is asked as "below the next larger number".
    pub(super) fn new(mode: Mode, column: u16, threshold: f32, is_missing_true: bool, children: [usize; 2]) -> Self {
        let [on_true, on_false] = children;
        let on_missing = if is_missing_true { on_true } else { on_false };
        let (bound, below, not_below) = match mode {
            // No number is above infinity or below its negative.
            Mode::Leq if threshold == f32::INFINITY => return Self::constant(column, on_true, on_false, on_missing),
            Mode::Gt if threshold == f32::INFINITY => return Self::constant(column, on_false, on_true, on_missing),
            Mode::Gte if threshold == f32::NEG_INFINITY => {
                return Self::constant(column, on_true, on_false, on_missing);
            }
            Mode::Lt if threshold == f32::NEG_INFINITY => return Self::constant(column, on_false, on_true, on_missing),
            Mode::Lt => (threshold, on_true, on_false),
            Mode::Leq => (threshold.next_up(), on_true, on_false),
            Mode::Gt => (threshold.next_up(), on_false, on_true),
            Mode::Gte => (threshold, on_false, on_true),
            Mode::Eq => return Self::equality(column, threshold, on_missing, on_true, on_false),
            Mode::Neq => return Self::equality(column, threshold, on_missing, on_false, on_true),
        };
        if on_missing == not_below {
            Self { node: Node::branch(column, 0, bound), yes: below, no: not_below }
        } else {
            Self { node: Node::branch(column, Node::NEGATIVE, (-bound).next_up()), yes: not_below, no: below }
        }
    }

    /// A branch from which every number leads to `always`.
    fn constant(column: u16, always: usize, never: usize, on_missing: usize) -> Self {
        let node = match on_missing == always {
            true => Node::branch(column, 0, f32::NEG_INFINITY),
            false => Node::branch(column, Node::IS_MISSING, f32::NAN),
        };
        Self { node, yes: never, no: always }
    }

    fn equality(column: u16, threshold: f32, on_missing: usize, yes: usize, no: usize) -> Self {
        let question = if on_missing == yes { Node::EQUALITY | Node::NEGATIVE } else { Node::EQUALITY };
        Self { node: Node::branch(column, question, threshold), yes, no }
    }
}
