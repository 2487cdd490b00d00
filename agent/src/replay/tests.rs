use super::*;
use crate::history::Series;

const STEP: f64 = 300.0;
const BEGIN: f64 = 1_700_000_000.0 - 1_700_000_000.0 % 3600.0;
const WORKLOADS: usize = 12;
const INSTANCES: usize = 5;

/// A series and its value, by hours since the beginning.
type Curve = Box<dyn Fn(f64) -> Option<f64>>;

/// A fleet in which every third workload leaks in one instance and every fourth in all; the last is restarted daily.
fn fleet() -> Vec<(Series, Curve)> {
    let mut all: Vec<(Series, Curve)> = Vec::new();
    for workload in 0..WORKLOADS {
        for instance in 0..INSTANCES {
            let (job, own) = (format!("w{workload}"), format!("i{instance}:1"));
            let series = |name: &str| Series {
                name: Arc::from(name),
                labels: [("job", &*job), ("instance", &*own)].into_iter().collect(),
            };
            let leaks = workload % 3 == 0 && instance == 1 || workload % 4 == 1;
            let age = move |hour: f64| {
                if workload == WORKLOADS - 1 {
                    hour % 24.0
                } else {
                    hour
                }
            };
            // For an hour nobody was measured, and one instance is gone on the second day.
            let seen = move |hour: f64| {
                !(20.0..21.0).contains(&hour) && (instance != 4 || workload != 2 || hour < 30.0)
            };
            let load = |hour: f64| 100.0 + 40.0 * (hour * std::f64::consts::TAU / 24.0).sin();
            let noise = move |hour: f64| ((hour * 12.0).round() * 7.0 + instance as f64) % 5.0;
            all.push((
                series("up"),
                Box::new(move |hour| seen(hour).then_some(1.0)),
            ));
            all.push((
                series("http_requests_total"),
                Box::new(move |hour| seen(hour).then_some(age(hour) * 100.0 * 3600.0)),
            ));
            all.push((
                series("process_open_fds"),
                Box::new(move |hour| {
                    let leaked = if leaks { 6.0 * age(hour) } else { 0.0 };
                    seen(hour).then_some((load(hour) + noise(hour) + leaked).round())
                }),
            ));
            all.push((
                series("process_start_time_seconds"),
                Box::new(move |hour| seen(hour).then_some(BEGIN + 3600.0 * (hour - age(hour)))),
            ));
        }
    }
    all
}

fn history() -> (SeriesTable, Vec<Slice>) {
    let fleet = fleet();
    let mut table = SeriesTable::default();
    let indices: Vec<SeriesIndex> = fleet
        .iter()
        .map(|(series, _)| table.intern(series.clone()))
        .collect();
    let slices = (0..48 * 12).map(|step| {
        let seconds = f64::from(step) * STEP;
        let samples = indices
            .iter()
            .zip(&fleet)
            .filter_map(|(index, (_, curve))| Some((*index, curve(seconds / 3600.0)?)));
        Slice {
            at: Timestamp::from_seconds(BEGIN + seconds),
            samples: samples.collect(),
        }
    });
    let slices = slices.filter(|slice: &Slice| !slice.samples.is_empty());
    (table, slices.collect())
}

/// Every incident and everything that is known of every series, in an order of its own.
fn found(player: &Player) -> Vec<String> {
    let incidents = player.engine().incidents().map(|own| format!("{own:?}"));
    let series = player.engine().series().map(|own| {
        let (signal, labels) = (own.signal(), own.labels());
        let remembered = (own.life_began(), own.verdict(), own.history());
        format!("{signal}{labels} {remembered:?}")
    });
    incidents.chain(series).collect()
}

#[test]
fn players_of_portions_find_what_one_player_finds() {
    let (table, slices) = history();
    let mut config = Config::for_history();
    config.global.evaluation_interval = Duration::from_secs(3600);
    let expected = Expected {
        watched_series: (WORKLOADS * INSTANCES) as u64,
        interval: Duration::from_secs_f64(STEP),
    };
    let mut alone = Player::new(&config, expected);
    for slice in &slices {
        alone.play(&table, slice);
    }
    alone.finish();
    let mut wanted = found(&alone);
    wanted.sort();
    assert!(alone.engine().incidents().len() >= 4, "{wanted:#?}");

    let mut together = Vec::new();
    for index in 0..3 {
        let portion = Portion { index, of: 3 };
        let mut player = Player::of_portion(&config, expected, portion);
        player.meet(&table);
        let mut rest = &slices[..];
        let mut parts = 0;
        while !rest.is_empty() {
            rest = player.play_some(&table, rest);
            parts += 1;
        }
        player.finish();
        assert!(parts < slices.len() / 6, "{parts} parts");
        together.extend(found(&player));
    }
    together.sort();
    for (wanted, found) in wanted.iter().zip(&together) {
        assert_eq!(wanted, found);
    }
    assert_eq!(wanted.len(), together.len());
}
