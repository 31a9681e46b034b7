-- What operators ask, and why a partition stands still.

-- Orders for single sagas, left here by whoever took them and carried out by the partition's owner. A row
-- goes in the transaction that carries it out; that of a resolve, in the one that ends its saga.
CREATE TABLE saga_order (
    epoch      integer  NOT NULL,
    partition  integer  NOT NULL,
    log_offset bigint   NOT NULL,
    kind       smallint NOT NULL,               -- 0 retry, 1 cancel, 2 resolve to before, 3 to after
    PRIMARY KEY (epoch, partition, log_offset)
);

-- Why the last owner stopped, as `code: sentence`; null: it did not.
ALTER TABLE partition ADD COLUMN halt text;

-- Where this epoch began: what lies below belongs to an earlier epoch, or to nobody.
ALTER TABLE partition ADD COLUMN first_offset bigint NOT NULL DEFAULT 0;
