//! Networks that every prompt has beside those of its tags.

use serde::{Deserialize, Serialize};

/// Networks that every prompt has beside those of its tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultNetworks {
    /// Name of a hypernetwork.
    pub hypernetwork: Option<String>,
    /// Name of a LoRA.
    pub lora: Option<String>,
    /// Their strength.
    pub multiplier: f64,
}

impl Default for DefaultNetworks {
    fn default() -> Self {
        Self { hypernetwork: None, lora: None, multiplier: 1.0 }
    }
}
