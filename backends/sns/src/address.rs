//! [`SnsAddress`], a topic and its options as a URL.

use std::str::FromStr;

use chappe_core::{Error, ErrorKind};

/// A topic and its options, written as a URL.
///
/// ```text
/// sns://eu-west-1/123456789012/orders.fifo?max_message_bytes=1048576
/// sns:arn:aws:sns:eu-west-1:123456789012:orders
/// sns+http://localhost:4566/000000000000/orders?region=us-east-1
/// ```
///
/// | key | | as |
/// |---|---|---|
/// | `region` | `eu-west-1` | the region, `us-east-1` by default; only with an endpoint |
/// | `strict` | `true` | [`SnsPublisher::strict`](crate::SnsPublisher::strict) |
/// | `promote` | names with commas between | [`SnsPublisher::promote`](crate::SnsPublisher::promote) |
/// | `arrays` | names with commas between | [`SnsPublisher::arrays`](crate::SnsPublisher::arrays) |
/// | `max_message_bytes` | `1048576` | [`SnsPublisher::max_message_bytes`](crate::SnsPublisher::max_message_bytes) |
///
/// Any other key is an error, and so is one that is there twice. Credentials never stand in a URL.
///
/// # Examples
///
/// ```
/// use chappe_sns::SnsAddress;
///
/// let address: SnsAddress = "sns://eu-west-1/123456789012/orders?strict=true".parse()?;
/// assert_eq!(address.arn(), "arn:aws:sns:eu-west-1:123456789012:orders");
/// # Ok::<(), chappe_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnsAddress {
    arn: String,
    region: String,
    endpoint: Option<String>,
    options: AddressOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressOptions {
    pub(crate) max_message_bytes: Option<usize>,
    pub(crate) strict: Option<bool>,
    pub(crate) promote: Vec<String>,
    pub(crate) arrays: Vec<String>,
}

impl SnsAddress {
    /// The ARN of the topic.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The region the topic is in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint, where it is not that of the region.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub(crate) fn options(&self) -> &AddressOptions {
        &self.options
    }
}

impl FromStr for SnsAddress {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        if place.contains('@') {
            return Err(invalid("an SNS URL has no credentials in it; they come from the environment".to_owned()));
        }
        let mut pairs = pairs(query)?;
        let mut address = Self::default();
        if let Some(arn) = place.strip_prefix("sns:").filter(|arn| arn.starts_with("arn:")) {
            check(arn)?.clone_into(&mut address.region);
            arn.clone_into(&mut address.arn);
        } else {
            let path = if let Some((region, path)) = place.strip_prefix("sns://").and_then(|rest| rest.split_once('/'))
            {
                region.clone_into(&mut address.region);
                path
            } else {
                let (endpoint, path) = place.strip_prefix("sns+").and_then(emulator).ok_or_else(|| malformed(url))?;
                address.endpoint = Some(endpoint.to_owned());
                let region = pairs.iter().position(|(key, _)| *key == "region").map(|at| pairs.remove(at).1);
                region.unwrap_or("us-east-1").clone_into(&mut address.region);
                path
            };
            let (account, name) = path.split_once('/').ok_or_else(|| malformed(url))?;
            let region = &address.region;
            address.arn = format!("arn:{}:sns:{region}:{account}:{name}", partition(region));
            check(&address.arn).map_err(|_| malformed(url))?;
        }
        for (key, value) in pairs {
            address.options.set(key, value)?;
        }
        Ok(address)
    }
}

impl AddressOptions {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let wrong = |wanted: &str| invalid(format!("option {key} of an SNS URL is {wanted}, not {value:?}"));
        let names = || value.split(',').map(str::to_owned).collect();
        match key {
            "max_message_bytes" => {
                self.max_message_bytes = Some(value.parse().map_err(|_| wrong("a number of bytes"))?);
            }
            "strict" => self.strict = Some(value.parse().map_err(|_| wrong("true or false"))?),
            "promote" => self.promote = names(),
            "arrays" => self.arrays = names(),
            _ => {
                let text = "there are max_message_bytes, strict, promote and arrays";
                return Err(invalid(format!("an SNS URL has no option {key:?}; {text}")));
            }
        }
        Ok(())
    }
}

/// Checks that it is the ARN of a topic; answers its region.
pub(crate) fn check(arn: &str) -> Result<&str, Error> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", _, "sns", region, account, name]
            if ![region, account, name].iter().any(|part| part.is_empty() || part.contains('/')) =>
        {
            Ok(region)
        }
        _ => Err(invalid(format!("{arn:?} is not the ARN of a topic; it is like arn:aws:sns:REGION:ACCOUNT:NAME"))),
    }
}

/// The name of a topic.
pub(crate) fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

fn pairs(query: &str) -> Result<Vec<(&str, &str)>, Error> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if pairs.iter().any(|(have, _)| *have == key) {
            return Err(invalid(format!("option {key} of an SNS URL is there twice")));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Divides `http://HOST:PORT/PATH` before the path.
fn emulator(url: &str) -> Option<(&str, &str)> {
    let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
    let at = url.len() - host.len() + host.find('/')?;
    Some((&url[..at], &url[at + 1..]))
}

fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

fn malformed(url: &str) -> Error {
    invalid(format!(
        "{url:?} is no URL of a topic of SNS; write sns://REGION/ACCOUNT/NAME, sns:ARN, or \
         sns+http://HOST:PORT/ACCOUNT/NAME for an emulator"
    ))
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SnsAddress, Error> {
        url.parse()
    }

    #[test]
    fn a_topic_is_named_by_region_account_and_name_or_by_its_arn() {
        let address = parse("sns://eu-west-1/123456789012/orders.fifo").unwrap();
        let by_arn = parse("sns:arn:aws:sns:eu-west-1:123456789012:orders.fifo").unwrap();

        assert_eq!(address.arn(), "arn:aws:sns:eu-west-1:123456789012:orders.fifo");
        assert_eq!(address, by_arn);
        assert!(parse("sns://cn-north-1/1/x").unwrap().arn().starts_with("arn:aws-cn:"));
    }

    #[test]
    fn an_emulator_is_named_by_its_endpoint() {
        let address = parse("sns+http://localhost:4566/000000000000/orders?region=eu-west-1").unwrap();

        assert_eq!(address.endpoint(), Some("http://localhost:4566"));
        assert_eq!(address.arn(), "arn:aws:sns:eu-west-1:000000000000:orders");
    }

    #[test]
    fn options_are_understood() {
        let address = parse("sns://us-east-1/1/x?max_message_bytes=1024&strict=true&promote=a,b&arrays=tag").unwrap();

        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!((address.options.max_message_bytes, address.options.strict), (Some(1024), Some(true)));
        assert_eq!((&address.options.promote, &address.options.arrays), (&names(&["a", "b"]), &names(&["tag"])));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (url, why) in [
            ("sns://us-east-1/1/x?max_mesage=1", "max_mesage"),
            ("sns://us-east-1/1/x?region=eu-west-1", "no option \"region\""),
            ("sns://us-east-1/1/x?strict=maybe", "true or false"),
            ("sns://us-east-1/1/x?strict=true&strict=true", "twice"),
            ("sns://key:secret@us-east-1/1/x", "no credentials"),
            ("sns:arn:aws:sqs:us-east-1:1:x", "not the ARN of a topic"),
            ("sns://us-east-1/x", "sns://REGION/ACCOUNT/NAME"),
            ("sns://us-east-1", "sns://REGION/ACCOUNT/NAME"),
            ("sns:///1/x", "sns://REGION/ACCOUNT/NAME"),
            ("sns://r/1/a/b", "sns://REGION/ACCOUNT/NAME"),
            ("sns+ftp://h/1/x", "sns://REGION/ACCOUNT/NAME"),
            ("sqs://us-east-1/1/x", "sns://REGION/ACCOUNT/NAME"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
