//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: keeps the trees in a compact array and walks through it.

use super::contributions::Unexplained;
use super::operator::Operator;
use super::program::Zero;
use super::transform::Transform;
use super::{LoadError, classes};

mod ensemble;
mod explain;
mod node;
mod perfect;
mod read;

use explain::Explainer;
use node::Node;
use perfect::{Block, TOGETHER};

/// The sum (or average) of one leaf per tree.
#[derive(Debug)]
pub(super) struct Trees {
    /// Tree after tree. The node to which "yes" leads comes directly after its branch, and every other node after the
    /// branches that lead to it.
    nodes: Vec<Node>,
    /// The trees in their order, eight at a time. The last block may have fewer.
    blocks: Vec<Layout>,
    explainer: Result<Explainer, Unexplained>,
    divisor: f32,
    base: f32,
    /// The least and the greatest sum that any row can reach.
    range: [f64; 2],
}

/// How a block of trees is walked through.
#[derive(Debug)]
enum Layout {
    /// At most 4 branches deep.
    Tiny(Block<16>),
    /// At most 6 branches deep.
    Small(Block<64>),
    /// At most 8 branches deep.
    Medium(Block<256>),
    /// The roots of trees that are deeper, or ask about equality.
    Any(Vec<usize>),
}

impl Layout {
    fn new(nodes: &[Node], roots: &[usize], end: usize) -> Self {
        if roots.len() < TOGETHER {
            return Self::Any(roots.to_vec());
        }
        let ends = roots.iter().skip(1).copied().chain([end]);
        let trees: Vec<&[Node]> = roots.iter().zip(ends).map(|(root, end)| &nodes[*root..end]).collect();
        if let Some(block) = Block::new(&trees) {
            Self::Tiny(block)
        } else if let Some(block) = Block::new(&trees) {
            Self::Small(block)
        } else if let Some(block) = Block::new(&trees) {
            Self::Medium(block)
        } else {
            Self::Any(roots.to_vec())
        }
    }
}

impl Trees {
    pub(super) fn classifier(operator: &mut Operator, inputs: usize) -> Result<(Self, Transform, Zero), LoadError> {
        classes::check(operator, "classlabels_int64s")?;
        let transform = operator.word("post_transform", &Transform::WORDS)?;
        let base = operator.floats("base_values")?;
        if base.len() > 2 {
            return Err(operator.error(format!("it has {} base_values, expected 0, 1 or 2", base.len())));
        }
        let forest = read::forest(operator, inputs)?;
        let leaves = read::leaves(operator, &forest, "class", 2)?;
        operator.finish()?;
        let base = |class: usize| base.get(class).copied().unwrap_or(0.0);
        let (values, base) = match (leaves.names(0), leaves.names(1), transform) {
            (true, true, Transform::Softmax) => (leaves.difference(1, 0), base(1) - base(0)),
            (_, true, Transform::None | Transform::Logistic) => (leaves.of(1), base(1)),
            // The weights of a binary model are all for class 1, which exporters number 0.
            (true, false, Transform::None | Transform::Logistic) => (leaves.of(0), base(0)),
            (_, _, Transform::Softmax) => return Err(operator.error("SOFTMAX needs weights for both classes")),
            (false, false, _) => return Err(operator.error("it has no class_weights")),
        };
        let zero = match (transform, leaves.names(0) && leaves.names(1)) {
            (Transform::Logistic | Transform::Softmax, _) => Zero::Rest,
            (Transform::None, true) => Zero::Unknown,
            // What ONNX's reference runtime does if a file has the weights of one class only.
            (Transform::None, false) if values.iter().all(|value| *value >= 0.0) => Zero::Rest,
            (Transform::None, false) => Zero::Negative,
        };
        Ok((Self::new(operator, &forest, &values, 1.0, base)?, transform, zero))
    }

    /// The trees of each target of a `TreeEnsemble`, which version 5 of the operator set defines.
    pub(super) fn ensemble(operator: &mut Operator, inputs: usize) -> Result<(Vec<Self>, Transform), LoadError> {
        let ensemble = ensemble::read(operator, inputs)?;
        operator.finish()?;
        let divisor = if ensemble.is_average { f32::from(ensemble.forest.tree_count()) } else { 1.0 };
        let trees = |values: &Vec<f32>| Self::new(operator, &ensemble.forest, values, divisor, 0.0);
        let targets = ensemble.values.iter().map(trees).collect::<Result<_, _>>()?;
        Ok((targets, ensemble.transform))
    }

    pub(super) fn regressor(operator: &mut Operator, inputs: usize) -> Result<(Self, Transform), LoadError> {
        let targets = operator.int("n_targets", 1);
        if targets != 1 {
            return Err(operator.error(format!("it has {targets} targets, but only 1 is supported")));
        }
        let transform = operator.word("post_transform", &Transform::WORDS[..2])?;
        let average = operator.word("aggregate_function", &[("SUM", false), ("AVERAGE", true)])?;
        let base = operator.floats("base_values")?;
        if base.len() > 1 {
            return Err(operator.error(format!("it has {} base_values, expected 0 or 1", base.len())));
        }
        let forest = read::forest(operator, inputs)?;
        let leaves = read::leaves(operator, &forest, "target", 1)?;
        operator.finish()?;
        let divisor = if average { f32::from(forest.tree_count()) } else { 1.0 };
        let base = base.first().copied().unwrap_or(0.0);
        Ok((Self::new(operator, &forest, &leaves.of(0), divisor, base)?, transform))
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Adds the leaves' values tree after tree, in the order of the file and in single precision, and then the base
    /// value.
    pub(super) fn score(&self, row: &[f32]) -> f32 {
        let mut sum = 0.0;
        for block in &self.blocks {
            let values = match block {
                Layout::Tiny(block) => block.values(row),
                Layout::Small(block) => block.values(row),
                Layout::Medium(block) => block.values(row),
                Layout::Any(roots) => match roots.first_chunk::<TOGETHER>() {
                    Some(roots) => self.walk_together(*roots, row),
                    None => {
                        sum = roots.iter().fold(sum, |sum, root| sum + self.walk(*root, row));
                        continue;
                    }
                },
            };
            sum = values.iter().fold(sum, |sum, leaf| sum + leaf);
        }
        sum / self.divisor + self.base
    }

    /// The values of the leaves that a row reaches in several trees. Each step of a walk waits for memory, so several
    /// walks at once take little longer than one.
    fn walk_together(&self, roots: [usize; TOGETHER], row: &[f32]) -> [f32; TOGETHER] {
        let mut at = roots;
        loop {
            let mut is_walking = false;
            let values = at.each_mut().map(|at| {
                let node = &self.nodes[*at];
                node.value().unwrap_or_else(|| {
                    is_walking = true;
                    *at += node.step(row);
                    0.0
                })
            });
            if !is_walking {
                return values;
            }
        }
    }

    /// The least and the greatest score: the sums of the least and the greatest leaves. No row need reach them.
    pub(super) fn range(&self) -> [f64; 2] {
        self.range
    }

    /// The value of the leaf that a row reaches.
    fn walk(&self, root: usize, row: &[f32]) -> f32 {
        let mut at = root;
        loop {
            let node = &self.nodes[at];
            match node.value() {
                Some(value) => return value,
                None => at += node.step(row),
            }
        }
    }

    /// Adds each column's exact contribution to the score to `contributions`, which has one value per column. Returns
    /// the score that the model expects before it knows any column. `scratch` keeps memory from one call to the next.
    pub(super) fn explain(
        &self,
        row: &[f32],
        contributions: &mut [f64],
        scratch: &mut Vec<f64>,
    ) -> Result<f64, Unexplained> {
        let explainer = self.explainer.as_ref().map_err(|unexplained| *unexplained)?;
        let scale = 1.0 / f64::from(self.divisor);
        explainer.explain(row, contributions, scratch);
        contributions.iter_mut().for_each(|contribution| *contribution *= scale);
        Ok(explainer.expected() * scale + f64::from(self.base))
    }

    /// Why contributions cannot be computed, if they cannot.
    pub(super) fn unexplained(&self) -> Option<Unexplained> {
        self.explainer.as_ref().err().copied()
    }

    /// Flattens a forest. `values` are the values of its leaves, by the position of the node in the file.
    fn new(
        operator: &Operator,
        forest: &read::Forest,
        values: &[f32],
        divisor: f32,
        base: f32,
    ) -> Result<Self, LoadError> {
        if !base.is_finite() || values.iter().any(|value| !value.is_finite()) {
            return Err(operator.error("the difference between a weight of class 1 and that of class 0 is not finite"));
        }
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        let mut range = [0.0, 0.0];
        for tree in forest.trees() {
            let root = nodes.len();
            roots.push(root);
            forest.flatten(tree, values, &mut nodes).map_err(|problem| operator.error(problem))?;
            let leaves = || nodes[root..].iter().filter_map(Node::value);
            range[0] += f64::from(leaves().fold(f32::INFINITY, f32::min));
            range[1] += f64::from(leaves().fold(f32::NEG_INFINITY, f32::max));
        }
        let range = range.map(|sum| sum / f64::from(divisor) + f64::from(base));
        let ends = roots.iter().skip(TOGETHER).step_by(TOGETHER).copied().chain([nodes.len()]);
        let blocks = roots.chunks(TOGETHER).zip(ends).map(|(roots, end)| Layout::new(&nodes, roots, end)).collect();
        let explainer = Explainer::new(forest, values);
        Ok(Self { nodes, blocks, explainer, divisor, base, range })
    }
}
