//! Compares random trees with a walk that is too simple to be wrong.

use super::super::Model;
use super::draft::Draft;
use proptest::prelude::*;
use std::fmt::Write;

const COLUMNS: usize = 3;
const MODES: [&str; 6] = ["LT", "LEQ", "GT", "GTE", "EQ", "NEQ"];

#[derive(Debug, Clone)]
enum Tree {
    Leaf(u8),
    Branch { column: usize, mode: usize, threshold: i8, missing: bool, yes: Box<Tree>, no: Box<Tree> },
}

fn tree() -> impl Strategy<Value = Tree> {
    (0..32_u8).prop_map(Tree::Leaf).prop_recursive(6, 40, 2, |child| {
        (0..COLUMNS, 0..MODES.len(), -3..=3_i8, any::<bool>(), child.clone(), child).prop_map(
            |(column, mode, threshold, missing, yes, no)| {
                let (yes, no) = (Box::new(yes), Box::new(no));
                Tree::Branch { column, mode, threshold, missing, yes, no }
            },
        )
    })
}

/// A column's value: NaN, or a whole number around the thresholds, so that some values are equal to one.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![4 => (-4..=4_i8).prop_map(f32::from), 1 => Just(f32::NAN)]
}

impl Tree {
    /// Writes the tree's nodes in breadth-first order, which differs from the order in which they are stored.
    fn write(&self, text: &mut String) {
        text.push_str("tree\n");
        let mut queue = vec![self];
        let mut at = 0;
        while let Some(tree) = queue.get(at).copied() {
            match tree {
                Self::Leaf(weight) => writeln!(text, "{at}: {}", f32::from(*weight) / 1024.0),
                Self::Branch { column, mode, threshold, missing, yes, no } => {
                    let (first, mode) = (queue.len(), MODES[*mode]);
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
            Self::Leaf(weight) => f32::from(*weight) / 1024.0,
            Self::Branch { column, mode, threshold, missing, yes, no } => {
                let (value, threshold) = (row[*column], f32::from(*threshold));
                #[expect(clippy::float_cmp, reason = "the modes are defined by exact comparison")]
                let says_yes = if value.is_nan() {
                    *missing
                } else {
                    match MODES[*mode] {
                        "LT" => value < threshold,
                        "LEQ" => value <= threshold,
                        "GT" => value > threshold,
                        "GTE" => value >= threshold,
                        "EQ" => value == threshold,
                        _ => value != threshold,
                    }
                };
                if says_yes { yes.walk(row) } else { no.walk(row) }
            }
        }
    }
}

proptest! {
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
