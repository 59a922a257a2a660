//! [`Schema`] and [`Schemas`], which body is held against what.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use chappe_core::{Message, Str};
use jsonschema::Validator;
use serde_json::Value;

use super::{SchemaError, SchemaMismatch};

/// How many faults a reason tells.
const SHOWN_FAULTS: usize = 3;

/// How much of a path a reason shows.
const SHOWN_CHARS: usize = 200;

/// A JSON Schema, compiled. A clone costs a reference count.
///
/// The draft is the one its `$schema` names, or else 2020-12.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// If it is not a valid schema, or refers to something that is not within it.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        jsonschema::validator_for(schema).map(|validator| Self(Arc::new(validator))).map_err(SchemaError::new)
    }

    /// Checks that a body matches.
    ///
    /// # Errors
    ///
    /// If it is not JSON, or has faults.
    pub fn check(&self, body: &[u8]) -> Result<(), SchemaMismatch> {
        let value: Value = serde_json::from_slice(body).map_err(|error| SchemaMismatch::not_json(&error))?;
        let mut faults = self.0.iter_errors(&value).peekable();
        if faults.peek().is_none() {
            return Ok(());
        }
        let mut text = String::new();
        for fault in faults.by_ref().take(SHOWN_FAULTS) {
            let path: String = fault.instance_path().as_str().chars().take(SHOWN_CHARS).collect();
            let place = if path.is_empty() { "/" } else { &path };
            let gap = if text.is_empty() { "" } else { ", " };
            write!(text, "{gap}{place}: {}", fault.kind().keyword()).expect("writing to a string cannot fail");
        }
        if faults.next().is_some() {
            text.push_str(", and more");
        }
        Err(SchemaMismatch::faults(&text))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Which schema the body of a message is to match: one for all, or one for each type. A clone costs a reference
/// count.
///
/// # Examples
///
/// ```
/// use chappe_middleware::schema::{Schema, Schemas, ValidateLayer};
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let schemas = Schemas::by_attribute("type")
///     .with("order.created", Schema::new(&json!({ "required": ["id"] }))?)
///     .with("order.paid", Schema::new(&json!({ "required": ["id", "amount"] }))?)
///     .or_refuse();
/// let layer = ValidateLayer::new(schemas);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Schemas(Arc<Choice>);

#[derive(Clone, Debug, Default)]
struct Choice {
    /// For messages that none is found for by their attribute.
    fallback: Option<Schema>,
    attribute: Str,
    by_value: HashMap<Str, Schema>,
    refuse_others: bool,
}

impl Schemas {
    /// Chooses by the text of an attribute, such as `type`. A message without it, or with one that has no
    /// schema, is let through unless [said otherwise](Self::or_refuse).
    pub fn by_attribute(name: impl Into<Str>) -> Self {
        Self(Arc::new(Choice { attribute: name.into(), ..Choice::default() }))
    }

    /// Adds the schema for messages whose attribute has this value, in place of one it had.
    #[must_use]
    pub fn with(mut self, value: impl Into<Str>, schema: Schema) -> Self {
        Arc::make_mut(&mut self.0).by_value.insert(value.into(), schema);
        self
    }

    /// Refuses messages that have no schema.
    #[must_use]
    pub fn or_refuse(mut self) -> Self {
        Arc::make_mut(&mut self.0).refuse_others = true;
        self
    }

    /// Checks that the body of a message matches its schema.
    ///
    /// # Errors
    ///
    /// If it does not, is not JSON, or has no schema and is to have one.
    pub fn check(&self, message: &Message) -> Result<(), SchemaMismatch> {
        let Choice { fallback, attribute, by_value, refuse_others } = &*self.0;
        let value = message.attributes().get_str(attribute);
        match value.and_then(|value| by_value.get(value)).or(fallback.as_ref()) {
            Some(schema) => schema.check(message.body()),
            None if *refuse_others => Err(SchemaMismatch::no_schema(attribute, value)),
            None => Ok(()),
        }
    }
}

/// One for all.
impl From<Schema> for Schemas {
    fn from(schema: Schema) -> Self {
        Self(Arc::new(Choice { fallback: Some(schema), ..Choice::default() }))
    }
}
