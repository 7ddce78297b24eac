//! What tokens may do: scopes that are listed, or those of a role.

use types::Name;

use crate::errors::ErrorCode;
use crate::json::{Fields, Json};
use crate::problem::Problem;
use crate::scope::{Role, Scope};

use super::text;

/// Scopes that are listed, or the name of a role. A role is looked up when a token is made or read, so that changing the role
/// changes what every new token of it may do. An API key, in contrast, keeps the scopes that its role had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    Scopes(Scope),
    Role(Name),
}

/// The scopes of the roles of the installation.
pub trait Roles {
    /// The scopes of the role that the installation has added under this name.
    fn added(&self, name: &str) -> Option<Scope>;

    /// The scopes of the role with this name. Nobody can change a built-in one.
    fn scopes(&self, name: &str) -> Option<Scope> {
        Role::named(name).map(|role| role.scopes).or_else(|| self.added(name))
    }
}

impl Grant {
    /// The scopes. A role that is not there any more has none.
    pub fn scopes(&self, roles: &dyn Roles) -> Scope {
        match self {
            Self::Scopes(scopes) => *scopes,
            Self::Role(name) => roles.scopes(name.as_str()).unwrap_or_default(),
        }
    }

    /// Reads `scopes` or `role`, of which one must be there.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let role = fields.parsed::<Name>("role", "a string with the name of a role")?;
        match (role, Scope::listed(fields)?) {
            (Some(role), None) => Ok(Self::Role(role)),
            (None, Some(scopes)) => Ok(Self::Scopes(scopes)),
            (Some(_), Some(_)) => Err(fields.invalid("role", "expected `scopes` or `role`, found both")),
            (None, None) => {
                let detail = "expected `scopes` or `role`, found neither";
                Err(Problem::new(ErrorCode::MissingField, detail).at(fields.pointer_of("scopes")))
            }
        }
    }

    /// The fields that [`Grant::read`] reads.
    pub(super) fn fields(&self) -> [(&'static str, Option<Json>); 2] {
        match self {
            Self::Scopes(scopes) => [("role", None), ("scopes", Some(names_of(*scopes)))],
            Self::Role(name) => [("role", Some(text(name.as_str()))), ("scopes", None)],
        }
    }
}

/// The list of the names of scopes.
pub(super) fn names_of(scopes: Scope) -> Json {
    Json::List(scopes.names().map(text).collect())
}
