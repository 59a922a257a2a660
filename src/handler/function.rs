//! Functions of no to twelve arguments as handlers.

use std::future::Future;
use std::sync::Arc;

use super::{Handler, Route};
use crate::IntoResult;
use crate::extract::{FromMessage, FromMessageParts};

#[diagnostic::do_not_recommend]
impl<F, Fut, S> Handler<((),), S> for F
where
    F: FnOnce() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResult> + Send,
{
    fn with_state(self, _: S) -> Route {
        Route::new(move |_| {
            let function = self.clone();
            async move { function().await.into_result() }
        })
    }
}

// `M` is how the last argument is taken. It is in the handler's `T` because nothing else would name it, and
// `T` has the arguments because functions of different arguments would otherwise be one and the same impl.
macro_rules! function {
    ($($part:ident)* ; $last:ident) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_mut, reason = "a variable per type parameter, named like it")]
        impl<F, Fut, S, M, $($part,)* $last> Handler<(M, $($part,)* $last,), S> for F
        where
            F: FnOnce($($part,)* $last,) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoResult> + Send,
            S: Send + Sync + 'static,
            $($part: FromMessageParts<S> + Send,)*
            $last: FromMessage<S, M> + Send,
        {
            fn with_state(self, state: S) -> Route {
                let shared = Arc::new((self, state));
                Route::new(move |mut message| {
                    let shared = Arc::clone(&shared);
                    async move {
                        let (function, state) = &*shared;
                        $(let $part = $part::from_message_parts(&mut message, state).await.map_err(Into::into)?;)*
                        let $last = $last::from_message(message, state).await.map_err(Into::into)?;
                        function.clone()($($part,)* $last,).await.into_result()
                    }
                })
            }
        }
    };
}

function!(; A);
function!(A; B);
function!(A B; C);
function!(A B C; D);
function!(A B C D; E);
function!(A B C D E; A6);
function!(A B C D E A6; G);
function!(A B C D E A6 G; H);
function!(A B C D E A6 G H; I);
function!(A B C D E A6 G H I; J);
function!(A B C D E A6 G H I J; K);
function!(A B C D E A6 G H I J K; L);
