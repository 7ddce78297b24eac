//! Scopes: what a credential may do.

use types::shorten;

use crate::errors::ErrorCode;
use crate::json::{Fields, one_of};
use crate::problem::Problem;

/// The most scopes that a request may list: one for each bit.
const LISTED_MAX: usize = 32;

/// Declares the scopes: constant = bit, name, what it permits.
macro_rules! scopes {
    ($($constant:ident = $bit:literal $name:literal $summary:literal,)*) => {
        impl Scope {
            $(#[doc = $summary] pub const $constant: Self = Self(1 << $bit);)*

            /// Every scope with its name and what it permits.
            pub const TABLE: &'static [(Self, &'static str, &'static str)] = &[$((Self::$constant, $name, $summary),)*];

            /// All scopes.
            pub const ALL: Self = Self($(1 << $bit)|*);
        }
    };
}

/// A set of scopes. The bits are permanent, because the journal stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scope(u32);

scopes! {
    LEDGER_READ = 0 "ledger:read" "Read ledgers, accounts and transfers.",
    LEDGER_WRITE = 1 "ledger:write" "Open ledgers and accounts.",
    TRANSFERS_WRITE = 2 "transfers:write" "Move money without a decision of the policy.",
    PAYMENTS_READ = 3 "payments:read" "Read payments and their decisions.",
    PAYMENTS_WRITE = 4 "payments:write" "Create, capture, void, refund and increment payments.",
    REVIEWS_WRITE = 5 "reviews:write" "Approve and decline payments under review.",
    LABELS_WRITE = 6 "labels:write" "Record what payments turned out to be.",
    POLICIES_READ = 7 "policies:read" "Read the active policy, and backtests.",
    POLICIES_WRITE = 8 "policies:write" "Activate policies, and backtest them.",
    EVENTS_READ = 9 "events:read" "Read every entry of the journal.",
    PERSONAL_READ = 10 "personal:read" "Decrypt the personal data of payments; every read is recorded.",
    IMPORTS_WRITE = 11 "imports:write" "Import an existing book.",
    PROOFS_READ = 12 "proofs:read" "Read checkpoints, their keys and the hashes of entries.",
    JOURNAL_READ = 13 "journal:read" "Copy the journal's files, in which personal data is encrypted.",
    SERVER_OPERATE = 14 "server:operate" "Operate the server, for example confirm its clock.",
    KEYS_READ = 15 "keys:read" "List API keys, without their secrets.",
    KEYS_MANAGE = 16 "keys:manage" "Create API keys with scopes that the own key has, and revoke any API key.",
    AUDIT_READ = 17 "audit:read" "Read who did what.",
    TENANTS_READ = 18 "tenants:read" "List the tenants of the installation; only for keys of the first tenant.",
    TENANTS_MANAGE = 19 "tenants:manage" "Create, suspend and remove tenants; only for keys of the first tenant.",
    CLIENTS_READ = 20 "clients:read" "List the clients of the built-in issuer; only for the first tenant.",
    CLIENTS_MANAGE = 21 "clients:manage" "Register and revoke clients of the built-in issuer; only for the first tenant.",
    ISSUERS_READ = 22 "issuers:read" "List the issuers whose access tokens are accepted; only for the first tenant.",
    ISSUERS_MANAGE = 23 "issuers:manage" "Add and remove issuers of access tokens; only for the first tenant.",
    PROPOSALS_WRITE = 24 "proposals:write" "Propose operations that another principal approves, and withdraw them.",
    PROPOSALS_APPROVE = 25 "proposals:approve" "Approve and reject what other principals proposed.",
    ROLES_READ = 26 "roles:read" "List the roles that the installation added; only for the first tenant.",
    ROLES_MANAGE = 27 "roles:manage" "Add, change and remove roles of the installation; only for the first tenant.",
    APPROVALS_MANAGE = 28 "approvals:manage" "Set which operations need an approval.",
    LISTS_READ = 29 "lists:read" "Read lists and their values.",
    LISTS_WRITE = 30 "lists:write" "Make, change and delete lists, and set attributes of entities.",
}

// The engine refuses to revoke the last credential with this scope.
const _: () = assert!(Scope::KEYS_MANAGE.bits() == engine::KEYS_MANAGE);

/// A named set of scopes, for people who do a job. A key keeps the scopes that its role had when it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    pub name: &'static str,
    pub scopes: Scope,
    /// What the role is for.
    pub summary: &'static str,
}

impl Role {
    /// Every role.
    pub const TABLE: &'static [Self] = &[
        Self { name: "administrator", scopes: Scope::ALL, summary: "Does everything, and manages API keys." },
        Self {
            name: "operator",
            scopes: Scope::LEDGER_READ
                .and(Scope::PAYMENTS_READ)
                .and(Scope::POLICIES_READ)
                .and(Scope::EVENTS_READ)
                .and(Scope::PROOFS_READ)
                .and(Scope::JOURNAL_READ)
                .and(Scope::KEYS_READ)
                .and(Scope::IMPORTS_WRITE)
                .and(Scope::SERVER_OPERATE)
                .and(Scope::PROPOSALS_WRITE)
                .and(Scope::TENANTS_READ),
            summary: "Operates the server, imports books, keeps copies of the journals, and proposes what another principal approves.",
        },
        Self {
            name: "developer",
            scopes: Scope::LEDGER_READ
                .and(Scope::LEDGER_WRITE)
                .and(Scope::TRANSFERS_WRITE)
                .and(Scope::PAYMENTS_READ)
                .and(Scope::PAYMENTS_WRITE)
                .and(Scope::LABELS_WRITE)
                .and(Scope::POLICIES_READ)
                .and(Scope::EVENTS_READ)
                .and(Scope::PROOFS_READ),
            summary: "Builds on the API: opens accounts, moves money and creates payments.",
        },
        Self {
            name: "analyst",
            scopes: Scope::LEDGER_READ
                .and(Scope::PAYMENTS_READ)
                .and(Scope::LABELS_WRITE)
                .and(Scope::POLICIES_READ)
                .and(Scope::POLICIES_WRITE)
                .and(Scope::EVENTS_READ)
                .and(Scope::LISTS_READ)
                .and(Scope::LISTS_WRITE),
            summary: "Examines decisions, records labels, activates policies, changes lists and sets attributes of entities.",
        },
        Self {
            name: "reviewer",
            scopes: Scope::LEDGER_READ
                .and(Scope::PAYMENTS_READ)
                .and(Scope::REVIEWS_WRITE)
                .and(Scope::LABELS_WRITE)
                .and(Scope::POLICIES_READ)
                .and(Scope::PERSONAL_READ)
                .and(Scope::LISTS_READ)
                .and(Scope::PROPOSALS_APPROVE),
            summary: "Approves and declines payments under review, sees their personal data, and approves what others proposed.",
        },
        Self {
            name: "auditor",
            scopes: Scope::LEDGER_READ
                .and(Scope::PAYMENTS_READ)
                .and(Scope::POLICIES_READ)
                .and(Scope::EVENTS_READ)
                .and(Scope::PERSONAL_READ)
                .and(Scope::AUDIT_READ)
                .and(Scope::PROOFS_READ)
                .and(Scope::JOURNAL_READ)
                .and(Scope::KEYS_READ)
                .and(Scope::CLIENTS_READ)
                .and(Scope::ISSUERS_READ)
                .and(Scope::ROLES_READ)
                .and(Scope::LISTS_READ)
                .and(Scope::TENANTS_READ),
            summary: "Reads everything, personal data included, and changes nothing.",
        },
    ];

    /// The role with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|role| role.name == name).copied()
    }
}

impl Scope {
    /// The set with these bits. Bits without a meaning grant nothing.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits, as the journal stores them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The scopes that administer the installation. They have an effect only for credentials of the first tenant.
    pub const INSTALLATION: Self = Self::TENANTS_READ
        .and(Self::TENANTS_MANAGE)
        .and(Self::CLIENTS_READ)
        .and(Self::CLIENTS_MANAGE)
        .and(Self::ISSUERS_READ)
        .and(Self::ISSUERS_MANAGE)
        .and(Self::ROLES_READ)
        .and(Self::ROLES_MANAGE);

    /// The scopes of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if the set contains every scope of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the scopes in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().filter(move |(scope, ..)| self.contains(*scope)).map(|(_, name, _)| *name)
    }

    /// The scope with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known, _)| *known == name).map(|(scope, ..)| *scope)
    }

    /// Reads the field `scopes`: a list of names, without repetitions having a meaning. `None` if it is absent.
    pub(crate) fn listed(fields: &mut Fields) -> Result<Option<Self>, Problem> {
        if !fields.has("scopes") {
            return Ok(None);
        }
        let mut scopes = Self::default();
        for (place, one) in fields.list("scopes", LISTED_MAX)?.iter().enumerate() {
            let Some(scope) = one.as_text().and_then(Self::named) else {
                let found = one.as_text().map_or_else(|| one.found(), |text| format!("`{}`", shorten(text)));
                let names: Vec<&str> = Self::TABLE.iter().map(|(_, name, _)| *name).collect();
                let pointer = format!("{}/{place}", fields.pointer_of("scopes"));
                let detail = format!("found {found}, expected {}", one_of(&names));
                return Err(Problem::new(ErrorCode::InvalidField, detail).at(pointer));
            };
            scopes = scopes.and(scope);
        }
        Ok(Some(scopes))
    }
}
