//! A connector for TLS as a URL asks for it.

use std::path::Path;
use std::sync::Arc;

use chappe_core::{Error, ErrorKind};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::drive::{Connector, connector};
use super::ssl::{Mode, Ssl};

/// What the protocol is called within TLS, for servers that are spoken to without asking first.
const PROTOCOL: &[u8] = b"postgresql";

/// Makes connections as a URL asks for them.
///
/// # Errors
///
/// [`ErrorKind::Invalid`]: there are no authorities to trust.
pub(super) fn connect(ssl: &Ssl) -> Result<Connector, Error> {
    let trust = match ssl.mode {
        Mode::Disable => return Ok(connector(NoTls)),
        Mode::VerifyFull => Trust::Name,
        Mode::VerifyCa => Trust::Authority,
        // As `libpq` does it: who names authorities wants them asked.
        Mode::Require if ssl.roots.is_some() => Trust::Authority,
        Mode::Require | Mode::Prefer => Trust::Anybody,
    };
    // The program's own choice, where it has made one.
    let provider = CryptoProvider::get_default().map_or_else(|| Arc::new(aws_lc_rs::default_provider()), Arc::clone);
    let inner = match trust {
        Trust::Anybody => None,
        Trust::Authority | Trust::Name => Some(authorities(ssl.roots.as_deref(), &provider)?),
    };
    let verifier = Verifier { trust, inner, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| invalid(format!("TLS cannot be used: {error}")))?;
    let verified = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = verified.with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(connector(MakeRustlsConnect::new(config)))
}

/// Whom to take for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Whoever is there: only those who listen are kept out.
    Anybody,
    /// Whoever has a certificate of one of the authorities.
    Authority,
    /// Who has one for the name that is connected to.
    Name,
}

/// Checks the server as far as it was asked for.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(server, between, name, ocsp, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Authority => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, server, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, server, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Those of a file, or of the system.
fn authorities(file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    let from = match file {
        Some(path) => {
            let unreadable = |error| invalid(format!("sslrootcert {} cannot be read: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                let added = roots.add(certificate.map_err(unreadable)?);
                added.map_err(|error| invalid(format!("sslrootcert {}: {error}", path.display())))?;
            }
            path.display().to_string()
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "the system".to_owned()
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| invalid(format!("{from} has no authorities to trust ({error}); name some by sslrootcert")))
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}
