//! Real-ESRGAN's own weights, from the pairs for ncnn to an enlarged picture. `cargo xtask test` fetches them and says where they are.

use crate::program::Place;
use impasto_imaging::{Filter, Format, MOST_PIXELS, Rgb, decode, encode_picture};
use std::path::PathBuf;

/// Names the folder of the weights.
const VARIABLE: &str = "REAL_UPSCALERS";

fn weights() -> PathBuf {
    PathBuf::from(std::env::var_os(VARIABLE).unwrap_or_else(|| panic!("{VARIABLE} names no folder")))
}

/// A red disc with a white ring before a blue sky that brightens downwards, its edges smooth.
fn drawing() -> Rgb {
    let (width, height) = (96, 64);
    let samples = (0..width * height).flat_map(|i| {
        let (x, y) = ((i % width) as f32 - 44.5, (i / width) as f32 - 30.5);
        let distance = (x * x + y * y).sqrt();
        let within = |radius: f32| (radius - distance + 0.5).clamp(0.0, 1.0);
        let mix = |under: f32, over: f32, share: f32| under + (over - under) * share;
        let sky = [40.0, 90.0 + y, 200.0];
        let ringed = [0, 1, 2].map(|part| mix(sky[part], 240.0, within(26.0)));
        let disc = [210.0, 30.0, 40.0];
        [0, 1, 2].map(|part| mix(ringed[part], disc[part], within(22.0)) as u8)
    });
    Rgb::new(width, height, samples.collect()).unwrap()
}

/// Likeness in decibels: peak signal to noise.
fn likeness(one: &Rgb, other: &Rgb) -> f64 {
    assert_eq!(one.size(), other.size());
    let pairs = one.samples().iter().zip(other.samples());
    let sum: f64 = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * one.samples().len() as f64 / sum).log10()
}

fn upscaled(place: &Place, name: &str, tile: &str) -> Rgb {
    let output = format!("{name}-{tile}.png");
    place.run(&["upscale", "drawing.png", "-u", name, "--tile", tile, "-o", &output]).ok();
    decode(&std::fs::read(place.path(&output)).unwrap(), MOST_PIXELS).unwrap().to_rgb()
}

#[test]
#[ignore = "needs weights that `cargo xtask test` fetches"]
fn pairs_of_the_package_become_upscalers_that_enlarge() {
    let place = Place::new();
    let folder = weights();
    for (name, network) in [
        ("realesrgan-x4plus-anime", "4x, RRDB of 6 blocks"),
        ("realesr-animevideov3-x4", "4x, compact network of 18 layers"),
    ] {
        let pair = folder.join(format!("{name}.param"));
        let text = place.run(&["models", "import", pair.to_str().unwrap()]).ok();
        assert!(text.contains(network), "{text}");
        let drawing = drawing();
        std::fs::write(place.path("drawing.png"), encode_picture(&drawing, Format::Png, []).unwrap())
            .unwrap();
        let whole = upscaled(&place, name, "0");
        assert_eq!(whole.size(), (384, 256));
        // It is the same picture: made small again it is the drawing.
        let small = whole.resize(96, 64, Filter::Lanczos).unwrap();
        let same = likeness(&small, &drawing);
        // And it has sharper edges than what filters make of it.
        let filtered = drawing.resize(384, 256, Filter::Lanczos).unwrap();
        let steepest = |picture: &Rgb| {
            let row: Vec<_> =
                picture.rows().nth(124).unwrap().iter().map(|pixel| i32::from(pixel[1])).collect();
            row.windows(2).map(|pair| (pair[0] - pair[1]).abs()).max().unwrap()
        };
        let (sharp, soft) = (steepest(&whole), steepest(&filtered));
        // Tiles show no seams to speak of.
        let tiled = likeness(&upscaled(&place, name, "48"), &whole);
        eprintln!("{name}: same {same:.1} dB, edges {sharp} and {soft}, tiles {tiled:.1} dB");
        assert!(same > 30.0 && sharp > soft && tiled > 35.0);
    }
}

#[test]
#[ignore = "needs weights that `cargo xtask test` fetches"]
fn one_command_imports_all_networks_of_the_package() {
    let place = Place::new();
    let folder = weights();
    let run = place.run(&["models", "import", folder.to_str().unwrap()]);
    // The others are copies with a resize behind them.
    assert_eq!(run.stderr.lines().filter(|line| line.contains("a resize at its end")).count(), 2, "{run:?}");
    let text = run.ok();
    for name in ["realesr-animevideov3-x4", "realesrgan-x4plus-anime", "realesrgan-x4plus"] {
        assert!(text.contains(&format!("{name}.param: an upscaler, 4x")), "{text}");
        assert!(place.path(&format!("data/models/ESRGAN/{name}.safetensors")).is_file());
    }
}
