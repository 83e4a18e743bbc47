//! Values of options that ask for nothing. Clients send them by habit.

use serde_json::Value;

/// Names and values, beside the defaults. Of a choice of files `None` means the model's own part, which is used anyway.
const NEUTRAL: &[(&str, &str)] = &[("sd_unet", "None")];

/// Whether the value asks for what is done in any case.
pub(crate) fn asks_for_nothing(name: &str, value: &Value) -> bool {
    // The hash follows from the model.
    name == "sd_checkpoint_hash"
        || NEUTRAL.iter().any(|(known, neutral)| *known == name && value.as_str() == Some(neutral))
}
