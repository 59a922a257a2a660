//! [`Address`], a topic or a subscription as a URL.

use std::time::Duration;

use chappe_core::Error;
use chappe_core::backend::Url;

use crate::PubsubClient;
use crate::target::{Kind, Target};

/// What a URL names, where it is, and the options it has.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) target: Target,
    pub(crate) options: Options,
    /// The host and port of an emulator, where it is not left to the environment.
    emulator: Option<String>,
    project: String,
}

/// The options of queues and of publishers: each leaves alone what is for the other, so that one URL serves both.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) lease: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) ordered: Option<bool>,
    pub(crate) dead_letter: Option<String>,
    pub(crate) missing_grace: Option<Duration>,
    pub(crate) inspect: Option<bool>,
    pub(crate) strict: Option<bool>,
}

impl Address {
    pub(crate) fn read(text: &str, kind: Kind) -> Result<Self, Error> {
        let url = &mut Url::parse(text)?;
        let many = kind.plural();
        if url.user().is_some() || url.password().is_some() {
            return Err(url.invalid("credentials do not belong in it"));
        }
        let segments: Vec<&str> = url.segments().iter().map(String::as_str).collect();
        let (emulator, project, rest) = match (url.scheme(), &segments[..]) {
            ("pubsub", rest) => (None, url.host(), rest),
            ("pubsub+http", [project, rest @ ..]) => (Some(url.authority().to_owned()), *project, rest),
            // As the Go CDK writes it.
            ("gcppubsub", [project, rest @ ..]) if url.host() == "projects" => (None, *project, rest),
            ("pubsub+http" | "gcppubsub", _) => return Err(url.invalid("it names no project")),
            _ => return Err(url.invalid("its scheme is not pubsub, pubsub+http or gcppubsub")),
        };
        let name = match rest {
            [name] => *name,
            [kind, name] if *kind == many => *name,
            _ => return Err(url.invalid(format_args!("it is to name a project and a {}", kind.singular()))),
        };
        let target = Target::new(kind, name, Some(project));
        target.check()?;
        let project = project.to_owned();
        let options = Options::take(url)?;
        url.finish()?;
        Ok(Self { target, options, emulator, project })
    }

    /// A client for it, of its emulator or from the environment.
    pub(crate) async fn client(&self) -> Result<PubsubClient, Error> {
        let client = match &self.emulator {
            Some(host) => PubsubClient::emulator(host)?,
            None => PubsubClient::from_env().await?,
        };
        Ok(client.project(self.project.as_str()))
    }
}

impl Options {
    fn take(url: &mut Url) -> Result<Self, Error> {
        Ok(Self {
            lease: url.duration("lease")?,
            max_hold: url.duration("max_hold")?,
            max_bytes: url.bytes("max_bytes")?,
            ordered: url.take("ordered")?,
            dead_letter: url.take("dead_letter")?,
            missing_grace: url.duration("missing_grace")?,
            inspect: url.take("inspect")?,
            strict: url.take("strict")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: Kind) -> Result<Address, Error> {
        Address::read(text, kind)
    }

    #[test]
    fn every_form_names_project_and_name() {
        for text in [
            "pubsub://shop/orders",
            "pubsub://shop/subscriptions/orders",
            "pubsub+http://localhost:8085/shop/orders",
            "gcppubsub://projects/shop/subscriptions/orders",
        ] {
            let address = read(text, Kind::Subscription).unwrap();
            assert_eq!(&**address.target.full(), "projects/shop/subscriptions/orders", "{text}");
        }
        assert_eq!(&**read("pubsub://shop/orders", Kind::Topic).unwrap().target.full(), "projects/shop/topics/orders");
    }

    #[test]
    fn one_url_serves_a_queue_and_a_publisher() {
        let url = "pubsub://shop/orders?lease=30s&dead_letter=orders-dead&strict=true";

        for kind in [Kind::Subscription, Kind::Topic] {
            let options = read(url, kind).unwrap().options;
            assert_eq!((options.lease, options.strict), (Some(Duration::from_secs(30)), Some(true)));
        }
        assert!(read("pubsub://shop/orders?leese=30s", Kind::Topic).is_err());
    }

    #[test]
    fn what_names_neither_is_refused_without_its_secrets() {
        for text in [
            "sqs://shop/orders",
            "pubsub://shop",
            "pubsub://shop/topics/orders",
            "pubsub://shop/a/b/c",
            "pubsub+http://localhost:8085",
            "pubsub://me:secret@shop/orders",
        ] {
            let error = read(text, Kind::Subscription).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
