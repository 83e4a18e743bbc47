//! Requests of A1111's interface that somebody waits for. A request is one job of the engine, or, with a script, one after the
//! other; clients see, follow and end it as a whole.

use impasto_engine::{Engine, JobId, JobState, JobStatus};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests that are remembered by the names that clients gave them.
const NAMED: usize = 512;

/// A request at work, or one that has ended and had a name.
#[derive(Debug)]
pub(crate) struct Run {
    name: String,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Jobs at work.
    jobs: Vec<JobId>,
    /// Batches of all jobs, where there are several.
    batches: Option<u32>,
    /// Batches of jobs that have ended.
    done: u32,
    interrupted: bool,
    ended: bool,
}

impl Run {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with these jobs.
    pub(crate) fn work_on(&self, jobs: Vec<JobId>) {
        self.state().jobs = jobs;
    }

    /// Tells how many batches there will be in all.
    pub(crate) fn expect(&self, batches: u32) {
        self.state().batches = Some(batches);
    }

    /// Counts the batches of jobs that have ended.
    pub(crate) fn count(&self, batches: u32) {
        let mut state = self.state();
        state.jobs.clear();
        state.done = state.done.saturating_add(batches);
    }

    /// Asks that it ends with what there is.
    pub(crate) fn interrupt(&self) {
        self.state().interrupted = true;
    }

    /// Whether it is to end with what there is.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.state().interrupted
    }

    /// Time since it came in.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// How a request stands.
#[derive(Debug, Clone)]
pub(crate) struct RunView {
    /// Its jobs that have not ended.
    pub(crate) jobs: Vec<Arc<JobStatus>>,
    /// Batches in all and finished.
    pub(crate) batches: u32,
    pub(crate) done: u32,
    /// Whether it is to end early.
    pub(crate) interrupted: bool,
    /// Whether it has ended.
    pub(crate) ended: bool,
    /// Whether anything was begun.
    pub(crate) running: bool,
    /// Time since the first step.
    pub(crate) elapsed: Duration,
}

impl RunView {
    /// How `run` stands.
    pub(crate) fn of(run: &Run, engine: &Engine) -> Self {
        let state = run.state();
        let watch = |&job: &JobId| engine.watch(job).map(|mut watcher| watcher.status());
        let jobs: Vec<Arc<JobStatus>> =
            state.jobs.iter().filter_map(watch).filter(|status| !status.state.is_final()).collect();
        let at_work = jobs.iter().find(|status| status.state == JobState::Running);
        // Between two of its jobs a script is at work, too.
        let composed = state.batches.is_some() && (state.done > 0 || jobs.is_empty());
        let first = jobs.first();
        Self {
            batches: state.batches.or(first.map(|status| status.request.batch_count)).unwrap_or(1),
            done: state.done + at_work.map_or(0, |status| status.batches_done),
            interrupted: state.interrupted || at_work.is_some_and(|status| status.interrupted),
            ended: state.ended || (state.batches.is_none() && !state.jobs.is_empty() && jobs.is_empty()),
            running: at_work.is_some() || composed,
            elapsed: match (state.batches, first) {
                (None, Some(status)) => status.elapsed,
                _ => run.elapsed(),
            },
            jobs,
        }
    }

    /// The job whose steps are shown.
    pub(crate) fn shown(&self) -> Option<&Arc<JobStatus>> {
        let running = self.jobs.iter().find(|status| status.state == JobState::Running);
        running.or(self.jobs.first())
    }

    /// Share of all that is done, 0 to 1.
    pub(crate) fn progress(&self) -> f64 {
        let step = |status: &Arc<JobStatus>| f64::from(status.step) / f64::from(status.steps.max(1));
        let share = self.shown().map_or(0.0, step);
        ((f64::from(self.done) + share) / f64::from(self.batches.max(1))).min(1.0)
    }
}

/// All requests at work, and those that had a name.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    at_work: Mutex<Vec<Arc<Run>>>,
    named: Mutex<VecDeque<Arc<Run>>>,
}

impl Runs {
    fn at_work(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request under the name that its client gave it, if any.
    pub(crate) fn begin(&self, name: Option<&str>) -> Arc<Run> {
        let name = name.unwrap_or_default().to_owned();
        let run = Arc::new(Run { name, began: Instant::now(), state: Mutex::default() });
        self.at_work().push(run.clone());
        if !run.name.is_empty() {
            let mut named = self.named();
            if named.len() == NAMED {
                named.pop_front();
            }
            named.push_back(run.clone());
        }
        run
    }

    /// Ends a request.
    pub(crate) fn end(&self, run: &Arc<Run>) {
        run.state().ended = true;
        self.at_work().retain(|known| !Arc::ptr_eq(known, run));
    }

    /// The newest request of a client's name.
    pub(crate) fn of_name(&self, name: &str) -> Option<Arc<Run>> {
        self.named().iter().rev().find(|run| run.name == name).cloned()
    }

    /// What A1111's clients see and stop, newest last: the requests of which something was begun, or, if there are none, those that
    /// wait.
    pub(crate) fn seen(&self, engine: &Engine) -> Vec<(Arc<Run>, RunView)> {
        let mut seen: Vec<(Arc<Run>, RunView)> = self
            .at_work()
            .iter()
            .map(|run| (run.clone(), RunView::of(run, engine)))
            .filter(|(_, view)| view.running || !view.jobs.is_empty())
            .collect();
        if seen.iter().any(|(_, view)| view.running) {
            seen.retain(|(_, view)| view.running);
        }
        seen
    }

    /// Names of the requests that wait, the next first.
    pub(crate) fn waiting(&self, engine: &Engine) -> Vec<String> {
        let mut waiting: Vec<(usize, String)> = self
            .at_work()
            .iter()
            .filter(|run| !run.name.is_empty())
            .filter_map(|run| {
                let view = RunView::of(run, engine);
                let first = view.jobs.first().filter(|_| !view.running)?;
                Some((first.position, run.name.clone()))
            })
            .collect();
        waiting.sort();
        waiting.into_iter().map(|(_, name)| name).collect()
    }
}
