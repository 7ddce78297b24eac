//! The routes of access tokens: what administers issuers, clients and roles, and the endpoints of the built-in issuer.

use super::build::{change, create, get, list, open};
use super::parameters::{CURSOR, LIMIT};
use super::{Answer, Body, Key, Method, Operation, Route, Shape, page, shape};
use crate::installation::{
    ClientBody, ClientCreated, ClientShown, IssuerBody, IssuerShown, RoleBody, RoleShown, SigningKeysShown, TokenForm,
    TokenQuestionForm,
};
use crate::requests::VerbBody;
use crate::scope::Scope;

pub(super) const CREATE_CLIENT: Route = create(
    Operation::CreateClient,
    "/v1/clients",
    Scope::CLIENTS_MANAGE,
    Key::Request,
    (shape::<ClientBody>(), shape::<ClientCreated>()),
    "Register a client of the built-in issuer; its secret, if it has one, is only in this answer",
);

pub(super) const LIST_CLIENTS: Route = list(
    Operation::ListClients,
    "/v1/clients",
    Scope::CLIENTS_READ,
    &[CURSOR, LIMIT],
    page::<ClientShown>(),
    "List the clients of the built-in issuer, oldest first, also those that were revoked",
);

pub(super) const GET_CLIENT: Route =
    get(Operation::GetClient, "/v1/clients/{id}", Scope::CLIENTS_READ, shape::<ClientShown>(), "Look up a client");

pub(super) const REVOKE_CLIENT: Route = verb(
    Operation::RevokeClient,
    "/v1/clients/{id}/revoke",
    (Scope::CLIENTS_MANAGE, shape::<ClientShown>()),
    "Revoke a client: it gets no tokens any more, and none that it has counts after the answer",
);

pub(super) const ROTATE_CLIENT_SECRET: Route = verb(
    Operation::RotateClientSecret,
    "/v1/clients/{id}/rotate-secret",
    (Scope::CLIENTS_MANAGE, shape::<ClientCreated>()),
    "Give a client another secret, which is only in this answer; of its earlier ones, the newest stays valid",
);

pub(super) const PUT_ISSUER: Route = create(
    Operation::PutIssuer,
    "/v1/issuers",
    Scope::ISSUERS_MANAGE,
    Key::Unused,
    (shape::<IssuerBody>(), shape::<IssuerShown>()),
    "Accept the access tokens of an issuer, or replace its settings",
);

pub(super) const LIST_ISSUERS: Route = list(
    Operation::ListIssuers,
    "/v1/issuers",
    Scope::ISSUERS_READ,
    &[CURSOR, LIMIT],
    page::<IssuerShown>(),
    "List the issuers whose access tokens are accepted, oldest first",
);

pub(super) const GET_ISSUER: Route =
    get(Operation::GetIssuer, "/v1/issuers/{id}", Scope::ISSUERS_READ, shape::<IssuerShown>(), "Look up an issuer");

pub(super) const REMOVE_ISSUER: Route = verb(
    Operation::RemoveIssuer,
    "/v1/issuers/{id}/remove",
    (Scope::ISSUERS_MANAGE, shape::<IssuerShown>()),
    "Remove an issuer: none of its tokens counts after the answer",
);

pub(super) const PUT_ROLE: Route = create(
    Operation::PutRole,
    "/v1/roles",
    Scope::ROLES_MANAGE,
    Key::Unused,
    (shape::<RoleBody>(), shape::<RoleShown>()),
    "Add a role of the installation, or replace it",
);

pub(super) const LIST_ROLES: Route = list(
    Operation::ListRoles,
    "/v1/roles",
    Scope::ROLES_READ,
    &[CURSOR, LIMIT],
    page::<RoleShown>(),
    "List the roles that the installation added, oldest first",
);

pub(super) const REMOVE_ROLE: Route = verb(
    Operation::RemoveRole,
    "/v1/roles/{id}/remove",
    (Scope::ROLES_MANAGE, shape::<RoleShown>()),
    "Remove a role of the installation: from now on, it gives nothing to clients and tokens that name it",
);

pub(super) const ROTATE_SIGNING_KEYS: Route = verb(
    Operation::RotateSigningKeys,
    "/v1/signing-keys/rotate",
    (Scope::ISSUERS_MANAGE, shape::<SigningKeysShown>()),
    "Let the next key of the built-in issuer sign; tokens of the last one stay valid",
);

pub(super) const WITHDRAW_SIGNING_KEY: Route = verb(
    Operation::WithdrawSigningKey,
    "/v1/signing-keys/{id}/withdraw",
    (Scope::ISSUERS_MANAGE, shape::<SigningKeysShown>()),
    "Withdraw a key of the built-in issuer whose secret became known: none of its tokens counts after the answer",
);

pub(super) const GET_ISSUER_METADATA: Route = open(
    Operation::GetIssuerMetadata,
    "/.well-known/oauth-authorization-server",
    Answer::Document,
    "Get the discovery document of the built-in issuer (RFC 8414)",
);

pub(super) const GET_OPENID_CONFIGURATION: Route = open(
    Operation::GetOpenIdConfiguration,
    "/.well-known/openid-configuration",
    Answer::Document,
    "Get the discovery document of the built-in issuer (OpenID Connect Discovery)",
);

pub(super) const GET_ISSUER_KEYS: Route = open(
    Operation::GetIssuerKeys,
    issuer::Issuer::JWKS_PATH,
    Answer::Document,
    "Get the public keys of the built-in issuer (RFC 7517)",
);

pub(super) const ISSUE_TOKEN: Route = form(
    Operation::IssueToken,
    issuer::Issuer::TOKEN_PATH,
    shape::<TokenForm>(),
    "Get an access token as a client of the built-in issuer (RFC 6749)",
);

pub(super) const INTROSPECT_TOKEN: Route = form(
    Operation::IntrospectToken,
    issuer::Issuer::INTROSPECTION_PATH,
    shape::<TokenQuestionForm>(),
    "Ask as a client whether an access token of its tenant counts (RFC 7662)",
);

pub(super) const REVOKE_TOKEN: Route = form(
    Operation::RevokeToken,
    issuer::Issuer::REVOCATION_PATH,
    shape::<TokenQuestionForm>(),
    "End an access token as the client that it was given to (RFC 7009)",
);

/// A route that changes what exists. To repeat the request changes nothing.
const fn verb(
    operation: Operation,
    path: &'static str,
    (scope, answer): (Scope, Shape),
    summary: &'static str,
) -> Route {
    let shapes = (Body::Empty(shape::<VerbBody>()), answer);
    Route { key: Key::Unused, ..change(operation, path, scope, shapes, summary) }
}

/// An endpoint of the built-in issuer. It authenticates its clients itself.
const fn form(operation: Operation, path: &'static str, body: Shape, summary: &'static str) -> Route {
    Route { method: Method::Post, body: Body::Form(body), ..open(operation, path, Answer::Document, summary) }
}
