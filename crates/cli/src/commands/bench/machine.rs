//! What a measurement has to say of the machine and of the process.

use crate::setup::proc_bytes;
use impasto_cpu::CpuBackend;

/// The processor in words, such as `AMD EPYC (family 25 model 17)`.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parse_processor(&text).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The first processor of /proc/cpuinfo; virtual machines give several kinds the same name, so that numbers tell more.
fn parse_processor(text: &str) -> Option<String> {
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let name = field("model name")?;
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => Some(format!("{name} (family {family} model {model})")),
        _ => Some(name.to_owned()),
    }
}

/// Memory of this process in bytes, as Linux tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) now: u64,
    pub(super) peak: u64,
}

impl Resident {
    /// `None` where there is no /proc/self/status.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name| proc_bytes(text, name);
        Some(Self { now: field("VmRSS")?, peak: field("VmHWM")? })
    }
}

/// Where a measured time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// The wall's.
    Wall,
    /// What this thread has run, so that other programs on the machine count for less. Says nothing of other threads.
    Thread,
}

impl Clock {
    /// The thread's where it does all the work.
    pub(super) fn of(backend: &CpuBackend) -> Self {
        if cfg!(unix) && backend.threads() == 1 { Self::Thread } else { Self::Wall }
    }

    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Thread => "thread",
        }
    }

    /// What `work` takes, in seconds, and what it gives.
    pub(super) fn time<T>(self, work: impl FnOnce() -> T) -> (f64, T) {
        match self {
            Self::Wall => {
                let began = std::time::Instant::now();
                let result = work();
                (began.elapsed().as_secs_f64(), result)
            }
            Self::Thread => {
                let began = thread_seconds();
                let result = work();
                (thread_seconds() - began, result)
            }
        }
    }
}

/// What this thread has run so far.
#[cfg(unix)]
fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(not(unix))]
fn thread_seconds() -> f64 {
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_tells() {
        let text = "Name:\timpasto\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Resident::parse(text), Some(Resident { now: 1 << 20, peak: 2 << 20 }));
        assert_eq!(Resident::parse("VmRSS:\t1 kB\n"), None);
        let text =
            "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n";
        assert_eq!(parse_processor(text).as_deref(), Some("AMD EPYC (family 25 model 17)"));
        assert_eq!(parse_processor("model name : x").as_deref(), Some("x"));
        assert_eq!(parse_processor(""), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_threads_clock_stands_while_it_sleeps() {
        let nap = || std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(Clock::Thread.time(nap).0 < 0.015);
        assert!(Clock::Wall.time(nap).0 >= 0.02);
    }
}
