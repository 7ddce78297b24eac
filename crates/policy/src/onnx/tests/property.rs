//! Compares random trees with a walk that is too simple to be wrong.

use super::super::Model;
use super::draft::Draft;
use proptest::prelude::*;
use std::fmt::Write;

pub(super) const COLUMNS: usize = 3;
const MODES: [&str; 6] = ["LT", "LEQ", "GT", "GTE", "EQ", "NEQ"];

#[derive(Debug, Clone)]
pub(super) enum Tree {
    Leaf(u8),
    Branch { column: usize, mode: usize, threshold: i8, missing: bool, yes: Box<Tree>, no: Box<Tree> },
}

pub(super) fn tree() -> impl Strategy<Value = Tree> {
    (0..32_u8).prop_map(Tree::Leaf).prop_recursive(6, 40, 2, |child| {
        (0..COLUMNS, 0..MODES.len(), -4..=4_i8, any::<bool>(), child.clone(), child).prop_map(
            |(column, mode, threshold, missing, yes, no)| {
                let (yes, no) = (Box::new(yes), Box::new(no));
                Tree::Branch { column, mode, threshold, missing, yes, no }
            },
        )
    })
}

/// A column's value: NaN, or a whole number around the thresholds or infinity, so that some values are equal to one.
pub(super) fn value() -> impl Strategy<Value = f32> {
    prop_oneof![4 => (-5..=5_i8).prop_map(number), 1 => Just(f32::NAN)]
}

/// 4 stands for infinity.
fn number(number: i8) -> f32 {
    match number {
        4 => f32::INFINITY,
        -4 => f32::NEG_INFINITY,
        number => f32::from(number),
    }
}

fn weight(leaf: u8) -> f32 {
    f32::from(leaf) / 1024.0
}

impl Tree {
    /// The score that is expected if only some columns are known: at a branch on another one, the walk goes both ways, in
    /// proportion to the covers.
    pub(super) fn expected(&self, row: &[f32], known: [bool; COLUMNS]) -> f64 {
        match self {
            Self::Leaf(leaf) => f64::from(weight(*leaf)),
            Self::Branch { column, yes, no, .. } if known[*column] => {
                if self.says_yes(row) {
                    yes.expected(row, known)
                } else {
                    no.expected(row, known)
                }
            }
            Self::Branch { yes, no, .. } => {
                let [on_yes, on_no] = [yes, no].map(|child| f64::from(child.cover()) * child.expected(row, known));
                (on_yes + on_no) / f64::from(self.cover())
            }
        }
    }

    fn cover(&self) -> f32 {
        match self {
            Self::Leaf(leaf) => f32::from(leaf % 7 + 1),
            Self::Branch { yes, no, .. } => yes.cover() + no.cover(),
        }
    }

    /// The covers of the nodes, in the order in which they are written.
    pub(super) fn covers(&self) -> Vec<f32> {
        let mut queue = vec![self];
        let mut at = 0;
        while let Some(tree) = queue.get(at).copied() {
            if let Self::Branch { yes, no, .. } = tree {
                queue.extend([&**yes, no]);
            }
            at += 1;
        }
        queue.into_iter().map(Self::cover).collect()
    }

    /// Writes the tree's nodes in breadth-first order, which differs from the order in which they are stored.
    pub(super) fn write(&self, text: &mut String) {
        text.push_str("tree\n");
        let mut queue = vec![self];
        let mut at = 0;
        while let Some(tree) = queue.get(at).copied() {
            match tree {
                Self::Leaf(leaf) => writeln!(text, "{at}: {}", weight(*leaf)),
                Self::Branch { column, mode, threshold, missing, yes, no } => {
                    let (first, mode, threshold) = (queue.len(), MODES[*mode], number(*threshold));
                    queue.extend([&**yes, no]);
                    let missing = if *missing { "missing" } else { "" };
                    writeln!(text, "{at}: x{column} {mode} {threshold} ? {first} : {} {missing}", first + 1)
                }
            }
            .expect("text");
            at += 1;
        }
    }

    fn walk(&self, row: &[f32]) -> f32 {
        match self {
            Self::Leaf(leaf) => weight(*leaf),
            Self::Branch { yes, no, .. } => {
                if self.says_yes(row) {
                    yes.walk(row)
                } else {
                    no.walk(row)
                }
            }
        }
    }

    /// Whether a row goes to the first child of a branch.
    #[expect(clippy::float_cmp, reason = "the modes are defined by exact comparison")]
    fn says_yes(&self, row: &[f32]) -> bool {
        let Self::Branch { column, mode, threshold, missing, .. } = self else { return false };
        let (value, threshold) = (row[*column], number(*threshold));
        if value.is_nan() {
            return *missing;
        }
        match MODES[*mode] {
            "LT" => value < threshold,
            "LEQ" => value <= threshold,
            "GT" => value > threshold,
            "GTE" => value >= threshold,
            "EQ" => value == threshold,
            _ => value != threshold,
        }
    }
}

/// A graph of branches that lead only to later nodes: the nodes of `tree`, numbered from the root.
#[derive(Debug, Clone)]
struct Shared {
    /// Column, mode, threshold, whether NaN means yes, and how many nodes further yes and no lead.
    branches: Vec<(usize, usize, i8, bool, [usize; 2])>,
}

fn shared() -> impl Strategy<Value = Shared> {
    let branch = (0..COLUMNS, 0..MODES.len(), -4..=4_i8, any::<bool>(), [1..4_usize, 1..4]);
    prop::collection::vec(branch, 1..30).prop_map(|branches| Shared { branches })
}

impl Shared {
    /// The tree from the node `at` on, with a copy of every node for each way to it. Nodes after the branches are leaves.
    fn tree(&self, at: usize, budget: &mut usize) -> Tree {
        *budget = budget.saturating_sub(1);
        let Some((column, mode, threshold, missing, [yes, no])) =
            self.branches.get(at).copied().filter(|_| *budget > 0)
        else {
            return Tree::Leaf(u8::try_from(at).expect("few nodes"));
        };
        let (yes, no) = (Box::new(self.tree(at + yes, budget)), Box::new(self.tree(at + no, budget)));
        Tree::Branch { column, mode, threshold, missing, yes, no }
    }

    /// Writes the nodes that the first one leads to.
    fn write(&self, text: &mut String) {
        text.push_str("tree\n");
        let mut reached = std::collections::BTreeSet::from([0]);
        let mut at = 0;
        while let Some(node) = reached.range(at..).next().copied() {
            match self.branches.get(node) {
                None => writeln!(text, "{node}: {}", weight(u8::try_from(node).expect("few nodes"))),
                Some((column, mode, threshold, missing, [yes, no])) => {
                    reached.extend([node + yes, node + no]);
                    let (mode, threshold) = (MODES[*mode], number(*threshold));
                    let missing = if *missing { "missing" } else { "" };
                    writeln!(text, "{node}: x{column} {mode} {threshold} ? {} : {} {missing}", node + yes, node + no)
                }
            }
            .expect("text");
            at = node + 1;
        }
    }
}

proptest! {
    #[test]
    fn shared_nodes_answer_as_copies_of_them_do(
        shared in shared(),
        rows in prop::collection::vec(prop::collection::vec(value(), COLUMNS), 20),
    ) {
        let mut budget = 100_000;
        let tree = shared.tree(0, &mut budget);
        prop_assume!(budget > 0);
        let mut text = format!("classifier NONE columns={COLUMNS}\n");
        shared.write(&mut text);
        let model = Model::load(&Draft::parse(&text).encode()).expect("the model loads");
        for row in rows {
            prop_assert_eq!(model.probability(&row), Some(f64::from(tree.walk(&row))));
        }
    }

    #[test]
    fn a_flattened_forest_answers_as_its_trees_do(
        trees in prop::collection::vec(tree(), 1..20),
        rows in prop::collection::vec(prop::collection::vec(value(), COLUMNS), 20),
    ) {
        let mut text = format!("classifier NONE columns={COLUMNS}\n");
        trees.iter().for_each(|tree| tree.write(&mut text));
        let model = Model::load(&Draft::parse(&text).encode()).expect("the model loads");
        for row in rows {
            // The values are sixteenths of a sixty-fourth, so their sum is exact.
            let expected: f32 = trees.iter().map(|tree| tree.walk(&row)).sum();
            prop_assert_eq!(model.probability(&row), Some(f64::from(expected)));
        }
    }
}
