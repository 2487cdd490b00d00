//! The binary from a shell: help, version, mistakes, signals.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_leak-agent"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the agent runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn written(directory: &Path, configuration: &str) -> String {
    let path = directory.join("agent.yml");
    std::fs::write(&path, configuration).expect("the file is written");
    path.display().to_string()
}

/// Three mistakes on three lines.
const MISTAKEN: &str = "global: { scrape_interval: soon }
scrape_configs:
  - job_name: a
    static_configs: [{ targets: [\"127.0.0.1:1\"] }]
    consul_sd_configs: []
web: { listen: nowhere }
";

#[test]
fn help_and_version_say_what_it_is() {
    let help = agent(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for expected in [
        "run",
        "check",
        "pages when something they hold grows without bound",
    ] {
        assert!(
            text(&help.stdout).contains(expected),
            "{}",
            text(&help.stdout)
        );
    }
    let version = agent(&["--version"]);
    let told = text(&version.stdout);
    let first = format!("leak-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert!(
        told.starts_with(&first) && told.contains("\nrevision: ") && told.contains("\nbuild: "),
        "{told}"
    );
    assert_eq!(text(&agent(&["-V"]).stdout), first);
    assert_eq!(
        agent(&["run"]).status.code(),
        Some(64),
        "the configuration is required"
    );
    assert_eq!(
        agent(&["walk"]).status.code(),
        Some(64),
        "there is no such thing to do"
    );
}

#[test]
fn every_mistake_is_told_at_once_and_nothing_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), MISTAKEN);
    for command in ["check", "run"] {
        let output = agent(&[command, "--config", &path]);
        assert_eq!(output.status.code(), Some(64), "{command}");
        let told = text(&output.stderr);
        for expected in [
            "line 1: global.scrape_interval",
            "line 5: scrape_configs[0].consul_sd_configs",
            "line 6: web.listen",
        ] {
            assert!(
                told.contains(expected),
                "{expected:?} is missing from {told}"
            );
        }
        assert!(!told.contains("watches"), "{told}");
    }
}

#[test]
fn a_configuration_in_order_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(
        directory.path(),
        "scrape_configs: [{job_name: a, static_configs: [{targets: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}]}]",
    );
    let output = agent(&["check", "--config", &path]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), format!("{path}: no mistakes\n"))
    );
    let missing = agent(&["check", "--config", "/nowhere/agent.yml"]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(
        text(&missing.stderr).contains("/nowhere/agent.yml cannot be read: No such file"),
        "{}",
        text(&missing.stderr)
    );
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["-TERM", "-INT"] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let configuration = format!(
            "scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"127.0.0.1:1\"]}}]}}]\nstorage: {{path: {state:?}}}\nweb: {{listen: \"127.0.0.1:0\"}}"
        );
        let path = written(directory.path(), &configuration);
        let mut process = Command::new(env!("CARGO_BIN_EXE_leak-agent"))
            .args(["run", "--config", &path])
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent runs");
        let mut log = std::io::BufReader::new(process.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("the agent watches") {
            line.clear();
            assert!(
                std::io::BufRead::read_line(&mut log, &mut line).expect("a log") > 0,
                "it ended before it began"
            );
        }
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
        assert_eq!(process.wait().expect("it ends").code(), Some(0), "{signal}");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut log, &mut rest).expect("a log");
        assert!(rest.contains("the agent has ended"), "{rest}");
    }
}

#[test]
fn an_audit_tells_what_is_wrong_with_its_command_line_and_its_store() {
    let rows: [(&[&str], i32, &str); 6] = [
        (&[], 64, "--prometheus <URL>"),
        (
            &["--prometheus", "ftp://me:secret@store/"],
            64,
            "begins with neither http:// nor https://",
        ),
        (
            &["--prometheus", "http://store/", "--from", "yesterday"],
            64,
            "neither RFC 3339",
        ),
        (
            &["--prometheus", "http://store/", "--from", "now"],
            64,
            "is not before --to",
        ),
        (
            &["--prometheus", "http://store/", "--step", "0s"],
            64,
            "not a duration of a second or more",
        ),
        (
            &[
                "--prometheus",
                "http://store/",
                "--config",
                "/nowhere/agent.yml",
            ],
            64,
            "/nowhere/agent.yml cannot be read",
        ),
    ];
    for (arguments, code, expected) in rows {
        let output = agent(&[&["audit"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(
            told.contains(expected),
            "{expected:?} is missing from {told}"
        );
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn a_replay_tells_what_is_wrong_with_its_store_as_an_audit_does() {
    for (arguments, expected) in [
        (
            &["--prometheus", "ftp://store/", "--from", "-1d"][..],
            "begins with neither http:// nor https://",
        ),
        (
            &["--prometheus", "http://store/", "--from", "now"],
            "is not before --to",
        ),
    ] {
        let output = agent(&[&["replay"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains(expected),
            "{expected:?} is missing from {told}"
        );
    }
}

#[test]
fn the_packaged_configuration_has_no_mistakes() {
    let packaged = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/kubernetes/agent.yml"
    );
    let checked = agent(&["check", "--config", packaged]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}
