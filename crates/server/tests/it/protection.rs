//! What stands around every route: users, hosts and origins, limits, and what every answer carries.

use crate::setup::{TestApp, request, small};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use impasto_imaging::encode_base64;
use impasto_server::{App, ServerError};
use impasto_settings::{Options, OptionsFile, ServeSettings};
use serde_json::{Value, json};

fn paths() -> Vec<(String, Method)> {
    let document = serde_json::to_value(impasto_server::openapi()).unwrap();
    let mut paths: Vec<(String, Method)> = ["/", "/docs", "/openapi.json", "/assets/x.js", "/nowhere"]
        .map(|path| (path.to_owned(), Method::GET))
        .to_vec();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if let Ok(method) = method.to_uppercase().parse() {
                paths.push((path.replace("{id}", "x").replace("{number}", "0"), method));
            }
        }
    }
    paths
}

#[tokio::test]
async fn every_route_asks_for_a_user() {
    let app = TestApp::with(|settings| settings.api_auth = Some("ann:a:b,bob:c".to_owned()));
    for (path, method) in paths() {
        let answer = app.send(request(method.clone(), &path, &[], Body::empty())).await;
        assert_eq!(
            answer.told(),
            r#"401 {"error":"HTTPException","detail":"Not authenticated","body":"","errors":""}"#,
            "{method} {path}"
        );
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Impasto\", charset=\"UTF-8\""));
    }
    let with = async |pair: &str| {
        let value = format!("Basic {}", encode_base64(pair.as_bytes()));
        app.send(request(Method::GET, "/internal/ping", &[("authorization", &value)], Body::empty())).await
    };
    assert_eq!(with("ann:a:b").await.told(), "200 {}");
    assert_eq!(with("bob:c").await.told(), "200 {}");
    insta::assert_snapshot!(with("ann:a").await.told(), @r#"401 {"error":"HTTPException","detail":"Incorrect username or password","body":"","errors":""}"#);
}

#[tokio::test]
async fn every_route_refuses_pages_and_names_of_others() {
    let app = TestApp::new();
    for (path, method) in paths() {
        for headers in [
            [("host", "evil.example"), ("accept", "*/*")],
            [("host", "127.0.0.1:7860"), ("origin", "https://evil.example")],
        ] {
            let answer = app.send(request(method.clone(), &path, &headers, Body::empty())).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
    let own = [("host", "localhost:7860"), ("origin", "http://localhost:7860")];
    assert_eq!(app.send(request(Method::GET, "/livez", &own, Body::empty())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn browsers_are_told_of_allowed_origins_alone() {
    let app = TestApp::with(|settings| {
        settings.cors_allow_origins = Some("https://art.example".to_owned());
        settings.api_auth = Some("ann:a".to_owned());
    });
    let asking = [
        ("host", "127.0.0.1"),
        ("origin", "https://art.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    // Browsers ask without a password.
    let answer = app.send(request(Method::OPTIONS, "/sdapi/v1/txt2img", &asking, Body::empty())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://art.example"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    let closed = TestApp::new();
    let answer = closed.send(request(Method::GET, "/livez", &[("host", "127.0.0.1")], Body::empty())).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let app = TestApp::with(|settings| settings.max_body_bytes = 1000);
    let body = small(json!({ "prompt": "x".repeat(2000) })).to_string();
    let announced = [("content-length", "2100")];
    for headers in [&announced[..], &[]] {
        let answer =
            app.send(request(Method::POST, "/sdapi/v1/txt2img", headers, Body::from(body.clone()))).await;
        assert_eq!(
            answer.told(),
            r#"413 {"error":"HTTPException","detail":"the body is larger than 1000 bytes","body":"","errors":""}"#
        );
    }
}

#[tokio::test]
async fn only_bodies_with_pictures_may_be_large() {
    let app = TestApp::new();
    let large = json!({ "kind": "txt2img", "script_args": vec![0; 1 << 20], "image": "x" });
    let told = app.post("/sdapi/v1/txt2img", large.clone()).await.told();
    assert!(told.contains("the body has more than 262144 values"), "{told}");
    for path in ["/api/v1/jobs", "/sdapi/v1/options"] {
        assert_eq!(
            app.post(path, large.clone()).await.told(),
            r#"413 {"error":"HTTPException","detail":"the body is larger than 2097152 bytes","body":"","errors":""}"#,
            "{path}"
        );
    }
    let picture = json!({ "image": "A".repeat(5 << 20) });
    let told = app.post("/sdapi/v1/png-info", picture).await.told();
    assert!(told.contains("Invalid encoded image"), "{told}");
}

#[tokio::test]
async fn answers_carry_time_and_are_compressed_when_large() {
    let app = TestApp::new();
    let answer = app.get("/livez").await;
    let (whole, decimals) = answer.header("x-process-time").unwrap().split_once('.').unwrap();
    assert!(whole.parse::<u32>().is_ok() && decimals.len() == 4);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let gzip = [("accept-encoding", "gzip")];
    let large = app.send(request(Method::GET, "/openapi.json", &gzip, Body::empty())).await;
    assert_eq!(large.header("content-encoding"), Some("gzip"));
    let small = app.send(request(Method::GET, "/livez", &gzip, Body::empty())).await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn unknown_paths_and_methods_have_their_shape() {
    let app = TestApp::new();
    assert_eq!(app.get("/sdapi/v1/nothing").await.told(), r#"404 {"detail":"Not Found"}"#);
    assert_eq!(app.get("/sdapi/v1/txt2img").await.told(), r#"405 {"detail":"Method Not Allowed"}"#);
    assert_eq!(
        app.post("/sdapi/v1/samplers", json!({})).await.told(),
        r#"405 {"detail":"Method Not Allowed"}"#
    );
    assert_eq!(app.post("/nowhere", json!({})).await.json(), json!({ "detail": "Not Found" }));
}

#[tokio::test]
async fn a_subpath_is_removed() {
    let app = TestApp::with(|settings| settings.subpath = Some("studio".to_owned()));
    for path in ["/studio/internal/ping", "/internal/ping"] {
        assert_eq!(app.get(path).await.told(), "200 {}", "{path}");
    }
}

#[tokio::test]
async fn links_lead_below_the_subpath() {
    let app = TestApp::with(|settings| settings.subpath = Some("studio".to_owned()));
    let mut body = small(json!({}));
    body["kind"] = json!("txt2img");
    let id = app.submit(body).await;
    let job = app.wait_until(&id, |job| job["state"] == "done").await;
    for link in [&job["events"], &job["images"][0]["url"]] {
        let link = link.as_str().unwrap();
        assert!(link.starts_with("/studio/api/v1/jobs/"), "{link}");
        assert_eq!(app.get(link).await.status, 200, "{link}");
    }
}

#[tokio::test]
async fn unsafe_settings_are_refused() {
    let app = TestApp::new();
    let refusal = |change: fn(&mut ServeSettings)| {
        let mut settings = ServeSettings::default();
        change(&mut settings);
        App::new(app.engine.clone(), settings, OptionsFile::in_memory(Options::default())).unwrap_err()
    };
    assert!(matches!(refusal(|settings| settings.listen = true), ServerError::OpenToAll));
    let nobody = refusal(|settings| settings.api_auth = Some("ann".to_owned()));
    assert!(matches!(nobody, ServerError::BadCredentials(1)));
    let origin = refusal(|settings| settings.cors_allow_origins = Some("art.example".to_owned()));
    assert!(matches!(origin, ServerError::BadOrigin(_)));
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let app = TestApp::with(|settings| settings.api_auth = Some("ann:opensesame".to_owned()));
    let value = format!("Basic {}", encode_base64(b"ann:opensesame"));
    for (path, method) in paths() {
        if method == Method::GET {
            let answer = app.send(request(method, &path, &[("authorization", &value)], Body::empty())).await;
            assert!(!String::from_utf8_lossy(&answer.body).contains("opensesame"), "{path}");
        }
    }
    assert!(!format!("{:?}", app.get("/").await.headers).contains("opensesame"));
    let _: Value = app
        .send(request(Method::GET, "/sdapi/v1/options", &[("authorization", &value)], Body::empty()))
        .await
        .good();
}
