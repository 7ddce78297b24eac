-- The tables of a copy. Every statement can be repeated. {exact} is the collation that tells all texts apart, also those that differ only in
-- spaces at the end: MySQL and MariaDB have different names for it. All other texts are in ASCII.

create table if not exists `cursor` (
    one tinyint primary key check (one = 1),
    origin varchar(64) not null comment 'The history that the last entry belongs to',
    position bigint unsigned not null comment 'The sequence of the last entry whose effects are in the tables',
    root char(64) not null comment 'The Merkle root over the entries up to position, in hexadecimal',
    opening bigint unsigned comment 'While an import is being opened: the last staged entry whose row is in the tables',
    fence bigint unsigned not null comment 'Raised by each connector that takes the copy over, so that an earlier one can no longer write',
    projection integer unsigned not null comment 'The version of these tables',
    updated_at datetime(6) not null
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'How far the copy has come. Written in the transaction that writes the rows.';

create table if not exists ledgers (
    id bigint unsigned primary key,
    asset varchar(64) not null,
    opened_at datetime(6) not null,
    opened_at_ns bigint unsigned not null,
    sequence bigint unsigned not null
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'Ledgers: books of accounts in one asset. Amounts of EUR/2 are in euro cents.';

create table if not exists accounts (
    id char(36) primary key,
    ledger bigint unsigned not null,
    code integer unsigned not null,
    flags json not null,
    user_data_128 decimal(39) not null,
    user_data_64 bigint unsigned not null,
    user_data_32 bigint unsigned not null,
    opened_at datetime(6) not null,
    opened_at_ns bigint unsigned not null,
    debits_pending decimal(39) not null,
    debits_posted decimal(39) not null,
    credits_pending decimal(39) not null,
    credits_posted decimal(39) not null,
    min_balance decimal(39),
    max_balance decimal(39),
    address varchar(255),
    sequence bigint unsigned not null comment 'The last entry that changed the account'
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'Accounts with their balances, in minor units of the asset of the ledger';

-- New rows are added at the end of the table, and the indexes are small, because the primary key is a number. With the id as the primary
-- key, rows would be spread over the whole table.
create table if not exists transfers (
    id varchar(47) not null comment 'The id that a client gave the transfer, or <payment>/<number>',
    payment char(36),
    debit_account char(36) not null,
    credit_account char(36) not null,
    amount decimal(39) not null,
    pending_id varchar(47),
    state varchar(8) comment 'What became of a pending transfer: pending, posted, voided or expired, and null for any other',
    ledger bigint unsigned not null,
    code integer unsigned not null,
    flags json not null,
    user_data_128 decimal(39) not null,
    user_data_64 bigint unsigned not null,
    user_data_32 bigint unsigned not null,
    timeout_s bigint unsigned not null,
    created_at datetime(6) not null,
    created_at_ns bigint unsigned not null,
    sequence bigint unsigned not null,
    number bigint unsigned not null auto_increment primary key comment 'The order in which the rows were written',
    unique key transfers_id (id),
    key transfers_debit (debit_account, created_at),
    key transfers_credit (credit_account, created_at)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'Transfers, in minor units of the asset of the ledger. They never change, except for the state of a pending one.';

create table if not exists payments (
    id char(36) not null,
    type varchar(64) not null,
    status varchar(32) not null,
    ledger bigint unsigned not null,
    amount decimal(39) not null,
    captured decimal(39) not null,
    released decimal(39) not null,
    refunded decimal(39) not null,
    verdict varchar(32) not null,
    score integer unsigned not null,
    reasons json not null,
    tags json not null,
    attributes json not null,
    features json not null comment 'Every feature as it was at the moment of the decision: [{"name", "value"}], with "missing" where there was no value',
    models json not null,
    policy varchar(64) not null,
    policy_sequence bigint unsigned not null,
    late boolean not null,
    deadline datetime(6),
    deadline_ns bigint unsigned,
    label varchar(64),
    label_positive boolean,
    actor bigint unsigned not null,
    decided_at datetime(6) not null,
    decided_at_ns bigint unsigned not null,
    occurred_at datetime(6) not null,
    occurred_at_ns bigint unsigned not null,
    sequence bigint unsigned not null comment 'The entry that decided the payment',
    changed_sequence bigint unsigned not null comment 'The last entry about the payment',
    primary key (sequence),
    unique key payments_id (id),
    key payments_decided_at (decided_at)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'Payments in their current state, each with its decision. No personal data: entities are tokens.';

create table if not exists payment_changes (
    sequence bigint unsigned primary key,
    payment char(36) not null,
    cause varchar(32) not null,
    status varchar(32) not null,
    captured decimal(39) not null,
    released decimal(39) not null,
    refunded decimal(39) not null,
    at datetime(6) not null,
    actor bigint unsigned not null,
    key payment_changes_payment (payment)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'Every change of a payment after its decision, by a verb or a deadline';

create table if not exists payment_entities (
    payment char(36) not null,
    entity varchar(64) not null,
    token varchar(64) not null,
    primary key (payment, entity),
    key payment_entities_token (token)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'The entities of payments, such as the customer or the card, as tokens';

create table if not exists labels (
    sequence bigint unsigned primary key,
    payment char(36) not null,
    label varchar(64) not null,
    positive boolean not null,
    at datetime(6) not null,
    actor bigint unsigned not null,
    key labels_payment (payment)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'What payments turned out to be';

create table if not exists metadata (
    kind varchar(16) not null,
    id varchar(47) not null,
    `key` varchar(64) character set utf8mb4 collate {exact} not null,
    value longtext character set utf8mb4 not null comment 'JSON, as the client wrote it',
    sequence bigint unsigned not null,
    primary key (kind, id, `key`)
) engine = InnoDB character set ascii collate ascii_bin
  comment = 'What clients attached to accounts, transfers and payments';
