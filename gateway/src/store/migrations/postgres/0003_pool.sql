-- min_program: 0.1.0
-- What gateways know of each other. Times are Unix milliseconds.

-- One row a process: what it said last. Rewritten every second, so that a page has room for the next version of its rows.
CREATE TABLE replica (
    replica_id TEXT COLLATE "C" PRIMARY KEY,
    seen_ms    BIGINT NOT NULL,
    report     TEXT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE duty (
    duty        TEXT COLLATE "C" PRIMARY KEY,
    token       TEXT NOT NULL,
    holder      TEXT NOT NULL,
    until_ms    BIGINT NOT NULL,
    is_finished BOOLEAN NOT NULL
);
CREATE INDEX duty_until ON duty (until_ms);

-- What edges were told last: of which revision, and whose files lead. Version 0 is before the first.
CREATE TABLE pool_snapshot (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    digest   TEXT NOT NULL,
    version  BIGINT NOT NULL
);
INSERT INTO pool_snapshot VALUES (1, 0, '', 0);

CREATE TABLE pool_secret (
    name   TEXT COLLATE "C" PRIMARY KEY,
    secret BYTEA NOT NULL
);
