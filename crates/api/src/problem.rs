//! Errors as clients receive them: `application/problem+json`, as RFC 9457 defines it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Code, ErrorCode};

/// An error on its way to a client: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    problems: Vec<policy::Problem>,
}

impl Problem {
    /// The media type of its body.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";
    /// Where the pages of the stable codes are.
    pub const TYPE_PREFIX: &'static str = "https://finaira.dev/errors/";

    /// A problem; `detail` says what is wrong with this very request: what was found and what was expected.
    pub fn new(code: impl Into<Code>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into(), field: None, problems: Vec::new() }
    }

    /// About this place: a JSON pointer into the body (`/amount`), the name of a parameter or of a header.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// What is wrong with an uploaded policy.
    pub fn invalid_policy(problems: Vec<policy::Problem>) -> Self {
        let detail = match problems.as_slice() {
            [only] => only.to_string(),
            [first, ..] => format!("{} problems, the first: {first}", problems.len()),
            [] => "the policy does not compile".to_owned(),
        };
        Self { problems, ..Self::new(ErrorCode::InvalidPolicy, detail) }
    }

    /// The stable code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// What is wrong with this very request.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The place it is about, if it is about one.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Seconds after which the same request may well succeed.
    pub fn retry_after_s(&self) -> Option<u32> {
        let Code::Error(error) = self.code else { return None };
        // What waits for people takes longer than what passes by itself.
        let soon = [
            ErrorCode::QueueFull,
            ErrorCode::NotReady,
            ErrorCode::Stopping,
            ErrorCode::PolicyChanged,
            ErrorCode::ProofsBehind,
        ];
        let later = [ErrorCode::DiskReserveReached, ErrorCode::ClockNotBelieved];
        if soon.contains(&error) { Some(1) } else { later.contains(&error).then_some(10) }
    }

    /// The body that a client gets.
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
    /// The page about this code.
    #[schema(example = "https://finaira.dev/errors/exceeds_credits")]
    r#type: String,
    /// What the code means, the same every time.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    #[schema(example = "exceeds_credits")]
    code: String,
    /// What is wrong with this very request.
    detail: String,
    /// Where: a JSON pointer into the body, the name of a query parameter or of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The ledger's permanent number of the code, in the table of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    /// What is wrong with an uploaded policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<PolicyProblem>,
}

/// One thing that is wrong with an uploaded policy.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PolicyProblem {
    /// The file.
    file: String,
    /// From 1.
    #[schema(format = Int64)]
    line: u32,
    /// From 1, in characters.
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
