//! A count of the bytes that prepared weights occupy, which falls by itself when they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count of one backend. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ByteMeter(Arc<AtomicUsize>);

impl ByteMeter {
    /// Bytes counted now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `bytes` for as long as the answer lives.
    pub fn count(&self, bytes: usize) -> CountedBytes {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        CountedBytes { meter: self.clone(), bytes }
    }
}

/// Bytes that are being counted.
#[derive(Debug)]
pub struct CountedBytes {
    meter: ByteMeter,
    bytes: usize,
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_on_drop() {
        let meter = ByteMeter::default();
        let first = meter.count(5);
        let second = meter.count(7);
        assert_eq!(meter.bytes(), 12);
        drop(first);
        assert_eq!(meter.bytes(), 7);
        drop(second);
        assert_eq!(meter.bytes(), 0);
    }
}
