//! Autoencoders in files of their own, under the names of Latent Diffusion, with or without the network's place before them, or of
//! diffusers. Their tensors get the names that a checkpoint's own autoencoder has, so that both are loaded alike.

use crate::detect::{Problem, Shapes, check_autoencoder};
use crate::entry::Entries;
use crate::names::widen;
use crate::{Checkpoint, VaeConfig, WeightsError};
use std::path::Path;

/// The network's place in a checkpoint.
const PLACE: &str = "first_stage_model.";
/// What belongs to the network. Files have losses and averages of training beside it.
const PARTS: &[&str] = &["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];

/// Spellings of diffusers that do not count, and what they are called here.
const SPELLINGS: &[(&str, &str)] = &[
    (".mid_block.resnets.0.", ".mid.block_1."),
    (".mid_block.resnets.1.", ".mid.block_2."),
    (".mid_block.attentions.0.group_norm.", ".mid.attn_1.norm."),
    (".mid_block.attentions.0.to_q.", ".mid.attn_1.q."),
    (".mid_block.attentions.0.to_k.", ".mid.attn_1.k."),
    (".mid_block.attentions.0.to_v.", ".mid.attn_1.v."),
    (".mid_block.attentions.0.to_out.0.", ".mid.attn_1.proj_out."),
    (".mid_block.attentions.0.query.", ".mid.attn_1.q."),
    (".mid_block.attentions.0.key.", ".mid.attn_1.k."),
    (".mid_block.attentions.0.value.", ".mid.attn_1.v."),
    (".mid_block.attentions.0.proj_attn.", ".mid.attn_1.proj_out."),
    (".conv_norm_out.", ".norm_out."),
    (".conv_shortcut.", ".nin_shortcut."),
    (".downsamplers.0.conv.", ".downsample.conv."),
    (".upsamplers.0.conv.", ".upsample.conv."),
    (".resnets.", ".block."),
];

/// Most levels that are believed.
const MOST_LEVELS: usize = 16;

impl Checkpoint {
    /// Opens a file of an autoencoder. Only the header is read.
    pub fn open_autoencoder(path: &Path) -> Result<Self, WeightsError> {
        let mut file = Self::open(path)?;
        let entries = std::mem::take(file.entries_mut());
        *file.entries_mut() = in_place(entries);
        Ok(file)
    }

    /// The autoencoder's sizes, if it may stand in the place of one of the sizes `of`: what it makes of a picture has the same
    /// channels and size. Every tensor they imply is present then, with the implied shape and a float type.
    pub fn autoencoder(&self, of: &VaeConfig) -> Result<VaeConfig, WeightsError> {
        let fits = || -> Result<VaeConfig, Problem> {
            let found = Shapes { entries: self.entries() }.vae(of.groups, of.scale_factor)?;
            check_autoencoder(self.entries(), &found)?;
            for (what, found, wanted) in [
                ("channels of a picture", found.image_channels, of.image_channels),
                ("channels of a latent", found.latent_channels, of.latent_channels),
                ("pixels along the edge of a latent's", found.downscale(), of.downscale()),
            ] {
                if found != wanted {
                    return Err(format!("{found} {what} do not fit the checkpoint's {wanted}"));
                }
            }
            Ok(found)
        };
        fits().map_err(|problems| WeightsError::Autoencoder { file: self.file().to_owned(), problems })
    }
}

/// The autoencoder's entries under the names that they have in a checkpoint.
fn in_place(entries: Entries) -> Entries {
    let levels = (0..MOST_LEVELS).take_while(|level| {
        let start = format!("decoder.up_blocks.{level}.");
        entries.keys().any(|name| own(name).starts_with(&start))
    });
    let levels = levels.count();
    let mut placed = Entries::new();
    for (name, mut entry) in entries {
        let part = own(&name);
        if PARTS.iter().any(|start| part.starts_with(start)) {
            let name = format!("{PLACE}{}", respelled(part, levels));
            widen(&name, &mut entry);
            placed.insert(name, entry);
        }
    }
    placed
}

/// A name without the network's place.
fn own(name: &str) -> &str {
    name.strip_prefix(PLACE).unwrap_or(name)
}

/// A name as Latent Diffusion spells it. Diffusers counts the decoder's levels from the other end.
fn respelled(name: &str, levels: usize) -> String {
    let mut name = name.replace(".down_blocks.", ".down.");
    if let Some((side, rest)) = name.split_once(".up_blocks.")
        && let Some((level, rest)) = rest.split_once('.')
        && let Some(level) = level.parse().ok().and_then(|level: usize| levels.checked_sub(level + 1))
    {
        name = format!("{side}.up.{level}.{rest}");
    }
    for (theirs, ours) in SPELLINGS {
        name = name.replace(theirs, ours);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_diffusers_become_those_of_latent_diffusion() {
        for (theirs, ours) in [
            (
                "decoder.up_blocks.0.resnets.2.conv_shortcut.weight",
                "decoder.up.3.block.2.nin_shortcut.weight",
            ),
            ("decoder.up_blocks.3.resnets.0.norm1.bias", "decoder.up.0.block.0.norm1.bias"),
            ("decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"),
            ("encoder.down_blocks.1.downsamplers.0.conv.bias", "encoder.down.1.downsample.conv.bias"),
            ("encoder.mid_block.resnets.1.conv2.weight", "encoder.mid.block_2.conv2.weight"),
            ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
            ("decoder.mid_block.attentions.0.proj_attn.weight", "decoder.mid.attn_1.proj_out.weight"),
            ("decoder.conv_norm_out.bias", "decoder.norm_out.bias"),
            ("decoder.up.1.block.0.conv1.weight", "decoder.up.1.block.0.conv1.weight"),
            ("decoder.up_blocks.4.resnets.0.norm1.bias", "decoder.up_blocks.4.block.0.norm1.bias"),
            ("post_quant_conv.bias", "post_quant_conv.bias"),
        ] {
            assert_eq!(respelled(theirs, 4), ours);
        }
    }
}
