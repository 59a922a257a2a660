//! [`State`], what the application lends its handlers.

use std::convert::Infallible;

use super::FromMessageParts;
use crate::Message;

/// What the application lent the router with [`with_state`](crate::Router::with_state), or a piece of it.
///
/// Each message gets a clone, so state that is not cheap to clone goes behind an `Arc`. A handler may ask for
/// a piece of the state alone: see [`FromRef`].
///
/// # Examples
///
/// ```
/// use chappe::extract::State;
/// use chappe::router::Router;
///
/// #[derive(Clone)]
/// struct Db;
///
/// async fn on_message(State(db): State<Db>, body: String) {
///     # let _ = (db, body);
/// }
///
/// let app = Router::new().fallback(on_message).with_state(Db);
/// # fn check<R: chappe::Receiver>(_: R) {}
/// # check(app);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<S: Sync, T: FromRef<S>> FromMessageParts<S> for State<T> {
    type Rejection = Infallible;

    async fn from_message_parts(_: &mut Message, state: &S) -> Result<Self, Infallible> {
        Ok(Self(T::from_ref(state)))
    }
}

/// A piece of the state, by which it is lent to handlers that know of no more.
///
/// # Examples
///
/// ```
/// use chappe::extract::{FromRef, State};
///
/// #[derive(Clone)]
/// struct Db;
///
/// #[derive(Clone)]
/// struct App {
///     db: Db,
/// }
///
/// impl FromRef<App> for Db {
///     fn from_ref(app: &App) -> Self {
///         app.db.clone()
///     }
/// }
///
/// async fn on_message(State(db): State<Db>) {
///     # let _ = db;
/// }
///
/// let app = chappe::Router::new().fallback(on_message).with_state(App { db: Db });
/// # fn check<R: chappe::Receiver>(_: R) {}
/// # check(app);
/// ```
#[diagnostic::on_unimplemented(
    message = "the state `{T}` has no piece `{Self}`",
    label = "a handler asks for `State<{Self}>`",
    note = "give the router that very state with `with_state`, or implement `FromRef<{T}>` for `{Self}`"
)]
pub trait FromRef<T> {
    /// Clones the piece out of the whole.
    fn from_ref(whole: &T) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(whole: &T) -> Self {
        whole.clone()
    }
}
