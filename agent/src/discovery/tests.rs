pub(in crate::discovery) mod background;

use expect_test::{Expect, expect};

use super::*;

fn job() -> JobTemplate {
    JobTemplate {
        job: Arc::from("j"),
        interval: Duration::from_secs(15),
        timeout: Duration::from_millis(2500),
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: Vec::new(),
        relabelling: Relabelling::default(),
        evidence: vec![EvidenceKind::Ledger],
        settings: Arc::new(ScrapeSettings {
            honor_labels: false,
            honor_timestamps: true,
            enable_compression: true,
            protocols: Vec::new(),
            fallback_protocol: None,
            http: HttpSettings::default(),
            metric_relabelling: Relabelling::default(),
            limits: ScrapeLimits::default(),
        }),
    }
}

#[track_caller]
fn check(job: &JobTemplate, address: &str, group: &[(&str, &str)], expected: Expect) {
    let group: Labels = group.iter().copied().collect();
    let told = match job.target(&group.with("__address__", address)) {
        Ok(None) => "dropped\n".to_owned(),
        Ok(Some(target)) => format!(
            "{}\n{}\nevery {:?}, within {:?}, evidence at {:?}\n",
            target.url, target.labels, target.interval, target.timeout, target.evidence_address
        ),
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&told);
}

#[test]
fn an_address_is_enough() {
    check(
        &job(),
        "h:9100",
        &[],
        expect![[r#"
        http://h:9100/metrics
        {instance="h:9100",job="j"}
        every 15s, within 2.5s, evidence at Some("h:9100")
    "#]],
    );
    check(
        &job(),
        "h",
        &[],
        expect![[r#"
        http://h/metrics
        {instance="h:80",job="j"}
        every 15s, within 2.5s, evidence at Some("h:80")
    "#]],
    );
    check(
        &job(),
        "h",
        &[("__scheme__", "https")],
        expect![[r#"
        https://h/metrics
        {instance="h:443",job="j"}
        every 15s, within 2.5s, evidence at Some("h:443")
    "#]],
    );
    check(
        &job(),
        "[2001:db8::1]",
        &[],
        expect![[r#"
        http://[2001:db8::1]/metrics
        {instance="[2001:db8::1]:80",job="j"}
        every 15s, within 2.5s, evidence at Some("[2001:db8::1]:80")
    "#]],
    );
    check(
        &job(),
        "[2001:db8::1]:9",
        &[],
        expect![[r#"
        http://[2001:db8::1]:9/metrics
        {instance="[2001:db8::1]:9",job="j"}
        every 15s, within 2.5s, evidence at Some("[2001:db8::1]:9")
    "#]],
    );
}

#[test]
fn labels_of_the_group_go_before_the_settings_of_the_job() {
    check(
        &job(),
        "h:9100",
        &[
            ("job", "other"),
            ("instance", "one"),
            ("__metrics_path__", "/m"),
            ("__scrape_interval__", "1m"),
            ("__scrape_timeout__", "10s"),
            ("__address__", "ignored:1"),
            ("__evidence_address__", "e:9902"),
            ("__meta_x", "y"),
            ("zone", "a"),
        ],
        expect![[r#"
            http://h:9100/m
            {instance="one",job="other",zone="a"}
            every 60s, within 10s, evidence at Some("e:9902")
        "#]],
    );
    let target = job()
        .target(&Labels::from_iter([
            ("__address__", "h:1"),
            ("job", "other"),
        ]))
        .expect("a target")
        .expect("it is kept");
    assert_eq!(&*target.job, "j");
    expect![[r#"{__address__="h:1",__metrics_path__="/metrics",__scheme__="http",__scrape_interval__="15s",__scrape_timeout__="2500ms",job="other"}"#]].assert_eq(&target.discovered.to_string());
}

#[test]
fn parameters_become_the_query() {
    let mut job = job();
    job.params = vec![
        ("b".to_owned(), vec!["1".to_owned(), "2&3".to_owned()]),
        ("match[]".to_owned(), vec!["{a=\"b\"}".to_owned()]),
    ];
    check(
        &job,
        "h:1",
        &[("__param_a", "0"), ("__metrics_path__", "/a b?c")],
        expect![[r#"
        http://h:1/a%20b%3Fc?a=0&b=1&b=2%263&match%5B%5D=%7Ba%3D%22b%22%7D
        {instance="h:1",job="j"}
        every 15s, within 2.5s, evidence at Some("h:1")
    "#]],
    );
    let label = job
        .target(&Labels::empty().with("__address__", "h:1"))
        .expect("a target")
        .expect("it is kept");
    assert_eq!(label.discovered.get("__param_b"), Some("1"));
}

#[test]
fn without_evidence_there_is_no_evidence_address() {
    let mut job = job();
    job.evidence.clear();
    let group = Labels::empty().with("__evidence_address__", "e:1");
    assert_eq!(
        job.target(&group.with("__address__", "h:1"))
            .expect("a target")
            .expect("it is kept")
            .evidence_address,
        None
    );
}

#[test]
fn what_cannot_be_scraped_says_why() {
    for address in [
        "",
        "http://h:1",
        "h:1/metrics",
        "h:0",
        "h:x",
        "h:",
        ":9100",
        "::1",
        "h:70000",
        "u:p@h:1",
        "a b:1",
        "h\\:1",
        "[::1:80",
        "%zz:1",
    ] {
        assert!(
            job()
                .target(&Labels::empty().with("__address__", address))
                .is_err(),
            "{address}"
        );
    }
    check(
        &job(),
        "::1",
        &[],
        expect![[r#"
        `::1` is not host:port: an IPv6 address stands in brackets
    "#]],
    );
    check(
        &job(),
        "u@h:1",
        &[],
        expect![[r#"
        the address holds credentials, which do not belong there
    "#]],
    );
    check(
        &job(),
        "h:1",
        &[("__scheme__", "gopher")],
        expect![[r#"
        scheme `gopher` is neither http nor https
    "#]],
    );
    check(
        &job(),
        "h:1",
        &[("__scrape_interval__", "0s")],
        expect![[r#"
        label __scrape_interval__: `0s` is not a duration above zero such as 15s
    "#]],
    );
    check(
        &job(),
        "h:1",
        &[("__scrape_interval__", "1s")],
        expect![[r#"
        the scrape timeout (2.5s) is longer than the interval (1s)
    "#]],
    );
    check(
        &job(),
        "h:1",
        &[("__evidence_address__", "http://e")],
        expect![[r#"
        `http://e` is not host:port; scheme and path belong into `scheme` and `metrics_path`
    "#]],
    );
}
