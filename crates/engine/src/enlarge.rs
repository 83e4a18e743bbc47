//! Enlarging pictures by name: filters, and networks of the library's files.

use crate::library::{FileKind, Library};
use crate::{EngineError, Upscalers};
use impasto_imaging::{Filter, ImagingError, ResizeMode, Rgb, fit_upscaled, upscale};
use impasto_tensor::Backend;
use std::path::Path;
use std::sync::Arc;

/// Upscalers that need no file, in A1111's order.
pub const PLAIN_UPSCALERS: [&str; 3] = ["None", "Lanczos", "Nearest"];

/// Runs a file's network on a picture, in tiles of a size that overlap, telling how many of how many are done.
type Network = dyn Fn(&Path, &Rgb, [u32; 2], &mut dyn FnMut(usize, usize) -> bool) -> Result<Rgb, EngineError>
    + Send
    + Sync;

/// Whatever enlarges pictures. Clones share the networks in memory.
#[derive(Clone)]
pub struct Enlarger {
    library: Arc<Library>,
    network: Arc<Network>,
}

impl std::fmt::Debug for Enlarger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enlarger").finish_non_exhaustive()
    }
}

impl Enlarger {
    /// Networks of a library's files on a backend, `limit` bytes of them in memory.
    pub(crate) fn new<B: Backend>(backend: Arc<B>, library: Arc<Library>, limit: u64) -> Self {
        let upscalers = Upscalers::new(backend, limit);
        let network = move |file: &Path,
                            picture: &Rgb,
                            [tile, overlap]: [u32; 2],
                            progress: &mut dyn FnMut(usize, usize) -> bool| {
            upscalers.run(file, picture, tile, overlap, progress)
        };
        Self { library, network: Arc::new(network) }
    }

    /// Whether there is an upscaler of this name.
    pub fn knows(&self, name: &str) -> bool {
        PLAIN_UPSCALERS.contains(&name) || self.library.find(FileKind::Upscaler, name).is_some()
    }

    /// The picture `factor` times as large, its sides multiples of 8, by the upscaler of a name; networks run in tiles of a size
    /// that overlap, 0 for the picture as a whole. `None` leaves it as it is. `progress` may cancel.
    pub fn enlarge(
        &self,
        name: &str,
        picture: &Rgb,
        factor: f64,
        tiles: [u32; 2],
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Rgb, EngineError> {
        let filter = match name {
            "None" => return Ok(picture.clone()),
            "Lanczos" => Some(Filter::Lanczos),
            "Nearest" => Some(Filter::Nearest),
            _ => None,
        };
        if let Some(filter) = filter {
            let side = |side: u32| ((f64::from(side) * factor) as u32).max(1);
            return upscale(picture, factor, |picture| {
                picture.resize(side(picture.width()), side(picture.height()), filter)
            })
            .map_err(|error: ImagingError| EngineError::Failed(error.to_string()));
        }
        let file = self.library.find(FileKind::Upscaler, name);
        let file = file.ok_or_else(|| EngineError::UnknownUpscaler(name.to_owned()))?;
        upscale(picture, factor, |picture| {
            (self.network)(&file.path, picture, tiles, progress).map_err(Problem::Engine)
        })
        .map_err(EngineError::from)
    }

    /// The picture fitted into a size, enlarged by the upscaler of a name where it is too small.
    pub fn fit(
        &self,
        name: &str,
        picture: &Rgb,
        (mode, width, height): (ResizeMode, u32, u32),
        tiles: [u32; 2],
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Rgb, EngineError> {
        let enlarged = |picture: &Rgb, factor: f64| {
            self.enlarge(name, picture, factor, tiles, progress).map_err(Problem::Engine)
        };
        Ok(fit_upscaled(picture, mode, width, height, enlarged)?)
    }
}

/// What can go wrong between two runs of a network.
enum Problem {
    Engine(EngineError),
    Imaging(ImagingError),
}

impl From<Problem> for EngineError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Engine(error) => error,
            Problem::Imaging(error) => Self::Failed(error.to_string()),
        }
    }
}

impl From<ImagingError> for Problem {
    fn from(error: ImagingError) -> Self {
        Self::Imaging(error)
    }
}
