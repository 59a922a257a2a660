//! [`Algorithm`], how a checksum is made and written.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// An algorithm, by its name in `Content-Digest`.
///
/// # Source
///
/// <https://www.iana.org/assignments/http-digest-hash-alg>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc32c,
    Sha256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Crc32c, Self::Sha256].into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::Sha256 => "sha-256",
        }
    }

    /// The entry for a body: the name, and the checksum between colons.
    pub(super) fn entry(self, body: &[u8]) -> String {
        let value = match self {
            Self::Crc32c => STANDARD.encode(crc32c::crc32c(body).to_be_bytes()),
            Self::Sha256 => STANDARD.encode(Sha256::digest(body)),
        };
        format!("{}=:{value}:", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_standards() {
        // RFC 9530, appendix D, and the check value of CRC-32C.
        let body = "{\"hello\": \"world\"}\n";
        assert_eq!(Algorithm::Sha256.entry(body.as_bytes()), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
        assert_eq!(Algorithm::Crc32c.entry(b"123456789"), "crc32c=:4waSgw==:");
    }
}
