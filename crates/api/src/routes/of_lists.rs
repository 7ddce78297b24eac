//! The routes of lists.

use super::build::{create, get, list};
use super::parameters::{CURSOR, LIMIT};
use super::{Body, Key, Method, Operation, Route, page, shape};
use crate::lists::{ChangedList, List, ListBody, ListValuesBody, ListedValue, RemovedValuesBody};
use crate::requests::VerbBody;
use crate::scope::Scope;

pub(super) const CREATE: Route = create(
    Operation::CreateList,
    "/v1/lists",
    Scope::LISTS_WRITE,
    Key::Unused,
    (shape::<ListBody>(), shape::<List>()),
    "Make a list of values to block, to allow or to watch; to repeat the request changes nothing",
);

pub(super) const LIST: Route =
    get(Operation::ListLists, "/v1/lists", Scope::LISTS_READ, page::<List>(), "List all lists, without their values");

pub(super) const GET: Route =
    get(Operation::GetList, "/v1/lists/{id}", Scope::LISTS_READ, shape::<List>(), "Look up a list by its name");

pub(super) const DELETE: Route = Route {
    method: Method::Post,
    body: Body::Empty(shape::<VerbBody>()),
    ..get(
        Operation::DeleteList,
        "/v1/lists/{id}/delete",
        Scope::LISTS_WRITE,
        shape::<List>(),
        "Delete a list with its values, unless the active policy declares it",
    )
};

pub(super) const ADD: Route = Route {
    method: Method::Post,
    body: Body::Batch(shape::<ListValuesBody>()),
    ..get(
        Operation::AddListValues,
        "/v1/lists/{id}/values",
        Scope::LISTS_WRITE,
        shape::<ChangedList>(),
        "Add up to 5000 values to a list; the next payment is decided with them, and to repeat the request changes nothing",
    )
};

pub(super) const REMOVE: Route = Route {
    method: Method::Post,
    body: Body::Batch(shape::<RemovedValuesBody>()),
    ..get(
        Operation::RemoveListValues,
        "/v1/lists/{id}/remove-values",
        Scope::LISTS_WRITE,
        shape::<ChangedList>(),
        "Remove up to 5000 values from a list; to repeat the request changes nothing",
    )
};

pub(super) const VALUES: Route = list(
    Operation::ListListValues,
    "/v1/lists/{id}/values",
    Scope::LISTS_READ,
    &[CURSOR, LIMIT],
    page::<ListedValue>(),
    "List the values of a list. A page may be short or empty and still have a cursor",
);

pub(super) const VALUE: Route = get(
    Operation::GetListValue,
    "/v1/lists/{id}/values/{value}",
    Scope::LISTS_READ,
    shape::<ListedValue>(),
    "Look up a value of a list: who added it, why, and when it expires",
);
