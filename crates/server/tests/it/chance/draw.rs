//! Requests drawn from the description: for each field nothing, what makes sense, what is at the border, or what is wrong.

use super::schema::{Description, Route};
use impasto_settings::Options;
use serde_json::{Map, Value, json};

/// Drawn numbers: xorshift64* (Vigna 2016).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick(&mut self, values: Value) -> Value {
        let Value::Array(mut values) = values else { panic!("not a list") };
        let at = self.below(values.len());
        values.swap_remove(at)
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }
}

/// What requests refer to.
pub(crate) struct World {
    /// Picture files in base64, usable and not.
    pub(crate) pictures: Vec<String>,
}

/// The body of a request to a route.
pub(crate) fn body(
    description: &Description,
    route: &Route<'_>,
    world: &World,
    draw: &mut Draw,
) -> Option<Value> {
    let fields = description.fields(route)?;
    if draw.one_in(60) {
        return Some(draw.pick(json!([null, [], "x", 5, true, {}])));
    }
    if route.path == "/sdapi/v1/options" {
        return Some(Value::Object(options(draw)));
    }
    // Most requests have one odd field at most, so that what comes after the first check is reached.
    let odd = [0, 0, 0, 0, 0, 1, 1, 4][draw.below(8)];
    let mut body = Map::new();
    let names: Vec<&String> = fields.keys().collect();
    let odd: Vec<&String> = (0..odd).map(|_| names[draw.below(names.len())]).collect();
    for (name, schema) in &fields {
        let usual = usual(name, world, draw);
        let needed = matches!(
            name.as_str(),
            "image" | "imageList" | "init_images" | "kind" | "id_task" | "width" | "height" | "steps"
        );
        if odd.contains(&name) {
            body.insert(name.clone(), strange(description.resolve(schema), draw));
        } else if let Some(usual) = usual.filter(|_| needed || draw.one_in(3)) {
            body.insert(name.clone(), usual);
        }
    }
    Some(Value::Object(body))
}

/// A value that makes sense, small enough to be worked on in no time.
fn usual(name: &str, world: &World, draw: &mut Draw) -> Option<Value> {
    let picture = |draw: &mut Draw| json!(world.pictures[draw.below(world.pictures.len())]);
    Some(match name {
        "prompt" | "negative_prompt" | "hr_prompt" | "hr_negative_prompt" => draw.pick(json!([
            "",
            "a cat",
            "a (red:1.3) [cat:dog:0.5] hat",
            "a AND b :0.5",
            "<lora:none:1> cat",
            "\u{1F408}, ".repeat(90),
            "[[((",
            "a BREAK b",
            "[a|b|c]",
            "(x:1e38)"
        ])),
        "infotext" => draw.pick(json!([
            null,
            "a\nSteps: 2, Sampler: Euler, CFG scale: 3, Seed: 5, Size: 16x24",
            "Steps: 1, Seed: 3, Size: 0x0"
        ])),
        "width" | "height" | "hr_resize_x" | "hr_resize_y" | "firstphase_width" | "firstphase_height" => {
            if (name.starts_with("hr_") || name.starts_with("first")) && draw.one_in(2) {
                json!(0)
            } else {
                draw.pick(json!([8, 16, 24, 33, 40]))
            }
        }
        "steps" => draw.pick(json!([1, 2, 3, "2", 1.5])),
        "hr_second_pass_steps" => draw.pick(json!([0, 1, 3])),
        "batch_size" | "n_iter" => draw.pick(json!([1, 1, 1, 2])),
        "seed" | "subseed" => draw.pick(json!([-1, 0, 1, 4_294_967_295_u64, "7"])),
        "subseed_strength" | "denoising_strength" | "refiner_switch_at" => {
            draw.pick(json!([0, 0.3, 0.75, 1]))
        }
        "cfg_scale" | "image_cfg_scale" => draw.pick(json!([1, 1.5, 7, 30])),
        "hr_scale" => draw.pick(json!([1, 1.5, 2])),
        "eta" | "s_churn" | "s_tmin" | "s_noise" | "s_min_uncond" => draw.pick(json!([null, 0, 0.5, 1, 3])),
        "s_tmax" => draw.pick(json!([null, 0, 5])),
        "sampler_name" | "hr_sampler_name" | "sampler_index" => {
            let samplers: Vec<&str> = impasto_api::samplers().iter().map(|sampler| sampler.name).collect();
            let mut names = json!(samplers);
            names.as_array_mut().unwrap().extend([json!("DPM++ 2M Karras"), json!("none such")]);
            draw.pick(names)
        }
        "scheduler" | "hr_scheduler" => {
            let labels: Vec<&str> = impasto_api::schedulers().iter().map(|schedule| schedule.label).collect();
            draw.pick(json!(labels))
        }
        "hr_upscaler" | "upscaler_1" | "upscaler_2" => draw.pick(json!(["None", "Lanczos", "Nearest"])),
        "refiner_checkpoint" | "hr_checkpoint_name" => draw.pick(json!([null, "tiny", "other.safetensors"])),
        "init_images" => json!([picture(draw)]),
        "mask" | "image" | "firstpass_image" => picture(draw),
        "imageList" => json!(vec![json!({ "data": picture(draw), "name": "x" }); draw.below(3)]),
        "mask_blur" | "mask_blur_x" | "mask_blur_y" | "inpaint_full_res_padding" => {
            draw.pick(json!([0, 1, 4, 32]))
        }
        "resize_mode" | "inpainting_fill" => draw.pick(json!([0, 1, 2, 3])),
        "upscaling_resize" => draw.pick(json!([0.1, 1, 2, 3.7])),
        "upscaling_resize_w" | "upscaling_resize_h" => draw.pick(json!([1, 8, 50])),
        "override_settings" => Value::Object(options(draw)),
        "alwayson_scripts" => draw.pick(
            json!([{}, { "Seed": { "args": [1] } }, { "soft inpainting": { "args": [true, 1, 0.5] } }]),
        ),
        "styles" => json!(["x"]),
        "kind" => json!("txt2img"),
        "model" => draw.pick(json!(["clip", "deepdanbooru", "x"])),
        "seed_resize_from_h" | "seed_resize_from_w" => draw.pick(json!([-1, 0, 16, 40])),
        "force_task_id" | "id_task" => json!("task(x)"),
        "initial_noise_multiplier" => draw.pick(json!([0, 1, 1.2])),
        "gfpgan_visibility" | "codeformer_visibility" | "extras_upscaler_2_visibility" => {
            draw.pick(json!([0, 0.5, 1]))
        }
        "script_name" | "script_args" | "comments" | "latent_mask" | "enable_hr" if !draw.one_in(4) => {
            return None;
        }
        "enable_hr" | "send_images" | "save_images" | "tiling" | "restore_faces" | "inpaint_full_res"
        | "mask_round" => draw.pick(json!([true, false, 0, 1])),
        "inpainting_mask_invert" => draw.pick(json!([0, 1])),
        _ => return None,
    })
}

/// Some options with values: their defaults, others that may be chosen, and nonsense.
fn options(draw: &mut Draw) -> Map<String, Value> {
    let rows = Options::default().show();
    let names: Vec<&String> = rows.keys().collect();
    let mut options = Map::new();
    for _ in 0..draw.below(6).saturating_sub(2) {
        let name = names[draw.below(names.len())];
        let value = match &rows[name] {
            Value::Bool(flag) => json!(*flag == draw.one_in(2)),
            Value::Number(_) if !draw.one_in(3) => draw.pick(json!([0, 1, 2, 3, 0.5])),
            other if !draw.one_in(4) => other.clone(),
            _ => draw.pick(json!([
                "png",
                "jpg",
                "webp",
                "CPU",
                "NV",
                "",
                "[seed]-[prompt_words]",
                "a/b",
                "None",
                "Full",
                "bh2",
                "#123abc"
            ])),
        };
        options.insert(
            name.clone(),
            if draw.one_in(20) { strange(&json!({ "type": "string" }), draw) } else { value },
        );
    }
    if draw.one_in(40) {
        options.insert("no such option".to_owned(), json!(1));
    }
    options
}

/// A value at the border of a type, or of another type.
fn strange(schema: &Value, draw: &mut Draw) -> Value {
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("string");
    if draw.one_in(3) {
        return draw
            .pick(json!([null, true, -1, 0.5, "x", [], {}, [[]], { "a": 1 }, "", [null], [1, "a", {}]]));
    }
    match kind {
        "integer" => draw.pick(json!([
            0,
            -1,
            -2,
            9,
            i64::MAX,
            i64::MIN,
            u64::MAX,
            4_294_967_296_u64,
            100_000,
            1e300,
            -0.0,
            "1e5",
            "9223372036854775808",
            2.9999
        ])),
        "number" => draw.pick(json!([
            0.0,
            -0.0,
            -1.0,
            1e-320,
            1e308,
            -1e308,
            "nan",
            "inf",
            "-inf",
            "1e999",
            16.000_001,
            i64::MAX,
            "0x10"
        ])),
        "boolean" => draw.pick(json!([2, "perhaps", "yes", "off", 0.5, -1])),
        "array" => draw.pick(json!([[], [null], ["a", 1, []], vec![0; 3000], [[[[[]]]]], {}])),
        "object" => draw.pick(json!([{}, { "": {} }, { "a": { "args": 5 } }, { "x": [1] }, []])),
        _ => draw.pick(json!([
            "",
            " ",
            "\u{0}",
            "a\nb\r",
            "x".repeat(5000),
            "../../etc/passwd",
            "/etc/passwd",
            "C:\\x",
            "%00%2e",
            "<script>",
            "'; --",
            "{}",
            "\u{202e}\u{feff}",
            "{prompt}",
            "http://127.0.0.1/x",
            "data:,",
            "[",
            "(((((",
            "\u{1F408}".repeat(300)
        ])),
    }
}
