//! The exact contribution of each column to the score of a tree ensemble (path-dependent TreeSHAP).
//!
//! A contribution is the Shapley value of the column in this game: if only some columns are known, a walk that comes to
//! a branch on another column goes both ways, in proportion to the *covers* of the two nodes, which is how much of the
//! training data reached them. XGBoost (`pred_contribs`) and LightGBM (`pred_contrib`) define contributions so.
//!
//! For one leaf, let column j be asked on the way to it. If j is known, the walk passes the branches on j with weight
//! o (1 or 0); if not, with weight z, the product of their ratios of covers. The Shapley value of j at the leaf, whose
//! value is v, is the integral over t from 0 to 1 of
//!
//! > v (o_j - z_j) * product over the other columns i of (z_i (1 - t) + o_i t)
//!
//! which is a polynomial in t of a degree below the number of columns on the way, so a Gauss-Legendre sum with half as
//! many points as columns is exact. One walk through the tree carries the product for every point down to the leaves
//! and their sums back up. The time is proportional to nodes times points.

use super::super::contributions::Unexplained;
use super::node::Node;
use super::read::Forest;

/// Most steps of all walks for one row. Where several branches lead to one node, each of them is a step to it.
const STEPS_MAX: u64 = 1 << 22;
/// Most branches on the way to a leaf, times points of the sum. Each branch takes room on the stack in proportion to the points.
const STACK_MAX: usize = 1 << 13;
/// Most columns that are asked on the way to one leaf.
const COLUMNS_ON_PATH_MAX: usize = 64;
/// How far the covers of a node's children may be from the cover of the node, as a part of it.
const COVER_ROUNDING: f64 = 0.01;
/// A weight that is not distinguished from 0, because its inverse could overflow.
const NO_WEIGHT: f64 = 1e-150;

/// A forest with the covers of its nodes.
#[derive(Debug)]
pub(super) struct Explainer {
    /// Tree after tree, each node before those that it leads to.
    nodes: Vec<Weighed>,
    trees: Vec<Tree>,
    rules: Rules,
    /// The sum of the leaves' values, each weighted with the share of the training data that reached it.
    expected: f64,
}

#[derive(Debug, Clone, Copy)]
struct Weighed {
    question: Node,
    /// The nodes to which "yes" and "no" lead. 0 for a leaf.
    children: [u32; 2],
    /// The shares of the node's cover that went there. For a leaf, the first is its value.
    ratios: [f64; 2],
}

#[derive(Debug)]
struct Tree {
    root: usize,
    /// How many columns are asked on the way to a leaf, at most.
    columns: usize,
}

impl Explainer {
    /// `values` are the values of the leaves, by the position of the node in the file.
    pub(super) fn new(forest: &Forest, values: &[f32]) -> Result<Self, Unexplained> {
        let mut explainer = Self { nodes: Vec::new(), trees: Vec::new(), rules: Rules::new(), expected: 0.0 };
        let mut steps = 0_u64;
        for tree in forest.trees() {
            // The forest was flattened before, so there is an order.
            let Ok(order) = forest.order(&tree) else { return Err(Unexplained::NoCovers) };
            let root = explainer.nodes.len();
            let mut places = vec![0_u32; tree.len()];
            let mut parents = vec![0_u32; tree.len()];
            for (place, position) in order.iter().enumerate() {
                places[position - tree.start] =
                    u32::try_from(root + place).map_err(|_beyond_u32| Unexplained::TooManySteps)?;
                if let Some(branch) = &forest.nodes[*position].branch {
                    parents[branch.yes - tree.start] += 1;
                    parents[branch.no - tree.start] += 1;
                }
            }
            for position in order {
                let node = &forest.nodes[position];
                explainer.nodes.push(match &node.branch {
                    None => Weighed {
                        question: Node::leaf(values[position]),
                        children: [0; 2],
                        ratios: [f64::from(values[position]), 0.0],
                    },
                    Some(branch) => {
                        let children = [branch.yes, branch.no];
                        let only =
                            |child: usize| (parents[child - tree.start] == 1).then_some(forest.nodes[child].cover);
                        Weighed {
                            question: branch.node,
                            children: children.map(|child| places[child - tree.start]),
                            ratios: ratios(node.cover, children.map(only))?,
                        }
                    }
                });
            }
            let walk = explainer.measure(root);
            steps = steps.saturating_add(walk.steps);
            explainer.expected += walk.expected;
            if walk.columns > COLUMNS_ON_PATH_MAX {
                return Err(Unexplained::TooManyColumns);
            }
            if walk.depth.saturating_mul(walk.columns.div_ceil(2).max(1)) > STACK_MAX {
                return Err(Unexplained::TooManySteps);
            }
            explainer.trees.push(Tree { root, columns: walk.columns });
        }
        if steps > STEPS_MAX { Err(Unexplained::TooManySteps) } else { Ok(explainer) }
    }

    /// The score that is expected while no column is known.
    pub(super) fn expected(&self) -> f64 {
        self.expected
    }

    /// What a walk through the last tree takes.
    fn measure(&self, root: usize) -> Walk {
        let nodes = &self.nodes[root..];
        let columns: std::collections::BTreeSet<usize> =
            nodes.iter().filter(|node| !node.is_leaf()).map(|node| node.question.column()).collect();
        let (mut steps, mut depths, mut expected) =
            (vec![1_u64; nodes.len()], vec![0; nodes.len()], vec![0.0; nodes.len()]);
        for (at, node) in nodes.iter().enumerate().rev() {
            let [share_of_yes, share_of_no] = node.ratios;
            if node.is_leaf() {
                expected[at] = share_of_yes;
                continue;
            }
            let [yes, no] = node.children.map(|child| child as usize - root);
            steps[at] = 1_u64.saturating_add(steps[yes]).saturating_add(steps[no]);
            depths[at] = 1 + depths[yes].max(depths[no]);
            expected[at] = share_of_yes * expected[yes] + share_of_no * expected[no];
        }
        Walk { steps: steps[0], columns: columns.len().min(depths[0]), depth: depths[0], expected: expected[0] }
    }

    /// Adds the contribution of each column. `scratch` keeps its memory from one call to the next.
    pub(super) fn explain(&self, row: &[f32], contributions: &mut [f64], scratch: &mut Vec<f64>) {
        for tree in &self.trees {
            match tree.columns {
                0..=2 => self.explain_tree::<1>(tree.root, row, contributions, scratch, &self.rules.one),
                3..=4 => self.explain_tree::<2>(tree.root, row, contributions, scratch, &self.rules.two),
                5..=6 => self.explain_tree::<3>(tree.root, row, contributions, scratch, &self.rules.three),
                7..=8 => self.explain_tree::<4>(tree.root, row, contributions, scratch, &self.rules.four),
                9..=16 => self.explain_tree::<8>(tree.root, row, contributions, scratch, &self.rules.eight),
                17..=32 => self.explain_tree::<16>(tree.root, row, contributions, scratch, &self.rules.sixteen),
                _ => self.explain_tree::<32>(tree.root, row, contributions, scratch, &self.rules.thirty_two),
            }
        }
    }

    fn explain_tree<const POINTS: usize>(
        &self,
        root: usize,
        row: &[f32],
        contributions: &mut [f64],
        scratch: &mut Vec<f64>,
        rule: &Rule<POINTS>,
    ) {
        // One factor per column and point, and the two weights of each column.
        scratch.clear();
        scratch.resize(row.len() * (POINTS + 2), 1.0);
        let (weights, inverses) = scratch.split_at_mut(2 * row.len());
        let (weights, _) = weights.as_chunks_mut::<2>();
        let (inverses, _) = inverses.as_chunks_mut::<POINTS>();
        let mut walk = Walking { nodes: &self.nodes, rule, row, weights, inverses, contributions };
        // A tree that is one leaf asks about no column.
        if !self.nodes[root].is_leaf() {
            walk.below(&self.nodes[root], &rule.weights);
        }
    }
}

impl Weighed {
    fn is_leaf(&self) -> bool {
        self.children[0] == 0
    }
}

/// What the walks through a tree for one row take.
struct Walk {
    steps: u64,
    columns: usize,
    /// Branches on the longest way to a leaf.
    depth: usize,
    expected: f64,
}

/// The shares of a branch's cover that its two children have. A child to which other branches lead too (`None`) has the
/// rest: exporters write a split on a set of categories as a chain of branches that lead to one node.
fn ratios(cover: Option<f32>, children: [Option<Option<f32>>; 2]) -> Result<[f64; 2], Unexplained> {
    let known = |cover: Option<f32>| {
        cover.filter(|cover| cover.is_finite() && *cover >= 0.0).map(f64::from).ok_or(Unexplained::NoCovers)
    };
    let cover = known(cover)?;
    let share = |child: Option<f32>| Ok(if cover == 0.0 { 0.0 } else { known(child)? / cover });
    let [yes, no] = match children {
        [Some(yes), Some(no)] => [share(yes)?, share(no)?],
        [Some(yes), None] => [share(yes)?, 1.0 - share(yes)?],
        [None, Some(no)] => [1.0 - share(no)?, share(no)?],
        [None, None] => return Err(Unexplained::NoCovers),
    };
    let fits =
        cover == 0.0 || (yes + no - 1.0).abs() <= COVER_ROUNDING && yes >= -COVER_ROUNDING && no >= -COVER_ROUNDING;
    if fits { Ok([yes.max(0.0), no.max(0.0)]) } else { Err(Unexplained::NoCovers) }
}

/// A walk through one tree with all columns, known and unknown.
struct Walking<'a, const POINTS: usize> {
    nodes: &'a [Weighed],
    rule: &'a Rule<POINTS>,
    row: &'a [f32],
    /// For each column, the weights z and o of the branches on it that the walk has passed.
    weights: &'a mut [[f64; 2]],
    /// For each column and point, 1 / (z (1 - t) + o t).
    inverses: &'a mut [[f64; POINTS]],
    contributions: &'a mut [f64],
}

/// What the walk has passed of one column when it comes to a branch on it.
struct Passed<const POINTS: usize> {
    column: usize,
    z: f64,
    o: f64,
    inverse: [f64; POINTS],
    /// The product of the factors of all other columns.
    without: [f64; POINTS],
}

impl<'a, const POINTS: usize> Walking<'a, POINTS> {
    /// Returns the sum over the leaves below a branch of their value times the product of all columns' factors, for every
    /// point and with its weight. `product` is the product on the way to the branch. The stack is at most as deep as a
    /// tree may be.
    fn below(&mut self, node: &'a Weighed, product: &[f64; POINTS]) -> [f64; POINTS] {
        let column = node.question.column();
        let is_yes = node.question.is_yes(self.row[column]);
        let [z, o] = self.weights[column];
        let inverse = self.inverses[column];
        // The factor of this column leaves the product, and a new one enters it below.
        let mut without = [0.0; POINTS];
        for point in 0..POINTS {
            without[point] = product[point] * inverse[point];
        }
        let passed = Passed { column, z, o, inverse, without };
        let mut sums = [0.0; POINTS];
        let [yes, no] = node.children;
        let [share_of_yes, share_of_no] = node.ratios;
        let [yes_is_followed, no_is_followed] = [is_yes, !is_yes].map(|is_followed| f64::from(u8::from(is_followed)));
        let nodes = self.nodes;
        let leaves = [&nodes[yes as usize], &nodes[no as usize]];
        let mut contribution = 0.0;
        if leaves.iter().all(|child| child.is_leaf()) {
            // Half of the branches of a tree are such, and need no factors of their own.
            let [yes, no] = leaves.map(|leaf| leaf.ratios[0]);
            let unknown = z * (share_of_yes * yes + share_of_no * no);
            let known = o * (yes_is_followed * yes + no_is_followed * no);
            for point in 0..POINTS {
                sums[point] = without[point] * (unknown * self.rule.rests[point] + known * self.rule.points[point]);
                contribution += without[point];
            }
            contribution *= known - unknown;
        } else {
            contribution += self.side(&passed, yes, share_of_yes, yes_is_followed, &mut sums);
            contribution += self.side(&passed, no, share_of_no, no_is_followed, &mut sums);
        }
        // What the branches above on this column added for the leaves below is replaced.
        for point in 0..POINTS {
            contribution -= (o - z) * sums[point] * inverse[point];
        }
        self.contributions[column] += contribution;
        sums
    }

    /// One of the two sides of a branch. Adds to `sums` what [`Self::below`] returns, and returns what the column adds.
    #[inline(always)]
    fn side(
        &mut self,
        passed: &Passed<POINTS>,
        child: u32,
        share: f64,
        is_followed: f64,
        sums: &mut [f64; POINTS],
    ) -> f64 {
        let (z, o) = (passed.z * share, passed.o * is_followed);
        if o + z < NO_WEIGHT {
            return 0.0;
        }
        let mut factors = [0.0; POINTS];
        let mut product = [0.0; POINTS];
        for point in 0..POINTS {
            factors[point] = z * self.rule.rests[point] + o * self.rule.points[point];
            product[point] = passed.without[point] * factors[point];
        }
        let nodes = self.nodes;
        let child = &nodes[child as usize];
        // The sum below, without the factor of this column.
        let mut sum_without = 0.0;
        if child.is_leaf() {
            let value = child.ratios[0];
            for point in 0..POINTS {
                sum_without += passed.without[point];
                sums[point] += product[point] * value;
            }
            sum_without *= value;
        } else {
            let inverse = factors.map(|factor| 1.0 / factor);
            self.weights[passed.column] = [z, o];
            self.inverses[passed.column] = inverse;
            let below = self.below(child, &product);
            self.weights[passed.column] = [passed.z, passed.o];
            self.inverses[passed.column] = passed.inverse;
            for point in 0..POINTS {
                sum_without += below[point] * inverse[point];
                sums[point] += below[point];
            }
        }
        (o - z) * sum_without
    }
}

/// A Gauss-Legendre rule on 0..=1: a polynomial's integral is the sum of its values at the points, weighted. Exact up to
/// degree `2 * POINTS - 1`.
#[derive(Debug)]
struct Rule<const POINTS: usize> {
    points: [f64; POINTS],
    /// 1 less each point.
    rests: [f64; POINTS],
    weights: [f64; POINTS],
}

impl<const POINTS: usize> Rule<POINTS> {
    #[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
    fn new() -> Self {
        let mut rule = Self { points: [0.0; POINTS], rests: [0.0; POINTS], weights: [0.0; POINTS] };
        for at in 0..POINTS {
            let mut root = cosine(std::f64::consts::PI * (at as f64 + 0.75) / (POINTS as f64 + 0.5));
            let mut slope = 1.0;
            for _ in 0..8 {
                let (value, slope_here) = legendre(POINTS, root);
                slope = slope_here;
                root -= value / slope;
            }
            rule.points[at] = 0.5 * (1.0 + root);
            rule.rests[at] = 0.5 * (1.0 - root);
            rule.weights[at] = 1.0 / ((1.0 - root * root) * slope * slope);
        }
        rule
    }
}

/// The value and the slope of a Legendre polynomial in -1..1.
#[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for n in 2..=degree {
        let n = n as f64;
        (before, value) = (value, ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n);
    }
    (value, degree as f64 * (before - x * value) / (1.0 - x * x))
}

/// The cosine of an angle in 0..=pi as the first terms of its series, with the same bits on every machine. The roots
/// that start from it need only a few digits.
fn cosine(angle: f64) -> f64 {
    (1..=12_u8).rev().fold(1.0, |sum, n| {
        let n = 2.0 * f64::from(n);
        1.0 - sum * angle * angle / (n * (n - 1.0))
    })
}

/// The rules for all numbers of points that are used.
#[derive(Debug)]
struct Rules {
    one: Rule<1>,
    two: Rule<2>,
    three: Rule<3>,
    four: Rule<4>,
    eight: Rule<8>,
    sixteen: Rule<16>,
    thirty_two: Rule<32>,
}

impl Rules {
    fn new() -> Self {
        Self {
            one: Rule::new(),
            two: Rule::new(),
            three: Rule::new(),
            four: Rule::new(),
            eight: Rule::new(),
            sixteen: Rule::new(),
            thirty_two: Rule::new(),
        }
    }
}
