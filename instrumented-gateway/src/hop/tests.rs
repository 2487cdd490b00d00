use super::*;

fn hop(forwarded: Forwarding, x_forwarded: Forwarding) -> Hop {
    Hop::new(&HopConfig {
        via: Some("gw".into()),
        forwarded,
        x_forwarded,
    })
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(*name, HeaderValue::from_static(value));
    }
    fields
}

/// The fields of a request for `a:1` after it was marked, as text.
#[track_caller]
fn check(hop: &Hop, origin: Origin, came: &[(&'static str, &'static str)], expected: &[&str]) {
    let mut marked = fields(came);
    let host = HeaderValue::from_static("a:1");
    let present = Present::of(&marked);
    hop.mark_request(&mut marked, present, Version::HTTP_11, &origin, Some(&host));
    marked.remove(VIA);
    let mut lines: Vec<String> = marked
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, expected, "{origin:?} {came:?}");
}

fn stranger() -> Origin {
    Origin {
        address: Some(IpAddr::from([192, 0, 2, 1]).into()),
        secure: false,
        trusted: false,
    }
}

fn friend() -> Origin {
    Origin {
        address: Some("2001:db8::1".parse::<IpAddr>().expect("an address").into()),
        secure: true,
        trusted: true,
    }
}

const SAID: &[(&str, &str)] = &[
    ("forwarded", "for=10.0.0.1"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-for", "10.0.0.2"),
    ("x-forwarded-host", "said"),
    ("x-forwarded-proto", "gopher"),
];

#[test]
fn what_a_stranger_says_of_earlier_hops_does_not_go_on() {
    check(
        &hop(Forwarding::Off, Forwarding::Off),
        stranger(),
        SAID,
        &[],
    );
    let expected = [
        "forwarded: for=192.0.2.1;host=\"a:1\";proto=http",
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-host: a:1",
        "x-forwarded-proto: http",
    ];
    for forwarding in [Forwarding::Append, Forwarding::Replace] {
        check(&hop(forwarding, forwarding), stranger(), SAID, &expected);
    }
}

#[test]
fn what_a_trusted_peer_says_goes_on_unless_it_is_replaced() {
    check(
        &hop(Forwarding::Off, Forwarding::Off),
        friend(),
        SAID,
        &[
            "forwarded: for=10.0.0.1",
            "x-forwarded-for: 10.0.0.1",
            "x-forwarded-for: 10.0.0.2",
            "x-forwarded-host: said",
            "x-forwarded-proto: gopher",
        ],
    );
    check(
        &hop(Forwarding::Append, Forwarding::Append),
        friend(),
        SAID,
        &[
            "forwarded: for=\"[2001:db8::1]\";host=\"a:1\";proto=https",
            "forwarded: for=10.0.0.1",
            "x-forwarded-for: 10.0.0.1, 10.0.0.2, 2001:db8::1",
            "x-forwarded-host: said",
            "x-forwarded-proto: gopher",
        ],
    );
    check(
        &hop(Forwarding::Replace, Forwarding::Replace),
        friend(),
        SAID,
        &[
            "forwarded: for=\"[2001:db8::1]\";host=\"a:1\";proto=https",
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: a:1",
            "x-forwarded-proto: https",
        ],
    );
}

#[test]
fn via_tells_the_version_that_was_received() {
    let hop = hop(Forwarding::Off, Forwarding::Off);
    for (version, expected) in [
        (Version::HTTP_10, "1.0 gw"),
        (Version::HTTP_11, "1.1 gw"),
        (Version::HTTP_2, "2.0 gw"),
    ] {
        let mut answer = fields(&[("via", "1.1 a")]);
        hop.mark_answer(&mut answer, version);
        let lines: Vec<_> = answer.get_all(VIA).iter().collect();
        assert_eq!(lines, ["1.1 a", expected]);
    }
}

#[test]
fn a_request_that_was_here_before_is_known_by_its_via() {
    let hop = hop(Forwarding::Off, Forwarding::Off);
    for (line, expected) in [
        ("1.1 gw", true),
        ("1.0 a, HTTP/1.1 GW (x), 1.1 b", true),
        ("1.1 a (1.1 gw, 1.1 gw), 2.0 b", false),
        ("1.1 gw2", false),
        ("gw", false),
        ("", false),
    ] {
        assert_eq!(hop.has_seen(&fields(&[("via", line)])), expected, "{line}");
    }
}

#[test]
fn without_a_name_it_has_one_for_the_life_of_the_process() {
    let unnamed = HopConfig {
        via: None,
        forwarded: Forwarding::Off,
        x_forwarded: Forwarding::Off,
    };
    let (first, second) = (Hop::new(&unnamed), Hop::new(&unnamed));
    assert_eq!(first.name, second.name);
    assert_eq!(first.name.len(), "gateway-".len() + 8);
}
