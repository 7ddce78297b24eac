//! Scopes: what a credential may do.

/// Declares the scopes: constant = bit, name, what it lets a credential do.
macro_rules! scopes {
    ($($constant:ident = $bit:literal $name:literal $summary:literal,)*) => {
        impl Scope {
            $(#[doc = $summary] pub const $constant: Self = Self(1 << $bit);)*

            /// Every scope with its name and what it lets a credential do.
            pub const TABLE: &'static [(Self, &'static str, &'static str)] = &[$((Self::$constant, $name, $summary),)*];

            /// Everything.
            pub const ALL: Self = Self($(1 << $bit)|*);
        }
    };
}

/// What a credential may do: a set. The bits are permanent, they stand in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scope(u32);

scopes! {
    LEDGER_READ = 0 "ledger:read" "Read ledgers, accounts and transfers.",
    LEDGER_WRITE = 1 "ledger:write" "Open ledgers and accounts.",
    TRANSFERS_WRITE = 2 "transfers:write" "Move money without any policy.",
    PAYMENTS_READ = 3 "payments:read" "Read payments and their decisions.",
    PAYMENTS_WRITE = 4 "payments:write" "Make, capture, void and refund payments.",
    REVIEWS_WRITE = 5 "reviews:write" "Approve and decline payments under review.",
    LABELS_WRITE = 6 "labels:write" "Record what payments turned out to be.",
    POLICIES_READ = 7 "policies:read" "Read the active policy.",
    POLICIES_WRITE = 8 "policies:write" "Activate policies.",
    EVENTS_READ = 9 "events:read" "Read every entry of the journal.",
    PERSONAL_READ = 10 "personal:read" "Open the personal data that payments sealed.",
    IMPORTS_WRITE = 11 "imports:write" "Bring an existing book.",
    PROOFS_READ = 12 "proofs:read" "Read checkpoints, their keys and the hashes of entries.",
    JOURNAL_READ = 13 "journal:read" "Copy the journal's files: all that it holds, personal data sealed.",
    SERVER_OPERATE = 14 "server:operate" "Tell the server what only an operator knows.",
}

impl Scope {
    /// The set with these bits; bits without a meaning let nobody do anything.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits, as the journal keeps them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// True when every scope of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the scopes in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().filter(move |(scope, ..)| self.contains(*scope)).map(|(_, name, _)| *name)
    }

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known, _)| *known == name).map(|(scope, ..)| *scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_found_by_its_name() {
        for (scope, name, _) in Scope::TABLE {
            assert_eq!(Scope::named(name), Some(*scope));
            assert_eq!(scope.names().collect::<Vec<_>>(), [*name]);
            assert!(Scope::ALL.contains(*scope));
        }
        assert_eq!(Scope::named("everything"), None);
        assert!(!Scope::LEDGER_READ.contains(Scope::LEDGER_WRITE));
    }
}
