//! What the machine has: processor, memory, disk.

use crate::setup::proc_bytes;
use std::path::Path;

/// Memory in bytes, as Linux tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) available: u64,
}

impl Memory {
    /// `None` where there is no /proc/meminfo.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name| proc_bytes(text, name);
        Some(Self { total: field("MemTotal")?, available: field("MemAvailable")? })
    }
}

/// The processor's vector instructions that matter here, best first.
pub(super) fn vector_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Bytes that may still be written to the disk of `path`; `None` where the system does not say.
#[cfg(unix)]
pub(super) fn free_disk(path: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

#[cfg(not(unix))]
pub(super) fn free_disk(_path: &Path) -> Option<u64> {
    None
}

/// `5.5 GiB`.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       16 kB\nMemFree:  1 kB\nMemAvailable:    8 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { total: 16 << 10, available: 8 << 10 }));
        assert_eq!(Memory::parse("MemTotal: 16 kB"), None);
        assert_eq!(Memory::parse("MemTotal: 99999999999999999999 kB"), None);
    }
}
