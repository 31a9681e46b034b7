-- The ledger's first schema.
--
-- What is large is written once, keyed by a rising number and by nothing else (saga_record, image):
-- every insert goes to the right-hand page of its index. What moves is small (saga, head), with room
-- in its pages for the next version of a row. What is looked up by name is looked up by 16 bytes.
--
-- Times are microseconds since 1970, vectors are little-endian f32, hashes and keys are bytes, lists
-- and objects are JSON as text: jsonb would refuse a zero character that a client may write. For the
-- same reason clients' words that are no names (content, session, discriminator) are bytes of UTF-8.
-- Names compare byte by byte, whatever the database's collation.

CREATE TABLE ledger (
    id       integer PRIMARY KEY CHECK (id = 1),
    identity text NOT NULL
);

-- Blocks of numbers are taken from here, each process its own: a number is given out once.
CREATE TABLE numbers (
    name text PRIMARY KEY,
    last bigint NOT NULL
);
INSERT INTO numbers (name, last) VALUES ('record', 0), ('image', 0);

CREATE TABLE epoch (
    epoch       integer PRIMARY KEY,
    identity    text    NOT NULL,
    partitions  bigint  NOT NULL,
    partitioner text    NOT NULL
);

-- One row a partition: its lease, and the lock of every write to it. Rewritten by every transaction,
-- so its pages are mostly room.
CREATE TABLE partition (
    epoch         integer NOT NULL,
    partition     integer NOT NULL,
    nonce         bytea   NOT NULL,             -- 16 bytes, big-endian; zeros: nobody yet
    lease_epoch   bigint  NOT NULL DEFAULT 0,
    watermark     bigint  NOT NULL DEFAULT 0,
    anchor_offset bigint,
    anchor_crc    bigint,
    finishes      bigint  NOT NULL DEFAULT 0,
    published     bigint  NOT NULL DEFAULT 0,   -- the outbox's high-water mark
    unproven      integer NOT NULL DEFAULT 0,   -- owners in a row that never proved healthy
    PRIMARY KEY (epoch, partition)
) WITH (fillfactor = 10);

-- Spaces by a short number, so that the rows and indexes below need not repeat their names.
CREATE TABLE space (
    n             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text   COLLATE "C" NOT NULL,
    declaration   text,                         -- JSON; null: never declared
    live          bigint,                       -- how many live heads; null: nobody asked yet
    history       boolean NOT NULL DEFAULT false,
    history_since bigint                        -- from when on its history is whole
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX space_name ON space (name);

-- How far a saga has come: the small part, which moves, mostly once. Its partial indexes are named by
-- its state, so that an end is a new entry in the primary key; of the few rows that run, they stay small.
CREATE TABLE saga (
    epoch      integer  NOT NULL,
    partition  integer  NOT NULL,
    log_offset bigint   NOT NULL,
    record     bigint   NOT NULL,               -- saga_record.n
    space      bigint,                          -- space.n; null: its record could not be read
    state      smallint NOT NULL,
    finish     bigint   NOT NULL DEFAULT 0,
    attempts   integer  NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch, partition, log_offset)
) WITH (fillfactor = 80);
CREATE INDEX saga_unfinished ON saga (epoch, partition, log_offset) WHERE state < 3;
CREATE INDEX saga_unfinished_of ON saga (space, epoch, partition, log_offset) WHERE state < 3;

-- What a saga is: the large part, written once. Only a saga that waited is completed at its start,
-- and only one that did not end as its start foresaw gets another ending.
CREATE TABLE saga_record (
    n            bigint PRIMARY KEY,
    header       text,
    claims       boolean NOT NULL,
    dead_letter  boolean NOT NULL,
    body_hash    bytea   NOT NULL,
    duplicate_of bigint,
    accepted_at  bigint  NOT NULL,
    judgement    text    NOT NULL,
    keys         bytea,                         -- 17 bytes each: access, key
    body         bytea,                         -- while pending
    plan         text,                          -- all of the plan but the bytes of memories
    image_first  bigint,                        -- its images have consecutive numbers from here
    images       bigint  NOT NULL DEFAULT 0,
    writes       bytea,                         -- 17 bytes a memory: whether it has an image, key
    ending       text
);

-- Who holds an idempotency key.
CREATE TABLE claim (
    epoch      integer NOT NULL,
    key        bytea   NOT NULL,
    partition  integer NOT NULL,
    log_offset bigint  NOT NULL,
    PRIMARY KEY (epoch, key)
);

-- One row a transaction that ended sagas: the outbox, and what a checkpoint resumes from.
CREATE TABLE finish (
    epoch       integer NOT NULL,
    partition   integer NOT NULL,
    finish      bigint  NOT NULL,
    finished_at bigint  NOT NULL,
    offsets     bytea   NOT NULL,               -- sorted; LEB128 of the first, then of each distance
    PRIMARY KEY (epoch, partition, finish)
);

-- The bytes of a memory at one version. Immutable; swept when nothing points here any more. A row
-- stays in one piece up to a page: 384 floats and a paragraph would otherwise be moved out.
CREATE TABLE image (
    n              bigint PRIMARY KEY,
    key            bytea   NOT NULL,            -- of the memory's head
    epoch          integer NOT NULL,            -- of the saga that wrote it
    partition      integer NOT NULL,
    log_offset     bigint  NOT NULL,
    hash           bytea   NOT NULL,
    kind           text    COLLATE "C" NOT NULL,
    session        bytea,
    content        bytea   NOT NULL,
    properties     text    NOT NULL,
    importance     double precision NOT NULL,
    occurred_at    bigint  NOT NULL,
    valid_from     bigint  NOT NULL,
    valid_until    bigint,
    sparse_derived boolean NOT NULL,
    sparse_indices bytea,                       -- little-endian u32
    sparse_values  bytea,
    dense          bytea
) WITH (toast_tuple_target = 8160);
-- Floats do not get smaller by compression.
ALTER TABLE image ALTER COLUMN sparse_values SET STORAGE EXTERNAL, ALTER COLUMN dense SET STORAGE EXTERNAL;

-- The current version of a memory. Without an image: a tombstone.
CREATE TABLE head (
    n           bigint GENERATED ALWAYS AS IDENTITY (CACHE 1000) PRIMARY KEY,
    key         bytea   NOT NULL,
    space       bigint  NOT NULL,
    id          text    COLLATE "C" NOT NULL,
    e           integer NOT NULL,
    s           bigint  NOT NULL,
    image       bigint,
    kind        text    COLLATE "C",            -- of the image; null: a tombstone
    session     bytea,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    accessed_at bigint
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX head_key ON head (key);
-- Lists in id order, and counts by kind. An update that leaves the kind leaves the index alone.
CREATE INDEX head_list ON head (space, id, kind);
CREATE INDEX head_session ON head (space, session) WHERE session IS NOT NULL;

-- The current version of a relation, with its content. Without a weight: a tombstone.
CREATE TABLE relation (
    n             bigint GENERATED ALWAYS AS IDENTITY (CACHE 1000) PRIMARY KEY,
    key           bytea   NOT NULL,
    space         bigint  NOT NULL,
    source        text    COLLATE "C" NOT NULL,
    kind          text    COLLATE "C" NOT NULL,
    target        text    COLLATE "C" NOT NULL,
    discriminator bytea   NOT NULL,
    source_key    bytea   NOT NULL,             -- of the source's head
    target_key    bytea   NOT NULL,
    e             integer NOT NULL,
    s             bigint  NOT NULL,
    hash          bytea   NOT NULL,             -- of the content that was written: a marker
    weight        double precision,
    properties    text,
    valid_from    bigint,
    valid_until   bigint,
    used_at       bigint
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX relation_key ON relation (key);
CREATE INDEX relation_source ON relation (source_key);
CREATE INDEX relation_target ON relation (target_key);
-- Every relation, and the few that are dead: what is live is the difference.
CREATE INDEX relation_kind ON relation (space, kind);
CREATE INDEX relation_dead ON relation (space, kind) WHERE weight IS NULL;

-- The heads that were, of spaces that keep their history: written in the finish that replaces one,
-- with its image, which no sweep drops as long as a row here points at it.
CREATE TABLE history (
    key        bytea   NOT NULL,                -- of the memory's head
    e          integer NOT NULL,
    s          bigint  NOT NULL,
    image      bigint,                          -- null: a tombstone
    created_at bigint  NOT NULL,
    since      bigint  NOT NULL,                -- it was the head from here
    until      bigint  NOT NULL,                -- to here, exclusive
    PRIMARY KEY (key, e, s)
);
-- For the sweep, which asks of every image whether it is kept.
CREATE INDEX history_image ON history (image) WHERE image IS NOT NULL;
