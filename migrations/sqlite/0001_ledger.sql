-- The ledger's first schema.
--
-- What is large is written once, into rowid tables keyed by a rising integer and by nothing else
-- (saga_record, image): every insert goes to the last page. What moves is small (saga, head), and
-- what is looked up by name is looked up by 16 bytes. Times are microseconds since 1970, vectors are
-- little-endian f32, hashes and keys are bytes, lists and objects are JSON.

CREATE TABLE ledger (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    identity TEXT NOT NULL
);

CREATE TABLE epoch (
    epoch       INTEGER PRIMARY KEY,
    identity    TEXT    NOT NULL,
    partitions  INTEGER NOT NULL,
    partitioner TEXT    NOT NULL
);

CREATE TABLE partition (
    epoch         INTEGER NOT NULL,
    partition     INTEGER NOT NULL,
    nonce         BLOB    NOT NULL,             -- 16 bytes, big-endian; zeros: nobody yet
    lease_epoch   INTEGER NOT NULL DEFAULT 0,
    watermark     INTEGER NOT NULL DEFAULT 0,
    anchor_offset INTEGER,
    anchor_crc    INTEGER,
    finishes      INTEGER NOT NULL DEFAULT 0,
    published     INTEGER NOT NULL DEFAULT 0,   -- the outbox's high-water mark
    unproven      INTEGER NOT NULL DEFAULT 0,   -- owners in a row that never proved healthy
    PRIMARY KEY (epoch, partition)
) WITHOUT ROWID;

-- Spaces by a short number, so that the rows and indexes below need not repeat their names.
CREATE TABLE space (
    n           INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    declaration TEXT,                           -- JSON; null: never declared
    live        INTEGER                         -- how many live heads; null: nobody asked yet
);

-- How far a saga has come: the small part, which moves.
CREATE TABLE saga (
    epoch      INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    record     INTEGER NOT NULL,                -- saga_record.n
    space      INTEGER,                         -- space.n; null: its record could not be read
    state      INTEGER NOT NULL,
    finish     INTEGER NOT NULL DEFAULT 0,
    attempts   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch, partition, log_offset)
) WITHOUT ROWID;
CREATE INDEX saga_unfinished ON saga (epoch, partition, log_offset) WHERE state < 3;
CREATE INDEX saga_unfinished_of ON saga (space, epoch, partition, log_offset) WHERE state < 3;

-- What a saga is: the large part, written once. Only a saga that waited is completed at its start,
-- and only one that did not end as its start foresaw gets another ending.
CREATE TABLE saga_record (
    n            INTEGER PRIMARY KEY,
    header       TEXT,
    claims       INTEGER NOT NULL,
    dead_letter  INTEGER NOT NULL,
    body_hash    BLOB    NOT NULL,
    duplicate_of INTEGER,
    accepted_at  INTEGER NOT NULL,
    judgement    TEXT    NOT NULL,
    keys         BLOB,                          -- 17 bytes each: access, key
    body         BLOB,                          -- while pending
    plan         TEXT,                          -- all of the plan but the bytes of memories
    image_first  INTEGER,                       -- its images have consecutive numbers from here
    images       INTEGER NOT NULL DEFAULT 0,
    writes       BLOB,                          -- 17 bytes a memory: whether it has an image, key
    ending       TEXT
);

-- Who holds an idempotency key.
CREATE TABLE claim (
    epoch      INTEGER NOT NULL,
    key        BLOB    NOT NULL,
    partition  INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    PRIMARY KEY (epoch, key)
) WITHOUT ROWID;

-- One row a transaction that ended sagas: the outbox, and what a checkpoint resumes from.
CREATE TABLE finish (
    epoch       INTEGER NOT NULL,
    partition   INTEGER NOT NULL,
    finish      INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    offsets     BLOB    NOT NULL,               -- sorted; LEB128 of the first, then of each distance
    PRIMARY KEY (epoch, partition, finish)
) WITHOUT ROWID;

-- The bytes of a memory at one version. Immutable; swept when nothing points here any more.
CREATE TABLE image (
    n              INTEGER PRIMARY KEY,
    key            BLOB    NOT NULL,            -- of the memory's head
    epoch          INTEGER NOT NULL,            -- of the saga that wrote it
    partition      INTEGER NOT NULL,
    log_offset     INTEGER NOT NULL,
    hash           BLOB    NOT NULL,
    kind           TEXT    NOT NULL,
    session        TEXT,
    content        TEXT    NOT NULL,
    properties     TEXT    NOT NULL,
    importance     REAL    NOT NULL,
    occurred_at    INTEGER NOT NULL,
    valid_from     INTEGER NOT NULL,
    valid_until    INTEGER,
    sparse_derived INTEGER NOT NULL,
    sparse_indices BLOB,                        -- little-endian u32
    sparse_values  BLOB,
    dense          BLOB
);

-- The current version of a memory. Without an image: a tombstone.
CREATE TABLE head (
    n           INTEGER PRIMARY KEY,
    key         BLOB    NOT NULL,
    space       INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    e           INTEGER NOT NULL,
    s           INTEGER NOT NULL,
    image       INTEGER,
    session     TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    accessed_at INTEGER
);
CREATE UNIQUE INDEX head_key ON head (key);
-- Lists in id order. Not partial: its columns never change, so an update of a head leaves it alone.
CREATE INDEX head_list ON head (space, id);
CREATE INDEX head_session ON head (space, session) WHERE session IS NOT NULL;

-- The current version of a relation, with its content. Without a weight: a tombstone.
CREATE TABLE relation (
    n             INTEGER PRIMARY KEY,
    key           BLOB    NOT NULL,
    space         INTEGER NOT NULL,
    source        TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    target        TEXT    NOT NULL,
    discriminator TEXT    NOT NULL,
    source_key    BLOB    NOT NULL,             -- of the source's head
    target_key    BLOB    NOT NULL,
    e             INTEGER NOT NULL,
    s             INTEGER NOT NULL,
    hash          BLOB    NOT NULL,             -- of the content that was written: a marker
    weight        REAL,
    properties    TEXT,
    valid_from    INTEGER,
    valid_until   INTEGER,
    used_at       INTEGER
);
CREATE UNIQUE INDEX relation_key ON relation (key);
CREATE INDEX relation_source ON relation (source_key);
CREATE INDEX relation_target ON relation (target_key);
