use super::*;

#[test]
fn a_label_that_collides_with_ours_moves_out_of_the_way() {
    let theirs: Labels = [("job", "shop"), ("signal", "radio"), ("state", "new")]
        .into_iter()
        .collect();
    let both = beside(&theirs, &[("signal", "queue_length"), ("site", "")]);
    assert_eq!(
        both.to_string(),
        r#"{exported_signal="radio",job="shop",signal="queue_length",state="new"}"#
    );
}
