//! What each operation of a run took: a table by operation and shape, one by operation, and what lies outside them.

use super::report::seconds_words;
use impasto_tensor::profile::{ProfileKey, Spent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The operations of one run, the longest first.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) rows: Vec<(ProfileKey, Spent)>,
    /// What the run took as a whole.
    pub(super) wall: f64,
    /// Peak of the machine, floating point operations a second.
    pub(super) peak: f64,
}

impl Profile {
    /// Floating point operations of the run.
    pub(super) fn flops(&self) -> f64 {
        self.rows.iter().map(|(_, spent)| spent.flops).sum()
    }

    /// Seconds of all operations.
    fn seconds(&self) -> f64 {
        self.rows.iter().map(|(_, spent)| spent.time.as_secs_f64()).sum()
    }

    /// Both tables and the sum.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![heading("operation and shapes")];
        lines.extend(self.rows.iter().map(|(key, spent)| {
            let name = format!("{}, {}", key.operation, key.shapes);
            self.line(&name, spent)
        }));
        lines.extend([String::new(), heading("operation")]);
        lines.extend(self.kinds().iter().map(|(kind, spent)| self.line(kind, spent)));
        let (inside, wall) = (self.seconds(), self.wall);
        lines.extend([
            String::new(),
            format!(
                "operations {} of {}; outside them {} ({:.1} %)",
                seconds_words(inside),
                seconds_words(wall),
                seconds_words((wall - inside).max(0.0)),
                100.0 * (1.0 - inside / wall).max(0.0)
            ),
        ]);
        lines
    }

    fn line(&self, name: &str, spent: &Spent) -> String {
        let seconds = spent.time.as_secs_f64();
        let start = format!(
            "{name:<58} {:>6} {:>10.2} {:>5.1} %",
            spent.calls,
            seconds * 1e3,
            100.0 * seconds / self.seconds()
        );
        if spent.flops == 0.0 {
            return start;
        }
        let rate = spent.flops / seconds;
        format!("{start} {:>9.1} {:>5.0} %", rate / 1e9, 100.0 * rate / self.peak)
    }

    /// The sums of operations of one name, whatever their shapes, the longest first.
    fn kinds(&self) -> Vec<(&str, Spent)> {
        let mut kinds: BTreeMap<&str, Spent> = BTreeMap::new();
        for (key, spent) in &self.rows {
            let name = key.operation.split(' ').next().unwrap_or_default();
            let kind = kinds.entry(name).or_default();
            kind.calls += spent.calls;
            kind.time += spent.time;
            kind.flops += spent.flops;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.time));
        kinds
    }

    /// The first table and the sums.
    pub(super) fn json(&self) -> Value {
        let rate = |spent: &Spent, unit: f64| {
            let seconds = spent.time.max(Duration::from_nanos(1)).as_secs_f64();
            if spent.flops > 0.0 { json!(spent.flops / seconds / unit) } else { Value::Null }
        };
        let rows = self.rows.iter().map(|(key, spent)| {
            json!({
                "operation": key.operation,
                "shapes": key.shapes,
                "calls": spent.calls,
                "seconds": spent.time.as_secs_f64(),
                "gflops": rate(spent, 1e9),
                "peak_share": rate(spent, self.peak),
            })
        });
        json!({
            "wall_s": self.wall,
            "operations_s": self.seconds(),
            "operations": rows.collect::<Vec<_>>(),
        })
    }
}

fn heading(name: &str) -> String {
    format!("{name:<58} {:>6} {:>10} {:>7} {:>9} {:>7}", "calls", "ms", "share", "GFLOP/s", "of peak")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_summed_by_name_and_the_rest_is_told() {
        let row = |operation: &str, milliseconds, flops| {
            let key = ProfileKey { operation: operation.into(), shapes: "1x2 to 1x3".into() };
            (key, Spent { calls: 1, time: Duration::from_millis(milliseconds), flops })
        };
        let rows =
            vec![row("conv2d 3x3", 500, 1e9), row("add", 300, 0.0), row("conv2d 3x3 stride 2", 100, 2e9)];
        let profile = Profile { rows, wall: 1.2, peak: 10e9 };
        assert_eq!(profile.flops(), 3e9);
        let [(first, sum), (second, _)] = profile.kinds()[..] else { panic!("{profile:?}") };
        assert_eq!((first, sum.calls, sum.time, second), ("conv2d", 2, Duration::from_millis(600), "add"));
        let lines = profile.lines();
        assert_eq!(lines.last().unwrap(), "operations 0.900 s of 1.200 s; outside them 0.300 s (25.0 %)");
        assert!(lines[1].ends_with("55.6 %       2.0    20 %"), "{}", lines[1]);
        let json = profile.json();
        assert_eq!(json["operations"][0]["peak_share"], 0.2);
        assert!(json["operations"][1]["gflops"].is_null());
    }
}
