//! The query parameters that routes take.

use super::{Kind, Parameter};

pub(super) const CURSOR: Parameter =
    Parameter { name: "cursor", summary: "Where to go on: the `next_cursor` of the page before.", kind: Kind::Text };
pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", summary: "Items at most, 1 to 1000; 100 if not given.", kind: Kind::Number };
pub(super) const SEGMENT: Parameter =
    Parameter { name: "from", summary: "The number of the first segment; 1 if not given.", kind: Kind::Number };
pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    summary: "With `wait_ms`: the answer waits until an entry after this sequence is durable.",
    kind: Kind::Number,
};
pub(super) const WAIT_MS: Parameter = Parameter {
    name: "wait_ms",
    summary: "With `after`: how long the answer waits at most, in milliseconds, 0 to 30000.",
    kind: Kind::Number,
};
pub(super) const OFFSET: Parameter =
    Parameter { name: "offset", summary: "The first byte of its file; 0 if not given.", kind: Kind::Number };
pub(super) const BYTES: Parameter =
    Parameter { name: "bytes", summary: "Bytes at most, 1 to 4194304; 1048576 if not given.", kind: Kind::Number };
pub(super) const LEDGER: Parameter =
    Parameter { name: "ledger", summary: "Only those in this ledger.", kind: Kind::Number };
pub(super) const CODE: Parameter =
    Parameter { name: "code", summary: "Only those with this code.", kind: Kind::Number };
pub(super) const USER_DATA_128: Parameter = Parameter {
    name: "user_data_128",
    summary: "Only those with this `user_data_128`: a decimal, not 0, or a hyphenated UUID.",
    kind: Kind::Text,
};
pub(super) const USER_DATA_64: Parameter = Parameter {
    name: "user_data_64",
    summary: "Only those with this `user_data_64`: a decimal, not 0.",
    kind: Kind::Text,
};
pub(super) const USER_DATA_32: Parameter =
    Parameter { name: "user_data_32", summary: "Only those with this `user_data_32`, not 0.", kind: Kind::Number };
pub(super) const DRY_RUN: Parameter = Parameter {
    name: "dry_run",
    summary: "`true`: the request is judged and answered, with `\"dry_run\": true` and balances as they would be; \
              nothing is recorded.",
    kind: Kind::Flag,
};
pub(super) const ADDRESS_PREFIX: Parameter = Parameter {
    name: "address_prefix",
    summary: "Only those whose address is this, or goes on behind it with a colon; in order of address.",
    kind: Kind::Text,
};
pub(super) const METADATA: Parameter = Parameter {
    name: "metadata.<key>",
    summary: "Only those whose metadata has exactly this JSON under the key, such as `metadata.tier=\"gold\"`.",
    kind: Kind::Text,
};
pub(super) const STATUS: Parameter =
    Parameter { name: "status", summary: "Only payments with this status.", kind: Kind::Text };
pub(super) const TEMPLATE: Parameter = Parameter {
    name: "template",
    summary: "Only the account that the active policy keeps under this template.",
    kind: Kind::Text,
};
pub(super) const BALANCES: Parameter = Parameter {
    name: "balances",
    summary: "`true`: each result is followed by the balances of both accounts; `false` if not given.",
    kind: Kind::Flag,
};
pub(super) const HOLDER: Parameter = Parameter {
    name: "holder",
    summary: "With `template`: whose account, when the template has one for each.",
    kind: Kind::Text,
};
pub(super) const ACCOUNT: Parameter =
    Parameter { name: "account", summary: "Only those of this account: its id or its address.", kind: Kind::Text };
pub(super) const SIDE: Parameter = Parameter {
    name: "side",
    summary: "`debits` or `credits`: only those that leave the account, or only those that reach it.",
    kind: Kind::Text,
};
pub(super) const MIN_TIMESTAMP: Parameter =
    Parameter { name: "min_timestamp", summary: "Only those made then or later, RFC 3339.", kind: Kind::Text };
pub(super) const MAX_TIMESTAMP: Parameter =
    Parameter { name: "max_timestamp", summary: "Only those made then or earlier, RFC 3339.", kind: Kind::Text };
pub(super) const REVERSED: Parameter =
    Parameter { name: "reversed", summary: "`true`: from the latest to the earliest.", kind: Kind::Flag };
pub(super) const AT: Parameter = Parameter {
    name: "at",
    summary: "As of this instant, RFC 3339; what stands exactly there counts. Now if not given.",
    kind: Kind::Text,
};
pub(super) const CLOCK: Parameter = Parameter {
    name: "clock",
    summary: "With `at`: `booked`, as the books stood then, or `occurred`, as what had happened by then leaves it, \
              whenever it was booked. `booked` if not given.",
    kind: Kind::Text,
};
pub(super) const FROM: Parameter =
    Parameter { name: "from", summary: "The first instant, RFC 3339; the beginning if not given.", kind: Kind::Text };
pub(super) const TO: Parameter = Parameter {
    name: "to",
    summary: "The first instant after the period, RFC 3339; now if not given.",
    kind: Kind::Text,
};
