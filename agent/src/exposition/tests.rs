mod laws;

use expect_test::{Expect, expect};

use super::*;

/// What a body says: a line for each sample, then the error if there is one.
fn read(format: Format, body: &[u8]) -> String {
    read_in_chunks(format, body.chunks(body.len().max(1)))
}

fn read_in_chunks<'b>(format: Format, chunks: impl Iterator<Item = &'b [u8]>) -> String {
    let mut out = String::new();
    let mut sink = |sample: RawSample<'_>| {
        let mut labels = String::new();
        for (name, value) in sample.labels() {
            labels.push_str(&format!(" {name}={value:?}"));
        }
        let at = sample
            .at
            .map_or(String::new(), |at| format!(" @{}", at.millis()));
        out.push_str(&format!(
            "{}{labels} = {}{at}\n",
            sample.name(),
            sample.value
        ));
        Ok::<(), ParseError>(())
    };
    let mut parser = Parser::new(format);
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| parser.feed(chunk, &mut sink));
    }
    if let Err(error) = result.and_then(|()| parser.finish(&mut sink)) {
        out.push_str(&format!("error: {error}\n"));
    }
    out
}

#[track_caller]
fn text(body: &str, expected: Expect) {
    expected.assert_eq(&read(Format::Text, body.as_bytes()));
}

#[track_caller]
fn open_metrics(body: &str, expected: Expect) {
    expected.assert_eq(&read(Format::OpenMetrics, body.as_bytes()));
}

#[test]
fn the_formats_own_example_is_read() {
    text(
        r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
"#,
        expect![[r#"
            http_requests_total method="post" code="200" = 1027 @1395066363000
            http_requests_total method="post" code="400" = 3 @1395066363000
            msdos_file_access_time_seconds path="C:\\DIR\\FILE.TXT" error="Cannot find file:\n\"FILE.TXT\"" = 1458255915
            metric_without_timestamp_and_labels = 12.47
            something_weird problem="division by zero" = inf @-3982045
            http_request_duration_seconds_bucket le="0.05" = 24054
            http_request_duration_seconds_bucket le="+Inf" = 144320
            http_request_duration_seconds_sum = 53423
        "#]],
    );
}

#[test]
fn label_values_may_hold_anything() {
    text(
        "a{q=\"select a, b from {t} where x = '}' # no\",p=\"/h/{id}\"} 1 5\na{x=\"\\q\\\\n\\t\\\"\"} 2\na{x=\"ü→😀\"} 3\na{x=\"\"} 4\n",
        expect![[r#"
            a q="select a, b from {t} where x = '}' # no" p="/h/{id}" = 1 @5
            a x="\\q\\n\\t\"" = 2
            a x="ü→😀" = 3
            a x="" = 4
        "#]],
    );
}

#[test]
fn what_differs_in_the_field_is_read() {
    text(
        "\u{feff}# HELP a b\r\na 1\r\n\r\n  \t\r\nb{} 2\r\n\tc { x = \"y\" , } 3\t4 \r\nd{x=\"y\"}5\ne 6\n#\n# EOF\nf 7",
        expect![[r#"
            a = 1
            b = 2
            c x="y" = 3 @4
            d x="y" = 5
            e = 6
            f = 7
        "#]],
    );
}

#[test]
fn quoted_names_are_read() {
    text(
        "{\"my.metric\"} 1\n{\"my metric\", \"label.x\"=\"v\", b=\"c\"} 2\nplain{\"a\\\"b\"=\"c\"} 3\n",
        expect![[r#"
            my.metric = 1
            my metric label.x="v" b="c" = 2
            plain a"b="c" = 3
        "#]],
    );
    text(
        "a 1\n{b=\"c\",\"name\"} 1\n",
        expect![[r#"
        a = 1
        error: line 2: expected `=` after the label name at `} 1`
    "#]],
    );
    text(
        "a 1\na{\"b\"} 1\n",
        expect![[r#"
        a = 1
        error: line 2: expected `=` after the label name at `} 1`
    "#]],
    );
    text(
        "a 1\n{\"\"} 1\n",
        expect![[r#"
        a = 1
        error: line 2: a name is empty at `""} 1`
    "#]],
    );
    text(
        "a 1\na{\"\"=\"x\"} 1\n",
        expect![[r#"
        a = 1
        error: line 2: a name is empty at `""="x"} 1`
    "#]],
    );
}

#[test]
fn open_metrics_is_read() {
    open_metrics(
        "# TYPE a counter\n# UNIT a seconds\na_total{x=\"y\"} 1.5 1520879607.789\na_total 17 1520879607 # {trace_id=\"KOO5S4vxi0o,}\"} 0.67 1520879607.1\na_bucket{le=\"1\"} 2 # {} 0.5\na_created 1.5e9\n# EOF\n",
        expect![[r#"
            a_total x="y" = 1.5 @1520879607789
            a_total = 17 @1520879607000
            a_bucket le="1" = 2
            a_created = 1500000000
        "#]],
    );
    open_metrics("# EOF", expect![""]);
    open_metrics(
        "a 1\r\n# EOF\r\n\n",
        expect![[r#"
        a = 1
    "#]],
    );
}

#[test]
fn open_metrics_without_its_end_is_cut_off() {
    open_metrics(
        "",
        expect![[r#"
        error: line 1: the body ends without `# EOF`: it was cut off
    "#]],
    );
    open_metrics(
        "a 1\na 2\n",
        expect![[r#"
        a = 1
        a = 2
        error: line 2: the body ends without `# EOF`: it was cut off
    "#]],
    );
    open_metrics(
        "a 1\n# EO",
        expect![[r#"
        a = 1
        error: line 2: the body ends without `# EOF`: it was cut off
    "#]],
    );
    open_metrics(
        "# EOF\na 1\n",
        expect![[r#"
        error: line 2: there is text after `# EOF` at `a 1`
    "#]],
    );
}

#[test]
fn exemplars_that_are_none_are_refused() {
    for exemplar in [
        "#",
        "# x",
        "# {",
        "# {a=\"b\"}",
        "# {a=\"b\"} x",
        "# {a=\"b\"} 1 x",
        "# {a} 1",
    ] {
        let told = read(Format::OpenMetrics, format!("a 1 {exemplar}\n").as_bytes());
        assert!(
            told.starts_with("error: line 1: expected an exemplar"),
            "{exemplar}: {told}"
        );
    }
    open_metrics(
        "a 1 2 # {} 1 2 3\n",
        expect![[r#"
        error: line 1: expected the end of the line at `3`
    "#]],
    );
}

#[test]
fn times_follow_the_format() {
    text(
        "a 1 1.5\n",
        expect![[r#"
        error: line 1: expected a time stamp or the end of the line at `1.5`
    "#]],
    );
    text(
        "a 1 99999999999999999999\n",
        expect![[r#"
        error: line 1: expected a time stamp or the end of the line at `99999999999999999999`
    "#]],
    );
    open_metrics(
        "a 1 NaN\n",
        expect![[r#"
        error: line 1: expected a time stamp or the end of the line at `NaN`
    "#]],
    );
    open_metrics(
        "a 1 -0.5\n# EOF\n",
        expect![[r#"
        a = 1 @-500
    "#]],
    );
    text(
        "a 1 2 3\n",
        expect![[r#"
        error: line 1: expected the end of the line at `3`
    "#]],
    );
}

#[test]
fn bad_lines_are_refused_with_line_and_place() {
    let cases = [
        "9a 1",
        "-a 1",
        "a",
        "a ",
        "a b",
        "a 1e400",
        "a 0x10",
        "a 1_000",
        "a{",
        "a{b",
        "a{b=",
        "a{b=c} 1",
        "a{b=\"c} 1",
        "a{b=\"c\\",
        "a{b=\"c\";d=\"e\"} 1",
        "a{b=\"c\"",
        "a{,} 1",
        "a{9=\"c\"} 1",
        "a{b:c=\"d\"} 1",
        "a{b=\"c\"}",
        "a.b 1",
        "{b=\"c\"} 1",
        "é 1",
        "a é",
        "\0\u{1b}[31m\u{202e}",
    ];
    let told: String = cases
        .iter()
        .map(|case| {
            let error = read(Format::Text, format!("ok 1\n{case}\n").as_bytes());
            error.replace("ok = 1\nerror: line 2: ", "")
        })
        .collect();
    expect![[r#"
        expected a metric name at `9a 1`
        expected a metric name at `-a 1`
        expected a value
        expected a value
        expected a value at `b`
        expected a value at `1e400`
        expected a value at `0x10`
        expected a value at `1_000`
        expected a label name
        expected `=` after the label name
        expected a label value in double quotes
        expected a label value in double quotes at `c} 1`
        a quoted text does not end on this line at `"c} 1`
        a quoted text does not end on this line at `"c\`
        expected `,` or `}` after the label at `;d="e"} 1`
        expected `,` or `}` after the label
        expected a label name at `,} 1`
        expected a label name at `9="c"} 1`
        expected `=` after the label name at `:c="d"} 1`
        expected a value
        expected a value at `.b 1`
        expected a metric name at `{b="c"} 1`
        expected a metric name at `é 1`
        expected a value at `é`
        expected a metric name at `\0\u{1b}[31m\u{202e}`
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_label_name_twice_is_refused() {
    text(
        "a{b=\"1\",c=\"2\",b=\"3\"} 1\n",
        expect![[r#"
        error: line 1: a label name is there twice at `b="3"} 1`
    "#]],
    );
    text(
        "a{b=\"\",\"b\"=\"3\"} 1\n",
        expect![[r#"
        error: line 1: a label name is there twice at `b"="3"} 1`
    "#]],
    );
    text(
        "a{__name__=\"b\"} 1\n",
        expect![[r#"
        error: line 1: a label name is there twice at `__name__="b"} 1`
    "#]],
    );
    let many: Vec<String> = (0..40)
        .map(|index| format!("l{}=\"\"", index % 39))
        .collect();
    text(
        &format!("a{{{}}} 1\n", many.join(",")),
        expect![[r#"
        error: line 1: a label name is there twice at `l0=""} 1`
    "#]],
    );
}

#[test]
fn pages_that_are_no_exposition_are_named() {
    text(
        "<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
        expect![[r#"
        error: line 1: this is HTML, no metrics; is `metrics_path` right? at `<!DOCTYPE html>`
    "#]],
    );
    text(
        "\n\n  <html>\n",
        expect![[r#"
        error: line 3: this is HTML, no metrics; is `metrics_path` right? at `<html>`
    "#]],
    );
    text(
        "{\"status\": \"UP\"}",
        expect![[r#"
        error: line 1: this is JSON, no metrics; is `metrics_path` right? at `{"status": "UP"}`
    "#]],
    );
    text(
        "[1, 2]",
        expect![[r#"
        error: line 1: this is JSON, no metrics; is `metrics_path` right? at `[1, 2]`
    "#]],
    );
}

#[test]
fn what_is_not_utf8_is_refused_and_shown_escaped() {
    let told = read(Format::Text, b"ok 1\na{b=\"\xff\xfe\x1f\x8b\n\"} 1\n");
    expect![[r#"
        ok = 1
        error: line 2: the text is not UTF-8 at `��\u{1f}�`
    "#]]
    .assert_eq(&told);
}

#[test]
fn excerpts_are_bounded() {
    let told = read(
        Format::Text,
        format!("a{{{}}} 1\n", "é".repeat(500_000)).as_bytes(),
    );
    assert!(told.len() < 200, "{told}");
    assert!(told.contains('…'), "{told}");
}

#[test]
fn a_line_without_end_costs_its_limit_and_no_more() {
    let mut parser = Parser::new(Format::Text);
    let mut sink = |_: RawSample<'_>| Ok::<(), ParseError>(());
    let chunk = [b'x'; 4096];
    let mut fed = 0;
    let error = loop {
        match parser.feed(&chunk, &mut sink) {
            Ok(()) => fed += chunk.len(),
            Err(error) => break error,
        }
        assert!(fed <= MAX_LINE_BYTES);
    };
    assert_eq!(error.problem, ParseProblem::LineTooLong(MAX_LINE_BYTES));
    assert_eq!(error.line, 1);
    assert!(parser.unfinished.capacity() <= 2 * MAX_LINE_BYTES);
}

#[test]
fn a_line_of_a_hundred_thousand_labels_is_read_or_refused_in_no_time() {
    let labels: Vec<String> = (0..200_000).map(|index| format!("l{index}=\"\"")).collect();
    let told = read(
        Format::Text,
        format!("a{{{}}} 1\n", labels.join(",")).as_bytes(),
    );
    assert!(
        told.starts_with("error: line 1: longer than"),
        "{}",
        &told[..60]
    );
    let told = read(
        Format::Text,
        format!("a{{{}}} 1\n", labels[..60_000].join(",")).as_bytes(),
    );
    assert!(told.starts_with("a l0=\"\" l1=\"\""), "{}", &told[..60]);
}

#[test]
fn the_sinks_error_ends_the_reading() {
    let mut seen = 0;
    let mut parser = Parser::new(Format::Text);
    let result = parser.feed(b"a 1\na 2\na 3\n", &mut |sample| {
        seen += 1;
        if sample.value >= 2.0 {
            return Err(ParseError {
                line: sample.line_number,
                problem: ParseProblem::Value,
                excerpt: String::new(),
            });
        }
        Ok(())
    });
    assert_eq!(result.expect_err("the sink refused").line, 2);
    assert_eq!(seen, 2);
    assert_eq!(parser.samples(), 2);
}
