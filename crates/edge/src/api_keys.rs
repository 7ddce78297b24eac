//! API keys: creating, listing and revoking them.

use api::api_keys::{self, ApiKey as Shown, CreatedApiKey, NewApiKey};
use api::requests::Parsed;
use api::responses::Page;
use api::{List, requests};
use engine::{AddApiKey, CredentialReply, IdentityRefusal, Made, Refusal, RevokeCredential, query};
use vault::ApiKey;

use crate::answer::{Edge, Handled, refused};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

/// How often a request takes another number because a request at the same time took the one that it was given.
const ATTEMPTS_MAX: usize = 64;

pub(crate) async fn create<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let NewApiKey { name, owner, scopes, expires_at } = api_keys::new_key(call.body)?;
    let request = edge.ids(call).request(call.head.route.path);
    let mut attempts = 0_usize;
    loop {
        // The hash of a key depends on its number, so the number comes first.
        let credential = edge.ask_unnamed(call, query::NextCredential).await?;
        let key = ApiKey::generate(credential, &mut |bytes: &mut [u8]| edge.sources.fill_with_random(bytes))
            .of(edge.installation.key_tenant);
        let operation = AddApiKey {
            sender: call.sender,
            credential,
            hash: key.hash(),
            owner: owner.clone(),
            scopes: scopes.bits(),
            name: name.clone(),
            expires_at,
        };
        attempts = attempts.saturating_add(1);
        let answered = edge.answer_to(call, Parsed { request, operation }).await?;
        let is_taken = matches!(
            answered,
            Err(Refusal::Identity(IdentityRefusal::CredentialExistsWithDifferentContent(taken))) if taken == credential
        );
        if is_taken && attempts < ATTEMPTS_MAX {
            continue;
        }
        let (made, reply) = answered.map_err(refused::<S::Failure>)?;
        let location = format!("/v1/api-keys/{}", reply.credential.added.credential);
        let key = (made == Made::Now).then(|| key.reveal());
        return Ok(Response::created(made, location, &CreatedApiKey::new(edge.shown_key(&reply), key)));
    }
}

pub(crate) async fn list<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let limit = call.parameters().limit()?;
    let after = call.parameters().cursor(history, List::ApiKeys)?;
    let page = edge.ask_unnamed(call, query::ApiKeys { after, limit }).await?;
    let items: Vec<Shown> = page.items.iter().map(|reply| edge.shown_key(reply)).collect();
    let next_cursor = page.next.map(|next| history.cursor(List::ApiKeys, next));
    Ok(Response::found(&Page { items, next_cursor }))
}

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::ApiKey(api_keys::key_id(call.head.path_id())?)).await?;
    Ok(Response::found(&edge.shown_key(&reply)))
}

pub(crate) async fn revoke<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    requests::verb(call.body)?;
    let credential = api_keys::key_id(call.head.path_id())?;
    let (made, reply) = edge.ask_unnamed(call, RevokeCredential { sender: call.sender, credential }).await?;
    Ok(Response::found(&edge.shown_key(&reply)).made(made))
}

impl<S: Sources + Sync> Edge<S> {
    fn shown_key(&self, reply: &CredentialReply) -> Shown {
        Shown::new(reply, self.sources.last_used(reply.credential.added.credential))
    }
}
