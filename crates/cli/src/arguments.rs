//! What was typed: the command line as clap parses it. Nothing here touches the world; `resolve` says what it means.

use crate::commands::bench::BenchCommand;
use crate::commands::txt2img::Txt2imgArguments;
use crate::commands::upscale::UpscaleArguments;
use crate::setting_flags::SettingFlags;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A self-hosted Stable Diffusion service with its own inference engine.
///
/// Without a command it serves the page and the HTTP interface, by default at port 7860 of this machine.
#[derive(Debug, Parser)]
#[command(name = "impasto", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(
    after_help = "`--help` lists the settings, too.",
    after_long_help = "docs/settings.md says more of the settings."
)]
pub(crate) struct LowArguments {
    #[command(flatten)]
    pub(crate) settings: SettingFlags,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the page and the HTTP interface; what happens without a command.
    Serve,
    /// Make pictures from text and write them to files.
    Txt2img(Txt2imgArguments),
    /// Enlarge a picture and write it to a file.
    Upscale(UpscaleArguments),
    /// List the models, show, prepare or import one.
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Say what this machine offers, what is wrong with the set-up, and how to mend it.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the description of the HTTP interface (OpenAPI, JSON).
    Openapi {
        /// Print what there is of A1111's interface instead, as the page docs/compatibility.md.
        #[arg(long, hide = true)]
        compatibility: bool,
    },
    /// Measure how fast the networks are here, and compare what they compute.
    ///
    /// Networks have random weights of true sizes unless --model names a checkpoint. --threads and --isa, which are
    /// settings, say what to compute with.
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// One line a model: its title, size and what is wrong with it.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prepare models' weights ahead, at the precision that --precision names, so that loading takes next to no time; each takes
    /// about as much disk again as its file. What was prepared of models that are gone is removed.
    Prebuild {
        /// Titles, names, file names or hashes; without one, all models.
        models: Vec<String>,
    },
    /// Put a model file where the data root has files of its kind: checkpoints, upscalers, LoRA, autoencoders, embeddings.
    ///
    /// The file is looked at first, and copied only if it is whole and of a kind that can be used. Nothing is overwritten. Upscalers
    /// for ncnn (NAME.param and NAME.bin) become safetensors.
    Import {
        /// A .safetensors, .pth, .pt or .ckpt file; an ncnn network, by either of its two files; or a folder of such networks.
        source: PathBuf,
        /// Copy into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
    /// What is to be known of one model: sizes, hash, networks.
    Info {
        /// Title, name, file name or hash, as `models list` shows them.
        model: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        LowArguments::command().debug_assert();
    }

    #[test]
    fn no_command_is_serve_and_settings_may_stand_anywhere() {
        for line in [&["impasto", "--port", "1"][..], &["impasto", "serve", "--port=1"]] {
            let parsed = LowArguments::try_parse_from(line).unwrap();
            assert!(matches!(parsed.command, None | Some(Command::Serve)));
            assert_eq!(parsed.settings.get("port"), Some("1"), "{line:?}");
        }
    }
}
