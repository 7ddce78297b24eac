//! Roles that an installation adds to the built-in ones.

use types::Name;

use crate::errors::ErrorCode;
use crate::json::Fields;
use crate::problem::Problem;
use crate::scope::{Role, Scope};

use super::grant::names_of;
use super::{NAME_BYTES_MAX, check_size, object, text};

/// A named set of scopes of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRole {
    pub name: Name,
    pub scopes: Scope,
    /// What the role is for.
    pub summary: Box<str>,
}

const FIELDS: &[&str] = &["name", "scopes", "summary"];

impl CustomRole {
    /// The document, in its only spelling: without spaces, with sorted fields.
    pub fn document(&self) -> String {
        let fields = [
            ("name", Some(text(self.name.as_str()))),
            ("scopes", Some(names_of(self.scopes))),
            ("summary", Some(text(&self.summary))),
        ];
        object(fields).canonical("").unwrap_or_default()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it does not describe a role.
    pub fn read(document: &str) -> Result<Self, Problem> {
        new_role(document.as_bytes())
    }
}

/// Parses the body of `POST /v1/roles`.
///
/// # Errors
/// If the body does not describe a role, or gives it the name of a built-in one.
pub fn new_role(body: &[u8]) -> Result<CustomRole, Problem> {
    let mut fields = Fields::of_body(body, FIELDS)?;
    let name: Name = fields.required("name", |fields, name| fields.parsed(name, "a string with a name"))?;
    if Role::named(name.as_str()).is_some() {
        return Err(fields.invalid("name", format!("found `{name}`, which is a built-in role, expected another name")));
    }
    let scopes = Scope::listed(&mut fields)?.ok_or_else(|| {
        Problem::new(ErrorCode::MissingField, "the field `scopes` is required").at(fields.pointer_of("scopes"))
    })?;
    let summary = fields.text("summary", &format!("a string of at most {NAME_BYTES_MAX} bytes"), NAME_BYTES_MAX)?;
    let role = CustomRole { name, scopes, summary: summary.unwrap_or_default().into() };
    check_size(&role.document())?;
    Ok(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_as_it_was_written() {
        let scopes = Scope::PAYMENTS_WRITE.and(Scope::PAYMENTS_READ);
        let role = CustomRole { name: "cashier".parse().unwrap(), scopes, summary: "Takes \"cards\".".into() };
        let document = r#"{"name":"cashier","scopes":["payments:read","payments:write"],"summary":"Takes \"cards\"."}"#;
        assert_eq!(role.document(), document);
        assert_eq!(CustomRole::read(document), Ok(role));
    }

    #[test]
    fn what_is_no_role_is_refused_at_its_field() {
        for (body, field, detail) in [
            (r#"{"scopes":["payments:read"]}"#, "/name", "required"),
            (r#"{"name":"Big","scopes":["payments:read"]}"#, "/name", "is not a name"),
            (r#"{"name":"auditor","scopes":["payments:read"]}"#, "/name", "built-in"),
            (r#"{"name":"a"}"#, "/scopes", "required"),
            (r#"{"name":"a","scopes":[]}"#, "/scopes", "array of 0"),
            (r#"{"name":"a","scopes":["payments"]}"#, "/scopes/0", "found `payments`, expected one of"),
            (r#"{"name":"a","scopes":["payments:read"],"role":"b"}"#, "/role", "no field `role`"),
        ] {
            let problem = new_role(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{body}");
            assert!(problem.detail().contains(detail), "{body}: {}", problem.detail());
        }
    }
}
