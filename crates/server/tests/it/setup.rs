//! An application on a fresh data root, and requests to it without a network.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use impasto_engine::{Engine, EngineConfig};
use impasto_server::App;
use impasto_settings::{Options, OptionsFile, ServeSettings};
use impasto_tensor::reference::ReferenceBackend;
use serde_json::{Value, json};
use std::path::Path;
use tower::ServiceExt as _;

/// The application, and the folder that goes when it goes.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) engine: Engine,
    pub(crate) folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body of an answer that must be good.
    pub(crate) fn good(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and body in one text, for snapshots.
    pub(crate) fn told(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.text())
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Jobs of a test that is over are not to slow others down.
        self.engine.shutdown(std::time::Duration::ZERO);
    }
}

impl TestApp {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ServeSettings)) -> Self {
        Self::build(&["tiny.safetensors", "other.safetensors"], |_| {}, change)
    }

    pub(crate) fn build(
        models: &[&str],
        engine: impl FnOnce(&mut EngineConfig),
        change: impl FnOnce(&mut ServeSettings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models_dir = folder.path().join("models/Stable-diffusion");
        std::fs::create_dir_all(&models_dir).unwrap();
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/tiny.safetensors");
        for name in models {
            std::fs::copy(&tiny, models_dir.join(name)).unwrap();
        }
        let mut config = EngineConfig {
            data_dir: Some(folder.path().to_owned()),
            models_dir: Some(models_dir),
            cache_dir: Some(folder.path().join("cache")),
            ..EngineConfig::default()
        };
        engine(&mut config);
        let engine = Engine::start(ReferenceBackend::default(), config).unwrap();
        let mut settings =
            ServeSettings { data_dir: folder.path().to_owned(), port: Some(0), ..ServeSettings::default() };
        change(&mut settings);
        let file = folder.path().join("config.json");
        let (options, ignored) = OptionsFile::open(&file, Options::default()).unwrap();
        assert!(ignored.is_empty(), "{ignored:?}");
        let app = App::new(engine.clone(), settings, options).unwrap();
        Self { app, engine, folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request(Method::POST, path, &[], Body::from(body.to_string()))).await
    }

    /// Waits until a job is in a state, and gives it.
    pub(crate) async fn wait_until(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..2000 {
            let job = self.get(&format!("/api/v1/jobs/{id}")).await.good();
            if holds(&job) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("job {id} does not get there");
    }

    /// Accepts a job and gives its name.
    pub(crate) async fn submit(&self, body: Value) -> String {
        let answer = self.post("/api/v1/jobs", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// A small picture in a few steps.
pub(crate) fn small(more: Value) -> Value {
    let mut body = json!({ "prompt": "a cat", "width": 32, "height": 32, "steps": 3, "seed": 7 });
    merge(&mut body, more);
    body
}

/// A job that takes long enough to be met at work.
pub(crate) fn long(more: Value) -> Value {
    let mut body = small(json!({ "kind": "txt2img", "steps": 900 }));
    merge(&mut body, more);
    body
}

fn merge(body: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    body.as_object_mut().unwrap().extend(more);
}
