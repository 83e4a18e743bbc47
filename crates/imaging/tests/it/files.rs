//! Files of all kinds, as Pillow writes and reads them.

use impasto_imaging::{Rgba, decode, decode_base64, read_metadata};
use impasto_testkit::golden_json;
use serde_json::Value;

fn file(goldens: &Value, name: &str) -> Vec<u8> {
    decode_base64(goldens["files"][name]["file"].as_str().unwrap()).unwrap()
}

/// How far a decoder may be from Pillow's: lossy ones differ in their arithmetic.
fn tolerance(name: &str) -> u8 {
    if name.starts_with("jpeg") { 3 } else { 0 }
}

/// What is wrong with what we read in a file.
fn wrong(name: &str, file: &[u8], golden: &Value) -> Option<String> {
    let side = |index: usize| golden["size"][index].as_u64().unwrap() as u32;
    let rgba = decode_base64(golden["rgba"].as_str().unwrap()).unwrap();
    let wanted = Rgba::new(side(0), side(1), rgba).unwrap();
    match decode(file, 400) {
        Err(error) => Some(format!("{name}: {error}")),
        Ok(picture) if picture.size() != wanted.size() => Some(format!("{name}: {:?}", picture.size())),
        Ok(picture) => {
            let difference = crate::difference(&picture, &wanted);
            (difference > tolerance(name)).then(|| format!("{name}: off by {difference}"))
        }
    }
}

#[test]
fn files_of_all_kinds_are_read_as_by_pillow() {
    let goldens = golden_json("imaging");
    let files = goldens["files"].as_object().unwrap();
    assert_eq!(files.len(), 28);
    let wrong: Vec<String> =
        files.iter().filter_map(|(name, golden)| wrong(name, &file(&goldens, name), golden)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_found_where_pillow_writes_them() {
    let goldens = golden_json("imaging");
    let texts = |name: &str| read_metadata(&file(&goldens, name), 400).unwrap();
    let png = texts("png.texts");
    assert_eq!(png.infotext.as_deref(), Some("a cat\nSteps: 3"));
    assert_eq!(png.items, [("Title".to_owned(), "\u{732b}".to_owned())]);
    assert_eq!(texts("gif.comment").infotext.as_deref(), Some("a dog\nSteps: 5"));
    assert_eq!(texts("jpeg.comment").infotext.as_deref(), Some("a comment"));
    for name in ["png.rgba", "webp.rgba", "jpeg.rgb", "jpeg.turned_6", "gif.animated"] {
        assert_eq!(texts(name).infotext, None, "{name}");
    }
}

#[test]
fn truncated_files_are_refused() {
    let goldens = golden_json("imaging");
    for name in ["png.rgba", "webp.rgba", "gif.comment"] {
        let whole = file(&goldens, name);
        assert!(decode(&whole[..whole.len() * 2 / 3], 400).is_err(), "{name}");
    }
}
