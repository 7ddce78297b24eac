//! Responses, before a transport gives them its form.

use engine::Made;
use serde::Serialize;

/// The answer to a request that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    /// The same request came before, and this is its answer.
    pub is_replayed: bool,
    pub body: Body,
}

/// Whether a request created something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Found,
    Created {
        /// The path at which it can be found again.
        location: String,
    },
}

/// What a response holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Json(Vec<u8>),
    /// Packed records, of the media type [`api::packed::MEDIA_TYPE`].
    Packed(Vec<u8>),
}

impl Response {
    /// What was found, as JSON.
    pub fn found<T: Serialize>(body: &T) -> Self {
        let json = serde_json::to_vec(body).expect("what the API shows is structs, lists and texts: all of it is JSON");
        Self { status: Status::Found, is_replayed: false, body: Body::Json(json) }
    }

    /// What a request created at `location`, or found there because the same request came before.
    pub fn created<T: Serialize>(made: Made, location: String, body: &T) -> Self {
        match made {
            Made::Now => Self { status: Status::Created { location }, ..Self::found(body) },
            Made::Before => Self::found(body).replayed(),
        }
    }

    pub fn packed(records: Vec<u8>) -> Self {
        Self { status: Status::Found, is_replayed: false, body: Body::Packed(records) }
    }

    /// Says that the same request came before.
    #[must_use]
    pub fn replayed(self) -> Self {
        Self { is_replayed: true, ..self }
    }

    /// Says whether the same request came before.
    #[must_use]
    pub fn made(self, made: Made) -> Self {
        Self { is_replayed: made == Made::Before, ..self }
    }
}
