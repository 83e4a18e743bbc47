//! Requests drawn by chance from the description of the interfaces: each is answered in time, in a shape that the description
//! has, and all together leave nothing behind in memory.

mod draw;
mod schema;

use crate::setup::{TestApp, request, small};
use axum::body::Body;
use axum::http::Method;
use draw::{Draw, World};
use impasto_domain::RequestLimits;
use impasto_imaging::{Format, Rgb, encode_base64, encode_picture};
use schema::{Description, Route};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many requests the test in a process of its own makes after as many to warm up; a thousand if nothing is said.
const COUNT: &str = "IMPASTO_CHANCE";
/// The requests that warm up are the same as those that follow: what they leave behind the first time is bounded, what they leave
/// behind each time is not.
const SEED: u64 = 0x1234_5678_9abc_def1;
/// Requests of the test run.
const FEW: &str = "250";
/// Most time for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Routes that end what they are asked on, or never end.
const LEFT_OUT: [&str; 1] = ["/api/v1/jobs/{id}/events"];

/// Bytes of memory that this process has, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn world() -> World {
    let file = |width, height, format| {
        let picture = Rgb::filled(width, height, [90, 120, 200]).unwrap();
        encode_base64(
            &encode_picture(&picture, format, [("parameters", "a cat\nSteps: 1, Seed: 2, Size: 8x8")])
                .unwrap(),
        )
    };
    let png = file(32, 32, Format::Png);
    let pictures = vec![
        png.clone(),
        format!("data:image/png;base64,{png}"),
        file(9, 31, Format::Png),
        file(40, 24, Format::Jpeg { quality: 80 }),
        file(1, 1, Format::WebP),
        png[..png.len() / 2].to_owned(),
        "no picture".to_owned(),
        String::new(),
    ];
    World { pictures }
}

/// An application whose pictures are small, whatever is asked.
fn small_app() -> TestApp {
    let limits = RequestLimits {
        max_edge: 96,
        max_pixels: 96 * 96,
        max_steps: 12,
        max_images: 4,
        ..RequestLimits::default()
    };
    TestApp::build(&["tiny.safetensors", "other.safetensors"], |config| config.limits = limits, |_| {})
}

/// Makes requests, and counts the answers by what they say.
async fn make(count: usize, app: &TestApp, draw: &mut Draw) -> BTreeMap<String, usize> {
    let (description, world) = (Description::read(), world());
    let routes: Vec<Route<'_>> =
        description.routes().into_iter().filter(|route| !LEFT_OUT.contains(&route.path)).collect();
    let (with_body, without): (Vec<_>, Vec<_>) =
        routes.into_iter().partition(|route| description.fields(route).is_some());
    let (painting, others): (Vec<_>, Vec<_>) =
        with_body.into_iter().partition(|route| route.path.ends_with("2img"));
    let options = app.get("/sdapi/v1/options").await.good();
    let mut answers = BTreeMap::new();
    for number in 0..count {
        if number % 8 == 0 {
            // Odd options hold for some requests only.
            app.post("/sdapi/v1/options", options.clone()).await.good();
        }
        // What paints is what can go wrong.
        let among = [&painting, &painting, &painting, &others, &others, &without][draw.below(6)];
        let route = &among[draw.below(among.len())];
        let body = draw::body(&description, route, &world, draw);
        let sent = body.as_ref().map(ToString::to_string).unwrap_or_default();
        let path = route.path.replace("{id}", "00000000000000aa").replace("{number}", "0");
        let method: Method = route.method.to_uppercase().parse().unwrap();
        let begun = Instant::now();
        let answer = app.send(request(method, &path, &[], Body::from(sent.clone())));
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else {
            panic!("{} {path} is not answered within {PATIENCE:?}: {sent:.3000}", route.method);
        };
        let (status, text) = (answer.status.as_u16(), String::from_utf8_lossy(&answer.body));
        let fault = description.fault(route, status, &answer.body);
        assert!(fault.is_none(), "{} {path}: {fault:?}\n{text:.500}\nasked: {sent:.3000}", route.method);
        assert!(
            !text.contains("internal error"),
            "{} {path}: {text:.500}\nasked: {sent:.3000}",
            route.method
        );
        let what = if status >= 400 { text.chars().take(160).collect() } else { String::new() };
        *answers.entry(format!("{} {path} {status} {what}", route.method)).or_insert(0) += 1;
        assert!(begun.elapsed() < PATIENCE);
    }
    answers
}

/// In a process of its own, since memory is that of a process.
#[tokio::test]
#[ignore = "the other test runs it; alone it makes a thousand requests"]
async fn many_requests() {
    let count = std::env::var(COUNT).map_or(1000, |count| count.parse().unwrap());
    let app = small_app();
    let begun = Instant::now();
    let usual = app.get("/sdapi/v1/options").await.good();
    make(count, &app, &mut Draw(SEED)).await;
    app.post("/sdapi/v1/options", usual.clone()).await.good();
    let warm = resident_bytes();
    let answers = make(count, &app, &mut Draw(SEED)).await;
    let last = resident_bytes();
    for (answer, times) in &answers {
        println!("{times:5} {answer}");
    }
    println!("{} requests in {:?}", 2 * count, begun.elapsed());
    app.post("/sdapi/v1/options", usual).await.good();
    app.post("/sdapi/v1/txt2img", small(json!({}))).await.good();
    let (Some(warm), Some(last)) = (warm, last) else {
        println!("skipped: memory cannot be told: there is no /proc/self/status");
        return;
    };
    println!("memory: {} KiB after the first half, {} KiB after the second", warm >> 10, last >> 10);
    assert!(last as f64 <= warm as f64 * 1.05, "memory grew from {warm} to {last} bytes");
}

#[test]
fn requests_drawn_by_chance_do_no_harm() {
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["chance::many_requests", "--exact", "--ignored", "--nocapture"]);
    // Memory that the allocator keeps for each thread differs from run to run.
    test.env("MALLOC_ARENA_MAX", "1");
    if std::env::var_os(COUNT).is_none() {
        test.env(COUNT, FEW);
    }
    let ended = test.output().unwrap();
    let told = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&told));
    assert!(String::from_utf8_lossy(&told).contains("1 passed"));
}
