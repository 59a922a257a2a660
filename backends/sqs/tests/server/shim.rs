//! [`Shim`], between the SDK and its HTTP client: has requests fail that an emulator never fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};

/// Fails the next so many requests of an operation, before they are sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shim(Arc<Mutex<Faults>>);

/// By operation: how many requests are still to fail, with which status and which code.
type Faults = HashMap<&'static str, (usize, u16, &'static str)>;

#[derive(Debug)]
struct Shimmed {
    shim: Shim,
    real: SharedHttpConnector,
}

impl Shim {
    /// Fails the next `count` requests with a status and a code.
    pub(crate) fn fail(&self, op: &'static str, count: usize, status: u16, code: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(op, (count, status, code));
    }

    /// The client, with the shim in front of its connections.
    pub(crate) fn wrap(&self, client: &Client) -> Client {
        let shim = self.clone();
        let real = aws_smithy_http_client::Builder::new().build_http();
        let shimmed = http_client_fn(move |settings, components| {
            let real = real.http_connector(settings, components);
            SharedHttpConnector::new(Shimmed { shim: shim.clone(), real })
        });
        Client::from_conf(client.config().to_builder().http_client(shimmed).build())
    }

    fn next(&self, op: &str) -> Option<(u16, &'static str)> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, status, code) = faults.get_mut(op).filter(|(count, ..)| *count > 0)?;
        *count -= 1;
        Some((*status, *code))
    }
}

impl HttpConnector for Shimmed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        match self.shim.next(target.rsplit('.').next().unwrap_or_default()) {
            Some((status, code)) => {
                let body = format!(r#"{{"__type":"{code}","message":"as the test wishes"}}"#);
                let status = status.try_into().expect("a status");
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body.into())))
            }
            None => self.real.call(request),
        }
    }
}
