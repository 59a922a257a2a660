//! Pointers to bodies that are kept elsewhere, as Amazon's extended clients write them.

use serde_json::{Value as Json, json};

use crate::blob::BlobKey;

/// The class today's clients name: <https://github.com/awslabs/amazon-sqs-java-extended-client-lib>.
const CLASS: &str = "software.amazon.payloadoffloading.PayloadS3Pointer";
/// The class they named before.
const OLD_CLASS: &str = "com.amazon.sqs.javamessaging.MessageS3Pointer";

/// The attribute that says that a body is a pointer, and how long the real one is.
pub(super) const SIZE: &str = "ExtendedPayloadSize";
/// Its name before.
pub(super) const OLD_SIZE: &str = "SQSLargePayloadSize";

pub(super) fn write(key: &BlobKey) -> String {
    json!([CLASS, { "s3BucketName": key.bucket, "s3Key": key.key }]).to_string()
}

pub(super) fn read(body: &str) -> Option<BlobKey> {
    let parsed: Json = serde_json::from_str(body).ok()?;
    let [Json::String(class), place] = parsed.as_array()?.as_slice() else { return None };
    let text = |name: &str| place.get(name)?.as_str().map(str::to_owned);
    let known = class == CLASS || class == OLD_CLASS;
    known.then_some(())?;
    Some(BlobKey { bucket: text("s3BucketName")?, key: text("s3Key")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_amazons_clients_write_is_read() {
        for class in [CLASS, OLD_CLASS] {
            let body = format!(r#"["{class}",{{"s3BucketName":"b","s3Key":"k"}}]"#);
            assert_eq!(read(&body), Some(BlobKey { bucket: "b".into(), key: "k".into() }), "{class}");
        }
        for body in ["", "[]", r#"["x",{"s3BucketName":"b","s3Key":"k"}]"#, "{}"] {
            assert_eq!(read(body), None, "{body}");
        }
    }

    #[test]
    fn what_we_write_is_what_amazons_clients_write() {
        let key = BlobKey { bucket: "b".into(), key: "k".into() };

        let body = write(&key);

        assert_eq!(body, format!(r#"["{CLASS}",{{"s3BucketName":"b","s3Key":"k"}}]"#));
    }
}
