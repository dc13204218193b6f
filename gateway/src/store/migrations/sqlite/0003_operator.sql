-- What operators have configured and done, and who they are. Times are Unix milliseconds, hashes SHA-256.

-- Changes take the next revision from here, so that two of them cannot both be based on the same one.
CREATE TABLE operator_revision (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
);
INSERT INTO operator_revision VALUES (1, 0);

CREATE TABLE document (
    kind          TEXT NOT NULL,
    identity      TEXT NOT NULL,
    version       INTEGER NOT NULL,
    json          TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by    TEXT NOT NULL,
    PRIMARY KEY (kind, identity)
) WITHOUT ROWID;

CREATE TABLE external_access_grant (
    user_jid      TEXT PRIMARY KEY,
    policy        TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    changed_by    TEXT NOT NULL
) WITHOUT ROWID;

-- The end of the chain, kept apart: it shows when the last entries are cut off, and writers take turns on its row.
CREATE TABLE journal_end (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
);
INSERT INTO journal_end VALUES (1, 0, zeroblob(32));

CREATE TABLE journal (
    seq           INTEGER PRIMARY KEY,
    previous_hash BLOB NOT NULL,
    hash          BLOB NOT NULL,
    at_ms         INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    actor_kind    TEXT NOT NULL,
    address       TEXT NOT NULL,
    action        TEXT NOT NULL,
    object        TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    detail        TEXT NOT NULL
);

CREATE TABLE account (
    name            TEXT PRIMARY KEY,
    roles           TEXT NOT NULL,
    password_hash   TEXT,
    oidc_subject    TEXT UNIQUE,
    language        TEXT,
    is_disabled     INTEGER NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0,
    locked_until_ms INTEGER NOT NULL DEFAULT 0,
    changed_at_ms   INTEGER NOT NULL,
    version         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE login (
    token_hash   BLOB PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES account ON DELETE CASCADE,
    created_ms   INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    address      TEXT NOT NULL,
    csrf_hash    BLOB
) WITHOUT ROWID;
CREATE INDEX login_account ON login (account, last_seen_ms);

-- Tokens and links may belong to nobody who has an account: the operator on the gateway's own machine makes some too.
CREATE TABLE token (
    token_id     TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    token_hash   BLOB NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,
    account      TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER
) WITHOUT ROWID;

CREATE TABLE one_time (
    token_hash BLOB PRIMARY KEY,
    purpose    TEXT NOT NULL,
    account    TEXT,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Numbers are never used again: who reads page by page must not miss what comes after a purge.
CREATE TABLE archived_message (
    message_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms      INTEGER NOT NULL,
    partner    TEXT NOT NULL,
    local      TEXT NOT NULL,
    remote     TEXT NOT NULL,
    direction  TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,
    stanza_id  TEXT,
    outcome    TEXT
);
CREATE INDEX archived_message_age ON archived_message (partner, at_ms);
CREATE INDEX archived_message_partner ON archived_message (partner, message_id);
CREATE INDEX archived_message_local ON archived_message (local, message_id);
CREATE INDEX archived_message_remote ON archived_message (remote, message_id);
