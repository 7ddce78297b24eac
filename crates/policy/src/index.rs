//! Typed positions in a policy's lists.

/// A place in one of the policy's lists. Made by the policy; `get` is always inside the list of the policy that made it.
macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u16);

        impl $name {
            /// The place `position` of the list, from 0.
            pub const fn new(position: u16) -> Self {
                Self(position)
            }

            /// The place as an index into the list, from 0.
            pub const fn get(self) -> usize {
                self.0 as usize
            }

            /// The place as a number, from 0.
            pub const fn number(self) -> u16 {
                self.0
            }

            /// The place `position`; every list of a policy is far shorter than 2^16 (see [`crate::limits`]).
            pub(crate) fn at(position: usize) -> Self {
                Self(u16::try_from(position).expect("POL-3: lists of a policy are bounded"))
            }
        }
    )+};
}

index!(
    /// A payment type, in [`Policy::payment_types`](crate::Policy::payment_types).
    PaymentTypeIdx,
    /// An attribute, in its payment type's list.
    AttributeIdx,
    /// An entity kind, in [`Policy::entities`](crate::Policy::entities).
    EntityIdx,
    /// A ledger, in [`Policy::ledgers`](crate::Policy::ledgers).
    LedgerIdx,
    /// An account template, in [`Policy::accounts`](crate::Policy::accounts).
    AccountTemplateIdx,
    /// A stream, in [`Policy::streams`](crate::Policy::streams).
    StreamIdx,
    /// A feature, in [`Policy::features`](crate::Policy::features).
    FeatureIdx,
    /// A model, in [`Policy::models`](crate::Policy::models).
    ModelIdx,
);
