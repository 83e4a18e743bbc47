//! Options of A1111's that are not ours, with the values there that change no picture here. Clients send them by habit.
//! Not a list of all of A1111's options: those that clients override for a request.

use serde_json::Value;

/// A value that asks for nothing.
enum Neutral {
    Flag(bool),
    Number(f64),
    Text(&'static [&'static str]),
}
use Neutral::{Flag, Number, Text};

/// Names and A1111's defaults. `None` of a choice of files means the model's own part, which is ours.
const NEUTRAL: &[(&str, Neutral)] = &[
    ("always_discard_next_to_last_sigma", Flag(false)),
    ("api_enable_requests", Flag(true)),
    ("api_forbid_local_requests", Flag(true)),
    ("api_useragent", Text(&[""])),
    ("auto_vae_precision", Flag(true)),
    ("auto_vae_precision_bfloat16", Flag(false)),
    ("batch_cond_uncond", Flag(true)),
    ("comma_padding_backtrack", Number(20.0)),
    ("cross_attention_optimization", Text(&["Automatic"])),
    ("emphasis", Text(&["Original"])),
    ("enable_batch_seeds", Flag(true)),
    ("enable_quantization", Flag(false)),
    ("face_restoration", Flag(false)),
    ("fp8_storage", Text(&["Disable"])),
    ("hypertile_enable_unet_secondpass", Flag(false)),
    ("hypertile_enable_vae", Flag(false)),
    ("pad_cond_uncond", Flag(false)),
    ("pad_cond_uncond_v0", Flag(false)),
    ("persistent_cond_cache", Flag(true)),
    ("rho", Number(0.0)),
    ("s_churn", Number(0.0)),
    ("s_noise", Number(1.0)),
    ("s_tmax", Number(0.0)),
    ("s_tmin", Number(0.0)),
    ("sd_checkpoint_cache", Number(0.0)),
    ("sd_checkpoints_limit", Number(1.0)),
    ("sd_hypernetwork", Text(&["None"])),
    ("sd_lora", Text(&["None"])),
    ("sd_noise_schedule", Text(&["Default"])),
    ("sd_unet", Text(&["Automatic", "None"])),
    ("sd_vae", Text(&["Automatic", "None"])),
    ("sd_vae_decode_method", Text(&["Full"])),
    ("sd_vae_encode_method", Text(&["Full"])),
    ("sgm_noise_multiplier", Flag(false)),
    ("sigma_max", Number(0.0)),
    ("sigma_min", Number(0.0)),
    ("tiling", Flag(false)),
    ("token_merging_ratio_hr", Number(0.0)),
    ("upcast_attn", Flag(false)),
    ("use_downcasted_alpha_bar", Flag(false)),
    ("use_old_emphasis_implementation", Flag(false)),
    ("use_old_karras_scheduler_sigmas", Flag(false)),
    ("use_old_scheduling", Flag(false)),
];

/// Whether the option of A1111's is not ours to follow, because the value asks for nothing.
pub(crate) fn asks_for_nothing(name: &str, value: &Value) -> bool {
    NEUTRAL.iter().any(|(known, neutral)| {
        *known == name
            && match neutral {
                Flag(flag) => value.as_bool() == Some(*flag),
                Number(number) => value.as_f64() == Some(*number),
                Text(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            }
    })
}
