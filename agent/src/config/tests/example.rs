//! The example file says what is true, and all of it.

use checked_yaml::Mistakes;

use super::*;

const EXAMPLE: &str = include_str!("../../../agent.example.yml");

/// Whether a line says what holds without it.
fn is_default(line: &str) -> bool {
    line.split_once("# default").is_some_and(|(before, after)| {
        !before.trim_start().starts_with('#') && (after.is_empty() || after.starts_with(';'))
    })
}

#[test]
fn the_example_has_no_mistake_and_its_defaults_are_those() {
    let whole = parse(EXAMPLE);
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let defaults = lines.iter().filter(|line| is_default(line)).count();
    assert!(defaults > 30, "{defaults}");
    let without: Vec<&str> = lines
        .into_iter()
        .map(|line| {
            if !is_default(line) {
                return line;
            }
            // The first key of a list's item leaves the dash behind.
            if line.trim_start().starts_with("- ") {
                "    -"
            } else {
                ""
            }
        })
        .collect();
    assert_eq!(parse(&without.join("\n")), whole);
}

#[test]
fn the_example_has_every_key() {
    let probes = [
        "",
        "global:\n  ",
        "alerting:\n  ",
        "alerting:\n  false_alerts_per_year:\n    ",
        "alerting:\n  severities:\n    ",
        "alerting:\n  alertmanagers:\n  - ",
        "scrape_configs:\n- ",
        "scrape_configs:\n- static_configs:\n  - ",
        "scrape_configs:\n- basic_auth:\n    ",
        "scrape_configs:\n- authorization:\n    ",
        "scrape_configs:\n- oauth2:\n    ",
        "scrape_configs:\n- tls_config:\n    ",
        "scrape_configs:\n- http_headers:\n    X-A:\n      ",
        "sources:\n- ",
        "signals:\n- ",
        "overrides:\n- ",
        "storage:\n  ",
        "web:\n  ",
        "limits:\n  ",
    ];
    let mut known = 0;
    for probe in probes {
        let text = format!("{probe}wwwwwwwwwwwww: 1");
        let mistakes: Mistakes = Config::parse(&text).expect_err("no such key");
        let told = mistakes.to_string();
        let (_, keys) = told
            .split_once("unknown key; known here: ")
            .unwrap_or_else(|| panic!("{probe:?}: {told}"));
        for key in keys.lines().next().expect("a line").split(", ") {
            let told = [format!("{key}:"), format!("or {key}")];
            assert!(
                told.iter().any(|told| EXAMPLE.contains(told)),
                "{probe:?}: {key}"
            );
            known += 1;
        }
    }
    assert!(known > 60, "{known}");
}
