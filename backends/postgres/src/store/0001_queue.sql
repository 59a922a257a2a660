CREATE TABLE {schema}.message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    -- Visible from: what is ready, delayed and leased is one ordering.
    vt timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    -- The fencing token of who has it; 0 if nobody has.
    lease bigint NOT NULL DEFAULT 0,
    enqueued timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires timestamptz,
    key bytea CHECK (octet_length(key) <= 1024),
    dedup text,
    -- Names and values in turn; a value may be NULL.
    attributes text[] NOT NULL DEFAULT '{}'
        CHECK (cardinality(attributes) % 2 = 0 AND coalesce(array_ndims(attributes), 1) = 1),
    -- A letter for each attribute: t text, n number, b bytes in base64, e and m text and number in base64. NULL if
    -- all are text.
    kinds text,
    body bytea NOT NULL,
    dead_reason text,
    dead_source text,
    dead_attempts integer,
    dead_at timestamptz
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX message_ready ON {schema}.message (queue, vt, id);

CREATE INDEX message_lane ON {schema}.message (queue, key, id) WHERE key IS NOT NULL;

-- The ids publishers chose, for as long as they keep duplicates out.
CREATE TABLE {schema}.dedup (
    queue text NOT NULL,
    id text NOT NULL,
    seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (queue, id)
);

CREATE INDEX dedup_seen ON {schema}.dedup (seen);

-- Where consumers of a queue listen. The name is hashed, as channels have at most 63 bytes.
CREATE FUNCTION {schema}.channel(queue text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 'chappe_' || lpad(to_hex(hashtextextended('{schema}.' || queue, 0)), 16, '0') $$;

-- Has consumers look at once. To be called after the commit, as a transaction that both writes and notifies
-- holds up all others of its kind.
CREATE FUNCTION {schema}.wake(queue text) RETURNS void
LANGUAGE sql VOLATILE
AS $$ SELECT pg_notify({schema}.channel(queue), '') $$;

-- Puts messages into a queue, within the caller's transaction. `attributes` has an array in text form for
-- each body, as in '{type,order.created}'. Returns the ids of those that were stored, in order: those with an
-- id that was seen within ten minutes are left out.
CREATE FUNCTION {schema}.enqueue_many(
    queue text,
    bodies bytea[],
    attributes text[] DEFAULT NULL,
    keys bytea[] DEFAULT NULL,
    ids text[] DEFAULT NULL,
    delay interval DEFAULT NULL
) RETURNS SETOF bigint
LANGUAGE sql VOLATILE
AS $$
    WITH given AS MATERIALIZED (
        SELECT u.*, row_number() OVER (PARTITION BY u.id ORDER BY u.n) AS nth
        FROM unnest(bodies, enqueue_many.attributes, keys, ids) WITH ORDINALITY AS u (body, attributes, key, id, n)
    ), fresh AS (
        INSERT INTO {schema}.dedup AS d (queue, id)
        SELECT enqueue_many.queue, g.id FROM given g WHERE g.id IS NOT NULL AND g.nth = 1 ORDER BY g.id
        ON CONFLICT (queue, id) DO UPDATE SET seen = clock_timestamp()
        WHERE d.seen < clock_timestamp() - interval '10 minutes'
        RETURNING d.id
    )
    INSERT INTO {schema}.message AS m (queue, vt, key, dedup, attributes, body)
    SELECT enqueue_many.queue, clock_timestamp() + coalesce(delay, interval '0'), g.key, g.id,
        coalesce(g.attributes, '{}')::text[], g.body
    FROM given g
    WHERE g.id IS NULL OR (g.nth = 1 AND g.id IN (SELECT f.id FROM fresh f))
    ORDER BY g.n
    RETURNING m.id
$$;

-- Puts a message into a queue, within the caller's transaction. Returns its id, or NULL if a message with this
-- `id` was put there within ten minutes.
CREATE FUNCTION {schema}.enqueue(
    queue text,
    body bytea,
    attributes text[] DEFAULT NULL,
    key bytea DEFAULT NULL,
    id text DEFAULT NULL,
    delay interval DEFAULT NULL
) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    SELECT {schema}.enqueue_many(queue, ARRAY[body], ARRAY[attributes::text], ARRAY[key], ARRAY[id], delay)
$$;
