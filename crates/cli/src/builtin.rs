//! The demo model that is part of the program, where the build found it.

#[cfg(demo_model)]
use impasto_engine::BuiltinContent;
use impasto_engine::BuiltinModel;

#[cfg(demo_model)]
static MODELS: &[BuiltinModel] = &[BuiltinModel {
    file_name: "impasto-demo.safetensors",
    content: BuiltinContent::Bytes(include_bytes!(env!("IMPASTO_DEMO_MODEL"))),
}];
#[cfg(not(demo_model))]
static MODELS: &[BuiltinModel] = &[];

/// The models inside the program: the demo model, or none if the checkout had no `models/demo/demo.safetensors`.
pub(crate) fn models() -> Vec<BuiltinModel> {
    MODELS.to_vec()
}
