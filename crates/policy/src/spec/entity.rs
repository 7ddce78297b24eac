//! Kinds of entities, and what is set for their values.

use std::borrow::Cow;

use types::Name;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use super::FeatureType;

/// A kind of thing that features are computed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// For example `customer`.
    pub name: Name,
    /// If true, each value has its own erasable key. If false, its token is derived from the tenant's key.
    pub personal: bool,
    /// How a value is written before it is compared.
    pub normalise: Normalise,
    /// What can be set for each value, such as the level of a customer. The values are not a part of the policy.
    pub attributes: Vec<EntityAttribute>,
}

impl Entity {
    /// The attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<&EntityAttribute> {
        self.attributes.iter().find(|attribute| attribute.name.as_str() == name)
    }
}

/// An attribute of an entity, which requests set while the policy is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityAttribute {
    /// For example `kyc_level`.
    pub name: Name,
    pub ty: EntityAttributeType,
}

/// The type of the values of an entity's attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntityAttributeType {
    /// Text of at most [`ENTITY_TEXT_BYTES_MAX`](crate::limits::ENTITY_TEXT_BYTES_MAX) bytes, kept in the clear.
    Text,
    /// A 64-bit signed integer.
    Int,
    /// A finite 64-bit float.
    Double,
    Bool,
    /// A feature of it is the age: the whole seconds from this time to the decision.
    Time,
}

impl EntityAttributeType {
    /// All types, with their names in documents.
    pub const ALL: [(&'static str, Self); 5] = [
        ("string", Self::Text),
        ("int", Self::Int),
        ("double", Self::Double),
        ("bool", Self::Bool),
        ("timestamp", Self::Time),
    ];

    /// The name of the type in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Time => "timestamp",
        }
    }

    /// The type of a feature that is such an attribute.
    pub const fn feature(self) -> FeatureType {
        match self {
            Self::Text => FeatureType::Text,
            Self::Int | Self::Time => FeatureType::Int,
            Self::Double => FeatureType::Double,
            Self::Bool => FeatureType::Bool,
        }
    }
}

/// What is done to a value of an entity before it becomes a token. Without any of it, values are the same only if all
/// their bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Normalise {
    /// White space at both ends is removed.
    pub trim: bool,
    /// Letters become lower case.
    pub lowercase: bool,
    /// Characters that can be written in several ways, such as é, are written in one (Unicode form NFC).
    pub nfc: bool,
}

impl Normalise {
    /// The form of a value that is compared.
    pub fn apply<'v>(self, value: &'v str) -> Cow<'v, str> {
        let mut value = Cow::Borrowed(if self.trim { value.trim() } else { value });
        if self.lowercase {
            value = Cow::Owned(value.to_lowercase());
        }
        if self.nfc && !is_nfc(&value) {
            value = Cow::Owned(value.nfc().collect());
        }
        value
    }
}
