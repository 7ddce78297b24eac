//! Why a request is refused, and how its sender learns that.

use api::{ErrorCode, Problem};
use types::Span;

use super::fields::{Standing, seconds};

/// What refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The client has reached its limit, in requests per second.
    Client(u32),
    /// The tenant has reached its limit, in requests per second.
    Tenant(u32),
    /// Too many requests of this address could not be authenticated.
    Address(u32),
    /// The server is overloaded, and this client exceeds its share, in requests per second, which others do not.
    Share(u64),
    /// The server is overloaded, and all ask for too much.
    Server,
}

impl By {
    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Tenant(_) => "tenant",
            Self::Address(_) => "address",
            Self::Share(_) => "share",
            Self::Server => "server",
        }
    }

    pub const ALL_NAMES: [&'static str; 5] = ["client", "tenant", "address", "share", "server"];
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub by: By,
    pub retry_after: Span,
    pub standing: Standing,
    /// How long the answer waits: not at all, unless the sender was refused so often that it cannot heed the answers.
    pub late: Span,
}

impl Refusal {
    /// The value of `Retry-After`, at least one second.
    pub fn retry_after_s(&self) -> u64 {
        seconds(self.retry_after).max(1)
    }

    pub fn problem(&self) -> Problem {
        let (code, detail) = match self.by {
            By::Client(per_second) => {
                let detail = format!("this client may send {per_second} requests in a second, and has sent more");
                (ErrorCode::RateLimited, detail)
            }
            By::Tenant(per_second) => {
                let detail =
                    format!("the tenant may send {per_second} requests in a second, and its clients have sent more");
                (ErrorCode::RateLimited, detail)
            }
            By::Address(per_second) => {
                let detail = format!(
                    "more than {per_second} requests in a second from this address could not be authenticated; requests with a \
                     valid API key are still served"
                );
                (ErrorCode::RateLimited, detail)
            }
            By::Share(per_second) => {
                let detail = format!(
                    "the server is overloaded, and this client sends more than its share, which is {per_second} requests in a \
                     second at the moment"
                );
                (ErrorCode::RateLimited, detail)
            }
            By::Server => (ErrorCode::Overloaded, "more requests arrive than the server can answer in time".to_owned()),
        };
        Problem::new(code, detail)
    }
}
