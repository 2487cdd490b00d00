use super::*;

mod reading;

/// The rules of a list in YAML.
#[track_caller]
fn rules(yaml: &str) -> Relabelling {
    let root = checked_yaml::parse(yaml).expect("the rules are YAML");
    let mut mistakes = checked_yaml::Mistakes::new();
    let rules = Relabelling::read(Some(&root), &mut mistakes);
    assert!(mistakes.is_empty(), "{yaml}\n{mistakes}");
    rules
}

/// Labels as `a=1 b=2`; a plus sign stands for a space.
fn labels(text: &str) -> Labels {
    text.split(' ')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').expect("a label is name=value"))
        .map(|(name, value)| (name, value.replace('+', " ")))
        .collect()
}

#[track_caller]
fn check(yaml: &str, before: &str, after: Option<&str>) {
    let got = rules(yaml).apply(&labels(before));
    assert_eq!(got, after.map(labels), "{yaml} on {before}");
}

#[test]
fn replace_sets_a_label_where_the_whole_value_matches() {
    let rule = "[{source_labels: [a], target_label: d, regex: f, replacement: 'x${1}y'}]";
    check(rule, "a=f", Some("a=f d=xy"));
    check(rule, "a=ff", Some("a=ff"));
    check(rule, "a=ff d=old", Some("a=ff d=old"));
    check(
        "[{source_labels: [a], target_label: d, regex: 'f(.*)', replacement: 'ch${1}-ch${1}'}]",
        "a=foo b=bar",
        Some("a=foo b=bar d=choo-choo"),
    );
    // Values are joined, also those that are not there.
    check(
        "[{source_labels: [a, b, c], target_label: d}]",
        "a=1 c=3",
        Some("a=1 c=3 d=1;;3"),
    );
    check(
        "[{source_labels: [a, b], separator: '', target_label: d}]",
        "a=1 b=2",
        Some("a=1 b=2 d=12"),
    );
    // Without source labels the value is empty, which the default expression matches.
    check(
        "[{target_label: d, replacement: fixed}]",
        "",
        Some("d=fixed"),
    );
}

#[test]
fn an_empty_value_takes_a_label_away() {
    check(
        "[{source_labels: [a], target_label: b, regex: 'x(.*)', replacement: '$1'}]",
        "a=x b=old",
        Some("a=x"),
    );
    check(
        "[{target_label: a, replacement: ''}]",
        "a=1 b=2",
        Some("b=2"),
    );
    // A key without a value is an empty text.
    check(
        "- target_label: a\n  replacement:\n",
        "a=1 b=2",
        Some("b=2"),
    );
    check(
        "[{source_labels: [none], target_label: a}]",
        "a=1",
        Some(""),
    );
}

#[test]
fn replace_may_name_its_target_by_a_group() {
    let rule = |target: &str| {
        format!(
            "[{{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '{target}', replacement: '${{2}}'}}]"
        )
    };
    check(
        &rule("${1}"),
        "a=some-name-value",
        Some("a=some-name-value name=value"),
    );
    check(
        &rule("my_${1}_x"),
        "a=some-name-value",
        Some("a=some-name-value my_name_x=value"),
    );
    // A name that is none does nothing.
    check(&rule("$1"), "a=some-2x-value", Some("a=some-2x-value"));
    check(
        &rule("${3}"),
        "a=some-name-value",
        Some("a=some-name-value"),
    );
}

#[test]
fn keep_and_drop_look_at_the_joined_value() {
    check(
        "[{source_labels: [a], action: drop, regex: '.*o.*'}]",
        "a=foo",
        None,
    );
    check(
        "[{source_labels: [a], action: drop, regex: o}]",
        "a=foo",
        Some("a=foo"),
    );
    check(
        "[{source_labels: [a], action: keep, regex: o}]",
        "a=foo",
        None,
    );
    check(
        "[{source_labels: [a, b], action: keep, regex: 'foo;bar'}]",
        "a=foo b=bar",
        Some("a=foo b=bar"),
    );
    // What is dropped is not rewritten any more, and the first rule decides.
    check(
        "[{source_labels: [a], action: drop, regex: foo}, {target_label: b, replacement: x}]",
        "a=foo",
        None,
    );
    check(
        "[{target_label: b, replacement: x}, {source_labels: [b], action: keep, regex: x}]",
        "a=foo",
        Some("a=foo b=x"),
    );
    // The default expression matches everything, nothing included.
    check("[{action: drop}]", "a=1", None);
    check(
        "[{source_labels: [none], action: keep}]",
        "a=1",
        Some("a=1"),
    );
    check(
        "[{source_labels: [a], action: KEEP, regex: ''}]",
        "a=1",
        None,
    );
}

#[test]
fn keepequal_and_dropequal_compare_two_values() {
    let keep = "[{source_labels: [__port], target_label: __wanted, action: keepequal}]";
    check(keep, "__port=1 __wanted=1", Some("__port=1 __wanted=1"));
    check(keep, "__port=1 __wanted=2", None);
    check(keep, "a=1", Some("a=1"));
    let drop = "[{source_labels: [__port], target_label: __wanted, action: dropequal}]";
    check(drop, "__port=1 __wanted=1", None);
    check(drop, "__port=1 __wanted=2", Some("__port=1 __wanted=2"));
    check(drop, "a=1", None);
}

#[test]
fn hashmod_takes_the_last_half_of_the_md5_sum() {
    // Computed with Python: int.from_bytes(hashlib.md5(value).digest()[8:], 'big') % modulus.
    let rule = |modulus: u64| {
        format!("[{{source_labels: [c], target_label: d, action: hashmod, modulus: {modulus}}}]")
    };
    check(&rule(1000), "c=baz", Some("c=baz d=976"));
    check(&rule(1000), "c=foo\nbar", Some("c=foo\nbar d=734"));
    check(&rule(1), "c=baz", Some("c=baz d=0"));
    check(&rule(u64::MAX), "", Some("d=16825458760271544958"));
}

#[test]
fn labelmap_copies_and_leaves_the_old_names() {
    check(
        "[{action: labelmap, regex: '(b.*)', replacement: 'bar_${1}'}]",
        "a=foo b1=bar b2=baz",
        Some("a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz"),
    );
    check(
        "[{action: labelmap, regex: '__meta_(my.*)'}]",
        "a=foo __meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc",
        Some("a=foo __meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc my_bar=aaa my_baz=bbb"),
    );
    // What is copied is not copied again by the same rule; of two that get one name the later by name wins.
    check(
        "[{action: labelmap, regex: '(a)b*', replacement: '${1}b'}]",
        "a=1 abb=3",
        Some("a=1 ab=3 abb=3"),
    );
    check(
        "[{action: labelmap, regex: 'a_(.*)'}]",
        "a_1x=1",
        Some("a_1x=1"),
    );
}

#[test]
fn labeldrop_and_labelkeep_look_at_names() {
    let labels = "a=foo b1=bar b2=baz";
    check(
        "[{action: labeldrop, regex: '(b.*)'}]",
        labels,
        Some("a=foo"),
    );
    check(
        "[{action: labelkeep, regex: '(b.*)'}]",
        labels,
        Some("b1=bar b2=baz"),
    );
    check("[{action: labeldrop, regex: b}]", labels, Some(labels));
}

#[test]
fn letters_are_changed_one_by_one() {
    let lower = "[{source_labels: [a], target_label: b, action: lowercase}]";
    let upper = "[{source_labels: [a], target_label: b, action: uppercase}]";
    check(lower, "a=bAr123Foo", Some("a=bAr123Foo b=bar123foo"));
    check(upper, "a=bAr123Foo", Some("a=bAr123Foo b=BAR123FOO"));
    // Go's simple mappings, not Unicode's full ones.
    check(lower, "a=İΣΑΣ", Some("a=İΣΑΣ b=iσασ"));
    check(upper, "a=straße", Some("a=straße b=STRAßE"));
    check(upper, "a=ᾀᾳǰ", Some("a=ᾀᾳǰ b=ᾈᾼǰ"));
    check(upper, "b=old", Some(""));
}

#[test]
fn templates_are_filled_in_as_go_does() {
    let rows = [
        ("$1", "x"),
        ("${1}", "x"),
        ("$1-$2", "x-yy"),
        // The longest name: no group is called `1_`.
        ("$1_$2", "yy"),
        ("${1}_$2", "x_yy"),
        ("$word", "yy"),
        ("${word}s", "yys"),
        ("$words", ""),
        ("$$1", "$1"),
        ("$$$1", "$x"),
        ("a$", "a$"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("$-$1", "$-x"),
        ("$0", "x:yy"),
        ("$01", ""),
        ("$9", ""),
        ("${1}${999999999999}", "x"),
    ];
    for (replacement, expected) in rows {
        let yaml = format!(
            "[{{source_labels: [a], regex: '([^:]+):(?P<word>.*)', target_label: b, replacement: '{replacement}'}}]"
        );
        let expected = match expected {
            "" => "a=x:yy".to_owned(),
            expected => format!("a=x:yy b={expected}"),
        };
        check(&yaml, "a=x:yy", Some(&expected));
    }
}

#[test]
fn expressions_are_read_as_go_reads_them() {
    let rows = [
        // Anchored, alternatives included.
        ("foo|bar", "foobar", false),
        ("foo|bar", "bar", true),
        // `.` matches a line feed; `$` is the very end.
        ("a.b", "a\nb", true),
        ("a$", "a\n", false),
        // ASCII classes.
        (r"\d+", "12", true),
        (r"\d+", "١٢", false),
        (r"\w+", "aé", false),
        (r"[\w-]+", "a-b", true),
        (r"[^\d]", "١", true),
        (r"[\D]", "١", true),
        (r"\s", "\u{b}", false),
        (r"\s", "\u{c}", true),
        (r".*\bfoo\b.*", "a foo b", true),
        (r".*\bfoo\b.*", "éfoo", true),
        (r"\S+", "añb", true),
        // Quoting and escapes.
        (r"\Qa.b\E.", "a.bc", true),
        (r"\Qa.b\E.", "axbc", false),
        (r"\<a\>", "<a>", true),
        (r"a\-b\/c\_d", "a-b/c_d", true),
        (r"\x41\x{42}\103", "ABC", true),
        // Braces that are no repetition.
        ("a{,2}", "a{,2}", true),
        ("{{x}}", "{{x}}", true),
        ("a{2}", "aa", true),
        ("a{02}", "a{02}", true),
        ("a{1,}?", "aaa", true),
        // Classes without set operations.
        ("[[a]", "[", true),
        ("[a&&b]+", "a&b", true),
        ("[a~~b]+", "a~b", true),
        ("[]a]+", "]a", true),
        ("[^]a]", "b", true),
        ("[-a]+", "a-", true),
        ("[a-]+", "a-", true),
        ("[[:alpha:]]+", "ab", true),
        ("[[:^alpha:]]+", "12", true),
        (r"[\]\\]+", r"]\", true),
        // Flags, names and Unicode classes.
        ("(?i)foo", "FOO", true),
        ("(?i:f)oo", "FOO", false),
        ("(?P<a>x)(?<b>y)(?:z)", "xyz", true),
        (r"\pL+", "é", true),
        (r"\p{^Greek}", "α", false),
        (r"\P{^Greek}", "α", true),
        (r"[\p{Greek}]", "α", true),
        ("(?U)a+", "aaa", true),
    ];
    for (text, value, expected) in rows {
        let pattern = Pattern::new(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pattern.matches(value), expected, "{text} on {value:?}");
    }
}

#[test]
fn expressions_that_go_refuses_are_refused() {
    for text in [
        "a**",
        "a{2}{3}",
        "a*+",
        "a{1001}",
        "(?x)a",
        "(?R)a",
        "(?=a)",
        "(?!a)",
        "(?P=a)",
        "(a",
        "a)",
        "a)(b",
        "[a",
        "[",
        "*",
        r"\",
        r"a\",
        r"\Z",
        r"\C",
        r"\8",
        r"\é",
        "[b-a]",
        r"[\b]",
        "(?P<a>x)(?P<a>y)",
        r"\p{Nonsense}",
    ] {
        assert!(Pattern::new(text).is_err(), "{text}");
    }
    let large = Pattern::new(r"(?:(?:\pL{100}){100}){100}");
    assert_eq!(large.unwrap_err(), PatternError::TooLarge);
}

#[test]
fn rules_tell_whether_they_may_rename_a_sample() {
    for (yaml, expected) in [
        ("[{source_labels: [a], target_label: __name__}]", true),
        ("[{source_labels: [a], target_label: '${1}'}]", true),
        ("[{source_labels: [a], target_label: b}]", false),
        ("[{action: labelmap, regex: 'x(.*)'}]", true),
        (
            "[{action: labelmap, regex: 'x(.*)', replacement: y}]",
            false,
        ),
        (
            "[{source_labels: [a], action: lowercase, target_label: __name__}]",
            true,
        ),
        (
            "[{source_labels: [__name__], action: drop, regex: 'go_.*'}]",
            false,
        ),
        ("[{action: labeldrop, regex: 'le'}]", false),
        ("[]", false),
    ] {
        assert_eq!(rules(yaml).may_rename(), expected, "{yaml}");
    }
}
