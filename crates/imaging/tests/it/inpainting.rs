//! Masks and what is done with them.

use crate::{Goldens, pair};
use impasto_imaging::{
    Mask, Region, Rgb, Rgba, binary_mask, blur_mask, crop_region, cut_out, expand_region, fill_masked,
    latent_mask, overlay_mask,
};
use impasto_testkit::golden_json;
use serde_json::Value;

#[test]
fn masks_come_from_alpha_or_luminance() {
    let goldens = Goldens::open();
    let picture: Rgba = goldens.source("rgba");
    assert_eq!(binary_mask(&picture, true), goldens.picture("binary.round"));
    assert_eq!(binary_mask(&picture, false), picture.alpha());
    let opaque = picture.to_rgb().to_rgba();
    assert_eq!(binary_mask(&opaque, true), goldens.picture("luminance.rgba"));
}

#[test]
fn masks_are_blurred_as_by_opencv_bit_for_bit() {
    let goldens = Goldens::open();
    goldens.each("blur.", 33, |name, parts| {
        let sigma = |text: &str| text.replace('_', ".").parse().unwrap();
        let made = blur_mask(&goldens.source(parts[0]), sigma(parts[1]), sigma(parts[2])).unwrap();
        assert_eq!(made, goldens.picture(name), "{name}");
    });
}

#[test]
fn masks_reach_the_overlay_and_the_latent() {
    let goldens = Goldens::open();
    let mask: Mask = goldens.source("l");
    assert_eq!(overlay_mask(&mask), goldens.picture("overlay_mask"));
    assert_eq!(cut_out(&goldens.source("rgb"), &mask).unwrap(), goldens.picture("cut_out"));
    for (prefix, round) in [("latent.", false), ("latent_round.", true)] {
        goldens.each(prefix, 6, |name, parts| {
            let (width, height) = pair(parts[1]);
            let made = latent_mask(&goldens.source(parts[0]), width, height, round).unwrap();
            assert_eq!(made, goldens.0.array(name).data(), "{name}");
        });
    }
}

#[test]
fn masked_pixels_are_filled_as_by_pillow_bit_for_bit() {
    let goldens = Goldens::open();
    goldens.each("fill.", 4, |name, parts| {
        let picture: Rgb = goldens.source(parts[1]);
        let made = fill_masked(&picture, &goldens.source(parts[0])).unwrap();
        assert_eq!(made, goldens.picture(name), "{name}");
    });
}

#[test]
fn only_masked_regions_are_those_of_a1111() {
    let goldens = golden_json("imaging");
    let mut seen = 0;
    for case in goldens["regions"].as_array().unwrap() {
        let numbers = |value: &Value| -> Vec<i64> {
            value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
        };
        let region = |value: &Value| match numbers(value).as_slice() {
            &[left, top, right, bottom] => Region { left, top, right, bottom },
            other => panic!("{other:?}"),
        };
        let pair = |value: &Value| (numbers(value)[0] as u32, numbers(value)[1] as u32);
        let size = pair(&case["size"]);
        let mut mask = Mask::filled(size.0, size.1, [0]).unwrap();
        for spot in case["spots"].as_array().unwrap() {
            let (x, y) = pair(spot);
            mask.pixels_mut()[(y * size.0 + x) as usize] = [1];
        }
        let Some(found) = crop_region(&mask, case["padding"].as_u64().unwrap() as u32) else {
            assert!(case["region"].is_null(), "{case}");
            continue;
        };
        assert_eq!(found, region(&case["region"]), "{case}");
        assert_eq!(expand_region(found, pair(&case["target"]), size), region(&case["expanded"]), "{case}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}
