-- min_program: 0.1.0
-- Pairs: a SIP user and an XMPP user. Times are Unix milliseconds.
-- An authorisation is permanent (XMPP's subscription); a dialog expires (SIP's subscription).
-- Rows that are changed all the time leave room on their pages, so that a change needs no entry in an index, and are
-- tidied up long before a fifth of the table is dead. Names are compared byte by byte, as the program compares them.

-- Versions of records. Each is this number and 16 random bits: a number that a crashed server gives once more cannot
-- be taken for that of a commit that was lost with it.
CREATE SEQUENCE pair_version;

CREATE TABLE pair (
    pair_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    local         text COLLATE "C" NOT NULL,
    remote        text COLLATE "C" NOT NULL,
    remote_domain text COLLATE "C" NOT NULL,
    version       bigint NOT NULL,
    serial        bigint NOT NULL,
    due_at        bigint,
    claimed_until bigint NOT NULL DEFAULT 0,
    UNIQUE (local, remote)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX pair_due ON pair (due_at) WHERE due_at IS NOT NULL;
-- Without the remote name: a row of an index ends at 2704 bytes, and names may have 1277 each.
CREATE INDEX pair_domain ON pair (remote_domain, local);

-- The XMPP user watches the SIP user.
CREATE TABLE authorisation_in (
    pair_id         bigint PRIMARY KEY REFERENCES pair ON DELETE CASCADE,
    state           text NOT NULL CHECK (state IN ('none', 'held', 'pending', 'authorised')),
    since_ms        bigint NOT NULL,
    is_resync       boolean NOT NULL,
    is_told         boolean NOT NULL,
    lease_until     bigint NOT NULL,
    is_lease_probed boolean NOT NULL,
    attempts        bigint NOT NULL,
    quick_count     bigint NOT NULL,
    quick_since     bigint NOT NULL,
    refusal_due     bigint,
    probe           text,
    backoff_until   bigint,
    may_hurry       boolean NOT NULL,
    gone_ms         bigint
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX authorisation_in_held ON authorisation_in (pair_id) WHERE state = 'held';

-- The SIP user watches the XMPP user.
CREATE TABLE authorisation_out (
    pair_id         bigint PRIMARY KEY REFERENCES pair ON DELETE CASCADE,
    state           text NOT NULL CHECK (state IN ('none', 'pending-out', 'to')),
    since_ms        bigint NOT NULL,
    asked_at        bigint NOT NULL,
    retry_at        bigint,
    attempts        bigint NOT NULL,
    cool_down_until bigint,
    last_seen_ms    bigint NOT NULL,
    stale_at        bigint
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- SIP dialogs of both kinds. A subscriber that is trying has no remote tag yet.
CREATE TABLE dialog (
    pair_id          bigint NOT NULL REFERENCES pair ON DELETE CASCADE,
    role             text NOT NULL CHECK (role IN ('subscriber', 'notifier')),
    call_id          text COLLATE "C" NOT NULL,
    local_tag        text COLLATE "C" NOT NULL,
    position         bigint NOT NULL,
    state            text NOT NULL CHECK (state IN ('trying', 'pending', 'active', 'closing', 'notifying')),
    remote_tag       text,
    local_uri        text,
    remote_uri       text,
    remote_target    text,
    route_set        text,
    local_cseq       bigint,
    remote_cseq      bigint,
    event            text,
    expires_s        bigint NOT NULL,
    expires_at       bigint NOT NULL,
    refresh_at       bigint,
    refresh_cseq     bigint,
    refresh_asked_s  bigint,
    refresh_until    bigint,
    is_dirty         boolean NOT NULL,
    paced_until      bigint NOT NULL,
    in_flight_cseq   bigint,
    in_flight_until  bigint,
    fetch_until      bigint,
    PRIMARY KEY (pair_id, role, call_id, local_tag)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- The presence of each device: what the XMPP user was last told ('in'), and what he last said ('out').
CREATE TABLE presence (
    pair_id      bigint NOT NULL REFERENCES pair ON DELETE CASCADE,
    direction    text NOT NULL CHECK (direction IN ('in', 'out')),
    position     bigint NOT NULL,
    resource     text NOT NULL,
    is_available boolean NOT NULL,
    show         text,
    priority     bigint,
    notes        text NOT NULL,
    since_ms     bigint,
    PRIMARY KEY (pair_id, direction, position)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- Stanzas sent whose arrival is not known yet: rows that live for seconds.
CREATE TABLE owed_stanza (
    pair_id   bigint NOT NULL REFERENCES pair ON DELETE CASCADE,
    kind      text NOT NULL,
    serial    bigint NOT NULL,
    resend_at bigint NOT NULL,
    PRIMARY KEY (pair_id, kind)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
