//! What is wrong with a body, or with a schema.

use std::error::Error as StdError;
use std::fmt;

/// How much of an attribute a text shows.
const SHOWN_CHARS: usize = 64;

/// A body is not what was agreed. The text says where and quotes no value of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct SchemaMismatch {
    text: String,
}

/// A schema cannot be compiled.
#[derive(Debug)]
#[non_exhaustive]
pub struct SchemaError {
    place: String,
    source: Box<jsonschema::ValidationError<'static>>,
}

impl SchemaMismatch {
    pub(super) fn faults(faults: &str) -> Self {
        Self { text: format!("body does not match its schema: {faults}") }
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self { text: format!("body is not JSON: fault at line {} column {}", error.line(), error.column()) }
    }

    pub(super) fn no_schema(attribute: &str, value: Option<&str>) -> Self {
        let text = match value {
            Some(value) => {
                let shown: String = value.chars().take(SHOWN_CHARS).collect();
                format!("there is no schema for messages whose attribute {attribute} is {shown:?}")
            }
            None => format!("there is no schema for messages without the attribute {attribute}"),
        };
        Self { text }
    }
}

impl SchemaError {
    pub(super) fn new(source: jsonschema::ValidationError<'static>) -> Self {
        Self { place: source.instance_path().as_str().to_owned(), source: Box::new(source) }
    }
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema cannot be compiled, fault at {:?}", self.place)
    }
}

impl StdError for SchemaMismatch {}

impl StdError for SchemaError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
