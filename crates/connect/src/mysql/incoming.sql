-- Temporary tables for rows that change rows of earlier batches. They live as long as the connection.

create temporary table if not exists transfers_in (
    id varchar(47) primary key,
    state varchar(8) not null
) engine = InnoDB character set ascii collate ascii_bin;

create temporary table if not exists payments_in (
    id char(36) primary key,
    status varchar(32),
    amount decimal(39),
    captured decimal(39),
    released decimal(39),
    refunded decimal(39),
    has_deadline boolean not null,
    deadline datetime(6),
    deadline_ns bigint unsigned,
    label varchar(64),
    label_positive boolean,
    sequence bigint unsigned not null
) engine = InnoDB character set ascii collate ascii_bin;

create temporary table if not exists metadata_in (
    number bigint unsigned primary key,
    kind varchar(16) not null,
    id varchar(47) not null,
    `key` varchar(64) character set utf8mb4 collate {exact} not null,
    value longtext character set utf8mb4,
    sequence bigint unsigned not null
) engine = InnoDB character set ascii collate ascii_bin;
