//! Tokenizers for what must be known of prompts before a model is in memory.

use crate::EngineError;
use impasto_models::Tokenizer;
use std::sync::{Arc, Mutex, PoisonError};

/// The tokenizer used last, since building one takes milliseconds, and models mostly have the same.
#[derive(Debug, Default)]
pub(crate) struct Tokenizers(Mutex<Option<(usize, Arc<Tokenizer>)>>);

impl Tokenizers {
    /// The tokenizer of a model whose token embedding has `rows` rows.
    pub(crate) fn get(&self, rows: usize) -> Result<Arc<Tokenizer>, EngineError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tokenizer)) = last.as_ref().filter(|(known, _)| *known == rows) {
            return Ok(tokenizer.clone());
        }
        let built =
            Tokenizer::for_vocabulary(rows).map_err(|error| EngineError::Failed(error.to_string()))?;
        let tokenizer = Arc::new(built);
        *last = Some((rows, tokenizer.clone()));
        Ok(tokenizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_kept() {
        let tokenizers = Tokenizers::default();
        let first = tokenizers.get(600).unwrap();
        assert!(Arc::ptr_eq(&first, &tokenizers.get(600).unwrap()));
        assert_eq!(tokenizers.get(601).unwrap().end(), 600);
        assert!(!Arc::ptr_eq(&first, &tokenizers.get(600).unwrap()));
        assert!(tokenizers.get(1).is_err());
    }
}
