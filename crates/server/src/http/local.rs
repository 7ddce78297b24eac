//! Requests of the process itself, for whoever has the data directory. They need no credential.

use std::sync::Arc;

use api::api_keys::{self, ApiKey as Shown, CreatedApiKey, NewApiKey};
use api::{ErrorCode, Problem, requests};
use edge::auth::Caller;
use engine::{
    CredentialAdded, CredentialKind, IdentityRefusal, KeyOwner, Made, PrincipalAdded, Refusal, RevokeCredential,
    Sender, query,
};
use types::{ActorId, RequestId, TenantId};
use vault::ApiKey;

use crate::Core;
use crate::http::app::App;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, rendered};
use crate::http::host::{Host, Proven};
use crate::tenants::{For, not_found};

/// Marks a request of the process itself. No request from the network has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local {
    /// The tenant that the request is about; the first one if there is none.
    pub(crate) tenant: Option<TenantId>,
}

/// How often a number is tried that another request may have taken.
const ATTEMPTS_MAX: u64 = 64;

impl Host {
    /// The tenant and the caller of a local request.
    ///
    /// # Errors
    /// If there is no such tenant, or if it cannot be opened.
    pub(crate) async fn of_local(&self, local: Local) -> Result<(Arc<App>, Caller, Proven), Failure> {
        let scopes = api::Scope::ALL.bits();
        let operator = Caller { actor: ActorId::SYSTEM, sender: Sender::Token { scopes }, scopes };
        let home = self.home().core.tenant();
        let tenant = local.tenant.unwrap_or(home);
        if tenant != home && self.tenants.known(tenant).is_none() {
            return Err(not_found(tenant).into());
        }
        Ok((self.tenants.app(tenant, For::Request).await?, operator, Proven::Nothing))
    }
}

/// Creates an API key. The operator has no credential whose scopes would limit those of the key.
pub(crate) async fn create_key(call: &Call) -> Handled {
    let NewApiKey { name, owner, scopes, expires_at } = api_keys::new_key(&call.body)?;
    let core = &call.app.core;
    let principal = match owner {
        KeyOwner::Known(actor) => actor,
        KeyOwner::New { kind, name } => {
            let newest = all_keys(core).await?.into_iter().map(|key| key.credential.added.principal.get()).max();
            let first = newest.unwrap_or_default().saturating_add(1);
            let mut added = None;
            for number in first..first.saturating_add(ATTEMPTS_MAX) {
                let (actor, name) = (ActorId::new(number), name.clone());
                let answered = ask(core, PrincipalAdded { actor, kind, name, subject: None }).await?;
                match answered {
                    Ok(Made::Now) => {
                        added = Some(actor);
                        break;
                    }
                    // A principal without a key has this number.
                    Ok(Made::Before)
                    | Err(Refusal::Identity(IdentityRefusal::PrincipalExistsWithDifferentContent(_))) => {}
                    Err(refusal) => return Err(Problem::from(&refusal).into()),
                }
            }
            added
                .ok_or_else(|| Problem::new(ErrorCode::PrincipalNotFound, "no number is free for the new principal"))?
        }
    };
    let credential = ask(core, query::NextCredential).await?.map_err(|refusal| Problem::from(&refusal))?;
    let key = ApiKey::generate(credential, &mut datadir::random).of(core.shared().key_tenant);
    let kind = CredentialKind::ApiKey { hash: key.hash() };
    let added = CredentialAdded { credential, principal, kind, scopes: scopes.bits(), name, expires_at };
    ask(core, added).await?.map_err(|refusal| Problem::from(&refusal))?;
    let reply = ask(core, query::ApiKey(credential)).await?.map_err(|refusal| Problem::from(&refusal))?;
    let created = CreatedApiKey::new(Shown::new(&reply, None), Some(key.reveal()));
    Ok(rendered(edge::Response::created(Made::Now, format!("/v1/api-keys/{credential}"), &created)))
}

/// Revokes an API key. The operator needs no credential for it.
pub(crate) async fn revoke_key(call: &Call) -> Handled {
    requests::verb(&call.body)?;
    let core = &call.app.core;
    let credential = api_keys::key_id(call.head.path_id())?;
    // One key that manages keys always remains; the engine sees to that.
    let sender = Sender::Token { scopes: api::Scope::ALL.bits() };
    let revoked = ask(core, RevokeCredential { sender, credential }).await?;
    let (made, reply) = revoked.map_err(|refusal| Problem::from(&refusal))?;
    Ok(rendered(edge::Response::found(&Shown::new(&reply, None)).made(made)))
}

async fn all_keys(core: &Core) -> Result<Vec<engine::CredentialReply>, Failure> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = ask(core, query::ApiKeys { after, limit: api::PAGE_MAX }).await?;
        let page = page.map_err(|refusal| Problem::from(&refusal))?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = next.get(),
            None => return Ok(all),
        }
    }
}

async fn ask<O: engine::Operation>(core: &Core, operation: O) -> Result<engine::Answered<O>, Failure> {
    Ok(core.ask(ActorId::SYSTEM, RequestId::default(), operation).await?)
}
