//! Conversions between [`Attributes`] and [`http::HeaderMap`].

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Attributes, Value};
use crate::{Error, ErrorKind, Str};

/// Headers become attributes: values that are visible ASCII as text, others as binary.
impl From<&HeaderMap> for Attributes {
    fn from(headers: &HeaderMap) -> Self {
        headers
            .iter()
            .map(|(name, value)| {
                let value = match value.to_str() {
                    Ok(text) => Value::from(text.to_owned()),
                    Err(_) => Value::Binary(Bytes::copy_from_slice(value.as_bytes())),
                };
                (Str::new(name.as_str()), value)
            })
            .collect()
    }
}

/// Attributes become headers; names lose their case, and the kind of a value is not kept.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for a name or value HTTP does not allow, and for [`Value::Null`].
impl TryFrom<&Attributes> for HeaderMap {
    type Error = Error;

    fn try_from(attributes: &Attributes) -> Result<Self, Error> {
        let mut headers = Self::with_capacity(attributes.len());
        for (name, value) in attributes {
            if matches!(value, Value::Null) {
                return Err(Error::new(ErrorKind::Invalid, format!("attribute {name:?} is null, which HTTP lacks")));
            }
            let refused = |source: http::Error| {
                Error::new(ErrorKind::Invalid, format!("attribute {name:?} cannot be an HTTP header"))
                    .with_source(source)
            };
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| refused(error.into()))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| refused(error.into()))?;
            headers.append(header, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_there_and_back() {
        let attributes = Attributes::from([("accept", "a"), ("accept", "b"), ("x-id", "7")]);

        let headers = HeaderMap::try_from(&attributes).unwrap();

        assert_eq!(Attributes::from(&headers), attributes);
    }

    #[test]
    fn what_http_does_not_allow_is_refused_by_name() {
        let error = HeaderMap::try_from(&Attributes::from([("order type", "new")])).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("order type"));
    }
}
