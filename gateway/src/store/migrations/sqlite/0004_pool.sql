-- What several gateways know of each other. One file has one gateway; the tables are those of every store.
-- Times are Unix milliseconds.

CREATE TABLE replica (
    replica_id TEXT PRIMARY KEY,
    seen_ms    INTEGER NOT NULL,
    report     TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE duty (
    duty        TEXT PRIMARY KEY,
    token       TEXT NOT NULL,
    holder      TEXT NOT NULL,
    until_ms    INTEGER NOT NULL,
    is_finished INTEGER NOT NULL
) WITHOUT ROWID;

-- What edges were told last: of which revision, and whose files lead.
CREATE TABLE pool_snapshot (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    digest   TEXT NOT NULL,
    version  INTEGER NOT NULL
);

CREATE TABLE pool_secret (
    name   TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) WITHOUT ROWID;
