//! The values of attributes and features of one payment.

use std::cmp::Ordering;
use std::fmt::Write as _;

use types::{AccountId, Timestamp, Token};

use crate::spec::{AttributeKind, EntityAttributeType, FeatureType};

/// The value of an attribute of one payment, as the core sees it.
#[derive(Debug, Clone)]
pub enum AttributeValue {
    Text(Box<str>),
    Int(i64),
    /// Finite, and never −0.0. See [`AttributeValue::double`].
    Double(f64),
    Bool(bool),
    Time(Timestamp),
    Entity {
        token: Token,
        /// The value that the token stands for, with which rules compare. No entry keeps it in the clear.
        text: Box<str>,
    },
    Account(AccountId),
}

/// A value that an entity has as an attribute.
#[derive(Debug, Clone)]
pub enum EntityValue {
    Text(Box<str>),
    Int(i64),
    /// Finite, and never −0.0. See [`EntityValue::double`].
    Double(f64),
    Bool(bool),
    Time(Timestamp),
}

impl EntityValue {
    /// Returns a double, or `None` if `value` is not finite. −0.0 becomes 0.0, so that equal numbers are one value.
    pub fn double(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Double(value + 0.0))
    }

    /// The type of the value.
    pub const fn ty(&self) -> EntityAttributeType {
        match self {
            Self::Text(_) => EntityAttributeType::Text,
            Self::Int(_) => EntityAttributeType::Int,
            Self::Double(_) => EntityAttributeType::Double,
            Self::Bool(_) => EntityAttributeType::Bool,
            Self::Time(_) => EntityAttributeType::Time,
        }
    }

    /// The value as a feature of a payment that is decided at `at`. A time becomes the whole seconds from it to `at`, rounded towards the
    /// past as all ages are, and negative if it is later.
    pub(crate) fn as_feature(&self, at: Timestamp) -> FeatureValue {
        match self {
            Self::Text(text) => FeatureValue::Text(text.clone()),
            Self::Int(value) => FeatureValue::Int(*value),
            Self::Double(value) => FeatureValue::Double(*value),
            Self::Bool(value) => FeatureValue::Bool(*value),
            Self::Time(since) => {
                let age = (i128::from(at.ns()) - i128::from(since.ns())).div_euclid(NS_PER_SECOND);
                i64::try_from(age).map_or(FeatureValue::Missing(MissingReason::OutOfRange), FeatureValue::Int)
            }
        }
    }
}

const NS_PER_SECOND: i128 = 1_000_000_000;

impl PartialEq for EntityValue {
    /// Compares exactly: doubles are equal if their bits are.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for EntityValue {}

/// A feature of one payment.
#[derive(Debug, Clone)]
pub enum FeatureValue {
    Int(i64),
    /// Finite, and never −0.0.
    Double(f64),
    Bool(bool),
    Text(Box<str>),
    Missing(MissingReason),
}

/// Why a feature has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissingReason {
    /// The payment does not have an attribute that the feature needs.
    AttributeAbsent,
    /// The window reaches back to records that were dropped (`records_max`).
    WindowTruncated,
    /// The stream has no room for another entity (`entities_max`).
    TooManyEntities,
    /// The expression of the feature or of its stream failed for this payment: an overflow or a division by zero.
    ExpressionFailed,
    /// The value does not fit its type: a sum past 64 bits, or a double that is not finite.
    OutOfRange,
    /// The history has no answer, for another reason.
    Unavailable,
    /// The window has too few records for a value: none that could be the smallest, or no two that could differ.
    TooFewRecords,
    /// The entity has no value of the attribute that the feature is.
    NotSet,
}

impl AttributeValue {
    /// Returns a double attribute, or `None` if `value` is not finite. −0.0 becomes 0.0, so that equal numbers are one
    /// value.
    pub fn double(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Double(value + 0.0))
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Text(_) => 0,
            Self::Int(_) => 1,
            Self::Double(_) => 2,
            Self::Bool(_) => 3,
            Self::Time(_) => 4,
            Self::Entity { .. } => 5,
            Self::Account(_) => 6,
        }
    }
}

/// A total order for canonical forms: first by kind, then by value. Doubles follow the total order of IEEE 754.
impl Ord for AttributeValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Entity { token: a, .. }, Self::Entity { token: b, .. }) => a.cmp(b),
            (Self::Account(a), Self::Account(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for AttributeValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for AttributeValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for AttributeValue {}

impl AttributeKind {
    /// Whether an attribute of this kind can have this value.
    pub fn admits(&self, value: &AttributeValue) -> bool {
        match (self, value) {
            (Self::Text { chars_max }, AttributeValue::Text(text)) => text.chars().count() <= usize::from(*chars_max),
            (Self::Double, AttributeValue::Double(value)) => value.is_finite(),
            (Self::Int, AttributeValue::Int(_))
            | (Self::Bool, AttributeValue::Bool(_))
            | (Self::Time, AttributeValue::Time(_))
            | (Self::Entity(_), AttributeValue::Entity { .. })
            | (Self::Account, AttributeValue::Account(_)) => true,
            _ => false,
        }
    }
}

impl PartialEq for FeatureValue {
    /// Compares exactly: doubles are equal if their bits are, so that a replayed decision can be compared.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Missing(a), Self::Missing(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for FeatureValue {}

impl FeatureValue {
    /// Returns a double feature, which is missing if `value` is not finite. −0.0 becomes 0.0, so that equal numbers are
    /// one value.
    pub(crate) fn double(value: f64) -> Self {
        if value.is_finite() { Self::Double(value + 0.0) } else { Self::Missing(MissingReason::OutOfRange) }
    }

    /// The type of the value, or `None` if it is missing.
    pub const fn ty(&self) -> Option<FeatureType> {
        match self {
            Self::Int(_) => Some(FeatureType::Int),
            Self::Double(_) => Some(FeatureType::Double),
            Self::Bool(_) => Some(FeatureType::Bool),
            Self::Text(_) => Some(FeatureType::Text),
            Self::Missing(_) => None,
        }
    }

    /// Appends the value as JSON: a number, `true`, `false`, a string, or `null` if it is missing. A double is written
    /// with the fewest digits that read back as the same number.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Int(value) => write_to(out, format_args!("{value}")),
            Self::Double(value) => write_to(out, format_args!("{value:?}")),
            Self::Bool(value) => write_to(out, format_args!("{value}")),
            Self::Text(text) => write_json_text(text, out),
            Self::Missing(_) => out.push_str("null"),
        }
    }
}

impl FeatureType {
    /// The name of the type in documents and column headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Text => "string",
        }
    }
}

impl MissingReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::AttributeAbsent,
        Self::WindowTruncated,
        Self::TooManyEntities,
        Self::ExpressionFailed,
        Self::OutOfRange,
        Self::Unavailable,
        Self::TooFewRecords,
        Self::NotSet,
    ];

    /// The stable name of the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttributeAbsent => "attribute_absent",
            Self::WindowTruncated => "window_truncated",
            Self::TooManyEntities => "too_many_entities",
            Self::ExpressionFailed => "expression_failed",
            Self::OutOfRange => "out_of_range",
            Self::Unavailable => "unavailable",
            Self::TooFewRecords => "too_few_records",
            Self::NotSet => "not_set",
        }
    }
}

impl From<features::Missing> for MissingReason {
    fn from(missing: features::Missing) -> Self {
        match missing {
            features::Missing::WindowTruncated => Self::WindowTruncated,
            features::Missing::TooManyEntities => Self::TooManyEntities,
            features::Missing::UnknownStream => Self::Unavailable,
        }
    }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => write_to(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("POL-3: writing to a string cannot fail");
}
