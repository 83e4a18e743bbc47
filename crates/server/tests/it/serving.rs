//! Real connections: the address, hanging up, slow clients, HTTPS, an orderly end.

use crate::setup::{TestApp, long, small};
use impasto_server::{ServerError, serve};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
}

async fn start(app: &TestApp) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let (bound, address) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let ended = tokio::spawn(serve(app.app.clone(), shutdown, |address| bound.send(address).unwrap()));
    Served { address: address.await.unwrap(), stop, ended }
}

async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn read(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_request_is_answered_and_the_end_is_orderly() {
    let app = TestApp::new();
    let served = start(&app).await;
    let body = small(json!({ "steps": 40 })).to_string();
    let stream = send(served.address, &post("/sdapi/v1/txt2img", &body)).await;
    while app.engine.jobs().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.send(()).unwrap();
    let answer = read(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{}", &answer[..answer.len().min(300)]);
    served.ended.await.unwrap().unwrap();
    assert!(!app.engine.is_alive());
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn jobs_that_take_too_long_are_cut_off_at_the_end() {
    let app = TestApp::with(|settings| settings.shutdown_timeout = 0);
    let served = start(&app).await;
    app.submit(long(json!({ "n_iter": 100 }))).await;
    let begun = Instant::now();
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn hanging_up_cancels() {
    let app = TestApp::new();
    let served = start(&app).await;
    let stream =
        send(served.address, &post("/sdapi/v1/txt2img", &small(json!({ "steps": 900 })).to_string())).await;
    let id = loop {
        let jobs = app.get("/api/v1/jobs").await.good();
        if let Some(id) = jobs[0]["id"].as_str() {
            break id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    drop(stream);
    app.wait_until(&id, |job| job["state"] == "cancelled").await;
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let app = TestApp::with(|settings| settings.request_timeout = 1);
    let served = start(&app).await;
    let head = send(served.address, "GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n").await;
    let body = post("/sdapi/v1/txt2img", "{\"steps\": 1}");
    let body = send(served.address, &body[..body.len() - 1]).await;
    let both = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(read(head), read(body)) });
    let (head, body) = both.await.unwrap();
    assert!(!head.contains("200 OK"), "{head}");
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn garbage_does_no_harm() {
    let app = TestApp::new();
    let served = start(&app).await;
    for text in [
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /sdapi/v1/txt2img HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ] {
        read(send(served.address, text).await).await;
    }
    let huge =
        format!("GET /{} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", "x".repeat(100_000));
    read(send(served.address, &huge).await).await;
    let fine =
        send(served.address, "GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await;
    assert!(read(fine).await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_taken_port_and_bad_certificates_are_told() {
    let app = TestApp::new();
    let served = start(&app).await;
    let port = served.address.port();
    let second = TestApp::with(|settings| settings.port = Some(port));
    let error = serve(second.app.clone(), std::future::pending(), |_| {}).await.unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }), "{error}");
    let half = TestApp::with(|settings| settings.tls_keyfile = Some("key.pem".into()));
    let error = serve(half.app.clone(), std::future::pending(), |_| {}).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"tls_keyfile is set without tls_certfile: HTTPS needs both"#);
    let none = TestApp::with(|settings| {
        settings.tls_keyfile = Some("/none/key.pem".into());
        settings.tls_certfile = Some("/none/chain.pem".into());
    });
    let error = serve(none.app.clone(), std::future::pending(), |_| {}).await.unwrap_err();
    assert!(matches!(error, ServerError::BadTls { .. }), "{error}");
}

/// A certificate for `localhost` that is its own authority, and its key. They protect nothing.
fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

#[tokio::test]
async fn https_is_spoken_with_a_certificate() {
    let app = TestApp::with(|settings| {
        settings.tls_certfile = Some(tls_file("localhost.pem"));
        settings.tls_keyfile = Some(tls_file("localhost.key.pem"));
    });
    let served = start(&app).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls_file("localhost.pem")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(served.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let head = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("ok\n"), "{text}");
    // Who speaks plain HTTP there gets nothing, and does no harm.
    read(send(served.address, head).await).await;
    served.stop.send(()).unwrap();
    served.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn clients_may_stop_the_program_where_they_are_allowed_to() {
    let closed = TestApp::new();
    for route in ["server-stop", "server-kill", "server-restart"] {
        let answer = closed.post(&format!("/sdapi/v1/{route}"), json!({})).await;
        assert_eq!(answer.told(), r#"404 {"detail":"Not Found"}"#);
    }
    let app = TestApp::with(|settings| settings.api_server_stop = true);
    assert_eq!(app.post("/sdapi/v1/server-restart", json!({})).await.status, 501);
    let served = start(&app).await;
    let answer = read(send(served.address, &post("/sdapi/v1/server-stop", "{}")).await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("Stopping."), "{answer}");
    tokio::time::timeout(Duration::from_secs(20), served.ended).await.unwrap().unwrap().unwrap();
    assert!(!app.engine.is_alive());
    drop(served.stop);
}
