//! What our tables cannot tell of A1111's names: what is done otherwise, and what is not there yet.

use super::Status::{self, Differs, NotYet, Works};

/// What becomes of one name.
pub(super) struct Note {
    /// The kind of name, as in `a1111.json`.
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// How, or why.
    pub(super) about: &'static str,
}

const fn note(kind: &'static str, name: &'static str, status: Status, about: &'static str) -> Note {
    Note { kind, name, status, about }
}

const TRAINING: &str = "answers that training is not in this version";
const SECRETS: &str = "not offered: it tells secrets";
const CARDS: &str =
    "not offered: the page has routes of its own, and A1111's serves any picture file of the machine";

pub(super) const NOTES: &[Note] = &[
    note("options", "sd_checkpoint_hash", Works, "follows from the model"),
    note(
        "routes",
        "POST /sdapi/v1/interrogate",
        Differs,
        "answers as there without the network's file: names it and its folder; no such network is read",
    ),
    note("routes", "GET /sdapi/v1/cmd-flags", Differs, "our settings, passwords as null"),
    note(
        "routes",
        "GET /sdapi/v1/face-restorers",
        Differs,
        "names and folders; no such network can be run yet",
    ),
    note(
        "routes",
        "GET /sdapi/v1/realesrgan-models",
        Differs,
        "names and places of the files; nothing is downloaded",
    ),
    note("routes", "POST /sdapi/v1/create/embedding", NotYet, TRAINING),
    note("routes", "POST /sdapi/v1/create/hypernetwork", NotYet, TRAINING),
    note("routes", "POST /sdapi/v1/train/embedding", NotYet, TRAINING),
    note("routes", "POST /sdapi/v1/train/hypernetwork", NotYet, TRAINING),
    note(
        "routes",
        "POST /sdapi/v1/unload-checkpoint",
        Differs,
        "frees the model's memory; it is loaded again when wanted",
    ),
    note("routes", "GET /sdapi/v1/extensions", Differs, "an empty list: nothing foreign is executed"),
    note("routes", "POST /sdapi/v1/server-restart", Differs, "501, as in A1111 where nothing starts it anew"),
    note(
        "routes",
        "GET /internal/profile-startup",
        Differs,
        "not offered: there is nothing to profile in a start of milliseconds",
    ),
    note("routes", "GET /internal/sysinfo", Differs, SECRETS),
    note("routes", "GET /internal/sysinfo-download", Differs, SECRETS),
    note("routes", "GET /sd_extra_networks/thumb", Differs, CARDS),
    note("routes", "GET /sd_extra_networks/cover-images", Differs, CARDS),
    note("routes", "GET /sd_extra_networks/metadata", Differs, CARDS),
    note("routes", "GET /sd_extra_networks/get-single-card", Differs, CARDS),
    note("routes", "GET /file=", Differs, "not offered: it serves the whole data root"),
    note("fields", "restore_faces", Differs, "accepted; faces stay as they are, and `info` says so"),
    note("fields", "gfpgan_visibility", Differs, "accepted; faces stay as they are, and `html_info` says so"),
    note(
        "fields",
        "codeformer_visibility",
        Differs,
        "accepted; faces stay as they are, and `html_info` says so",
    ),
    note("fields", "codeformer_weight", Differs, "accepted; see `codeformer_visibility`"),
    note("fields", "comments", Works, "ignored, as there"),
    note("fields", "do_not_save_samples", Works, "`save_images` decides, as there"),
    note("fields", "do_not_save_grid", Works, "`save_images` decides, as there"),
    note("fields", "latent_mask", Works, "ignored, as there"),
    note("fields", "upscale_first", Works, "ignored, as there"),
    note(
        "fields",
        "override_settings_restore_afterwards",
        Differs,
        "accepted; a request never changes options for others",
    ),
    note(
        "upscalers",
        "ESRGAN and Real-ESRGAN",
        Works,
        "files in models/ESRGAN and models/RealESRGAN; nothing is downloaded",
    ),
    note("upscalers", "SwinIR", NotYet, "named and refused"),
    note("upscalers", "DAT", NotYet, "named and refused"),
    note("upscalers", "HAT", NotYet, "named and refused"),
    note("upscalers", "ScuNET", NotYet, "named and refused"),
    note("upscalers", "LDSR", NotYet, "named and refused"),
    note("scripts", "img2img alternative test", NotYet, "refused by name"),
    note("scripts", "custom code", Differs, "not offered: it executes what a client sends"),
    note("scripts that are always on", "hypertile", Works, "by its options; it has no arguments here"),
    note("scripts that are always on", "extra options", Differs, "about A1111's page"),
    note("models and adapters", "Stable Diffusion 1.x", Works, "`.safetensors`, `.ckpt`, `.pt`"),
    note("models and adapters", "inpainting models", Works, "of the family of 1.x"),
    note("models and adapters", "instruct-pix2pix models", Works, "of the family of 1.x"),
    note("models and adapters", "Stable Diffusion 2.x", NotYet, "told by name and refused"),
    note("models and adapters", "SDXL", NotYet, "told by name and refused; its networks can be measured"),
    note("models and adapters", "SDXL refiner", NotYet, "told by name and refused"),
    note("models and adapters", "Stable Diffusion 3", NotYet, "told by name and refused"),
    note("models and adapters", "LoRA and LyCORIS", Works, "each picture of a batch has its own"),
    note("models and adapters", "textual inversion", Works, "files and pictures"),
    note("models and adapters", "CodeFormer and GFPGAN", Differs, "pictures are made without, which is told"),
    note("models and adapters", "BLIP and DeepDanbooru", Differs, "`interrogate` says what is missing"),
    note("models and adapters", "training of embeddings and hypernetworks", NotYet, TRAINING),
    note(
        "models and adapters",
        "ControlNet (extension)",
        NotYet,
        "refused by name: `always on script controlnet not found`",
    ),
];
