//! Every statement of the ledger, as a constant: `$n` is a parameter, and `keys`, `list`, `rows` and a
//! few more are spelled by the [dialect](super::dialect).
//!
//! **Invariant**: no statement names a partition but the one it is given, and none stands in a loop
//! over commands: a batch of any size is a few of them.

/// Rows are inserted through these: the text, and what each column of a row takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Bulk {
    pub(in crate::ledger) text: &'static str,
    pub(in crate::ledger) columns: &'static str,
}

macro_rules! bulk {
    ($(#[$doc:meta])* $name:ident, $columns:literal, $before:expr, $after:expr) => {
        $(#[$doc])*
        pub(in crate::ledger) const $name: Bulk = Bulk {
            text: concat!($before, " VALUES rows(", $columns, ") ", $after),
            columns: $columns,
        };
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub(in crate::ledger) const $name: &str = $text;)*
    };
}

/// A memory's content, as `rows::memory` reads it.
macro_rules! image_columns {
    () => {
        "image.hash, image.kind, image.session, image.content, image.properties, image.importance, \
         image.occurred_at, image.valid_from, image.valid_until, image.sparse_derived, \
         image.sparse_indices, image.sparse_values, image.dense"
    };
}

/// A head with its image, as `rows::head` reads it.
macro_rules! heads {
    ($rest:expr) => {
        heads_of!("head", $rest)
    };
}

/// As [`heads`], from a choice of heads.
macro_rules! heads_of {
    ($from:expr, $rest:expr) => {
        concat!(
            "SELECT head.key, space.name, head.id, head.e, head.s, head.created_at, head.updated_at, \
             head.accessed_at, head.n, head.image, ",
            image_columns!(),
            " FROM ",
            $from,
            " JOIN space ON space.n = head.space LEFT JOIN image ON image.n = head.image ",
            $rest
        )
    };
}

/// Heads that are or were, as `rows::past` reads them: a head's columns, and two more.
macro_rules! history {
    ($past:expr) => {
        concat!(
            "SELECT past.key, space.name, head.id, past.e, past.s, past.created_at, past.since, \
             NULL, head.n, past.image, ",
            image_columns!(),
            ", past.until, image.epoch, image.partition, image.log_offset FROM (",
            $past,
            ") AS past JOIN head ON head.key = past.key JOIN space ON space.n = head.space \
             LEFT JOIN image ON image.n = past.image ORDER BY past.e DESC, past.s DESC"
        )
    };
}

/// One hop further, from one end of relations to the other, where steps of these types lead that way at all.
macro_rules! step {
    ($from:literal, $to:literal, $leads:literal, $types:literal) => {
        concat!(
            "SELECT relation.",
            $to,
            ", reach.hops + 1 FROM reach then_join() relation ON relation.",
            $from,
            " = reach.key WHERE ",
            $leads,
            " AND reach.hops < $2 AND relation.weight IS NOT NULL AND (none(",
            $types,
            ") OR relation.kind IN list(",
            $types,
            ")) AND EXISTS (SELECT 1 FROM head WHERE head.key = relation.",
            $to,
            " AND head.image IS NOT NULL)"
        )
    };
}

/// The steps from one end, which is among what was reached, to the other one, which is live.
macro_rules! steps_from {
    ($from:literal, $to:literal, $leads:literal, $types:literal) => {
        relations!(
            "CAST((SELECT count(*) FROM reach) AS TEXT)",
            concat!(
                "relation JOIN space ON space.n = relation.space WHERE ",
                $leads,
                " AND relation.",
                $from,
                " IN (SELECT key FROM reach) AND relation.weight IS NOT NULL AND (none(",
                $types,
                ") OR relation.kind IN list(",
                $types,
                ")) AND (relation.",
                $to,
                " = $1 OR EXISTS (SELECT 1 FROM head WHERE head.key = relation.",
                $to,
                " AND head.image IS NOT NULL))"
            )
        )
    };
}

/// A relation's head, as `rows::relation` reads it, and the session that it was asked for by.
macro_rules! relations {
    ($session:literal, $rest:expr) => {
        concat!(
            "SELECT relation.key, space.name, relation.source, relation.kind, relation.target, \
             relation.discriminator, relation.e, relation.s, relation.hash, relation.weight, relation.properties, \
             relation.valid_from, relation.valid_until, relation.used_at, ",
            $session,
            " FROM ",
            $rest
        )
    };
}

/// Whole sagas, one row an image, as `rows::sagas` reads them. What has ended shows no images.
macro_rules! sagas {
    ($from:expr, $rest:expr) => {
        concat!(
            "SELECT saga.log_offset, saga.state, saga.finish, saga.attempts, finish.finished_at, \
             record.header, record.claims, record.dead_letter, record.body_hash, record.duplicate_of, \
             record.accepted_at, record.judgement, record.keys, record.body, record.plan, record.ending, \
             image.n, ",
            image_columns!(),
            " FROM ",
            $from,
            " JOIN saga_record AS record ON record.n = saga.record \
             LEFT JOIN finish ON finish.epoch = saga.epoch AND finish.partition = saga.partition \
                 AND finish.finish = saga.finish \
             LEFT JOIN image ON saga.state IN (1, 2) \
                 AND image.n >= record.image_first AND image.n < record.image_first + record.images ",
            $rest
        )
    };
}

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)";

    IDENTITY = "SELECT identity FROM ledger";
    NAME_LEDGER = "INSERT INTO ledger (id, identity) VALUES (1, $1) ON CONFLICT DO NOTHING";
    LAST_NUMBERS = "SELECT (SELECT coalesce(max(n), 0) FROM saga_record), \
        (SELECT coalesce(max(n), 0) FROM image)";

    EPOCH = "SELECT epoch, identity, partitions, partitioner FROM epoch ORDER BY epoch DESC LIMIT 1";
    EPOCH_NUMBERED = "SELECT epoch, identity, partitions, partitioner FROM epoch WHERE epoch = $1";
    OPEN_EPOCH = "INSERT INTO epoch (epoch, identity, partitions, partitioner) VALUES ($1, $2, $3, $4)";

    PARTITION = "SELECT nonce, lease_epoch, watermark, anchor_offset, anchor_crc, finishes, published, \
        unproven, halt, first_offset FROM partition WHERE epoch = $1 AND partition = $2";
    LOCK_PARTITION = "SELECT nonce, lease_epoch, watermark, anchor_offset, anchor_crc, finishes, published, \
        unproven, halt, first_offset FROM partition WHERE epoch = $1 AND partition = $2 alone()";
    TAKE_LEASE = "UPDATE partition SET nonce = $3, lease_epoch = lease_epoch + 1, \
        unproven = unproven + $5 \
        WHERE epoch = $1 AND partition = $2 AND lease_epoch = $4 \
            AND NOT EXISTS (SELECT 1 FROM epoch AS newer WHERE newer.epoch > $1)";
    WRITE_PARTITION = "UPDATE partition SET watermark = greatest(watermark, $3), anchor_offset = $4, \
        anchor_crc = $5, finishes = greatest(finishes, $6), published = greatest(published, $7), \
        unproven = $8, halt = $9 \
        WHERE epoch = $1 AND partition = $2";

    SPACE_NUMBERS = "SELECT name, n FROM space WHERE name IN list($1)";
    DECLARATIONS = "SELECT name, declaration FROM space WHERE name IN list($1) AND declaration IS NOT NULL";
    SPACES = "SELECT name FROM space WHERE declaration IS NOT NULL ORDER BY name";
    COUNT_LIVE = "SELECT n, live FROM space WHERE name = $1";
    START_COUNTING = "UPDATE space SET live = (SELECT count(*) FROM head \
        WHERE head.space = space.n AND head.image IS NOT NULL) WHERE n = $1 RETURNING live";
    /// Spaces that a write of heads does more for: those that count or keep their history.
    WATCHED = "SELECT n, live IS NOT NULL, history, history_since IS NULL FROM space \
        WHERE n IN list($1) AND (live IS NOT NULL OR history)";
    BEGIN_HISTORY = "UPDATE space SET history_since = $2 WHERE n = $1 AND history_since IS NULL";

    CLAIMS = "SELECT claim.key, claim.log_offset, record.body_hash, saga.state, record.ending \
        FROM claim JOIN saga ON saga.epoch = claim.epoch AND saga.partition = claim.partition \
            AND saga.log_offset = claim.log_offset \
        JOIN saga_record AS record ON record.n = saga.record \
        WHERE claim.epoch = $1 AND claim.partition = $2 AND claim.key IN keys($3)";
    CLAIMED = "SELECT partition, log_offset FROM claim WHERE epoch = $1 AND key = $2";

    SAGAS = sagas!("saga", "WHERE saga.epoch = $1 AND saga.partition = $2 \
        AND saga.log_offset IN list($3) ORDER BY saga.log_offset, image.n");
    UNFINISHED = sagas!("(SELECT * FROM saga WHERE epoch = $1 AND partition = $2 AND log_offset >= $3 \
        AND state < 3 ORDER BY log_offset LIMIT $4) AS saga", "ORDER BY saga.log_offset, image.n");
    IS_AT_REST = "SELECT count(*) FROM saga WHERE epoch = $1 AND partition = $2 AND state < 3";
    UNFINISHED_OF = "SELECT saga.epoch, saga.partition, saga.log_offset, record.keys \
        FROM saga JOIN saga_record AS record ON record.n = saga.record \
        WHERE saga.space = (SELECT n FROM space WHERE name = $1) AND saga.state < 3 \
        ORDER BY saga.epoch, saga.partition, saga.log_offset LIMIT $2";
    /// How many would move.
    COUNT_MOVES = "SELECT count(*) FROM saga \
        WHERE epoch = $1 AND partition = $2 AND log_offset IN list($4) AND state = $3";
    MOVE_ALL_SAGAS = "UPDATE saga SET state = $4, finish = greatest(finish, $5) \
        WHERE epoch = $1 AND partition = $2 AND log_offset IN list($6) AND state = $3";
    MOVE_SAGAS = "UPDATE saga SET state = $4, finish = greatest(finish, $5) \
        WHERE epoch = $1 AND partition = $2 AND log_offset IN list($6) AND state = $3 \
        RETURNING log_offset, record";
    COUNT_ATTEMPTS = "UPDATE saga SET attempts = attempts + 1 \
        WHERE epoch = $1 AND partition = $2 AND log_offset IN list($3)";
    /// Over anything but a resolve.
    GIVE_ORDER = "INSERT INTO saga_order (epoch, partition, log_offset, kind) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (epoch, partition, log_offset) DO UPDATE SET kind = excluded.kind \
        WHERE saga_order.kind < 2 OR saga_order.kind = excluded.kind";
    ORDERS = "SELECT log_offset, kind FROM saga_order WHERE epoch = $1 AND partition = $2 \
        AND log_offset >= $3 ORDER BY log_offset LIMIT $4";
    OBEYED = "DELETE FROM saga_order \
        WHERE epoch = $1 AND partition = $2 AND kind = $3 AND log_offset IN list($4)";
    SPACES_OF_SAGAS = "SELECT saga.log_offset, space.name FROM saga JOIN space ON space.n = saga.space \
        WHERE saga.epoch = $1 AND saga.partition = $2 AND saga.log_offset IN list($3)";
    WRITES = "SELECT saga.log_offset, record.image_first, record.writes \
        FROM saga JOIN saga_record AS record ON record.n = saga.record \
        WHERE saga.epoch = $1 AND saga.partition = $2 AND saga.log_offset IN list($3)";

    FINISH = "INSERT INTO finish (epoch, partition, finish, finished_at, offsets) VALUES ($1, $2, $3, $4, $5)";
    FINISHES_AFTER = "SELECT finish, offsets FROM finish \
        WHERE epoch = $1 AND partition = $2 AND finish > $3 ORDER BY finish LIMIT $4";

    HEAD = heads!("WHERE head.key = $1");
    HEADS = heads!("WHERE head.key IN keys($1)");
    HEAD_AT_REST = heads!("WHERE head.key = $1 AND NOT EXISTS (SELECT 1 FROM saga by_index(saga_unfinished_of) \
        WHERE saga.space = head.space AND saga.state < 3)");
    LIST_HEADS = heads!("WHERE head.space = (SELECT n FROM space WHERE name = $1) AND head.id > $2 \
        AND head.image IS NOT NULL ORDER BY head.id LIMIT $3");
    /// By the number of the row: heads and images were mostly written in one order, and are read in it.
    SCAN_HEADS = heads!("WHERE head.n > $1 ORDER BY head.n LIMIT $2");
    LIVE_AMONG = "SELECT space, count(*) FROM head WHERE key IN keys($1) AND image IS NOT NULL GROUP BY space";
    ADD_LIVE = "UPDATE space SET live = live + $2 WHERE n = $1";
    TOUCH = "UPDATE head SET accessed_at = greatest(coalesce(accessed_at, $2), $2) \
        WHERE key IN keys($1) AND image IS NOT NULL";

    RELATIONS = relations!("NULL", "relation JOIN space ON space.n = relation.space \
        WHERE relation.key IN keys($1)");
    SCAN_RELATIONS = relations!("NULL", "relation JOIN space ON space.n = relation.space \
        WHERE relation.key > $1 ORDER BY relation.key LIMIT $2");
    RELATIONS_OF_MEMORIES = concat!(
        relations!("NULL", "relation JOIN space ON space.n = relation.space \
            WHERE relation.source_key IN keys($1) AND relation.weight IS NOT NULL"),
        " UNION ",
        relations!("NULL", "relation JOIN space ON space.n = relation.space \
            WHERE relation.target_key IN keys($1) AND relation.weight IS NOT NULL"),
        " ORDER BY 1"
    );
    /// Breadth first, so that its bound cuts off what is farthest; how many were reached stands in each row. A
    /// relation that is stepped over both ways comes twice. Ends that are not live are not there, but for the
    /// beginning.
    REACH = concat!(
        "WITH RECURSIVE reach(key, hops) AS MATERIALIZED (SELECT $1, 1 UNION ",
        step!("source_key", "target_key", "$4", "$5"),
        " UNION ",
        step!("target_key", "source_key", "$6", "$7"),
        " LIMIT $3) ",
        steps_from!("source_key", "target_key", "$4", "$5"),
        " UNION ALL ",
        steps_from!("target_key", "source_key", "$6", "$7"),
        " ORDER BY 1"
    );
    /// The order of the join is fixed: from the few memories of a session to their relations.
    RELATIONS_OF_SESSIONS = relations!("head.session", "head \
        then_join() relation ON relation.source_key = head.key \
        JOIN space ON space.n = head.space \
        WHERE head.space IN (SELECT n FROM space WHERE name IN list($1)) AND head.session IN list($2) \
        AND head.image IS NOT NULL AND relation.weight IS NOT NULL ORDER BY relation.key");

    /// From one session's few memories, in id order.
    LIST_SESSION = heads_of!("(SELECT * FROM head by_index(head_session) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND session = $2 \
            AND ($3 IS NULL OR kind = $3) AND id > $4 AND image IS NOT NULL ORDER BY id LIMIT $5) AS head",
        "ORDER BY head.id");
    /// How far a list of one kind looks.
    LIST_KIND_UNTIL = "SELECT id FROM head by_index(head_list) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND id > $2 ORDER BY id LIMIT 1 OFFSET $3";
    LIST_KIND = heads_of!("(SELECT * FROM head by_index(head_list) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND kind = $2 AND id > $3 \
            AND ($4 IS NULL OR id <= $4) ORDER BY id LIMIT $5) AS head",
        "ORDER BY head.id");
    COUNT_SESSION = "SELECT count(*) FROM head by_index(head_session) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND session = $2 \
            AND ($3 IS NULL OR kind = $3) AND image IS NOT NULL";
    COUNT_KIND = "SELECT count(*) FROM head by_index(head_list) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND kind = $2";
    COUNT_ALL = "SELECT count(*) FROM head by_index(head_list) \
        WHERE space = (SELECT n FROM space WHERE name = $1) AND kind IS NOT NULL";
    /// Every count of a space in one state of the ledger, from indexes alone.
    COUNTS = "SELECT 0, kind, count(*) FROM head by_index(head_list) \
            WHERE space = (SELECT n FROM space WHERE name = $1) GROUP BY kind \
        UNION ALL SELECT 1, kind, count(*) FROM relation by_index(relation_kind) \
            WHERE space = (SELECT n FROM space WHERE name = $1) GROUP BY kind \
        UNION ALL SELECT 2, kind, count(*) FROM relation by_index(relation_dead) \
            WHERE space = (SELECT n FROM space WHERE name = $1) AND weight IS NULL GROUP BY kind \
        UNION ALL SELECT 3, NULL, count(*) FROM saga by_index(saga_unfinished_of) \
            WHERE space = (SELECT n FROM space WHERE name = $1) AND state < 3";

    /// How far a list of a space's commands looks through its partition.
    COMMANDS_RISING_UNTIL = "SELECT log_offset FROM saga WHERE epoch = $1 AND partition = $2 \
        AND log_offset > $3 ORDER BY log_offset LIMIT 1 OFFSET $4";
    COMMANDS_FALLING_UNTIL = "SELECT log_offset FROM saga WHERE epoch = $1 AND partition = $2 \
        AND log_offset < $3 ORDER BY log_offset DESC LIMIT 1 OFFSET $4";
    /// `+space` keeps the planner to the order of the log.
    COMMANDS_RISING = "SELECT log_offset FROM saga \
        WHERE epoch = $1 AND partition = $2 AND +space = (SELECT n FROM space WHERE name = $3) \
            AND state IN list($4) AND log_offset > $5 AND ($7 IS NULL OR log_offset <= $7) \
        ORDER BY log_offset LIMIT $6";
    COMMANDS_FALLING = "SELECT log_offset FROM saga \
        WHERE epoch = $1 AND partition = $2 AND +space = (SELECT n FROM space WHERE name = $3) \
            AND state IN list($4) AND log_offset < $5 AND ($7 IS NULL OR log_offset >= $7) \
        ORDER BY log_offset DESC LIMIT $6";
    UNFINISHED_RISING = "SELECT log_offset FROM saga by_index(saga_unfinished_of) \
        WHERE space = (SELECT n FROM space WHERE name = $3) AND epoch = $1 AND partition = $2 \
            AND state < 3 AND state IN list($4) AND log_offset > $5 AND $7 IS NULL \
        ORDER BY log_offset LIMIT $6";
    UNFINISHED_FALLING = "SELECT log_offset FROM saga by_index(saga_unfinished_of) \
        WHERE space = (SELECT n FROM space WHERE name = $3) AND epoch = $1 AND partition = $2 \
            AND state < 3 AND state IN list($4) AND log_offset < $5 AND $7 IS NULL \
        ORDER BY log_offset DESC LIMIT $6";

    /// A memory's head and the heads that were, newest first, before a version.
    HISTORY = history!("SELECT key, e, s, image, created_at, updated_at AS since, NULL AS until \
            FROM head WHERE key = $1 AND (e, s) < ($2, $3) \
        UNION ALL SELECT key, e, s, image, created_at, since, until \
            FROM history WHERE key = $1 AND (e, s) < ($2, $3) ORDER BY e DESC, s DESC LIMIT $4");
    /// Whichever of them stood at a time.
    AS_OF = history!("SELECT key, e, s, image, created_at, updated_at AS since, NULL AS until \
            FROM head WHERE key = $1 AND updated_at <= $2 \
        UNION ALL SELECT key, e, s, image, created_at, since, until \
            FROM history WHERE key = $1 AND since <= $2 AND until > $2 ORDER BY e DESC, s DESC LIMIT 1");
    HISTORY_SINCE = "SELECT history_since FROM space WHERE name = $1 AND history";

    SWEEP_UNTIL = "SELECT count(*), max(n) FROM (SELECT n FROM image WHERE n > $1 ORDER BY n LIMIT $2) AS part";
    SWEEP_IMAGES = "DELETE FROM image WHERE n IN (SELECT n FROM image WHERE n > $1 AND n <= $2 \
        AND NOT EXISTS (SELECT 1 FROM head WHERE head.key = image.key AND head.image = image.n) \
        AND NOT EXISTS (SELECT 1 FROM history WHERE history.image = image.n) \
        AND NOT EXISTS (SELECT 1 FROM saga WHERE saga.epoch = image.epoch \
            AND saga.partition = image.partition AND saga.log_offset = image.log_offset AND saga.state < 3) \
        ORDER BY n LIMIT $3) RETURNING n";
}

bulk!(
    INSERT_PARTITIONS,
    "int int bytes",
    "INSERT INTO partition (epoch, partition, nonce)",
    "ON CONFLICT DO NOTHING"
);
bulk!(
    /// Of an epoch that follows another.
    START_PARTITIONS,
    "int int bytes int int int int",
    "INSERT INTO partition (epoch, partition, nonce, first_offset, watermark, anchor_offset, anchor_crc)",
    ""
);
bulk!(INSERT_SPACES, "text", "INSERT INTO space (name)", "ON CONFLICT DO NOTHING");
bulk!(
    /// History that was broken off is whole only from the next write on.
    DECLARE,
    "text text bool",
    "INSERT INTO space (name, declaration, history)",
    "ON CONFLICT (name) DO UPDATE SET declaration = excluded.declaration, history = excluded.history, \
     history_since = CASE WHEN excluded.history AND space.history THEN space.history_since END"
);
bulk!(
    INSERT_SAGAS,
    "int int int int int int int",
    "INSERT INTO saga (epoch, partition, log_offset, record, space, state, finish)",
    ""
);
bulk!(
    INSERT_RECORDS,
    "int text bool bool bytes int int text bytes bytes text int int bytes text",
    "INSERT INTO saga_record (n, header, claims, dead_letter, body_hash, duplicate_of, accepted_at, \
     judgement, keys, body, plan, image_first, images, writes, ending)",
    ""
);
bulk!(INSERT_CLAIMS, "int bytes int int", "INSERT INTO claim (epoch, key, partition, log_offset)", "");
bulk!(
    INSERT_IMAGES,
    "int bytes int int int bytes text words words text real int int int bool bytes bytes bytes",
    "INSERT INTO image (n, key, epoch, partition, log_offset, hash, kind, session, content, properties, \
     importance, occurred_at, valid_from, valid_until, sparse_derived, sparse_indices, sparse_values, \
     dense)",
    ""
);
bulk!(
    /// What a start, or another ending, adds to the written-once part of a saga.
    COMPLETE_RECORDS,
    "int text int int bytes text",
    "WITH v (n, plan, image_first, images, writes, ending) AS (",
    ") UPDATE saga_record SET body = NULL, plan = coalesce(v.plan, saga_record.plan), \
     image_first = coalesce(v.image_first, saga_record.image_first), \
     images = coalesce(v.images, saga_record.images), writes = coalesce(v.writes, saga_record.writes), \
     ending = coalesce(v.ending, saga_record.ending) FROM v WHERE saga_record.n = v.n"
);
bulk!(
    /// The fence: only over a lower version. Creation is kept while a memory lives on.
    WRITE_HEADS,
    "bytes int text int int int text words int int",
    "INSERT INTO head (key, space, id, e, s, image, kind, session, created_at, updated_at)",
    "ON CONFLICT (key) DO UPDATE SET e = excluded.e, s = excluded.s, image = excluded.image, \
     kind = excluded.kind, session = excluded.session, updated_at = excluded.updated_at, \
     created_at = CASE WHEN head.image IS NULL OR excluded.image IS NULL \
         THEN excluded.created_at ELSE head.created_at END, \
     accessed_at = CASE WHEN head.image IS NULL OR excluded.image IS NULL \
         THEN NULL ELSE head.accessed_at END \
     WHERE (head.e, head.s) < (excluded.e, excluded.s)"
);
bulk!(
    /// The heads that such writes replace, for good: the same fence.
    KEEP_HEADS,
    "bytes int int int",
    "WITH v (key, e, s, at) AS (",
    ") INSERT INTO history (key, e, s, image, created_at, since, until) \
     SELECT head.key, head.e, head.s, head.image, head.created_at, head.updated_at, v.at \
     FROM v JOIN head ON head.key = v.key WHERE (head.e, head.s) < (v.e, v.s) ON CONFLICT DO NOTHING"
);
bulk!(
    /// An undo: the version alone; a tombstone where there was no head.
    RAISE_HEADS,
    "bytes int text int int int int",
    "INSERT INTO head (key, space, id, e, s, created_at, updated_at)",
    "ON CONFLICT (key) DO UPDATE SET e = excluded.e, s = excluded.s \
     WHERE (head.e, head.s) < (excluded.e, excluded.s)"
);
bulk!(
    WRITE_RELATIONS,
    "bytes int text text text words bytes bytes int int bytes real text int int int",
    "INSERT INTO relation (key, space, source, kind, target, discriminator, source_key, target_key, e, s, \
     hash, weight, properties, valid_from, valid_until, used_at)",
    "ON CONFLICT (key) DO UPDATE SET e = excluded.e, s = excluded.s, hash = excluded.hash, \
     weight = excluded.weight, \
     properties = excluded.properties, valid_from = excluded.valid_from, \
     valid_until = excluded.valid_until, used_at = excluded.used_at \
     WHERE (relation.e, relation.s) < (excluded.e, excluded.s)"
);
bulk!(
    /// An undo, as for heads.
    RAISE_RELATIONS,
    "bytes int text text text words bytes bytes int int bytes",
    "INSERT INTO relation (key, space, source, kind, target, discriminator, source_key, target_key, e, s, \
     hash)",
    "ON CONFLICT (key) DO UPDATE SET e = excluded.e, s = excluded.s \
     WHERE (relation.e, relation.s) < (excluded.e, excluded.s)"
);
