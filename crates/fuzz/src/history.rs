//! The requests that happen before fuzz input is executed, and further valid requests: together, all kinds that the API
//! accepts.

use api::packed::{AccountRecord, TransferRecord};

/// Requests that succeed in this order.
pub(crate) const REQUESTS: &[&str] = &[
    "POST /v1/ledgers\n{\"id\": 1, \"asset\": \"EUR/2\"}",
    "POST /v1/accounts\n{\"id\": \"1\", \"ledger\": 1, \"code\": 1, \"address\": \"bank\"}",
    "POST /v1/accounts\n{\"id\": \"2\", \"ledger\": 1, \"code\": 2, \"flags\": [\"debits_must_not_exceed_credits\", \
     \"history\"], \"address\": \"customers:c42:wallet\", \"user_data_128\": \"7\", \"user_data_64\": \"8\", \
     \"user_data_32\": 9, \"metadata\": {\"tier\": \"gold\", \"since\": 2026}, \"limits\": {\"max_balance\": \"1000000\"}}",
    "POST /v1/accounts/batch\n{\"accounts\": [{\"id\": \"3\", \"ledger\": 1, \"code\": 3, \"flags\": [\"linked\"]}, \
     {\"id\": \"4\", \"ledger\": 1, \"code\": 3, \"flags\": [\"credits_must_not_exceed_debits\"]}]}",
    "POST /v1/transfers\n{\"id\": \"7\", \"debit_account\": \"bank\", \"credit_account\": \"customers:c42:wallet\", \
     \"amount\": \"1250\", \"asset\": \"EUR/2\", \"code\": 1, \"metadata\": {\"order\": [1, {\"a\": null}]}}",
    "POST /v1/transfers\n{\"id\": \"8\", \"debit_account\": \"2\", \"credit_account\": \"3\", \"amount\": \"100\", \
     \"asset\": \"EUR/2\", \"code\": 1, \"flags\": [\"pending\"], \"timeout_s\": 3600}",
    "POST /v1/transfers\n{\"id\": \"9\", \"debit_account\": \"2\", \"credit_account\": \"3\", \"amount\": \"50\", \
     \"asset\": \"EUR/2\", \"code\": 1, \"flags\": [\"pending\"]}",
    "POST /v1/transfers\n{\"id\": \"10\", \"pending_id\": \"9\", \"amount\": \"20\", \"flags\": \
     [\"post_pending_transfer\"]}",
    "POST /v1/transfers\n{\"id\": \"11\", \"debit_account\": \"1\", \"credit_account\": \"2\", \"amount\": \"5\", \
     \"asset\": \"EUR/2\", \"code\": 1, \"scheduled_at\": \"2027-01-01T00:00:00Z\"}",
    "POST /v1/transfers/batch\n{\"atomic\": true, \"transfers\": [{\"id\": \"12\", \"debit_account\": \"1\", \
     \"credit_account\": \"3\", \"amount\": \"1\", \"asset\": \"EUR/2\", \"code\": 1}, {\"id\": \"13\", \
     \"debit_account\": \"3\", \"credit_account\": \"1\", \"amount\": \"max\", \"asset\": \"EUR/2\", \"code\": 1, \
     \"flags\": [\"balancing_debit\"]}]}",
    "POST /v1/accounts/3/address\n{\"address\": \"shops:s1\"}",
    "POST /v1/accounts/2/limits\n{\"min_balance\": \"0\", \"max_balance\": \"5000000\"}",
    "POST /v1/accounts/2/metadata\n{\"metadata\": {\"tier\": null, \"colour\": \"red\"}}",
    "POST /v1/transfers/7/metadata\n{\"metadata\": {\"note\": \"paid\"}}",
    "POST /v1/ledgers/1/indexes\n{\"fields\": [\"user_data_128\", \"code\"]}",
    "POST /v1/payments\n{\"id\": \"20\", \"type\": \"top_up\", \"amount\": \"100000\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\"}}",
    "POST /v1/payments\n{\"id\": \"23\", \"type\": \"top_up\", \"amount\": \"1000\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\"}}",
    "POST /v1/payments\n{\"id\": \"21\", \"type\": \"transfer\", \"amount\": \"60000\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\", \"recipient\": \"bob\", \"country\": \"NO\", \"email\": \"a@example.org\", \
     \"trusted\": true, \"rate\": 1.25, \"age\": 41, \"since\": \"2020-01-01T00:00:00Z\", \"from\": \"3\"}}",
    "POST /v1/payments\n{\"id\": \"22\", \"type\": \"card\", \"amount\": \"500\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\"}, \"occurred_at\": \"2026-11-18T11:06:00Z\"}",
    "POST /v1/payments/22/metadata\n{\"metadata\": {\"basket\": {\"items\": 3}}}",
    "POST /v1/labels\n{\"payment\": \"20\", \"label\": \"legitimate\"}",
    "POST /v1/ledgers\n{\"id\": 2, \"asset\": \"BTC/8\"}",
    "POST /v1/imports\n{\"id\": \"30\", \"ledger\": 2, \"content\": \
     \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}",
    "POST /v1/api-keys\n{\"name\": \"checkout\", \"new_principal\": {\"kind\": \"service\", \"name\": \"checkout\"}, \
     \"scopes\": [\"payments:read\", \"payments:write\"], \"expires_at\": \"2027-11-18T00:00:00Z\"}",
    "POST /v1/api-keys\n{\"name\": \"Ann\", \"principal\": 1, \"role\": \"administrator\"}",
    "POST /v1/approval-rules\n{\"imports\": \"approval\", \"reversals_above\": {\"EUR/2\": \"9000\", \"BTC/8\": \"0\"}}",
    "POST /v1/proposals\n{\"id\": \"50\", \"transfer\": {\"id\": \"60\", \"debit_account\": \"bank\", \"credit_account\": \"3\", \
     \"amount\": \"7\", \"asset\": \"EUR/2\", \"code\": 1}, \"reason\": \"ticket 4711\", \"expires_in_s\": 3600}",
    "POST /v1/proposals\n{\"id\": \"51\", \"set_limits\": {\"account\": \"customers:c42:wallet\", \"min_balance\": \"-5\"}}",
    "POST /v1/proposals/51/withdraw\n",
    "POST /v1/lists\n{\"name\": \"countries\", \"holds\": \"text\", \"purpose\": \"block\", \"description\": \"sanctions\"}",
    "POST /v1/lists\n{\"name\": \"customers\", \"holds\": \"customer\", \"purpose\": \"watch\"}",
    "POST /v1/lists\n{\"name\": \"unused\", \"holds\": \"text\", \"purpose\": \"allow\"}",
    "POST /v1/lists/countries/values\n{\"values\": [{\"value\": \"KP\", \"reason\": \"un\", \"expires_at\": \
     \"2027-11-18T00:00:00Z\"}, {\"value\": \"IR\"}]}",
    "POST /v1/lists/customers/values\n{\"values\": [{\"value\": \"ann\", \"reason\": \"case 7\"}]}",
    "POST /v1/lists/countries/remove-values\n{\"values\": [\"IR\"]}",
    "POST /v1/lists/unused/delete\n",
    // Again, so that the request that deletes it finds it.
    "POST /v1/lists\n{\"name\": \"unused\", \"holds\": \"text\", \"purpose\": \"allow\"}",
    "PUT /v1/entities/customer/ann\n{\"attributes\": {\"level\": 2, \"segment\": \"business\", \"limit\": 0.5, \
     \"staff\": false, \"opened_at\": \"2026-01-31T00:00:00Z\"}}",
];

/// Valid requests that have not been made yet: one for each route with a JSON body or with none.
pub(crate) const MORE: &[&str] = &[
    "POST /v1/transfers?dry_run=true\n{\"id\": \"40\", \"debit_account\": \"1\", \"credit_account\": \"3\", \"amount\": \
     \"9007199254740993\", \"asset\": \"EUR/2\", \"code\": 65535, \"user_data_128\": \
     \"01234567-89ab-cdef-0123-456789abcdef\"}",
    "POST /v1/transfers\n{\"id\": \"41\", \"pending_id\": \"8\", \"flags\": [\"void_pending_transfer\"]}",
    "POST /v1/transfers/12/reverse\n{}",
    "POST /v1/transfers/11/cancel\n",
    "POST /v1/payments/batch\n{\"payments\": [{\"id\": \"24\", \"type\": \"top_up\", \"amount\": \"5\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\"}}, {\"id\": \"25\", \"type\": \"none\", \"amount\": \"1\", \"asset\": \"EUR/2\"}]}",
    "POST /v1/payments/21/approve\n{}",
    "POST /v1/payments/21/decline\n",
    "POST /v1/payments/22/capture?dry_run=true\n",
    "POST /v1/payments/22/increment\n{\"amount\": \"100\"}",
    "POST /v1/payments/22/void\n",
    "POST /v1/payments/23/refund\n",
    "POST /v1/payments/verbs/batch\n{\"verbs\": [{\"payment\": \"22\", \"verb\": \"capture\", \"amount\": \"5\", \"final\": true, \
     \"idempotency_key\": \"a\"}, {\"payment\": \"22\", \"verb\": \"refund\", \"idempotency_key\": \"b\"}]}",
    "POST /v1/labels\n{\"payment\": \"22\", \"label\": \"fraud\"}",
    "POST /v1/api-keys\n{\"name\": \"audit\", \"new_principal\": {\"kind\": \"person\", \"name\": \"Bo\"}, \
     \"role\": \"auditor\"}",
    "POST /v1/api-keys/2/revoke\n{}",
    "POST /v1/api-keys/3/revoke\n",
    "POST /v1/approval-rules\n{\"limits\": \"approval\", \"imports\": \"approval\", \"reversals_above\": {\"EUR/2\": \"1\", \
     \"BTC/8\": \"0\"}}",
    "POST /v1/proposals\n{\"id\": \"52\", \"transfer\": {\"pending_id\": \"8\", \"amount\": \"max\", \"flags\": \
     [\"post_pending_transfer\"]}}",
    "POST /v1/proposals\n{\"id\": \"53\", \"reverse\": {\"transfer\": \"7\"}}",
    "POST /v1/proposals\n{\"id\": \"54\", \"open_import\": {\"import\": \"30\"}}",
    "POST /v1/proposals\n{\"id\": \"55\", \"approval_rules\": {\"limits\": \"direct\"}}",
    "POST /v1/proposals/50/withdraw\n{}",
    "POST /v1/payments\n{\"id\": \"42\", \"type\": \"card\", \"amount\": \"90000\", \"asset\": \"EUR/2\", \
     \"attributes\": {\"customer\": \"ann\"}}",
    "POST /v1/lists\n{\"name\": \"more\", \"holds\": \"merchant\", \"purpose\": \"block\"}",
    "POST /v1/lists/countries/values\n{\"values\": [{\"value\": \"SY\"}]}",
    "POST /v1/lists/customers/remove-values\n{\"tokens\": [\"00000000-0000-0000-0000-000000000007\"]}",
    "POST /v1/lists/customers/delete\n{}",
    "PUT /v1/entities/customer/ann\n{\"attributes\": {\"level\": 3, \"segment\": null}}",
    "POST /v1/tenants\n{\"name\": \"acme\", \"mode\": \"test\", \"sandbox_of\": 2, \"quotas\": {\"requests_per_second\": 100}}",
    "POST /v1/tenants/2/quotas\n{\"requests_per_second\": 100, \"disk_bytes\": 1073741824}",
    "POST /v1/clients\n{\"name\": \"shop\", \"tenant\": 2, \"role\": \"developer\", \"authentication\": {\"method\": \"client_secret\"}}",
    "POST /v1/issuers\n{\"issuer\": \"https://id.example\", \"audience\": \"pay\", \"algorithms\": [\"ES256\"], \"tenants\": \
     {\"fixed\": 1}, \"rules\": [{\"claim\": [\"realm_access\", \"roles\"], \"value\": \"pay\", \"scopes\": [\"payments:write\"]}]}",
    "POST /v1/roles\n{\"name\": \"cashier\", \"scopes\": [\"payments:read\", \"payments:write\"], \"summary\": \"Takes cards.\"}",
];

/// Valid queries.
pub(crate) const QUESTIONS: &[&str] = &[
    "GET /v1/ledgers",
    "GET /v1/ledgers/1/trial-balance?at=2026-11-18T00:00:00.5%2B02:00",
    "GET /v1/balances?address_prefix=customers:&ledger=1",
    "GET /v1/accounts?limit=5&ledger=1&code=2&user_data_128=7&user_data_64=8&user_data_32=9&address_prefix=customers",
    "GET /v1/accounts?metadata.colour=%22red%22&metadata.since=2026",
    "GET /v1/accounts?template=wallet&holder=ann",
    "GET /v1/accounts/customers:c42:wallet",
    "GET /v1/accounts/00000000-0000-0000-0000-000000000002/transfers?side=debits&reversed=true&limit=1000",
    "GET /v1/accounts/2/balances?min_timestamp=2026-11-17T00:00:00Z&max_timestamp=2026-12-17T00:00:00Z",
    "GET /v1/accounts/2/balance?at=2026-11-18T00:00:00Z&clock=occurred",
    "GET /v1/accounts/2/statement?from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z&limit=7",
    "GET /v1/transfers?metadata.note=%22paid%22&cursor=00000000-0000-0000-0000-000000001234.0.m7",
    "GET /v1/transfers?cursor=00000000-0000-0000-0000-000000001234.0.j18446744073709551615",
    "GET /v1/transfers/7",
    "GET /v1/transfers/scheduled?cursor=00000000-0000-0000-0000-000000001234.0.s33113044223846187008000000001",
    "GET /v1/transfers/pending?account=customers:c42:wallet&ledger=1&limit=3",
    "GET /v1/imports/30",
    "GET /v1/api-keys?limit=2",
    "GET /v1/api-keys?cursor=00000000-0000-0000-0000-000000001234.0.k1",
    "GET /v1/api-keys/2",
    "GET /v1/approval-rules",
    "GET /v1/proposals?status=open&limit=2",
    "GET /v1/proposals?cursor=00000000-0000-0000-0000-000000001234.0.o1",
    "GET /v1/proposals/51",
    "GET /v1/lists",
    "GET /v1/lists/countries",
    "GET /v1/lists/countries/values?cursor=00000000-0000-0000-0000-000000001234.0.v184683593729&limit=2",
    "GET /v1/lists/customers/values/ann",
    "GET /v1/payments?status=in_review&limit=10",
    "GET /v1/payments?customer=bob&type=card&decision=approve&min_amount=1&max_amount=99&metadata.tier=7&reversed=true",
    "GET /v1/entities/customer/bob?limit=3",
    "GET /v1/payments/21/decision",
    "GET /v1/events?cursor=00000000-0000-0000-0000-000000001234.0.3&limit=2",
    "GET /v1/payments/21/personal-data",
    "GET /v1/audit?actor=1&kind=payment_changed,personal_data_read&since=2026-11-18T00:00:00Z&limit=2",
    "GET /v1/audit?payment=21&account=customers:c42:wallet&reversed=true&until=2027-01-01T00:00:00Z",
    "GET /v1/audit?cursor=00000000-0000-0000-0000-000000001234.0.u7",
    "GET /v1/installation/audit?actor=1&kind=setting_put,setting_removed&since=2026-11-18T00:00:00Z&reversed=true",
    "GET /v1/installation/journal/segments?from=1&limit=1&after=7&wait_ms=1000",
    "GET /v1/installation/journal/segments/1?offset=4096&bytes=65536",
];

/// The wallet policy that the tests share, with a file mapping that makes the rows of a file transfers.
pub(crate) fn policy() -> String {
    fixtures::WALLET.to_owned() + FILE
}

const FILE: &str = r#"
[file]
payment = "transfer"
id = "id"
time = "at"
amount = { column = "amount", unit = "major" }
label = { column = "fraud", positive = ["1"], delay = "7d" }
[file.attributes]
customer = "customer"
recipient = "recipient"
device = "device"
country = "country"
email = "email"
trusted = "trusted"
rate = "rate"
age = "age"
since = "since"
from = "from"
[entities.customer.attributes]
level = { type = "int" }
segment = { type = "string" }
limit = { type = "double" }
staff = { type = "bool" }
opened_at = { type = "timestamp" }
[features.level]
of = "customer"
attribute = "level"
[features.account_age]
of = "customer"
attribute = "opened_at"
[[rules]]
name = "low_level"
when = "has(features.level) && features.level < 2 && features.account_age < 86400"
then = { tag = "low level" }
[[tests]]
name = "low_level"
entities = [{ entity = "customer", key = "ann", before = "1h", attributes = { level = 1, opened_at = 2026-01-01T00:00:00Z } }]
payment = { payment = "top_up", amount = 100, attributes = { customer = "ann" } }
expect = { verdict = "approve", tags = ["low level"] }
"#;

/// The time of the imported rows.
const IMPORTED_NS: u64 = 1_600_000_000_000_000_000;

/// The request that stages the accounts of an import.
pub(crate) fn imported_accounts() -> Vec<u8> {
    let account = |id: u16| {
        let timestamp = IMPORTED_NS + u64::from(id);
        AccountRecord { id: id.into(), ledger: 2, code: 7, timestamp, ..AccountRecord::decode(&[0; 128]) }.encode()
    };
    let line: &[u8] = b"POST /v1/imports/30/rows?kind=accounts&first=0\n";
    [line, &account(301), &account(302)].concat()
}

/// The request that stages a transfer of the same import.
pub(crate) fn imported_transfers() -> Vec<u8> {
    let blank = TransferRecord::decode(&[0; 128]);
    let between = TransferRecord { debit_account_id: 301, credit_account_id: 302, ledger: 2, code: 1, ..blank };
    let transfer = TransferRecord { id: 303, amount: 5, timestamp: IMPORTED_NS + 303, ..between };
    let line: &[u8] = b"POST /v1/imports/30/rows?kind=transfers&first=0\n";
    [line, &transfer.encode()].concat()
}
