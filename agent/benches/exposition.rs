//! How fast a body is read: the parser alone, in bytes per second, of a body that is new to it and of one that it has read
//! before and of which nothing was wanted.
//!
//! `cargo bench -p leak-agent --bench exposition`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leak_agent::exposition::{Format, Interest, ParseError, Parser, Unwanted};

/// What a Go program exposes beside its own metrics.
const CLIENT_GOLANG: &str = include_str!("../src/catalogue/recorded/client_golang.txt");

/// A body of the usual mix: help and type lines, histograms with several labels, escapes, exemplars.
fn service(families: usize, open_metrics: bool) -> String {
    let mut body = String::new();
    for family in 0..families {
        body.push_str(&format!(
            "# HELP http_request_duration_seconds_{family} Time from the request's head to the response's end.\n\
             # TYPE http_request_duration_seconds_{family} histogram\n"
        ));
        for route in ["/content/*", "/home/{id}", "/a\\\\b\\\"c\\\""] {
            for bucket in ["0.005", "0.05", "0.5", "5", "+Inf"] {
                let exemplar = if open_metrics && bucket == "0.5" {
                    " # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.31 1700000000.123"
                } else {
                    ""
                };
                body.push_str(&format!(
                    "http_request_duration_seconds_{family}_bucket{{route=\"{route}\",code=\"200\",le=\"{bucket}\"}} {}{exemplar}\n",
                    family * 1009 + 17
                ));
            }
            body.push_str(&format!(
                "http_request_duration_seconds_{family}_sum{{route=\"{route}\",code=\"200\"}} {}.437281\n",
                family * 31
            ));
        }
    }
    if open_metrics {
        body.push_str("# EOF\n");
    }
    body
}

fn read(format: Format, body: &str) -> f64 {
    let mut sum = 0.0;
    let mut sink = |sample: leak_agent::exposition::RawSample<'_>| {
        sum += black_box(sample).value;
        Ok::<(), ParseError>(())
    };
    let mut parser = Parser::new(format);
    for chunk in body.as_bytes().chunks(16 << 10) {
        parser.feed(chunk, &mut sink).expect("an exposition");
    }
    parser.finish(&mut sink).expect("an exposition");
    sum
}

fn read_again(format: Format, body: &str, unwanted: &mut Unwanted) -> u64 {
    let mut sink = |sample: leak_agent::exposition::RawSample<'_>| {
        black_box(sample);
        Ok::<_, ParseError>(Interest::Unwanted)
    };
    let mut parser = Parser::begin(format, unwanted);
    for chunk in body.as_bytes().chunks(16 << 10) {
        let fed = parser.feed_wanted(chunk, unwanted, &mut sink);
        fed.expect("an exposition");
    }
    let finished = parser.finish_wanted(unwanted, &mut sink);
    finished.expect("an exposition")
}

fn exposition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exposition");
    for (name, format, body) in [
        ("client_golang", Format::Text, CLIENT_GOLANG.to_owned()),
        ("text", Format::Text, service(500, false)),
        ("open_metrics", Format::OpenMetrics, service(500, true)),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| read(format, black_box(&body)))
        });
        let mut unwanted = Unwanted::default();
        read_again(format, &body, &mut unwanted);
        group.bench_function(format!("{name}, again"), |bencher| {
            bencher.iter(|| read_again(format, black_box(&body), &mut unwanted))
        });
    }
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
