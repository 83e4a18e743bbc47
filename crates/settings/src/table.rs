//! The table: every setting with its type, default and meaning. Adding a line here is all there is to adding one.

use crate::SettingsError;
use crate::stored::StoredOptions;
use crate::value::{Bound, Row, SettingValue};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Declares a struct of settings, and how they are listed, read and shown by name.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident ($name:literal): $type:ty = $default:expr, $bound:expr;
            )+
        }
        $(and $(#[doc = $more_doc:literal])+ $more:ident: $more_type:ty;)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $struct {
            $($(#[doc = $doc])+ pub $field: $type,)+
            $($(#[doc = $more_doc])+ pub $more: $more_type,)?
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($field: $default,)+ $($more: Default::default(),)? }
            }
        }

        impl $struct {
            /// All settings, in the order of the table.
            pub fn rows() -> Vec<Row> {
                let default = Self::default();
                vec![$(Row {
                    name: $name,
                    kind: <$type as SettingValue>::KIND,
                    default: default.$field.show(),
                    doc: concat!($($doc),+).trim_ascii_start(),
                    bound: $bound,
                },)+]
            }

            fn set_row(&mut self, name: &str, value: &Value) -> Result<(), SettingsError> {
                let rows = Self::rows();
                let row = rows
                    .iter()
                    .find(|row| row.name == name)
                    .ok_or_else(|| SettingsError::Unknown(name.to_owned()))?;
                let bad = || SettingsError::BadValue {
                    name: row.name,
                    value: if row.bound == Bound::Secret { "secret".to_owned() } else { value.to_string() },
                    expected: row.expected(),
                };
                match name {
                    $($name => {
                        let read = <$type as SettingValue>::read(value).ok_or_else(bad)?;
                        if !row.admits(&read.show()) {
                            return Err(bad());
                        }
                        self.$field = read;
                    })+
                    _ => {}
                }
                Ok(())
            }

            fn show_rows(&self) -> Map<String, Value> {
                let mut values = Map::new();
                $(
                    let value = if $bound == Bound::Secret { Value::Null } else { self.$field.show() };
                    values.insert($name.to_owned(), value);
                )+
                values
            }
        }
    };
}

const ANY: Bound = Bound::Any;
const SHARE: Bound = Bound::Range(0.0, 1.0);
const COUNT: Bound = Bound::Range(1.0, 1e15);
const PRECISION: Bound = Bound::OneOf(&["f32", "int8"]);
const METHOD: Bound = Bound::OneOf(&["Full", "TAESD"]);
const ISA: Bound = Bound::OneOf(&["auto", "avx512", "avx2", "portable"]);

settings! {
    /// Settings that are read when the program starts.
    pub struct ServeSettings {
        /// Port to listen at; 7860 if not given, or 7861 with `nowebui`.
        port ("port"): Option<u16> = None, Bound::Range(0.0, 65535.0);
        /// Listen at all addresses of the machine, not only at 127.0.0.1. Needs `api_auth`.
        listen ("listen"): bool = false, ANY;
        /// The data root: a folder laid out as A1111's (`models/Stable-diffusion`, `outputs`, `config.json`).
        data_dir ("data_dir"): PathBuf = PathBuf::from("impasto-data"), ANY;
        /// Serve the interfaces without the page.
        nowebui ("nowebui"): bool = false, ANY;
        /// Path before all routes, for use behind a proxy that does not remove it.
        subpath ("subpath"): Option<String> = None, Bound::UrlPath;
        /// Certificate chain in PEM; with `tls_keyfile`, the server speaks HTTPS.
        tls_certfile ("tls_certfile"): Option<PathBuf> = None, ANY;
        /// Private key in PEM.
        tls_keyfile ("tls_keyfile"): Option<PathBuf> = None, ANY;
        /// Origins whose pages may use the interfaces from a browser, separated by commas.
        cors_allow_origins ("cors_allow_origins"): Option<String> = None, ANY;
        /// Users and passwords as `user:password,other:password`; a password may contain colons, no commas. All routes ask for them.
        api_auth ("api_auth"): Option<String> = None, Bound::Secret;
        /// Let clients stop the program by `/sdapi/v1/server-stop` and `server-kill`.
        api_server_stop ("api_server_stop"): bool = false, ANY;
        /// Most seconds a client may take to send a request's head, and again for its body.
        request_timeout ("request_timeout"): u64 = 30, COUNT;
        /// Seconds for which running jobs may go on after the program was asked to stop.
        shutdown_timeout ("shutdown_timeout"): u64 = 10, Bound::Range(0.0, 86400.0);
        /// Most bytes of a request's body. One that carries no pictures has 2 MiB at most.
        max_body_bytes ("max_body_bytes"): u64 = 64 << 20, COUNT;
        /// Most pixels along one edge of a picture.
        max_edge ("max_edge"): u32 = 2048, Bound::Range(8.0, 16384.0);
        /// Most pixels of one picture.
        max_pixels ("max_pixels"): u64 = 2048 * 2048, Bound::Range(64.0, 1e15);
        /// Most steps of a request.
        max_steps ("max_steps"): u32 = 1000, Bound::Range(1.0, 1000.0);
        /// Most pictures of one request: batch size times batch count.
        max_images ("max_images"): u32 = 256, Bound::Range(1.0, 1e6);
        /// Most jobs that wait; beyond it requests are refused with status 429.
        max_queue ("max_queue"): u32 = 256, Bound::Range(1.0, 1e6);
        /// Bytes that the models kept in memory may take together. The model in use always stays.
        model_memory_bytes ("model_memory_bytes"): u64 = 8 << 30, COUNT;
        /// Threads that compute; 0 means one for each core.
        threads ("threads"): u32 = 0, Bound::Range(0.0, 1024.0);
        /// Processor instructions to compute with.
        isa ("isa"): String = "auto".to_owned(), ISA;
        /// How the denoising network is held where neither a request nor the options say: `int8` takes about half the memory of half-precision weights and less time, and changes pictures a little.
        precision ("precision"): String = "f32".to_owned(), PRECISION;
    }
}

settings! {
    /// Options that clients may change while the program runs.
    pub struct Options {
        /// Title, name, file name or hash of the model to use where a request names none; null means the first.
        sd_model_checkpoint ("sd_model_checkpoint"): Option<String> = None, ANY;
        /// Autoencoder to use: a file's name with its ending, `None` for the model's own, or `Automatic` for what belongs to the model: what `NAME.json` beside it has as `vae`, or a file whose name begins as the model's.
        sd_vae ("sd_vae"): String = "Automatic".to_owned(), ANY;
        /// Whether an autoencoder chosen by name goes before what belongs to the model.
        sd_vae_overrides_per_model_preferences ("sd_vae_overrides_per_model_preferences"): bool = true, ANY;
        /// What makes pictures of latents: the autoencoder, or the small network of `models/VAE-taesd/taesd_decoder.pth`.
        sd_vae_decode_method ("sd_vae_decode_method"): String = "Full".to_owned(), METHOD;
        /// What makes latents of pictures: the autoencoder, or the small network of `models/VAE-taesd/taesd_encoder.pth`.
        sd_vae_encode_method ("sd_vae_encode_method"): String = "Full".to_owned(), METHOD;
        /// A hypernetwork that every prompt has which does not name it; `None` for none.
        sd_hypernetwork ("sd_hypernetwork"): String = "None".to_owned(), ANY;
        /// A LoRA that every prompt has which does not name it; `None` for none.
        sd_lora ("sd_lora"): String = "None".to_owned(), ANY;
        /// Strength of those two, and of networks that the page puts into prompts.
        extra_networks_default_multiplier ("extra_networks_default_multiplier"): f64 = 1.0, Bound::Range(-100.0, 100.0);
        /// What tags call LoRA files that are found by their hashes in infotexts: what their makers called them, or their files' names.
        lora_preferred_name ("lora_preferred_name"): String = "Alias from file".to_owned(), Bound::OneOf(&["Alias from file", "Filename"]);
        /// Text encoder layers to stop before the end; 1 for none skipped.
        clip_stop_at_last_layers ("CLIP_stop_at_last_layers"): u32 = 1, Bound::Range(1.0, 12.0);
        /// Whose random numbers noise repeats: a CUDA device's, the processor's, or a CUDA device's in software.
        randn_source ("randn_source"): String = "GPU".to_owned(), Bound::OneOf(&["GPU", "CPU", "NV"]);
        /// Added to the seed for noise that ancestral samplers draw.
        eta_noise_seed_delta ("eta_noise_seed_delta"): i64 = 0, Bound::Range(-9.0e15, 9.0e15);
        /// Noise of ancestral samplers.
        eta_ancestral ("eta_ancestral"): f64 = 1.0, Bound::Range(0.0, 10.0);
        /// Noise of DDIM.
        eta_ddim ("eta_ddim"): f64 = 0.0, Bound::Range(0.0, 10.0);
        /// Noise added before each step and taken away again, in Euler, Heun and DPM2.
        s_churn ("s_churn"): f64 = 0.0, Bound::Range(0.0, 1000.0);
        /// Lowest sigma at which that is done.
        s_tmin ("s_tmin"): f64 = 0.0, Bound::Range(0.0, 1000.0);
        /// Highest sigma at which that is done; 0 is no bound.
        s_tmax ("s_tmax"): f64 = 0.0, Bound::Range(0.0, 1000.0);
        /// What added noise is multiplied with, in the samplers that heed it.
        s_noise ("s_noise"): f64 = 1.0, Bound::Range(0.0, 100.0);
        /// Lowest sigma of schedules; 0 is the model's own.
        sigma_min ("sigma_min"): f64 = 0.0, Bound::Range(0.0, 1000.0);
        /// Highest sigma of schedules; 0 is the model's own.
        sigma_max ("sigma_max"): f64 = 0.0, Bound::Range(0.0, 1000.0);
        /// Curvature of the schedules that have one; 0 is the schedule's own.
        rho ("rho"): f64 = 0.0, Bound::Range(0.0, 100.0);
        /// Schedules go from sigma 10 to 0.1.
        use_old_karras_scheduler_sigmas ("use_old_karras_scheduler_sigmas"): bool = false, ANY;
        /// First parameter of the beta schedule.
        beta_dist_alpha ("beta_dist_alpha"): f64 = 0.6, Bound::Range(0.01, 100.0);
        /// Second parameter of the beta schedule.
        beta_dist_beta ("beta_dist_beta"): f64 = 0.6, Bound::Range(0.01, 100.0);
        /// Every sampler leaves the last sigma above 0 out.
        always_discard_next_to_last_sigma ("always_discard_next_to_last_sigma"): bool = false, ANY;
        /// The first latent's variance counts the picture's own.
        sgm_noise_multiplier ("sgm_noise_multiplier"): bool = false, ANY;
        /// The UNet is told whole training times only.
        enable_quantization ("enable_quantization"): bool = false, ANY;
        /// The noise levels that models count with: their own, or rescaled so that nothing is left of the picture at the last.
        sd_noise_schedule ("sd_noise_schedule"): String = "Default".to_owned(), Bound::OneOf(&["Default", "Zero Terminal SNR"]);
        /// Which step width UniPC corrects with.
        uni_pc_variant ("uni_pc_variant"): String = "bh1".to_owned(), Bound::OneOf(&["bh1", "bh2", "vary_coeff"]);
        /// How UniPC spreads its steps.
        uni_pc_skip_type ("uni_pc_skip_type"): String = "time_uniform".to_owned(), Bound::OneOf(&["time_uniform", "time_quadratic", "logSNR"]);
        /// Most earlier estimates that UniPC uses.
        uni_pc_order ("uni_pc_order"): u32 = 3, Bound::Range(1.0, 50.0);
        /// Whether UniPC uses fewer of them at the end.
        uni_pc_lower_order_final ("uni_pc_lower_order_final"): bool = true, ANY;
        /// What noise is multiplied with that is put on a picture to begin from.
        initial_noise_multiplier ("initial_noise_multiplier"): f64 = 1.0, Bound::Range(0.0, 10.0);
        /// Noise beyond that.
        img2img_extra_noise ("img2img_extra_noise"): f64 = 0.0, Bound::Range(0.0, 10.0);
        /// Whether results take the colours of the picture that they began from.
        img2img_color_correction ("img2img_color_correction"): bool = false, ANY;
        /// Whether as many steps are made from a picture as were asked for, rather than the share that the strength leaves.
        img2img_fix_steps ("img2img_fix_steps"): bool = false, ANY;
        /// What shows through where a picture to begin from is transparent.
        img2img_background_color ("img2img_background_color"): String = "#ffffff".to_owned(), Bound::Colour;
        /// Whether what a mask keeps is put back from the original.
        overlay_inpaint ("overlay_inpaint"): bool = true, ANY;
        /// How much of what is painted anew is hidden from models made for inpainting.
        inpainting_mask_weight ("inpainting_mask_weight"): f64 = 1.0, SHARE;
        /// Whether pictures go on beyond their edges as on the other side, where a request does not say.
        tiling ("tiling"): bool = false, ANY;
        /// Which pass a refiner takes over, where there are two.
        hires_fix_refiner_pass ("hires_fix_refiner_pass"): String = "second pass".to_owned(), Bound::OneOf(&["first pass", "second pass", "both passes"]);
        /// Whether a refiner takes over by the share of the steps, rather than of the training times.
        refiner_switch_by_sample_steps ("refiner_switch_by_sample_steps"): bool = false, ANY;
        /// Whether texts of the second pass are encoded with the networks of the first pass's prompt.
        hires_fix_use_firstpass_conds ("hires_fix_use_firstpass_conds"): bool = false, ANY;
        /// Whether answers have the mask after each picture that was painted anew under one.
        return_mask ("return_mask"): bool = false, ANY;
        /// Whether they have what was made, cut out by the mask.
        return_mask_composite ("return_mask_composite"): bool = false, ANY;
        /// Whether the mask is saved beside a saved picture.
        save_mask ("save_mask"): bool = false, ANY;
        /// Whether what was made is, cut out by the mask.
        save_mask_composite ("save_mask_composite"): bool = false, ANY;
        /// Whether the first pass's picture is saved beside that of the second.
        save_images_before_highres_fix ("save_images_before_highres_fix"): bool = false, ANY;
        /// Whether the picture is saved as it was before its colours were corrected.
        save_images_before_color_correction ("save_images_before_color_correction"): bool = false, ANY;
        /// Whether pictures of interrupted jobs are saved.
        save_incomplete_images ("save_incomplete_images"): bool = false, ANY;
        /// Whether a JPEG file is saved beside a saved picture whose file or size is large.
        export_for_4chan ("export_for_4chan"): bool = true, ANY;
        /// From how many megabytes on a file is large.
        img_downscale_threshold ("img_downscale_threshold"): f64 = 4.0, Bound::Range(0.0, 1e6);
        /// From how many pixels along an edge on a picture is large, and how many its JPEG file has.
        target_side_length ("target_side_length"): u32 = 4000, Bound::Range(1.0, 16384.0);
        /// Most megapixels that pictures of a grid have together; beyond it there is none.
        img_max_size_mp ("img_max_size_mp"): u32 = 200, Bound::Range(1.0, 1e4);
        /// Whether pictures that others begin from are saved, under their MD5 sums, which infotexts have then.
        save_init_img ("save_init_img"): bool = false, ANY;
        /// Folder below the data root for them.
        outdir_init_images ("outdir_init_images"): String = "outputs/init-images".to_owned(), Bound::InsideDataRoot;
        /// Upscaler that enlarges pictures to begin from where they are too small; null or `None` for Lanczos.
        upscaler_for_img2img ("upscaler_for_img2img"): Option<String> = None, ANY;
        /// Folder below the data root for pictures that were chosen to be kept.
        outdir_save ("outdir_save"): String = "log/images".to_owned(), Bound::InsideDataRoot;
        /// Whether those are put into folders of their own.
        use_save_to_dirs_for_ui ("use_save_to_dirs_for_ui"): bool = false, ANY;
        /// Whether each of them gets a line in `log.csv` there.
        save_write_log_csv ("save_write_log_csv"): bool = true, ANY;
        /// Whether noise levels are rounded to half precision, as versions of A1111 before 1.8 had them.
        use_downcasted_alpha_bar ("use_downcasted_alpha_bar"): bool = false, ANY;
        /// Whether infotexts of old versions of A1111 bring the settings that repeat what those did.
        auto_backcompat ("auto_backcompat"): bool = true, ANY;
        /// What becomes of styles that the prompts of an infotext show.
        infotext_styles ("infotext_styles"): String = "Apply if any".to_owned(), Bound::OneOf(&["Ignore", "Apply", "Discard", "Apply if any"]);
        /// Keys of infotexts that are not taken.
        infotext_skip_pasting ("infotext_skip_pasting"): Vec<String> = Vec::new(), ANY;
        /// Whether the model that an infotext names is not taken.
        disable_weights_auto_swap ("disable_weights_auto_swap"): bool = true, ANY;
        /// Whether faces are to be restored where a request does not say. Nothing here can do so: the answer says it.
        face_restoration ("face_restoration"): bool = false, ANY;
        /// Whether sizes are those of the second pass, where there is one; the first has an area of 512x512 then.
        use_old_hires_fix_width_height ("use_old_hires_fix_width_height"): bool = false, ANY;
        /// No negative prompt while no more than this share of the steps is done; 0 is off.
        skip_early_cond ("skip_early_cond"): f64 = 0.0, SHARE;
        /// No negative prompt for the last share of the steps; 0 is off.
        skip_late_cond ("skip_late_cond"): f64 = 0.0, SHARE;
        /// No negative prompt on every other step whose sigma is below this; 0 is off.
        s_min_uncond ("s_min_uncond"): f64 = 0.0, Bound::Range(0.0, 15.0);
        /// No negative prompt on the steps between those, either.
        s_min_uncond_all ("s_min_uncond_all"): bool = false, ANY;
        /// Steps from one whole run of the UNet to the next (DeepCache); 1 is off. On those between, only its outermost stages run.
        deepcache_interval ("deepcache_interval"): u32 = 1, Bound::Range(1.0, 1000.0);
        /// Stages that run on the steps between, counted from the output; more than a model has are all but one.
        deepcache_depth ("deepcache_depth"): u32 = 1, Bound::Range(1.0, 1000.0);
        /// Share of the finest level's pixels that attend as one with similar ones (token merging); 0 is off.
        token_merging_ratio ("token_merging_ratio"): f64 = 0.0, Bound::Range(0.0, 0.9);
        /// The same where a picture begins from another; 0 for `token_merging_ratio`.
        token_merging_ratio_img2img ("token_merging_ratio_img2img"): f64 = 0.0, Bound::Range(0.0, 0.9);
        /// The same in the second pass; 0 for as in the first.
        token_merging_ratio_hr ("token_merging_ratio_hr"): f64 = 0.0, Bound::Range(0.0, 0.9);
        /// Let pixels attend within tiles only (HyperTile): faster for large pictures.
        hypertile_enable_unet ("hypertile_enable_unet"): bool = false, ANY;
        /// Let them do so in the second pass.
        hypertile_enable_unet_secondpass ("hypertile_enable_unet_secondpass"): bool = false, ANY;
        /// Deepest level of the UNet with tiles.
        hypertile_max_depth_unet ("hypertile_max_depth_unet"): u32 = 3, Bound::Range(0.0, 3.0);
        /// Greatest edge of the smallest tiles, in pixels; at least 128 counts.
        hypertile_max_tile_unet ("hypertile_max_tile_unet"): u32 = 256, Bound::Range(0.0, 512.0);
        /// How many sizes of tiles to draw from, by the picture's seed.
        hypertile_swap_size_unet ("hypertile_swap_size_unet"): u32 = 3, Bound::Range(0.0, 64.0);
        /// How the denoising network is held, `f32` or `int8`; null means the way that the program was started with (`--precision`).
        precision ("precision"): Option<String> = None, PRECISION;
        /// File format of pictures in answers and in `outputs`.
        samples_format ("samples_format"): String = "png".to_owned(), Bound::OneOf(&["png", "jpg", "jpeg", "webp"]);
        /// Quality of JPEG files. WebP files are lossless.
        jpeg_quality ("jpeg_quality"): u8 = 80, Bound::Range(1.0, 100.0);
        /// Write the infotext into pictures.
        enable_pnginfo ("enable_pnginfo"): bool = true, ANY;
        /// What weights in prompts do: multiply vectors and keep their mean, multiply, nothing, or be text like any other.
        emphasis ("emphasis"): String = "Original".to_owned(), Bound::OneOf(&["None", "Ignore", "Original", "No norm"]);
        /// Whether numbers in `[from:to:when]` mean what they did before A1111 1.6.
        use_old_scheduling ("use_old_scheduling"): bool = false, ANY;
        /// How many tokens before the end of a full chunk of a prompt its last comma may be to end it there.
        comma_padding_backtrack ("comma_padding_backtrack"): u32 = 20, Bound::Range(0.0, 74.0);
        /// Remove `#` and what follows it on a line from prompts.
        enable_prompt_comments ("enable_prompt_comments"): bool = true, ANY;
        /// Make preview pictures.
        live_previews_enable ("live_previews_enable"): bool = true, ANY;
        /// How previews are made: by the autoencoder, by the network of `models/VAE-approx/model.pt`, by a map of colours, or by that of `models/VAE-taesd/taesd_decoder.pth`. Without its file, a preview is made by the autoencoder if there is time for it, and else by the map.
        show_progress_type ("show_progress_type"): String = "Approx NN".to_owned(), Bound::OneOf(&["Full", "Approx NN", "Approx cheap", "TAESD"]);
        /// File format of previews. WebP files are lossless.
        live_previews_image_format ("live_previews_image_format"): String = "png".to_owned(), Bound::OneOf(&["png", "jpeg", "webp"]);
        /// Steps between the previews that `/sdapi/v1/progress` shows; -1 for none.
        show_progress_every_n_steps ("show_progress_every_n_steps"): i64 = 10, Bound::Range(-1.0, 1000.0);
        /// Whether requests with `save_images` write to disk.
        samples_save ("samples_save"): bool = true, ANY;
        /// Folder below the data root for pictures of requests with `save_images`.
        outdir_txt2img_samples ("outdir_txt2img_samples"): String = "outputs/txt2img-images".to_owned(), Bound::InsideDataRoot;
        /// Whether requests with `save_images` and several pictures get all of them in one as the first.
        return_grid ("return_grid"): bool = true, ANY;
        /// File format of that picture.
        grid_format ("grid_format"): String = "png".to_owned(), Bound::OneOf(&["png", "jpg", "jpeg", "webp"]);
        /// Whether there is such a picture for several pictures only.
        grid_only_if_multiple ("grid_only_if_multiple"): bool = true, ANY;
        /// Rows of it; -1 for as many as columns, 0 for the batch size.
        n_rows ("n_rows"): i64 = -1, Bound::Range(-1.0, 16.0);
        /// Whether rows are chosen so that no place is left empty, where `n_rows` is -1.
        grid_prevent_empty_spots ("grid_prevent_empty_spots"): bool = false, ANY;
        /// Colour of places without a picture, as `#rrggbb`.
        grid_background_color ("grid_background_color"): String = "#ffffff".to_owned(), Bound::Colour;
        /// Colour of words beside a grid, as `#rrggbb`.
        grid_text_active_color ("grid_text_active_color"): String = "#000000".to_owned(), Bound::Colour;
        /// Colour of those that do not hold there, which are crossed out.
        grid_text_inactive_color ("grid_text_inactive_color"): String = "#999999".to_owned(), Bound::Colour;
        /// File of the font that they are written in, TrueType or OpenType, below the data root; empty for Roboto.
        font ("font"): String = String::new(), Bound::EmptyOrInside;
        /// Whether that picture is written to disk too.
        grid_save ("grid_save"): bool = true, ANY;
        /// Folder below the data root for it.
        outdir_txt2img_grids ("outdir_txt2img_grids"): String = "outputs/txt2img-grids".to_owned(), Bound::InsideDataRoot;
        /// Folder below the data root for pictures that began from pictures.
        outdir_img2img_samples ("outdir_img2img_samples"): String = "outputs/img2img-images".to_owned(), Bound::InsideDataRoot;
        /// Folder below the data root for their grids.
        outdir_img2img_grids ("outdir_img2img_grids"): String = "outputs/img2img-grids".to_owned(), Bound::InsideDataRoot;
        /// Folder below the data root for pictures that were only enlarged.
        outdir_extras_samples ("outdir_extras_samples"): String = "outputs/extras-images".to_owned(), Bound::InsideDataRoot;
        /// Edge of the tiles in which networks enlarge pictures, in pixels; 0 for the picture as a whole.
        esrgan_tile ("ESRGAN_tile"): u32 = 192, Bound::Range(0.0, 4096.0);
        /// What neighbouring tiles share at least.
        esrgan_tile_overlap ("ESRGAN_tile_overlap"): u32 = 8, Bound::Range(0.0, 512.0);
        /// Folder below the data root for all pictures; empty for one of each kind.
        outdir_samples ("outdir_samples"): String = String::new(), Bound::EmptyOrInside;
        /// Folder below the data root for all grids; empty for one of each kind.
        outdir_grids ("outdir_grids"): String = String::new(), Bound::EmptyOrInside;
        /// Name of a picture's file, such as `[seed]-[prompt_words]`; empty for `[seed]`, or `[seed]-[prompt_spaces]` without `save_to_dirs`.
        samples_filename_pattern ("samples_filename_pattern"): String = String::new(), ANY;
        /// Whether names begin with a number that counts up.
        save_images_add_number ("save_images_add_number"): bool = true, ANY;
        /// Whether names of grids have what names of pictures have.
        grid_extended_filename ("grid_extended_filename"): bool = false, ANY;
        /// Whether pictures are put into folders of their own.
        save_to_dirs ("save_to_dirs"): bool = true, ANY;
        /// Whether grids are.
        grid_save_to_dirs ("grid_save_to_dirs"): bool = true, ANY;
        /// Names of those folders.
        directories_filename_pattern ("directories_filename_pattern"): String = "[date]".to_owned(), ANY;
        /// Most words that `[prompt_words]` takes.
        directories_max_prompt_words ("directories_max_prompt_words"): u32 = 8, Bound::Range(1.0, 20.0);
        /// Write the infotext beside each picture, too.
        save_txt ("save_txt"): bool = false, ANY;
        /// Whether infotexts name the model.
        add_model_name_to_info ("add_model_name_to_info"): bool = true, ANY;
        /// Whether infotexts have the model's hash.
        add_model_hash_to_info ("add_model_hash_to_info"): bool = true, ANY;
        /// Whether infotexts name an autoencoder that is used in the place of the model's own.
        add_vae_name_to_info ("add_vae_name_to_info"): bool = true, ANY;
        /// Whether infotexts have its hash.
        add_vae_hash_to_info ("add_vae_hash_to_info"): bool = true, ANY;
        /// Whether infotexts have hashes of LoRA files.
        lora_add_hashes_to_infotext ("lora_add_hashes_to_infotext"): bool = true, ANY;
        /// Whether infotexts have hashes of embeddings.
        textual_inversion_add_hashes_to_infotext ("textual_inversion_add_hashes_to_infotext"): bool = true, ANY;
        /// Whether infotexts name this program.
        add_version_to_infotext ("add_version_to_infotext"): bool = true, ANY;
    }
    and
    /// Those of A1111's that do nothing here.
    stored: StoredOptions;
}

impl Options {
    /// Changes an option by name. Texts stand for what they say.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingsError> {
        match self.set_row(name, value) {
            Err(SettingsError::Unknown(_)) => self.stored.set(name, value),
            outcome => outcome,
        }
    }

    /// All values by name, those without an effect too.
    pub fn show(&self) -> Map<String, Value> {
        let mut values = self.show_rows();
        self.stored.show(&mut values);
        values
    }
}

impl ServeSettings {
    /// Changes a setting by name. Texts stand for what they say, so that variables and flags can be given.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingsError> {
        self.set_row(name, value)
    }

    /// All values by name. Secrets are null.
    pub fn show(&self) -> Map<String, Value> {
        self.show_rows()
    }

    /// The port to listen at.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.nowebui { 7861 } else { 7860 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_keep_to_their_own_bounds() {
        let (mut serve, mut options) = (ServeSettings::default(), Options::default());
        for row in ServeSettings::rows() {
            serve.set(row.name, &row.default).unwrap();
        }
        for row in Options::rows() {
            options.set(row.name, &row.default).unwrap();
        }
        assert_eq!((serve, options), (ServeSettings::default(), Options::default()));
    }

    #[test]
    fn values_are_read_as_they_are_meant() {
        let mut settings = ServeSettings::default();
        settings.set("port", &json!("7000")).unwrap();
        settings.set("listen", &json!("yes")).unwrap();
        settings.set("threads", &json!(2.0)).unwrap();
        assert_eq!((settings.port, settings.listen, settings.threads), (Some(7000), true, 2));
        settings.set("port", &json!("")).unwrap();
        settings.nowebui = true;
        assert_eq!(settings.effective_port(), 7861);
    }

    #[test]
    fn bad_values_are_named() {
        let mut options = Options::default();
        for (name, value, message) in [
            (
                "jpeg_quality",
                json!(101),
                "setting jpeg_quality is 101, which is not an integer from 1 to 100",
            ),
            ("jpeg_quality", json!(-1), "setting jpeg_quality is -1, which is not an integer from 1 to 100"),
            (
                "randn_source",
                json!("TPU"),
                "setting randn_source is \"TPU\", which is not one of GPU, CPU, NV",
            ),
            ("eta_ddim", json!([]), "setting eta_ddim is [], which is not a number from 0 to 10"),
            (
                "outdir_txt2img_samples",
                json!("outputs/../../etc"),
                "setting outdir_txt2img_samples is \"outputs/../../etc\", which is not a relative path without ..",
            ),
            ("nonsense", json!(1), "unknown setting \"nonsense\"; docs/settings.md lists all"),
        ] {
            assert_eq!(options.set(name, &value).unwrap_err().to_string(), message);
        }
        for path in ["/etc", "C:\\x", "..", "a\\..\\b", ""] {
            assert!(options.set("outdir_txt2img_samples", &json!(path)).is_err(), "{path}");
        }
        assert_eq!(options, Options::default());
    }

    #[test]
    fn a_subpath_is_what_a_url_can_have() {
        let mut settings = ServeSettings::default();
        for path in ["/studio", "studio", "/a/b-c_d.e~f/", "/", ""] {
            settings.set("subpath", &json!(path)).unwrap();
        }
        settings.set("subpath", &Value::Null).unwrap();
        for path in [
            "/a b", "/..", "/a/../b", "/.", "//", "//a", "/a//b", "/a//", "/a?b", "/a#b", "/%61", "/a\nb",
            "\0", "/\u{fc}", "/a\\b", " ",
        ] {
            let error = settings.set("subpath", &json!(path)).unwrap_err().to_string();
            let allowed = "which is not a path such as /studio, of letters, digits and -._~ between single slashes, without ..";
            assert!(error.ends_with(allowed), "{path:?}: {error}");
        }
        assert_eq!(settings.subpath, None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = ServeSettings::default();
        settings.set("api_auth", &json!("me:secret word")).unwrap();
        assert_eq!(settings.show()["api_auth"], Value::Null);
        let error = settings.set("api_auth", &json!(5)).unwrap_err().to_string();
        assert_eq!(error, "setting api_auth is secret, which is not text");
    }
}
