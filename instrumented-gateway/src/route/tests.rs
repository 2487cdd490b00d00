use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use proptest::prelude::*;

use super::{Lookup, Pattern, RouteTable, Template};

fn table(patterns: &[&str]) -> RouteTable {
    RouteTable::new(patterns.iter().map(|text| pattern(text)))
}

#[track_caller]
fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The pattern that `path` finds among `patterns`, `-` for none, `refused` for a dot segment.
#[track_caller]
fn check(patterns: &[&str], path: &str, expected: &str) {
    let found = match table(patterns).find(path) {
        Lookup::Found { route, .. } => patterns[route],
        Lookup::Unmatched => "-",
        Lookup::DotSegment => "refused",
    };
    assert_eq!(found, expected, "{path} among {patterns:?}");
}

#[test]
fn exact_prefix_and_captures_match_what_they_say() {
    check(&["/a"], "/a", "/a");
    check(&["/a"], "/a/", "-");
    check(&["/a"], "/", "-");
    check(&["/"], "/", "/");
    check(&["/a/*"], "/a/", "/a/*");
    check(&["/a/*"], "/a/b/c", "/a/*");
    check(&["/a/*"], "/a", "-");
    check(&["/a/*"], "/ab", "-");
    check(&["/*"], "/", "/*");
    check(&["/*"], "/x/y", "/*");
    check(&["/*"], "*", "-");
    check(&["/home/{id}"], "/home/7", "/home/{id}");
    check(&["/home/{id}"], "/home/", "-");
    check(&["/home/{id}"], "/home/7/8", "-");
    check(&["/home/{id}"], "/home/a%2Fb", "/home/{id}");
    check(&["/{a}/x/{b}"], "/1/x/2", "/{a}/x/{b}");
}

#[test]
fn escapes_are_compared_decoded() {
    check(&["/content"], "/%63ontent", "/content");
    check(&["/caf%C3%A9"], "/caf%c3%a9", "/caf%C3%A9");
    check(&["/a/b"], "/a%2Fb", "-");
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    let all = ["/*", "/{any}/b", "/a/*", "/a/{x}", "/a/b"];
    let mut reversed = all;
    reversed.reverse();
    for patterns in [all, reversed] {
        check(&patterns, "/a/b", "/a/b");
        check(&patterns, "/a/c", "/a/{x}");
        check(&patterns, "/a/c/d", "/a/*");
        check(&patterns, "/z/b", "/{any}/b");
        check(&patterns, "/z/c", "/*");
    }
}

#[test]
fn a_dead_end_is_left_again() {
    check(&["/a/b/c", "/{x}/b/d"], "/a/b/d", "/{x}/b/d");
    check(&["/a/b/c", "/a/*"], "/a/b/d", "/a/*");
}

#[test]
fn dot_segments_are_refused_in_any_spelling() {
    for path in ["/a/..", "/a/../b", "/./a", "/a/%2e%2E/b", "/a/.%2e"] {
        check(&["/*"], path, "refused");
    }
    check(&["/*"], "/a/...", "/*");
    check(&["/*"], "/a/.well-known", "/*");
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    match Pattern::parse(text) {
        Ok(pattern) => panic!("{text} was taken for {pattern:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

#[test]
fn what_is_no_pattern_says_why() {
    refused("a", "a path starts with `/`");
    refused("", "a path starts with `/`");
    refused("/a/*/b", "`*` stands only at the end, as `/*`");
    refused("/a*", "`*` stands only at the end, as `/*`");
    refused("/a?b", "`?` cannot stand in a path: percent-encode it");
    refused("/é", "`é` cannot stand in a path: percent-encode it");
    refused("/{a}/{a}", "the capture `{a}` stands twice");
    refused(
        "/x{a}",
        "`x{a}` is no capture: a capture is a whole segment such as `{id}`, of letters, digits and `_`",
    );
    refused(
        "/{}",
        "`{}` is no capture: a capture is a whole segment such as `{id}`, of letters, digits and `_`",
    );
    refused(
        "/a/../b",
        "`.` and `..` segments never match, such requests are refused",
    );
}

/// What `template` makes of `path`, matched by `route`.
#[track_caller]
fn expands(route: &str, template: &str, path: &str, expected: &str) {
    let route = pattern(route);
    let template = match Template::parse(template, &route) {
        Ok(template) => template,
        Err(error) => panic!("{template}: {error}"),
    };
    let Lookup::Found { captures, .. } = RouteTable::new([route]).find(path) else {
        panic!("{path} does not match");
    };
    assert_eq!(template.expand(&captures, path), expected, "{path}");
}

#[test]
fn a_capture_stays_within_its_component() {
    let cases = [
        ("/home/7", "/likes?of=7"),
        ("/home/7%267", "/likes?of=7%267"),
        ("/home/7&admin=1", "/likes?of=7%26admin%3D1"),
        ("/home/a%2Fb", "/likes?of=a%2Fb"),
        ("/home/a+b", "/likes?of=a%2Bb"),
        ("/home/a%20b", "/likes?of=a%20b"),
        ("/home/%2523", "/likes?of=%2523"),
        ("/home/%zz", "/likes?of=%25zz"),
        ("/home/%ff", "/likes?of=%FF"),
        ("/home/caf%C3%A9", "/likes?of=caf%C3%A9"),
    ];
    for (path, expected) in cases {
        expands("/home/{id}", "/likes?of={id}", path, expected);
    }
    expands(
        "/home/{id}",
        "/c/{id}/x",
        "/home/a%2Fb%3Fc",
        "/c/a%2Fb%3Fc/x",
    );
    expands("/home/{id}", "/c;{id}", "/home/a;b=c", "/c;a%3Bb%3Dc");
    expands("/{a}/{b}", "/{b}-{a}.json?q={a}", "/1/2", "/2-1.json?q=1");
}

proptest! {
    /// Whatever a capture holds, the path keeps its segments, its parameters and the value.
    #[test]
    fn a_capture_adds_nothing_but_itself(value in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assume!(value != b"." && value != b"..");
        let path = format!("/home/{}", percent_encode(&value, NON_ALPHANUMERIC));
        let route = pattern("/home/{id}");
        let template = Template::parse("/a/.{id}/b?x={id}&y=1", &route).expect("a template");
        let Lookup::Found { captures, .. } = RouteTable::new([route]).find(&path) else {
            panic!("{path} does not match");
        };
        let text = template.expand(&captures, &path);
        let uri: http::Uri = text.parse().expect("a URI");
        let segments: Vec<&str> = uri.path().split('/').collect();
        prop_assert_eq!(segments.len(), 4);
        let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        prop_assert_eq!(decode(&segments[2][1..]), value.clone());
        let parameters: Vec<&str> = uri.query().expect("a query").split('&').collect();
        prop_assert_eq!(parameters.len(), 2);
        prop_assert_eq!(decode(&parameters[0][2..]), value);
        prop_assert!(!super::has_dot_segment(uri.path()));
    }
}

#[test]
fn the_rest_of_a_prefix_goes_on_as_it_came() {
    expands("/a/*", "/b/*", "/a/x%2Fy/z", "/b/x%2Fy/z");
    expands("/a/*", "/*", "/a/", "/");
    expands("/{v}/a/*", "/b/{v}/*?v={v}", "/1/a/x", "/b/1/x?v=1");
}

#[track_caller]
fn template_refused(route: &str, template: &str, expected: &str) {
    match Template::parse(template, &pattern(route)) {
        Ok(taken) => panic!("{template} was taken for {taken:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{template}"),
    }
}

#[test]
fn what_is_no_template_says_why() {
    template_refused("/a", "b", "a path starts with `/`");
    template_refused(
        "/a/{id}",
        "/b/{ident}",
        "the route's path `/a/{id}` has no capture `{ident}`",
    );
    let braces = "`{` and `}` stand only around a capture of the route's path, such as `{id}`";
    template_refused("/a/{id}", "/b/{id", braces);
    template_refused("/a/{id}", "/b/}{id}", braces);
    let star =
        "`*` stands only at the end of the path, as `/*`, and only where the route's path ends so";
    template_refused("/a", "/b/*", star);
    template_refused("/a/*", "/b*", star);
    template_refused(
        "/a",
        "/b#c",
        "`#` cannot stand in a path or query: percent-encode it",
    );
    template_refused(
        "/a",
        "/b c",
        "` ` cannot stand in a path or query: percent-encode it",
    );
    template_refused(
        "/a",
        "/b/../c",
        "a path for an upstream holds no `.` or `..` segment",
    );
}
