use super::*;

const NOW: f64 = 1_700_003_600.0;

fn leaking() -> Plot {
    let points = (0..60)
        .map(|index| {
            let at = NOW - 600.0 + f64::from(index) * 10.0;
            let value = if index < 20 {
                3.0
            } else {
                3.0 + f64::from(index - 20) * 12.0
            };
            Point {
                at,
                low: value - 2.0,
                value,
                high: value + 4.0,
            }
        })
        .collect();
    Plot {
        title: "gateway: fan_out_task orphaned".to_owned(),
        unit: Unit::Count,
        points,
        gap_seconds: 30.0,
        fit: Some(Line {
            start: NOW - 400.0,
            start_value: 3.0,
            slope: 1.2,
        }),
        limit: Some(1_024.0),
        exhaustion: None,
        onset: Some(NOW - 400.0),
        onset_uncertainty: 0.0,
        marks: vec![Mark {
            at: NOW - 340.0,
            label: "alert".to_owned(),
        }],
        now: NOW,
    }
}

#[test]
fn a_leak_shows_its_line_its_future_its_limit_and_when_it_runs_out() {
    let svg = svg(&leaking(), Size::WIDE).unwrap();
    for expected in [
        "since 23:06:40",
        "alert",
        "now",
        "limit 1,024",
        "runs out in 7 min 31 s",
        "prefers-color-scheme:dark",
        "<desc id",
    ] {
        assert!(svg.contains(expected), "{expected} is missing from {svg}");
    }
    assert_eq!(svg.matches("<svg").count(), 1);
    assert!(svg.trim_end().ends_with("</svg>"));
}

#[test]
fn the_same_values_give_the_same_text() {
    assert_eq!(
        svg(&leaking(), Size::NARROW).unwrap(),
        svg(&leaking(), Size::NARROW).unwrap()
    );
}

#[test]
fn a_distant_limit_is_named_and_not_drawn() {
    let mut plot = leaking();
    plot.limit = Some(1_048_576.0);
    let svg = svg(&plot, Size::WIDE).unwrap();
    assert!(svg.contains("\u{2191} limit 1,048,576"));
    assert!(!svg.contains("runs out"));
    assert!(
        description(&plot).contains("would be met in 10 d 2 h"),
        "{}",
        description(&plot)
    );
}

#[test]
fn what_runs_out_elsewhere_is_marked_where_it_is_in_view() {
    let mut plot = leaking();
    plot.limit = None;
    plot.exhaustion = Some(Mark {
        at: NOW + 300.0,
        label: "descriptors run out".to_owned(),
    });
    let near = svg(&plot, Size::WIDE).unwrap();
    assert_eq!(
        near.matches("descriptors run out").count(),
        3,
        "in the picture, beneath the title, and for those who cannot see"
    );
    assert!(
        description(&plot).ends_with("; descriptors run out in 5 min."),
        "{}",
        description(&plot)
    );
    plot.exhaustion.as_mut().unwrap().at = NOW + 86_400.0;
    assert_eq!(
        svg(&plot, Size::WIDE)
            .unwrap()
            .matches("descriptors run out in 1 d")
            .count(),
        2
    );
}

#[test]
fn hostile_text_stays_text() {
    let mut plot = leaking();
    plot.title = "</text></svg><script>alert(1)</script> & \"\u{1b}".to_owned();
    plot.marks[0].label = "<image href='x'/>".to_owned();
    let svg = svg(&plot, Size::WIDE).unwrap();
    assert!(!svg.contains("<script"));
    assert!(!svg.contains("<image"));
    assert!(!svg.contains('\u{1b}'));
    assert!(svg.contains("&lt;script"));
}

#[test]
fn nothing_and_nonsense_can_be_drawn() {
    let empty = Plot {
        points: Vec::new(),
        fit: None,
        limit: None,
        onset: None,
        onset_uncertainty: 0.0,
        marks: Vec::new(),
        ..leaking()
    };
    assert!(svg(&empty, Size::WIDE).unwrap().contains("No history yet"));
    let nonsense = Plot {
        points: vec![Point {
            at: NOW,
            low: f64::NAN,
            value: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }],
        fit: Some(Line {
            start: NOW,
            start_value: -1e300,
            slope: 1e300,
        }),
        limit: Some(f64::MAX),
        ..leaking()
    };
    svg(
        &nonsense,
        Size {
            width: 0,
            height: u32::MAX,
        },
    )
    .unwrap();
    let flat = Plot {
        fit: Some(Line {
            start: NOW,
            start_value: 0.0,
            slope: 0.0,
        }),
        ..leaking()
    };
    svg(&flat, Size::NARROW).unwrap();
}

#[test]
fn a_gap_breaks_the_line() {
    let mut plot = leaking();
    plot.fit = None;
    let whole = svg(&plot, Size::WIDE).unwrap();
    plot.points.drain(30..40);
    let broken = svg(&plot, Size::WIDE).unwrap();
    let lines = |svg: &str| svg.matches("<polyline").count();
    // The measured line and its lower envelope.
    assert_eq!(lines(&broken), lines(&whole) + 2);
}

#[test]
fn ticks_are_moments_of_a_clock_and_round_figures() {
    let times = axis::times(NOW - 600.0, NOW, 6);
    assert_eq!(
        times
            .moments
            .iter()
            .map(|at| times.label(*at))
            .collect::<Vec<_>>(),
        ["23:04", "23:06", "23:08", "23:10", "23:12"]
    );
    let days = axis::times(NOW - 20.0 * 86_400.0, NOW, 6);
    assert_eq!(days.label(days.moments[0]), "Oct 26");
    assert_eq!(
        axis::values(1_000.0, Unit::Count, 5),
        [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
    );
    assert_eq!(axis::values(1.5, Unit::Count, 5), [0.0, 1.0]);
    assert_eq!(axis::values(4.0 * 1024.0 * 1024.0, Unit::Bytes, 4).len(), 5);
}

#[test]
fn old_buckets_are_hours_long_and_no_gap() {
    let points: Vec<Point> = [
        0.0, 14_400.0, 28_800.0, 32_400.0, 36_000.0, 36_005.0, 36_010.0, 90_000.0, 90_005.0,
    ]
    .map(|at| Point::single(at, 1.0))
    .into();
    let lengths: Vec<usize> = segments(&points, 25.0)
        .iter()
        .map(|own| own.len())
        .collect();
    assert_eq!(lengths, [7, 2]);
    let lonely: Vec<Point> = [0.0, 5.0, 10.0, 900.0, 1_800.0, 1_805.0]
        .map(|at| Point::single(at, 1.0))
        .into();
    let lengths: Vec<usize> = segments(&lonely, 25.0)
        .iter()
        .map(|own| own.len())
        .collect();
    assert_eq!(lengths, [3, 1, 2]);
    assert!(segments(&[], 25.0).is_empty());
}
