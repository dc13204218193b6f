-- min_program: 0.1.0
-- What operators have configured and done, and who they are. Times are Unix milliseconds, hashes SHA-256.
-- Names sort by their bytes, as everywhere in the gateway.

-- Changes take the next revision from here, so that two of them cannot both be based on the same one.
CREATE TABLE operator_revision (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value BIGINT NOT NULL
);
INSERT INTO operator_revision VALUES (1, 0);

CREATE TABLE document (
    kind          TEXT COLLATE "C" NOT NULL,
    identity      TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    json          TEXT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    changed_by    TEXT NOT NULL,
    PRIMARY KEY (kind, identity)
);

CREATE TABLE external_access_grant (
    user_jid      TEXT COLLATE "C" PRIMARY KEY,
    policy        TEXT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    changed_by    TEXT NOT NULL
);

-- The end of the chain, kept apart: it shows when the last entries are cut off, and writers take turns on its row.
-- So do those who change accounts, tokens and links.
CREATE TABLE journal_end (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO journal_end VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Text as bytes: what is hashed stays what it was, and TEXT cannot hold U+0000, which anybody can type at a sign-in.
CREATE TABLE journal (
    seq           BIGINT PRIMARY KEY,
    previous_hash BYTEA NOT NULL,
    hash          BYTEA NOT NULL,
    at_ms         BIGINT NOT NULL,
    actor         BYTEA NOT NULL,
    actor_kind    TEXT NOT NULL,
    address       BYTEA NOT NULL,
    action        BYTEA NOT NULL,
    object        BYTEA NOT NULL,
    outcome       TEXT NOT NULL,
    detail        BYTEA NOT NULL
);

-- Versions are never used again, so that an account made anew does not look like the one that somebody still holds.
CREATE SEQUENCE account_version AS BIGINT;

CREATE TABLE account (
    name            TEXT COLLATE "C" PRIMARY KEY,
    roles           TEXT NOT NULL,
    password_hash   TEXT,
    oidc_subject    TEXT COLLATE "C" UNIQUE,
    language        TEXT,
    is_disabled     BOOLEAN NOT NULL,
    failures        BIGINT NOT NULL DEFAULT 0,
    locked_until_ms BIGINT NOT NULL DEFAULT 0,
    changed_at_ms   BIGINT NOT NULL,
    version         BIGINT NOT NULL
);

CREATE TABLE login (
    token_hash   BYTEA PRIMARY KEY,
    account      TEXT COLLATE "C" NOT NULL REFERENCES account ON DELETE CASCADE,
    created_ms   BIGINT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    address      TEXT NOT NULL,
    csrf_hash    BYTEA
);
CREATE INDEX login_account ON login (account, last_seen_ms);

-- Tokens and links may belong to nobody who has an account: the operator on the gateway's own machine makes some too.
CREATE TABLE token (
    token_id     TEXT COLLATE "C" PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    token_hash   BYTEA NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT,
    last_used_ms BIGINT
);

CREATE TABLE one_time (
    token_hash BYTEA PRIMARY KEY,
    purpose    TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C",
    expires_ms BIGINT NOT NULL
);

-- The last number given. Numbers are never used again, and writers take turns on this row: a sequence would let a
-- message become visible behind a later one, and who reads page by page would miss it.
CREATE TABLE archive_end (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    message_id BIGINT NOT NULL
);
INSERT INTO archive_end VALUES (1, 0);

CREATE TABLE archived_message (
    message_id BIGINT PRIMARY KEY,
    at_ms      BIGINT NOT NULL,
    partner    TEXT COLLATE "C" NOT NULL,
    local      TEXT COLLATE "C" NOT NULL,
    remote     TEXT COLLATE "C" NOT NULL,
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
