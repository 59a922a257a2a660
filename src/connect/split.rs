//! [`split`], for the options of a URL that are not its backend's.

use chappe_core::Error;
use chappe_core::backend::Url;

/// The URL without the options of these names, and those alone, behind a place of their own: errors about them
/// have nothing of the backend's to show.
pub(super) fn split(url: &str, place: &str, names: &[&str]) -> Result<(String, Url), Error> {
    let (backend, query) = url.split_once('?').unwrap_or((url, ""));
    let is_ours = |pair: &&str| names.contains(&pair.split('=').next().unwrap_or_default());
    let (ours, theirs): (Vec<_>, Vec<_>) = query.split('&').filter(|pair| !pair.is_empty()).partition(is_ours);
    let rest = if theirs.is_empty() { backend.to_owned() } else { format!("{backend}?{}", theirs.join("&")) };
    Ok((rest, Url::parse(&format!("{place}?{}", ours.join("&")))?))
}
