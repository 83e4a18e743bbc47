//! Ways to make a picture with less work than the exact run, at some cost in likeness to it. All are off by default.
//!
//! Where A1111 has one, the field has its option's name and the infotext its words.

use crate::infotext::python_float;
use serde::{Deserialize, Serialize};

/// How a picture may be made with less work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shortcuts {
    /// No negative prompt, and so no guidance, while no more than this share of the steps is done; 0 is off.
    pub skip_early_cond: f64,
    /// No guidance for the last share of the steps; 0 is off.
    pub skip_late_cond: f64,
    /// No guidance on every other step below this sigma; 0 is off.
    pub s_min_uncond: f64,
    /// And on those between.
    pub s_min_uncond_all: bool,
    /// Steps from one whole run of the UNet to the next (DeepCache); 1 is off.
    pub deepcache_interval: u32,
    /// Stages on the way up, and as many on the way down, that run on the steps between.
    pub deepcache_depth: u32,
    /// Share of the finest level's pixels that attend as one with similar ones (token merging); 0 is off.
    pub token_merging_ratio: f64,
    /// Whether pixels attend within tiles only (`HyperTile`).
    pub hypertile_enable_unet: bool,
    /// Whether the second pass does so.
    pub hypertile_enable_unet_secondpass: bool,
    /// Deepest level with tiles, from the finest as 0.
    pub hypertile_max_depth_unet: u32,
    /// Greatest edge of the smallest tiles, in pixels of the picture.
    pub hypertile_max_tile_unet: u32,
    /// How many sizes of tiles to draw from.
    pub hypertile_swap_size_unet: u32,
}

impl Default for Shortcuts {
    fn default() -> Self {
        Self {
            skip_early_cond: 0.0,
            skip_late_cond: 0.0,
            s_min_uncond: 0.0,
            s_min_uncond_all: false,
            deepcache_interval: 1,
            deepcache_depth: 1,
            token_merging_ratio: 0.0,
            hypertile_enable_unet: false,
            hypertile_enable_unet_secondpass: false,
            hypertile_max_depth_unet: 3,
            hypertile_max_tile_unet: 256,
            hypertile_swap_size_unet: 3,
        }
    }
}

impl Shortcuts {
    /// Whether step `step` (from 0) of `steps`, at noise level `sigma`, goes without guidance. The early and the sigma rule
    /// are A1111's, which counts the steps asked for.
    pub fn skip_guidance(&self, step: usize, steps: usize, sigma: f32) -> bool {
        let done = step as f64 / steps.max(1) as f64;
        let early = self.skip_early_cond != 0.0 && done <= self.skip_early_cond;
        let late = self.skip_late_cond != 0.0 && done >= 1.0 - self.skip_late_cond;
        let its_turn = step % 2 == 1 || self.s_min_uncond_all;
        early || late || (its_turn && self.s_min_uncond > 0.0 && f64::from(sigma) < self.s_min_uncond)
    }

    /// Name, value and range of each number that has one.
    pub(crate) fn ranges(&self) -> [(&'static str, f64, [f64; 2]); 9] {
        [
            ("skip_early_cond", self.skip_early_cond, [0.0, 1.0]),
            ("skip_late_cond", self.skip_late_cond, [0.0, 1.0]),
            ("s_min_uncond", self.s_min_uncond, [0.0, 15.0]),
            ("deepcache_interval", self.deepcache_interval.into(), [1.0, 1000.0]),
            ("deepcache_depth", self.deepcache_depth.into(), [1.0, 1000.0]),
            ("token_merging_ratio", self.token_merging_ratio, [0.0, 0.9]),
            ("hypertile_max_depth_unet", self.hypertile_max_depth_unet.into(), [0.0, 3.0]),
            ("hypertile_max_tile_unet", self.hypertile_max_tile_unet.into(), [0.0, 512.0]),
            ("hypertile_swap_size_unet", self.hypertile_swap_size_unet.into(), [0.0, 64.0]),
        ]
    }

    /// The value of `Token merging ratio` in an infotext.
    pub(crate) fn infotext_merging(&self) -> Option<String> {
        (self.token_merging_ratio != 0.0).then(|| python_float(self.token_merging_ratio))
    }

    /// What an infotext says of tiles; numbers only where they are not the usual ones.
    pub(crate) fn infotext_tiles(&self) -> Vec<(&'static str, Option<String>)> {
        if !(self.hypertile_enable_unet || self.hypertile_enable_unet_secondpass) {
            return Vec::new();
        }
        let usual = Self::default();
        let unless = |value: u32, usual: u32| (value != usual).then(|| value.to_string());
        vec![
            ("Hypertile U-Net", self.hypertile_enable_unet.then(|| "True".to_owned())),
            ("Hypertile U-Net second pass", self.hypertile_enable_unet_secondpass.then(|| "True".to_owned())),
            (
                "Hypertile U-Net max depth",
                unless(self.hypertile_max_depth_unet, usual.hypertile_max_depth_unet),
            ),
            (
                "Hypertile U-Net max tile size",
                unless(self.hypertile_max_tile_unet, usual.hypertile_max_tile_unet),
            ),
            (
                "Hypertile U-Net swap size",
                unless(self.hypertile_swap_size_unet, usual.hypertile_swap_size_unet),
            ),
        ]
    }

    /// What stands at the end of an infotext: of guidance and of DeepCache.
    pub(crate) fn infotext_end(&self) -> Vec<(&'static str, Option<String>)> {
        let share = |share: f64| (share != 0.0).then(|| python_float(share));
        let below = share(self.s_min_uncond);
        let all = (below.is_some() && self.s_min_uncond_all).then(|| "True".to_owned());
        let cached = self.deepcache_interval > 1;
        vec![
            ("Skip Early CFG", share(self.skip_early_cond)),
            ("NGMS", below),
            ("NGMS all steps", all),
            ("Skip Late CFG", share(self.skip_late_cond)),
            ("DeepCache interval", cached.then(|| self.deepcache_interval.to_string())),
            ("DeepCache depth", cached.then(|| self.deepcache_depth.to_string())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(shortcuts: Shortcuts) -> Vec<usize> {
        // Sigmas 20, 18, ... 2.
        (0..10).filter(|&step| shortcuts.skip_guidance(step, 10, 20.0 - 2.0 * step as f32)).collect()
    }

    #[test]
    fn guidance_is_skipped_as_a1111_does_it() {
        let exact = Shortcuts::default();
        assert!(skipped(exact).is_empty());
        assert_eq!(skipped(Shortcuts { skip_early_cond: 0.2, ..exact }), [0, 1, 2]);
        assert_eq!(skipped(Shortcuts { s_min_uncond: 9.0, ..exact }), [7, 9]);
        assert_eq!(skipped(Shortcuts { s_min_uncond: 9.0, s_min_uncond_all: true, ..exact }), [6, 7, 8, 9]);
        assert_eq!(skipped(Shortcuts { s_min_uncond_all: true, ..exact }), [0; 0]);
    }

    #[test]
    fn the_last_share_goes_without_guidance() {
        let exact = Shortcuts::default();
        assert_eq!(skipped(Shortcuts { skip_late_cond: 0.25, ..exact }), [8, 9]);
        assert_eq!(skipped(Shortcuts { skip_late_cond: 1.0, ..exact }).len(), 10);
    }
}
