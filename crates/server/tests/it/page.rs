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

#[tokio::test]
async fn a_subpath_without_its_slash_leads_to_the_page() {
    let app = TestApp::with(|settings| settings.subpath = Some("/a/studio".to_owned()));
    for (path, location) in [("/a/studio", "/a/studio/"), ("/a/studio?x=1", "/a/studio/?x=1")] {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (308, Some(location)));
    }
    assert_eq!(app.get("/a/studio/").await.status, 200);
    for path in ["/a", "/a/studio2", "/a/studio/none"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    let bare = TestApp::with(|settings| {
        settings.subpath = Some("/studio".to_owned());
        settings.nowebui = true;
    });
    assert_eq!(bare.get("/studio").await.status, 404);
}
