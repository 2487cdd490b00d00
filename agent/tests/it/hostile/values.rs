//! Values and times.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        text(
            "not a number",
            "go_goroutines NaN\n",
            expect![[r#"up | go_goroutines NaN"#]],
        ),
        text(
            "not a number, in small letters",
            "go_goroutines nan\n",
            expect![[r#"up | go_goroutines NaN"#]],
        ),
        text(
            "not a number, with a sign",
            "go_goroutines -NaN\n",
            expect![[r#"down: line 1: expected a value at `-NaN`"#]],
        ),
        text(
            "infinity",
            "go_goroutines +Inf\n",
            expect![[r#"up | go_goroutines inf"#]],
        ),
        text(
            "infinity without a sign",
            "go_goroutines Inf\n",
            expect![[r#"up | go_goroutines inf"#]],
        ),
        text(
            "infinity below",
            "go_goroutines -Inf\n",
            expect![[r#"up | go_goroutines -inf"#]],
        ),
        text(
            "infinity in full",
            "go_goroutines Infinity\n",
            expect![[r#"up | go_goroutines inf"#]],
        ),
        text(
            "infinity in capitals",
            "go_goroutines +INF\n",
            expect![[r#"up | go_goroutines inf"#]],
        ),
        text(
            "a hexadecimal value",
            "go_goroutines 0x10\n",
            expect![[r#"down: line 1: expected a value at `0x10`"#]],
        ),
        text(
            "a hexadecimal fraction",
            "go_goroutines 0x1p-2\n",
            expect![[r#"down: line 1: expected a value at `0x1p-2`"#]],
        ),
        text(
            "a value with underscores",
            "go_goroutines 1_000\n",
            expect![[r#"down: line 1: expected a value at `1_000`"#]],
        ),
        text(
            "an octal value",
            "go_goroutines 0o17\n",
            expect![[r#"down: line 1: expected a value at `0o17`"#]],
        ),
        text(
            "a value too large",
            "go_goroutines 1e400\n",
            expect![[r#"down: line 1: expected a value at `1e400`"#]],
        ),
        text(
            "a value too small",
            "go_goroutines 1e-400\n",
            expect![[r#"up | go_goroutines 0"#]],
        ),
        text(
            "the largest value",
            "go_goroutines 1.7976931348623157e308\n",
            expect![[
                r#"up | go_goroutines 179769313486231570000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"#
            ]],
        ),
        text(
            "a value with a plus",
            "go_goroutines +5\n",
            expect![[r#"up | go_goroutines 5"#]],
        ),
        text(
            "a value without a whole part",
            "go_goroutines .5\n",
            expect![[r#"up | go_goroutines 0.5"#]],
        ),
        text(
            "a value without a fraction",
            "go_goroutines 5.\n",
            expect![[r#"up | go_goroutines 5"#]],
        ),
        text(
            "a negative zero",
            "go_goroutines -0\n",
            expect![[r#"up | go_goroutines -0"#]],
        ),
        text(
            "an exponent in capitals",
            "go_goroutines 1E3\n",
            expect![[r#"up | go_goroutines 1000"#]],
        ),
        text(
            "an exponent without digits",
            "go_goroutines 1e\n",
            expect![[r#"down: line 1: expected a value at `1e`"#]],
        ),
        text(
            "a decimal comma",
            "go_goroutines 1,5\n",
            expect![[r#"down: line 1: expected a value at `1,5`"#]],
        ),
        text(
            "more digits than a double has",
            "go_goroutines 12345678901234567890123456789\n",
            expect![[r#"up | go_goroutines 12345678901234568000000000000"#]],
        ),
        text(
            "digits of another alphabet",
            "go_goroutines ١\n",
            expect![[r#"down: line 1: expected a value at `١`"#]],
        ),
        text(
            "a word",
            "go_goroutines true\n",
            expect![[r#"down: line 1: expected a value at `true`"#]],
        ),
        text(
            "a value in quotes",
            "go_goroutines \"1\"\n",
            expect![[r#"down: line 1: expected a value at `"1"`"#]],
        ),
        text(
            "a value with a unit",
            "go_goroutines 1s\n",
            expect![[r#"down: line 1: expected a value at `1s`"#]],
        ),
        text(
            "two signs",
            "go_goroutines --1\n",
            expect![[r#"down: line 1: expected a value at `--1`"#]],
        ),
        text(
            "a value of nothing but a sign",
            "go_goroutines -\n",
            expect![[r#"down: line 1: expected a value at `-`"#]],
        ),
        text(
            "a value and a word",
            "go_goroutines 1 up\n",
            expect![[r#"down: line 1: expected a time stamp or the end of the line at `up`"#]],
        ),
        text(
            "a time in the past",
            "go_goroutines 1 1700000000000\n",
            expect![[r#"up | go_goroutines 1 @1700000000000"#]],
        ),
        text(
            "a time in the far future",
            "go_goroutines 1 99999999999999\n",
            expect![[r#"up | go_goroutines 1 @99999999999999"#]],
        ),
        text(
            "a time of zero",
            "go_goroutines 1 0\n",
            expect![[r#"up | go_goroutines 1 @0"#]],
        ),
        text(
            "a negative time",
            "go_goroutines 1 -1000\n",
            expect![[r#"up | go_goroutines 1 @-1000"#]],
        ),
        text(
            "a time with a fraction",
            "go_goroutines 1 1700000000000.5\n",
            expect![[
                r#"down: line 1: expected a time stamp or the end of the line at `1700000000000.5`"#
            ]],
        ),
        text(
            "a time that is no number",
            "go_goroutines 1 yesterday\n",
            expect![[
                r#"down: line 1: expected a time stamp or the end of the line at `yesterday`"#
            ]],
        ),
        text(
            "a time beyond all numbers",
            "go_goroutines 1 99999999999999999999\n",
            expect![[
                r#"down: line 1: expected a time stamp or the end of the line at `99999999999999999999`"#
            ]],
        ),
        text(
            "two times",
            "go_goroutines 1 1700000000000 1700000000000\n",
            expect![[r#"down: line 1: expected the end of the line at `1700000000000`"#]],
        ),
        text(
            "a time with an exponent",
            "go_goroutines 1 1e3\n",
            expect![[r#"down: line 1: expected a time stamp or the end of the line at `1e3`"#]],
        ),
        text(
            "a time that the job does not honour",
            "go_goroutines 1 1700000000000\n",
            expect![[r#"up | go_goroutines 1"#]],
        )
        .set("honor_timestamps: false"),
        text(
            "a series twice, at two times",
            "go_goroutines 1 1700000000000\ngo_goroutines 2 1700000001000\n",
            expect![[r#"up | go_goroutines 1 @1700000000000 | duplicates: 1"#]],
        ),
        text(
            "a value of ten thousand digits",
            format!("go_goroutines {}\n", "1".repeat(10_000)),
            expect![[
                r#"down: line 1: expected a value at `1111111111111111111111111111111111111111…`"#
            ]],
        ),
        text(
            "a fraction of ten thousand digits",
            format!("go_goroutines 1.{}\n", "1".repeat(10_000)),
            expect![[r#"up | go_goroutines 1.1111111111111112"#]],
        ),
    ]
}
