//! Resident models and the step loop; submit, cancel, watch.

mod status;

pub use impasto_diffusion::Picture;
pub use status::{FinishedImage, JobId, JobState, JobStatus, ModelEntry, Stop};
