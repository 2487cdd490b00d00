//! The demo as a process: what it explains, and that nothing of it outlives it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::target::PATIENCE;

/// Cargo builds examples with the tests, and tells nobody where.
fn demo() -> Command {
    let tests = std::env::current_exe().expect("the test's own path");
    let built = tests
        .ancestors()
        .nth(2)
        .map(|target| target.join("examples/demo"))
        .unwrap_or_default();
    assert!(
        PathBuf::from(&built).exists(),
        "{} is missing: cargo build -p leak-agent --example demo",
        built.display()
    );
    Command::new(built)
}

/// The demo in its healthy part, and the address of its gateway.
fn started() -> (Child, String) {
    let mut process = demo()
        .args(["--healthy", "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo runs");
    let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let gateway = lines.map_while(Result::ok).find_map(|line| {
        let rest = line.strip_prefix("gateway    http://")?;
        rest.split_once('/').map(|(address, _)| address.to_owned())
    });
    (process, gateway.expect("the demo names its gateway"))
}

#[track_caller]
fn gone(address: &str, what: &str) {
    let since = leak_agent::clock::instant();
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(
            since.elapsed() < PATIENCE,
            "the gateway outlives the demo after {what}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    let help = demo().arg("--help").output().expect("the demo runs");
    let text = String::from_utf8_lossy(&help.stdout);
    for expected in [
        "--drill",
        "--alertmanager",
        "--keep",
        "detached-tasks",
        "timeout_without_cancellation",
        "exits 0 only if",
    ] {
        assert!(text.contains(expected), "{expected} is missing from {text}");
    }
    for nonsense in [
        &["--drill", "flood"][..],
        &["--alertmanager", "127.0.0.1:9093"],
        &["--rate", "0"],
        &["as-agent"],
    ] {
        let output = demo().args(nonsense).output().expect("the demo runs");
        assert!(
            !output.status.success() && !output.stderr.is_empty(),
            "{nonsense:?}"
        );
    }
}

#[test]
fn nothing_of_it_outlives_it() {
    for signal in ["-KILL", "-INT", "-TERM"] {
        let (mut process, gateway) = started();
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
        let code = process.wait().expect("it ends").code();
        assert_eq!(
            code,
            if signal == "-KILL" { None } else { Some(130) },
            "{signal}"
        );
        gone(&gateway, signal);
    }
}
