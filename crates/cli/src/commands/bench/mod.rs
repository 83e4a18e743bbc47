//! `impasto bench`: how fast the networks and their operations are here, and whether they compute what they should.
//!
//! Measured times stand beside the peak of the machine in the same second, since other programs change what a machine
//! gives. The work counted is that of the operations' definitions, whatever way they are computed.

mod adapters;
mod arguments;
mod conduct;
mod kernels;
mod load;
mod machine;
mod measure;
mod networks;
mod parity;
mod profile;
mod quality;
mod report;
mod txt2img;

use crate::resolve::Settings;
use kernels::KernelsArguments;
use load::LoadArguments;
use networks::{PictureArguments, TextArguments, UNetArguments};
use parity::ParityArguments;
use quality::QualityArguments;
use std::time::Instant;
use txt2img::Txt2imgArguments;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum BenchCommand {
    /// Time single operations at the sizes of the networks.
    Kernels(KernelsArguments),
    /// Time a call of the denoising network.
    Unet(UNetArguments),
    /// Time the decoder of the autoencoder.
    Vae(PictureArguments),
    /// Time the text encoder, of SDXL both.
    Clip(TextArguments),
    /// Time a whole job: loading, text, steps, decoding.
    Txt2img(Txt2imgArguments),
    /// Time opening a model and packing its weights.
    Load(LoadArguments),
    /// Run the networks and samplers on given inputs and compare with given outputs.
    Parity(ParityArguments),
    /// Make pictures with and without settings and say how alike they are and what time was saved.
    Quality(QualityArguments),
}

/// `started` is when the program began.
pub(crate) fn run(command: &BenchCommand, settings: &Settings, started: Instant) -> anyhow::Result<()> {
    match command {
        BenchCommand::Kernels(arguments) => kernels::kernels(arguments, settings),
        BenchCommand::Unet(arguments) => networks::unet(arguments, settings),
        BenchCommand::Vae(arguments) => networks::vae(arguments, settings),
        BenchCommand::Clip(arguments) => networks::clip(arguments, settings),
        BenchCommand::Txt2img(arguments) => txt2img::txt2img(arguments, settings),
        BenchCommand::Load(arguments) => load::load(arguments, settings, started),
        BenchCommand::Parity(arguments) => parity::run(arguments, settings),
        BenchCommand::Quality(arguments) => quality::run(arguments, settings),
    }
}
