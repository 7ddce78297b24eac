//! A request on its way in: its head, then its body.

use api::requests::Parsed;
use api::{IdempotencyKey, Parameters, Problem, Route};
use types::{ActorId, RequestId};

/// What a request says before its body: its parameters are those of its route.
#[derive(Debug)]
pub struct Head {
    pub route: &'static Route,
    pub parameters: Parameters,
    path: String,
    key: Option<IdempotencyKey>,
}

impl Head {
    /// Reads the path and the query of a request, as they were sent, and the value of its `Idempotency-Key`.
    ///
    /// # Errors
    /// When a parameter is unknown or cannot be decoded, or the key is none.
    pub fn read(route: &'static Route, path: &str, query: &str, key: Option<&[u8]>) -> Result<Self, Problem> {
        let known: Vec<&str> = route.parameters.iter().map(|parameter| parameter.name).collect();
        let parameters = Parameters::parse(query, &known)?;
        let key = key.map(IdempotencyKey::parse).transpose()?;
        Ok(Self { route, parameters, path: path.to_owned(), key })
    }

    /// The whole path, as it was sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The part of the path that the route calls `{id}`, as it was sent: ids need no encoding.
    pub fn path_id(&self) -> &str {
        let mut parts = self.route.path.split('/').zip(self.path.split('/'));
        parts.find(|(name, _)| name.starts_with('{')).map_or("", |(_, part)| part)
    }

    /// Reads the id in the path.
    ///
    /// # Errors
    /// When it is no id.
    pub fn id<T>(&self) -> Result<T, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        api::requests::path_id(self.path_id())
    }

    pub(crate) fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }
}

/// A whole request: who sends it is known, and may send it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'r> {
    pub head: &'r Head,
    pub actor: ActorId,
    pub body: &'r [u8],
}

impl Call<'_> {
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.head.parameters
    }

    /// Whether the request only asks how it would go, as its parameter `dry_run` says.
    pub(crate) fn trial(&self) -> Result<Trial, Problem> {
        Ok(if self.parameters().flag("dry_run")? { Trial::Dry } else { Trial::Real })
    }
}

/// Whether a request is for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    Real,
    /// It is judged, and nothing is recorded.
    Dry,
}

/// An operation without an id of its own: a query, or one whose events name themselves.
pub(crate) fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}
