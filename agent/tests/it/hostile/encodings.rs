//! Compressed bodies: damaged, lying, and larger than they look.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        answer(
            "compresses",
            &[TEXT, GZIP],
            gzip(BODY.as_bytes()),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "compresses by the old name",
            &[TEXT, "content-encoding: x-gzip"],
            gzip(BODY.as_bytes()),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "compresses in capitals",
            &[TEXT, "content-encoding: GZIP"],
            gzip(BODY.as_bytes()),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "compresses in two members",
            &[TEXT, GZIP],
            [gzip(b"go_goroutines"), gzip(b" 12\n")].concat(),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "compresses nothing",
            &[TEXT, GZIP],
            gzip(b""),
            expect![[r#"up"#]],
        ),
        answer(
            "claims gzip and sends text",
            &[TEXT, GZIP],
            BODY,
            expect![[r#"down: the body cannot be decompressed: invalid gzip header"#]],
        ),
        answer(
            "claims gzip and sends nothing",
            &[TEXT, GZIP],
            "",
            expect![[r#"down: the body cannot be decompressed: incomplete deflate stream"#]],
        ),
        answer(
            "sends gzip and claims nothing",
            &[TEXT],
            gzip(BODY.as_bytes()),
            expect![[
                r#"down: line 1: the text is not UTF-8 at `�\u{8}\0\0\0\0\0\u{4}�\u{1}4\0��# TYPE go_goroutines gauge`"#
            ]],
        ),
        answer(
            "breaks off within gzip",
            &[TEXT, GZIP],
            &gzip(BODY.as_bytes())[..40],
            expect![[r#"down: the body cannot be decompressed: incomplete deflate stream"#]],
        ),
        answer(
            "breaks off within the checksum",
            &[TEXT, GZIP],
            cut(3),
            expect![[
                r#"down: the body cannot be decompressed: corrupt gzip stream does not have a matching checksum"#
            ]],
        ),
        answer(
            "sends a wrong checksum",
            &[TEXT, GZIP],
            damaged(6),
            expect![[
                r#"down: the body cannot be decompressed: corrupt gzip stream does not have a matching checksum"#
            ]],
        ),
        answer(
            "sends a wrong length behind the checksum",
            &[TEXT, GZIP],
            damaged(2),
            expect![[
                r#"down: the body cannot be decompressed: corrupt gzip stream does not have a matching checksum"#
            ]],
        ),
        answer(
            "damages the compressed bytes",
            &[TEXT, GZIP],
            damaged(20),
            expect![[r#"down: line 2: expected a value at `!12`"#]],
        ),
        answer(
            "sends garbage behind gzip",
            &[TEXT, GZIP],
            [&gzip(BODY.as_bytes())[..], b"garbage"].concat(),
            expect![[r#"down: the body cannot be decompressed: incomplete deflate stream"#]],
        ),
        answer(
            "claims deflate",
            &[TEXT, "content-encoding: deflate"],
            BODY,
            expect![[r#"down: the body is encoded as `deflate`, which was not asked for"#]],
        ),
        answer(
            "claims Brotli",
            &[TEXT, "content-encoding: br"],
            BODY,
            expect![[r#"down: the body is encoded as `br`, which was not asked for"#]],
        ),
        answer(
            "claims Zstandard",
            &[TEXT, "content-encoding: zstd"],
            BODY,
            expect![[r#"down: the body is encoded as `zstd`, which was not asked for"#]],
        ),
        answer(
            "claims an encoding nobody knows",
            &[TEXT, "content-encoding: <b>"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Encoding `<b>`, which nobody knows; read as it comes"#
            ]],
        ),
        answer(
            "claims no encoding by name",
            &[TEXT, "content-encoding: identity"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "claims an empty encoding",
            &[TEXT, "content-encoding:"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "compresses twice, in one header",
            &[TEXT, "content-encoding: gzip, gzip"],
            gzip(&gzip(BODY.as_bytes())),
            expect![[r#"down: the body is encoded as `gzip, gzip`, which was not asked for"#]],
        ),
        answer(
            "compresses twice, in two headers",
            &[TEXT, GZIP, GZIP],
            gzip(&gzip(BODY.as_bytes())),
            expect![[
                r#"down: the body is encoded as more than one thing, which was not asked for"#
            ]],
        ),
        answer(
            "sends a bomb",
            &[TEXT, GZIP],
            bomb(),
            expect![[r#"down: the body is larger than 10485760 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 10MB"),
        answer(
            "sends a bomb of empty lines",
            &[TEXT, GZIP],
            gzip(&b"\n".repeat(11 << 20)),
            expect![[r#"down: the body is larger than 10485760 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 10MB"),
        answer(
            "sends a bomb to a job without a limit",
            &[TEXT, GZIP],
            bomb(),
            expect![[r#"down: the body is larger than 52428800 bytes (body_size_limit)"#]],
        )
        .alone("Prometheus has no limit by default and would hold all of it"),
        answer(
            "compresses although nobody asked",
            &[TEXT, GZIP],
            gzip(BODY.as_bytes()),
            expect![[r#"up | go_goroutines 12"#]],
        )
        .set("enable_compression: false")
        .alone("the key is of a later version"),
    ]
}

/// A body without so many of its last bytes.
fn cut(bytes: usize) -> Vec<u8> {
    let mut whole = gzip(BODY.as_bytes());
    whole.truncate(whole.len() - bytes);
    whole
}

/// A body of which one byte, so many before the end, is another.
fn damaged(before_end: usize) -> Vec<u8> {
    let mut whole = gzip(BODY.as_bytes());
    let place = whole.len() - before_end;
    whole[place] ^= 1;
    whole
}

/// A few hundred kilobytes that stand for sixty megabytes.
fn bomb() -> Vec<u8> {
    let line = b"# ................................................................\n";
    gzip(&line.repeat((2 << 20) / line.len())).repeat(30)
}
