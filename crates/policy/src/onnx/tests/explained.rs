//! Contributions must be those of the training library, or of the definition.

use super::super::{Contributions, Model, Unexplained};
use super::draft::{Draft, floats};
use super::property::{COLUMNS, Tree, tree, value};
use proptest::prelude::*;

/// A model of `testdata/onnx/explained` with rows and the contributions expected for them.
macro_rules! explained {
    ($name:literal) => {
        check(
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/explained/", $name, ".onnx")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/onnx/explained/", $name, ".csv")),
        )
    };
}

#[track_caller]
fn check(file: &[u8], table: &str) {
    let model = Model::load(file).expect("the model loads");
    assert_eq!(model.unexplained(), None);
    let columns = model.inputs();
    let mut found = Contributions::new();
    assert_eq!(table.lines().count(), 30);
    for line in table.lines() {
        let values: Vec<f64> = line.split(',').map(|value| value.parse().expect("a number")).collect();
        #[expect(clippy::cast_possible_truncation, reason = "the columns have single precision")]
        let row: Vec<f32> = values[..columns].iter().map(|value| *value as f32).collect();
        let (contributions, expected) = values[columns..].split_at(columns);
        model.contributions(&row, &mut found).expect("contributions");
        for (found, contribution) in found.columns().iter().zip(contributions) {
            assert!((found - contribution).abs() <= 1e-5, "{line}, but a contribution is {found}");
        }
        assert!((found.expected() - expected[0]).abs() <= 1e-5, "{line}, but {} is expected", found.expected());
        let probability = model.probability(&row).expect("a probability");
        let of_score = 1.0 / (1.0 + (-found.score()).exp());
        assert!((probability - of_score).abs() <= 1e-6, "{line}, but the score is {}", found.score());
    }
}

#[test]
fn xgboost_with_missing_values_is_explained_as_by_xgboost() {
    explained!("xgboost");
}

#[test]
fn trees_of_nine_levels_are_explained_as_by_xgboost() {
    explained!("xgboost_deep");
}

#[test]
fn lightgbm_with_missing_values_is_explained_as_by_lightgbm() {
    explained!("lightgbm");
}

#[test]
fn splits_on_sets_of_categories_are_explained_as_by_lightgbm() {
    explained!("lightgbm_categories");
}

#[test]
fn a_scaled_linear_model_is_explained_by_its_terms() {
    explained!("scaled_logistic");
}

/// Three categories lead to one node, as some exporters write it. The cover of the first link of the chain is that of
/// the node and of all others.
const SHARED: &str = "
    regressor NONE columns=2
    tree
    0: x0 EQ 1 ? 3 : 1
    1: x0 EQ 2 ? 3 : 2
    2: x0 EQ 3 ? 3 : 4
    3: x1 LT 0.5 ? 5 : 6
    4: 0.125
    5: 0.25
    6: 0.75
";

#[test]
fn a_node_that_several_branches_lead_to_is_explained_as_one_split() {
    let mut draft = Draft::parse(SHARED);
    draft.set("nodes_hitrates", floats(&[8.0, 2.0, 2.0, 6.0, 2.0, 3.0, 3.0]));
    let model = Model::load(&draft.encode()).expect("the model loads");
    let mut found = Contributions::new();
    // The node is reached by 6 of 8. 0.40625 is expected; the second column alone adds 0.1875 or takes it away.
    for (row, columns) in [
        ([1.0_f32, 0.0_f32], [0.0625, -0.21875]),
        ([2.0, 0.0], [0.0625, -0.21875]),
        ([3.0, 0.0], [0.0625, -0.21875]),
        ([3.0, 1.0], [0.125, 0.21875]),
        ([4.0, 1.0], [-0.375, 0.09375]),
    ] {
        model.contributions(&row, &mut found).expect("contributions");
        assert!((found.expected() - 0.40625).abs() < 1e-12, "{row:?}: {}", found.expected());
        for (found, expected) in found.columns().iter().zip(columns) {
            assert!((found - expected).abs() < 1e-12, "{row:?}: {found} is not {expected}");
        }
    }
}

#[test]
fn a_model_without_covers_is_not_explained() {
    let mut draft = Draft::parse(SHARED);
    let unexplained = |draft: &Draft| {
        let model = Model::load(&draft.encode()).expect("the model loads");
        let mut found = Contributions::new();
        let answer = model.contributions(&[1.0, 1.0], &mut found).err();
        assert_eq!(model.unexplained(), answer);
        answer
    };
    assert_eq!(unexplained(&draft), Some(Unexplained::NoCovers));
    for covers in [[1.0; 7], [0.0, 2.0, 2.0, 6.0, 2.0, 3.0, 3.0].map(|cover: f32| -cover), [f32::NAN; 7]] {
        draft.set("nodes_hitrates", floats(&covers));
        assert_eq!(unexplained(&draft), Some(Unexplained::NoCovers), "{covers:?}");
    }
    draft.set("nodes_hitrates", floats(&[8.0]));
    assert_eq!(unexplained(&draft), Some(Unexplained::NoCovers));
}

#[test]
fn what_takes_too_long_to_explain_is_not_explained() {
    use std::fmt::Write;
    // Each level leads twice to the next one, so there are 2^30 ways to the leaf.
    let mut text = "regressor NONE columns=1\n tree\n".to_owned();
    let mut covers = Vec::new();
    for at in 0..30 {
        writeln!(text, "{}: x0 LT {at} ? {} : {}", 2 * at, 2 * at + 2, 2 * at + 1).expect("text");
        writeln!(text, "{}: x0 LT {at} ? {} : {}", 2 * at + 1, 2 * at + 2, 61 + at).expect("text");
        covers.extend([0.0, 0.0]);
    }
    writeln!(text, "60: 0.5").expect("text");
    covers.push(0.0);
    for at in 0..30 {
        writeln!(text, "{}: 0.5", 61 + at).expect("text");
        covers.push(0.0);
    }
    let mut draft = Draft::parse(&text);
    draft.set("nodes_hitrates", floats(&covers));
    let model = Model::load(&draft.encode()).expect("the model loads");
    assert_eq!(model.unexplained(), Some(Unexplained::TooManySteps));
    assert_eq!(model.probability(&[3.0]), Some(0.5));
}

/// The Shapley values by their definition: the mean over all orders of what a column adds to those before it.
fn shapley(trees: &[Tree], row: &[f32]) -> [f64; COLUMNS] {
    const ORDERS: [[usize; COLUMNS]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let expected = |known| trees.iter().map(|tree| tree.expected(row, known)).sum::<f64>();
    let mut values = [0.0; COLUMNS];
    for order in ORDERS {
        let mut known = [false; COLUMNS];
        for column in order {
            let before = expected(known);
            known[column] = true;
            values[column] += (expected(known) - before) / 6.0;
        }
    }
    values
}

proptest! {
    #[test]
    fn contributions_are_the_shapley_values(
        trees in prop::collection::vec(tree(), 1..6),
        rows in prop::collection::vec(prop::collection::vec(value(), COLUMNS), 10),
    ) {
        let mut text = format!("classifier NONE columns={COLUMNS} base=0.5\n");
        trees.iter().for_each(|tree| tree.write(&mut text));
        let mut draft = Draft::parse(&text);
        draft.set("nodes_hitrates", floats(&trees.iter().flat_map(Tree::covers).collect::<Vec<_>>()));
        let model = Model::load(&draft.encode()).expect("the model loads");
        let mut found = Contributions::new();
        for row in rows {
            model.contributions(&row, &mut found).expect("contributions");
            for (found, expected) in found.columns().iter().zip(shapley(&trees, &row)) {
                prop_assert!((found - expected).abs() < 1e-12, "{} is not {}", found, expected);
            }
            let expected: f64 = trees.iter().map(|tree| tree.expected(&row, [false; COLUMNS])).sum();
            prop_assert!((found.expected() - 0.5 - expected).abs() < 1e-12);
        }
    }
}

/// A chain of branches that ask one column after the other, again and again, each with a leaf for "no".
fn chain(depth: usize, columns: usize) -> Model {
    use std::fmt::Write;
    let mut text = format!("regressor NONE columns={columns}\n tree\n");
    let mut covers = Vec::new();
    for level in 0..depth {
        let (at, leaf) = (2 * level, 2 * level + 1);
        writeln!(text, "{at}: x{} LT 0 ? {} : {leaf}\n {leaf}: 0", level % columns, at + 2).expect("text");
        covers.extend([f32::from(u16::try_from(depth - level).expect("small")) + 1.0, 1.0]);
    }
    writeln!(text, "{}: 0.5", 2 * depth).expect("text");
    covers.push(1.0);
    let mut draft = Draft::parse(&text);
    draft.set("nodes_hitrates", floats(&covers));
    Model::load(&draft.encode()).expect("the model loads")
}

#[test]
fn deep_trees_are_explained_on_a_small_stack_or_not_at_all() {
    assert_eq!(chain(1024, 64).unexplained(), Some(Unexplained::TooManySteps));
    for (depth, columns) in [(256, 64), (1024, 16), (1024, 1)] {
        let model = chain(depth, columns);
        assert_eq!(model.unexplained(), None, "{depth} branches, {columns} columns");
        // The stack that blocking threads of the server have.
        let explaining = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let mut found = Contributions::new();
            model.contributions(&vec![-1.0; columns], &mut found).expect("contributions");
            found.score()
        });
        let score = explaining.expect("a thread").join().expect("it ends");
        assert!((score - 0.5).abs() < 1e-6, "{depth} branches, {columns} columns: {score}");
    }
}
