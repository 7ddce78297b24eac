//! How much each column contributed to a score.

/// Each column's contribution to the score of one row. The memory is used again by the next row.
#[derive(Debug, Clone, Default)]
pub struct Contributions {
    expected: f64,
    columns: Vec<f64>,
    /// What the sum reads, after all preparations, and the contribution of each number of it.
    row: Vec<f32>,
    raw: Vec<f64>,
    scratch: Vec<f64>,
}

/// The parts of [`Contributions`] that a model fills.
pub(super) struct Parts<'a> {
    pub expected: &'a mut f64,
    pub columns: &'a mut [f64],
    pub row: &'a [f32],
    pub raw: &'a mut [f64],
    pub scratch: &'a mut Vec<f64>,
}

impl Contributions {
    pub fn new() -> Self {
        Self::default()
    }

    /// The score that the model expects before it knows any column. For trees it is the mean over the training data;
    /// for a linear model it is the score of a row of zeros, or of the means if a scaler subtracts them.
    pub fn expected(&self) -> f64 {
        self.expected
    }

    /// One per column of the model, in order.
    pub fn columns(&self) -> &[f64] {
        &self.columns
    }

    /// The score: what was expected and all contributions together. It is before the transform into a probability, so
    /// log odds if the model ends in one.
    pub fn score(&self) -> f64 {
        self.columns.iter().fold(self.expected, |sum, contribution| sum + contribution)
    }

    /// Starts a row of `columns` columns, of which a sum reads `width` numbers. Returns where these go.
    pub(super) fn start(&mut self, columns: usize, width: usize) -> &mut [f32] {
        self.expected = 0.0;
        for (values, length) in [(&mut self.columns, columns), (&mut self.raw, width)] {
            values.clear();
            values.resize(length, 0.0);
        }
        self.row.clear();
        self.row.resize(width, 0.0);
        &mut self.row
    }

    pub(super) fn parts(&mut self) -> Parts<'_> {
        Parts {
            expected: &mut self.expected,
            columns: &mut self.columns,
            row: &self.row,
            raw: &mut self.raw,
            scratch: &mut self.scratch,
        }
    }
}

/// Why a model has no contributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    #[error(
        "the model has no covers: nodes_hitrates must say how much of the training data reached each node of each tree, \
         but it is absent, the same for all nodes, or does not add up; scripts/add_covers.py adds it to an ONNX file"
    )]
    NoCovers,
    #[error("the way to a leaf asks about more than 64 columns")]
    TooManyColumns,
    #[error(
        "a row takes more than 4194304 steps through the trees, or a way to a leaf has too many branches for its number of columns"
    )]
    TooManySteps,
    #[error("the answer is not one sum over trees or columns: the model has further steps after or beside its sum")]
    NotASum,
}

impl Unexplained {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCovers => "no_covers",
            Self::TooManyColumns => "too_many_columns",
            Self::TooManySteps => "too_many_steps",
            Self::NotASum => "not_a_sum",
        }
    }
}
