//! Typed positions in a policy's lists.

/// A position in one of the policy's lists. Policies make it, and `get` is always inside the list of the policy that
/// made it.
macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u16);

        impl $name {
            pub const fn new(position: u16) -> Self {
                Self(position)
            }

            /// The position as an index into the list, from 0.
            pub const fn get(self) -> usize {
                self.0 as usize
            }

            /// The position as a number, from 0.
            pub const fn number(self) -> u16 {
                self.0
            }

            /// Converts `position`. Every list of a policy is far shorter than 2^16 (see [`crate::limits`]).
            pub(crate) fn at(position: usize) -> Self {
                Self(u16::try_from(position).expect("POL-3: lists of a policy are bounded"))
            }
        }
    )+};
}

index!(
    /// Position of a payment type in [`Policy::payment_types`](crate::Policy::payment_types).
    PaymentTypeIdx,
    /// Position of an attribute in the list of its payment type.
    AttributeIdx,
    /// Position of an entity kind in [`Policy::entities`](crate::Policy::entities).
    EntityIdx,
    /// Position of an attribute in the list of its entity kind.
    EntityAttributeIdx,
    /// Position of a ledger in [`Policy::ledgers`](crate::Policy::ledgers).
    LedgerIdx,
    /// Position of an account template in [`Policy::accounts`](crate::Policy::accounts).
    AccountTemplateIdx,
    /// Position of a stream in [`Policy::streams`](crate::Policy::streams).
    StreamIdx,
    /// Position of a feature in [`Policy::features`](crate::Policy::features).
    FeatureIdx,
    /// Position of a model in [`Policy::models`](crate::Policy::models).
    ModelIdx,
    /// Position of a list in [`Policy::lists`](crate::Policy::lists).
    ListIdx,
    /// Position of a text in [`Policy::reasons`](crate::Policy::reasons).
    ReasonIdx,
);
