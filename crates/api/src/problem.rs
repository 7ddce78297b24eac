//! Errors as clients receive them: `application/problem+json` (RFC 9457).

use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Code, ErrorCode};
use crate::scope::Scope;

/// An error that a client gets; [`Problem::body`] is its JSON form (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    problems: Vec<policy::Problem>,
    /// What the credential of the request would have needed.
    needed: Option<Scope>,
}

impl Problem {
    pub const MEDIA_TYPE: &'static str = "application/problem+json";
    /// This prefix and the code make up the URL of the page about the code.
    pub const TYPE_PREFIX: &'static str = "https://finaira.dev/errors/";

    /// Creates an error. `detail` says what is wrong with this particular request: what was found and what was
    /// expected.
    pub fn new(code: impl Into<Code>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into(), field: None, problems: Vec::new(), needed: None }
    }

    /// Says where the error is: a JSON pointer into the body (such as `/amount`), or the name of a parameter or header.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The error of a credential that lacks what a request needs.
    pub fn insufficient_scope(needed: Scope, detail: impl Into<String>) -> Self {
        Self { needed: Some(needed), ..Self::new(ErrorCode::InsufficientScope, detail) }
    }

    /// The error of a policy that does not compile.
    pub fn invalid_policy(problems: Vec<policy::Problem>) -> Self {
        let detail = match problems.as_slice() {
            [only] => only.to_string(),
            [first, ..] => format!("{} problems, the first: {first}", problems.len()),
            [] => "the policy does not compile".to_owned(),
        };
        Self { problems, ..Self::new(ErrorCode::InvalidPolicy, detail) }
    }

    pub const fn code(&self) -> Code {
        self.code
    }

    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// What is wrong with this particular request.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Where the error is, if it has a place; see [`Problem::at`].
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The scope that the credential of the request lacks; see [`Problem::insufficient_scope`].
    pub const fn needed(&self) -> Option<Scope> {
        self.needed
    }

    /// The seconds after which a retry of the same request may well succeed.
    pub fn retry_after_s(&self) -> Option<u32> {
        let Code::Error(error) = self.code else { return None };
        // A condition that an operator has to end lasts longer than one that ends by itself.
        let soon = [
            ErrorCode::RateLimited,
            ErrorCode::Overloaded,
            ErrorCode::QueueFull,
            ErrorCode::TooManyConnections,
            ErrorCode::NotReady,
            ErrorCode::Stopping,
            ErrorCode::PolicyChanged,
            ErrorCode::ProofsBehind,
            ErrorCode::IssuerUnavailable,
            ErrorCode::TenantOpening,
            ErrorCode::TooManyOpenTenants,
        ];
        let later = [ErrorCode::DiskReserveReached, ErrorCode::ClockNotBelieved, ErrorCode::TenantUnavailable];
        if soon.contains(&error) { Some(1) } else { later.contains(&error).then_some(10) }
    }

    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            r#type: format!("{}{}", Self::TYPE_PREFIX, self.code.as_str()),
            title: self.code.title(),
            status: self.status(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone(),
            field: self.field.clone(),
            number: self.code.number(),
            problems: self.problems.iter().map(PolicyProblem::new).collect(),
        }
    }
}

/// The body of every error (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The URL of the page about this code.
    #[schema(example = "https://finaira.dev/errors/exceeds_credits")]
    r#type: String,
    /// What the code means. The text is the same for every request.
    title: String,
    /// The HTTP status of the response.
    status: u16,
    /// The stable name of the error, for programs.
    #[schema(example = "exceeds_credits")]
    code: String,
    /// What is wrong with this particular request, for people.
    detail: String,
    /// Where the error is: a JSON pointer into the body, or the name of a query parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// For a refusal of the ledger, its permanent number in the table of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    /// All errors in an uploaded policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<PolicyProblem>,
}

/// One error in an uploaded policy.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PolicyProblem {
    /// The path of the file in the policy folder.
    file: String,
    /// The line, counted from 1.
    #[schema(format = Int64)]
    line: u32,
    /// The column in characters, counted from 1.
    #[schema(format = Int64)]
    column: u32,
    /// What was found and what was expected.
    message: String,
}

impl PolicyProblem {
    fn new(problem: &policy::Problem) -> Self {
        Self {
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
        }
    }
}
