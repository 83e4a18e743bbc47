//! The page

use crate::setup::TestApp;

#[tokio::test]
async fn the_page_or_how_to_get_it_is_served() {
    let app = TestApp::new();
    let page = app.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("Impasto"));
    for path in ["/assets/none.js", "/assets/../Cargo.toml", "/..%2f..%2fetc/passwd", "/file=/etc/passwd"] {
        assert_eq!(app.get(path).await.told(), r#"404 {"detail":"Not Found"}"#, "{path}");
    }
}

#[tokio::test]
async fn it_can_be_left_out() {
    let app = TestApp::with(|settings| settings.nowebui = true);
    assert_eq!(app.get("/").await.told(), r#"404 {"detail":"Not Found"}"#);
    assert_eq!(app.get("/docs").await.status, 200);
}
