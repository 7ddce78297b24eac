-- The tables of a copy. Every statement can be repeated. {schema} is the name of the schema.

create table if not exists {schema}.cursor (
    one boolean primary key default true check (one),
    origin text not null,
    position bigint not null,
    root text not null,
    opening bigint,
    fence bigint not null,
    projection integer not null,
    updated_at timestamptz not null default now()
);
comment on table {schema}.cursor is 'How far the copy has come. Written in the transaction that writes the rows.';
comment on column {schema}.cursor.origin is 'The history that the last entry belongs to';
comment on column {schema}.cursor.position is 'The sequence of the last entry whose effects are in the tables';
comment on column {schema}.cursor.root is 'The Merkle root over the entries up to position, in hexadecimal';
comment on column {schema}.cursor.opening is 'While an import is being opened: the last staged entry whose row is in the tables';
comment on column {schema}.cursor.fence is 'Raised by each connector that takes the copy over; an earlier one can no longer write';
comment on column {schema}.cursor.projection is 'The version of these tables';

create table if not exists {schema}.ledgers (
    id bigint primary key,
    asset text not null,
    opened_at timestamptz not null,
    opened_at_ns bigint not null,
    sequence bigint not null
);
comment on table {schema}.ledgers is 'Ledgers: books of accounts in one asset. Amounts of EUR/2 are in euro cents.';

create table if not exists {schema}.accounts (
    id uuid primary key,
    ledger bigint not null,
    code integer not null,
    flags text[] not null,
    user_data_128 numeric(39) not null,
    user_data_64 numeric(20) not null,
    user_data_32 bigint not null,
    opened_at timestamptz not null,
    opened_at_ns bigint not null,
    debits_pending numeric(39) not null,
    debits_posted numeric(39) not null,
    credits_pending numeric(39) not null,
    credits_posted numeric(39) not null,
    min_balance numeric(39),
    max_balance numeric(39),
    address text,
    sequence bigint not null
);
comment on table {schema}.accounts is 'Accounts with their balances, in minor units of the asset of the ledger';
comment on column {schema}.accounts.sequence is 'The last entry that changed the account';

create table if not exists {schema}.transfers (
    id text primary key,
    payment uuid,
    debit_account uuid not null,
    credit_account uuid not null,
    amount numeric(39) not null,
    pending_id text,
    state text,
    ledger bigint not null,
    code integer not null,
    flags text[] not null,
    user_data_128 numeric(39) not null,
    user_data_64 numeric(20) not null,
    user_data_32 bigint not null,
    timeout_s bigint not null,
    created_at timestamptz not null,
    created_at_ns bigint not null,
    sequence bigint not null
);
comment on table {schema}.transfers is 'Transfers, in minor units of the asset of the ledger. They never change, except for the state of a pending one.';
comment on column {schema}.transfers.id is 'The id that a client gave the transfer, or <payment>/<number>';
comment on column {schema}.transfers.state is 'What became of a pending transfer: pending, posted, voided or expired; null for any other';
create index if not exists transfers_debit on {schema}.transfers (debit_account, created_at);
create index if not exists transfers_credit on {schema}.transfers (credit_account, created_at);

create table if not exists {schema}.payments (
    id uuid primary key,
    type text not null,
    status text not null,
    ledger bigint not null,
    amount numeric(39) not null,
    captured numeric(39) not null,
    released numeric(39) not null,
    refunded numeric(39) not null,
    verdict text not null,
    score integer not null,
    reasons jsonb not null,
    tags text[] not null,
    attributes jsonb not null,
    features jsonb not null,
    models jsonb not null,
    policy text not null,
    policy_sequence bigint not null,
    late boolean not null,
    deadline timestamptz,
    deadline_ns bigint,
    label text,
    label_positive boolean,
    actor bigint not null,
    decided_at timestamptz not null,
    decided_at_ns bigint not null,
    occurred_at timestamptz not null,
    occurred_at_ns bigint not null,
    sequence bigint not null,
    changed_sequence bigint not null
);
comment on table {schema}.payments is 'Payments in their current state, each with its decision. No personal data: entities are tokens.';
comment on column {schema}.payments.features is 'Every feature as it was at the moment of the decision: [{"name", "value"}], with "missing" where there was no value';
comment on column {schema}.payments.sequence is 'The entry that decided the payment';
comment on column {schema}.payments.changed_sequence is 'The last entry about the payment';
create index if not exists payments_decided_at on {schema}.payments (decided_at);

create table if not exists {schema}.payment_changes (
    sequence bigint primary key,
    payment uuid not null,
    cause text not null,
    status text not null,
    captured numeric(39) not null,
    released numeric(39) not null,
    refunded numeric(39) not null,
    at timestamptz not null,
    actor bigint not null
);
comment on table {schema}.payment_changes is 'Every change of a payment after its decision, by a verb or a deadline';
create index if not exists payment_changes_payment on {schema}.payment_changes (payment);

create table if not exists {schema}.payment_entities (
    payment uuid not null,
    entity text not null,
    token text not null,
    primary key (payment, entity)
);
comment on table {schema}.payment_entities is 'The entities of payments, such as the customer or the card, as tokens';
create index if not exists payment_entities_token on {schema}.payment_entities (token);

create table if not exists {schema}.labels (
    sequence bigint primary key,
    payment uuid not null,
    label text not null,
    positive boolean not null,
    at timestamptz not null,
    actor bigint not null
);
comment on table {schema}.labels is 'What payments turned out to be';
create index if not exists labels_payment on {schema}.labels (payment);

create table if not exists {schema}.metadata (
    kind text not null,
    id text not null,
    key text not null,
    value json not null,
    sequence bigint not null,
    primary key (kind, id, key)
);
comment on table {schema}.metadata is 'What clients attached to accounts, transfers and payments';
