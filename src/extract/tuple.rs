//! Tuples of arguments, each an argument itself.

use super::{FromMessage, FromMessageParts, marker};
use crate::{BoxError, Message};

macro_rules! tuple {
    ($($part:ident)* ; $last:ident) => {
        #[allow(non_snake_case, reason = "a variable per type parameter, named like it")]
        impl<S: Sync, $($part,)* $last> FromMessageParts<S> for ($($part,)* $last,)
        where
            $($part: FromMessageParts<S> + Send,)*
            $last: FromMessageParts<S> + Send,
        {
            type Rejection = BoxError;

            async fn from_message_parts(message: &mut Message, state: &S) -> Result<Self, BoxError> {
                $(let $part = $part::from_message_parts(message, state).await.map_err(Into::into)?;)*
                let $last = $last::from_message_parts(message, state).await.map_err(Into::into)?;
                Ok(($($part,)* $last,))
            }
        }

        // By `ViaMessage` only: a tuple of nothing but parts is one already.
        #[allow(non_snake_case, unused_mut, reason = "a variable per type parameter, named like it")]
        impl<S: Sync, $($part,)* $last> FromMessage<S, marker::ViaMessage> for ($($part,)* $last,)
        where
            $($part: FromMessageParts<S> + Send,)*
            $last: FromMessage<S> + Send,
        {
            type Rejection = BoxError;

            async fn from_message(mut message: Message, state: &S) -> Result<Self, BoxError> {
                $(let $part = $part::from_message_parts(&mut message, state).await.map_err(Into::into)?;)*
                let $last = $last::from_message(message, state).await.map_err(Into::into)?;
                Ok(($($part,)* $last,))
            }
        }
    };
}

tuple!(; A);
tuple!(A; B);
tuple!(A B; C);
tuple!(A B C; D);
tuple!(A B C D; E);
tuple!(A B C D E; F);
tuple!(A B C D E F; G);
tuple!(A B C D E F G; H);
