//! What a job may set against its targets.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        text(
            "as many samples as the job bears",
            "go_goroutines 1\nother 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        )
        .set("sample_limit: 2"),
        text(
            "one sample more than the job bears",
            "go_goroutines 1\nother 1\nprocess_open_fds 1\n",
            expect![[r#"down: the body has more than 2 samples (sample_limit)"#]],
        )
        .set("sample_limit: 2"),
        text(
            "as many bytes as the job bears",
            "go_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        )
        .set("body_size_limit: 17B")
        .alone("Prometheus 2.42 counts one byte less"),
        text(
            "one byte more than the job bears",
            "go_goroutines 12\n",
            expect![[r#"down: the body is larger than 16 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 16B"),
        text(
            "as many labels as the job bears",
            "go_goroutines{a=\"b\"} 1\n",
            expect![[r#"up | go_goroutines{a="b"} 1"#]],
        )
        .set("label_limit: 4")
        .alone("Prometheus counts the name as a label"),
        text(
            "one label more than the job bears",
            "go_goroutines{a=\"b\",c=\"d\",e=\"f\"} 1\n",
            expect![[r#"down: series go_goroutines{a="b",c="d",e="f",instance="i",job="j"} has more labels than 4 (label_limit)"#]],
        )
        .set("label_limit: 4"),
        text(
            "a longer label name than the job bears",
            "go_goroutines{abcdefghijklm=\"b\"} 1\n",
            expect![[r#"down: series go_goroutines{abcdefghijklm="b",instance="i",job="j"} has a label name of more bytes than 12 (label_name_length_limit)"#]],
        )
        .set("label_name_length_limit: 12"),
        text(
            "a longer label value than the job bears",
            "go_goroutines{a=\"abcdefghijklmnop\"} 1\n",
            expect![[r#"down: series go_goroutines{a="abcdefghijklmnop",instance="i",job="j"} has a label value of more bytes than 15 (label_value_length_limit)"#]],
        )
        .set("label_value_length_limit: 15"),
        text(
            "a label above the limits on a series that nobody watches",
            "other{a=\"abcdefghijklmnop\"} 1\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        )
        .set("label_value_length_limit: 15"),
        text(
            "more series than the job bears",
            "go_goroutines{a=\"1\"} 1\ngo_goroutines{a=\"2\"} 1\n",
            expect![[r#"up | go_goroutines{a="1"} 1"#]],
        )
        .set("series_limit: 1")
        .alone("a key of the agent"),
        answer(
            "an unknown content type, read as the job says",
            &["content-type: x/y"],
            "go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        )
        .set("fallback_scrape_protocol: OpenMetricsText1.0.0")
        .alone("a key of a later version"),
        answer(
            "no content type, read as the job says",
            &[],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        )
        .set("fallback_scrape_protocol: PrometheusText0.0.4")
        .alone("a key of a later version"),
        text(
            "a million series",
            (0..1_000_000).fold(String::new(), |mut body, i| {
                let _ = writeln!(body, "process_open_fds{{i=\"{i}\"}} 1");
                body
            }),
            expect![[r#"down: the body has more than 100000 samples (sample_limit)"#]],
        )
        .set("sample_limit: 100000"),
    ]
}
