//! What can go wrong with a trajectory.

use impasto_domain::RequestError;
use std::fmt::Display;

/// Why a trajectory cannot begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrajectoryError {
    /// A field of the specification makes no sense for this model.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The answer is not one to the step that was asked last.
    #[error("the trajectory waits for {wanted}, but was given {given}")]
    Answer {
        /// The kind and shape that would have been right.
        wanted: String,
        /// What came instead.
        given: String,
    },
    /// A network or a step produced something that is not a number.
    #[error(
        "a tensor with {} NaNs was produced in {part} ({bad} of {all} values are not finite); the model file may be \
         damaged, or cfg_scale or an emphasis too large", if .bad == .all { "all" } else { "some" }
    )]
    NotFinite {
        /// Which part of the model.
        part: &'static str,
        /// How many values are NaN or infinite.
        bad: usize,
        /// How many values there are.
        all: usize,
    },
}

impl TrajectoryError {
    pub(crate) fn request(field: &'static str, value: impl Display, problem: impl Into<String>) -> Self {
        Self::Request(RequestError { field, value: value.to_string(), problem: problem.into() })
    }

    pub(crate) fn answer(wanted: impl Into<String>, given: impl Into<String>) -> Self {
        Self::Answer { wanted: wanted.into(), given: given.into() }
    }
}

/// Refuses values that are not numbers.
pub(crate) fn check_finite(part: &'static str, values: &[f32]) -> Result<(), TrajectoryError> {
    let bad = values.iter().filter(|value| !value.is_finite()).count();
    if bad == 0 { Ok(()) } else { Err(TrajectoryError::NotFinite { part, bad, all: values.len() }) }
}
