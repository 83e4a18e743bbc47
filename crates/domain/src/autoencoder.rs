//! Which autoencoder pictures are made with.

use serde::{Deserialize, Serialize};

/// The autoencoder that a request wants in the place of a checkpoint's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeChoice {
    /// A file's name with its ending, [`VaeChoice::AUTOMATIC`] or [`VaeChoice::OWN`].
    pub name: String,
    /// Whether a choice goes before what belongs to the checkpoint: what its user noted, and files of its name.
    pub overrides_preferences: bool,
}

impl VaeChoice {
    /// What belongs to the checkpoint, or else its own.
    pub const AUTOMATIC: &'static str = "Automatic";
    /// The checkpoint's own.
    pub const OWN: &'static str = "None";
}

impl Default for VaeChoice {
    fn default() -> Self {
        Self { name: Self::AUTOMATIC.to_owned(), overrides_preferences: true }
    }
}
