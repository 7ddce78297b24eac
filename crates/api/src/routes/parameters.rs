//! The query parameters that the routes accept.

use super::{Kind, Parameter};

pub(super) const CURSOR: Parameter = Parameter {
    name: "cursor",
    summary: "Where to continue: the `next_cursor` of the previous page.",
    kind: Kind::Text,
};
pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", summary: "The most items to return, 1 to 1000. Default: 100.", kind: Kind::Number };
pub(super) const PROPOSAL_STATUS: Parameter = Parameter {
    name: "status",
    summary: "Only proposals with this status: `open`, `approved`, `rejected`, `withdrawn` or `expired`.",
    kind: Kind::Text,
};
pub(super) const SEGMENT: Parameter =
    Parameter { name: "from", summary: "The number of the first segment. Default: 1.", kind: Kind::Number };
pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    summary: "Requires `wait_ms`. The answer waits until an entry after this sequence is durable.",
    kind: Kind::Number,
};
pub(super) const WAIT_MS: Parameter = Parameter {
    name: "wait_ms",
    summary: "Requires `after`. The longest time that the answer waits, in milliseconds, 0 to 30000.",
    kind: Kind::Number,
};
pub(super) const OFFSET: Parameter =
    Parameter { name: "offset", summary: "The first byte of the file to return. Default: 0.", kind: Kind::Number };
pub(super) const BYTES: Parameter = Parameter {
    name: "bytes",
    summary: "The most bytes to return, 1 to 4194304. Default: 1048576.",
    kind: Kind::Number,
};
pub(super) const LEDGER: Parameter =
    Parameter { name: "ledger", summary: "Only items in this ledger.", kind: Kind::Number };
pub(super) const CODE: Parameter =
    Parameter { name: "code", summary: "Only items with this code.", kind: Kind::Number };
pub(super) const USER_DATA_128: Parameter = Parameter {
    name: "user_data_128",
    summary: "Only items with this `user_data_128`: a decimal, not 0, or a hyphenated UUID.",
    kind: Kind::Text,
};
pub(super) const USER_DATA_64: Parameter = Parameter {
    name: "user_data_64",
    summary: "Only items with this `user_data_64`: a decimal, not 0.",
    kind: Kind::Text,
};
pub(super) const USER_DATA_32: Parameter =
    Parameter { name: "user_data_32", summary: "Only items with this `user_data_32`, not 0.", kind: Kind::Number };
pub(super) const DRY_RUN: Parameter = Parameter {
    name: "dry_run",
    summary: "If `true`, the server judges the request and answers with `\"dry_run\": true` and the resulting balances, \
              but records nothing.",
    kind: Kind::Flag,
};
pub(super) const ADDRESS_PREFIX: Parameter = Parameter {
    name: "address_prefix",
    summary: "Only accounts whose address is this, or begins with this and a colon. They are in order of address.",
    kind: Kind::Text,
};
pub(super) const METADATA: Parameter = Parameter {
    name: "metadata.<key>",
    summary: "Only items whose metadata has exactly this JSON under the key, such as `metadata.tier=\"gold\"`. Spaces \
        and the order of fields do not matter; the digits of numbers do: 1, 1.0 and 1e0 are three values.",
    kind: Kind::Text,
};
pub(super) const STATUS: Parameter =
    Parameter { name: "status", summary: "Only payments with this status.", kind: Kind::Text };
pub(super) const TYPE: Parameter = Parameter { name: "type", summary: "Only payments of this type.", kind: Kind::Text };
pub(super) const DECISION: Parameter = Parameter {
    name: "decision",
    summary: "Only payments with this verdict of the policy: `approve`, `review` or `decline`.",
    kind: Kind::Text,
};
pub(super) const REASON: Parameter = Parameter {
    name: "reason",
    summary: "Only payments whose decision has this reason: the name of a rule or one of the built-in reasons.",
    kind: Kind::Text,
};
pub(super) const TAG: Parameter =
    Parameter { name: "tag", summary: "Only payments that a rule gave this tag.", kind: Kind::Text };
pub(super) const LABEL: Parameter =
    Parameter { name: "label", summary: "Only payments that have this label now.", kind: Kind::Text };
pub(super) const MIN_AMOUNT: Parameter = Parameter {
    name: "min_amount",
    summary: "Only payments of at least this amount, in minor units.",
    kind: Kind::Text,
};
pub(super) const MAX_AMOUNT: Parameter = Parameter {
    name: "max_amount",
    summary: "Only payments of at most this amount, in minor units.",
    kind: Kind::Text,
};
/// Stands for every entity that the active policy declares.
pub(crate) const ENTITY: Parameter = Parameter {
    name: "<entity>",
    summary: "Only payments that name this entity in any of their attributes. The name of the parameter is that of an \
        entity of the active policy, such as `customer=c-42` or `device=d-7`.",
    kind: Kind::Text,
};
pub(super) const TEMPLATE: Parameter = Parameter {
    name: "template",
    summary: "Only the account that the active policy opens from this template.",
    kind: Kind::Text,
};
pub(super) const BALANCES: Parameter = Parameter {
    name: "balances",
    summary: "If `true`, the balances of both accounts follow each result. Default: `false`.",
    kind: Kind::Flag,
};
pub(super) const HOLDER: Parameter = Parameter {
    name: "holder",
    summary: "Requires `template`. The holder of the account, if the template has one account for each holder.",
    kind: Kind::Text,
};
pub(super) const ACCOUNT: Parameter = Parameter {
    name: "account",
    summary: "Only transfers of this account, given by its id or its address.",
    kind: Kind::Text,
};
pub(super) const ACTOR: Parameter = Parameter {
    name: "actor",
    summary: "Only what this principal did, given by its number. 0 is the system itself, which is left out otherwise.",
    kind: Kind::Text,
};
pub(super) const KIND: Parameter = Parameter {
    name: "kind",
    summary: "Only entries of this kind, such as `personal_data_read`, or of several kinds with commas between them.",
    kind: Kind::Text,
};
pub(super) const SINCE: Parameter =
    Parameter { name: "since", summary: "Only entries at this time or later, RFC 3339.", kind: Kind::Text };
pub(super) const UNTIL: Parameter =
    Parameter { name: "until", summary: "Only entries before this time, RFC 3339.", kind: Kind::Text };
pub(super) const OF_PAYMENT: Parameter = Parameter {
    name: "payment",
    summary: "Only entries about this payment, reads of its personal data included.",
    kind: Kind::Text,
};
pub(super) const OF_ACCOUNT: Parameter = Parameter {
    name: "account",
    summary: "Only entries that change this account, given by its id or its address.",
    kind: Kind::Text,
};
pub(super) const SIDE: Parameter = Parameter {
    name: "side",
    summary: "`debits`: only transfers out of the account. `credits`: only transfers into it.",
    kind: Kind::Text,
};
pub(super) const MIN_TIMESTAMP: Parameter =
    Parameter { name: "min_timestamp", summary: "Only those made at this time or later, RFC 3339.", kind: Kind::Text };
pub(super) const MAX_TIMESTAMP: Parameter = Parameter {
    name: "max_timestamp",
    summary: "Only those made at this time or earlier, RFC 3339.",
    kind: Kind::Text,
};
pub(super) const REVERSED: Parameter =
    Parameter { name: "reversed", summary: "If `true`, from the newest to the oldest.", kind: Kind::Flag };
pub(super) const AT: Parameter = Parameter {
    name: "at",
    summary: "The balances at this instant, RFC 3339. Transfers exactly at the instant count. Default: now.",
    kind: Kind::Text,
};
pub(super) const CLOCK: Parameter = Parameter {
    name: "clock",
    summary: "Requires `at`. `booked`: what was recorded by then counts. `occurred`: what had happened by then counts, \
              even if it was recorded later; only for accounts with at most 200,000 transfers. Default: `booked`.",
    kind: Kind::Text,
};
pub(super) const FROM: Parameter = Parameter {
    name: "from",
    summary: "The start of the period, inclusive, RFC 3339. Default: the beginning.",
    kind: Kind::Text,
};
pub(super) const TO: Parameter =
    Parameter { name: "to", summary: "The end of the period, exclusive, RFC 3339. Default: now.", kind: Kind::Text };
