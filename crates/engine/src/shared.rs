//! What the engine's handle and its thread share: the jobs still known, and figures.

use crate::config::EngineStats;
use crate::{EngineError, JobId, JobState, JobStatus};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Finished jobs whose pictures are kept in memory.
const FINISHED_JOBS: usize = 64;
/// Bytes of pictures of finished jobs that are kept in memory, made or sent; the newest job's are kept in any case.
const FINISHED_BYTES: usize = 256 << 20;

/// What handle and thread share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    jobs: Mutex<JobTable>,
    waiting: AtomicUsize,
    running: AtomicUsize,
    steps: AtomicU64,
    images: AtomicU64,
    busy_micros: AtomicU64,
    resident_models: AtomicUsize,
    resident_bytes: AtomicU64,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct JobTable {
    statuses: BTreeMap<JobId, watch::Sender<Arc<JobStatus>>>,
    order: VecDeque<JobId>,
}

impl Shared {
    /// The jobs still known.
    pub(crate) fn jobs(&self) -> MutexGuard<'_, JobTable> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how many jobs wait and run, and the number and bytes of the models in memory.
    pub(crate) fn count(&self, queued: usize, running: usize, (models, bytes): (usize, u64)) {
        self.waiting.store(queued, Ordering::Relaxed);
        self.running.store(running, Ordering::Relaxed);
        self.resident_models.store(models, Ordering::Relaxed);
        self.resident_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Called when the thread ends, for whatever reason: nothing more is accepted, and nobody waits in vain.
    fn close(&self) {
        self.stopped.store(true, Ordering::Release);
        for sender in self.jobs().statuses.values() {
            let mut status = (**sender.borrow()).clone();
            if !status.state.is_final() {
                status.state = JobState::Failed;
                status.error = Some(EngineError::Stopped.to_string());
                sender.send_replace(Arc::new(status));
            }
        }
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Notes that one more waits.
    pub(crate) fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Bytes of the models in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Figures for monitoring.
    pub(crate) fn stats(&self) -> EngineStats {
        EngineStats {
            queued: self.waiting(),
            running: self.running(),
            steps_total: self.steps.load(Ordering::Relaxed),
            images_total: self.images.load(Ordering::Relaxed),
            busy_seconds_total: self.busy_micros.load(Ordering::Relaxed) as f64 / 1e6,
            resident_models: self.resident_models.load(Ordering::Relaxed),
            resident_bytes: self.resident_bytes(),
        }
    }

    /// Adds a turn's work.
    pub(crate) fn record(&self, steps: u64, images: u64, time: Duration) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
        self.images.fetch_add(images, Ordering::Relaxed);
        self.busy_micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Closes even when the thread panics.
pub(crate) struct CloseOnDrop(Arc<Shared>);

impl CloseOnDrop {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl JobTable {
    /// The snapshots of a job.
    pub(crate) fn get(&self, id: JobId) -> Option<&watch::Sender<Arc<JobStatus>>> {
        self.statuses.get(&id)
    }

    /// Snapshots of all jobs, newest last.
    pub(crate) fn statuses(&self) -> Vec<Arc<JobStatus>> {
        let senders = self.order.iter().filter_map(|id| self.statuses.get(id));
        senders.map(|sender| sender.borrow().clone()).collect()
    }

    /// Takes a job in.
    pub(crate) fn insert(&mut self, id: JobId, status: watch::Sender<Arc<JobStatus>>) {
        self.statuses.insert(id, status);
        self.order.push_back(id);
        self.forget_old();
    }

    /// Forgets a job.
    pub(crate) fn remove(&mut self, id: JobId) {
        self.statuses.remove(&id);
        self.order.retain(|known| *known != id);
    }

    /// Drops the oldest finished jobs beyond the bounds.
    fn forget_old(&mut self) {
        let mut finished = 0;
        let mut bytes = 0;
        let mut forgotten = Vec::new();
        for id in self.order.iter().rev() {
            let Some(status) = self.statuses.get(id).map(|sender| sender.borrow().clone()) else { continue };
            if status.state.is_final() {
                finished += 1;
                bytes += status.bytes();
                if finished > FINISHED_JOBS || (finished > 1 && bytes > FINISHED_BYTES) {
                    forgotten.push(*id);
                }
            }
        }
        for id in forgotten {
            self.remove(id);
        }
    }
}
