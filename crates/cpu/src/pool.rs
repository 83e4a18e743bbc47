//! A small pool of worker threads for loops over independent tasks.
//!
//! The caller takes part. Tasks are claimed one by one from a counter, so a worker that the system holds up takes
//! fewer; which worker runs a task never changes what the task computes. Between loops the workers spin for a moment,
//! since the next operation is usually microseconds away, and then sleep. A worker that wakes too late finds the loop
//! closed and is not waited for.

use impasto_tensor::TensorError;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of the spinning loop before a worker sleeps: some 50 microseconds.
const SPINS: u32 = 1500;

/// A loop being run.
struct Loop<'a> {
    /// Called with the worker's index and the task's.
    body: &'a (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Loop<'_> {
    /// Claims and runs tasks until none is left.
    fn work(&self, worker: usize) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= self.tasks {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| (self.body)(worker, task))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The loop that is open to workers. The pointee lives on the stack of the thread in [`ThreadPool::run`], which does
/// not return before the loop is closed and every worker has left it.
#[derive(Debug, Clone, Copy)]
struct OpenLoop(*const Loop<'static>);

// SAFETY: a `Loop` is `Sync`, and the pointer is followed only while it is valid, see `OpenLoop`.
unsafe impl Send for OpenLoop {}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenLoop>,
    sleepers: usize,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Workers sleep here.
    opened: Condvar,
    /// A caller sleeps here until the last worker has left.
    left: Condvar,
    /// Number of loops opened so far.
    epoch: AtomicU64,
    /// Workers inside the open loop. Raised only under the lock.
    inside: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, worker: usize) {
        let mut seen = 0;
        while let Some(open) = self.await_loop(&mut seen) {
            // SAFETY: `inside` has been raised while the loop was open, so its owner waits for us.
            unsafe { &*open.0 }.work(worker);
            if self.inside.fetch_sub(1, Ordering::Release) == 1 {
                let _state = self.lock();
                self.left.notify_all();
            }
        }
    }

    /// Enters the next loop; `None` when the pool closes.
    fn await_loop(&self, seen: &mut u64) -> Option<OpenLoop> {
        loop {
            for _ in 0..SPINS {
                if self.epoch.load(Ordering::Acquire) != *seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while self.epoch.load(Ordering::Acquire) == *seen && !state.stop {
                state.sleepers += 1;
                state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleepers -= 1;
            }
            if state.stop {
                return None;
            }
            *seen = self.epoch.load(Ordering::Acquire);
            if let Some(open) = state.open {
                self.inside.fetch_add(1, Ordering::Relaxed);
                return Some(open);
            }
        }
    }

    /// Waits until no worker is inside a closed loop.
    fn await_workers(&self) {
        for _ in 0..SPINS {
            if self.inside.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut state = self.lock();
        while self.inside.load(Ordering::Acquire) != 0 {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Worker threads and their caller.
#[derive(Debug)]
pub(crate) struct ThreadPool {
    shared: Arc<Shared>,
    /// Held by the thread whose loop is open.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// A pool in which `threads` threads work, the caller included.
    pub(crate) fn new(threads: NonZero<usize>) -> Result<Self, TensorError> {
        let shared = Arc::new(Shared::default());
        let mut pool = Self { shared, turn: Mutex::new(()), workers: Vec::new() };
        for worker in 1..threads.get() {
            let shared = Arc::clone(&pool.shared);
            let spawned =
                std::thread::Builder::new().name(format!("cpu-{worker}")).spawn(move || shared.serve(worker));
            let failed =
                |error| TensorError::Device(format!("worker thread {worker} does not start: {error}"));
            pool.workers.push(spawned.map_err(failed)?);
        }
        Ok(pool)
    }

    /// Threads that work, the caller included. Worker indices are below it.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(worker, task)` once for each task below `tasks`; no two calls of the same time share a worker index.
    /// A panic in a task is an error, after the other tasks have run.
    ///
    /// While the pool is busy with another caller's loop, the caller does its tasks alone.
    pub(crate) fn run(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) -> Result<(), TensorError> {
        let this = Loop { body, tasks, next: AtomicUsize::new(0), panicked: AtomicBool::new(false) };
        let turn = if tasks > 1 && !self.workers.is_empty() { self.turn.try_lock().ok() } else { None };
        if turn.is_some() {
            self.open(&this);
            this.work(0);
            self.shared.lock().open = None;
            self.shared.await_workers();
        } else {
            this.work(0);
        }
        drop(turn);
        if this.panicked.into_inner() {
            return Err(TensorError::Device("a kernel panicked".to_owned()));
        }
        Ok(())
    }

    fn open(&self, this: &Loop<'_>) {
        let open = OpenLoop(std::ptr::from_ref(this).cast());
        let mut state = self.shared.lock();
        state.open = Some(open);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        if state.sleepers > 0 {
            self.shared.opened.notify_all();
        }
    }

    /// Cuts `data` at `bounds`, which ascend from 0 to its length, and calls `body(part index, part)` for each part.
    pub(crate) fn for_parts(
        &self,
        data: &mut [f32],
        bounds: &[usize],
        body: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) -> Result<(), TensorError> {
        let ascending = bounds.windows(2).all(|pair| pair[0] <= pair[1]);
        if !ascending || bounds.last().is_some_and(|&end| end > data.len()) {
            return Err(TensorError::Device(format!("parts {bounds:?} of {} elements", data.len())));
        }
        let parts = Disjoint::new(data);
        self.run(bounds.len().saturating_sub(1), &|_, part| {
            // SAFETY: the bounds ascend, so no two parts meet, and each part is one task's.
            body(part, unsafe { parts.part(bounds[part]..bounds[part + 1]) });
        })
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.opened.notify_all();
        for worker in self.workers.drain(..) {
            // A worker ends only by returning: the bodies of loops are caught.
            let _ = worker.join();
        }
    }
}

/// A slice of which each task writes its own part.
pub(crate) struct Disjoint<'a, T = f32> {
    start: *mut T,
    length: usize,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the parts that threads hold at the same time do not overlap, as `part` demands.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: std::marker::PhantomData }
    }

    /// Elements `range`.
    ///
    /// # Safety
    /// No other part that is alive may overlap it.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap, which the caller vouches for")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "part {range:?} of {}", self.length);
        // SAFETY: the range is inside the slice, and nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// Where elements `range` start, for a kernel that writes some of them. It may be used for as long as the slice is
    /// borrowed.
    pub(crate) fn pointer(&self, range: Range<usize>) -> *mut T {
        assert!(range.start <= range.end && range.end <= self.length, "part {range:?} of {}", self.length);
        // SAFETY: the range is inside the slice.
        unsafe { self.start.add(range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> ThreadPool {
        ThreadPool::new(NonZero::new(threads).unwrap()).unwrap()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = pool(threads);
            for tasks in [0, 1, 2, 3, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|worker, task| {
                    assert!(worker < threads);
                    counts[task].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_loops_in_a_row() {
        let pool = pool(3);
        let sum = AtomicUsize::new(0);
        for _ in 0..2000 {
            pool.run(4, &|_, task| {
                sum.fetch_add(task, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert_eq!(sum.into_inner(), 12_000);
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_lives_on() {
        let pool = pool(2);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let failed = pool.run(8, &|_, task| assert_ne!(task, 5));
        std::panic::set_hook(hook);
        assert!(matches!(failed, Err(TensorError::Device(_))));
        assert!(pool.run(8, &|_, _| {}).is_ok());
    }

    #[test]
    fn callers_do_not_wait_for_each_other() {
        let pool = pool(2);
        let sum = AtomicUsize::new(0);
        let count = |_, task: usize| {
            // A loop inside a loop must not wait for itself either.
            pool.run(2, &|_, _| {
                sum.fetch_add(task, Ordering::Relaxed);
            })
            .unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| pool.run(3, &count).unwrap()));
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 100 * 3 * 2);
    }

    #[test]
    fn parts_are_cut_at_the_bounds() {
        let mut data = vec![0.0; 10];
        pool(2).for_parts(&mut data, &[0, 3, 3, 10], &|i, part| part.fill(i as f32 + 1.0)).unwrap();
        assert_eq!(data, [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
        assert!(pool(2).for_parts(&mut data, &[3, 2], &|_, _| {}).is_err());
        assert!(pool(2).for_parts(&mut data, &[0, 11], &|_, _| {}).is_err());
    }
}
