//! [`Binding`] and [`Mode`], how a protocol carries events.

use chappe_core::{Message, Str};

use super::{BATCH_JSON, CONTENT_TYPE, STRUCTURED};

/// How a protocol calls the attributes of an event. The table is in the [module](super).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// For protocols the specification has no other names for.
    #[default]
    Generic,
    /// AMQP 1.0. What RabbitMQ speaks by default is 0-9-1, and [`Generic`](Self::Generic).
    Amqp,
    /// Kafka.
    Kafka,
    /// NATS 2.2 or later, and HTTP with a `ce-datacontenttype`.
    Nats,
    /// Google Pub/Sub.
    Pubsub,
    /// SQS and SNS.
    Sqs,
}

/// Where the attributes of an event are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// In attributes of the message; the body is the data.
    Binary,
    /// In the body, as JSON, with the data.
    Structured,
    /// In the body, as a JSON array of any number of events.
    Batch,
}

/// The names of the attributes under one prefix, so that none is put together at run time.
pub(super) struct Names {
    pub(super) prefix: &'static str,
    pub(super) spec_version: &'static str,
    pub(super) id: &'static str,
    pub(super) source: &'static str,
    pub(super) kind: &'static str,
    pub(super) subject: &'static str,
    pub(super) time: &'static str,
    pub(super) data_schema: &'static str,
    pub(super) data_content_type: &'static str,
}

macro_rules! names {
    ($prefix:literal) => {
        Names {
            prefix: $prefix,
            spec_version: concat!($prefix, "specversion"),
            id: concat!($prefix, "id"),
            source: concat!($prefix, "source"),
            kind: concat!($prefix, "type"),
            subject: concat!($prefix, "subject"),
            time: concat!($prefix, "time"),
            data_schema: concat!($prefix, "dataschema"),
            data_content_type: concat!($prefix, "datacontenttype"),
        }
    };
}

static DASH: Names = names!("ce-");
static UNDERSCORE: Names = names!("ce_");
static AMQP: Names = names!("cloudEvents_");
static AMQP_COLON: Names = names!("cloudEvents:");

impl Binding {
    /// How events are written unless a mode is asked for.
    #[must_use]
    pub fn default_mode(self) -> Mode {
        match self {
            Self::Sqs => Mode::Structured,
            Self::Generic | Self::Amqp | Self::Kafka | Self::Nats | Self::Pubsub => Mode::Binary,
        }
    }

    pub(super) fn names(self) -> &'static Names {
        match self {
            Self::Kafka => &UNDERSCORE,
            Self::Amqp => &AMQP,
            Self::Generic | Self::Nats | Self::Pubsub | Self::Sqs => &DASH,
        }
    }

    /// The attribute for the content type of the data.
    pub(super) fn content_type(self) -> &'static str {
        if self == Self::Nats { self.names().data_content_type } else { CONTENT_TYPE }
    }

    /// Whether values are percent-encoded.
    pub(super) fn is_encoded(self) -> bool {
        self == Self::Nats
    }
}

impl Mode {
    /// Which mode the event in a message is in; `None` for a message that is no event.
    ///
    /// A message without a content type is taken for structured as well if its body is a JSON object that has a
    /// `specversion`, since some brokers carry a body only. What is found may yet turn out invalid.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        match message.attributes().get_str(CONTENT_TYPE) {
            Some(given) if is_prefix(STRUCTURED, given) => {
                let essence = given.split(';').next().unwrap_or_default().trim();
                Some(if essence.eq_ignore_ascii_case(BATCH_JSON) { Self::Batch } else { Self::Structured })
            }
            _ if names_in(message).is_some() => Some(Self::Binary),
            None if looks_structured(message.body()) => Some(Self::Structured),
            _ => None,
        }
    }
}

/// The names an event in the binary mode goes by.
pub(super) fn names_in(message: &Message) -> Option<&'static Names> {
    [&DASH, &UNDERSCORE, &AMQP, &AMQP_COLON].into_iter().find(|names| message.attributes().contains(names.spec_version))
}

/// The name of an attribute behind any of the prefixes.
pub(super) fn behind_prefix(name: &Str) -> Option<&str> {
    [&DASH, &UNDERSCORE, &AMQP, &AMQP_COLON].into_iter().find_map(|names| without_prefix(names.prefix, name))
}

pub(super) fn without_prefix<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    if is_prefix(prefix, name) { name.get(prefix.len()..) } else { None }
}

fn is_prefix(prefix: &str, text: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn looks_structured(body: &[u8]) -> bool {
    const MEMBER: &[u8] = br#""specversion""#;
    body.trim_ascii_start().first() == Some(&b'{') && body.windows(MEMBER.len()).any(|window| window == MEMBER)
}
