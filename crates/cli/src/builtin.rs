//! The demo model that is part of the program, where the build found it.

use impasto_engine::BuiltinModel;

/// Its name in lists and infotexts.
#[cfg(demo_model)]
const FILE_NAME: &str = "impasto-demo.safetensors";

/// The models inside the program: the demo model, or none if the checkout had no `models/demo/demo.safetensors`.
pub(crate) fn models() -> Vec<BuiltinModel> {
    #[cfg(demo_model)]
    return vec![BuiltinModel { file_name: FILE_NAME, bytes: include_bytes!(env!("IMPASTO_DEMO_MODEL")) }];
    #[cfg(not(demo_model))]
    Vec::new()
}
