//! The routes of backtests.

use super::build::{get, list};
use super::parameters::{CURSOR, LIMIT, TYPE};
use super::{Answer, Body, Kind, Method, Operation, Parameter, Route, page, shape};
use crate::backtests::{Backtest, BacktestPayment};
use crate::requests::VerbBody;
use crate::scope::Scope;

const FROM: Parameter = Parameter {
    name: "from",
    summary: "Only payments decided at this time or later are compared, RFC 3339. Earlier ones still count in windows. Default: the \
        beginning.",
    kind: Kind::Text,
};
const UNTIL: Parameter = Parameter {
    name: "until",
    summary: "Only payments decided before this time are compared, RFC 3339. Default: all that are decided when the backtest starts.",
    kind: Kind::Text,
};
const SEGMENT: Parameter = Parameter {
    name: "segment",
    summary: "An attribute of payments, such as `country`. The result also counts the payments by its values. Needs the scope payments:read as well.",
    kind: Kind::Text,
};
const CHANGE: Parameter = Parameter {
    name: "change",
    summary: "Only payments whose verdict changes in this way, such as `approve_to_decline`; `any` for those with another verdict.",
    kind: Kind::Text,
};
const RULE: Parameter = Parameter {
    name: "rule",
    summary: "Only payments for which this reason applied before or after: the name of a rule or one of the built-in reasons.",
    kind: Kind::Text,
};
const LABEL: Parameter = Parameter {
    name: "label",
    summary: "Only payments that turned out to be `fraud` or `legitimate`, as the labels say that are known when the backtest starts.",
    kind: Kind::Text,
};
const DAY: Parameter = Parameter {
    name: "day",
    summary: "Only payments decided on this day, UTC, such as `2027-01-31`.",
    kind: Kind::Text,
};

pub(super) const START: Route = Route {
    method: Method::Post,
    body: Body::Archive,
    answer: Answer::Accepted(shape::<Backtest>()),
    ..list(
        Operation::StartBacktest,
        "/v1/backtests",
        Scope::POLICIES_WRITE,
        &[FROM, UNTIL, SEGMENT],
        shape::<Backtest>(),
        "Decide the payments of the journal again with a policy, in the background, and compare; the body is that of an upload of \
        the policy, which is not activated",
    )
};

pub(super) const LIST: Route = get(
    Operation::ListBacktests,
    "/v1/backtests",
    Scope::POLICIES_READ,
    page::<Backtest>(),
    "List the last backtests since the start of the server, without their results",
);

pub(super) const GET: Route = get(
    Operation::GetBacktest,
    "/v1/backtests/{id}",
    Scope::POLICIES_READ,
    shape::<Backtest>(),
    "Look up a backtest: its progress, and its result once it is done",
);

pub(super) const PAYMENTS: Route = list(
    Operation::ListBacktestPayments,
    "/v1/backtests/{id}/payments",
    Scope::PAYMENTS_READ,
    &[CURSOR, LIMIT, CHANGE, RULE, TYPE, LABEL, DAY],
    page::<BacktestPayment>(),
    "List the payments behind the numbers of a backtest: those with another verdict or other reasons, in the order of their decisions",
);

pub(super) const CANCEL: Route = Route {
    method: Method::Post,
    body: Body::Empty(shape::<VerbBody>()),
    ..get(
        Operation::CancelBacktest,
        "/v1/backtests/{id}/cancel",
        Scope::POLICIES_WRITE,
        shape::<Backtest>(),
        "Cancel a backtest; nothing happens if it has ended",
    )
};
