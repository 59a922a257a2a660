//! [`Target`], which queue a handle is about.

use std::sync::Arc;

use chappe_core::{Error, ErrorKind};

/// What the names of FIFO queues end with; no other queue's may.
pub(crate) const FIFO: &str = ".fifo";

/// A queue by its URL, and where the client looks for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: Arc<str>,
    region: Option<Arc<str>>,
}

impl Target {
    pub(crate) fn new(url: &str, region: Option<&str>) -> Self {
        Self { url: url.into(), region: region.map(Into::into) }
    }

    /// The queue at `url`, for the region of `client`.
    pub(crate) fn of_client(client: &aws_sdk_sqs::Client, url: &str) -> Self {
        Self::new(url, client.config().region().map(AsRef::as_ref))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name, which is the last part of the URL.
    pub(crate) fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }

    /// Whether the queue keeps order, which its name says.
    pub(crate) fn is_fifo(&self) -> bool {
        self.url.ends_with(FIFO)
    }

    pub(crate) fn has_region(&self) -> bool {
        self.region.is_some()
    }

    /// Where it is looked for, for the texts of errors.
    pub(crate) fn place(&self) -> String {
        self.region.as_ref().map_or_else(|| "the endpoint".to_owned(), |region| format!("region {region}"))
    }

    /// Checks also that the environment has a region: every request is signed for one.
    #[cfg(feature = "env")]
    pub(crate) fn check_env(&self) -> Result<(), Error> {
        self.check()?;
        if self.has_region() {
            return Ok(());
        }
        let text = format!("there is no region for queue {}; set AWS_REGION, or one in the AWS profile", self.name());
        Err(Error::new(ErrorKind::Invalid, text))
    }

    /// Checks that the URL looks like one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        if rest.is_some_and(|rest| rest.split('/').filter(|part| !part.is_empty()).count() >= 2)
            && !self.name().is_empty()
        {
            return Ok(());
        }
        let text = format!(
            "{:?} is not the URL of a queue; it is like https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            &*self.url
        );
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_a_url() {
        for url in ["orders", "", "https://sqs.eu-west-1.amazonaws.com", "https://host/123/", "sqs://host/1/orders"] {
            assert_eq!(Target::new(url, None).check().unwrap_err().kind(), ErrorKind::Invalid, "{url:?}");
        }
        assert!(Target::new("http://127.0.0.1:4566/000000000000/orders", None).check().is_ok());
    }

    #[test]
    fn the_name_says_whether_there_is_order() {
        let target = Target::new("https://host/123/orders.fifo", None);

        assert_eq!((target.name(), target.is_fifo()), ("orders.fifo", true));
    }
}
