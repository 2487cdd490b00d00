//! Two days in a few seconds: the agent's engine is told what the fleet exposed, and its state is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leak_agent::config::Config;
use leak_agent::discovery::Target;
use leak_agent::engine::{Effects, Engine, EvidenceRequest, Witnessed};
use leak_agent::incident::Place;
use leak_agent::labels::Labels;
use leak_agent::scrape::{Notes, Sample, Scrape};
use leak_agent::state::Store;
use leak_detect::Timestamp;

use crate::fleet::{Fleet, Instance};

/// The long past is scraped once a minute, and the last half hour at the fleet's own pace.
const PAST_SECONDS: f64 = 38.0 * 3600.0;
const SLOW_SECONDS: f64 = 60.0;
const FAST_PAST_SECONDS: f64 = 1_800.0;
const FAST_SECONDS: f64 = 5.0;
/// With many suspects the long past would take minutes.
const MOST_OF_A_LONG_PAST: usize = 50;

/// Judges the past of the fleet and stores what the engine knows then.
pub(crate) fn live_through(fleet: &Fleet, config: &Config) -> anyhow::Result<()> {
    let is_small = fleet.instances.len() <= MOST_OF_A_LONG_PAST;
    let past = if is_small {
        PAST_SECONDS
    } else {
        FAST_PAST_SECONDS
    };
    let (mut now, pace) = (
        fleet.now - past,
        if is_small { FAST_SECONDS } else { SLOW_SECONDS },
    );
    let targets = config.targets();
    let mut engine = Engine::new(config, targets.clone(), None, Timestamp::from_seconds(now));
    let by_name: BTreeMap<&str, &Instance> = fleet
        .instances
        .iter()
        .map(|own| (own.name.as_str(), own))
        .collect();
    while now < fleet.now {
        for target in &targets {
            let own = by_name.get(&*target.instance);
            if let Some(scrape) = own.and_then(|own| scrape(fleet, own, target, now)) {
                engine.scraped(&scrape);
            }
        }
        let at = Timestamp::from_seconds(now);
        let Effects { fetch, .. } = engine.evaluate(at);
        for request in fetch {
            witness(&mut engine, &request, at);
        }
        let is_long_ago = fleet.now - now > FAST_PAST_SECONDS;
        now += if is_long_ago { SLOW_SECONDS } else { pace };
    }
    let opened = Store::open(&config.storage.path, Timestamp::from_seconds(fleet.now))?;
    opened.store.save(&engine.saved())?;
    Ok(())
}

fn scrape(fleet: &Fleet, own: &Instance, target: &Arc<Target>, now: f64) -> Option<Scrape> {
    let samples: Vec<Sample> = fleet
        .exposed(own, now)?
        .into_iter()
        .map(|(name, labels, value)| {
            let own: Labels = labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            Sample {
                name: Arc::from(name),
                labels: own.or(&target.labels),
                value,
                at: None,
            }
        })
        .collect();
    Some(Scrape {
        target: Arc::clone(target),
        at: Timestamp::from_seconds(now),
        duration: Duration::from_millis(4),
        notes: Notes {
            samples: samples.len() as u64,
            ..Notes::default()
        },
        result: Ok(samples),
    })
}

/// What a gateway would answer that is asked where it leaks.
fn witness(engine: &mut Engine, request: &EvidenceRequest, at: Timestamp) {
    let place = |line: u32, count: u64, kind: &str| Place {
        site: format!("gateway/src/fan_out.rs:{line}"),
        count,
        oldest_age_seconds: Some(1_260.0),
        kind: kind.to_owned(),
    };
    let places = vec![
        place(183, 9_870, "fan_out_task"),
        place(183, 9_902, "task"),
        place(141, 32, "task"),
    ];
    engine.evidence(
        &request.incident,
        Witnessed {
            places: Ok(places),
            cause: None,
        },
        at,
    );
}
