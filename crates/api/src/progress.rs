//! The answer to `GET /sdapi/v1/progress`.

use serde::Serialize;
use utoipa::ToSchema;

/// How far the job at work is. Idle is all zeros.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Progress {
    /// 0 to 1.
    pub progress: f64,
    /// Seconds it will still take.
    pub eta_relative: f64,
    /// The job.
    pub state: ProgressState,
    /// A preview in base64, if there is one and it was asked for.
    pub current_image: Option<String>,
    /// Always null.
    pub textinfo: Option<String>,
}

/// The job at work.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProgressState {
    /// Whether the batch at work is being skipped.
    pub skipped: bool,
    /// Whether the job is being interrupted.
    pub interrupted: bool,
    /// Always false.
    pub stopping_generation: bool,
    /// `scripts_txt2img`, or nothing.
    pub job: String,
    /// Batches of the job; 0 if there is none.
    pub job_count: u32,
    /// When it began: year, month, day, hour, minute, second; or `0`.
    pub job_timestamp: String,
    /// Batches finished.
    pub job_no: u32,
    /// Steps made in the batch.
    pub sampling_step: u32,
    /// Steps of a batch.
    pub sampling_steps: u32,
}

impl Default for ProgressState {
    fn default() -> Self {
        Self {
            skipped: false,
            interrupted: false,
            stopping_generation: false,
            job: String::new(),
            job_count: 0,
            job_timestamp: "0".to_owned(),
            job_no: 0,
            sampling_step: 0,
            sampling_steps: 0,
        }
    }
}

impl Progress {
    /// Nothing is being made.
    pub fn idle() -> Self {
        Self {
            progress: 0.0,
            eta_relative: 0.0,
            state: ProgressState::default(),
            current_image: None,
            textinfo: None,
        }
    }

    /// A job is being made, since `elapsed` seconds. Share and time left follow from its state by A1111's rule.
    pub fn working(state: ProgressState, elapsed: f64, current_image: Option<String>) -> Self {
        let count = f64::from(state.job_count.max(1));
        let batch = f64::from(state.sampling_step) / f64::from(state.sampling_steps.max(1));
        let progress = (0.01 + (f64::from(state.job_no) + batch) / count).min(1.0);
        Self { progress, eta_relative: elapsed / progress - elapsed, state, current_image, textinfo: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_exactly_zero() {
        insta::assert_snapshot!(
            serde_json::to_string(&Progress::idle()).unwrap(),
            @r#"{"progress":0.0,"eta_relative":0.0,"state":{"skipped":false,"interrupted":false,"stopping_generation":false,"job":"","job_count":0,"job_timestamp":"0","job_no":0,"sampling_step":0,"sampling_steps":0},"current_image":null,"textinfo":null}"#
        );
    }

    #[test]
    fn progress_counts_batches_and_steps() {
        let state = ProgressState {
            job_count: 2,
            job_no: 1,
            sampling_step: 5,
            sampling_steps: 20,
            ..Default::default()
        };
        let progress = Progress::working(state.clone(), 6.35, None);
        assert!((progress.progress - 0.635).abs() < 1e-12 && (progress.eta_relative - 3.65).abs() < 1e-12);
        let done = ProgressState { sampling_step: 20, ..state };
        assert_eq!(Progress::working(done, 1.0, None).progress, 1.0);
    }
}
