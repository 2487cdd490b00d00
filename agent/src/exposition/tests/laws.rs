//! What holds for every body, however it is cut into chunks.

use proptest::prelude::*;

use super::*;
use crate::labels::write_escaped;

/// A sample as a writer would put it, and as it is to be read.
fn any_sample() -> impl Strategy<Value = (String, String)> {
    let labels = prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,6}", ".{0,12}", 0..5);
    let value = any::<f64>();
    (
        "[a-zA-Z_:][a-zA-Z0-9_:]{0,10}",
        labels,
        value,
        prop::option::of(any::<i64>()),
    )
        .prop_filter("the name's own label", |(_, labels, ..)| {
            !labels.contains_key("__name__")
        })
        .prop_map(|(name, labels, value, at)| {
            let mut line = format!("{name}{{");
            let mut expected = name;
            for (label, text) in &labels {
                line.push_str(&format!("{label}=\""));
                write_escaped(&mut line, text).expect("a String takes all");
                line.push_str("\",");
                expected.push_str(&format!(" {label}={text:?}"));
            }
            line.push_str(&format!("}} {value}"));
            expected.push_str(&format!(" = {value}"));
            if let Some(at) = at {
                line.push_str(&format!(" {at}"));
                expected.push_str(&format!(" @{at}"));
            }
            (line + "\n", expected + "\n")
        })
}

/// The wanted lines of a body, those whose name begins with `a`, and what came of it all.
fn wanted(format: Format, body: &[u8], chunk: usize, unwanted: &mut Unwanted) -> String {
    let mut out = String::new();
    let mut sink = |sample: RawSample<'_>| {
        if !sample.name().starts_with('a') {
            return Ok(Interest::Unwanted);
        }
        out.push_str(&format!("{} {}\n", sample.series, sample.value));
        Ok::<_, ParseError>(Interest::Wanted)
    };
    let mut parser = Parser::begin(format, unwanted);
    let mut result = Ok(());
    for chunk in body.chunks(chunk) {
        result = result.and_then(|()| parser.feed_wanted(chunk, unwanted, &mut sink));
    }
    match result.and_then(|()| parser.finish_wanted(unwanted, &mut sink)) {
        Ok(samples) => out + &format!("{samples} samples"),
        Err(error) => out + &format!("error: {error}"),
    }
}

proptest! {
    #[test]
    fn what_was_unwanted_before_changes_nothing(
        bodies in prop::collection::vec(
            "((a|b|b\\{x=\"1\"\\}|b\\{x=\"é }\"\\}|a\\{x=\"2\",\\}|b\\{) (1|NaN|x|2 3|4 # \\{\\} 5)?\n){0,8}",
            2..5,
        ),
        chunk in 1_usize..40,
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let mut unwanted = Unwanted::default();
            for body in &bodies {
                let end = if format == Format::OpenMetrics { "# EOF\n" } else { "" };
                let body = format!("{body}{end}");
                let remembering = wanted(format, body.as_bytes(), chunk, &mut unwanted);
                let afresh = wanted(format, body.as_bytes(), chunk, &mut Unwanted::default());
                prop_assert_eq!(remembering, afresh);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        samples in prop::collection::vec(any_sample(), 0..12),
        chunk in 1_usize..40,
    ) {
        let (body, expected): (String, String) = samples.into_iter().unzip();
        prop_assert_eq!(&read(Format::Text, body.as_bytes()), &expected);
        prop_assert_eq!(&read_in_chunks(Format::Text, body.as_bytes().chunks(chunk)), &expected);
    }

    #[test]
    fn any_bytes_end_in_samples_or_one_error(
        body in prop::collection::vec(any::<u8>(), 0..200),
        chunk in 1_usize..20,
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let whole = read(format, &body);
            prop_assert_eq!(&read_in_chunks(format, body.chunks(chunk)), &whole);
            prop_assert!(whole.matches("error: ").count() <= 1);
        }
    }

    #[test]
    fn near_misses_end_in_samples_or_one_error(
        body in "(a|b\\{|x|=|\"|\\\\|,|\\}| |1|\\.|#|\n|é){0,40}",
        chunk in 1_usize..20,
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let whole = read(format, body.as_bytes());
            prop_assert_eq!(&read_in_chunks(format, body.as_bytes().chunks(chunk)), &whole);
        }
    }
}
