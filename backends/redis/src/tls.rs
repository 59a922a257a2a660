//! What TLS takes beside the client.

use std::error::Error as StdError;

#[cfg(feature = "tls")]
use std::{io, sync::Arc};

#[cfg(feature = "tls")]
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Has cryptography chosen for the process where the program has not done so: the client takes it from there,
/// and panics if there is none.
#[cfg(feature = "tls")]
pub(crate) fn provide() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, which is as well.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

#[cfg(not(feature = "tls"))]
pub(crate) fn provide() {}

/// What the server did wrong, should TLS have failed for it: trying again would not help.
#[cfg(feature = "tls")]
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|cause| match of_tls(cause)? {
        rustls::Error::InvalidCertificate(why) => Some(format!(
            "has a certificate that is not trusted ({why}); name the file of its authority by the option root_cert"
        )),
        rustls::Error::InvalidMessage(_) => Some("does not speak TLS; its URL begins with redis://".to_owned()),
        _ => None,
    })
}

/// The error of TLS that is in another: neither an `io::Error` nor the client says that it is its source.
#[cfg(feature = "tls")]
fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let shared = || error.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?.downcast_ref();
    error.downcast_ref::<io::Error>().or_else(shared)?.get_ref()?.downcast_ref()
}

#[cfg(not(feature = "tls"))]
pub(crate) fn refusal(_: &(dyn StdError + 'static)) -> Option<String> {
    None
}
