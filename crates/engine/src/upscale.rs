//! Pictures enlarged by upscalers of the ESRGAN family, tile by tile, with the networks used lately kept in memory.
//!
//! It knows nothing of jobs: whoever has a picture and a file calls [`Upscalers::run`], from any thread. The result depends on the
//! file, the picture, and the sizes of tiles alone.

use crate::EngineError;
use crate::memory::available_bytes;
use crate::recent::Recent;
use impasto_imaging::{ImagingError, MOST_PIXELS, Rgb, Tiles};
use impasto_models::Upscaler;
use impasto_tensor::{Array, Backend};
use impasto_weights::{Checkpoint, UpscalerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Bytes of an element.
const FLOAT: u64 = 4;
/// Copies of the result that exist at once: its tiles, the row of tiles being joined, itself.
const PICTURE_COPIES: u64 = 3;

/// A file as it was when it was read: another under its name has another time or size.
#[derive(Debug, PartialEq)]
struct FileState {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

/// Upscalers by file. Those used longest ago go first when they are too large together.
pub struct Upscalers<B: Backend> {
    backend: Arc<B>,
    /// Networks, weighed in bytes of their files.
    loaded: Mutex<Recent<FileState, Upscaler<B>>>,
}

impl<B: Backend> fmt::Debug for Upscalers<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upscalers").field("backend", &self.backend.describe()).finish_non_exhaustive()
    }
}

impl<B: Backend> Upscalers<B> {
    /// No upscalers yet, and at most those of files of `limit` bytes together. A larger one is loaded each time.
    pub fn new(backend: Arc<B>, limit: u64) -> Self {
        Self { backend, loaded: Mutex::new(Recent::new(usize::try_from(limit).unwrap_or(usize::MAX))) }
    }

    /// The picture enlarged by the upscaler of a file, as many times as its network does.
    ///
    /// It runs on tiles of `tile` pixels across and down, of which neighbours share at least `overlap` and fade into each other; 0 is
    /// the picture as a whole, and tiles are no larger than the picture. `progress` is told how many tiles of how many are done, before
    /// each and at the end; `false` cancels.
    pub fn run(
        &self,
        file: &Path,
        picture: &Rgb,
        tile: u32,
        overlap: u32,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Rgb, EngineError> {
        let upscaler = self.load(file)?;
        let scale = upscaler.config().scale() as u32;
        let whole = if tile == 0 { u32::MAX } else { tile };
        let tile = (picture.width().min(whole), picture.height().min(whole));
        check_size(picture.size(), scale)?;
        check_memory(upscaler.config(), picture.size(), tile, available_bytes())?;
        // Beside a tile as wide as the picture there is no neighbour; the other direction may have some.
        let overlap = overlap.min(tile.0.min(tile.1) - 1);
        let tiles = Tiles::new(picture.width(), picture.height(), tile, overlap).map_err(failed)?;
        let mut made = Vec::with_capacity(tiles.count());
        for cut in tiles.cut(picture) {
            if !progress(made.len(), tiles.count()) {
                return Err(EngineError::Cancelled);
            }
            made.push(enlarged(&upscaler, &cut.map_err(failed)?)?);
        }
        progress(tiles.count(), tiles.count());
        tiles.enlarged(scale).join(&made).map_err(failed)
    }

    /// The network of a file. Others that want one meanwhile wait, so that none is loaded twice.
    fn load(&self, file: &Path) -> Result<Arc<Upscaler<B>>, EngineError> {
        let bad = |problem: String| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            EngineError::BadModel { name, problem }
        };
        let about = file.metadata().map_err(|error| bad(error.to_string()))?;
        let (bytes, modified) = (about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        let state = FileState { path: file.to_owned(), bytes, modified };
        let weight = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &FileState| *known == state;
        let key = || FileState { path: state.path.clone(), ..state };
        loaded.get_or_make(is_it, key, |_| weight, || {
            let began = Instant::now();
            let checkpoint = Checkpoint::open(file).map_err(|error| bad(error.to_string()))?;
            let upscaler =
                Upscaler::load(self.backend.clone(), &checkpoint).map_err(|error| bad(error.to_string()))?;
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(file = %file.display(), network = %upscaler.config(), seconds, "loaded an upscaler");
            Ok(upscaler)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn failed(error: ImagingError) -> EngineError {
    EngineError::Failed(error.to_string())
}

/// A tile after one run of the network.
fn enlarged<B: Backend>(upscaler: &Upscaler<B>, tile: &Rgb) -> Result<Rgb, EngineError> {
    let channels = upscaler.config().channels();
    let made = upscaler
        .forward(&to_array(tile, channels))
        .map_err(|error| EngineError::Failed(format!("upscaling: {error}")))?;
    let &[rows, height, width, _] = made.shape() else {
        return Err(EngineError::Failed(format!("upscaling made an array of shape {:?}", made.shape())));
    };
    let pixels = height * width;
    let sample = |pixel: usize, part: usize| match channels {
        1 => made.data()[part * pixels + pixel],
        _ => made.data()[pixel * channels + part],
    };
    debug_assert_eq!(rows, if channels == 1 { 3 } else { 1 });
    let to_byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let samples = (0..3 * pixels).map(|i| to_byte(sample(i / 3, i % 3))).collect();
    Rgb::new(width as u32, height as u32, samples).map_err(failed)
}

/// A picture from 0 to 1 as a network takes it: `[1, height, width, 3]`, with an opaque fourth channel where there is one, or the three
/// colours as pictures of their own, `[3, height, width, 1]`.
fn to_array(picture: &Rgb, channels: usize) -> Array {
    let unit = |sample: u8| f32::from(sample) / 255.0;
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let mut array = match channels {
        1 => Array::zeros([3, height, width, 1]),
        _ => Array::zeros([1, height, width, channels]),
    };
    let pixels = height * width;
    for (i, pixel) in picture.pixels().iter().enumerate() {
        for (part, &sample) in pixel.iter().enumerate() {
            let place = if channels == 1 { part * pixels + i } else { i * channels + part };
            array.data_mut()[place] = unit(sample);
        }
        if channels == 4 {
            array.data_mut()[4 * i + 3] = 1.0;
        }
    }
    array
}

/// Refuses what would be no picture when it is done.
fn check_size((width, height): (u32, u32), scale: u32) -> Result<(), EngineError> {
    let [width, height] = [width, height].map(|side| u64::from(side) * u64::from(scale));
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(failed(ImagingError::Size { width, height, most: MOST_PIXELS }));
    }
    Ok(())
}

/// Refuses what takes more memory than there is.
fn check_memory(
    config: &UpscalerConfig,
    size: (u32, u32),
    tile: (u32, u32),
    available: Option<u64>,
) -> Result<(), EngineError> {
    let scale = config.scale() as u64;
    let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let result = pixels(size) * scale * scale * 3 * PICTURE_COPIES;
    let needed = pixels(tile) * pixel_bytes(config) + result;
    match available {
        Some(available) if needed > available => Err(EngineError::TooLarge {
            images: 1,
            width: size.0.saturating_mul(scale as u32),
            height: size.1.saturating_mul(scale as u32),
            needed_mib: needed >> 20,
            available_mib: available >> 20,
        }),
        _ => Ok(()),
    }
}

/// Bytes that a run takes for each pixel of a tile: what the widest layers read and make.
fn pixel_bytes(config: &UpscalerConfig) -> u64 {
    let rows = if config.channels() == 1 { 3 } else { 1 };
    let floats = match *config {
        UpscalerConfig::Rrdb(rrdb) => {
            let dense = 2 * (rrdb.features + 4 * rrdb.growth) + 4 * rrdb.features;
            let large = (3 * rrdb.features) << (2 * rrdb.doublings);
            dense.max(large).div_ceil(rrdb.unshuffle * rrdb.unshuffle)
        }
        UpscalerConfig::Compact(compact) => {
            3 * compact.features + 4 * compact.channels * compact.scale * compact.scale
        }
    };
    floats as u64 * FLOAT * rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use impasto_weights::{CompactConfig, RrdbConfig};

    const RRDB: UpscalerConfig = UpscalerConfig::Rrdb(RrdbConfig {
        channels: 3,
        features: 64,
        growth: 32,
        blocks: 23,
        doublings: 2,
        unshuffle: 1,
    });

    #[test]
    fn tiles_bound_the_memory() {
        let gib = 1 << 30;
        assert!(check_memory(&RRDB, (1024, 1024), (192, 192), Some(gib)).is_ok());
        let error = check_memory(&RRDB, (1024, 1024), (1024, 1024), Some(gib)).unwrap_err();
        assert!(error.to_string().contains("4096x4096 need about 12432 MiB of memory, 1024 MiB"), "{error}");
        assert!(check_memory(&RRDB, (1024, 1024), (1024, 1024), None).is_ok());
        let small = CompactConfig { channels: 3, features: 64, layers: 17, scale: 4 };
        assert!(check_memory(&UpscalerConfig::Compact(small), (512, 512), (512, 512), Some(gib)).is_ok());
    }

    #[test]
    fn a_result_that_is_no_picture_is_refused_before_the_work() {
        assert!(check_size((4096, 4096), 4).is_ok());
        let error = check_size((4097, 4096), 4).unwrap_err();
        assert!(error.to_string().contains("16388x16384"), "{error}");
    }

    #[test]
    fn colours_come_as_channels_or_as_pictures() {
        let picture = Rgb::new(2, 1, vec![255, 0, 51, 102, 153, 204]).unwrap();
        assert_eq!(to_array(&picture, 3).data(), [1.0, 0.0, 0.2, 0.4, 0.6, 0.8]);
        assert_eq!(to_array(&picture, 4).data(), [1.0, 0.0, 0.2, 1.0, 0.4, 0.6, 0.8, 1.0]);
        let gray = to_array(&picture, 1);
        assert_eq!((gray.shape(), gray.data()), (&[3, 1, 2, 1][..], &[1.0, 0.4, 0.0, 0.6, 0.2, 0.8][..]));
    }
}
