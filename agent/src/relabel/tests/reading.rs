//! What is wrong with a rule, said with key and line.

use checked_yaml::Mistakes;

use super::super::Relabelling;

#[track_caller]
fn refused(yaml: &str, expected: &str) {
    let root = checked_yaml::parse(yaml).expect("the rules are YAML");
    let mut mistakes = Mistakes::new();
    Relabelling::read(Some(&root), &mut mistakes);
    assert_eq!(mistakes.to_string(), expected, "{yaml}");
}

#[test]
fn mistakes_name_their_key_and_line() {
    let yaml = "\
- source_labels: [a, b-c]
  regex: '(('
  target_label: 1x
- action: shake
";
    refused(
        yaml,
        "\
line 1: [0].source_labels[1]: `b-c` is no label name
line 2: [0].regex: `((` is no regular expression: unclosed group
line 3: [0].target_label: `1x` is no label name
line 4: [1].action: `shake` is no action of relabelling; use replace, keep, drop, keepequal, dropequal, hashmod, \
         labelmap, labeldrop, labelkeep, lowercase or uppercase",
    );
}

#[test]
fn what_an_action_needs_is_asked_for() {
    for (yaml, expected) in [
        (
            "- source_labels: [a]",
            "line 1: [0]: `replace` needs a `target_label`",
        ),
        (
            "- {action: hashmod, target_label: a}",
            "line 1: [0].action: `hashmod` needs a `modulus` above zero",
        ),
        (
            "- {action: hashmod, target_label: a, modulus: 0}",
            "line 1: [0].modulus: must be more than zero",
        ),
        (
            "- {action: hashmod, target_label: '$1', modulus: 2}",
            "line 1: [0].target_label: `$1` is no label name",
        ),
        (
            "- {action: lowercase, source_labels: [a]}",
            "line 1: [0].action: `lowercase` needs a `target_label`",
        ),
        (
            "- {action: labelmap, replacement: 'a-b'}",
            "line 1: [0].replacement: `a-b` makes no label name",
        ),
        (
            "- {action: replace, target_label: 'a-$1'}",
            "line 1: [0].target_label: `a-$1` is no label name",
        ),
    ] {
        refused(yaml, expected);
    }
}

#[test]
fn what_an_action_does_not_use_is_refused() {
    for (yaml, expected) in [
        (
            "- {action: labeldrop, regex: a, source_labels: [b]}",
            "line 1: [0].source_labels: `labeldrop` takes only `regex`; take it out",
        ),
        (
            "- {action: labelkeep, regex: a, replacement: b}",
            "line 1: [0].replacement: `labelkeep` takes only `regex`; take it out",
        ),
        (
            "- {action: keepequal, source_labels: [a], target_label: b, regex: c}",
            "line 1: [0].regex: `keepequal` takes only `source_labels` and `target_label`; take it out",
        ),
        (
            "- {action: dropequal, source_labels: [a], target_label: b, modulus: 3}",
            "line 1: [0].modulus: `dropequal` takes only `source_labels` and `target_label`; take it out",
        ),
        (
            "- {action: uppercase, source_labels: [a], target_label: b, replacement: c}",
            "line 1: [0].replacement: `uppercase` takes no replacement; take it out",
        ),
        (
            "- {target_label: a, source_label: [b]}",
            "line 1: [0].source_label: unknown key; did you mean `source_labels`?",
        ),
    ] {
        refused(yaml, expected);
    }
}
