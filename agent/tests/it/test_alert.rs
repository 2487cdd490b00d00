//! `leak-agent test-alert` from a shell, against Alertmanagers on loopback.

use std::process::{Command, Output, Stdio};

use leak_agent::clock;

use crate::fake_alertmanager::FakeAlertmanager;

async fn test_alert(alerting: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.yml");
    let text = format!(
        "global: {{ external_labels: {{ cluster: test, replica: a }} }}\n\
         scrape_configs: [{{ job_name: a, static_configs: [{{ targets: [\"127.0.0.1:1\"] }}] }}]\n\
         alerting:\n{alerting}\n"
    );
    std::fs::write(&path, text).expect("the file is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leak-agent"));
    command
        .args(["test-alert", "--config"])
        .arg(&path)
        .args(arguments);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the agent runs");
    let output: Output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].map(|own| String::from_utf8(own).expect("UTF-8"));
    (output.status.code(), text.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alertmanager_is_tried_and_what_it_answered_is_told() {
    let well = FakeAlertmanager::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = closed.local_addr().expect("an address");
    drop(closed);
    let rules = "  alert_relabel_configs: [{ regex: replica, action: labeldrop }, { source_labels: [severity], target_label: job }]\n";
    let to = |targets: &str| {
        format!("{rules}  alertmanagers: [{{ static_configs: [{{ targets: [{targets}] }}] }}]")
    };
    let good = to(&format!("\"{}\"", well.address));
    let (code, told) = test_alert(&good, &["--severity", "page"]).await;
    assert_eq!(
        (code, &*told),
        (Some(0), &*format!("http://{}: taken\n", well.address))
    );
    let heard = well
        .last_of("critical")
        .expect("relabelled, so that its job is its severity");
    assert_eq!(heard.alertname, "LeakAgentTest");
    assert!(!heard.is_resolved() && heard.ends_at <= clock::now().seconds() + 240.0);
    let (code, _) = test_alert(&good, &["--severity", "page", "--resolve"]).await;
    assert_eq!(code, Some(0));
    assert!(well.last_of("critical").expect("again").is_resolved());

    let both = to(&format!("\"{}\", \"{nobody}\"", well.address));
    let (code, told) = test_alert(&both, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    let expected = [
        format!("http://{}: taken", well.address),
        format!("http://{nobody}: refused: no connection"),
        "not every Alertmanager took the test alert".to_owned(),
    ];
    assert!(expected.iter().all(|own| told.contains(own)), "{told}");

    let (code, told) = test_alert("  mode: rules", &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("`alerting.alertmanagers` is empty"), "{told}");
    let (code, told) = test_alert("  mode: pull", &[]).await;
    assert_eq!(code, Some(64), "{told}");
}

#[test]
fn a_shard_that_is_none_is_refused_in_words() {
    for (shard, expected) in [
        ("0/3", "shards are counted from 1"),
        ("4/3", "shards are counted from 1"),
        ("one", "is not i/n"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_leak-agent"))
            .args(["run", "--config", "none.yml", "--shard", shard])
            .output()
            .expect("the agent runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}
