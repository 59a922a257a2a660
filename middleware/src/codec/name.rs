//! What the layers of this crate that are no compression are called in `Content-Encoding`.
//!
//! Here, and not with the layers, because they have to know of each other where not all of them are built.

/// The mark of `base64::Base64EncodeLayer`.
pub const BASE64: &str = "base64";

/// The mark of `claim::StoreBodyLayer`.
pub const CLAIM: &str = "claim";

/// The mark of `encrypt::EncryptLayer`.
pub const AES_256_GCM: &str = "aes-256-gcm";

/// Whether an encoding is left for another layer of this crate to undo.
#[cfg(feature = "compress")]
pub(crate) fn is_of_this_crate(encoding: &str) -> bool {
    [BASE64, CLAIM, AES_256_GCM].iter().any(|known| known.eq_ignore_ascii_case(encoding))
}
