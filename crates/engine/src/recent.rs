//! Values that were computed before, by what they were computed from; those used longest ago go first.

use std::collections::VecDeque;
use std::sync::Arc;

/// Values and their keys, of at most a given weight together.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    /// Used last at the end.
    entries: VecDeque<(K, Arc<V>, usize)>,
    limit: usize,
}

impl<K, V> Recent<K, V> {
    /// No values yet, and at most `limit` of weight. A value that weighs more alone is not kept.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), limit }
    }

    /// The value whose key `is_it`; else what `make` gives, kept under `key`.
    pub(crate) fn get_or_make<E>(
        &mut self,
        is_it: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        weight: impl FnOnce(&V) -> usize,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let found = self.entries.iter().position(|(key, ..)| is_it(key));
        if let Some(entry) = found.and_then(|at| self.entries.remove(at)) {
            let value = entry.1.clone();
            self.entries.push_back(entry);
            return Ok(value);
        }
        let value = Arc::new(make()?);
        let weight = weight(&value);
        if weight <= self.limit {
            while self.weight() + weight > self.limit {
                self.entries.pop_front();
            }
            self.entries.push_back((key(), value.clone(), weight));
        }
        Ok(value)
    }

    fn weight(&self) -> usize {
        self.entries.iter().map(|(.., weight)| weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `key`, and whether it was made.
    fn get(recent: &mut Recent<u8, String>, wanted: u8, weight: usize) -> (String, bool) {
        let mut made = false;
        let make = || {
            made = true;
            Ok::<_, ()>(wanted.to_string())
        };
        let value = recent.get_or_make(|key| *key == wanted, || wanted, |_| weight, make).unwrap();
        ((*value).clone(), made)
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 3] {
            assert_eq!(get(&mut recent, key, 1), (key.to_string(), true));
        }
        assert_eq!(get(&mut recent, 1, 1), ("1".to_owned(), false));
        assert!(get(&mut recent, 4, 2).1, "2 and 3 go");
        assert!(!get(&mut recent, 1, 1).1);
        assert!(get(&mut recent, 3, 1).1);
        assert!(get(&mut recent, 9, 4).1 && get(&mut recent, 9, 4).1, "too heavy to keep");
        assert!(!get(&mut recent, 3, 1).1, "and nothing goes for it");
        assert!(recent.get_or_make(|_| false, || 5, |_| 1, || Err::<String, _>("no")).is_err());
    }
}
