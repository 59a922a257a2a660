//! What answers are made of.
//!
//! Read by hand: the client's own types keep fields in a map, and drop those that are repeated.

use redis::Value;

use super::EntryId;

/// One entry of an answer; one that was deleted in the meantime has no fields.
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// The id as the server writes it.
    pub(crate) name: String,
    pub(crate) fields: Option<Vec<Value>>,
}

/// The entries of the answer to a read of one stream, or nothing if it is none.
pub(crate) fn entries(answer: Value) -> Option<Vec<Entry>> {
    let stream = match answer {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => match streams.into_iter().next() {
            None => return Some(Vec::new()),
            Some(Value::Array(pair)) => pair.into_iter().nth(1)?,
            Some(_) => return None,
        },
        Value::Map(streams) => match streams.into_iter().next() {
            None => return Some(Vec::new()),
            Some((_, entries)) => entries,
        },
        _ => return None,
    };
    let Value::Array(list) = stream else { return None };
    list.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(pair) = value else { return None };
    let mut pair = pair.into_iter();
    let name = text(pair.next()?)?;
    let id = EntryId::parse(&name)?;
    let fields = match pair.next()? {
        Value::Array(fields) => Some(fields),
        Value::Nil => None,
        _ => return None,
    };
    Some(Entry { id, name, fields })
}

/// The text of an answer.
pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// The number of an answer.
pub(crate) fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

/// The number of an answer, where it counts something.
pub(crate) fn number(value: &Value) -> Option<u64> {
    int(value).and_then(|number| u64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_are_all_there() {
        let string = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = ["b", "x", "tag", "1", "tag", "2"].map(string).to_vec();
        let entry = Value::Array(vec![string("5-1"), Value::Array(fields.clone())]);
        let gone = Value::Array(vec![string("5-2"), Value::Nil]);
        let stream = Value::Array(vec![entry, gone]);

        let old = entries(Value::Array(vec![Value::Array(vec![string("{q}:s"), stream.clone()])])).unwrap();
        let new = entries(Value::Map(vec![(string("{q}:s"), stream)])).unwrap();

        for read in [old, new] {
            assert_eq!(read.len(), 2);
            assert_eq!(read[0].fields.as_deref(), Some(&fields[..]));
            assert!(read[1].fields.is_none());
        }
        assert!(entries(Value::Nil).unwrap().is_empty());
        assert!(entries(Value::Int(1)).is_none());
    }
}
