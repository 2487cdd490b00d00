//! Names and labels: nearly right, wrong, escaped and enormous.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        text(
            "a line without a value",
            "go_goroutines\n",
            expect![[r#"down: line 1: expected a value"#]],
        ),
        text(
            "a line with labels and without a value",
            "go_goroutines{a=\"b\"}\n",
            expect![[r#"down: line 1: expected a value"#]],
        ),
        text(
            "a line with a value and without a name",
            "1\n",
            expect![[r#"down: line 1: expected a metric name at `1`"#]],
        ),
        text(
            "a line with labels and without a name",
            "{a=\"b\"} 1\ngo_goroutines 1\n",
            expect![[r#"down: line 1: expected a metric name at `{a="b"} 1`"#]],
        ),
        text("a name with a dash", "go-goroutines 1\n", expect![[r#"down: line 1: expected a value at `-goroutines 1`"#]]),
        text("a name with a dot", "go.goroutines 1\n", expect![[r#"down: line 1: expected a value at `.goroutines 1`"#]]),
        text(
            "a name with a colon",
            "go:goroutines 1\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "a name that begins with a digit",
            "1go_goroutines 1\n",
            expect![[r#"down: line 1: expected a metric name at `1go_goroutines 1`"#]],
        ),
        text("a name above ASCII", "gö_goroutines 1\n", expect![[r#"down: line 1: expected a value at `ö_goroutines 1`"#]]),
        text("empty braces", "go_goroutines{} 1\n", expect![[r#"up | go_goroutines 1"#]]),
        text(
            "braces with a space",
            "go_goroutines{ } 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "a comma after the last label",
            "go_goroutines{a=\"b\",} 1\n",
            expect![[r#"up | go_goroutines{a="b"} 1"#]],
        ),
        text(
            "two commas",
            "go_goroutines{a=\"b\",,c=\"d\"} 1\n",
            expect![[r#"down: line 1: expected a label name at `,c="d"} 1`"#]],
        ),
        text("a comma alone", "go_goroutines{,} 1\n", expect![[r#"down: line 1: expected a label name at `,} 1`"#]]),
        text(
            "no comma between labels",
            "go_goroutines{a=\"b\" c=\"d\"} 1\n",
            expect![[r#"up | go_goroutines{a="b",c="d"} 1"#]],
        ),
        text(
            "a semicolon between labels",
            "go_goroutines{a=\"b\";c=\"d\"} 1\n",
            expect![[r#"down: line 1: expected `,` or `}` after the label at `;c="d"} 1`"#]],
        ),
        text(
            "a label without quotes",
            "go_goroutines{a=b} 1\n",
            expect![[r#"down: line 1: expected a label value in double quotes at `b} 1`"#]],
        ),
        text(
            "a label in single quotes",
            "go_goroutines{a='b'} 1\n",
            expect![[r#"down: line 1: expected a label value in double quotes at `'b'} 1`"#]],
        ),
        text(
            "a label without a value",
            "go_goroutines{a} 1\n",
            expect![[r#"down: line 1: expected `=` after the label name at `} 1`"#]],
        ),
        text(
            "a label without an equals sign",
            "go_goroutines{a\"b\"} 1\n",
            expect![[r#"down: line 1: expected `=` after the label name at `"b"} 1`"#]],
        ),
        text(
            "a label by a matcher",
            "go_goroutines{a=~\"b\"} 1\n",
            expect![[r#"down: line 1: expected a label value in double quotes at `~"b"} 1`"#]],
        ),
        text(
            "a label without a name",
            "go_goroutines{=\"b\"} 1\n",
            expect![[r#"down: line 1: expected a label name at `="b"} 1`"#]],
        ),
        text(
            "a label whose name has a dash",
            "go_goroutines{a-b=\"c\"} 1\n",
            expect![[r#"down: line 1: expected `=` after the label name at `-b="c"} 1`"#]],
        ),
        text(
            "a label whose name begins with a digit",
            "go_goroutines{1a=\"c\"} 1\n",
            expect![[r#"down: line 1: expected a label name at `1a="c"} 1`"#]],
        ),
        text(
            "a label whose name has a colon",
            "go_goroutines{a:b=\"c\"} 1\n",
            expect![[r#"down: line 1: expected `=` after the label name at `:b="c"} 1`"#]],
        ),
        text(
            "a quote that never ends",
            "go_goroutines{a=\"b} 1\n",
            expect![[r#"down: line 1: a quoted text does not end on this line at `"b} 1`"#]],
        ),
        text(
            "a brace that never ends",
            "go_goroutines{a=\"b\" 1\n",
            expect![[r#"down: line 1: expected `,` or `}` after the label at `1`"#]],
        ),
        text(
            "a brace that never began",
            "go_goroutines a=\"b\"} 1\n",
            expect![[r#"down: line 1: expected a value at `a="b"} 1`"#]],
        ),
        text(
            "two braces",
            "go_goroutines{{a=\"b\"}} 1\n",
            expect![[r#"down: line 1: expected a label name at `{a="b"}} 1`"#]],
        ),
        text(
            "a label twice",
            "go_goroutines{a=\"b\",a=\"c\"} 1\n",
            expect![[r#"down: line 1: a label name is there twice at `a="c"} 1`"#]],
        ),
        text(
            "a label twice with the same value",
            "go_goroutines{a=\"b\",a=\"b\"} 1\n",
            expect![[r#"down: line 1: a label name is there twice at `a="b"} 1`"#]],
        ),
        text(
            "a label twice on a series that nobody watches",
            "other{a=\"b\",a=\"c\"} 1\ngo_goroutines 1\n",
            expect![[r#"down: line 1: a label name is there twice at `a="c"} 1`"#]],
        ),
        text(
            "a label that is the name",
            "go_goroutines{__name__=\"x\"} 1\n",
            expect![[r#"down: line 1: a label name is there twice at `__name__="x"} 1`"#]],
        ),
        text(
            "a label without anything in it",
            "go_goroutines{a=\"\"} 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "labels of the target",
            "go_goroutines{job=\"mine\",instance=\"own\"} 1\n",
            expect![[r#"up | go_goroutines{exported_instance="own",exported_job="mine"} 1"#]],
        ),
        text(
            "labels of the target, honoured",
            "go_goroutines{zone=\"own\"} 1\n",
            expect![[r#"up | go_goroutines{zone="own"} 1"#]],
        )
        .set("honor_labels: true"),
        text(
            "escaped quotes, backslashes and line feeds",
            r#"go_goroutines{a="x\"y\\z\nw"} 1"#,
            expect![[r#"up | go_goroutines{a="x\"y\\z\nw"} 1"#]],
        ),
        text(
            "an escape that is none",
            r#"go_goroutines{a="C:\dir\t"} 1"#,
            expect![[r#"up | go_goroutines{a="C:\\dir\\t"} 1"#]],
        ),
        text(
            "a backslash at the end of a value",
            r#"go_goroutines{a="x\\"} 1"#,
            expect![[r#"up | go_goroutines{a="x\\"} 1"#]],
        ),
        text(
            "a backslash that escapes the last quote",
            r#"go_goroutines{a="x\"} 1"#,
            expect![[r#"down: line 1: a quoted text does not end on this line at `"x\"} 1`"#]],
        ),
        text(
            "a line feed within a value",
            "go_goroutines{a=\"x\ny\"} 1\n",
            expect![[r#"down: line 1: a quoted text does not end on this line at `"x`"#]],
        ),
        text(
            "a carriage return within a value",
            "go_goroutines{a=\"x\ry\"} 1\n",
            expect![[r#"up | go_goroutines{a="x\ry"} 1"#]],
        ),
        text(
            "a tab within a value",
            "go_goroutines{a=\"x\ty\"} 1\n",
            expect![[r#"up | go_goroutines{a="x\ty"} 1"#]],
        ),
        text(
            "braces, commas and equals signs within a value",
            "go_goroutines{a=\"x{b=\\\"c\\\",d}\"} 1\n",
            expect![[r#"up | go_goroutines{a="x{b=\"c\",d}"} 1"#]],
        ),
        text(
            "a hash within a value",
            "go_goroutines{a=\"# HELP\"} 1\n",
            expect![[r##"up | go_goroutines{a="# HELP"} 1"##]],
        ),
        text(
            "a value of many alphabets",
            "go_goroutines{a=\"äöü 日本語 😀\"} 1\n",
            expect![[r#"up | go_goroutines{a="äöü 日本語 😀"} 1"#]],
        ),
        text(
            "a value that turns the direction of writing",
            "go_goroutines{a=\"\u{202e}cba\"} 1\n",
            expect![[r#"up | go_goroutines{a="\u{202e}cba"} 1"#]],
        ),
        text(
            "a value of markup",
            "go_goroutines{a=\"<script>alert(1)</script>\"} 1\n",
            expect![[r#"up | go_goroutines{a="<script>alert(1)</script>"} 1"#]],
        ),
        text(
            "spaces around everything",
            "go_goroutines { a = \"b\" , c = \"d\" } 1\n",
            expect![[r#"up | go_goroutines{a="b",c="d"} 1"#]],
        ),
        text(
            "a quoted name",
            "{\"go_goroutines\",a=\"b\"} 1\nother 1\n",
            expect![[r#"up | go_goroutines{a="b"} 1"#]],
        ),
        text(
            "a quoted name with dots",
            "{\"go.goroutines\"} 1\ngo_goroutines 1\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        text(
            "a quoted label name",
            "go_goroutines{\"a.b\"=\"c\"} 1\n",
            expect![[r#"up | go_goroutines{a.b="c"} 1"#]],
        ),
        text(
            "a value of a megabyte",
            format!("go_goroutines{{a=\"{}\"}} 1\n", "x".repeat(1 << 20)),
            expect![[r#"down: line 1: longer than 1048576 bytes at `go_goroutines{a="xxxxxxxxxxxxxxxxxxxxxxx…`"#]],
        )
        .alone("Prometheus has no limit by default"),
        text(
            "a value of five thousand bytes",
            format!("go_goroutines{{a=\"{}\"}} 1\n", "x".repeat(5000)),
            expect![[r#"down: series go_goroutines{a="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… has a label value of more bytes than 4096 (label_value_length_limit)"#]],
        )
        .alone("Prometheus has no limit by default"),
        text(
            "a thousand labels",
            format!(
                "go_goroutines{{{}}} 1\n",
                (0..1000)
                    .map(|i| format!("l{i}=\"\u{78}\","))
                    .collect::<String>()
            ),
            expect![[r#"down: series go_goroutines{instance="i",job="j",l0="x",l1="x",l10="x",l100="x",l101="x",l102="x",l103="x",l104="x",l105="x",l10… has more labels than 64 (label_limit)"#]],
        )
        .alone("Prometheus has no limit by default"),
        text(
            "a label name of six hundred bytes",
            format!("go_goroutines{{{}=\"b\"}} 1\n", "a".repeat(600)),
            expect![[r#"down: series go_goroutines{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… has a label name of more bytes than 512 (label_name_length_limit)"#]],
        )
        .alone("Prometheus has no limit by default"),
        text(
            "a comment of a megabyte",
            format!("# {}\ngo_goroutines 1\n", "x".repeat(1_000_000)),
            expect![[r#"up | go_goroutines 1"#]],
        ),
    ]
}
