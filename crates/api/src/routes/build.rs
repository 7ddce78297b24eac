//! Builds routes of the same kind, so that a line of the table says only what is special about it.

use engine::{ProposalEnd, Verb};

use super::parameters::DRY_RUN;
use super::{Answer, Body, Key, Method, Operation, Parameter, Route, Shape, Tag, shape};
use crate::approvals::Proposal;
use crate::decisions::Payment;
use crate::imports::Import;
use crate::packed;
use crate::requests::{CaptureBody, IncrementBody, PortionBody, VerbBody};
use crate::responses::Ledger;
use crate::results::BatchResults;
use crate::scope::Scope;

pub(super) const fn get(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    answer: Shape,
    summary: &'static str,
) -> Route {
    Route {
        operation,
        method: Method::Get,
        path,
        scope: Some(scope),
        summary,
        parameters: &[],
        key: Key::Unused,
        tag: Tag::None,
        body: Body::None,
        answer: Answer::Found(answer),
    }
}

pub(super) const fn list(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    parameters: &'static [Parameter],
    answer: Shape,
    summary: &'static str,
) -> Route {
    Route { parameters, ..get(operation, path, scope, answer, summary) }
}

pub(super) const fn create(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    key: Key,
    (body, answer): (Shape, Shape),
    summary: &'static str,
) -> Route {
    Route {
        method: Method::Post,
        key,
        body: Body::Json(body),
        answer: Answer::Created(answer),
        ..get(operation, path, scope, answer, summary)
    }
}

/// A route that takes one order, or judges it without recording anything.
pub(super) const fn order(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    shapes: (Shape, Shape),
    summary: &'static str,
) -> Route {
    Route { parameters: &[DRY_RUN], ..create(operation, path, scope, Key::Id, shapes, summary) }
}

/// A route that takes many orders and gives each its own result.
pub(super) const fn batch(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    body: Shape,
    summary: &'static str,
) -> Route {
    let answer = shape::<BatchResults>();
    Route {
        method: Method::Post,
        parameters: &[DRY_RUN],
        key: Key::Ids,
        body: Body::Batch(body),
        ..get(operation, path, scope, answer, summary)
    }
}

pub(super) const fn packed(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    (body, answer): (Body, &'static str),
    summary: &'static str,
) -> Route {
    let answer = Answer::Packed(answer);
    Route { method: Method::Post, body, answer, ..get(operation, path, scope, shape::<Ledger>(), summary) }
}

pub(super) const fn events(summary: &'static str) -> Body {
    Body::Packed { record_bytes: packed::EVENT_BYTES, summary }
}

/// A route that ends an import.
pub(super) const fn end(operation: Operation, path: &'static str, summary: &'static str) -> Route {
    Route { method: Method::Post, ..get(operation, path, Scope::IMPORTS_WRITE, shape::<Import>(), summary) }
}

/// A route that changes an existing object. Repeating the request changes nothing.
pub(super) const fn change(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    (body, answer): (Body, Shape),
    summary: &'static str,
) -> Route {
    Route { method: Method::Post, key: Key::Request, body, ..get(operation, path, scope, answer, summary) }
}

/// A route that changes something whose version it shows, and which `If-Match` can name.
pub(super) const fn setting(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    shapes: (Body, Shape),
    summary: &'static str,
) -> Route {
    Route { tag: Tag::Matched, ..change(operation, path, scope, shapes, summary) }
}

/// A route that shows the version of what can be changed.
pub(super) const fn shown(
    operation: Operation,
    path: &'static str,
    scope: Scope,
    answer: Shape,
    summary: &'static str,
) -> Route {
    Route { tag: Tag::Shown, ..get(operation, path, scope, answer, summary) }
}

pub(super) const fn verb(verb: Verb, path: &'static str, scope: Scope, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        parameters: &[DRY_RUN],
        key: Key::Verb,
        body: match verb {
            Verb::Approve | Verb::Decline => Body::Empty(shape::<VerbBody>()),
            Verb::Capture => Body::Empty(shape::<CaptureBody>()),
            Verb::Void | Verb::Refund => Body::Empty(shape::<PortionBody>()),
            Verb::Increment => Body::Json(shape::<IncrementBody>()),
        },
        ..get(Operation::ChangePayment(verb), path, scope, shape::<Payment>(), summary)
    }
}

/// A route that ends a proposal. Repeating the request changes nothing.
pub(super) const fn end_proposal(end: ProposalEnd, path: &'static str, scope: Scope, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        body: Body::Empty(shape::<VerbBody>()),
        ..get(Operation::EndProposal(end), path, scope, shape::<Proposal>(), summary)
    }
}

pub(super) const fn open(operation: Operation, path: &'static str, answer: Answer, summary: &'static str) -> Route {
    Route { scope: None, answer, ..get(operation, path, Scope::ALL, shape::<Ledger>(), summary) }
}
