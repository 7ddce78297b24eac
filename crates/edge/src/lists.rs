//! Lists: making and changing them, and replacing values of entities with tokens.

use std::collections::HashMap;
use std::sync::Arc;

use api::lists::{self, ChangedList, List as Shown, ListedValue, NewValue, ValueNamed};
use api::responses::Page;
use api::{EntityNamed, ErrorCode, List, Problem, requests};
use engine::{AddToList, AddedValue, DeleteList, ListOf, ListRefusal, ListValue, Refusal, RemoveFromList, query};
use policy::Policy;
use types::Name;
use vault::Keys as _;

use crate::answer::{Edge, Handled, parameter, refused};
use crate::call::{Call, unnamed};
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn create<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (made, reply) = edge.ask_unnamed(call, lists::new_list(call.body)?).await?;
    Ok(Response::created(made, format!("/v1/lists/{}", reply.name), &Shown::from(&*reply)))
}

pub(crate) async fn list<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let all = edge.ask_unnamed(call, query::Lists).await?;
    Ok(Response::found(&Page { items: all.iter().map(Shown::from).collect(), next_cursor: None }))
}

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::List(lists::list_name(call.head.path_id())?)).await?;
    Ok(Response::found(&Shown::from(&*reply)))
}

pub(crate) async fn delete<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    requests::verb(call.body)?;
    let (_, reply) = edge.ask_unnamed(call, DeleteList(lists::list_name(call.head.path_id())?)).await?;
    Ok(Response::found(&Shown::from(&*reply)))
}

pub(crate) async fn add<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let list = lists::list_name(call.head.path_id())?;
    let new = lists::new_values(call.body)?;
    let of = edge.ask_unnamed(call, query::List(list.clone())).await?.of;
    let holder = edge.holder(&of);
    // Before an entity gets its key, which stays for ever.
    let unknown = |new: &NewValue| Ok(usize::from(edge.known(&list, &holder, &new.value)?.is_none()));
    let unknown = new.iter().map(unknown).sum::<Result<usize, Problem>>()?;
    if unknown > 0 {
        let all = edge.ask_unnamed(call, query::Lists).await?;
        let present: usize = all.iter().map(|list| list.values).sum();
        let wanted = present.saturating_add(unknown);
        if wanted > engine::LIST_VALUES_MAX {
            return Err(refused::<S::Failure>(Refusal::List(ListRefusal::TooManyValues { present, wanted })));
        }
    }
    let mut places = HashMap::with_capacity(new.len());
    let mut values: Vec<AddedValue> = Vec::with_capacity(new.len());
    for (place, new) in new.into_iter().enumerate() {
        let value = edge.kept(&list, &holder, &new.value)?;
        // Different texts may be the same entity.
        if let Some(first) = places.insert(value.clone(), place) {
            return Err(lists::named_twice(first, place, "/values").into());
        }
        values.push(new.of(value));
    }
    let reply = edge.ask_unnamed(call, AddToList { list, of, values }).await?;
    Ok(Response::found(&ChangedList::from(&*reply)))
}

pub(crate) async fn remove<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let list = lists::list_name(call.head.path_id())?;
    let named = lists::removed_values(call.body)?;
    let of = edge.ask_unnamed(call, query::List(list.clone())).await?.of;
    let holder = edge.holder(&of);
    let asked = named.len();
    let mut values = Vec::with_capacity(asked);
    for named in &named {
        // The list cannot have an entity without a token.
        values.extend(edge.known(&list, &holder, named)?);
    }
    let unknown = asked.saturating_sub(values.len());
    let mut reply = edge.ask_unnamed(call, RemoveFromList { list, of, values }).await?;
    reply.unchanged = reply.unchanged.saturating_add(unknown);
    Ok(Response::found(&ChangedList::from(&*reply)))
}

pub(crate) async fn values<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let list = lists::list_name(call.head.path_id())?;
    let limit = call.parameters().limit()?;
    let made = edge.ask_unnamed(call, query::List(list.clone())).await?.made;
    // A cursor names the list by the entry that made it, and the place where the page ended.
    let of_list = u128::from(made.get()) << 32;
    let after = match call.parameters().cursor_if_given::<u128>(history, List::ListValues)? {
        None => None,
        Some(cursor) => {
            Some(cursor.checked_sub(of_list).and_then(|place| u32::try_from(place).ok()).ok_or_else(|| {
                parameter(
                    "cursor",
                    "the cursor is of another list, or of one that was deleted, expected a `next_cursor` of this list",
                )
            })?)
        }
    };
    let after = after.map(u64::from);
    let page = edge.ask_unnamed(call, query::ListValues { list, after, limit }).await?;
    let items: Vec<ListedValue> = page.items.iter().map(ListedValue::from).collect();
    let next_cursor = page.next.map(|next| history.cursor(List::ListValues, of_list | u128::from(next)));
    Ok(Response::found(&Page { items, next_cursor }))
}

pub(crate) async fn value<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let list = lists::list_name(call.head.path_id())?;
    let of = edge.ask_unnamed(call, query::List(list.clone())).await?.of;
    let holder = edge.holder(&of);
    let named = ValueNamed::Value(call.head.path_part(1).to_owned());
    let absent = || refused::<S::Failure>(Refusal::List(ListRefusal::ValueNotFound { list: list.clone() }));
    let value = edge.known(&list, &holder, &named)?.ok_or_else(absent)?;
    let found = edge.answer_to(call, unnamed(query::ListedValue { list: list.clone(), of, value })).await?;
    Ok(Response::found(&ListedValue::from(&*found.map_err(refused::<S::Failure>)?)))
}

/// What the values of a list are, and how they become tokens.
enum Holder {
    Text,
    /// An entity, and the active policy, which says how its values become tokens. Without it, only tokens can be named.
    Entity(Name, Option<Arc<Policy>>),
}

impl<S: Sources + Sync> Edge<S> {
    fn holder(&self, of: &ListOf) -> Holder {
        match of {
            ListOf::Text => Holder::Text,
            ListOf::Entity(kind) => Holder::Entity(kind.clone(), self.sources.policy()),
        }
    }

    /// A value in the form in which a list has it. An entity that is named for the first time gets its token now.
    fn kept(&self, list: &Name, holder: &Holder, value: &ValueNamed) -> Result<ListValue, Problem> {
        match named(list, holder, value)? {
            Named::Kept(value) => Ok(value),
            Named::Entity(EntityNamed { kind, value, personal }) => {
                let token = self.sources.keys().token(self.installation.tenant, kind.as_str(), &value, personal);
                token.map(ListValue::Entity).map_err(|full| Problem::new(ErrorCode::KeyStoreFull, full.to_string()))
            }
        }
    }

    /// A value in the form in which a list has it. `None` for an entity that has no token.
    fn known(&self, list: &Name, holder: &Holder, value: &ValueNamed) -> Result<Option<ListValue>, Problem> {
        match named(list, holder, value)? {
            Named::Kept(value) => Ok(Some(value)),
            Named::Entity(EntityNamed { kind, value, personal }) => {
                let keys = self.sources.keys();
                let token = keys.known_token(self.installation.tenant, kind.as_str(), &value, personal);
                Ok(token.map(ListValue::Entity))
            }
        }
    }
}

/// A value of a request.
enum Named {
    Kept(ListValue),
    Entity(EntityNamed),
}

fn named(list: &Name, holder: &Holder, named: &ValueNamed) -> Result<Named, Problem> {
    match (holder, named) {
        (Holder::Text, ValueNamed::Value(text)) => Ok(Named::Kept(ListValue::Text(text.as_str().into()))),
        (Holder::Text, ValueNamed::Token(_)) => {
            let detail = format!("list `{list}` holds texts, expected `value` and no token");
            Err(Problem::new(ErrorCode::InvalidField, detail))
        }
        (Holder::Entity(..), ValueNamed::Token(token)) => Ok(Named::Kept(ListValue::Entity(*token))),
        (Holder::Entity(kind, policy), ValueNamed::Value(value)) => {
            let entity = EntityNamed::of(policy.as_deref(), kind.as_str(), value);
            entity.map(Named::Entity).ok_or_else(|| {
                let detail = format!(
                    "list `{list}` holds values of the entity `{kind}`, which no active policy declares, so nobody knows how they become tokens; activate one that does, or name tokens"
                );
                Problem::new(ErrorCode::EntityNotFound, detail)
            })
        }
    }
}
