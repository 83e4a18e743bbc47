//! How much memory a picture takes, and how much there is.

use impasto_weights::StableDiffusionConfig;

/// Activations of the finest level that live at once in a UNet call, counted in tensors of `model_channels`: the skip
/// connections, the feed-forward part's eightfold width, and what the operations in flight hold.
const UNET_TENSORS: u64 = 40;
/// The same for the decoder, in tensors of its widest level's channels at the size of its finest.
const VAE_TENSORS: u64 = 6;
/// The decoder works on tiles above this many latent pixels.
const VAE_TILE: u64 = 96 * 96;

/// Bytes of activations that a picture of `width` x `height` pixels in a batch of `rows` UNet rows takes at most.
pub(crate) fn activation_bytes(config: &StableDiffusionConfig, width: u32, height: u32, rows: u64) -> u64 {
    let scale = config.vae.downscale() as u64;
    let latent = (u64::from(width) / scale).max(1) * (u64::from(height) / scale).max(1);
    let float = 4;
    let unet = latent * config.unet.model_channels as u64 * UNET_TENSORS * float * rows;
    let widest = config.vae.channels.iter().copied().max().unwrap_or(0) as u64;
    let pixels = latent.min(VAE_TILE) * scale * scale;
    // A picture is held as floats and as bytes besides.
    let vae = pixels * widest * VAE_TENSORS * float + latent * scale * scale * 3 * (float + 1) * 2;
    unet.max(vae)
}

/// Bytes of memory that can be had without swapping, where the system tells.
pub(crate) fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_is_free() {
        assert!(available_bytes().unwrap() > 1 << 20);
    }
}
