use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Action, Config, IpNetwork, Policy};

const UPSTREAMS: &str = r#"
upstreams:
  - name: content
    endpoints: ["http://127.0.0.1:9001"]
  - name: social
    endpoints: ["http://127.0.0.1:9002", "http://[::1]:9003", "http://example.org"]
"#;

const ROUTES: &str = r#"
routes:
  - path: /content/*
    proxy: content
  - path: /home/{id}
    deadline: 2s
    fan_out:
      policy: partial
      calls:
        - { name: article, upstream: content, path: "/content/{id}" }
        - { name: likes, upstream: social, path: "/likes?of={id}" }
"#;

/// The mistakes of a file made of these parts; the first line of `head` is line 1.
#[track_caller]
fn check(parts: &[&str], expected: Expect) {
    let text = parts.concat();
    let actual = match Config::parse(text.trim_start()) {
        Ok(_) => "no mistake".to_owned(),
        Err(mistakes) => mistakes.to_string(),
    };
    expected.assert_eq(&actual);
}

/// The mistakes of an upstream with these further keys.
#[track_caller]
fn upstream(keys: &str, expected: Expect) {
    let upstream = format!("\nupstreams:\n  - name: a\n    endpoints: [\"http://h:1\"]\n{keys}");
    check(
        &[
            "listen: 127.0.0.1:1",
            &upstream,
            "routes: [{ path: /, proxy: a }]",
        ],
        expected,
    );
}

/// The mistakes of these routes, the first in line 3.
#[track_caller]
fn routes(items: &str, expected: Expect) {
    let text = format!(
        "listen: 127.0.0.1:1\nroutes:\n{items}\nupstreams:\n  - {{ name: a, endpoints: [\"http://h:1\"] }}\n"
    );
    check(&[&text], expected);
}

#[test]
fn the_least_configuration_gets_the_defaults() {
    let text = format!("listen: 127.0.0.1:8080\nadmin: 127.0.0.1:9902\n{UPSTREAMS}{ROUTES}");
    let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.metrics.to_string(), "127.0.0.1:9901");
    assert!(config.console.is_none() && !config.admin_drills);
    assert_eq!(config.grace, Duration::from_secs(2));
    let endpoints: Vec<(&str, u16, &str)> = config.upstreams[1]
        .endpoints
        .iter()
        .map(|e| (&*e.host, e.port, e.authority.to_str().expect("text")))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("127.0.0.1", 9002, "127.0.0.1:9002"),
            ("::1", 9003, "[::1]:9003"),
            ("example.org", 80, "example.org")
        ]
    );
    let proxy = &config.routes[0];
    assert_eq!(proxy.deadline, Duration::from_secs(60));
    assert_eq!(proxy.body_idle_timeout, Some(Duration::from_secs(60)));
    assert!(matches!(
        proxy.action,
        Action::Proxy {
            upstream: 0,
            rewrite: None
        }
    ));
    let fan_out = &config.routes[1];
    assert_eq!(fan_out.deadline, Duration::from_secs(2));
    let Action::FanOut {
        policy: Policy::Partial,
        calls,
    } = &fan_out.action
    else {
        panic!("{:?}", fan_out.action);
    };
    let calls: Vec<(&str, usize)> = calls.iter().map(|c| (&*c.name, c.upstream)).collect();
    assert_eq!(calls, [("article", 0), ("likes", 1)]);
}

#[test]
fn an_empty_file_lacks_what_is_required() {
    check(
        &[""],
        expect![[r#"
        `listen` is missing
        `upstreams` is missing
        `routes` is missing"#]],
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"
lissen: 127.0.0.1:8080
metrics: localhost:9901
upstreams:
  - name: content
    endpoints: ["127.0.0.1:9001", "https://h:1"]
    connect_timeout: 5
    drain_timeout: 3s
  - name: content
    endpoints: []
routes:
  - path: /content/*
    proxy: contents
  - path: content
    proxi: content
  - path: /home/{id}
    fan_out:
      policy: some
      calls:
        - { name: errors, upstream: content, path: "/x/{ident}" }
        - { name: likes, upstream: social }
"#;
    check(
        &[text],
        expect![[r#"
            `listen` is missing
            line 1: lissen: unknown key; did you mean `listen`?
            line 2: metrics: `localhost:9901` is not an IP address and port such as 127.0.0.1:8080: invalid socket address syntax
            line 5: upstreams[0].endpoints[0]: `127.0.0.1:9001` is not an endpoint such as http://127.0.0.1:9001: it must start with http:// or https://
            line 6: upstreams[0].connect_timeout: `5` is not a duration such as 250ms, 15s or 1h30m
            line 7: upstreams[0].drain_timeout: the drain timeout (3s) must stay below `grace` (2s), or a body in drain would count as overdue
            line 8: upstreams[1].name: two upstreams are named `content`
            line 9: upstreams[1].endpoints: needs at least one endpoint
            line 12: routes[0].proxy: no upstream is named `contents`; configured: content
            line 13: routes[1]: needs `proxy` or `fan_out`
            line 13: routes[1].path: `content`: a path starts with `/`
            line 14: routes[1].proxi: unknown key; did you mean `proxy`?
            line 17: routes[2].fan_out.policy: `some` is neither `error` nor `partial`
            line 19: routes[2].fan_out.calls[0].name: a call cannot be named `errors`: the answer keeps that key for its failures
            line 19: routes[2].fan_out.calls[0].path: `/x/{ident}`: the route's path `/home/{id}` has no capture `{ident}`
            line 20: routes[2].fan_out.calls[1]: `path` is missing
            line 20: routes[2].fan_out.calls[1].upstream: no upstream is named `social`; configured: content"#]],
    );
}

#[test]
fn listeners_that_contradict_each_other() {
    check(
        &[
            "listen: 0.0.0.0:9901\nadmin: 127.0.0.1:9901\n",
            UPSTREAMS,
            ROUTES,
        ],
        expect![[r#"
            metrics: 127.0.0.1:9901 is taken by `listen`
            line 2: admin: 127.0.0.1:9901 is taken by `listen`"#]],
    );
    check(
        &[
            "listen: 127.0.0.1:0\nmetrics: 127.0.0.1:0\nadmin: 127.0.0.1:0\n",
            UPSTREAMS,
            ROUTES,
        ],
        expect!["no mistake"],
    );
    check(
        &[
            "listen: 127.0.0.1:9001\nadmin_drills: true\n",
            UPSTREAMS,
            ROUTES,
        ],
        expect![[r#"
            line 2: admin_drills: needs `admin`, the listener that would start them
            line 6: upstreams[0].endpoints[0]: is this gateway's own `listen` address: requests would go in circles"#]],
    );
    check(
        &[
            "listen: 127.0.0.1:1\nadmin_drills: yes\n",
            UPSTREAMS,
            ROUTES,
        ],
        expect!["line 2: admin_drills: `yes` is neither true nor false"],
    );
}

#[cfg(not(feature = "console"))]
#[test]
fn a_console_in_a_build_without_it_names_the_feature() {
    check(
        &[
            "listen: 127.0.0.1:1\nconsole: 127.0.0.1:6669\n",
            UPSTREAMS,
            ROUTES,
        ],
        expect![
            "line 2: console: this binary was built without the feature `console`; build it with --features console, or leave the key out"
        ],
    );
}

#[test]
fn limits_have_bounds() {
    let limits = r#"
listen: 127.0.0.1:1
grace: 0s
max_accounts: 0
shutdown_timeout: 2y
limits:
  max_connections: -1
  header_read_timeout: fast
  max_header_bytes: 1KiB
  max_headers: many
  max_bodies: 3
trusted_peers: [10.0.0.0/8, 10.0.0.0/33, here]
"#;
    check(
        &[limits, UPSTREAMS, ROUTES],
        expect![[r#"
            line 2: grace: must be more than zero
            line 3: max_accounts: `0` must be between 1 and 1000000
            line 4: shutdown_timeout: is longer than a year
            line 6: limits.max_connections: `-1` is not a whole number: invalid digit found in string
            line 7: limits.header_read_timeout: `fast` is not a duration such as 250ms, 15s or 1h30m
            line 8: limits.max_header_bytes: `1024` must be between 8192 and 16777216
            line 9: limits.max_headers: `many` is not a whole number: invalid digit found in string
            line 10: limits.max_bodies: unknown key; known here: max_connections, header_read_timeout, max_header_bytes, max_headers, max_concurrent_streams, max_resets, max_uri_bytes, max_request_body_bytes, body_read_timeout, min_body_bytes_per_second, descriptor_reserve
            line 11: trusted_peers[1]: `10.0.0.0/33` is not a network: write an IP address, or one with its prefix such as 10.0.0.0/8
            line 11: trusted_peers[2]: `here` is not a network: write an IP address, or one with its prefix such as 10.0.0.0/8"#]],
    );
}

#[test]
fn upstreams() {
    upstream("", expect!["no mistake"]);
    upstream(
        "    max_idle: 300\n    max_lifetime: off\n",
        expect![
            "line 5: upstreams[0].max_idle: `300` is more than `max_connections` (256) can ever hold"
        ],
    );
    upstream(
        "    max_connections: 10\n    max_requests: 0\n",
        expect![
            "line 6: upstreams[0].max_requests: `0` must be between 1 and 18446744073709551615"
        ],
    );
    upstream(
        "    drain_bytes: 2GiB\n    drain_timeout: 2s\n",
        expect![[r#"
            line 5: upstreams[0].drain_bytes: `2147483648` must be between 0 and 1073741824
            line 6: upstreams[0].drain_timeout: the drain timeout (2s) must stay below `grace` (2s), or a body in drain would count as overdue"#]],
    );
    upstream(
        "  - name: a b\n    endpoints: [\"http://h:1\", \"http://h:1\"]\n",
        expect![[r#"
            line 5: upstreams[1].name: `a b`: a name is made of letters, digits, `.`, `_` and `-`
            line 6: upstreams[1].endpoints[1]: the same endpoint stands twice"#]],
    );
    upstream(
        "  - name: b\n    endpoints: [\"http://u:p@h:1\", \"http://h:0\", \"http://h:1/x\", \"http://h:99999\", \"ftp://h\", \"\"]\n",
        expect![[r#"
            line 6: upstreams[1].endpoints[0]: this endpoint cannot be used: it must not hold a user or password
            line 6: upstreams[1].endpoints[1]: `http://h:0` is not an endpoint such as http://127.0.0.1:9001: its port must be between 1 and 65535
            line 6: upstreams[1].endpoints[2]: `http://h:1/x` is not an endpoint such as http://127.0.0.1:9001: it must end after the port; paths are set on routes
            line 6: upstreams[1].endpoints[3]: `http://h:99999` is not an endpoint such as http://127.0.0.1:9001: its port must be between 1 and 65535
            line 6: upstreams[1].endpoints[4]: `ftp://h` is not an endpoint such as http://127.0.0.1:9001: it must start with http:// or https://
            line 6: upstreams[1].endpoints[5]: `` is not an endpoint such as http://127.0.0.1:9001: it is no URL"#]],
    );
    upstream(
        "    tls: true\n    max_inflight: 3\n",
        expect![[r#"
            line 5: upstreams[0].tls: does nothing: no endpoint is reached by https
            line 6: upstreams[0].max_inflight: unknown key; did you mean `max_in_flight`?"#]],
    );
}

#[test]
fn routes_and_calls() {
    routes(
        "  - { path: /a, proxy: a }\n  - { path: /a, proxy: a }",
        expect!["line 4: routes[1].path: `/a` matches the same paths as `/a` in line 3"],
    );
    routes(
        "  - { path: \"/{a}/x\", proxy: a }\n  - { path: \"/{b}/x\", proxy: a }",
        expect!["line 4: routes[1].path: `/{b}/x` matches the same paths as `/{a}/x` in line 3"],
    );
    routes(
        "  - { path: /a }",
        expect!["line 3: routes[0]: needs `proxy` or `fan_out`"],
    );
    routes(
        "  - { path: /a, proxy: a, fan_out: { policy: error, calls: [{ name: x, upstream: a, path: / }] } }",
        expect!["line 3: routes[0].fan_out: stands beside `proxy`: a route does one of them"],
    );
    routes(
        "  - { path: /a, fan_out: { policy: error, calls: [] }, rewrite: /b }",
        expect![[r#"
            line 3: routes[0].fan_out.calls: needs at least one call
            line 3: routes[0].rewrite: belongs to `proxy`; the calls of a fan-out have a `path` each"#]],
    );
    routes(
        "  - { path: /a, fan_out: { policy: error }, body_idle_timeout: off }",
        expect![[r#"
            line 3: routes[0].body_idle_timeout: belongs to `proxy`; a fan-out's `deadline` bounds its bodies too
            line 3: routes[0].fan_out: `calls` is missing"#]],
    );
    routes(
        "  - path: /a\n    fan_out:\n      policy: error\n      calls:\n        - { name: x, upstream: a, path: / }\n        - { name: x, upstream: a, path: \"b\" }",
        expect![[r#"
            line 8: routes[0].fan_out.calls[1].name: two calls are named `x`
            line 8: routes[0].fan_out.calls[1].path: `b`: a path starts with `/`"#]],
    );
    routes(
        "  - { path: /a/*, proxy: a, rewrite: \"/b/*?c=1\" }",
        expect![
            "line 3: routes[0].rewrite: must not hold a query: the request's own goes on as it is"
        ],
    );
    routes(
        "  - { path: /a/*, proxy: a, rewrite: \"/b/{id}\", deadline: 0s }",
        expect![[r#"
            line 3: routes[0].deadline: must be more than zero
            line 3: routes[0].rewrite: `/b/{id}`: the route's path `/a/*` has no capture `{id}`"#]],
    );
    routes(
        "  - { path: \"/a*\", proxy: a }",
        expect!["line 3: routes[0].path: `/a*`: `*` stands only at the end, as `/*`"],
    );
    routes("  []", expect!["line 2: routes: needs at least one route"]);
}

#[test]
fn networks_hold_their_peers() {
    let holds = |network: &str, peer: &str| {
        let network: IpNetwork = network.parse().expect("a network");
        network.contains(peer.parse().expect("an address"))
    };
    assert!(holds("10.0.0.0/8", "10.255.1.2"));
    assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(!holds("10.0.0.0/8", "11.0.0.1"));
    assert!(holds("0.0.0.0/0", "1.2.3.4"));
    assert!(!holds("0.0.0.0/0", "::1"));
    assert!(holds("::1", "::1"));
    assert!(!holds("::1", "::2"));
    assert!(holds("fd00::/8", "fd12::1"));
}

const EXAMPLE: &str = include_str!("../../gateway.example.yml");

/// The example with every line `#key: ...` made live.
fn example_with_defaults() -> String {
    let live = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => {
            let indent = line.len() - line.trim_start().len();
            format!("{}{rest}\n", " ".repeat(indent))
        }
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(live).collect()
}

#[test]
fn the_example_states_the_defaults() {
    let example = Config::parse(EXAMPLE).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let stated = Config::parse(&example_with_defaults())
        .unwrap_or_else(|mistakes| panic!("with its defaults: {mistakes}"));
    assert_eq!(example, stated);
}

#[test]
fn the_example_names_every_key() {
    let probe = "x: 1\nlimits: { x: 1 }\nupstreams: [{ x: 1 }]\nroutes:\n  - { x: 1, fan_out: { x: 1, calls: [{ x: 1 }] } }\n";
    let mistakes = Config::parse(probe).expect_err("unknown keys").to_string();
    let lists: Vec<&str> = mistakes
        .lines()
        .filter_map(|line| line.split_once("known here: "))
        .map(|(_, list)| list)
        .collect();
    assert_eq!(lists.len(), 6, "{mistakes}");
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        assert!(
            EXAMPLE.contains(&format!("{key}:")),
            "{key} is not in the example"
        );
    }
}
