//! [`Answer`], what is made of the answers of topics and receivers, so that they can be looked at.

use chappe_core::{BoxError, IntoOutcome, IntoResult, Outcome, Published};

use super::Ending;

/// What is made of an answer of type `T`.
pub trait Answer<T> {
    /// What it is made into.
    type Output;

    /// Makes it.
    fn convert(answer: T) -> Self::Output;

    /// How a call ended that was answered so.
    fn ending(answer: &Self::Output) -> Ending<'_>;
}

/// The answer of a topic, as it is.
#[derive(Clone, Copy, Debug)]
pub enum Publish {}

impl Answer<Published> for Publish {
    type Output = Published;

    fn convert(answer: Published) -> Published {
        answer
    }

    fn ending(answer: &Published) -> Ending<'_> {
        Ending::Published(answer)
    }
}

/// The answer of a receiver. Asking it for its outcome takes it, so the outcome is passed on in its place.
#[derive(Clone, Copy, Debug)]
pub enum Receive {}

impl<T: IntoOutcome> Answer<T> for Receive {
    type Output = Outcome;

    fn convert(answer: T) -> Outcome {
        answer.into_outcome()
    }

    fn ending(answer: &Outcome) -> Ending<'_> {
        Ending::Answered(answer)
    }
}

/// The answers of a receiver of batches.
#[derive(Clone, Copy, Debug)]
pub enum Batch {}

impl<T: IntoResult> Answer<Vec<T>> for Batch {
    type Output = Vec<Result<Outcome, BoxError>>;

    fn convert(answers: Vec<T>) -> Self::Output {
        answers.into_iter().map(T::into_result).collect()
    }

    fn ending(answers: &Self::Output) -> Ending<'_> {
        Ending::Each(answers)
    }
}
