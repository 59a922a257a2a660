//! The conformance suite every chappe backend passes.
