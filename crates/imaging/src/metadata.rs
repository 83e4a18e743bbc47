//! The texts kept in a picture's file: the infotext and whatever else it says of itself.
//!
//! PNG has text chunks, JPEG and WebP have Exif, GIF and JPEG have comments. What a text means is not known here.

use crate::decode::{check_size, format_of, undecodable};
use crate::{ImagingError, comment, exif};
use image::{ImageDecoder, ImageFormat, ImageReader};
use std::io::Cursor;

/// The texts in a picture's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The settings it was made with.
    pub infotext: Option<String>,
    /// All other texts, by keyword.
    pub items: Vec<(String, String)>,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

/// What NovelAI writes into its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NovelAi<'a> {
    /// The prompt.
    pub description: &'a str,
    /// The settings, in JSON.
    pub comment: &'a str,
}

/// The keyword of the infotext.
pub(crate) const INFOTEXT: &str = "parameters";

/// Texts are unpacked up to this many bytes each.
const MOST_TEXT: usize = 2 << 20;
/// And up to this many bytes together.
const MOST_UNPACKED: usize = 8 << 20;
/// Texts beyond this number of a kind are left out.
const MOST_TEXTS: usize = 64;

/// The texts of a PNG, JPEG, WebP or GIF file of at most `most_pixels`. Pixels are not decoded.
pub fn read_metadata(file: &[u8], most_pixels: u64) -> Result<Metadata, ImagingError> {
    let format = format_of(file)?;
    let size = check_size(file, format, most_pixels)?;
    let metadata = match format {
        ImageFormat::Png => read_png(file)?,
        ImageFormat::Gif => Metadata::of(comment::of_gif(file)),
        ImageFormat::Jpeg => Metadata::of(read_exif(file, format)?.or_else(|| comment::of_jpeg(file))),
        _ => Metadata::of(read_exif(file, format)?),
    };
    Ok(Metadata { size, ..metadata })
}

fn read_png(file: &[u8]) -> Result<Metadata, ImagingError> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().map_err(undecodable)?;
    // Texts may follow the pixels. A file that breaks off still has those before.
    let _ = reader.finish();
    let info = reader.info();
    let mut metadata = Metadata::default();
    for chunk in info.uncompressed_latin1_text.iter().take(MOST_TEXTS) {
        metadata.add(&chunk.keyword, chunk.text.clone());
    }
    let mut room = MOST_UNPACKED;
    for chunk in info.compressed_latin1_text.iter().take(MOST_TEXTS) {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(room.min(MOST_TEXT)).is_ok() {
            let text = chunk.get_text().unwrap_or_default();
            room = room.saturating_sub(text.len());
            metadata.add(&chunk.keyword, text);
        }
    }
    for chunk in info.utf8_text.iter().take(MOST_TEXTS) {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(room.min(MOST_TEXT)).is_ok() {
            let text = chunk.get_text().unwrap_or_default();
            room = room.saturating_sub(if chunk.compressed { text.len() } else { 0 });
            metadata.add(&chunk.keyword, text);
        }
    }
    // As in A1111, a comment in Exif goes before the text chunk.
    let comment = info.exif_metadata.as_deref().and_then(exif::user_comment);
    metadata.infotext = comment.filter(|text| !text.is_empty()).or(metadata.infotext);
    Ok(metadata)
}

fn read_exif(file: &[u8], format: ImageFormat) -> Result<Option<String>, ImagingError> {
    let mut decoder =
        ImageReader::with_format(Cursor::new(file), format).into_decoder().map_err(undecodable)?;
    let block = decoder.exif_metadata().map_err(undecodable)?;
    Ok(block.and_then(|block| exif::user_comment(&block)))
}

impl Metadata {
    fn of(infotext: Option<String>) -> Self {
        Self { infotext: infotext.filter(|text| !text.is_empty()), ..Self::default() }
    }

    fn add(&mut self, keyword: &str, text: String) {
        if keyword == INFOTEXT {
            self.infotext = Some(text);
        } else if !self.items.iter().any(|(known, _)| known == keyword) {
            self.items.push((keyword.to_owned(), text));
        }
    }

    /// The text of a keyword other than the infotext's.
    pub fn item(&self, keyword: &str) -> Option<&str> {
        self.items.iter().find(|(known, _)| known == keyword).map(|(_, text)| text.as_str())
    }

    /// What NovelAI wrote, if the picture is from there.
    pub fn novel_ai(&self) -> Option<NovelAi<'_>> {
        if self.item("Software") != Some("NovelAI") {
            return None;
        }
        Some(NovelAi { description: self.item("Description")?, comment: self.item("Comment")? })
    }

    /// All texts in the order in which they are written, the infotext first.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let infotext = self.infotext.iter().map(|text| (INFOTEXT, text.as_str()));
        infotext.chain(self.items.iter().map(|(keyword, text)| (keyword.as_str(), text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Rgb, encode_picture};

    const MOST: u64 = 4096;

    fn file(format: Format, texts: &[(&str, &str)]) -> Vec<u8> {
        let picture = Rgb::filled(2, 3, [1, 2, 3]).unwrap();
        encode_picture(&picture, format, texts.iter().copied()).unwrap()
    }

    #[test]
    fn infotexts_survive_in_every_format() {
        for format in [Format::Png, Format::Jpeg { quality: 80 }, Format::WebP] {
            for text in ["caf\u{e9}\nSteps: 1", "\u{732b} \u{1f408}\nSteps: 1"] {
                let metadata = read_metadata(&file(format, &[(INFOTEXT, text)]), MOST).unwrap();
                assert_eq!(metadata.infotext.as_deref(), Some(text), "{format:?}");
            }
            let bare = Metadata { size: (2, 3), ..Metadata::default() };
            assert_eq!(read_metadata(&file(format, &[]), MOST).unwrap(), bare);
        }
    }

    #[test]
    fn pngs_hold_text_as_pillow_writes_it() {
        let latin = file(Format::Png, &[(INFOTEXT, "caf\u{e9}")]);
        assert!(latin.windows(19).any(|window| window == b"tEXtparameters\0caf\xe9"));
        let other = file(Format::Png, &[(INFOTEXT, "\u{732b}")]);
        assert!(other.windows(22).any(|window| window == b"iTXtparameters\0\0\0\0\0\xe7\x8c\xab"));
    }

    #[test]
    fn all_texts_of_a_png_are_kept() {
        let texts =
            [(INFOTEXT, "a cat"), ("postprocessing", "Postprocess upscale by: 2"), ("Title", "\u{732b}")];
        let metadata = read_metadata(&file(Format::Png, &texts), MOST).unwrap();
        assert_eq!(metadata.texts().collect::<Vec<_>>(), texts);
        assert_eq!(metadata.item("postprocessing"), Some("Postprocess upscale by: 2"));
    }

    #[test]
    fn texts_that_no_chunk_can_hold_are_left_out() {
        let long = "k".repeat(80);
        let texts =
            [("", "a"), (&long, "b"), ("\u{732b}", "c"), ("a\0b", "d"), (" e", "e"), ("kept", "f\0g")];
        let metadata = read_metadata(&file(Format::Png, &texts), MOST).unwrap();
        assert_eq!(metadata.items.len(), 1);
        assert_eq!(metadata.items[0].0, "kept");
    }

    #[test]
    fn pictures_of_novel_ai_are_known() {
        let texts = [("Software", "NovelAI"), ("Description", "a cat"), ("Comment", "{\"steps\": 28}")];
        let metadata = read_metadata(&file(Format::Png, &texts), MOST).unwrap();
        let wanted = NovelAi { description: "a cat", comment: "{\"steps\": 28}" };
        assert_eq!(metadata.novel_ai(), Some(wanted));
        assert_eq!(read_metadata(&file(Format::Png, &texts[..2]), MOST).unwrap().novel_ai(), None);
        assert_eq!(read_metadata(&file(Format::Png, &texts[1..]), MOST).unwrap().novel_ai(), None);
    }
}
