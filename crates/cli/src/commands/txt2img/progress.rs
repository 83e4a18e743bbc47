//! A progress bar with steps a second and the time left, where stderr is a terminal.

use impasto_engine::JobStatus;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{wide_bar:.cyan} {pos}/{len} {msg}";

/// The bar of one job. indicatif draws nothing where stderr is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Draws where the job stands.
    pub(crate) fn show(&self, status: &JobStatus) {
        let all = u64::from(status.steps) * u64::from(status.request.batch_count);
        let made = steps_made(status).min(all);
        self.bar.set_length(all);
        self.bar.set_position(made);
        self.bar.set_message(words(status, made));
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Steps of batches, not of single pictures: what A1111 counts.
fn steps_made(status: &JobStatus) -> u64 {
    u64::from(status.batches_done) * u64::from(status.steps) + u64::from(status.step)
}

fn words(status: &JobStatus, made: u64) -> String {
    let seconds = status.elapsed.as_secs_f64();
    match status.eta {
        Some(left) if made > 0 && seconds > 0.0 => {
            format!("{:.2} it/s, {} left", made as f64 / seconds, HumanDuration(left))
        }
        _ => "loading".to_owned(),
    }
}
