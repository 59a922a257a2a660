//! The versions of the tables.

/// What makes each version out of the one before, the first out of nothing.
pub(super) const MIGRATIONS: [&str; 1] = [include_str!("0001_queue.sql")];

/// One migration as a text that may be run again, by several at once: they take turns, and the first does it.
pub(super) fn step(version: usize, text: &str) -> String {
    format!(
        "BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('chappe.migration.{{schema}}', 0));
DO $migrate$
BEGIN
    IF to_regnamespace('{{schema}}') IS NULL THEN
        CREATE SCHEMA {{schema}};
    END IF;
    IF to_regclass('{{schema}}.migration') IS NULL THEN
        CREATE TABLE {{schema}}.migration (
            version integer PRIMARY KEY,
            applied timestamptz NOT NULL DEFAULT clock_timestamp()
        );
    END IF;
    IF EXISTS (SELECT FROM {{schema}}.migration WHERE version = {version}) THEN
        RETURN;
    END IF;
    EXECUTE $step$
{text}
$step$;
    INSERT INTO {{schema}}.migration (version) VALUES ({version});
END
$migrate$;
COMMIT;
"
    )
}
