//! How much memory a picture takes, and how much there is.

use crate::resident::CONTEXT_TOKENS;
use impasto_diffusion::split_parts;
use impasto_domain::GenerationRequest;
use impasto_weights::{StableDiffusionConfig, UNetConfig, UNetLevel};
use std::path::Path;

/// Activations of the finest level that live at once in a UNet call, counted in tensors of `model_channels`: the skip
/// connections, the feed-forward part's eightfold width, and what the operations in flight hold.
const UNET_TENSORS: u64 = 40;
/// The same for the decoder, in tensors of its widest level's channels at the size of its finest.
const VAE_TENSORS: u64 = 6;
/// Rows of a UNet call for one picture; more of them go into several calls.
const ROWS_PER_IMAGE: u64 = 2;
/// Latents that a trajectory holds: the sampler's, its last estimates, the noise.
const LATENTS_PER_IMAGE: u64 = 4;
/// A finished picture is held as pixels, and as a file and its text on the way out.
const PICTURE_COPIES: u64 = 4;
/// Bytes of an element.
const FLOAT: u64 = 4;
/// The decoder works on tiles above this many latent pixels.
const VAE_TILE: u64 = 96 * 96;

/// Bytes that a request for pictures of `width` x `height` pixels takes at most beside the weights: the
/// activations of a call for one picture, the texts' keys and values, the latents of a batch, and the pictures themselves.
pub(crate) fn working_bytes(
    config: &StableDiffusionConfig,
    (width, height): (u32, u32),
    request: &GenerationRequest,
) -> u64 {
    let (batch, images) = (u64::from(request.batch_size), u64::from(request.image_count()));
    let scale = config.vae.downscale() as u64;
    let latent = (u64::from(width) / scale).max(1) * (u64::from(height) / scale).max(1);
    let picture = latent * scale * scale * 3;
    let unet = latent * config.unet.model_channels as u64 * UNET_TENSORS * FLOAT * ROWS_PER_IMAGE;
    let widest = config.vae.channels.iter().copied().max().unwrap_or(0) as u64;
    let pixels = latent.min(VAE_TILE) * scale * scale;
    let vae = pixels * widest * VAE_TENSORS * FLOAT + picture * FLOAT * 2;
    let latents = latent * config.vae.latent_channels as u64 * FLOAT * LATENTS_PER_IMAGE * batch;
    let features = if request.shortcuts.deepcache_interval > 1 {
        let rows = split_parts(&request.prompt).count() as u64 + 1;
        latent * deep_features(&config.unet) * FLOAT * rows * batch
    } else {
        0
    };
    let contexts = CONTEXT_TOKENS as u64 * context_token_bytes(&config.unet);
    unet.max(vae) + contexts + latents + features + picture * PICTURE_COPIES * images
}

/// Most features for each latent pixel that DeepCache keeps of a UNet's deeper levels, whichever stage they enter.
fn deep_features(config: &UNetConfig) -> u64 {
    // What enters a level comes from the next, enlarged: its channels at this level's size.
    let entering = config.levels.iter().skip(1).enumerate().map(|(level, next)| next.channels >> (2 * level));
    entering.chain([config.model_channels]).max().unwrap_or(0) as u64
}

/// Bytes of the keys and values of a token of text, over all transformers of a UNet.
fn context_token_bytes(config: &UNetConfig) -> u64 {
    let on_the_way =
        |level: &UNetLevel| level.channels * level.transformer_depth * (2 * level.res_blocks + 1);
    let bottom = config.levels.last().map_or(0, |level| level.channels * config.middle_depth);
    let features: usize = config.levels.iter().map(on_the_way).sum::<usize>() + bottom;
    2 * features as u64 * FLOAT
}

/// Bytes of memory that can be had without swapping, where the system tells: of the machine, or of the container, which
/// may have less.
pub fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    let container = Path::new("/sys/fs/cgroup");
    let left = left_in_group(container, "memory.max", "memory.current").or_else(|| {
        left_in_group(&container.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
    });
    Some(left.map_or(machine, |left| left.min(machine)))
}

/// What a control group's memory limit leaves; nothing where there is no limit.
fn left_in_group(group: &Path, limit: &str, usage: &str) -> Option<u64> {
    let read = |name| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(read(limit)?.saturating_sub(read(usage)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_is_free() {
        assert!(available_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn a_group_without_a_limit_leaves_it_to_the_machine() {
        let group = tempfile::tempdir().unwrap();
        let left = || left_in_group(group.path(), "memory.max", "memory.current");
        assert_eq!(left(), None);
        std::fs::write(group.path().join("memory.current"), "700\n").unwrap();
        std::fs::write(group.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left(), None);
        std::fs::write(group.path().join("memory.max"), "1000\n").unwrap();
        assert_eq!(left(), Some(300));
    }
}
