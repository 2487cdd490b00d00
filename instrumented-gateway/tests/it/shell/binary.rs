//! The binary: its command line, its exit status, its signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::support::text;
use crate::support::{Client, Upstream, get};

const BINARY: &str = env!("CARGO_BIN_EXE_instrumented-gateway");

/// A configuration file in a directory that goes away.
pub(crate) struct File {
    _directory: TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn file(content: &str) -> File {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.yml");
    std::fs::write(&path, content).expect("written");
    File {
        _directory: directory,
        path,
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the binary runs")
}

/// A gateway as a process of its own, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    pub(crate) listen: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Process {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self {
            child,
            log: None,
            listen: nowhere,
            metrics: nowhere,
        };
        let log = process.child.stderr.take().expect("piped");
        let log = process.log.insert(BufReader::new(log));
        let mut said = String::new();
        while !said.contains("gateway started") {
            let read = log.read_line(&mut said).expect("a line");
            assert!(read > 0, "it ended before it started: {said}");
        }
        let address = |name: &str| {
            let rest = said.split(&format!("{name}=")).nth(1)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        process.listen = address("listen").expect("an address");
        process.metrics = address("metrics").expect("an address");
        process
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end: exit status, and what it logged since it started.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let rest = self.log.as_mut().expect("it has started");
        rest.read_to_string(&mut log).expect("text");
        let status = self.child.wait().expect("an end");
        (status.code(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn check(output: &Output, path: Option<&str>, status: i32, expected: Expect) {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said += &String::from_utf8_lossy(&output.stderr);
    if let Some(path) = path {
        said = said.replace(path, "FILE");
    }
    expected.assert_eq(&said);
    assert_eq!(output.status.code(), Some(status));
}

const WRONG: &str = "listen: 127.0.0.1:0\nupstreams:\n  - { name: a, endpoints: [\"http://h:1\"], max_idel: 3 }\nroutes:\n  - { path: /a, proxy: b }\n  - { path: /a }\n";

#[test]
fn check_reports_every_mistake_and_exits_64() {
    let file = file(WRONG);
    let path = file.path.to_str().expect("text");
    check(
        &run(&["check", "--config", path]),
        Some(path),
        64,
        expect![[r#"
            instrumented-gateway: FILE: 4 mistakes
            line 3: upstreams[0].max_idel: unknown key; did you mean `max_idle`?
            line 5: routes[0].proxy: no upstream is named `b`; configured: a
            line 6: routes[1]: needs `proxy` or `fan_out`
            line 6: routes[1].path: `/a` matches the same paths as `/a` in line 5
        "#]],
    );
    check(
        &run(&["--config", path]),
        Some(path),
        64,
        expect![[r#"
        instrumented-gateway: FILE: 4 mistakes
        line 3: upstreams[0].max_idel: unknown key; did you mean `max_idle`?
        line 5: routes[0].proxy: no upstream is named `b`; configured: a
        line 6: routes[1]: needs `proxy` or `fan_out`
        line 6: routes[1].path: `/a` matches the same paths as `/a` in line 5
    "#]],
    );
}

#[test]
fn a_good_configuration_has_no_mistakes() {
    for file in [
        concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.example.yml"),
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/packaging/kubernetes/gateway.yml"
        ),
    ] {
        check(
            &run(&["check", "--config", file]),
            Some(file),
            0,
            expect![[r#"
            FILE: no mistakes
        "#]],
        );
    }
}

#[test]
fn the_command_line_explains_itself() {
    check(
        &run(&["-V"]),
        None,
        0,
        expect![[r#"
        instrumented-gateway 0.1.0
    "#]],
    );
    check(
        &run(&[]),
        None,
        64,
        expect![[r#"
        error: the following required arguments were not provided:
          --config <FILE>

        Usage: instrumented-gateway --config <FILE>

        For more information, try '--help'.
    "#]],
    );
    check(
        &run(&["--config", "/nonexistent/g.yml"]),
        None,
        64,
        expect![[r#"
            instrumented-gateway: /nonexistent/g.yml: cannot be read: No such file or directory (os error 2)
        "#]],
    );
    check(
        &run(&["--config", "x", "--drill", "flood"]),
        None,
        64,
        expect![[r#"
            error: invalid value 'flood' for '--drill <NAME[:SHARE]>': no drill is called `flood`; there are client-per-request, no-deadline, unclosed-bodies, undrained-bodies, detached-tasks, slow-drip

            For more information, try '--help'.
        "#]],
    );
    check(
        &run(&["--config", "x", "--drill", "slow-drip:7"]),
        None,
        64,
        expect![[r#"
            error: invalid value 'slow-drip:7' for '--drill <NAME[:SHARE]>': `7` is no share: a number from 0 to 1, such as 0.1

            For more information, try '--help'.
        "#]],
    );
    let help = run(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["check", "--config <FILE>", "--drill <NAME[:SHARE]>", "64"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let file = file(&format!(
        "listen: {address}\nmetrics: 127.0.0.1:0\nupstreams: [{{ name: a, endpoints: [\"http://h:1\"] }}]\nroutes: [{{ path: /, proxy: a }}]\n"
    ));
    let output = run(&["--config", file.path.to_str().expect("text")]);
    let said = String::from_utf8_lossy(&output.stderr).replace(&address.to_string(), "ADDRESS");
    expect![[r#"
        instrumented-gateway: the gateway did not start: `listen` cannot listen on ADDRESS: Address already in use (os error 98)
    "#]].assert_eq(&said);
    assert_eq!(output.status.code(), Some(1));
}

const CONFIG: &str = r#"
shutdown_timeout: 500ms
upstreams: [{ name: one, endpoints: ["{0}"] }]
routes: [{ path: /*, proxy: one }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_gracefully_and_say_what_was_cut() {
    let upstream = Upstream::hanging().await;
    let file = file(&text(CONFIG, &[upstream.address]));
    for signal in ["TERM", "INT"] {
        let process = Process::start(Command::new(BINARY).arg("--config").arg(&file.path));
        let mut client = Client::asking(process.listen, "/x").await;
        let reached = || upstream.accepted() > upstream.closed();
        crate::support::eventually("the request is under way", reached).await;
        assert_eq!(get(process.metrics, "/ready").await.status, 200);
        process.signal(signal);
        assert_eq!(client.exactly(1).await, (Vec::new(), false));
        let (status, log) = process.end();
        assert_eq!(status, Some(0), "{log}");
        for said in [
            "gateway draining requests=1",
            "cut at the shutdown deadline resource=\"request\" route=\"/*\" open=1",
            "cut at the shutdown deadline resource=\"pool_connection\" upstream=\"one\" open=1",
            "request cut at the shutdown deadline request_id=",
            "holds=\"pool_connection (in_use, one)\"",
            "gateway stopped cut=1",
        ] {
            assert!(log.contains(said), "{said} is not in {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_of_the_command_line_are_on_and_logged() {
    let upstream = Upstream::hanging().await;
    let file = file(&text(CONFIG, &[upstream.address]));
    let drills = ["--drill", "slow-drip:0.5", "--drill", "no-deadline"];
    let process = Process::start(
        Command::new(BINARY)
            .arg("--config")
            .arg(&file.path)
            .args(drills),
    );
    let active = async {
        loop {
            let answer = get(process.metrics, "/metrics").await;
            let on = |drill: &str| {
                answer
                    .text()
                    .contains(&format!("gateway_drill_active{{drill=\"{drill}\"}} 1"))
            };
            if on("slow-drip") && on("no-deadline") {
                assert!(!on("unclosed-bodies"));
                return;
            }
        }
    };
    crate::support::soon("both drills are on", active).await;
    process.signal("TERM");
    let (_, log) = process.end();
    assert!(
        log.contains("WARN") && log.contains("drill started"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reloads_and_a_bad_file_is_told_line_by_line() {
    let upstream = Upstream::answering(|_| crate::support::response(200, "answered")).await;
    let file = file(&text(CONFIG, &[upstream.address]));
    let process = Process::start(Command::new(BINARY).arg("--config").arg(&file.path));
    let last = |expected: &'static str| async move {
        loop {
            let answer = get(process.metrics, "/metrics").await;
            let series = "gateway_config_last_reload_successful";
            if answer.text().contains(&format!("\n{series} {expected}\n")) {
                return;
            }
        }
    };
    let bad = text(CONFIG, &[upstream.address]).replace("proxy: one", "proxy: two, deadlin: 1s");
    std::fs::write(&file.path, bad).expect("written");
    process.signal("HUP");
    crate::support::soon("the bad file is refused", last("0")).await;
    assert_eq!(get(process.listen, "/x").await.text(), "answered");
    let good = text(CONFIG, &[upstream.address]).replace("/*", "/y");
    std::fs::write(&file.path, good).expect("written");
    process.signal("HUP");
    crate::support::soon("the good file is in force", last("1")).await;
    assert_eq!(get(process.listen, "/x").await.status, 404);
    assert_eq!(get(process.listen, "/y").await.text(), "answered");
    process.signal("TERM");
    let (status, log) = process.end();
    assert_eq!(status, Some(0), "{log}");
    for said in [
        "routes[0].proxy: no upstream is named `two`; configured: one",
        "routes[0].deadlin: unknown key; did you mean `deadline`?",
        "the new configuration is refused, the one in force stays",
        "configuration reloaded",
        "upstreams_kept=1 upstreams_new=0 upstreams_retired=0",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
}
