//! Beginning from a picture, and ending with it: what is encoded, what a mask keeps, and what is put back around the result.
//!
//! Sizes, order and rounding are A1111's img2img; the operations on pixels are in `impasto_imaging`.

use crate::TrajectoryError;
use crate::step::Picture;
use impasto_domain::{
    AsideKind, Asides, Bitmap, FromPicture, Inpainting, MaskedContent, ResizeMode, SoftInpainting,
};
use impasto_imaging::{
    ColorCorrection, Filter, ImagingError, Mask, Region, Rgb, Rgba, apply_overlay, binary_mask, blur_mask,
    crop_region, cut_out, expand_region, fill_masked, fit, latent_mask, overlay_mask, uncrop,
};
use impasto_tensor::Array;
use serde::{Deserialize, Serialize};

/// What a picture and its mask come to for the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    /// What is encoded, `[3, height, width]` from -1 to 1.
    pub(crate) pixels: Array,
    /// Where the latent is painted anew, 0 to 1, `height * width` values; nothing where that is everywhere.
    pub(crate) mask: Option<Vec<f32>>,
    /// What is there before.
    pub(crate) content: MaskedContent,
    /// How its seams are softened.
    pub(crate) soft: Option<SoftInpainting>,
    /// Where the picture is painted anew, 0 to 1, a value for each pixel of `pixels`; nothing where that is everywhere.
    pub(crate) pixel_mask: Option<Vec<f32>>,
    /// What becomes of the result.
    pub(crate) ending: Ending,
}

/// What becomes of a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// The picture whose colours it takes.
    colors: Option<Bitmap>,
    /// What is laid over it.
    overlay: Option<Bitmap>,
    /// Whether that is to be cut out by what has changed.
    soft: bool,
    /// The mask that it was cut out by, if it is wanted.
    mask: Option<Bitmap>,
    wanted: Asides,
    /// The part of the overlay's picture that it is, as left, top, right and bottom, if not all.
    region: Option<[i64; 4]>,
}

impl Beginning {
    /// What the source's picture for image `index` comes to at `cells`, height and width, of `unit` pixels each.
    pub(crate) fn new(
        source: &FromPicture,
        index: u32,
        [height, width]: [usize; 2],
        unit: usize,
        asides: Asides,
    ) -> Result<Self, TrajectoryError> {
        let bitmap = source.image(index).ok_or_else(|| {
            TrajectoryError::request("init_images", 0, "pictures are too few: one is needed".to_owned())
        })?;
        let size = ((width * unit) as u32, (height * unit) as u32);
        let mut begun = Self::prepare(source, bitmap, size, [height, width], unit).map_err(unusable)?;
        begun.ending.wanted = asides;
        if !(asides.mask || asides.mask_composite) {
            begun.ending.mask = None;
        }
        Ok(begun)
    }

    fn prepare(
        source: &FromPicture,
        bitmap: &Bitmap,
        size: (u32, u32),
        [height, width]: [usize; 2],
        unit: usize,
    ) -> Result<Self, ImagingError> {
        let mut image = rgba(bitmap)?.flatten(source.background);
        let masked =
            source.inpainting.as_ref().map(|inpainting| Masked::new(inpainting, &image, source, size));
        let masked = masked.transpose()?.flatten();
        let region = masked.as_ref().and_then(|masked| masked.region);
        if region.is_none() && source.resize_mode != ResizeMode::Latent {
            image = fit(&image, in_pixels(source.resize_mode), size.0, size.1)?;
        }
        let mut ending = Ending::default();
        if let Some(masked) = &masked {
            if masked.overlaid {
                let shown = fitting(&masked.overlay, image.size(), source.resize_mode)?;
                ending.soft = masked.soft.is_some();
                let cut = if ending.soft { image.to_rgba() } else { cut_out(&image, &shown.inverted())? };
                ending.overlay = Some(bitmap_of(&cut));
                ending.mask = Some(bitmap_of(&shown.map(|[value]| [value, value, value, 255])));
                ending.region = region.map(|Region { left, top, right, bottom }| [left, top, right, bottom]);
            }
            if let Some(region) = region {
                image = fit(&image.crop(region)?, impasto_imaging::ResizeMode::Fill, size.0, size.1)?;
            }
            if masked.content != MaskedContent::Original {
                image = fill_masked(&image, &fitting(&masked.mask, image.size(), source.resize_mode)?)?;
            }
        }
        if source.color_correction {
            ending.colors = Some(bitmap_of(&image.to_rgba()));
        }
        let mask = masked
            .as_ref()
            .map(|masked| latent_mask(&masked.mask, width as u32, height as u32, masked.round));
        let image = whole_cells(&image, unit)?;
        let pixel_mask = masked.as_ref().map(|masked| {
            let mask = fitting(&masked.mask, image.size(), source.resize_mode)?;
            let values = mask.samples().iter().map(|&value| f32::from(value) / 255.0);
            Ok(values.map(|value| if masked.round { value.round() } else { value }).collect())
        });
        Ok(Self {
            pixels: planes(&image),
            mask: mask.transpose()?,
            content: masked.as_ref().map_or(MaskedContent::Original, |masked| masked.content),
            soft: masked.and_then(|masked| masked.soft),
            pixel_mask: pixel_mask.transpose()?,
            ending,
        })
    }
}

/// A mask on its way to the latent.
struct Masked {
    /// At the size of what is made.
    mask: Mask,
    /// What of the original is put back: where this is black.
    overlay: Mask,
    /// The part of the picture that is made, if not all.
    region: Option<Region>,
    content: MaskedContent,
    round: bool,
    soft: Option<SoftInpainting>,
    /// Whether the original is put back.
    overlaid: bool,
}

impl Masked {
    /// Nothing for a black mask whose surroundings alone would be made: there are none.
    fn new(
        inpainting: &Inpainting,
        image: &Rgb,
        source: &FromPicture,
        size: (u32, u32),
    ) -> Result<Option<Self>, ImagingError> {
        let round = inpainting.round && inpainting.soft.is_none();
        let mut mask = binary_mask(&rgba(&inpainting.mask)?, round);
        if inpainting.invert {
            mask = mask.inverted();
        }
        let [across, down] = inpainting.blur;
        if across > 0 || down > 0 {
            mask = blur_mask(&mask, across.into(), down.into())?;
        }
        let finished = |mask, overlay, region| Self {
            mask,
            overlay,
            region,
            content: inpainting.content,
            round,
            soft: inpainting.soft,
            overlaid: inpainting.overlay || inpainting.soft.is_some(),
        };
        if !inpainting.only_masked {
            let fitted = |mask: &Mask| fit(mask, in_pixels(source.resize_mode), size.0, size.1);
            let mask = fitted(&mask)?;
            let overlay = overlay_mask(&mask);
            let latent = inpainting.latent_mask.as_ref().map(|own| fitted(&rgba(own)?.luminance()));
            return Ok(Some(finished(latent.transpose()?.unwrap_or(mask), overlay, None)));
        }
        if mask.size() != image.size() {
            mask = mask.resize(image.width(), image.height(), Filter::Lanczos)?;
        }
        let Some(region) = crop_region(&mask, inpainting.padding) else { return Ok(None) };
        let region = expand_region(region, size, mask.size());
        let made = fit(&mask.crop(region)?, impasto_imaging::ResizeMode::Fill, size.0, size.1)?;
        Ok(Some(finished(made, mask, Some(region))))
    }
}

impl Ending {
    /// The picture with its colours corrected and the original around it, and what is wanted beside it. `changed` says where soft seams let the result
    /// show, of a picture of its size.
    pub(crate) fn apply(
        &self,
        picture: Picture,
        changed: impl FnOnce((u32, u32)) -> Result<Option<Mask>, ImagingError>,
    ) -> Result<(Picture, Vec<Aside>), TrajectoryError> {
        if self.colors.is_none() && self.overlay.is_none() {
            return Ok((picture, Vec::new()));
        }
        let changed = if self.soft { changed((picture.width, picture.height)) } else { Ok(None) };
        changed.and_then(|changed| self.finish(picture, changed)).map_err(unusable)
    }

    fn finish(&self, picture: Picture, changed: Option<Mask>) -> Result<(Picture, Vec<Aside>), ImagingError> {
        let made = Rgb::new(picture.width, picture.height, picture.rgb)?;
        let (mut asides, changed) = (Vec::new(), self.at_full_size(changed)?);
        let mut result = made.clone();
        if let Some(colors) = &self.colors {
            result = ColorCorrection::of(&rgba(colors)?.to_rgb()).apply(&result)?;
            if self.wanted.before_color_correction {
                let (before, _) = self.overlaid(&made, changed.as_ref())?;
                asides.push((AsideKind::BeforeColorCorrection, bitmap_of(&before.to_rgba())));
            }
        }
        let (finished, under) = self.overlaid(&result, changed.as_ref())?;
        let mask = match (&changed, &self.mask) {
            (Some(changed), _) => Some(changed.clone()),
            (None, Some(mask)) => Some(rgba(mask)?.map(|[value, ..]| [value])),
            (None, None) => None,
        };
        if let Some(mask) = mask {
            if self.wanted.mask {
                let grey = mask.map(|[value]| [value, value, value, 255]);
                asides.push((AsideKind::Mask, bitmap_of(&grey)));
            }
            if self.wanted.mask_composite {
                let mask = fitting(&mask, under.size(), ResizeMode::Fill)?;
                asides.push((AsideKind::MaskComposite, bitmap_of(&cut_out(&under, &mask)?)));
            }
        }
        let (width, height) = finished.size();
        Ok((Picture { width, height, rgb: finished.into_samples() }, asides))
    }

    /// Where soft seams let the result show, at the size of what is laid over it.
    fn at_full_size(&self, changed: Option<Mask>) -> Result<Option<Mask>, ImagingError> {
        let (Some(changed), Some(overlay)) = (changed, &self.overlay) else { return Ok(None) };
        let size = (overlay.width, overlay.height);
        Ok(Some(match self.region() {
            Some(region) => {
                uncrop(&changed.map(|[value]| [value; 3]), region, size)?.map(|[value, ..]| [value])
            }
            None if changed.size() == size => changed,
            None => changed.resize(size.0, size.1, Filter::Lanczos)?,
        }))
    }

    fn region(&self) -> Option<Region> {
        self.region.map(|[left, top, right, bottom]| Region { left, top, right, bottom })
    }

    /// A result with the original over it, and without, at that size.
    fn overlaid(&self, result: &Rgb, changed: Option<&Mask>) -> Result<(Rgb, Rgb), ImagingError> {
        let Some(overlay) = &self.overlay else { return Ok((result.clone(), result.clone())) };
        let mut overlay = rgba(overlay)?;
        if let Some(changed) = changed {
            overlay = cut_out(&overlay.to_rgb(), &changed.inverted())?;
        }
        let under = match self.region() {
            Some(region) => uncrop(result, region, overlay.size())?.to_rgb(),
            None if result.size() != overlay.size() => {
                result.resize(overlay.width(), overlay.height(), Filter::Lanczos)?
            }
            None => result.clone(),
        };
        Ok((apply_overlay(&under, &overlay, None)?, under))
    }
}

/// A picture beside the finished one.
pub(crate) type Aside = (AsideKind, Bitmap);

#[expect(clippy::needless_pass_by_value, reason = "it takes the place of a closure")]
fn unusable(error: ImagingError) -> TrajectoryError {
    TrajectoryError::request("init_images", "a picture", format!("cannot be used: {error}"))
}

pub(crate) fn rgba(bitmap: &Bitmap) -> Result<Rgba, ImagingError> {
    Rgba::new(bitmap.width, bitmap.height, bitmap.rgba.clone())
}

pub(crate) fn bitmap_of(picture: &Rgba) -> Bitmap {
    Bitmap { width: picture.width(), height: picture.height(), rgba: picture.samples().to_vec() }
}

/// How pixels are fitted where the latent might be.
fn in_pixels(mode: ResizeMode) -> impasto_imaging::ResizeMode {
    match mode {
        ResizeMode::Stretch | ResizeMode::Latent => impasto_imaging::ResizeMode::Stretch,
        ResizeMode::Crop => impasto_imaging::ResizeMode::Crop,
        ResizeMode::Fill => impasto_imaging::ResizeMode::Fill,
    }
}

/// A mask at another size, if it has not got it.
fn fitting(mask: &Mask, (width, height): (u32, u32), mode: ResizeMode) -> Result<Mask, ImagingError> {
    if mask.size() == (width, height) { Ok(mask.clone()) } else { fit(mask, in_pixels(mode), width, height) }
}

/// The picture without the pixels at its right and lower edge that make no whole latent cell.
pub(crate) fn whole_cells(picture: &Rgb, unit: usize) -> Result<Rgb, ImagingError> {
    let unit = unit.max(1) as u32;
    let whole = |length: u32| i64::from((length / unit * unit).max(unit));
    picture.crop(Region { left: 0, top: 0, right: whole(picture.width()), bottom: whole(picture.height()) })
}

/// `[3, height, width]` from -1 to 1.
pub(crate) fn planes(picture: &Rgb) -> Array {
    let shape = [3, picture.height() as usize, picture.width() as usize];
    let mut array = Array::zeros(shape);
    let size = shape[1] * shape[2];
    if size > 0 {
        for (channel, plane) in array.data_mut().chunks_exact_mut(size).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(picture.pixels()) {
                *value = f32::from(pixel[channel]) / 255.0 * 2.0 - 1.0;
            }
        }
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Bitmap {
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Bitmap { width, height, rgba: rows.flat_map(|(x, y)| pixel(x, y)).collect() }
    }

    fn source(images: Vec<Bitmap>, inpainting: Option<Inpainting>) -> FromPicture {
        FromPicture {
            images,
            resize_mode: ResizeMode::Stretch,
            denoising_strength: 0.75,
            fix_steps: false,
            noise_multiplier: 1.0,
            extra_noise: 0.0,
            color_correction: false,
            background: [255; 3],
            inpainting,
            image_cfg_scale: None,
            hash: None,
        }
    }

    fn inpainting(mask: Bitmap) -> Inpainting {
        Inpainting {
            mask,
            latent_mask: None,
            round: true,
            invert: false,
            blur: [0, 0],
            content: MaskedContent::Original,
            only_masked: false,
            padding: 0,
            overlay: true,
            soft: None,
        }
    }

    #[test]
    fn the_latent_may_have_a_mask_of_its_own() {
        let white = |from: u32| bitmap(32, 32, move |x, _| if x < from { [0, 0, 0, 255] } else { [255; 4] });
        let own = Inpainting { latent_mask: Some(white(8)), ..inpainting(white(16)) };
        let begun =
            Beginning::new(&source(vec![white(0)], Some(own)), 0, [4, 4], 8, Asides::default()).unwrap();
        assert_eq!(begun.mask.as_deref().map(|mask| mask[..4].to_vec()), Some(vec![0.0, 1.0, 1.0, 1.0]));
        // What is put back is still what the other mask keeps.
        let overlay = begun.ending.overlay.unwrap();
        assert_eq!([overlay.rgba[4 * 12 + 3], overlay.rgba[4 * 16 + 3]], [255, 0]);
    }

    #[test]
    fn pixels_are_fitted_and_flattened() {
        let half = bitmap(32, 16, |x, _| if x < 16 { [255, 0, 0, 255] } else { [0, 0, 0, 0] });
        let beginning = Beginning::new(&source(vec![half], None), 3, [2, 2], 8, Asides::default()).unwrap();
        assert_eq!(beginning.pixels.shape(), [3, 16, 16]);
        let plane = |channel: usize| &beginning.pixels.data()[channel * 256..][..16];
        assert_eq!((plane(0)[0], plane(1)[0], plane(1)[15]), (1.0, -1.0, 1.0));
        assert_eq!((beginning.mask, beginning.ending), (None, Ending::default()));
        assert!(Beginning::new(&source(Vec::new(), None), 0, [2, 2], 8, Asides::default()).is_err());
    }

    #[test]
    fn a_mask_reaches_the_latent_and_the_original_comes_back() {
        let grey = bitmap(16, 16, |_, _| [100, 100, 100, 255]);
        let right = bitmap(16, 16, |x, _| if x < 8 { [0, 0, 0, 255] } else { [255; 4] });
        let beginning =
            Beginning::new(&source(vec![grey], Some(inpainting(right))), 0, [2, 2], 8, Asides::default())
                .unwrap();
        assert_eq!(beginning.mask.as_deref(), Some(&[0.0, 1.0, 0.0, 1.0][..]));
        let made = Picture { width: 16, height: 16, rgb: vec![7; 16 * 16 * 3] };
        let finished = beginning.ending.apply(made, |_| Ok(None)).unwrap().0;
        assert_eq!((finished.rgb[0], finished.rgb[15 * 3]), (100, 7));
    }

    #[test]
    fn only_the_surroundings_of_a_mask_are_made() {
        let grey = bitmap(64, 64, |_, _| [100, 100, 100, 255]);
        let spot = bitmap(64, 64, |x, y| {
            if (40..48).contains(&x) && (8..16).contains(&y) { [255; 4] } else { [0, 0, 0, 255] }
        });
        let only =
            Inpainting { only_masked: true, padding: 4, content: MaskedContent::Fill, ..inpainting(spot) };
        let beginning =
            Beginning::new(&source(vec![grey.clone()], Some(only.clone())), 0, [2, 2], 8, Asides::default())
                .unwrap();
        assert_eq!(beginning.pixels.shape(), [3, 16, 16]);
        let made = Picture { width: 16, height: 16, rgb: vec![7; 16 * 16 * 3] };
        let finished = beginning.ending.apply(made, |_| Ok(None)).unwrap().0;
        assert_eq!((finished.width, finished.height), (64, 64));
        let at = |x: usize, y: usize| finished.rgb[(y * 64 + x) * 3];
        assert_eq!((at(44, 12), at(30, 12), at(0, 0)), (7, 100, 100));
        // A mask without white leaves nothing to surround: the whole picture is made.
        let black = Inpainting { mask: bitmap(64, 64, |_, _| [0, 0, 0, 255]), ..only };
        let beginning =
            Beginning::new(&source(vec![grey], Some(black)), 0, [2, 2], 8, Asides::default()).unwrap();
        assert_eq!((beginning.mask, beginning.ending), (None, Ending::default()));
    }

    #[test]
    fn hostile_bitmaps_are_refused() {
        for bad in [
            Bitmap { width: 4, height: 4, rgba: vec![0; 3] },
            Bitmap { width: 0, height: 0, rgba: Vec::new() },
        ] {
            let message = Beginning::new(&source(vec![bad], None), 0, [2, 2], 8, Asides::default())
                .unwrap_err()
                .to_string();
            assert!(message.contains("init_images"), "{message}");
        }
    }
}
