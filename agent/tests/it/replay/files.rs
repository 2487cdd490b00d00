//! How files are read: any order, any size, any of the formats, and what is wrong with the others.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::corpus::{BEGIN, Corpus, ledger_service, one_in_a_thousand};
use super::{History, files_in, parsed, text};

/// Ten services for two hours, three of which leak: some 86,000 samples.
fn fleet() -> Corpus {
    let mut corpus = Corpus::default();
    for number in 0..10 {
        let target = format!(
            "job=\"service-{}\",instance=\"10.0.0.{number}:80\"",
            number % 5
        );
        let leaks = number % 4 == 0;
        ledger_service(&mut corpus, &target, 7200, |passed| {
            if leaks && passed > 1000.0 + 100.0 * f64::from(number) {
                one_in_a_thousand(passed)
            } else {
                0.0
            }
        });
    }
    corpus
}

#[test]
fn the_order_of_a_file_and_the_memory_change_no_byte() {
    let corpus = fleet();
    let history = History::new(&corpus.openmetrics());
    let expected = history.verdicts(&[]);
    assert!(parsed(&expected).len() >= 3, "{}", text(&expected));
    for seed in [1, 2] {
        history.write("history.om", corpus.shuffled(seed).as_bytes());
        assert_eq!(text(&history.verdicts(&[])), text(&expected), "seed {seed}");
        // A mebibyte holds half of it.
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().display().to_string();
        let output = history.replay(&[
            "--verdicts",
            "-",
            "--memory",
            "1MiB",
            "--temporary-directory",
            &directory,
        ]);
        assert_eq!(text(&output.stdout), text(&expected), "seed {seed} on disk");
        let told = text(&output.stderr);
        assert!(
            told.contains(&format!("are sorted in {directory}")),
            "{told}"
        );
        assert!(told.contains("MiB"), "{told}");
        assert_eq!(files_in(temporary.path()), Vec::<String>::new());
    }
}

#[test]
fn gzip_text_and_dumps_say_the_same() {
    let mut corpus = Corpus::default();
    ledger_service(
        &mut corpus,
        "job=\"gateway\",instance=\"a:9901\"",
        600,
        one_in_a_thousand,
    );
    let history = History::new(&corpus.openmetrics());
    let expected = history.verdicts(&[]);
    assert!(!expected.is_empty());
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(corpus.openmetrics().as_bytes()).unwrap();
    history.write("history.om", &zipped.finish().unwrap());
    assert_eq!(text(&history.verdicts(&[])), text(&expected), "gzip");
    let millis = |line: &String| {
        let (sample, at) = line.rsplit_once(' ').unwrap();
        format!("{sample} {:.0}", at.parse::<f64>().unwrap() * 1000.0)
    };
    let prometheus: Vec<String> = corpus.lines.iter().map(millis).collect();
    history.write("history.om", prometheus.join("\r\n").as_bytes());
    assert_eq!(
        text(&history.verdicts(&[])),
        text(&expected),
        "Prometheus' text format"
    );
    let dump: Vec<String> = prometheus
        .iter()
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap();
            format!("{{__name__=\"{name}\", {rest}")
        })
        .collect();
    history.write("history.om", dump.join("\n").as_bytes());
    assert_eq!(
        text(&history.verdicts(&[])),
        text(&expected),
        "promtool tsdb dump"
    );
}

#[test]
fn of_a_repeated_sample_the_first_counts_and_it_is_told() {
    let mut corpus = Corpus::default();
    ledger_service(
        &mut corpus,
        "job=\"gateway\",instance=\"a:9901\"",
        300,
        |_| 0.0,
    );
    let repeated: Vec<String> = corpus
        .lines
        .iter()
        .filter(|line| line.starts_with("resource_ledger_orphaned"))
        .map(|line| line.replace("} 0 ", "} 7 "))
        .collect();
    corpus.lines.extend(repeated);
    let output = History::new(&corpus.openmetrics()).replay(&["--fail-on-leak"]);
    assert_eq!(output.status.code(), Some(0), "the zeros were first");
    let told = text(&output.stdout);
    assert!(
        told.contains("61 samples had the series and the time of another"),
        "{told}"
    );
}

#[track_caller]
fn check_refused(file: &str, expected: &str) {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = temporary.path().display().to_string();
    let output = History::new(file).replay(&["--temporary-directory", &directory]);
    assert_eq!(output.status.code(), Some(1), "{file:?}");
    let told = text(&output.stderr);
    assert!(
        told.contains(expected),
        "{expected:?} is missing from {told}"
    );
    assert!(told.contains("history.om: "), "{told}");
    assert_eq!(told.matches(expected).count(), 1, "told once: {told}");
    assert_eq!(text(&output.stdout), "", "no result of half a history");
    assert_eq!(files_in(temporary.path()), Vec::<String>::new());
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let good = "process_open_fds{job=\"a\"} 3 1700000000\n";
    check_refused(good, "line 1: the file ends without `# EOF`");
    check_refused(
        &format!("{good}process_open_fds{{job=\"a\"}} 3\n# EOF\n"),
        "line 2: process_open_fds{job=\"a\"} has no timestamp",
    );
    check_refused(
        &format!("{good}process_open_fds{{job=\"a\" 3 1700000001\n# EOF\n"),
        "line 2: expected `,` or `}` after the label",
    );
    check_refused(
        &format!("{good}process_open_fds{{job=\"a\"}} many 1\n# EOF\n"),
        "line 2: expected a value",
    );
    check_refused(
        &format!("{good}process_open_fds{{job=\"a\"}} 3 1700000000000\n# EOF\n"),
        "line 2: a timestamp more than 17 years from the first one",
    );
    check_refused("", "it is empty");
    check_refused("<html></html>\n", "line 1: this is HTML");
    check_refused("{\"status\":\"success\"}\n", "line 1: this is JSON");
    let missing = History::new("").replay_file("nowhere.om", &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("nowhere.om: cannot be read: No such file"),
        "{}",
        text(&missing.stderr)
    );
}

#[test]
fn a_failure_halfway_leaves_nothing_in_the_temporary_directory() {
    let mut file = fleet().openmetrics();
    let end = file.len() - "# EOF\n".len();
    file.truncate(end);
    let history = History::new(&file);
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = temporary.path().display().to_string();
    let output = history.replay(&["--memory", "1MiB", "--temporary-directory", &directory]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("are sorted in"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(files_in(temporary.path()), Vec::<String>::new());
    let nowhere = history.replay(&["--memory", "1MiB", "--temporary-directory", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        text(&nowhere.stderr).contains("cannot be sorted in /nowhere (--temporary-directory"),
        "{}",
        text(&nowhere.stderr)
    );
}

#[test]
fn a_history_without_known_series_says_what_to_do() {
    let output = History::new("my_own_level{job=\"a\"} 3 1700000000\n# EOF\n").replay(&[]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    assert!(told.contains("`signals` of the configuration"), "{told}");
}

#[test]
fn own_signals_are_judged() {
    let mut corpus = Corpus::default();
    for step in 0..1440_u32 {
        let at = BEGIN + 15.0 * f64::from(step);
        let noise = f64::from(step * 37 % 5);
        let service = "{job=\"a\",instance=\"i\"}";
        let held = f64::from(step.max(480) - 480);
        corpus.add(&format!("sessions_open{service}"), 40.0 + noise + held, at);
        corpus.add(&format!("served_total{service}"), f64::from(step * 300), at);
    }
    let history = History::new(&corpus.openmetrics());
    assert_eq!(text(&history.verdicts(&[])), "");
    history.write(
        "own.yml",
        b"signals: [{ name: sessions_open, unit: sessions, integer: true, absolute_floor: 10, load: [served_total] }]\n",
    );
    let lines = parsed(&history.verdicts(&["--config", "own.yml"]));
    assert_eq!(lines[0]["labels"]["__name__"], "sessions_open");
}

#[test]
fn mistakes_of_the_command_line_exit_64() {
    let history = History::new("# EOF\n");
    for arguments in [
        &["--prometheus", "http://127.0.0.1:1", "--from", "-1h"][..],
        &["--from", "-1h"],
        &["--svg", "x.svg"],
        &["--explain", "{}"],
        &["--series", "0"],
        &["--memory", "12"],
    ] {
        let output = history.replay(arguments);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}
