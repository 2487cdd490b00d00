//! Who is sent to, with which labels and which credentials.

use super::*;

fn rules(text: &str) -> Relabelling {
    let node = checked_yaml::parse(text).unwrap();
    let mut mistakes = checked_yaml::Mistakes::new();
    let rules = Relabelling::read(Some(&node), &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes}");
    rules
}

#[tokio::test]
async fn labels_are_rewritten_for_all_and_then_for_each() {
    let mut one = Peer::new(&[]).await;
    let mut two = Peer::new(&[]).await;
    let only_c = AlertmanagerSet {
        alert_relabelling: rules("[{ source_labels: [job], regex: c-all, action: keep }]"),
        ..two.config()
    };
    let alerting = Alerting {
        relabelling: rules(
            "[{ source_labels: [job], target_label: job, replacement: '$1-all' }, \
              { source_labels: [job], regex: b-all, action: drop }, \
              { source_labels: [job], regex: nothing-all, target_label: gone, replacement: 'yes' }, \
              { regex: replica, action: labeldrop }]",
        ),
        ..alerting(vec![one.config(), only_c])
    };
    let notifier = Notifier::start(&alerting, &Ledger::new(Settings::default()));
    let of_pair = OutgoingAlert {
        labels: alert("a").labels.with("replica", "1"),
        ..alert("a")
    };
    notifier.send(&[of_pair, alert("b"), alert("c")]);
    let (_, alerts) = clock::timeout(PATIENCE, one.received.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        alerts.iter().map(|own| &own["labels"]).collect::<Vec<_>>(),
        [
            &json!({"alertname": "ResourceLeak", "job": "a-all"}),
            &json!({"alertname": "ResourceLeak", "job": "c-all"}),
        ]
    );
    assert_eq!(two.jobs().await, ["c-all"]);
}

#[tokio::test]
async fn an_alert_without_a_label_left_is_not_sent() {
    let mut peer = Peer::new(&[]).await;
    let alerting = Alerting {
        relabelling: rules("[{ regex: 'alertname|job', action: labeldrop }]"),
        ..alerting(vec![peer.config()])
    };
    let notifier = Notifier::start(&alerting, &Ledger::new(Settings::default()));
    let other = OutgoingAlert {
        labels: alert("a").labels.with("severity", "page"),
        ..alert("a")
    };
    notifier.send(&[alert("a"), other]);
    let (_, alerts) = clock::timeout(PATIENCE, peer.received.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["labels"], json!({"severity": "page"}));
}

/// As it is now: what is over for long is not sent to anybody.
fn current(job: &str) -> OutgoingAlert {
    let now = clock::now();
    OutgoingAlert {
        starts_at: now,
        ends_at: now + Duration::from_secs(240),
        ..alert(job)
    }
}

#[tokio::test]
async fn another_configuration_keeps_who_is_there_and_tells_who_is_new() {
    let mut stays = Peer::new(&[]).await;
    let mut comes = Peer::new(&[]).await;
    let notifier = start(&[&stays]);
    let over = OutgoingAlert {
        ends_at: Timestamp::from_millis(1_700_000_000_000),
        resolved: true,
        ..alert("long-over")
    };
    notifier.send(&[current("a"), over]);
    assert_eq!(stays.jobs().await, ["a", "long-over"]);
    until(&notifier, 0, "ok", 2).await;
    notifier.replace(&alerting(vec![comes.config(), stays.config()]));
    assert_eq!(comes.jobs().await, ["a"], "what it has missed");
    until(&notifier, 1, "ok", 2).await;
    notifier.replace(&alerting(vec![comes.config()]));
    assert_eq!(notifier.deliveries().len(), 1);
    notifier.send(&[current("b")]);
    assert_eq!(comes.jobs().await, ["b"]);
}

#[tokio::test]
async fn who_is_discovered_late_is_told_what_was_missed() {
    let mut peer = Peer::new(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alertmanagers.json");
    std::fs::write(&file, "[]").unwrap();
    let yaml = format!("file_sd_configs: [{{ files: [{file:?}], refresh_interval: 1s }}]");
    let node = checked_yaml::parse(&yaml).unwrap();
    let mut mistakes = checked_yaml::Mistakes::new();
    let mut fields = node.fields(&mut mistakes);
    let reader = crate::discovery::ProviderReader {
        directory: directory.path(),
    };
    let discovered = AlertmanagerSet {
        groups: Vec::new(),
        providers: reader.read(&mut fields, &mut mistakes),
        ..peer.config()
    };
    assert!(mistakes.is_empty(), "{mistakes}");
    let notifier = notifier(vec![discovered]);
    notifier.send(&[current("a")]);
    assert!(notifier.deliveries().is_empty());
    let groups = format!("[{{\"targets\": [\"{}\"]}}]", peer.address);
    std::fs::write(&file, groups).unwrap();
    assert_eq!(peer.jobs().await, ["a"]);
    until(&notifier, 0, "ok", 1).await;
}

#[tokio::test]
async fn credentials_go_with_every_request() {
    let mut peer = Peer::new(&[]).await;
    let yaml = "basic_auth: { username: agent, password: hunter2 }";
    let node = checked_yaml::parse(yaml).unwrap();
    let mut mistakes = checked_yaml::Mistakes::new();
    let mut fields = node.fields(&mut mistakes);
    let http = HttpSettings::read(&mut fields, std::path::Path::new(""), &mut mistakes);
    let notifier = notifier(vec![AlertmanagerSet {
        http,
        ..peer.config()
    }]);
    notifier.send(&[alert("a")]);
    let (head, _) = clock::timeout(PATIENCE, peer.received.recv())
        .await
        .unwrap()
        .unwrap();
    let expected = "authorization: basic ywdlbnq6ahvudgvymg==";
    assert!(head.to_ascii_lowercase().contains(expected), "{head}");
}
