//! Reads a `TreeEnsemble` of version 5 of the operator set, in which branches and leaves have lists of their own.

use super::super::operator::Operator;
use super::super::tensor::Tensor;
use super::super::transform::Transform;
use super::super::{LoadError, TREE_NODES_MAX};
use super::node::{Branch, Mode};
use super::read::{FileNode, Forest, check_tree_count};
use std::collections::BTreeMap;
use std::ops::Range;

/// Most targets of an ensemble.
const TARGETS_MAX: usize = 64;
/// Most nodes of all trees together, after nodes that several trees lead to were copied.
const NODES_MAX: usize = 1 << 20;

pub(super) struct Ensemble {
    pub forest: Forest,
    /// The values of the leaves for each target, by the position of the node in the forest.
    pub values: Vec<Vec<f32>>,
    pub transform: Transform,
    pub is_average: bool,
}

/// The lists of the file.
struct Lists {
    columns: Vec<i64>,
    thresholds: Vec<f32>,
    modes: Vec<f32>,
    /// Where each branch leads, and whether to a leaf.
    children: [Vec<(i64, i64)>; 2],
    missing: Vec<i64>,
    covers: Vec<f32>,
    /// The members of the set of each branch that asks for one.
    sets: BTreeMap<usize, Vec<f32>>,
    leaf_count: usize,
}

pub(super) fn read(operator: &mut Operator, inputs: usize) -> Result<Ensemble, LoadError> {
    let targets = operator.int("n_targets", 1);
    let Ok(targets @ 1..=TARGETS_MAX) = usize::try_from(targets) else {
        return Err(operator.error(format!("it has {targets} targets, expected 1..={TARGETS_MAX}")));
    };
    let transform = match operator.int("post_transform", 0) {
        0 => Transform::None,
        2 => Transform::Logistic,
        other => {
            return Err(operator.error(format!("post_transform is {other}, expected 0 (NONE) or 2 (LOGISTIC)")));
        }
    };
    let is_average = match operator.int("aggregate_function", 1) {
        0 => true,
        1 => false,
        other => {
            return Err(operator.error(format!("aggregate_function is {other}, expected 0 (AVERAGE) or 1 (SUM)")));
        }
    };
    let weights = list(operator, "leaf_weights")?;
    let weight_targets = operator.ints("leaf_targetids");
    if weight_targets.len() != weights.len() {
        let (found, expected) = (weight_targets.len(), weights.len());
        return Err(operator.error(format!("leaf_targetids has {found} values, but leaf_weights has {expected}")));
    }
    if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(operator.error(format!("leaf_weights[{at}] is {}, but it must be finite", weights[at])));
    }
    let roots = operator.ints("tree_roots");
    check_tree_count(operator, roots.len())?;
    let lists = Lists::read(operator, weights.len())?;
    let mut forest = Forest { nodes: Vec::new(), trees: Vec::new(), position: BTreeMap::new() };
    let mut leaves = Vec::new();
    for (tree, root) in (0..).zip(roots) {
        let range = lists.tree(operator, inputs, tree, root, &mut forest.nodes, &mut leaves)?;
        forest.trees.push(range);
    }
    // Each target gets trees of its own.
    let together = forest.nodes.len().saturating_mul(targets);
    if together > NODES_MAX {
        return Err(operator
            .error(format!("its {targets} targets have {together} nodes together, expected at most {NODES_MAX}")));
    }
    let mut values = vec![vec![0.0; forest.nodes.len()]; targets];
    for (position, leaf) in leaves {
        let target = weight_targets[leaf];
        match usize::try_from(target).ok().and_then(|target| values.get_mut(target)) {
            Some(values) => values[position] = weights[leaf],
            None => return Err(operator.error(format!("leaf {leaf} is for target {target} of {targets}"))),
        }
    }
    Ok(Ensemble { forest, values, transform, is_average })
}

fn list(operator: &mut Operator, name: &str) -> Result<Vec<f32>, LoadError> {
    Ok(operator.tensor(name)?.map_or_else(Vec::new, |tensor: Tensor| tensor.values))
}

impl Lists {
    fn read(operator: &mut Operator, leaf_count: usize) -> Result<Self, LoadError> {
        let columns = operator.ints("nodes_featureids");
        let thresholds = list(operator, "nodes_splits")?;
        let modes = list(operator, "nodes_modes")?;
        let count = columns.len();
        let mut children = [Vec::new(), Vec::new()];
        for (children, side) in children.iter_mut().zip(["true", "false"]) {
            let nodes = operator.ints(&format!("nodes_{side}nodeids"));
            let leaves = operator.ints(&format!("nodes_{side}leafs"));
            if nodes.len() != count || leaves.len() != count {
                let (nodes, leaves) = (nodes.len(), leaves.len());
                return Err(operator.error(format!(
                    "nodes_{side}nodeids has {nodes} values and nodes_{side}leafs {leaves}, but nodes_featureids has {count}"
                )));
            }
            *children = nodes.into_iter().zip(leaves).collect();
        }
        let mut missing = operator.ints("nodes_missing_value_tracks_true");
        if missing.is_empty() {
            missing.resize(count, 0);
        }
        for (name, length) in [
            ("nodes_splits", thresholds.len()),
            ("nodes_modes", modes.len()),
            ("nodes_missing_value_tracks_true", missing.len()),
        ] {
            if length != count {
                return Err(operator.error(format!("{name} has {length} values, but nodes_featureids has {count}")));
            }
        }
        let covers = list(operator, "nodes_hitrates")?;
        let members = list(operator, "membership_values")?;
        // Sets follow each other in the order of their branches, and NaN ends each.
        let mut sets = members.split(|member| member.is_nan()).map(<[f32]>::to_vec);
        let asks = modes.iter().enumerate().filter(|(_, mode)| **mode > 5.5).map(|(at, _)| at);
        let mut by_branch = BTreeMap::new();
        for at in asks {
            let Some(set) = sets.next().filter(|set| !set.is_empty()) else {
                return Err(operator.error(format!("branch {at} asks for a set that membership_values does not have")));
            };
            by_branch.insert(at, set);
        }
        if sets.any(|set| !set.is_empty()) {
            return Err(operator.error("membership_values has more sets than branches ask for"));
        }
        Ok(Self { columns, thresholds, modes, children, missing, covers, sets: by_branch, leaf_count })
    }

    /// Appends the nodes of one tree, the root first, and its leaves with their numbers. A branch on a set becomes a chain
    /// of branches, one for each of its members.
    fn tree(
        &self,
        operator: &Operator,
        inputs: usize,
        tree: i64,
        root: i64,
        nodes: &mut Vec<FileNode>,
        leaves: &mut Vec<(usize, usize)>,
    ) -> Result<Range<usize>, LoadError> {
        let start = nodes.len();
        let mut places: BTreeMap<(bool, i64), usize> = BTreeMap::new();
        let mut waiting = Vec::new();
        let mut place = |nodes: &mut Vec<FileNode>, waiting: &mut Vec<_>, (id, is_leaf): (i64, i64)| {
            *places.entry((is_leaf != 0, id)).or_insert_with(|| {
                let cover = usize::try_from(id).ok().and_then(|at| self.covers.get(at)).copied();
                nodes.push(FileNode { tree, id, branch: None, cover: cover.filter(|_| is_leaf == 0) });
                waiting.push((id, is_leaf != 0, nodes.len() - 1));
                nodes.len() - 1
            })
        };
        // A tree that is one leaf is a branch whose sides lead to it.
        place(nodes, &mut waiting, (root, 0));
        while let Some((id, is_leaf, position)) = waiting.pop() {
            let count = if is_leaf { self.leaf_count } else { self.columns.len() };
            let what = if is_leaf { "leaf" } else { "branch" };
            let Some(at) = usize::try_from(id).ok().filter(|at| *at < count) else {
                return Err(operator.error(format!("tree {tree} leads to {what} {id}, but there are {count}")));
            };
            if is_leaf {
                leaves.push((position, at));
                continue;
            }
            let Some(column) = u16::try_from(self.columns[at]).ok().filter(|column| usize::from(*column) < inputs)
            else {
                return Err(operator.error(format!(
                    "branch {at} reads column {}, but the input has {inputs} columns",
                    self.columns[at]
                )));
            };
            let [on_true, on_false] = [0, 1].map(|side: usize| place(nodes, &mut waiting, self.children[side][at]));
            let is_missing_true = self.missing[at] != 0;
            let set = self.sets.get(&at).map_or(&[][..], Vec::as_slice);
            let mut link = position;
            for (number, member) in set.iter().enumerate() {
                let is_last = number + 1 == set.len();
                let next = if is_last { on_false } else { nodes.len() };
                if !is_last {
                    nodes.push(FileNode { tree, id, branch: None, cover: None });
                }
                let branch = Branch::new(Mode::Eq, column, *member, is_missing_true, [on_true, next]);
                nodes[link].branch = Some(branch);
                link = next;
            }
            if set.is_empty() {
                let mode = self.mode(operator, at)?;
                let threshold = self.thresholds[at];
                if threshold.is_nan() {
                    return Err(operator.error(format!("nodes_splits[{at}] is NaN, but it must be a number")));
                }
                nodes[position].branch =
                    Some(Branch::new(mode, column, threshold, is_missing_true, [on_true, on_false]));
            }
            if nodes.len() - start > TREE_NODES_MAX || nodes.len() > NODES_MAX {
                return Err(operator.error(format!(
                    "tree {tree} has too many nodes, expected {TREE_NODES_MAX} a tree and {NODES_MAX} together"
                )));
            }
        }
        Ok(start..nodes.len())
    }

    fn mode(&self, operator: &Operator, at: usize) -> Result<Mode, LoadError> {
        let modes = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq];
        let mut numbers = (0..6_u8).map(f32::from);
        numbers.position(|number| (number - self.modes[at]).abs() < 0.5).map(|mode| modes[mode]).ok_or_else(|| {
            operator.error(format!("branch {at} has mode {}, which ONNX does not define", self.modes[at]))
        })
    }
}
