//! The in-memory backend of chappe: a work queue and a fan-out bus with real broker semantics.
