//! `DryRun`, whether a message is only a rehearsal.

use chappe_middleware::dry_run::{DryRun, NotAFlag};

use super::FromMessageParts;
use crate::Message;

/// Whether the message is only a rehearsal, by its attribute `dry-run`. One that is neither `true` nor `false`
/// has the message rejected.
///
/// # Examples
///
/// ```
/// use chappe::extract::DryRun;
///
/// async fn on_order(DryRun(rehearsal): DryRun, order: String) {
///     if !rehearsal {
///         println!("{order}");
///     }
/// }
/// ```
impl<S: Sync> FromMessageParts<S> for DryRun {
    type Rejection = NotAFlag;

    async fn from_message_parts(message: &mut Message, _: &S) -> Result<Self, NotAFlag> {
        Self::of(message)
    }
}
