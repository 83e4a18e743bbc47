//! Runs what is to be measured, a given number of times or once a line of standard input, and reports.

use super::arguments::RunArguments;
use super::measure::{Meter, Run, Summary, median, sorted};
use super::profile::Profile;
use super::report::{About, joined, memory_json, memory_words, seconds_words, summary_words};
use crate::output;
use impasto_tensor::profile::ProfileLog;
use serde_json::{Value, json};
use std::io::BufRead as _;

/// Parts of a run with their seconds.
pub(super) type Parts = Vec<(&'static str, f64)>;

/// Something that can be run again and again.
pub(super) struct Subject<'a> {
    pub(super) about: About,
    pub(super) meter: Meter<'a>,
    /// Where the operations of a run are noted.
    pub(super) log: ProfileLog,
    pub(super) load_seconds: f64,
    /// Whether a run that is not measured comes first. Its operations are counted then, else those of the first run.
    pub(super) warm_up: bool,
    pub(super) default_runs: usize,
    /// Two parts of which the first is to be set in proportion to the second.
    pub(super) compared: Option<[&'static str; 2]>,
    pub(super) call: Box<dyn FnMut() -> anyhow::Result<Parts> + 'a>,
}

impl Subject<'_> {
    /// Measures and reports as the arguments say.
    pub(super) fn conduct(mut self, arguments: &RunArguments) -> anyhow::Result<()> {
        if self.warm_up {
            // Also touches the memory that later runs use again.
            let counted = self.counted()?.2;
            return self.measure(arguments, Some(counted));
        }
        self.measure(arguments, None)
    }

    fn measure(mut self, arguments: &RunArguments, mut counted: Option<Profile>) -> anyhow::Result<()> {
        self.log.pause(true);
        if arguments.turns {
            return self.turns(counted);
        }
        if !arguments.json {
            output::print(&self.about.words())?;
            output::print(&format!("loaded  in {}", seconds_words(self.load_seconds)))?;
        }
        let mut runs = Vec::new();
        let mut all_parts = Vec::new();
        for _ in 0..arguments.runs.unwrap_or(self.default_runs) {
            let (run, found) = self.run(&mut counted)?;
            runs.push(run);
            all_parts.push(found);
        }
        let parts = medians(&all_parts);
        let ratio = self.compared.map(|compared| (compared, ratio(&all_parts, compared)));
        let summary = Summary::new(&runs, counted.as_ref().map_or(0.0, Profile::flops));
        let profile = match (arguments.profile, self.warm_up) {
            (false, _) => None,
            (true, true) => Some(self.counted()?.2),
            (true, false) => counted,
        };
        if arguments.json {
            let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
            return print_line(&joined([
                self.about.json(),
                json!({ "clock": self.meter.clock.name(), "load_s": self.load_seconds, "seconds": seconds }),
                summary.json(),
                parts_json(&parts),
                ratio.map_or(Value::Null, |(_, ratio)| json!({ "ratio": ratio })),
                memory_json(),
                json!({ "profile": profile.map(|profile| profile.json()) }),
            ]));
        }
        let ratio = ratio.map(|([first, second], ratio)| {
            format!("ratio   {first} to {second} {ratio:.4}, median of the runs' own")
        });
        let parts = parts_words(&parts).into_iter().chain(ratio);
        let lines = summary_words(&summary).into_iter().chain(parts).chain(memory_words());
        for line in lines {
            output::print(&line)?;
        }
        if let Some(profile) = profile {
            output::print("")?;
            for line in profile.lines() {
                output::print(&line)?;
            }
        }
        Ok(())
    }

    /// A run for each line, until standard input ends.
    fn turns(mut self, mut counted: Option<Profile>) -> anyhow::Result<()> {
        let ready = json!({ "ready": true, "load_s": self.load_seconds });
        print_line(&joined([self.about.json(), ready, memory_json()]))?;
        for line in std::io::stdin().lock().lines() {
            line?;
            let (run, parts) = self.run(&mut counted)?;
            let summary = Summary::new(&[run], counted.as_ref().map_or(0.0, Profile::flops)).json();
            let seconds = json!({ "seconds": run.seconds });
            print_line(&joined([seconds, summary, parts_json(&parts), memory_json()]))?;
        }
        Ok(())
    }

    /// A measured run, whose operations are counted if none were yet.
    fn run(&mut self, counted: &mut Option<Profile>) -> anyhow::Result<(Run, Parts)> {
        if counted.is_some() {
            return self.meter.run(&mut self.call);
        }
        let (run, parts, profile) = self.counted()?;
        *counted = Some(profile);
        Ok((run, parts))
    }

    /// A run whose operations are noted.
    fn counted(&mut self) -> anyhow::Result<(Run, Parts, Profile)> {
        self.log.take();
        self.log.pause(false);
        let (run, parts) = self.meter.run(&mut self.call)?;
        self.log.pause(true);
        let profile = Profile { rows: self.log.take(), wall: run.seconds, peak: run.peak };
        Ok((run, parts, profile))
    }
}

/// Each part's median over the runs.
fn medians(runs: &[Parts]) -> Parts {
    let of = |wanted: &str| {
        let found = runs.iter().flatten().filter(|(name, _)| *name == wanted);
        median(&sorted(found.map(|(_, seconds)| *seconds).collect()))
    };
    runs.first().into_iter().flatten().map(|(name, _)| (*name, of(name))).collect()
}

/// The median over the runs of what one part took in proportion to another.
fn ratio(runs: &[Parts], [first, second]: [&str; 2]) -> f64 {
    let of = |run: &Parts, wanted: &str| run.iter().find(|(name, _)| *name == wanted).map(|found| found.1);
    let ratios = runs.iter().filter_map(|run| Some(of(run, first)? / of(run, second)?));
    median(&sorted(ratios.collect()))
}

/// A line of the parts; none where there are none.
fn parts_words(parts: &Parts) -> Option<String> {
    let words = parts
        .iter()
        .map(|(name, seconds)| format!("{} {}", name.replace('_', " "), seconds_words(*seconds)))
        .collect::<Vec<_>>();
    (!words.is_empty()).then(|| format!("parts   {}", words.join(", ")))
}

fn parts_json(parts: &Parts) -> Value {
    Value::Object(parts.iter().map(|(name, seconds)| (format!("{name}_s"), json!(seconds))).collect())
}

/// An object on one line.
pub(super) fn print_line(value: &Value) -> anyhow::Result<()> {
    Ok(output::print(&value.to_string())?)
}
