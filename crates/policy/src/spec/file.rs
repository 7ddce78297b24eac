//! How the document says to read a file of past payments.

use types::Span;

use crate::index::{AttributeIdx, PaymentTypeIdx};

/// How to read a file of past payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMapping {
    /// The type of every payment in the file.
    pub payment: PaymentTypeIdx,
    /// The column with the id of the payment.
    pub id: String,
    /// The column with the time at which the payment happened.
    pub time: String,
    /// The column with the amount.
    pub amount: String,
    /// The unit of the amount.
    pub amount_unit: AmountUnit,
    /// The column with the label, if there is one.
    pub label: Option<LabelColumn>,
    /// The columns of attributes. Every required attribute has one.
    pub attributes: Vec<(AttributeIdx, String)>,
    /// The ASCII character between the fields of a CSV file.
    pub delimiter: u8,
    /// How texts write numbers.
    pub decimal: DecimalMark,
}

/// The character between the whole part and the fraction of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecimalMark {
    /// `12.50`
    #[default]
    Point,
    /// `12,50`
    Comma,
}

/// The unit of amounts in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountUnit {
    /// Major units with decimals: `12.50`.
    Major,
    /// Minor units: `1250`.
    Minor,
}

/// The labels of the payments in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelColumn {
    pub column: String,
    /// The values that mean fraud.
    pub positive: Vec<String>,
    /// How long after its payment each label became known.
    pub delay: Span,
}
