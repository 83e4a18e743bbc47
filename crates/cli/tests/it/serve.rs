//! `serve`: it says where it is, answers, and ends in order when it is told to.

use crate::program::Place;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

/// A server that runs as long as it is held.
pub(crate) struct Server {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
    line: String,
}

impl Server {
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::of(place.command(&[&["serve", "--port=0"], arguments].concat()))
    }

    fn of(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("://").unwrap().1.split('/').next().unwrap().to_owned();
        Self { child, address, line }
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address)
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed must not leave it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by the system's own command.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn says_where_it_is_and_answers() {
    let server = Server::start(&Place::new(), &[]);
    assert!(server.line.starts_with("Impasto is at http://127.0.0.1:"), "{}", server.line);
    assert!(server.get("/livez", "").starts_with("HTTP/1.1 200"));
    assert!(server.get("/sdapi/v1/sd-models", "").contains("tiny.safetensors"));
}

#[test]
fn a_password_is_asked_for_everywhere() {
    let server = Server::start(&Place::new(), &["--api-auth=me:pass:word"]);
    for path in ["/", "/docs", "/openapi.json", "/sdapi/v1/options"] {
        assert!(server.get(path, "").starts_with("HTTP/1.1 401"), "{path}");
    }
    // me:pass:word
    let answer = server.get("/sdapi/v1/options", "Authorization: Basic bWU6cGFzczp3b3Jk\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[cfg(unix)]
#[test]
fn ends_in_order_when_told_to() {
    // A test run that is to outlive its terminal hands that on to what it starts.
    let hang_up_is_ignored = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1)
    });
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        if name == "HUP" && hang_up_is_ignored {
            continue;
        }
        let mut server = Server::start(&Place::new(), &[]);
        signal(server.child.id(), name);
        assert_eq!(server.child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn signals_that_mean_nothing_here_are_ignored() {
    let mut server = Server::start(&Place::new(), &[]);
    for name in
        ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XCPU", "XFSZ", "PIPE", "34", "64"]
    {
        signal(server.child.id(), name);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(server.child.try_wait().unwrap(), None, "{name}");
    }
    assert!(server.get("/livez", "").starts_with("HTTP/1.1 200"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_that_was_ignored_at_start_stays_so() {
    let place = Place::new();
    let program = place.command(&[]).get_program().to_owned();
    let mut command = std::process::Command::new("nohup");
    command.arg(program).args(["serve", "--port=0", "--data-dir=data"]).current_dir(place.path(""));
    let mut server = Server::of(command);
    signal(server.child.id(), "HUP");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(server.child.try_wait().unwrap(), None);
    assert!(server.get("/livez", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let run = Place::new().run(&["serve", &port]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("error: cannot listen at 127.0.0.1:"), "{run:?}");
    assert!(run.stderr.contains("help: --port"), "{run:?}");
}
