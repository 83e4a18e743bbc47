//! Pictures of all kinds, and files that are none, wherever a route takes a picture: read as Pillow reads them, or refused
//! in words. None of them ends the server, takes memory without bound, or makes it fetch anything.

use crate::setup::{Answer, TestApp, small};
use impasto_imaging::{Format, Pixels, decode, decode_base64, encode, encode_base64, encode_picture};
use impasto_testkit::golden_json;
use serde_json::{Value, json};
use std::net::TcpListener;

/// A way to send a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Begin,
    Mask,
    Enlarge,
    EnlargeMany,
    Look,
}

const WAYS: [Way; 5] = [Way::Begin, Way::Mask, Way::Enlarge, Way::EnlargeMany, Way::Look];

async fn send(app: &TestApp, way: Way, picture: &str) -> Answer {
    let plain = grey(32, 32);
    let (path, body) = match way {
        Way::Begin => ("img2img", small(json!({ "init_images": [picture], "steps": 1 }))),
        Way::Mask => ("img2img", small(json!({ "init_images": [plain], "mask": picture, "steps": 1 }))),
        Way::Enlarge => ("extra-single-image", json!({ "image": picture, "upscaler_1": "Lanczos" })),
        Way::EnlargeMany => {
            let list = json!([{ "name": "a.jpg", "data": picture }]);
            ("extra-batch-images", json!({ "imageList": list, "upscaler_1": "Lanczos" }))
        }
        Way::Look => ("png-info", json!({ "image": picture })),
    };
    app.post(&format!("/sdapi/v1/{path}"), body).await
}

/// A grey picture's file in base64.
fn grey(width: u32, height: u32) -> String {
    let rgb = vec![99; (3 * width * height) as usize];
    encode_base64(&encode(Pixels { width, height, rgb: &rgb }, Format::Png, None).unwrap())
}

/// A PNG file of so many black pixels of one bit, which takes few bytes.
fn bomb(width: u32, height: u32, texts: &[(&str, &str)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    for (keyword, text) in texts {
        encoder.add_ztxt_chunk((*keyword).to_owned(), (*text).to_owned()).unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; width.div_ceil(8) as usize * height as usize]).unwrap();
    writer.finish().unwrap();
    file
}

fn pixels(image: &Value) -> (u32, u32, Vec<u8>) {
    let picture = decode(&decode_base64(image.as_str().unwrap()).unwrap(), 1 << 20).unwrap().to_rgb();
    (picture.width(), picture.height(), picture.into_samples())
}

#[tokio::test]
async fn pictures_of_all_kinds_are_taken_everywhere() {
    let app = TestApp::new();
    for (name, golden) in golden_json("imaging")["files"].as_object().unwrap() {
        let file = golden["file"].as_str().unwrap();
        // What the client says of the kind of file does not matter.
        for file in [file.to_owned(), format!("data:image/bmp;base64,{file}")] {
            for way in WAYS {
                let answer = send(&app, way, &file).await;
                assert_eq!(answer.status, 200, "{name} {way:?}: {}", answer.text());
            }
        }
        // Nothing but its size changes where nothing enlarges it.
        let kept = app.post("/sdapi/v1/extra-single-image", json!({ "image": file })).await.good();
        let rgba = decode_base64(golden["rgba"].as_str().unwrap()).unwrap();
        let wanted: Vec<u8> = rgba.as_chunks::<4>().0.iter().flat_map(|pixel| pixel[..3].to_vec()).collect();
        let (width, height, rgb) = pixels(&kept["image"]);
        assert_eq!(json!([width, height]), golden["size"], "{name}");
        let off = rgb.iter().zip(&wanted).map(|(one, other)| one.abs_diff(*other)).max().unwrap();
        assert!(off <= if name.starts_with("jpeg") { 3 } else { 0 }, "{name}: off by {off}");
    }
}

#[tokio::test]
async fn pictures_to_begin_from_are_turned_as_their_exif_says() {
    let app = TestApp::new();
    let goldens = golden_json("imaging");
    let black = encode_base64(&bomb(16, 16, &[]));
    for (name, golden) in
        goldens["files"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("jpeg."))
    {
        // A mask that paints nothing anew leaves what was read.
        let body = small(json!({
            "init_images": [golden["file"]], "mask": black, "inpaint_full_res": false, "width": 16, "height": 16,
            "inpainting_fill": 1, "mask_blur": 0, "steps": 1
        }));
        let answer = app.post("/sdapi/v1/img2img", body).await.good();
        let rgba = decode_base64(golden["rgba"].as_str().unwrap()).unwrap();
        let (_, _, rgb) = pixels(&answer["images"][0]);
        let off = rgb.as_chunks::<3>().0.iter().zip(rgba.as_chunks::<4>().0);
        let off = off.flat_map(|(one, other)| (0..3).map(|at| one[at].abs_diff(other[at]))).max().unwrap();
        assert!(off <= 3, "{name}: off by {off}");
    }
}

#[tokio::test]
async fn what_is_no_picture_is_refused_in_words() {
    let app = TestApp::new();
    let goldens = golden_json("imaging");
    let golden = |name: &str| decode_base64(goldens["files"][name]["file"].as_str().unwrap()).unwrap();
    let cut = |name: &str| {
        let whole = golden(name);
        whole[..whole.len() * 2 / 3].to_vec()
    };
    let mut flat = golden("png.rgba");
    flat[16..24].fill(0);
    let mut endless = golden("png.rgba");
    endless[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut crc = golden("png.rgba");
    crc[30] ^= 0xff;
    let files = [
        ("nothing", Vec::new()),
        ("text", b"a picture of a cat, in words".to_vec()),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("BMP", [&b"BM"[..], &[0; 60]].concat()),
        ("TIFF", [&b"II*\0"[..], &[0; 60]].concat()),
        ("no pixels", flat),
        ("2^62 pixels", endless),
        ("a damaged header", crc),
        ("a signature", golden("png.rgba")[..8].to_vec()),
    ];
    for (name, file) in files {
        // An empty mask is none.
        for way in WAYS.into_iter().filter(|way| *way != Way::Mask || !file.is_empty()) {
            let answer = send(&app, way, &encode_base64(&file)).await;
            assert_eq!(answer.status, 500, "{name} {way:?}: {:.300}", answer.text());
            let told = answer.json();
            assert_eq!(told["error"], "HTTPException", "{name} {way:?}");
            let detail = told["detail"].as_str().unwrap();
            assert!(detail.starts_with("Invalid encoded image: "), "{name} {way:?}: {detail}");
        }
    }
    // Texts before the break are still told of.
    for name in ["png.texts", "gif.comment", "webp.rgba"] {
        for way in [Way::Begin, Way::Mask, Way::Enlarge, Way::EnlargeMany] {
            assert_eq!(send(&app, way, &encode_base64(&cut(name))).await.status, 500, "{name} {way:?}");
        }
    }
    let told = send(&app, Way::Look, &encode_base64(&cut("png.texts"))).await.good();
    assert_eq!(told["info"], "a cat\nSteps: 3");
}

#[tokio::test]
async fn what_is_no_base64_is_refused_in_words() {
    let app = TestApp::new();
    for text in [
        "%%%",
        "=",
        "AAAA=AAAA",
        "data:image/png",
        "data:,",
        "data:image/png;base64,",
        "\u{1F408}",
        "file:///etc/passwd",
    ] {
        for way in WAYS {
            let answer = send(&app, way, text).await;
            assert_eq!(answer.status, 500, "{text} {way:?}: {:.300}", answer.text());
            let told = answer.json();
            assert!(
                told["detail"].as_str().unwrap().starts_with("Invalid encoded image: "),
                "{text}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn small_files_of_large_pictures_take_no_memory() {
    let app = TestApp::new();
    // 2^28 pixels in some 30 KiB.
    let large = encode_base64(&bomb(1 << 14, 1 << 14, &[]));
    for way in [Way::Begin, Way::Mask, Way::Enlarge, Way::EnlargeMany] {
        let answer = send(&app, way, &large).await;
        let told = answer.told();
        assert!(
            told.starts_with("500") && told.contains(" picture has 16384x16384 pixels; "),
            "{way:?}: {told}"
        );
    }
    assert_eq!(send(&app, Way::Look, &large).await.good()["info"], "");
    // Together they are no larger than one may be.
    let half = encode_base64(&bomb(1 << 13, 5000, &[]));
    let body = small(json!({ "init_images": [half, half], "batch_size": 2 }));
    let told = app.post("/sdapi/v1/img2img", body).await.told();
    assert!(
        told.contains("a picture has 8192x5000 pixels; of 67108864 for all pictures of a request "),
        "{told}"
    );
}

#[tokio::test]
async fn results_are_bounded() {
    let app = TestApp::new();
    let to = |width: u32, height: u32| json!({ "upscaler_1": "Nearest", "resize_mode": 1, "upscaling_resize_w": width, "upscaling_resize_h": height });
    let mut high = to(1, 16384);
    high["image"] = json!(grey(8, 1));
    let told = app.post("/sdapi/v1/extra-single-image", high).await.told();
    assert!(told.starts_with("422") && told.contains("makes 2147483648 pixels; of 268435456 "), "{told}");
}

#[tokio::test]
async fn large_texts_are_cut_short_not_waited_for() {
    let app = TestApp::new();
    let long = "k".repeat(3 << 20);
    // Unpacked it has three megabytes, which is left out; the others are read.
    let file = bomb(8, 8, &[("parameters", &long), ("Title", "a cat"), ("Author", &"a".repeat(1 << 20))]);
    assert!(file.len() < 30_000, "{}", file.len());
    let told = send(&app, Way::Look, &encode_base64(&file)).await.good();
    assert_eq!((&told["info"], &told["items"]["Title"]), (&json!(""), &json!("a cat")));
    let keys: Vec<String> = (0..60).map(|number| format!("key {number}")).collect();
    let most = "a".repeat(1 << 20);
    let texts: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), most.as_str())).collect();
    let told = send(&app, Way::Look, &encode_base64(&bomb(8, 8, &texts))).await.good();
    assert_eq!(told["items"].as_object().unwrap().len(), 8);
    // An infotext that is all brackets, colons and commas is read in time.
    for unit in ["a: 1, ", "Steps: 1, Seed: \"", "(((", "<lora:a:1>", "\n", "1x", "Negative prompt: a\n"] {
        let text = unit.repeat((2 << 20) / unit.len());
        let picture = impasto_imaging::Rgb::filled(8, 8, [9; 3]).unwrap();
        let file = encode_picture(&picture, Format::Png, [("parameters", text.as_str())]).unwrap();
        let begun = std::time::Instant::now();
        for way in WAYS {
            let answer = send(&app, way, &encode_base64(&file)).await;
            assert_eq!(answer.status, 200, "{unit:?} {way:?}: {:.200}", answer.text());
        }
        assert!(begun.elapsed().as_secs() < 20, "{unit:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn links_are_never_followed() {
    let app = TestApp::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    // Not even where a client asks for it.
    let asked = json!({ "api_enable_requests": true, "api_forbid_local_requests": false });
    assert_eq!(app.post("/sdapi/v1/options", asked).await.told(), "200 null");
    let options = app.get("/sdapi/v1/options").await.good();
    assert_eq!(
        (&options["api_enable_requests"], &options["api_forbid_local_requests"]),
        (&json!(false), &json!(true))
    );
    for scheme in ["http", "https", "HTTP"] {
        let link = format!("{scheme}://{address}/a.png");
        for way in WAYS {
            let answer = send(&app, way, &link).await;
            assert_eq!(answer.status, 500, "{link}");
            let told = answer.json();
            assert!(
                told["detail"].as_str().unwrap().starts_with("Requests not allowed: "),
                "{way:?}: {told}"
            );
        }
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
}
