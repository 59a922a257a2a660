//! The rows of what must be proved.
