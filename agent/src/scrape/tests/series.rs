use expect_test::{Expect, expect};

use super::server::{Server, TEXT, response};
use super::*;

async fn check(settings: &str, body: &str, expected: Expect) {
    let server = Server::start(vec![response(&[TEXT], body)]).await;
    let scrape = scrape_once(&target(&server.address, settings)).await;
    expected.assert_eq(&told(&scrape));
}

#[tokio::test]
async fn only_what_the_catalogue_knows_is_kept() {
    let body = "up 0\nfoo 1\nprocess_open_fds 3\nresource_ledger_open{resource=\"request\"} 1\n\
                resource_ledger_open{resource=\"connection_task\"} 9\nscrape_duration_seconds 77\n";
    check(
        "",
        body,
        expect![[r#"
        process_open_fds{instance="i",job="j"} 3
        resource_ledger_open{instance="i",job="j",resource="request"} 1
    "#]],
    )
    .await;
}

#[tokio::test]
async fn health_is_not_what_the_body_says() {
    let server = Server::start(vec![response(&[TEXT], "up 0\n")]).await;
    let scrape = scrape_once(&target(&server.address, "")).await;
    assert_eq!(scrape.result, Ok(Vec::new()));
    assert_eq!(scrape.notes.samples, 1);
}

#[tokio::test]
async fn labels_of_the_target_win_unless_honoured() {
    let body = "go_goroutines{job=\"mine\",exported_job=\"old\",a=\"b\"} 1\ngo_goroutines{instance=\"\"} 2\n";
    check(
        "",
        body,
        expect![[r#"
        go_goroutines{a="b",exported_exported_job="mine",exported_job="old",instance="i",job="j"} 1
        go_goroutines{instance="i",job="j"} 2
    "#]],
    )
    .await;
    check(
        "honor_labels: true",
        body,
        expect![[r#"
        go_goroutines{a="b",exported_job="old",instance="i",job="mine"} 1
        go_goroutines{job="j"} 2
    "#]],
    )
    .await;
}

#[tokio::test]
async fn times_count_unless_told_otherwise() {
    check(
        "",
        "go_goroutines 1 5000\n",
        expect![[r#"
        go_goroutines{instance="i",job="j"} 1 @5000
    "#]],
    )
    .await;
    check(
        "honor_timestamps: false",
        "go_goroutines 1 5000\n",
        expect![[r#"
        go_goroutines{instance="i",job="j"} 1
    "#]],
    )
    .await;
}

#[tokio::test]
async fn the_first_of_two_wins() {
    let body = "go_goroutines{a=\"1\",b=\"2\"} 1\ngo_goroutines{a=\"1\",b=\"2\"} 2\n\
                go_goroutines{b=\"2\", a=\"1\"} 3\ngo_goroutines{a=\"1\",b=\"2\",c=\"\"} 4\n";
    let server = Server::start(vec![response(&[TEXT], body)]).await;
    let scrape = scrape_once(&target(&server.address, "")).await;
    expect![[r#"
        go_goroutines{a="1",b="2",instance="i",job="j"} 1
    "#]]
    .assert_eq(&told(&scrape));
    assert_eq!(scrape.notes.duplicates, 3);
    assert_eq!(scrape.notes.samples, 4);
}

#[tokio::test]
async fn limits_say_which_and_where() {
    let body = "ignored{a=\"1\",b=\"2\",c=\"3\",d=\"4444444444\"} 1\ngo_goroutines{a=\"1\",b=\"22222222\"} 1\n";
    check(
        "sample_limit: 1",
        body,
        expect![[r#"
        error: the body has more than 1 samples (sample_limit)
    "#]],
    )
    .await;
    check("label_limit: 3", body, expect![[r#"
        error: series go_goroutines{a="1",b="22222222",instance="i",job="j"} has more labels than 3 (label_limit)
    "#]]).await;
    check(
        "label_limit: 4",
        body,
        expect![[r#"
        go_goroutines{a="1",b="22222222",instance="i",job="j"} 1
    "#]],
    )
    .await;
    check("label_name_length_limit: 7", body, expect![[r#"
        error: series go_goroutines{a="1",b="22222222",instance="i",job="j"} has a label name of more bytes than 7 (label_name_length_limit)
    "#]]).await;
    check("label_value_length_limit: 7", body, expect![[r#"
        error: series go_goroutines{a="1",b="22222222",instance="i",job="j"} has a label value of more bytes than 7 (label_value_length_limit)
    "#]]).await;
    check(
        "body_size_limit: 10B",
        body,
        expect![[r#"
        error: the body is larger than 10 bytes (body_size_limit)
    "#]],
    )
    .await;
}

#[tokio::test]
async fn series_above_the_limit_are_dropped_and_counted() {
    let body: String = (0..10)
        .map(|i| format!("go_goroutines{{i=\"{i}\"}} {i}\n"))
        .collect();
    let server = Server::start(vec![response(&[TEXT], body)]).await;
    let scrape = scrape_once(&target(&server.address, "series_limit: 2")).await;
    expect![[r#"
        go_goroutines{i="0",instance="i",job="j"} 0
        go_goroutines{i="1",instance="i",job="j"} 1
    "#]]
    .assert_eq(&told(&scrape));
    assert_eq!(scrape.notes.above_series_limit, 8);
}

#[tokio::test]
async fn what_is_known_is_what_the_last_whole_body_had() {
    let server = Server::start(vec![response(
        &[TEXT],
        "go_goroutines{a=\"1\"} 1\nprocess_open_fds 2\n",
    )])
    .await;
    let broken = Server::start(vec![response(
        &[TEXT],
        "go_goroutines{a=\"2\"} 1\nnonsense\n",
    )])
    .await;
    let other = Server::start(vec![response(&[TEXT], "process_open_fds 3\n")]).await;
    let whole = target(&server.address, "");
    let client = HttpClient::new(whole.settings.http.clone(), 1);
    let mut watched = watched(&whole);
    for (address, known) in [(&server, 2), (&broken, 2), (&server, 2), (&other, 1)] {
        scrape(&client, &target(&address.address, ""), &mut watched).await;
        assert_eq!(watched.known.len(), known);
    }
}

#[tokio::test]
async fn what_nobody_watches_is_counted_at_every_scrape_and_held_to_the_limit() {
    let body =
        "a{x=\"1\"} 1\ngo_goroutines{a=\"1\"} 1\nb 2\nprocess_open_fds{a=\"1\"} 2\nc 3 # no\n";
    let good = Server::start(vec![response(&[TEXT], body.replace(" # no", ""))]).await;
    let bad = Server::start(vec![response(&[TEXT], body)]).await;
    let whole = target(&good.address, "");
    let client = HttpClient::new(whole.settings.http.clone(), 1);
    let mut watched = watched(&whole);
    for (server, settings, expected) in [
        (&good, "", Ok(5)),
        (&good, "", Ok(5)),
        (
            &good,
            "sample_limit: 4",
            Err("the body has more than 4 samples (sample_limit)"),
        ),
        (
            &bad,
            "",
            Err("line 5: expected a time stamp or the end of the line at `# no`"),
        ),
        (&good, "", Ok(5)),
    ] {
        let scrape = scrape(&client, &target(&server.address, settings), &mut watched).await;
        let told = scrape.result.map(|samples| {
            assert_eq!(samples.len(), 2);
            scrape.notes.samples
        });
        let told = told.map_err(|error| error.to_string());
        assert_eq!(told, expected.map_err(str::to_owned));
    }
}

#[tokio::test]
async fn series_share_the_texts_of_their_labels_and_leave_none_behind() {
    let body = |from: u32| -> String {
        (from..from + 100)
            .map(|number| format!("go_goroutines{{shard=\"{number}\",zone=\"here\"}} 1\n"))
            .collect()
    };
    let bodies = [body(0), body(1000), body(2000)].map(|body| response(&[TEXT], body));
    let server = Server::start(bodies.to_vec()).await;
    let target = target(&server.address, "");
    let client = HttpClient::new(target.settings.http.clone(), 1);
    let mut watched = watched(&target);
    for _ in 0..3 {
        let scrape = scrape(&client, &target, &mut watched).await;
        let samples = scrape.result.expect("samples");
        let zone = |sample: &Sample| {
            let pairs = sample.labels.pairs().iter();
            pairs
                .filter(|(name, _)| **name == *"zone")
                .map(|(_, value)| Arc::clone(value))
                .next()
        };
        let (first, last) = (zone(&samples[0]).unwrap(), zone(&samples[99]).unwrap());
        assert!(Arc::ptr_eq(&first, &last));
        assert!(watched.texts.len() <= 210, "{}", watched.texts.len());
    }
}

#[tokio::test]
async fn samples_are_relabelled_before_they_are_watched() {
    let body =
        "process_open_fds 3\ngo_goroutines{a=\"x\"} 1\nlegacy_threads{pool=\"p\"} 7\nother 1\n";
    let rules = "metric_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}, \
                 {source_labels: [__name__], regex: legacy_threads, target_label: __name__, replacement: go_goroutines}, \
                 {source_labels: [pool], target_label: kind}, {regex: pool, action: labeldrop}, {target_label: __tmp, replacement: x}]";
    check(
        rules,
        body,
        expect![[r#"
            process_open_fds{instance="i",job="j"} 3
            go_goroutines{instance="i",job="j",kind="p"} 7
        "#]],
    )
    .await;
    // Two that become one: the first wins.
    check(
        "metric_relabel_configs: [{regex: a, action: labeldrop}]",
        "go_goroutines{a=\"1\"} 1\ngo_goroutines{a=\"2\"} 2\n",
        expect![[r#"
            go_goroutines{instance="i",job="j"} 1
        "#]],
    )
    .await;
}
