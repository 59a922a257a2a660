//! [`Fake`], an SQS in this process: what it answers can be scripted, and what it was asked is kept.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs";
pub(crate) const FIFO: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs.fifo";

/// An SQS with one queue. It hands out what is put in, keeps leases on tokio's clock, and locks groups.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    messages: Vec<Stored>,
    requests: Vec<Asked>,
    faults: VecDeque<(&'static str, Fault)>,
    next: u64,
}

struct Stored {
    id: String,
    body: Value,
    group: Option<String>,
    hidden: Option<Instant>,
    received: u32,
}

/// A request, without its signature.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) op: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

/// What goes wrong with a request.
pub(crate) enum Fault {
    /// It is answered with an error.
    Error(u16, &'static str),
    /// The connection breaks before it arrives.
    Refused,
    /// It is carried out, and the connection breaks before the answer arrives.
    Lost,
    /// It is answered with this instead.
    Answer(Value),
    /// The answer is rewritten.
    Rewrite(fn(&Value, Value) -> Value),
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), bell: Notify::new() }))
    }

    pub(crate) fn client(&self) -> Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "tests"))
            .http_client(self.http());
        Client::from_conf(config.build())
    }

    pub(crate) fn http(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    /// Has the next request of an operation go wrong, after those that were to before.
    pub(crate) fn fault(&self, op: &'static str, fault: Fault) {
        self.lock().faults.push_back((op, fault));
    }

    pub(crate) fn put(&self, body: &str) {
        self.store(json!({ "MessageBody": body }));
    }

    pub(crate) fn put_in(&self, group: &str, body: &str) {
        self.store(json!({ "MessageBody": body, "MessageGroupId": group }));
    }

    /// The requests of an operation.
    pub(crate) fn asked(&self, op: &str) -> Vec<Asked> {
        self.lock().requests.iter().filter(|asked| asked.op == op).cloned().collect()
    }

    /// How many messages it holds.
    pub(crate) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// How many of them are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        let now = Instant::now();
        self.lock().messages.iter().filter(|message| message.is_hidden(now)).count()
    }

    fn store(&self, entry: Value) -> Value {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("m-{}", state.next);
        let group = entry["MessageGroupId"].as_str().map(str::to_owned);
        state.messages.push(Stored { id: id.clone(), body: entry, group, hidden: None, received: 0 });
        drop(state);
        self.0.bell.notify_waiters();
        json!(id)
    }

    async fn carry_out(&self, op: &str, body: &Value) -> Value {
        match op {
            "ReceiveMessage" => self.receive(body).await,
            "SendMessage" => json!({ "MessageId": self.store(body.clone()) }),
            "SendMessageBatch" => each(
                body,
                |entry| json!({ "Id": entry["Id"], "MessageId": self.store(entry.clone()), "MD5OfMessageBody": "" }),
            ),
            "DeleteMessageBatch" => each(body, |entry| {
                self.lock().messages.retain(|message| message.handle() != entry["ReceiptHandle"]);
                json!({ "Id": entry["Id"] })
            }),
            "ChangeMessageVisibilityBatch" => {
                let answer = each(body, |entry| {
                    let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
                    let until = Instant::now() + Duration::from_secs(seconds);
                    let mut state = self.lock();
                    let found = state.messages.iter_mut().find(|message| message.handle() == entry["ReceiptHandle"]);
                    found.into_iter().for_each(|message| message.hidden = Some(until));
                    json!({ "Id": entry["Id"] })
                });
                self.0.bell.notify_waiters();
                answer
            }
            "GetQueueAttributes" => json!({ "Attributes": { "QueueArn": "arn:aws:sqs:eu-west-1:123456789012:jobs" } }),
            other => panic!("the fake does not know {other}"),
        }
    }

    async fn receive(&self, body: &Value) -> Value {
        let until = Instant::now() + Duration::from_secs(body["WaitTimeSeconds"].as_u64().unwrap_or(0));
        loop {
            let bell = self.0.bell.notified();
            let (messages, next) = self.take(body);
            let now = Instant::now();
            if !messages.is_empty() || now >= until {
                return json!({ "Messages": messages });
            }
            tokio::select! {
                () = bell => {}
                () = sleep_until(next.unwrap_or(until).min(until)) => {}
            }
        }
    }

    fn take(&self, body: &Value) -> (Vec<Value>, Option<Instant>) {
        let max = body["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
        let lease = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or(30));
        let now = Instant::now();
        let mut state = self.lock();
        let next =
            state.messages.iter().filter(|message| message.is_hidden(now)).filter_map(|message| message.hidden).min();
        let locked: Vec<_> = state
            .messages
            .iter()
            .filter(|message| message.is_hidden(now))
            .map(|message| message.group.clone())
            .collect();
        let free = state.messages.iter_mut().filter(|message| !message.is_hidden(now));
        let free = free.filter(|message| message.group.is_none() || !locked.contains(&message.group));
        let taken = free.take(max).map(|message| {
            message.hidden = Some(now + lease);
            message.received += 1;
            message.show()
        });
        (taken.collect(), next)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, op: String, body: Value) -> Result<HttpResponse, ConnectorError> {
        let fault = {
            let mut state = self.lock();
            state.requests.push(Asked { op: op.clone(), body: body.clone(), at: Instant::now() });
            let at = state.faults.iter().position(|(wanted, _)| *wanted == op);
            at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault)
        };
        let (status, answer) = match fault {
            Some(Fault::Error(status, code)) => (status, json!({ "__type": code, "message": "as the test wishes" })),
            Some(Fault::Refused) => return Err(broken(std::io::ErrorKind::ConnectionRefused)),
            Some(Fault::Lost) => {
                self.carry_out(&op, &body).await;
                return Err(broken(std::io::ErrorKind::ConnectionReset));
            }
            Some(Fault::Answer(answer)) => (200, answer),
            Some(Fault::Rewrite(rewrite)) => (200, rewrite(&body, self.carry_out(&op, &body).await)),
            None => (200, self.carry_out(&op, &body).await),
        };
        // Nothing is answered at once.
        sleep(Duration::from_millis(1)).await;
        let status = status.try_into().expect("a status");
        Ok(HttpResponse::new(status, answer.to_string().into()))
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a request has a target").to_owned();
        let op = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("a request has a body")).expect("JSON");
        HttpConnectorFuture::new(self.clone().answer(op, body))
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Stored {
    fn is_hidden(&self, now: Instant) -> bool {
        self.hidden.is_some_and(|hidden| hidden > now)
    }

    fn handle(&self) -> String {
        format!("{}/{}", self.id, self.received)
    }

    fn show(&self) -> Value {
        let mut system =
            json!({ "ApproximateReceiveCount": self.received.to_string(), "SentTimestamp": "1789000000000" });
        for (name, shown) in
            [("MessageGroupId", "MessageGroupId"), ("MessageDeduplicationId", "MessageDeduplicationId")]
        {
            if let Some(value) = self.body[name].as_str() {
                system[shown] = json!(value);
            }
        }
        json!({
            "MessageId": self.id,
            "ReceiptHandle": self.handle(),
            "Body": self.body["MessageBody"],
            "Attributes": system,
            "MessageAttributes": self.body["MessageAttributes"],
        })
    }
}

fn each(body: &Value, answer: impl Fn(&Value) -> Value) -> Value {
    let entries = body["Entries"].as_array().expect("a batch has entries");
    json!({ "Successful": entries.iter().map(answer).collect::<Vec<_>>(), "Failed": [] })
}

fn broken(kind: std::io::ErrorKind) -> ConnectorError {
    ConnectorError::io(std::io::Error::new(kind, "as the test wishes").into())
}
