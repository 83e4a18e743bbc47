//! Requests with a script: many pictures, one answer.

use crate::setup::{TestApp, small};
use impasto_imaging::{Format, Pixels, decode, decode_base64, encode, encode_base64};
use serde_json::{Value, json};
use std::time::Duration;

fn sizes(answer: &Value) -> Vec<(u32, u32)> {
    let size = |file: &Value| {
        let bytes = decode_base64(file.as_str().unwrap()).unwrap();
        decode(&bytes, 1 << 24).unwrap().size()
    };
    answer["images"].as_array().unwrap().iter().map(size).collect()
}

fn info(answer: &Value) -> Value {
    serde_json::from_str(answer["info"].as_str().unwrap()).unwrap()
}

/// A picture file in base64 whose colours run across and down.
pub(crate) fn file(width: u32, height: u32) -> String {
    let pixel = |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, 90];
    let rgb: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    encode_base64(&encode(Pixels { width, height, rgb: &rgb }, Format::Png, None).unwrap())
}

#[tokio::test]
async fn a_plot_is_answered_with_its_grid_first() {
    let app = TestApp::new();
    let arguments = json!([4, "1-2", [], "CFG Scale", "2, 3", null, 0, "", [], false, true]);
    let body = small(json!({ "script_name": "X/Y/Z Plot", "script_args": arguments, "save_images": true }));
    let answer = app.post("/sdapi/v1/txt2img", body).await.good();
    assert_eq!(sizes(&answer), [(64, 64), (32, 32), (32, 32), (32, 32), (32, 32)]);
    let told = info(&answer);
    assert_eq!((&told["index_of_first_image"], &told["all_seeds"]), (&json!(1), &json!([7, 7, 7, 7])));
    let infotexts = told["infotexts"].as_array().unwrap();
    assert_eq!(infotexts.len(), 5);
    let grid = infotexts[0].as_str().unwrap();
    assert!(
        grid.contains(
            "Script: X/Y/Z plot, X Type: Steps, X Values: 1-2, Y Type: CFG Scale, Y Values: \"2, 3\""
        ),
        "{grid}"
    );
    assert!(infotexts[2].as_str().unwrap().contains("Steps: 2, "), "{told}");
    // A cell is the picture that its settings make alone.
    let alone = small(json!({ "steps": 2, "cfg_scale": 3 }));
    let alone = app.post("/sdapi/v1/txt2img", alone).await.good();
    assert_eq!(alone["images"][0], answer["images"][4]);
    let written = |folder: &str| {
        let day = std::fs::read_dir(app.folder.path().join(folder)).unwrap().next().unwrap().unwrap();
        let mut names: Vec<String> = std::fs::read_dir(day.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(written("outputs/txt2img-grids"), ["xyz_grid-0000-7.png"]);
    assert_eq!(written("outputs/txt2img-images").len(), 4);
    // The grid's infotext asks for the same again.
    let again = json!({ "infotext": grid, "script_name": "x/y/z plot" });
    let again = app.post("/sdapi/v1/txt2img", again).await.good();
    assert_eq!(sizes(&again).len(), 1);
    assert_eq!(info(&again)["all_seeds"], json!([7, 7, 7, 7]));
}

#[tokio::test]
async fn prompts_and_styles_are_those_of_each_picture() {
    let app = TestApp::new();
    std::fs::write(app.folder.path().join("styles.csv"), "name,prompt,negative_prompt\noil,in oil,\n")
        .unwrap();
    let matrix = small(json!({
        "script_name": "prompt matrix", "prompt": "a # no\n cat|dog", "styles": ["oil"], "script_args": [false, true]
    }));
    let answer = app.post("/sdapi/v1/txt2img", matrix).await.good();
    let told = info(&answer);
    assert_eq!(told["all_prompts"], json!(["a \n cat, in oil", "a \n cat, dog, in oil"]));
    assert_eq!((&told["all_seeds"], sizes(&answer).len()), (&json!([7, 8]), 3));
    let lines = "--prompt \"a cat\" --steps 1\na dog";
    let from_text = small(json!({
        "script_name": "prompts from file or textbox", "prompt": "", "script_args": [false, false, "start", lines]
    }));
    let answer = app.post("/sdapi/v1/txt2img", from_text).await.good();
    let told = info(&answer);
    assert_eq!(
        (&told["all_prompts"], &told["index_of_first_image"]),
        (&json!(["a cat", "a dog"]), &json!(0))
    );
}

#[tokio::test]
async fn pictures_are_looped_enlarged_and_outpainted() {
    let app = TestApp::new();
    let ask = async |name: &str, arguments: Value| {
        let body = small(json!({
            "init_images": [file(64, 64)], "script_name": name, "script_args": arguments, "save_images": true
        }));
        app.post("/sdapi/v1/img2img", body).await.good()
    };
    let looped = ask("loopback", json!([2, 0.5])).await;
    assert_eq!(sizes(&looped), [(64, 32), (32, 32), (32, 32)]);
    let told = info(&looped)["infotexts"][2].as_str().unwrap().to_owned();
    assert!(
        told.contains("Denoising strength: 0.5") && told.contains("Final denoising strength: 0.5"),
        "{told}"
    );
    let upscaled = ask("sd upscale", json!(["", 8, "Lanczos", 1.5])).await;
    assert_eq!(sizes(&upscaled), [(96, 96)]);
    let told = info(&upscaled)["infotexts"][0].as_str().unwrap().to_owned();
    assert!(told.contains("SD upscale overlap: 8, SD upscale upscaler: Lanczos, Version"), "{told}");
    assert_eq!(sizes(&ask("outpainting mk2", json!(["", 64, 4, ["left", "up"]])).await), [(128, 128)]);
    assert_eq!(sizes(&ask("poor man's outpainting", json!([16, 4, "fill", ["right"]])).await), [(128, 64)]);
    let day = std::fs::read_dir(app.folder.path().join("outputs/img2img-images")).unwrap().next().unwrap();
    // Two of the loop, and one of each other script: what tiles came to is not saved.
    assert_eq!(std::fs::read_dir(day.unwrap().path()).unwrap().count(), 5);
}

#[tokio::test]
async fn what_a_script_cannot_do_is_refused_at_once() {
    let app = TestApp::new();
    let ask = |name: &str, arguments: Value| {
        app.post("/sdapi/v1/txt2img", small(json!({ "script_name": name, "script_args": arguments })))
    };
    insta::assert_snapshot!(ask("nonsense", json!([])).await.told(), @r#"422 {"error":"HTTPException","detail":"Script 'nonsense' not found","body":"","errors":""}"#);
    insta::assert_snapshot!(ask("sd upscale", json!([])).await.told(), @r#"422 {"error":"HTTPException","detail":"Script 'sd upscale' not found","body":"","errors":""}"#);
    insta::assert_snapshot!(ask("custom code", json!(["print(1)"])).await.told(), @r#"422 {"error":"HTTPException","detail":"Custom code is not offered: it runs code that a client sends","body":"","errors":""}"#);
    insta::assert_snapshot!(ask("x/y/z plot", json!([4, "a"])).await.told(), @r#"422 {"detail":[{"loc":["body","script_args"],"msg":"X/Y/Z plot: \"X values\" (argument 1) \"a\" \"a\" is no whole number, nor a range of them","type":"value_error","input":"a"}]}"#);
    insta::assert_snapshot!(ask("x/y/z plot", json!(["Checkpoint name", "tiny, nothing"])).await.told(), @r#"500 {"error":"RuntimeError","detail":"","body":"","errors":"Unknown checkpoint: nothing"}"#);
    insta::assert_snapshot!(ask("x/y/z plot", json!([4, "0"])).await.told(), @r#"422 {"detail":[{"loc":["body","steps"],"msg":"steps 0 is out of range: allowed are 1 to 1000","type":"value_error","input":0}]}"#);
    insta::assert_snapshot!(ask("prompt matrix", json!([7])).await.told(), @r#"422 {"detail":[{"loc":["body","script_args"],"msg":"Prompt matrix: \"Put variable parts at start of prompt\" (argument 0) 7 has to be true or false","type":"value_error","input":7}]}"#);
    let job =
        app.post("/api/v1/jobs", small(json!({ "kind": "txt2img", "script_name": "x/y/z plot" }))).await;
    assert_eq!(job.status, 422, "{}", job.text());
    assert!(app.engine.jobs().is_empty());
}

#[tokio::test]
async fn scripts_are_listed_with_their_arguments() {
    let app = TestApp::new();
    let listed = app.get("/sdapi/v1/scripts").await.good();
    insta::assert_snapshot!(listed["txt2img"], @r#"["comments","extra options","hypertile","refiner","sampler","seed","prompt matrix","prompts from file or textbox","x/y/z plot"]"#);
    let infos = app.get("/sdapi/v1/script-info").await.good();
    let infos = infos.as_array().unwrap();
    let names = |img2img: bool| -> Vec<&Value> {
        infos.iter().filter(|info| info["is_img2img"] == img2img).map(|info| &info["name"]).collect()
    };
    assert_eq!(json!(names(false)), listed["txt2img"]);
    assert_eq!(json!(names(true)), listed["img2img"]);
    let of = |name: &str| infos.iter().find(|info| info["name"] == name).unwrap();
    insta::assert_snapshot!(of("prompt matrix")["args"][4], @r#"{"label":"Grid margins (px)","value":0,"minimum":0,"maximum":500,"step":2,"choices":null}"#);
    let plot = of("x/y/z plot");
    assert_eq!((plot["args"].as_array().unwrap().len(), plot["is_alwayson"].as_bool()), (18, Some(false)));
    assert_eq!(
        (&plot["args"][0]["value"], &plot["args"][0]["choices"][4]),
        (&json!("Seed"), &json!("Steps"))
    );
    assert_eq!(of("soft inpainting")["args"].as_array().unwrap().len(), 7);
}

/// A plot that takes long enough to be met at work.
fn long_plot(more: &Value) -> Value {
    let arguments = json!(["CFG Scale", "1-6", null, 0, "", null, 0, "", null, false, true]);
    let mut body = small(json!({ "script_name": "x/y/z plot", "script_args": arguments, "steps": 60 }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn progress_when(app: &TestApp, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..4000 {
        let progress = app.get("/sdapi/v1/progress").await.good();
        if holds(&progress) {
            return progress;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("progress does not get there");
}

#[tokio::test]
async fn progress_and_interrupt_are_about_the_whole() {
    let app = TestApp::new();
    let look = async {
        let begun = progress_when(&app, |progress| progress["state"]["job_no"] == 1).await;
        assert_eq!(begun["state"]["job_count"], 6);
        let share = begun["progress"].as_f64().unwrap();
        assert!((0.17..0.35).contains(&share), "{begun}");
        let task = app.post("/internal/progress", json!({ "id_task": "task(plot)" })).await.good();
        assert_eq!((&task["active"], &task["queued"]), (&json!(true), &json!(false)), "{task}");
        assert!(task["progress"].as_f64() > Some(0.16), "{task}");
        assert_eq!(app.post("/sdapi/v1/interrupt", json!({})).await.told(), "200 {}");
    };
    let body = long_plot(&json!({ "force_task_id": "task(plot)" }));
    let (answer, ()) = tokio::join!(app.post("/sdapi/v1/txt2img", body), look);
    let sizes = sizes(&answer.good());
    // The grid has all its places; some of the pictures are missing.
    assert_eq!(sizes[0], (6 * 32, 32));
    assert!((2..6).contains(&(sizes.len() - 1)), "{sizes:?}");
    let task = app.post("/internal/progress", json!({ "id_task": "task(plot)" })).await.good();
    assert_eq!(task["completed"], true);
}

#[tokio::test]
async fn skipping_goes_on_with_the_next_picture() {
    let app = TestApp::new();
    let skip = async {
        progress_when(&app, |progress| progress["state"]["job_no"] == 1).await;
        assert_eq!(app.post("/sdapi/v1/skip", json!({})).await.told(), "200 null");
    };
    let (answer, ()) = tokio::join!(app.post("/sdapi/v1/txt2img", long_plot(&json!({}))), skip);
    assert_eq!(sizes(&answer.good()).len(), 7);
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_all_of_it() {
    let app = TestApp::new();
    let waiting = async {
        progress_when(&app, |progress| progress["state"]["job_no"] == 1).await;
    };
    tokio::select! {
        _ = app.post("/sdapi/v1/txt2img", long_plot(&json!({}))) => panic!("it ended before it was left"),
        () = waiting => {}
    }
    progress_when(&app, |progress| progress["state"]["job_count"] == 0).await;
    for _ in 0..1000 {
        if app.engine.stats().running == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let made = app.engine.jobs().len();
    assert!(app.engine.stats().running == 0 && made < 6, "{made} jobs");
}
