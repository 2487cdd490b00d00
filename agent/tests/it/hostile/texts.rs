//! Bodies as a whole: what they begin and end with, what is between, and what is no exposition at all.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        text("sends nothing", "", expect![[r#"up"#]]),
        text("sends an empty line", "\n", expect![[r#"up"#]]),
        text("sends comments only", "# one\n# two\n", expect![[r#"up"#]]),
        text(
            "leaves out the last line feed",
            "go_goroutines 1",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "ends lines with CRLF",
            "# TYPE go_goroutines gauge\r\ngo_goroutines 1\r\n\r\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "ends lines with CR",
            "go_goroutines 1\rother 2\r",
            expect![[r#"down: line 1: expected a value at `1\rother 2`"#]],
        ),
        text(
            "begins with a byte order mark",
            "\u{feff}go_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "begins with two byte order marks",
            "\u{feff}\u{feff}go_goroutines 1\n",
            expect![[r#"down: line 1: expected a metric name at `\u{feff}go_goroutines 1`"#]],
        ),
        text(
            "puts a byte order mark on the second line",
            "other 1\n\u{feff}go_goroutines 1\n",
            expect![[r#"down: line 2: expected a metric name at `\u{feff}go_goroutines 1`"#]],
        ),
        text(
            "sends UTF-16",
            b"\xff\xfeg\0o\0 \x001\0\n\0",
            expect![[r#"down: line 1: the text is not UTF-8 at `��g\0o\0 \01\0`"#]],
        ),
        text(
            "begins with empty lines",
            "\n\n\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "indents its lines",
            "  go_goroutines 1\n\tprocess_open_fds 2\n",
            expect![[r#"up | go_goroutines 1 | process_open_fds 2"#]],
        ),
        text(
            "separates by tabs and many spaces",
            "go_goroutines\t \t1\t \nprocess_open_fds  {a=\"b\"}   2   \n",
            expect![[r#"up | go_goroutines 1 | process_open_fds{a="b"} 2"#]],
        ),
        text(
            "puts a NUL between lines",
            "go_goroutines 1\n\0\nprocess_open_fds 2\n",
            expect![[r#"down: line 2: expected a metric name at `\0`"#]],
        ),
        text(
            "puts a NUL at the end",
            "go_goroutines 1\n\0",
            expect![[r#"down: line 2: expected a metric name at `\0`"#]],
        ),
        text(
            "puts a NUL into a label value",
            "go_goroutines{a=\"x\0y\"} 1\n",
            expect![[r#"up | go_goroutines{a="x\u{0}y"} 1"#]],
        ),
        text(
            "puts invalid UTF-8 into a label value",
            b"go_goroutines{a=\"\xff\"} 1\n",
            expect![[r#"down: line 1: the text is not UTF-8 at `�"} 1`"#]],
        ),
        text(
            "puts invalid UTF-8 into a name",
            b"go_\xffgoroutines 1\n",
            expect![[r#"down: line 1: the text is not UTF-8 at `�goroutines 1`"#]],
        ),
        text(
            "puts invalid UTF-8 into a comment",
            b"# \xff\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "puts invalid UTF-8 into help",
            b"# HELP go_goroutines \xff\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "puts invalid UTF-8 into a series that nobody watches",
            b"other{a=\"\xff\"} 1\ngo_goroutines 1\n",
            expect![[r#"down: line 1: the text is not UTF-8 at `�"} 1`"#]],
        ),
        text(
            "puts half a surrogate into a label value",
            b"go_goroutines{a=\"\xed\xa0\x80\"} 1\n",
            expect![[r#"down: line 1: the text is not UTF-8 at `���"} 1`"#]],
        ),
        text(
            "puts a vertical tab before the value",
            "go_goroutines\u{b}1\n",
            expect![[r#"down: line 1: expected a value at `\u{b}1`"#]],
        ),
        text(
            "puts a no-break space before the value",
            "go_goroutines\u{a0}1\n",
            expect![[r#"down: line 1: expected a value at `\u{a0}1`"#]],
        ),
        answer(
            "sends a page of HTML",
            &["content-type: text/html"],
            "<!DOCTYPE html>\n<html><body>hello</body></html>\n",
            expect![[
                r#"down: line 1: this is HTML, no metrics; is `metrics_path` right? at `<!DOCTYPE html>`"#
            ]],
        ),
        answer(
            "sends JSON",
            &["content-type: application/json"],
            "{\"status\":\"UP\"}",
            expect![[
                r#"down: line 1: this is JSON, no metrics; is `metrics_path` right? at `{"status":"UP"}`"#
            ]],
        ),
        answer(
            "sends XML",
            &["content-type: application/xml"],
            "<?xml version=\"1.0\"?>\n<a/>\n",
            expect![[
                r#"down: line 1: this is HTML, no metrics; is `metrics_path` right? at `<?xml version="1.0"?>`"#
            ]],
        ),
        text(
            "sends a word",
            "OK",
            expect![[r#"down: line 1: expected a value"#]],
        ),
        text(
            "sends a sentence with markup",
            "it does not work <script>alert(1)</script>\n",
            expect![[
                r#"down: line 1: expected a value at `does not work <script>alert(1)</script>`"#
            ]],
        ),
        text(
            "sends escape sequences of a terminal",
            "\u{1b}[31mred\u{1b}[0m 1\n",
            expect![[r#"down: line 1: expected a metric name at `\u{1b}[31mred\u{1b}[0m 1`"#]],
        ),
        text(
            "sends random bytes",
            (0..=255).collect::<Vec<u8>>(),
            expect![[
                r#"down: line 1: expected a metric name at `\0\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\t`"#
            ]],
        ),
        text(
            "says of itself that it is down",
            "up 0\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "names series as the scraper does",
            "scrape_duration_seconds 77\nscrape_samples_scraped 7\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "mixes families",
            "# TYPE go_goroutines gauge\ngo_goroutines{a=\"1\"} 1\n# TYPE process_open_fds gauge\nprocess_open_fds 2\ngo_goroutines{a=\"2\"} 3\n",
            expect![[
                r#"up | go_goroutines{a="1"} 1 | process_open_fds 2 | go_goroutines{a="2"} 3"#
            ]],
        ),
        text(
            "gives a family two types",
            "# TYPE go_goroutines gauge\n# TYPE go_goroutines counter\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives a family a type nobody knows",
            "# TYPE go_goroutines thing\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives a type after the samples",
            "go_goroutines 1\n# TYPE go_goroutines gauge\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives a type without a family",
            "# TYPE\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives a type without a type",
            "# TYPE go_goroutines\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives a type to what is no name",
            "# TYPE 1x gauge\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives two help texts",
            "# HELP go_goroutines a\n# HELP go_goroutines b\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "gives help without a text",
            "# HELP go_goroutines\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "escapes in help what needs no escape",
            "# HELP go_goroutines a\\b \\x \\\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "writes a comment without a space",
            "#TYPE go_goroutines gauge\n#\n##\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "exposes a histogram without its largest bucket",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 3\nh_count 4\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "exposes a gauge with exemplars",
            "go_goroutines 1 # {trace_id=\"x\"} 1\n",
            expect![[
                r#"down: line 1: expected a time stamp or the end of the line at `# {trace_id="x"} 1`"#
            ]],
        ),
        text(
            "breaks a line in the middle",
            "go_gorou\ntines 1\n",
            expect![[r#"down: line 1: expected a value"#]],
        ),
        text(
            "sends a good line and a bad one",
            "go_goroutines 1\nprocess_open_fds twelve\n",
            expect![[r#"down: line 2: expected a value at `twelve`"#]],
        ),
        text(
            "sends a bad line that nobody watches",
            "go_goroutines 1\nother twelve\n",
            expect![[r#"down: line 2: expected a value at `twelve`"#]],
        ),
        text(
            "exposes a series twice",
            "go_goroutines 1\ngo_goroutines 2\n",
            expect![[r#"up | go_goroutines 1 | duplicates: 1"#]],
        ),
        text(
            "exposes a series twice with the same value",
            "go_goroutines 1\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1 | duplicates: 1"#]],
        ),
        text(
            "exposes a series twice with its labels turned around",
            "go_goroutines{a=\"1\",b=\"2\"} 1\ngo_goroutines{b=\"2\",a=\"1\"} 2\n",
            expect![[r#"up | go_goroutines{a="1",b="2"} 1 | duplicates: 1"#]],
        ),
        text(
            "exposes a series twice with an empty label",
            "go_goroutines 1\ngo_goroutines{a=\"\"} 2\n",
            expect![[r#"up | go_goroutines 1 | duplicates: 1"#]],
        ),
    ]
}
