//! The routes of API keys.

use super::build::{create, get, list};
use super::parameters::{CURSOR, LIMIT};
use super::{Body, Key, Method, Operation, Route, page, shape};
use crate::api_keys::{ApiKey, ApiKeyBody, CreatedApiKey};
use crate::requests::VerbBody;
use crate::scope::Scope;

pub(super) const CREATE: Route = create(
    Operation::CreateApiKey,
    "/v1/api-keys",
    Scope::KEYS_MANAGE,
    Key::Request,
    (shape::<ApiKeyBody>(), shape::<CreatedApiKey>()),
    "Create an API key, which this answer shows once",
);

pub(super) const LIST: Route = list(
    Operation::ListApiKeys,
    "/v1/api-keys",
    Scope::KEYS_READ,
    &[CURSOR, LIMIT],
    page::<ApiKey>(),
    "List API keys in the order of their numbers, also those that have expired or were revoked",
);

pub(super) const GET: Route =
    get(Operation::GetApiKey, "/v1/api-keys/{id}", Scope::KEYS_READ, shape::<ApiKey>(), "Look up an API key");

pub(super) const REVOKE: Route = Route {
    method: Method::Post,
    body: Body::Empty(shape::<VerbBody>()),
    ..get(
        Operation::RevokeApiKey,
        "/v1/api-keys/{id}/revoke",
        Scope::KEYS_MANAGE,
        shape::<ApiKey>(),
        "Revoke an API key: no request with it succeeds after the answer; to repeat the request changes nothing",
    )
};
