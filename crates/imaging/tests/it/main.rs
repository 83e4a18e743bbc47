//! Pictures against what Pillow, OpenCV, PyTorch and scikit-image make of them; `reference/make_imaging.py` wrote the
//! goldens, and says by which versions.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod files;
mod inpainting;
mod pixels;

use impasto_imaging::Picture;
use impasto_testkit::{Golden, golden};

/// The golden pictures of this crate.
struct Goldens(Golden);

impl Goldens {
    fn open() -> Self {
        Self(golden("imaging"))
    }

    /// A picture `[height, width, CHANNELS]`, or `[height, width]` where there is one channel.
    fn picture<const CHANNELS: usize>(&self, name: &str) -> Picture<CHANNELS> {
        let array = self.0.array(name);
        let samples = array.data().iter().map(|&value| value as u8).collect();
        Picture::new(array.shape()[1] as u32, array.shape()[0] as u32, samples).unwrap()
    }

    fn source<const CHANNELS: usize>(&self, name: &str) -> Picture<CHANNELS> {
        self.picture(&format!("source.{name}"))
    }

    /// Calls `check` with the full name of every tensor under a prefix, and the parts of the rest between dots. There have
    /// to be `count` of them.
    fn each(&self, prefix: &str, count: usize, check: impl Fn(&str, &[&str])) {
        let names = self.0.names();
        let matching: Vec<&String> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(matching.len(), count, "{prefix}");
        for name in matching {
            check(name, &name[prefix.len()..].split('.').collect::<Vec<_>>());
        }
    }
}

/// The two numbers of `3x4`.
fn pair(text: &str) -> (u32, u32) {
    let (one, two) = text.split_once('x').unwrap();
    (one.parse().unwrap(), two.parse().unwrap())
}

/// The greatest difference between samples of two pictures of one size.
fn difference<const CHANNELS: usize>(made: &Picture<CHANNELS>, wanted: &Picture<CHANNELS>) -> u8 {
    assert_eq!(made.size(), wanted.size());
    let pairs = made.samples().iter().zip(wanted.samples());
    pairs.map(|(made, wanted)| made.abs_diff(*wanted)).max().unwrap()
}
