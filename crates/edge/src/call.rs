//! A request as a transport received it: its head and its body.

use api::requests::Parsed;
use api::routes::{Key, Method, Tag};
use api::{ErrorCode, IDEMPOTENCY_KEY, IF_MATCH, IdempotencyKey, Parameters, Problem, Route, Scope};
use engine::{IfMatch, Sender};
use types::{ActorId, RequestId};

/// The head of a request: path, query parameters, `Idempotency-Key` and `If-Match`. The route has all of its parameters.
#[derive(Debug)]
pub struct Head {
    pub route: &'static Route,
    pub parameters: Parameters,
    path: String,
    /// The decoded parts of the path that the route has in braces.
    path_parts: Vec<String>,
    key: Option<IdempotencyKey>,
    if_match: Option<IfMatch>,
}

impl Head {
    /// Parses the path and the query of a request, both as they were sent, and its headers.
    ///
    /// # Errors
    /// Fails if a parameter is unknown, if it or the path cannot be decoded, if a header is invalid, or if a request that
    /// may change something has a header that the route does not take.
    pub fn read(route: &'static Route, path: &str, query: &str, headers: Headers<'_>) -> Result<Self, Problem> {
        let known: Vec<&str> = route.parameters.iter().map(|parameter| parameter.name).collect();
        let parameters = Parameters::parse(query, &known)?;
        let Headers { key, if_match } = headers;
        let key = key.map(IdempotencyKey::parse).transpose()?;
        let if_match = if_match.map(api::if_match).transpose()?;
        if route.method != Method::Get {
            refuse(IDEMPOTENCY_KEY, key.is_some() && route.key == Key::Unused)?;
            refuse(IF_MATCH, if_match.is_some() && route.tag != Tag::Matched)?;
        }
        let path_parts = api::path_segments(route.path, path)?;
        Ok(Self { route, parameters, path: path.to_owned(), path_parts, key, if_match })
    }

    /// The whole path, as it was sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The first part of the path that the route has in braces, decoded: `customers%3A42` and `customers:42` are the same. Empty
    /// if there is none.
    pub fn path_id(&self) -> &str {
        self.path_part(0)
    }

    /// As [`Head::path_id`], for another part, counted from 0.
    pub(crate) fn path_part(&self, number: usize) -> &str {
        self.path_parts.get(number).map_or("", String::as_str)
    }

    /// Parses the id in the path.
    ///
    /// # Errors
    /// Fails if it is not a valid id.
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

    pub(crate) fn if_match(&self) -> Option<&IfMatch> {
        self.if_match.as_ref()
    }
}

/// The values of the headers that a request may have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'h> {
    /// `Idempotency-Key`
    pub key: Option<&'h [u8]>,
    /// `If-Match`
    pub if_match: Option<&'h [u8]>,
}

fn refuse(name: &str, is_given: bool) -> Result<(), Problem> {
    if is_given {
        let detail = format!("this route takes no header {name}");
        return Err(Problem::new(ErrorCode::InvalidHeader, detail).at(name));
    }
    Ok(())
}

/// A complete request of an authenticated caller whose credential has the scope of the route.
#[derive(Debug, Clone, Copy)]
pub struct Call<'r> {
    pub head: &'r Head,
    pub actor: ActorId,
    /// The credential that the caller used.
    pub sender: Sender,
    /// The scopes of the credential. A batch may contain items that need more than the route does.
    pub scopes: Scope,
    pub body: &'r [u8],
}

impl Call<'_> {
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.head.parameters
    }

    /// Whether the parameter `dry_run` is set.
    pub(crate) fn trial(&self) -> Result<Trial, Problem> {
        Ok(if self.parameters().flag("dry_run")? { Trial::Dry } else { Trial::Real })
    }
}

/// Whether a request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    Real,
    /// A dry run: the engine judges the request and records nothing.
    Dry,
}

/// An operation without a request id: a query, or a batch whose events have their own ids.
pub(crate) fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}
