//! SNS as a function of its requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use chappe_sns::SnsPublisher;

pub(crate) const ARN: &str = "arn:aws:sns:us-east-1:123456789012:orders";
pub(crate) const FIFO: &str = "arn:aws:sns:us-east-1:123456789012:orders.fifo";

/// The fields of a request.
pub(crate) type Request = BTreeMap<String, String>;

/// What comes back: a status with a body, or a connection that fails.
pub(crate) enum Answer {
    Status(u16, String),
    Lost(ConnectorError),
}

type Script = dyn FnMut(&Request) -> Answer + Send;

/// A service whose answers are scripted, and that keeps the requests.
#[derive(Clone)]
pub(crate) struct Fake {
    requests: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<Box<Script>>>,
}

impl Fake {
    pub(crate) fn new(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self { requests: Arc::default(), script: Arc::new(Mutex::new(Box::new(script))) }
    }

    /// Accepts everything.
    pub(crate) fn accepting() -> Self {
        Self::new(accept)
    }

    pub(crate) fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    pub(crate) fn publisher(&self, arn: &str) -> SnsPublisher {
        SnsPublisher::new(&self.client(), arn)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fields = fields(request.body().bytes().unwrap_or_default());
        let answer = (self.script.lock().unwrap())(&fields);
        self.requests.lock().unwrap().push(fields);
        HttpConnectorFuture::ready(match answer {
            Answer::Status(status, body) => Ok(Response::new(StatusCode::try_from(status).unwrap(), body.into())),
            Answer::Lost(error) => Err(error),
        })
    }
}

/// The answer of a service that takes everything, with the message `m0` as its first.
pub(crate) fn accept(request: &Request) -> Answer {
    let entries = entries(request);
    if request["Action"] == "Publish" {
        return ok("Publish", "<MessageId>m0</MessageId>");
    }
    let done: Vec<String> = entries.iter().map(|entry| done(&entry["Id"])).collect();
    ok("PublishBatch", &format!("<Successful>{}</Successful><Failed/>", done.concat()))
}

pub(crate) fn done(id: &str) -> String {
    format!("<member><Id>{id}</Id><MessageId>m{id}</MessageId></member>")
}

pub(crate) fn failed(id: &str, code: &str, sender_fault: bool) -> String {
    format!(
        "<member><Id>{id}</Id><Code>{code}</Code><Message>no</Message><SenderFault>{sender_fault}</SenderFault></member>"
    )
}

pub(crate) fn ok(action: &str, result: &str) -> Answer {
    let xmlns = "http://sns.amazonaws.com/doc/2010-03-31/";
    Answer::Status(
        200,
        format!("<{action}Response xmlns=\"{xmlns}\"><{action}Result>{result}</{action}Result></{action}Response>"),
    )
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    Answer::Status(
        status,
        format!(
            "<ErrorResponse><Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

/// The entries of a batch, or the one message that is published alone, each by its own fields.
pub(crate) fn entries(request: &Request) -> Vec<Request> {
    const PREFIX: &str = "PublishBatchRequestEntries.member.";
    if request["Action"] == "Publish" {
        return vec![request.clone()];
    }
    let mut entries: BTreeMap<usize, Request> = BTreeMap::new();
    for (name, value) in request {
        if let Some((at, field)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) {
            entries.entry(at.parse().unwrap()).or_default().insert(field.to_owned(), value.clone());
        }
    }
    entries.into_values().collect()
}

/// The attributes of an entry: types and values by name.
pub(crate) fn attributes(entry: &Request) -> BTreeMap<String, (String, String)> {
    (1..)
        .map_while(|at| {
            let field = |name: &str| entry.get(&format!("MessageAttributes.entry.{at}.{name}")).cloned();
            let value = field("Value.StringValue").or_else(|| field("Value.BinaryValue"));
            Some((field("Name")?, (field("Value.DataType")?, value?)))
        })
        .collect()
}

/// Reads `name=value&…`, percent-encoded.
fn fields(body: &[u8]) -> Request {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                b'+' => b' ',
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let body = std::str::from_utf8(body).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}
