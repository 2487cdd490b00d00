use super::*;

const START: i64 = 1_700_000_000_000;

fn sample(seconds: f64, value: f64) -> Sample {
    Sample {
        at: Timestamp::from_millis(START + (seconds * 1000.0) as i64),
        value,
        load: 10.0,
        load_seconds: 5.0,
    }
}

/// A memory of samples every five seconds.
fn remembered(values: impl IntoIterator<Item = f64>) -> Memory {
    let mut memory = Memory::EMPTY;
    for (index, value) in values.into_iter().enumerate() {
        memory.push(sample(index as f64 * 5.0, value));
    }
    memory
}

#[test]
fn the_pace_of_the_first_samples_sets_the_finest_bucket() {
    for (step, expected) in [
        (1.0, 10.0),
        (5.0, 20.0),
        (15.0, 60.0),
        (120.0, 480.0),
        (1e6, 86_400.0),
    ] {
        let mut memory = Memory::EMPTY;
        for index in 0..PACE_SAMPLES {
            memory.push(sample(index as f64 * step, 1.0));
        }
        assert_eq!(memory.bucket_seconds(0), expected, "samples every {step} s");
        assert_eq!(memory.bucket_seconds(2), 16.0 * expected);
    }
}

#[test]
fn one_late_sample_at_the_start_does_not_set_the_pace() {
    let mut memory = Memory::EMPTY;
    for seconds in [0.0, 5.0, 65.0, 70.0] {
        memory.push(sample(seconds, 1.0));
    }
    assert_eq!(memory.bucket_seconds(0), 20.0);
}

#[test]
fn a_bucket_keeps_the_lowest_mean_and_highest_value_and_the_load() {
    let memory = remembered([3.0, 1.0, 4.0, 2.0, 9.0]);
    let closed: Vec<(Timestamp, Cell)> = memory.closed(0).collect();
    let expected = Cell {
        minimum: 1.0,
        mean: 2.5,
        maximum: 4.0,
        load: Some(2.0),
        samples: 4,
    };
    assert_eq!(closed, [(Timestamp::from_millis(START), expected)]);
}

#[test]
fn a_coarser_bucket_sums_up_the_finer_ones() {
    let memory = remembered((0..17).map(f64::from));
    let closed: Vec<Cell> = memory.closed(1).map(|(_, cell)| cell).collect();
    assert_eq!(
        closed,
        [Cell {
            minimum: 0.0,
            mean: 7.5,
            maximum: 15.0,
            load: Some(2.0),
            samples: 16
        }]
    );
}

#[test]
fn every_scale_keeps_its_last_buckets_and_no_more() {
    let memory = remembered((0..200_000).map(f64::from));
    for scale in 0..SCALES {
        let closed: Vec<(Timestamp, Cell)> = memory.closed(scale).collect();
        let whole = (1_000_000.0 / memory.bucket_seconds(scale)) as usize;
        assert_eq!(closed.len(), whole.min(BUCKETS), "scale {scale}");
        let newest = closed.last().expect("a bucket").0;
        assert_eq!(
            newest.shifted(memory.bucket_seconds(scale)),
            memory.end(scale)
        );
    }
}

#[test]
fn a_gap_leaves_empty_buckets_at_every_scale() {
    let mut memory = remembered((0..1000).map(f64::from));
    memory.push(sample(1_000_000.0, 7.0));
    memory.push(sample(1_000_020.0, 8.0));
    let fine: Vec<Cell> = memory.closed(0).map(|(_, cell)| cell).collect();
    assert_eq!(
        fine.iter().map(|cell| cell.samples).sum::<u32>(),
        1,
        "{fine:?}"
    );
    assert!(memory.closed(SCALES - 1).all(|(_, cell)| cell.samples > 0));
}

#[test]
fn history_covers_the_time_once_and_in_order() {
    let memory = remembered((0..50_000).map(|index| f64::from(index % 100)));
    let history = memory.history();
    assert!(history.len() <= SCALES * BUCKETS);
    for pair in history.windows(2) {
        assert_eq!(
            pair[0].start.shifted(pair[0].seconds),
            pair[1].start,
            "{pair:?}"
        );
        assert!(pair[0].seconds >= pair[1].seconds);
    }
    let first = history[0].start;
    assert_eq!(first.millis(), START);
    let samples: u32 = history.iter().map(|bucket| bucket.samples).sum();
    assert!((49_990..=50_000).contains(&samples), "{samples}");
}

#[test]
fn a_load_that_is_not_known_is_none() {
    let mut memory = Memory::EMPTY;
    for index in 0..10 {
        memory.push(Sample {
            load: 0.0,
            load_seconds: 0.0,
            ..sample(f64::from(index) * 5.0, 1.0)
        });
    }
    assert!(memory.closed(0).all(|(_, cell)| cell.load.is_none()));
}

#[test]
fn large_levels_keep_their_precision_while_a_bucket_fills() {
    let memory = remembered((0..5).map(|index| 8e9 + f64::from(index)));
    let (_, cell) = memory.closed(0).next().expect("a bucket");
    assert!((cell.mean - (8e9 + 1.5)).abs() < 512.0, "{}", cell.mean);
}
