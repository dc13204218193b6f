-- Pairs: a SIP user and an XMPP user. Times are Unix milliseconds.
-- An authorisation is permanent (XMPP's subscription); a dialog expires (SIP's subscription).

CREATE TABLE sequence (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
);
INSERT INTO sequence VALUES (1, 0);

CREATE TABLE pair (
    pair_id       INTEGER PRIMARY KEY,
    local         TEXT NOT NULL,
    remote        TEXT NOT NULL,
    remote_domain TEXT NOT NULL,
    version       INTEGER NOT NULL,
    serial        INTEGER NOT NULL,
    due_at        INTEGER,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (local, remote)
);
CREATE INDEX pair_due ON pair (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX pair_domain ON pair (remote_domain, pair_id);

-- The XMPP user watches the SIP user.
CREATE TABLE authorisation_in (
    pair_id         INTEGER PRIMARY KEY REFERENCES pair ON DELETE CASCADE,
    state           TEXT NOT NULL CHECK (state IN ('none', 'held', 'pending', 'authorised')),
    since_ms        INTEGER NOT NULL,
    is_resync       INTEGER NOT NULL,
    is_told         INTEGER NOT NULL,
    lease_until     INTEGER NOT NULL,
    is_lease_probed INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    quick_count     INTEGER NOT NULL,
    quick_since     INTEGER NOT NULL,
    refusal_due     INTEGER,
    probe           TEXT,
    backoff_until   INTEGER,
    may_hurry       INTEGER NOT NULL
);

-- The SIP user watches the XMPP user.
CREATE TABLE authorisation_out (
    pair_id         INTEGER PRIMARY KEY REFERENCES pair ON DELETE CASCADE,
    state           TEXT NOT NULL CHECK (state IN ('none', 'pending-out', 'to')),
    since_ms        INTEGER NOT NULL,
    asked_at        INTEGER NOT NULL,
    retry_at        INTEGER,
    attempts        INTEGER NOT NULL,
    cool_down_until INTEGER,
    last_seen_ms    INTEGER NOT NULL,
    stale_at        INTEGER
);

-- SIP dialogs of both kinds. A subscriber that is trying has no remote tag yet.
CREATE TABLE dialog (
    pair_id          INTEGER NOT NULL REFERENCES pair ON DELETE CASCADE,
    role             TEXT NOT NULL CHECK (role IN ('subscriber', 'notifier')),
    call_id          TEXT NOT NULL,
    local_tag        TEXT NOT NULL,
    position         INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('trying', 'pending', 'active', 'closing', 'notifying')),
    remote_tag       TEXT,
    local_uri        TEXT,
    remote_uri       TEXT,
    remote_target    TEXT,
    route_set        TEXT,
    local_cseq       INTEGER,
    remote_cseq      INTEGER,
    event            TEXT,
    expires_s        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    refresh_at       INTEGER,
    refresh_cseq     INTEGER,
    refresh_asked_s  INTEGER,
    refresh_until    INTEGER,
    is_dirty         INTEGER NOT NULL DEFAULT 0,
    paced_until      INTEGER NOT NULL DEFAULT 0,
    in_flight_cseq   INTEGER,
    in_flight_until  INTEGER,
    fetch_until      INTEGER,
    PRIMARY KEY (pair_id, role, call_id, local_tag)
) WITHOUT ROWID;

-- The presence of each device: what the XMPP user was last told ('in'), and what he last said ('out').
CREATE TABLE presence (
    pair_id      INTEGER NOT NULL REFERENCES pair ON DELETE CASCADE,
    direction    TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    position     INTEGER NOT NULL,
    resource     TEXT NOT NULL,
    is_available INTEGER NOT NULL,
    show         TEXT,
    priority     INTEGER,
    notes        TEXT NOT NULL,
    since_ms     INTEGER,
    PRIMARY KEY (pair_id, direction, position)
) WITHOUT ROWID;

-- Stanzas sent whose arrival is not known yet.
CREATE TABLE owed_stanza (
    pair_id   INTEGER NOT NULL REFERENCES pair ON DELETE CASCADE,
    kind      TEXT NOT NULL,
    serial    INTEGER NOT NULL,
    resend_at INTEGER NOT NULL,
    PRIMARY KEY (pair_id, kind)
) WITHOUT ROWID;
