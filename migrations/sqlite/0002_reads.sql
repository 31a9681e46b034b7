-- What readers ask for: counts by kind and by type, and the earlier images of memories.
--
-- `head.kind` repeats the image's, and the index of lists holds it: counting opens neither heads nor
-- images. An index of its own would cost every creation some 4 us, and this one costs it less than
-- one; an update pays 8 us for either.

ALTER TABLE head ADD COLUMN kind TEXT;          -- of the image; null: a tombstone
UPDATE head SET kind = (SELECT image.kind FROM image WHERE image.n = head.image);
DROP INDEX head_list;
CREATE INDEX head_list ON head (space, id, kind);

-- Every relation, and the few that are dead: what is live is the difference. An update of a live
-- relation touches neither.
CREATE INDEX relation_kind ON relation (space, kind);
CREATE INDEX relation_dead ON relation (space, kind) WHERE weight IS NULL;

-- A space that keeps its history: from when on it is whole. Null: nothing was written since.
ALTER TABLE space ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
ALTER TABLE space ADD COLUMN history_since INTEGER;
UPDATE space SET history = coalesce(json_extract(declaration, '$.history'), 0);

-- The heads that were, of spaces that keep their history: written in the finish that replaces one,
-- with its image, which no sweep drops as long as a row here points at it.
CREATE TABLE history (
    key        BLOB    NOT NULL,                -- of the memory's head
    e          INTEGER NOT NULL,
    s          INTEGER NOT NULL,
    image      INTEGER,                         -- null: a tombstone
    created_at INTEGER NOT NULL,
    since      INTEGER NOT NULL,                -- it was the head from here
    until      INTEGER NOT NULL,                -- to here, exclusive
    PRIMARY KEY (key, e, s)
) WITHOUT ROWID;
-- For the sweep, which asks of every image whether it is kept.
CREATE INDEX history_image ON history (image) WHERE image IS NOT NULL;
