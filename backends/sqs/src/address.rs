//! [`SqsAddress`], a queue and its options as a URL.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chappe_core::{Error, ErrorKind};

use crate::Envelope;

/// A queue and its options, written as a URL.
///
/// ```text
/// sqs://eu-west-1/123456789012/orders.fifo?wait=20s&lease=30s
/// sqs://sqs.eu-west-1.amazonaws.com/123456789012/orders        the queue's URL with another scheme
/// sqs+http://localhost:4566/000000000000/orders?region=us-east-1
/// ```
///
/// | key | | as |
/// |---|---|---|
/// | `region` | `eu-west-1` | the client's region |
/// | `wait` | `20s` | [`SqsQueue::wait`](crate::SqsQueue::wait) |
/// | `lease` | `30s`, `2m`, `1h` | [`SqsQueue::lease`](crate::SqsQueue::lease) |
/// | `max_polls` | `16` | [`SqsQueue::max_polls`](crate::SqsQueue::max_polls) |
/// | `ordered` | `true` | [`SqsQueue::ordered`](crate::SqsQueue::ordered) |
/// | `envelope` | `auto`, `always`, `never` | [`SqsQueue::envelope`](crate::SqsQueue::envelope) |
/// | `dead_letter` | the name of a queue beside this one | [`SqsQueue::dead_letter`](crate::SqsQueue::dead_letter) |
/// | `strict` | `true` | [`SqsPublisher::strict`](crate::SqsPublisher::strict) |
/// | `max_message_bytes` | `262144` | [`SqsPublisher::max_message_bytes`](crate::SqsPublisher::max_message_bytes) |
///
/// Any other key is an error, and so is one that is there twice. Credentials never stand in a URL. Queues
/// ignore what is for publishers, and the other way round, so that one URL serves both.
///
/// # Examples
///
/// ```
/// use chappe_sqs::SqsAddress;
///
/// let address: SqsAddress = "sqs://eu-west-1/123456789012/orders?wait=10s".parse()?;
/// assert_eq!(address.queue_url(), "https://sqs.eu-west-1.amazonaws.com/123456789012/orders");
/// # Ok::<(), chappe_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsAddress {
    queue_url: String,
    region: Option<String>,
    endpoint: Option<String>,
    options: AddressOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressOptions {
    pub(crate) wait: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) max_polls: Option<usize>,
    pub(crate) ordered: Option<bool>,
    pub(crate) envelope: Option<Envelope>,
    pub(crate) dead_letter: Option<String>,
    pub(crate) strict: Option<bool>,
    pub(crate) max_message_bytes: Option<usize>,
}

impl SqsAddress {
    /// The queue's own URL.
    #[must_use]
    pub fn queue_url(&self) -> &str {
        &self.queue_url
    }

    /// The region, where the address names one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The endpoint, where it is not that of the region.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub(crate) fn options(&self) -> &AddressOptions {
        &self.options
    }

    /// The URL of a queue of the same account and region.
    pub(crate) fn beside(&self, name: &str) -> String {
        let account = self.queue_url.rsplit_once('/').map_or(self.queue_url.as_str(), |(account, _)| account);
        format!("{account}/{name}")
    }
}

impl FromStr for SqsAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| malformed(text, "it has no scheme"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = place.split('/');
        let (Some(host), Some(account), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(text, "it is to have a region or host, an account and a name"));
        };
        if [host, account, name].contains(&"") {
            return Err(malformed(text, "it is to have a region or host, an account and a name"));
        }
        if host.contains('@') {
            return Err(malformed("an address", "credentials do not belong in it"));
        }
        let (host, mut region, endpoint) = match scheme {
            "sqs" if !host.contains(['.', ':']) => {
                (format!("https://sqs.{host}.amazonaws.com"), Some(host.to_owned()), None)
            }
            "sqs" | "sqs+https" => of_host("https", host),
            "sqs+http" => of_host("http", host),
            _ => return Err(malformed(text, "its scheme is not sqs, sqs+https or sqs+http")),
        };
        let mut options = AddressOptions::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let set = match key {
                "region" if endpoint.is_some() || region.is_none() => once(&mut region, Some(value.to_owned())),
                "wait" => once(&mut options.wait, duration(value)),
                "lease" => once(&mut options.lease, duration(value)),
                "max_polls" => once(&mut options.max_polls, value.parse().ok()),
                "ordered" => once(&mut options.ordered, value.parse().ok()),
                "envelope" => once(&mut options.envelope, envelope(value)),
                "dead_letter" => once(&mut options.dead_letter, Some(value.to_owned()).filter(|name| !name.is_empty())),
                "strict" => once(&mut options.strict, value.parse().ok()),
                "max_message_bytes" => once(&mut options.max_message_bytes, value.parse().ok()),
                "region" => Err("it names the region already"),
                _ => Err("there is no such key"),
            };
            set.map_err(|why| malformed(text, &format!("{key}={value}: {why}")))?;
        }
        Ok(Self { queue_url: format!("{host}/{account}/{name}"), region, endpoint, options })
    }
}

/// The address without its options, fit for logs.
impl fmt::Display for SqsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, place) = self.queue_url.split_once("://").unwrap_or(("https", &self.queue_url));
        write!(f, "sqs+{scheme}://{place}")
    }
}

/// The base of a queue's URL at a host, the region its name says, and the endpoint if it is not AWS's.
fn of_host(scheme: &str, host: &str) -> (String, Option<String>, Option<String>) {
    let base = format!("{scheme}://{host}");
    let amazon = host.strip_prefix("sqs.").and_then(|rest| rest.split_once(".amazonaws.com"));
    match amazon {
        Some((region, _)) if scheme == "https" => (base, Some(region.to_owned()), None),
        _ => (base.clone(), None, Some(base)),
    }
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), &'static str> {
    match (place.is_some(), value) {
        (true, _) => Err("it is there twice"),
        (false, None) => Err("the value makes no sense"),
        (false, value) => {
            *place = value;
            Ok(())
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|character: char| !character.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    let seconds = match &text[at..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn envelope(text: &str) -> Option<Envelope> {
    match text {
        "auto" => Some(Envelope::Auto),
        "always" => Some(Envelope::Always),
        "never" => Some(Envelope::Never),
        _ => None,
    }
}

fn malformed(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{text} is not the address of an SQS queue: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SqsAddress {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_three_forms_name_queue_region_and_endpoint() {
        let short = parse("sqs://eu-west-1/123/orders.fifo");
        let long = parse("sqs://sqs.eu-west-1.amazonaws.com/123/orders.fifo");
        let local = parse("sqs+http://localhost:4566/000/orders?region=us-east-1");

        assert_eq!(short, long);
        assert_eq!((short.region(), short.endpoint()), (Some("eu-west-1"), None));
        assert_eq!(local.queue_url(), "http://localhost:4566/000/orders");
        assert_eq!((local.region(), local.endpoint()), (Some("us-east-1"), Some("http://localhost:4566")));
    }

    #[test]
    fn options_are_read() {
        let address = parse("sqs://eu-west-1/1/q?wait=5s&lease=2m&max_polls=3&ordered=true&envelope=never&strict=true");

        let options = address.options();
        assert_eq!((options.wait, options.lease), (Some(Duration::from_secs(5)), Some(Duration::from_secs(120))));
        assert_eq!((options.max_polls, options.ordered, options.strict), (Some(3), Some(true), Some(true)));
        assert_eq!(options.envelope, Some(Envelope::Never));
        assert_eq!(address.beside("dead"), "https://sqs.eu-west-1.amazonaws.com/1/dead");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, why) in [
            ("orders", "no scheme"),
            ("sqs://eu-west-1/orders", "an account and a name"),
            ("sqs://eu-west-1/1/", "an account and a name"),
            ("http://host/1/q", "its scheme"),
            ("sqs://key:secret@host.com/1/q", "credentials"),
            ("sqs://eu-west-1/1/q?visibilty=3s", "no such key"),
            ("sqs://eu-west-1/1/q?wait=3", "makes no sense"),
            ("sqs://eu-west-1/1/q?wait=3s&wait=4s", "twice"),
            ("sqs://eu-west-1/1/q?region=us-east-1", "already"),
        ] {
            let error = text.parse::<SqsAddress>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(!"sqs://key:secret@host.com/1/q".parse::<SqsAddress>().unwrap_err().to_string().contains("secret"));
    }
}
