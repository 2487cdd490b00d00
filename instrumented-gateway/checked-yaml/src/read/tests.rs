use std::net::SocketAddr;

use expect_test::{Expect, expect};

use crate::{Mistakes, parse};

/// A reader in miniature: two scalars, a list of mappings, and a mapping of the operator's own keys.
fn mistakes_of(text: &str) -> String {
    let mut mistakes = Mistakes::new();
    let root = match parse(text) {
        Ok(root) => root,
        Err(mistakes) => return mistakes.to_string(),
    };
    let mut fields = root.fields(&mut mistakes);
    if let Some(node) = fields.required("listen", &mut mistakes) {
        node.parse::<SocketAddr>("an address and port", &mut mistakes);
    }
    if let Some(node) = fields.optional("enabled") {
        node.boolean(&mut mistakes);
    }
    for item in fields
        .optional("routes")
        .map_or(&[][..], |node| node.items(&mut mistakes))
    {
        let mut route = item.fields(&mut mistakes);
        route
            .required("path", &mut mistakes)
            .and_then(|node| node.text(&mut mistakes));
        if let Some(node) = route.optional("deadline") {
            node.positive_duration(&mut mistakes);
        }
        route.finish(&mut mistakes);
    }
    fields.refuse("tls_config", "TLS is not supported here", &mut mistakes);
    fields.finish(&mut mistakes);
    mistakes.to_string()
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&mistakes_of(text));
}

#[test]
fn a_good_file_has_no_mistakes() {
    check(
        "listen: 127.0.0.1:80\nenabled: true\nroutes:\n  - path: /a\n    deadline: 2s\n",
        expect![""],
    );
}

#[test]
fn every_mistake_is_reported_with_key_and_line() {
    check(
        "lissen: 127.0.0.1:80\nenabled: maybe\nroutes:\n  - path: [1]\n    deadline: 0s\n  - deadline: soon\n    colour: red\ntls_config: {}\n",
        expect![[r#"
            `listen` is missing
            line 1: lissen: unknown key; did you mean `listen`?
            line 2: enabled: `maybe` is neither true nor false
            line 4: routes[0].path: expected a text, found a list
            line 5: routes[0].deadline: must be more than zero
            line 6: routes[1]: `path` is missing
            line 6: routes[1].deadline: `soon` is not a duration such as 250ms, 15s or 1h30m
            line 7: routes[1].colour: unknown key; known here: path, deadline
            line 8: tls_config: TLS is not supported here"#]],
    );
}

#[test]
fn kinds_are_checked() {
    check(
        "- a\n- b\n",
        expect![[r#"
            expected keys and values, found a list
            `listen` is missing"#]],
    );
    check(
        "listen: not an address\nroutes: nine\n",
        expect![[r#"
        line 1: listen: `not an address` is not an address and port: invalid socket address syntax
        line 2: routes: expected a list, found `nine`"#]],
    );
}

#[test]
fn an_empty_file_lacks_what_is_required() {
    check("", expect!["`listen` is missing"]);
    check("# only a comment\n", expect!["`listen` is missing"]);
}

#[test]
fn what_is_not_yaml_says_so_with_its_line() {
    check(
        "listen: 127.0.0.1:80\nroutes: [1, 2\nother: 3\n",
        expect!["line 3: this is not YAML: illegal placement of ':' indicator"],
    );
    check(
        "listen: 127.0.0.1:1\nlisten: b\n",
        expect!["line 2: listen: repeats the key of line 1; keep one"],
    );
}

#[test]
fn a_scalar_keeps_its_spelling() {
    let root = parse("a: 1.10\nb: 007\nc: 'yes'\nd: no\ne: 0x1F\nf: 1e3\n").expect("YAML");
    let mut mistakes = Mistakes::new();
    let texts: Vec<&str> = root
        .entries(&mut Mistakes::new())
        .iter()
        .filter_map(|(_, node)| node.text(&mut mistakes))
        .collect();
    assert_eq!(texts, ["1.10", "007", "yes", "no", "0x1F", "1e3"]);
    assert!(mistakes.is_empty());
}
