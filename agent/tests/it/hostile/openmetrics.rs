//! OpenMetrics, which is stricter and has an end.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        open_metrics(
            "OpenMetrics in order",
            "# TYPE go_goroutines gauge\ngo_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "an end without a line feed",
            "go_goroutines 1\n# EOF",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "an end with CRLF",
            "go_goroutines 1\r\n# EOF\r\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "no end",
            "go_goroutines 1\n",
            expect![[r#"down: line 1: the body ends without `# EOF`: it was cut off"#]],
        ),
        open_metrics(
            "half an end",
            "go_goroutines 1\n# EO",
            expect![[r#"down: line 2: the body ends without `# EOF`: it was cut off"#]],
        ),
        open_metrics(
            "nothing",
            "",
            expect![[r#"down: line 1: the body ends without `# EOF`: it was cut off"#]],
        ),
        open_metrics("an end alone", "# EOF\n", expect![[r#"up"#]]),
        open_metrics(
            "samples after the end",
            "# EOF\ngo_goroutines 1\n",
            expect![[r#"down: line 2: there is text after `# EOF` at `go_goroutines 1`"#]],
        ),
        open_metrics(
            "two ends",
            "go_goroutines 1\n# EOF\n# EOF\n",
            expect![[r#"down: line 3: there is text after `# EOF` at `# EOF`"#]],
        ),
        open_metrics(
            "empty lines after the end",
            "go_goroutines 1\n# EOF\n\n\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "an end with a space",
            "go_goroutines 1\n# EOF \n",
            expect![[r#"down: line 2: the body ends without `# EOF`: it was cut off"#]],
        ),
        open_metrics(
            "an end in small letters",
            "go_goroutines 1\n# eof\n",
            expect![[r#"down: line 2: the body ends without `# EOF`: it was cut off"#]],
        ),
        open_metrics(
            "an empty line between samples",
            "go_goroutines 1\n\nother 2\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "a comment of one's own",
            "# hello\ngo_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "a time in seconds",
            "go_goroutines 1 1700000000.5\n# EOF\n",
            expect![[r#"up | go_goroutines 1 @1700000000500"#]],
        ),
        open_metrics(
            "a time in exponents",
            "go_goroutines 1 1.7e9\n# EOF\n",
            expect![[r#"up | go_goroutines 1 @1700000000000"#]],
        ),
        open_metrics(
            "a time that is not a number",
            "go_goroutines 1 NaN\n# EOF\n",
            expect![[r#"down: line 1: expected a time stamp or the end of the line at `NaN`"#]],
        ),
        open_metrics(
            "a time of infinity",
            "go_goroutines 1 +Inf\n# EOF\n",
            expect![[r#"down: line 1: expected a time stamp or the end of the line at `+Inf`"#]],
        ),
        open_metrics(
            "a time that cannot be read",
            "go_goroutines 1 soon\n# EOF\n",
            expect![[r#"down: line 1: expected a time stamp or the end of the line at `soon`"#]],
        ),
        open_metrics(
            "an exemplar",
            "# TYPE x counter\nx_total 1 # {trace_id=\"a b\"} 0.5\ngo_goroutines 2\n# EOF\n",
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "an exemplar with its time",
            "x_total 1 # {trace_id=\"a\"} 0.5 1700000000.1\ngo_goroutines 2\n# EOF\n",
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "an exemplar without labels",
            "x_total 1 # {} 0.5\ngo_goroutines 2\n# EOF\n",
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "an exemplar without a value",
            "x_total 1 # {a=\"b\"}\ngo_goroutines 2\n# EOF\n",
            expect![[
                r#"down: line 1: expected an exemplar such as `{trace_id="x"} 1` at `# {a="b"}`"#
            ]],
        ),
        open_metrics(
            "an exemplar without braces",
            "x_total 1 # 0.5\ngo_goroutines 2\n# EOF\n",
            expect![[
                r#"down: line 1: expected an exemplar such as `{trace_id="x"} 1` at `# 0.5`"#
            ]],
        ),
        open_metrics(
            "an exemplar on a gauge",
            "# TYPE go_goroutines gauge\ngo_goroutines 2 # {a=\"b\"} 1\n# EOF\n",
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "an exemplar of three hundred characters",
            format!(
                "x_total 1 # {{a=\"{}\"}} 1\ngo_goroutines 2\n# EOF\n",
                "x".repeat(300)
            ),
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "a counter without its suffix",
            "# TYPE x counter\nx 1\ngo_goroutines 2\n# EOF\n",
            expect![[r#"up | go_goroutines 2"#]],
        ),
        open_metrics(
            "tabs between the parts",
            "go_goroutines\t1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "a line that is indented",
            "  go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "an escape that OpenMetrics does not know",
            "go_goroutines{a=\"\\x\"} 1\n# EOF\n",
            expect![[r#"up | go_goroutines{a="\\x"} 1"#]],
        ),
        open_metrics(
            "a series twice in OpenMetrics",
            "go_goroutines 1\ngo_goroutines 2\n# EOF\n",
            expect![[r#"up | go_goroutines 1 | duplicates: 1"#]],
        ),
        open_metrics(
            "a byte order mark before OpenMetrics",
            "\u{feff}go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "a type twice in OpenMetrics",
            "# TYPE go_goroutines gauge\n# TYPE go_goroutines counter\ngo_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "a quoted name in OpenMetrics",
            "{\"go_goroutines\"} 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        open_metrics(
            "OpenMetrics in the encoding of its day",
            "# TYPE go_goroutines gauge\ngo_goroutines{a=\"é\"} 1\n# EOF\n",
            expect![[r#"up | go_goroutines{a="é"} 1"#]],
        ),
    ]
}
