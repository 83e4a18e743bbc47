//! Which autoencoder pictures are made with, and ways to do with less than one.

use serde::{Deserialize, Serialize};

/// The autoencoder that a request wants in the place of a checkpoint's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeChoice {
    /// A file's name with its ending, [`VaeChoice::AUTOMATIC`] or [`VaeChoice::OWN`].
    pub name: String,
    /// Whether a choice goes before what belongs to the checkpoint: what its user noted, and files of its name.
    pub overrides_preferences: bool,
    /// What makes pictures of latents: [`Decoding::Full`] or [`Decoding::Taesd`].
    pub decode: Decoding,
    /// What makes latents of pictures, likewise.
    pub encode: Decoding,
}

/// What shows a latent as a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Decoding {
    /// The autoencoder.
    #[default]
    Full,
    /// A small network that shows a quarter of the size.
    ApproxNn,
    /// A linear map from latent channels to colours.
    ApproxCheap,
    /// TAESD, a small autoencoder.
    Taesd,
}

impl Decoding {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Full, "Full"),
        (Self::ApproxNn, "Approx NN"),
        (Self::ApproxCheap, "Approx cheap"),
        (Self::Taesd, "TAESD"),
    ];

    /// Its name in options and infotexts.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("Full", |(_, name)| name)
    }

    /// The one of a name.
    pub fn from_exact_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(decoding, _)| *decoding)
    }
}

impl VaeChoice {
    /// What belongs to the checkpoint, or else its own.
    pub const AUTOMATIC: &'static str = "Automatic";
    /// The checkpoint's own.
    pub const OWN: &'static str = "None";
}

impl Default for VaeChoice {
    fn default() -> Self {
        Self {
            name: Self::AUTOMATIC.to_owned(),
            overrides_preferences: true,
            decode: Decoding::Full,
            encode: Decoding::Full,
        }
    }
}
