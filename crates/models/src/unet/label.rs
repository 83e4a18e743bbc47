//! What Stable Diffusion XL's UNet is told beside time and text: the text as a whole, and sizes of the picture (Podell et al.
//! 2023, section 2.2).

use super::UNet;
use crate::ModelError;
use crate::blocks::Run;
use impasto_tensor::{Array, Backend};

/// Sizes and places in pixels, each vertical before horizontal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSizes {
    /// Height and width of the picture from which what is wanted would have been cut.
    pub original: [u32; 2],
    /// Where the cut would lie: rows above it and columns to the left of it.
    pub crop: [u32; 2],
    /// Height and width of the cut.
    pub target: [u32; 2],
}

impl<B: Backend> UNet<B> {
    /// The label `[label features]` of a text as a whole, `[pooled]`, and of sizes: the text, then the waves of each number.
    /// How many waves follows from what the network takes; 256 in Stable Diffusion XL.
    pub fn label(&self, pooled: &Array, sizes: PictureSizes) -> Result<Array, ModelError> {
        let numbers = [sizes.original, sizes.crop, sizes.target].concat();
        let features = self.label_features()?;
        let &[given] = pooled.shape() else { return Err(odd_label("pooled text", pooled, "[features]")) };
        let waves = features.checked_sub(given).filter(|waves| waves.is_multiple_of(2 * numbers.len()));
        let Some(waves) = waves.map(|waves| waves / numbers.len()).filter(|waves| *waves > 0) else {
            let wanted = format!("the {features} features of a label less those of {} sizes", numbers.len());
            return Err(odd_label("pooled text", pooled, &wanted));
        };
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        let waves = self.backend.timestep_embedding(&numbers, waves)?;
        let waves = self.backend.download(&waves)?;
        Ok(Array::new([features], [pooled.data(), waves.data()].concat())?)
    }

    /// A label as it is added to the time embedding, `[1, time features]`: needed by a network that takes one, and refused by
    /// one that takes none.
    pub(super) fn embed_label(
        &self,
        label: Option<&Array>,
        run: &Run<'_, B>,
    ) -> Result<Option<B::Tensor>, ModelError> {
        let (embedding, label) = match (&self.label, label) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(takes_none()),
            (Some(_), None) => {
                let features = self.label_features()?;
                let problem = format!("no label given, but this UNet takes one of {features} features");
                return Err(ModelError::Input(problem));
            }
            (Some(embedding), Some(label)) => (embedding, label),
        };
        let features = self.label_features()?;
        if label.shape() != [features] {
            return Err(odd_label("label", label, &format!("[{features}]")));
        }
        let label = self.backend.reshape(&self.backend.upload(label)?, &[1, features])?;
        Ok(Some(embedding.forward(run, &label)?))
    }

    fn label_features(&self) -> Result<usize, ModelError> {
        self.config.label_features.ok_or_else(takes_none)
    }
}

fn takes_none() -> ModelError {
    ModelError::Input("a label for a UNet that takes none".to_owned())
}

fn odd_label(what: &str, found: &Array, wanted: &str) -> ModelError {
    ModelError::Input(format!("a {what} of shape {:?}, not {wanted}", found.shape()))
}
