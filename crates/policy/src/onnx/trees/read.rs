//! Reads and checks the node and leaf lists of a tree ensemble.

use super::super::operator::Operator;
use super::super::{LoadError, TREE_DEPTH_MAX, TREE_NODES_MAX, TREES_MAX};
use super::node::{Branch, Mode, Node};
use std::collections::BTreeMap;
use std::ops::Range;

use types::shorten;

/// Number of a tree or node in the file, which can be any 64-bit number.
type FileId = i64;

/// The nodes of all trees, in the file's order.
pub(super) struct Forest {
    pub nodes: Vec<FileNode>,
    /// The nodes of each tree. The first one is its root.
    pub trees: Vec<Range<usize>>,
    pub position: BTreeMap<(FileId, FileId), usize>,
}

pub(super) struct FileNode {
    pub tree: FileId,
    pub id: FileId,
    /// `None` for a leaf.
    pub branch: Option<Branch>,
    /// How much of the training data reached the node, if the file says so.
    pub cover: Option<f32>,
}

/// The values of the leaves, per class or target.
pub(super) struct Leaves {
    /// By class, then by the node's position. `None` if the file has no value.
    values: Vec<Vec<Option<f32>>>,
}

/// Takes the `nodes_*` attributes.
pub(super) fn forest(operator: &mut Operator, inputs: usize) -> Result<Forest, LoadError> {
    let covers = operator.any_floats("nodes_hitrates");
    let trees = operator.ints("nodes_treeids");
    let ids = operator.ints("nodes_nodeids");
    let columns = operator.ints("nodes_featureids");
    let modes = operator.strings("nodes_modes");
    let on_true = operator.ints("nodes_truenodeids");
    let on_false = operator.ints("nodes_falsenodeids");
    let mut missing = operator.ints("nodes_missing_value_tracks_true");
    let count = trees.len();
    if missing.is_empty() {
        missing.resize(count, 0);
    }
    let thresholds = operator.thresholds("nodes_values")?;
    for (name, length) in [
        ("nodes_nodeids", ids.len()),
        ("nodes_featureids", columns.len()),
        ("nodes_modes", modes.len()),
        ("nodes_truenodeids", on_true.len()),
        ("nodes_falsenodeids", on_false.len()),
        ("nodes_missing_value_tracks_true", missing.len()),
        ("nodes_values", thresholds.len()),
    ] {
        if length != count {
            return Err(operator.error(format!("{name} has {length} values, but nodes_treeids has {count}")));
        }
    }

    let mut position = BTreeMap::new();
    for (at, key) in trees.iter().copied().zip(ids.iter().copied()).enumerate() {
        if position.insert(key, at).is_some() {
            return Err(operator.error(format!("node {} of tree {} appears twice", key.1, key.0)));
        }
    }
    let mut nodes = Vec::with_capacity(count);
    for at in 0..count {
        let (tree, id) = (trees[at], ids[at]);
        let refuse = |problem: String| operator.error(format!("node {id} of tree {tree} {problem}"));
        let child = |child: FileId| {
            position
                .get(&(tree, child))
                .copied()
                .ok_or_else(|| refuse(format!("leads to node {child}, which does not exist")))
        };
        let branch = if modes[at] == b"LEAF" {
            None
        } else {
            let Some(mode) = Mode::parse(&modes[at]) else {
                let mode = String::from_utf8_lossy(&modes[at]);
                return Err(refuse(format!("has mode {:?}, which ONNX does not define", shorten(&mode))));
            };
            let Some(column) = u16::try_from(columns[at]).ok().filter(|column| usize::from(*column) < inputs) else {
                return Err(refuse(format!("reads column {}, but the input has {inputs} columns", columns[at])));
            };
            let children = [child(on_true[at])?, child(on_false[at])?];
            Some(Branch::new(mode, column, thresholds[at], missing[at] != 0, children))
        };
        // A file with broken covers still scores; it only cannot explain.
        let cover = covers.get(at).copied().filter(|_| covers.len() == count);
        nodes.push(FileNode { tree, id, branch, cover });
    }
    let trees = tree_ranges(operator, &nodes)?;
    Ok(Forest { nodes, trees, position })
}

/// The positions of each tree. The nodes of a tree must be adjacent.
fn tree_ranges(operator: &Operator, nodes: &[FileNode]) -> Result<Vec<Range<usize>>, LoadError> {
    let mut trees: Vec<Range<usize>> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for chunk in nodes.chunk_by(|one, next| one.tree == next.tree) {
        let tree = chunk[0].tree;
        if !seen.insert(tree) {
            return Err(operator.error(format!("the nodes of tree {tree} are not adjacent")));
        }
        if chunk.len() > TREE_NODES_MAX {
            return Err(
                operator.error(format!("tree {tree} has {} nodes, but the limit is {TREE_NODES_MAX}", chunk.len()))
            );
        }
        let start = trees.last().map_or(0, |last| last.end);
        trees.push(start..start + chunk.len());
    }
    check_tree_count(operator, trees.len())?;
    Ok(trees)
}

pub(super) fn check_tree_count(operator: &Operator, count: usize) -> Result<(), LoadError> {
    if !(1..=TREES_MAX).contains(&count) {
        return Err(operator.error(format!("it has {count} trees, expected 1..={TREES_MAX}")));
    }
    Ok(())
}

/// Takes the `class_*` or `target_*` attributes: the leaves' values for `classes` classes.
pub(super) fn leaves(
    operator: &mut Operator,
    forest: &Forest,
    prefix: &str,
    classes: usize,
) -> Result<Leaves, LoadError> {
    let trees = operator.ints(&format!("{prefix}_treeids"));
    let ids = operator.ints(&format!("{prefix}_nodeids"));
    let classes_of = operator.ints(&format!("{prefix}_ids"));
    let weights = operator.floats(&format!("{prefix}_weights"))?;
    let count = weights.len();
    for (name, length) in [("treeids", trees.len()), ("nodeids", ids.len()), ("ids", classes_of.len())] {
        if length != count {
            return Err(
                operator.error(format!("{prefix}_{name} has {length} values, but {prefix}_weights has {count}"))
            );
        }
    }
    let mut values = vec![vec![None; forest.nodes.len()]; classes];
    for at in 0..count {
        let (tree, id, class) = (trees[at], ids[at], classes_of[at]);
        let refuse =
            |problem: &str| Err(operator.error(format!("a weight is for node {id} of tree {tree}, {problem}")));
        let Some(position) = forest.position.get(&(tree, id)).copied() else { return refuse("which does not exist") };
        if forest.nodes[position].branch.is_some() {
            return refuse("which is not a leaf");
        }
        let Some(values) = usize::try_from(class).ok().and_then(|class| values.get_mut(class)) else {
            return refuse(&format!("{prefix} {class}, but only 0..{classes} are supported"));
        };
        if values[position].replace(weights[at]).is_some() {
            return refuse("which already has one");
        }
    }
    Ok(Leaves { values })
}

impl Leaves {
    /// Whether any leaf has a value for the class.
    pub(super) fn names(&self, class: usize) -> bool {
        self.values[class].iter().any(Option::is_some)
    }

    /// The values for one class. A leaf without a value adds nothing.
    pub(super) fn of(&self, class: usize) -> Vec<f32> {
        self.values[class].iter().map(|value| value.unwrap_or(0.0)).collect()
    }

    /// The values for `class` minus those for `other`.
    pub(super) fn difference(&self, class: usize, other: usize) -> Vec<f32> {
        self.of(class).iter().zip(self.of(other)).map(|(value, other)| value - other).collect()
    }
}

impl Forest {
    pub(super) fn trees(&self) -> impl Iterator<Item = Range<usize>> {
        self.trees.iter().cloned()
    }

    pub(super) fn tree_count(&self) -> u16 {
        u16::try_from(self.trees.len()).unwrap_or(u16::MAX)
    }

    /// Appends a tree, or returns what is wrong with it. Several branches may lead to one node, which is stored once:
    /// exporters write a split on a set of categories as a chain of branches.
    ///
    /// Every node comes after all branches that lead to it, and the node to which "yes" leads directly after its branch.
    /// If that node is elsewhere, a jump stands in its place.
    pub(super) fn flatten(&self, tree: Range<usize>, values: &[f32], out: &mut Vec<Node>) -> Result<(), String> {
        let order = self.order(&tree)?;
        let (number, first) = (self.nodes[tree.start].tree, out.len());
        let needs_jump = |at: usize, branch: &Branch| order.get(at + 1) != Some(&branch.yes);
        let mut places = vec![0; tree.len()];
        let mut depths = vec![0; tree.len()];
        let mut place = first;
        for (at, position) in order.iter().copied().enumerate() {
            places[position - tree.start] = place;
            place += 1;
            let Some(branch) = &self.nodes[position].branch else { continue };
            let below = depths[position - tree.start] + 1;
            let jumps = usize::from(needs_jump(at, branch));
            place += jumps;
            for (child, depth) in [(branch.yes, below + jumps), (branch.no, below)] {
                let deepest = &mut depths[child - tree.start];
                *deepest = depth.max(*deepest);
            }
        }
        if depths.iter().any(|depth| *depth > TREE_DEPTH_MAX) {
            return Err(format!("tree {number} is deeper than the limit of {TREE_DEPTH_MAX}"));
        }
        if place - first > TREE_NODES_MAX {
            let count = place - first;
            return Err(format!("tree {number} needs {count} nodes, but the limit is {TREE_NODES_MAX}"));
        }
        for (at, position) in order.iter().copied().enumerate() {
            let place = |child: usize| places[child - tree.start];
            match &self.nodes[position].branch {
                None => out.push(Node::leaf(values[position])),
                Some(branch) => {
                    let mut node = branch.node;
                    node.set_jump(place(branch.no) - out.len());
                    out.push(node);
                    if needs_jump(at, branch) {
                        out.push(Node::jump_over(place(branch.yes) - out.len()));
                    }
                }
            }
        }
        Ok(())
    }

    /// The positions of a tree's nodes, each before those to which it leads. A node to which one branch alone leads
    /// comes directly after it if that is its "yes". Without recursion, so that a file cannot determine the depth of the
    /// stack.
    pub(super) fn order(&self, tree: &Range<usize>) -> Result<Vec<usize>, String> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            /// The walk is below the node.
            Open,
            Done,
        }
        enum Step {
            Enter(usize),
            Leave(usize),
        }
        let mut seen = vec![Seen::Not; tree.len()];
        let mut order = Vec::with_capacity(tree.len());
        let mut steps = vec![Step::Enter(tree.start)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(position) => match seen[position - tree.start] {
                    Seen::Done => {}
                    Seen::Open => {
                        let FileNode { id, tree, .. } = self.nodes[position];
                        return Err(format!("node {id} of tree {tree} leads back to itself"));
                    }
                    Seen::Not => {
                        seen[position - tree.start] = Seen::Open;
                        steps.push(Step::Leave(position));
                        if let Some(branch) = &self.nodes[position].branch {
                            steps.extend([Step::Enter(branch.yes), Step::Enter(branch.no)]);
                        }
                    }
                },
                Step::Leave(position) => {
                    seen[position - tree.start] = Seen::Done;
                    order.push(position);
                }
            }
        }
        if let Some(at) = seen.iter().position(|seen| *seen == Seen::Not) {
            let node = &self.nodes[tree.start + at];
            return Err(format!("node {} of tree {} cannot be reached from its first node", node.id, node.tree));
        }
        order.reverse();
        Ok(order)
    }
}
