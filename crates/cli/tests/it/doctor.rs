//! `doctor`.

use crate::program::Place;
use serde_json::Value;

fn state_of(findings: &Value, what: &str) -> (String, String) {
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what).unwrap();
    (finding["state"].as_str().unwrap().to_owned(), finding["found"].as_str().unwrap().to_owned())
}

#[test]
fn a_sound_setup_is_found_sound() {
    let place = Place::new();
    let findings = place.run(&["doctor", "--json", "--port=0"]).json();
    for what in ["processor", "data root", "models", "port", "password", "tls"] {
        assert_eq!(state_of(&findings, what).0, "ok", "{what}: {findings}");
    }
    assert!(state_of(&findings, "processor").1.contains("threads"));
    let text = place.run(&["doctor", "--port=0"]).ok();
    assert!(text.contains("data root"), "{text}");
}

#[test]
fn what_will_not_work_is_told_with_its_remedy() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let run = place.run(&["doctor", "--json", &port, "--tls-certfile=none.pem"]);
    assert_eq!(run.code, Some(1));
    let findings: Value = serde_json::from_str(&run.stdout).unwrap();
    for what in ["port", "tls"] {
        assert_eq!(state_of(&findings, what).0, "bad", "{what}: {findings}");
    }
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["state"] == "ok" || finding["help"].is_string())
    );
    let findings: Value =
        serde_json::from_str(&place.run(&["doctor", "--json", "--listen", "--port=0"]).stdout).unwrap();
    assert_eq!(state_of(&findings, "password").0, "bad");
}
