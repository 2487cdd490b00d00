use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

#[test]
fn a_set_is_sorted_and_unique_and_the_later_value_wins() {
    let set = labels(&[("b", "1"), ("a", "2"), ("b", "3"), ("a", "")]);
    assert_eq!(set.iter().collect::<Vec<_>>(), [("b", "3")]);
    assert_eq!(set.get("b"), Some("3"));
    assert_eq!(set.get("a"), None);
    assert!(!set.contains("c"));
}

#[test]
fn the_order_of_making_does_not_matter() {
    assert_eq!(
        labels(&[("x", "1"), ("y", "2")]),
        labels(&[("y", "2"), ("x", "1")])
    );
    assert_eq!(labels(&[("x", "")]), Labels::empty());
}

#[test]
fn with_replaces_and_an_empty_value_takes_away() {
    let set = labels(&[("job", "a"), ("zone", "1")]);
    assert_eq!(set.with("job", "b").get("job"), Some("b"));
    assert_eq!(set.with("job", ""), set.without("job"));
    assert_eq!(set.get("job"), Some("a"));
}

#[test]
fn or_fills_only_what_is_lacking() {
    let own = labels(&[("cluster", "eu"), ("job", "a")]);
    let external = labels(&[("cluster", "us"), ("replica", "1")]);
    assert_eq!(
        own.or(&external),
        labels(&[("cluster", "eu"), ("job", "a"), ("replica", "1")])
    );
}

#[test]
fn includes_compares_names_and_values() {
    let set = labels(&[("a", "1"), ("b", "2")]);
    assert!(set.includes(&labels(&[("b", "2")])));
    assert!(set.includes(&Labels::empty()));
    assert!(!set.includes(&labels(&[("b", "3")])));
    assert!(!set.includes(&labels(&[("c", "3")])));
}

#[test]
fn the_text_is_escaped() {
    let set = labels(&[("path", "C:\\x"), ("said", "\"hi\"\nthere"), ("z", "ü,{}=")]);
    assert_eq!(
        set.to_string(),
        r#"{path="C:\\x",said="\"hi\"\nthere",z="ü,{}="}"#
    );
    assert_eq!(Labels::empty().to_string(), "{}");
}

#[test]
fn json_is_an_object_without_repetition() {
    let set = labels(&[("b", "2"), ("a", "\"1\"")]);
    let text = serde_json::to_string(&set).expect("serialises");
    assert_eq!(text, r#"{"a":"\"1\"","b":"2"}"#);
    assert_eq!(serde_json::from_str::<Labels>(&text).expect("reads"), set);
    assert!(serde_json::from_str::<Labels>(r#"{"a":"1","a":"2"}"#).is_err());
    assert!(serde_json::from_str::<Labels>(r#"{"a":1}"#).is_err());
}

#[test]
fn names_are_those_of_the_data_model() {
    for name in ["a", "_", "__name__", "a9", "A_b"] {
        assert!(is_label_name(name), "{name}");
    }
    for name in ["", "9a", "a-b", "a:b", "a.b", "ü", "a b"] {
        assert!(!is_label_name(name), "{name}");
    }
    assert!(is_metric_name("job:errors:rate5m"));
    assert!(is_metric_name(":x"));
    assert!(!is_metric_name("a.b"));
    assert!(!is_metric_name(""));
}

proptest! {
    #[test]
    fn any_set_survives_json(pairs in prop::collection::vec(("[a-z_]{1,4}", ".{0,6}"), 0..8)) {
        let set: Labels = pairs.into_iter().collect();
        let text = serde_json::to_string(&set).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<Labels>(&text).expect("reads"), set);
    }

    #[test]
    fn equal_sets_hash_alike_and_both_orders_agree_with_equality(
        one in prop::collection::vec(("[ab]", "[cd]{0,2}"), 0..3),
        other in prop::collection::vec(("[ab]", "[cd]{0,2}"), 0..3),
    ) {
        let (one, other): (Labels, Labels) = (one.into_iter().collect(), other.into_iter().collect());
        let is_equal = one.pairs() == other.pairs();
        prop_assert_eq!(one == other, is_equal);
        prop_assert_eq!(one.cmp(&other).is_eq(), is_equal);
        prop_assert_eq!(one.cmp_cheaply(&other).is_eq(), is_equal);
        prop_assert_eq!(one.cmp(&other), one.pairs().cmp(other.pairs()));
        prop_assert_eq!(one.cmp_cheaply(&other), other.cmp_cheaply(&one).reverse());
        let of = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        prop_assert_eq!(std::hash::BuildHasher::hash_one(&of, &one) == std::hash::BuildHasher::hash_one(&of, &other), is_equal);
    }
}
