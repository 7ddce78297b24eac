//! Handlers that administer issuers, clients, roles and signing keys. Their caller is one of the first tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::installation::{
    Client, ClientAuthentication, ClientCreated, ClientShown, ClientState, Grant, IssuerShown, NewAuthentication,
    RoleShown, Roles as _, new_client, new_issuer, new_role,
};
use api::responses::Page;
use api::{ErrorCode, List, Problem, Scope, requests};
use engine::{Expected, Made, PutSetting, RemoveSetting, SettingKind};
use issuer::ClientSecret;
use serde::Serialize;
use types::{RequestId, SettingName, Timestamp};
use utoipa::ToSchema;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found, internal, rendered};
use crate::identity::{Added, BuiltIn, KeysError, Settings};
use crate::tenants::{By, not_found};

pub(crate) async fn create_client(call: Call) -> Handled {
    let new = new_client(&call.body)?;
    let By { request, .. } = call.by();
    let request = Some(request).filter(|request| *request != RequestId::default());
    let before = request.and_then(|request| call.settings().client_of(request).cloned());
    if let Some(Added { item, added_at, .. }) = before {
        let is_same = item.is_as_asked(&new, call.app.core.tenant());
        if !is_same {
            let detail = format!("the Idempotency-Key was used to register the client `{}`, which differs", item.id);
            return Err(Problem::new(ErrorCode::RequestIdReused, detail).into());
        }
        return Ok(created(Made::Before, &item, added_at, None));
    }
    let tenant = new.tenant.unwrap_or(call.app.core.tenant());
    if call.host.tenants.known_or_first(tenant).is_none() {
        return Err(not_found(tenant).at("/tenant").into());
    }
    call.must_hold(&new.grant, "/role")?;
    let id = new.id.clone().unwrap_or_else(|| client_id(request));
    let secret = matches!(new.authentication, NewAuthentication::Secret).then(new_secret);
    let hashes: Vec<_> = secret.iter().map(|secret| secret.hash(&id)).collect();
    let client = new.into_client(id, tenant, &hashes, request);
    let added_at = call.put(SettingKind::Client, &client.id, client.document(), Expected::Absent).await?.1;
    Ok(created(Made::Now, &client, added_at, secret))
}

pub(crate) fn list_clients(call: &Call) -> Handled {
    let shown = |added: &Added<Client>| ClientShown::new(&added.item, added.added_at);
    call.page(|settings| &settings.clients, shown)
}

pub(crate) fn get_client(call: &Call) -> Handled {
    let Added { item, added_at, .. } = call.client()?;
    Ok(found(&ClientShown::new(&item, added_at)))
}

pub(crate) async fn revoke_client(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let Added { item, version, .. } = call.client()?;
    let client = Client { state: ClientState::Revoked, ..(*item).clone() };
    let put = call.put(SettingKind::Client, &client.id, client.document(), Expected::Version(version)).await?;
    Ok(rendered(edge::Response::found(&ClientShown::new(&client, put.1)).made(put.0)))
}

pub(crate) async fn rotate_client_secret(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let Added { item, version, .. } = call.client()?;
    let conflict = |why: &str| Problem::new(ErrorCode::ClientStateConflict, format!("client `{}` {why}", item.id));
    let ClientAuthentication::SecretHashes(hashes) = &item.authentication else {
        return Err(conflict("signs assertions and has no secret").into());
    };
    if item.state == ClientState::Revoked {
        return Err(conflict("was revoked").into());
    }
    // Whoever has the new secret can do what the client can.
    call.must_hold(&item.grant, "/client_id")?;
    let secret = new_secret();
    let hashes = hashes.last().copied().into_iter().chain([secret.hash(&item.id)]).collect();
    let client = Client { authentication: ClientAuthentication::SecretHashes(hashes), ..(*item).clone() };
    let put = call.put(SettingKind::Client, &client.id, client.document(), Expected::Version(version)).await?;
    Ok(found(&ClientCreated::new(ClientShown::new(&client, put.1), Some(secret.reveal()))))
}

pub(crate) async fn put_issuer(call: Call) -> Handled {
    /// The built-in issuer is one of those that the verifier takes.
    const ISSUERS_MAX: usize = oauth::ISSUERS_MAX - 1;
    let new = new_issuer(&call.body)?;
    for (place, rule) in new.rules.iter().enumerate() {
        call.must_hold(&rule.grant, &format!("/rules/{place}/role"))?;
    }
    if call.host.identity().built_in().is_some_and(|built_in| built_in.name() == new.issuer) {
        let detail = "found the name of the built-in issuer, which needs no settings, expected that of another one";
        return Err(Problem::new(ErrorCode::InvalidField, detail).at("/issuer").into());
    }
    let is_full = {
        let settings = call.settings();
        !settings.issuers.contains_key(&new.issuer) && settings.issuers.len() >= ISSUERS_MAX
    };
    if is_full {
        let detail = format!("there are {ISSUERS_MAX} issuers, which is the limit");
        return Err(Problem::new(ErrorCode::TooManySettings, detail).into());
    }
    let (made, added_at) = call.put(SettingKind::Issuer, &new.issuer, new.document(), Expected::Any).await?;
    let fetched = call.host.identity().verifier().fetched_at(&new.issuer);
    let location = format!("/v1/issuers/{}", percent_encoded(&new.issuer));
    Ok(rendered(edge::Response::created(made, location, &IssuerShown::new(&new, added_at, fetched))))
}

pub(crate) fn list_issuers(call: &Call) -> Handled {
    // Before the settings are locked, which a change of them locks before the verifier.
    let fetched: BTreeMap<_, _> = {
        let verifier = call.host.identity().verifier();
        verifier.issuers().map(|name| (name.to_string(), verifier.fetched_at(name))).collect()
    };
    let shown = |added: &Added<api::installation::TokenIssuer>| {
        let fetched_at = fetched.get(&added.item.issuer).copied().flatten();
        IssuerShown::new(&added.item, added.added_at, fetched_at)
    };
    call.page(|settings| &settings.issuers, shown)
}

pub(crate) fn get_issuer(call: &Call) -> Handled {
    Ok(found(&call.issuer()?))
}

pub(crate) async fn remove_issuer(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let shown = call.issuer()?;
    call.remove(SettingKind::Issuer).await?;
    Ok(found(&shown))
}

pub(crate) async fn put_role(call: Call) -> Handled {
    let new = new_role(&call.body)?;
    call.must_hold(&Grant::Scopes(new.scopes), "/scopes")?;
    let (made, added_at) = call.put(SettingKind::Role, new.name.as_str(), new.document(), Expected::Any).await?;
    let location = format!("/v1/roles/{}", new.name);
    Ok(rendered(edge::Response::created(made, location, &RoleShown::new(&new, added_at))))
}

pub(crate) fn list_roles(call: &Call) -> Handled {
    call.page(|settings| &settings.roles, |added| RoleShown::new(&added.item, added.added_at))
}

pub(crate) async fn remove_role(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let id = call.head.path_id();
    let known = call.settings().roles.get(id).cloned().ok_or_else(|| unknown(SettingKind::Role, id))?;
    call.remove(SettingKind::Role).await?;
    Ok(found(&RoleShown::new(&known.item, known.added_at)))
}

pub(crate) async fn rotate_signing_keys(call: Call) -> Handled {
    requests::verb(&call.body)?;
    changed_keys(call, "rotated", |built_in, _, now| built_in.rotate(now)).await
}

pub(crate) async fn withdraw_signing_key(call: Call) -> Handled {
    requests::verb(&call.body)?;
    changed_keys(call, "withdrawn", |built_in, kid, now| built_in.withdraw(kid, now)).await
}

async fn changed_keys(
    call: Call,
    what: &str,
    change: fn(&BuiltIn, &str, Timestamp) -> Result<(), KeysError>,
) -> Handled {
    let off = || Problem::new(ErrorCode::IssuerOff, "the built-in issuer is off; start the server with --public-url");
    call.host.identity().built_in().ok_or_else(off)?;
    let now = call.app.core.now();
    let (host, kid) = (Arc::clone(&call.host), call.head.path_id().to_owned());
    let changing = tokio::task::spawn_blocking(move || {
        let identity = host.identity();
        let built_in = identity.built_in()?;
        let changed = change(built_in, &kid, now);
        identity.publish_keys(now);
        Some(changed.map(|()| built_in.shown()))
    });
    let changed = changing.await.map_err(|_panicked| crate::Unavailable::Failed)?.ok_or_else(off)?;
    let shown = changed.map_err(|error| {
        if let KeysError::Rotation(error) = &error {
            let is_unknown = matches!(error, issuer::RotationError::Unknown(_));
            let code = if is_unknown { ErrorCode::SettingNotFound } else { ErrorCode::ClientStateConflict };
            return Failure::from(Problem::new(code, error.to_string()));
        }
        tracing::error!(%error, "the signing keys cannot be changed");
        internal("the signing keys cannot be changed")
    })?;
    // The system journal says who did it. The keys are in a file, so an entry that cannot be made does not undo it.
    let kid = Some(call.head.path_id()).filter(|kid| !kid.is_empty()).unwrap_or(&shown.active);
    let document = serde_json::json!({ "change": what, "active": shown.active, "at": now.to_string() }).to_string();
    call.put(SettingKind::SigningKey, kid, document, Expected::Any).await?;
    tracing::info!(active = shown.active, actor = call.caller.actor.get(), "the signing keys were changed");
    Ok(found(&shown))
}

fn created(made: Made, client: &Client, added_at: Timestamp, secret: Option<ClientSecret>) -> axum::response::Response {
    let body = ClientCreated::new(ClientShown::new(client, added_at), secret.map(|secret| secret.reveal()));
    rendered(edge::Response::created(made, format!("/v1/clients/{}", client.id), &body))
}

/// An id for a client that asks for none. The same request gets the same one, so that a retry at the same time makes no second.
fn client_id(request: Option<RequestId>) -> Box<str> {
    let number = request.map_or_else(
        || {
            let mut bytes = [0; 16];
            datadir::random(&mut bytes);
            u128::from_le_bytes(bytes)
        },
        RequestId::get,
    );
    format!("client-{number:032x}").into()
}

fn new_secret() -> ClientSecret {
    let mut bytes = [0; 32];
    datadir::random(&mut bytes);
    ClientSecret::new(bytes)
}

fn unknown(kind: SettingKind, name: &str) -> Problem {
    Problem::new(ErrorCode::SettingNotFound, format!("{} `{}` not found", kind.name(), types::shorten(name)))
}

/// A name as a part of a path.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

impl Call {
    fn settings(&self) -> std::sync::RwLockReadGuard<'_, Settings> {
        self.host.identity().settings()
    }

    fn client(&self) -> Result<Added<Client>, Problem> {
        let id = self.head.path_id();
        self.settings().clients.get(id).cloned().ok_or_else(|| unknown(SettingKind::Client, id))
    }

    fn issuer(&self) -> Result<IssuerShown, Problem> {
        let id = self.head.path_id();
        let known = self.settings().issuers.get(id).cloned().ok_or_else(|| unknown(SettingKind::Issuer, id))?;
        let fetched = self.host.identity().verifier().fetched_at(id);
        Ok(IssuerShown::new(&known.item, known.added_at, fetched))
    }

    /// Checks that the caller has what it wants to give to others, and that a role that it names is there.
    fn must_hold(&self, grant: &Grant, field: &str) -> Result<(), Problem> {
        let settings = self.settings();
        if let Grant::Role(role) = grant
            && settings.scopes(role.as_str()).is_none()
        {
            let detail = format!("found `{role}`, expected a built-in role or one of this installation");
            return Err(Problem::new(ErrorCode::InvalidField, detail).at(field));
        }
        let (wanted, held) = (grant.scopes(&*settings), Scope::from_bits(self.caller.scopes));
        if held.contains(wanted) {
            return Ok(());
        }
        let missing: Vec<_> =
            wanted.names().filter(|name| Scope::named(name).is_some_and(|one| !held.contains(one))).collect();
        Err(Problem::new(
            ErrorCode::ScopesNotHeld,
            format!("the credential of the request lacks {}", missing.join(", ")),
        ))
    }

    async fn put(
        &self,
        kind: SettingKind,
        name: &str,
        document: String,
        expected: Expected,
    ) -> Result<(Made, Timestamp), Failure> {
        let By { tenant, actor, request } = self.by();
        let name: SettingName = name.parse().map_err(|_unnamed| unknown(kind, name))?;
        let put = PutSetting { kind, name, document: document.into(), expected };
        let answered = self.host.tenants.system().ask_as((tenant, actor), request, put).await?;
        let (made, setting) = answered.map_err(|refusal| Problem::from(&refusal))?;
        Ok((made, setting.added_at))
    }

    /// Removes the setting that the path names.
    async fn remove(&self, kind: SettingKind) -> Result<(), Failure> {
        let By { tenant, actor, request } = self.by();
        let id = self.head.path_id();
        let name: SettingName = id.parse().map_err(|_unnamed| unknown(kind, id))?;
        let remove = RemoveSetting { kind, name, expected: Expected::Any };
        let answered = self.host.tenants.system().ask_as((tenant, actor), request, remove).await?;
        answered.map_err(|refusal| Problem::from(&refusal))?;
        Ok(())
    }

    /// A page of what was added, oldest first.
    fn page<T, S: Serialize + ToSchema>(
        &self,
        items: impl FnOnce(&Settings) -> &BTreeMap<String, Added<T>>,
        shown: impl Fn(&Added<T>) -> S,
    ) -> Handled {
        let history = self.app.history();
        let limit = self.head.parameters.limit()?;
        let after: u64 = self.head.parameters.cursor(history, List::Settings)?;
        let settings = self.settings();
        let mut listed: Vec<&Added<T>> =
            items(&settings).values().filter(|added| added.added_at.ns() > after).collect();
        listed.sort_unstable_by_key(|added| added.added_at);
        let has_more = listed.len() > limit;
        listed.truncate(limit);
        let last = listed.last().filter(|_| has_more);
        let next_cursor = last.map(|last| history.cursor(List::Settings, last.added_at.ns()));
        Ok(found(&Page { items: listed.into_iter().map(shown).collect(), next_cursor }))
    }
}
