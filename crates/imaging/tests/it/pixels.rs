//! Scaling, fitting, colors, compositing, tiles.

use crate::{Goldens, difference, pair};
use impasto_imaging::{
    ColorCorrection, Filter, PlaneFilter, Region, ResizeMode, Rgb, Rgba, Tiles, alpha_composite,
    apply_overlay, cut_out, fit, parse_color, resize_planes,
};

#[test]
fn scaling_is_pillows_bit_for_bit() {
    let goldens = Goldens::open();
    let (l, rgb, rgba) = (goldens.source::<1>("l"), goldens.source::<3>("rgb"), goldens.source::<4>("rgba"));
    goldens.each("resize.", 60, |name, parts| {
        let filter = match parts[0] {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            _ => Filter::Lanczos,
        };
        let (width, height) = pair(parts[2]);
        match parts[1] {
            "l" => assert_eq!(l.resize(width, height, filter).unwrap(), goldens.picture(name), "{name}"),
            "rgb" => assert_eq!(rgb.resize(width, height, filter).unwrap(), goldens.picture(name), "{name}"),
            _ => assert_eq!(rgba.resize(width, height, filter).unwrap(), goldens.picture(name), "{name}"),
        }
    });
}

#[test]
fn planes_are_scaled_as_by_torch() {
    let goldens = Goldens::open();
    let source = goldens.0.array("planes");
    goldens.each("planes.", 36, |name, parts| {
        let filter = match parts[0] {
            "nearest" => PlaneFilter::Nearest,
            "nearest-exact" => PlaneFilter::NearestExact,
            "bilinear" => PlaneFilter::Bilinear,
            "bilinear-antialiased" => PlaneFilter::BilinearAntialiased,
            "bicubic" => PlaneFilter::Bicubic,
            _ => PlaneFilter::BicubicAntialiased,
        };
        let (height, width) = pair(parts[1]);
        let size = [height as usize, width as usize];
        let made = resize_planes(source.data(), [2, 7, 9], size, filter).unwrap();
        let wanted = goldens.0.array(name);
        assert_eq!(made.len(), wanted.data().len(), "{name}");
        for (made, wanted) in made.iter().zip(wanted.data()) {
            assert!((made - wanted).abs() < 1e-5, "{name}: {made} {wanted}");
        }
    });
}

#[test]
fn pictures_fit_as_in_a1111() {
    let goldens = Goldens::open();
    let (l, rgb) = (goldens.source::<1>("l"), goldens.source::<3>("rgb"));
    goldens.each("fit.", 48, |name, parts| {
        let mode = match parts[0] {
            "stretch" => ResizeMode::Stretch,
            "crop" => ResizeMode::Crop,
            _ => ResizeMode::Fill,
        };
        let (width, height) = pair(parts[2]);
        if parts[1] == "l" {
            assert_eq!(fit(&l, mode, width, height).unwrap(), goldens.picture(name), "{name}");
        } else {
            assert_eq!(fit(&rgb, mode, width, height).unwrap(), goldens.picture(name), "{name}");
        }
    });
}

#[test]
fn transparency_goes_onto_the_background() {
    let goldens = Goldens::open();
    let picture: Rgba = goldens.source("rgba");
    assert_eq!(picture.luminance(), goldens.picture("luminance.rgba"));
    goldens.each("flatten.", 2, |name, parts| {
        let background = parse_color(parts[0]).unwrap();
        assert_eq!(picture.flatten(background), goldens.picture(name), "{name}");
    });
}

#[test]
fn compositing_is_pillows_bit_for_bit() {
    let goldens = Goldens::open();
    let over: Rgba = goldens.source("over");
    let made = alpha_composite(&goldens.source("rgba"), &over).unwrap();
    assert_eq!(made, goldens.picture("alpha_composite"));
    let mut under: Rgb = goldens.source("rgb");
    let region = Region { left: 0, top: 0, right: 13, bottom: 9 };
    let mask = goldens.source::<1>("l").crop(region).unwrap();
    under.paste_masked(&goldens.source("small"), &mask, -3, 11).unwrap();
    assert_eq!(under, goldens.picture("paste_masked"));
    let rgb: Rgb = goldens.source("rgb");
    goldens.each("blend.", 5, |name, _| {
        let share = name["blend.".len()..].parse().unwrap();
        assert_eq!(rgb.blend(&over.to_rgb(), share).unwrap(), goldens.picture(name), "{name}");
    });
}

#[test]
fn results_of_only_masked_go_back_under_the_original() {
    let goldens = Goldens::open();
    let mask = goldens.source::<1>("l");
    let overlay = cut_out(&goldens.source("rgb"), &mask.inverted()).unwrap();
    let region = Region { left: 5, top: 4, right: 16, bottom: 10 };
    let made = apply_overlay(&goldens.source("small"), &overlay, Some(region)).unwrap();
    assert_eq!(made, goldens.picture("overlay.5.4.16.10"));
}

#[test]
fn colors_are_corrected_as_by_opencv_and_scikit_image() {
    let goldens = Goldens::open();
    goldens.each("correct.", 4, |name, parts| {
        let target = ColorCorrection::of(&goldens.source(parts[1]));
        let made = target.apply(&goldens.source(parts[0])).unwrap();
        let wanted: Rgb = goldens.picture(name);
        assert!(difference(&made, &wanted) <= 2, "{name}");
        let odd = made.pixels().iter().zip(wanted.pixels()).filter(|(made, wanted)| made != wanted).count();
        assert!(odd * 100 < wanted.pixels().len(), "{name}: {odd}");
    });
}

#[test]
fn tiles_fade_into_each_other() {
    let goldens = Goldens::open();
    let picture: Rgb = goldens.source("large");
    goldens.each("tiles.", 4, |name, parts| {
        let overlap = parts[1].parse().unwrap();
        let tiles = Tiles::new(picture.width(), picture.height(), pair(parts[0]), overlap).unwrap();
        let made: Vec<Rgb> = (tiles.cut(&picture).enumerate())
            .map(|(number, tile)| tile.unwrap().map(|pixel| pixel.map(|value| value >> (number % 3))))
            .collect();
        assert_eq!(tiles.join(&made).unwrap(), goldens.picture(name), "{name}");
    });
}
