//! Entities, such as customers: what is known about one, and setting its attributes.

use api::entities::{self, Entity, EntityAttributes, EntityAttributesRequest};
use api::{EntityNamed, ErrorCode, Problem};
use engine::{EntityAttributesReply, Refusal, SetEntityAttributes, query};
use vault::Keys as _;

use crate::answer::{Edge, Handled, refused};
use crate::call::{Call, unnamed};
use crate::payments::{PARSES_MAX, no_room};
use crate::response::Response;
use crate::sources::{Past, Sources};

/// Shows an entity with its attributes and its newest payments.
pub(crate) async fn get<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (kind, key) = (call.head.path_part(0), call.head.path_part(1));
    let limit = call.parameters().limit()?;
    let policy = edge.sources.policy();
    let named =
        EntityNamed::of(policy.as_deref(), kind, key).ok_or_else(|| entities::unknown_kind(policy.as_deref(), kind))?;
    let absent = || absent(&named);
    let token = edge.known_token(&named).ok_or_else(absent)?;
    let totals = edge.sources.entity(token, limit, edge.sources.now()).await?;
    let features = edge.ask_unnamed(call, query::Features(named.kind.clone(), token)).await?;
    let attributes = edge.ask_unnamed(call, query::EntityAttributes(named.kind.clone(), token)).await?;
    let shown = edge.show(|assets| Entity::new(&totals, &attributes, &features, assets))?;
    Ok(Response::found(&shown.ok_or_else(absent)?))
}

/// Sets or removes attributes of an entity. An entity that is named for the first time gets its token now.
pub(crate) async fn set_attributes<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (kind, key) = (call.head.path_part(0), call.head.path_part(1));
    entities::check_key(key)?;
    let request = EntityAttributesRequest::parse(call.body)?;
    for _ in 0..PARSES_MAX {
        let Some(policy) = edge.sources.policy() else { return Err(refused(Refusal::NoActivePolicy)) };
        let named =
            EntityNamed::of(Some(&policy), kind, key).ok_or_else(|| entities::unknown_kind(Some(&policy), kind))?;
        entities::check_key(&named.value)?;
        let changes = request.against(&policy, &named.kind)?;
        let entity = match edge.known_token(&named) {
            Some(token) => token,
            None if request.only_removes() => {
                let nothing = EntityAttributesReply { kind: named.kind, attributes: Vec::new() };
                return Ok(Response::found(&EntityAttributes::from(&nothing)));
            }
            None => {
                let tenant = edge.installation.tenant;
                let token = edge.sources.keys().token(tenant, named.kind.as_str(), &named.value, named.personal);
                token.map_err(no_room)?
            }
        };
        let operation = SetEntityAttributes { policy: policy.digest(), kind: named.kind, entity, changes };
        match edge.answer_to(call, unnamed(operation)).await? {
            Ok((_, reply)) => return Ok(Response::found(&EntityAttributes::from(&*reply))),
            Err(Refusal::PolicyChanged) => edge.sources.policy_changes().await,
            Err(refusal) => return Err(refused(refusal)),
        }
    }
    Err(refused(Refusal::PolicyChanged))
}

fn absent(named: &EntityNamed) -> Problem {
    let detail = format!("no payment names this {}, and it has no attributes", named.kind);
    Problem::new(ErrorCode::EntityNotFound, detail)
}
