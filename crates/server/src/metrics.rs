//! Figures for monitoring, in Prometheus' text format 0.0.4.

use impasto_engine::EngineStats;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers by class of status: 1xx to 5xx.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts([AtomicU64; 5]);

impl RequestCounts {
    /// Counts an answer.
    pub(crate) fn count(&self, status: u16) {
        if let Some(class) = self.0.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The page `/metrics`.
    pub(crate) fn render(&self, stats: &EngineStats, alive: bool) -> String {
        let mut page = String::new();
        let figures: [(&str, &str, &str, f64); 8] = [
            ("jobs_queued", "gauge", "Jobs that wait.", stats.queued as f64),
            ("jobs_running", "gauge", "Jobs at work.", stats.running as f64),
            ("steps_total", "counter", "Sampler steps made.", stats.steps_total as f64),
            ("images_total", "counter", "Pictures made.", stats.images_total as f64),
            (
                "busy_seconds_total",
                "counter",
                "Seconds in which the engine worked.",
                stats.busy_seconds_total,
            ),
            ("resident_models", "gauge", "Models in memory.", stats.resident_models as f64),
            ("resident_model_bytes", "gauge", "Bytes of models in memory.", stats.resident_bytes as f64),
            ("engine_alive", "gauge", "1 while the engine runs.", f64::from(u8::from(alive))),
        ];
        for (name, kind, help, value) in figures {
            // Writing to a string does not fail.
            let _ = write!(
                page,
                "# HELP impasto_{name} {help}\n# TYPE impasto_{name} {kind}\nimpasto_{name} {value}\n"
            );
        }
        page.push_str("# HELP impasto_http_responses_total Answers by class of status.\n");
        page.push_str("# TYPE impasto_http_responses_total counter\n");
        for (class, count) in (1..).zip(&self.0) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(page, "impasto_http_responses_total{{class=\"{class}xx\"}} {count}");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_classes_are_listed() {
        let counts = RequestCounts::default();
        for status in [200, 204, 404, 600, 99] {
            counts.count(status);
        }
        let stats = EngineStats { steps_total: 40, busy_seconds_total: 1.5, ..EngineStats::default() };
        let page = counts.render(&stats, true);
        for line in [
            "impasto_steps_total 40",
            "impasto_busy_seconds_total 1.5",
            "impasto_engine_alive 1",
            "impasto_http_responses_total{class=\"2xx\"} 2",
            "impasto_http_responses_total{class=\"4xx\"} 1",
            "impasto_http_responses_total{class=\"5xx\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
