//! Responses, before a transport converts them to its own form.

use engine::Made;
use serde::Serialize;

/// The response to a request that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    /// The same request was answered earlier.
    pub is_replayed: bool,
    /// The version of what can be set in the object that the body shows; see [`api::entity_tag`].
    pub version: Option<u64>,
    pub body: Body,
}

/// Whether a request created something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Found,
    Created {
        /// The path of what was created.
        location: String,
    },
}

/// The content of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Json(Vec<u8>),
    /// Packed records, of the media type [`api::packed::MEDIA_TYPE`].
    Packed(Vec<u8>),
}

impl Response {
    /// A response with a JSON body.
    pub fn found<T: Serialize>(body: &T) -> Self {
        let json = serde_json::to_vec(body).expect("every response body can be written as JSON");
        Self { status: Status::Found, is_replayed: false, version: None, body: Body::Json(json) }
    }

    /// A response to a request that creates something at `location`.
    pub fn created<T: Serialize>(made: Made, location: String, body: &T) -> Self {
        match made {
            Made::Now => Self { status: Status::Created { location }, ..Self::found(body) },
            Made::Before => Self::found(body).replayed(),
        }
    }

    pub fn packed(records: Vec<u8>) -> Self {
        Self { status: Status::Found, is_replayed: false, version: None, body: Body::Packed(records) }
    }

    /// Shows the version of what can be set.
    #[must_use]
    pub fn tagged(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Marks the response as that of a repeated request.
    #[must_use]
    pub fn replayed(self) -> Self {
        Self { is_replayed: true, ..self }
    }

    /// Marks the response as that of a repeated request if nothing was made now.
    #[must_use]
    pub fn made(self, made: Made) -> Self {
        Self { is_replayed: made == Made::Before, ..self }
    }
}
