//! Two agents of one configuration: one leak is one alert, from the first conviction to the last.

use std::collections::{BTreeMap, BTreeSet};

use super::drills::work;
use super::world::{Service, World, at, gateway_configuration};
use crate::alert::OutgoingAlert;
use crate::labels::Labels;

const BODY: [(&str, &str); 3] = [
    ("resource", "response_body"),
    ("upstream", "social"),
    ("route", "/content/*"),
];

const PEERS: &str = "pair: { peers: [\"http://127.0.0.1:9465\"], down_after: 90s }\n";

/// Two agents that look at one service, the second a moment after the first, and an Alertmanager that hears both.
struct Two {
    agents: [World; 2],
    is_up: [bool; 2],
    /// Whether they can hear each other.
    is_whole: bool,
    asked: usize,
    heard: Alertmanager,
}

impl Two {
    fn new() -> Self {
        let world = || World::new(&gateway_configuration(PEERS));
        Self {
            agents: [world(), world()],
            is_up: [true; 2],
            is_whole: true,
            asked: 0,
            heard: Alertmanager::default(),
        }
    }

    /// So many seconds in steps of the interval; `orphaned` more bodies at each step, or fewer.
    fn run(&mut self, seconds: f64, orphaned: impl Fn(usize) -> f64) {
        let steps = (seconds / self.agents[0].interval()).round() as usize;
        for _ in 0..steps {
            for index in 0..2 {
                self.step(index, orphaned(index));
            }
            self.heard.tick(self.agents[0].now);
        }
    }

    fn step(&mut self, index: usize, orphaned: f64) {
        let change = |_: &str, service: &mut Service, _: f64| {
            work(service, 50.0);
            let held = service.get("resource_ledger_orphaned", &BODY);
            service.set(
                "resource_ledger_orphaned",
                &BODY,
                (held + orphaned).max(0.0),
            );
        };
        let world = &mut self.agents[index];
        if self.is_up[index] {
            world.step(change);
        } else {
            // The service lives on; nobody looks.
            world.now += world.interval();
            world
                .services
                .values_mut()
                .for_each(|service| change("", service, 0.0));
        }
        self.deliver(index);
        for asking in 0..2 {
            self.ask(asking);
        }
    }

    fn ask(&mut self, asking: usize) {
        if !self.is_up[asking] {
            return;
        }
        let other = 1 - asking;
        let now = at(self.agents[asking].now);
        let answers = self.is_up[other] && self.is_whole;
        let report = answers.then(|| self.agents[other].engine.report(other as u64, None, now));
        self.asked += 1;
        // Over the wire now and then: it must come through, and takes long.
        let is_text = self.asked.is_multiple_of(16);
        let report = report.map(|report| {
            if !is_text {
                return report;
            }
            let text = serde_json::to_string(&report).unwrap();
            serde_json::from_str(&text).unwrap()
        });
        self.agents[asking].engine.other_told(0, now, report, now);
        if self.agents[asking].engine.is_holding() {
            self.agents[asking].evaluate();
        }
        self.deliver(asking);
    }

    fn deliver(&mut self, index: usize) {
        for (sent_at, message) in self.agents[index].sent.drain(..) {
            self.heard.take(sent_at, message);
        }
    }

    fn kill(&mut self, index: usize) {
        self.is_up[index] = false;
    }

    fn start(&mut self, index: usize) {
        self.agents[index].kill();
        self.is_up[index] = true;
        self.ask(index);
    }

    fn living(&self, index: usize) -> BTreeSet<String> {
        let incidents = self.agents[index].engine.incidents();
        incidents
            .filter(|incident| incident.is_living())
            .map(|incident| incident.id.to_string())
            .collect()
    }
}

/// What Alertmanager makes of messages: it merges those of one alert that overlap, lets what it hears no more of end, and
/// notifies of every change.
///
/// Source: Alertmanager, `types/types.go` (`Alert.Merge`), `provider/mem`.
#[derive(Default)]
struct Alertmanager {
    alerts: BTreeMap<Labels, (f64, f64, bool)>,
    notified: Vec<String>,
    starts: BTreeMap<String, BTreeSet<i64>>,
}

impl Alertmanager {
    fn take(&mut self, now: f64, message: OutgoingAlert) {
        let name = message.labels.get("alertname").unwrap().to_owned();
        let (mut starts, mut ends) = (message.starts_at.seconds(), message.ends_at.seconds());
        self.starts
            .entry(name)
            .or_default()
            .insert(message.starts_at.millis());
        if let Some((old_starts, old_ends, _)) = self.alerts.get(&message.labels)
            && starts < *old_ends
            && ends > *old_starts
        {
            starts = starts.min(*old_starts);
            // An end that is told always counts; of two, the later.
            let (is_over, was_over) = (ends <= now, *old_ends <= now);
            if !is_over || was_over {
                ends = ends.max(*old_ends);
            }
        }
        let was_told = self.alerts.get(&message.labels).is_some_and(|own| own.2);
        self.alerts.insert(message.labels, (starts, ends, was_told));
        self.tick(now);
    }

    fn tick(&mut self, now: f64) {
        for (labels, (_, ends, is_told)) in &mut self.alerts {
            let is_firing = *ends > now;
            if is_firing != *is_told {
                *is_told = is_firing;
                let what = if is_firing { "firing" } else { "resolved" };
                let name = labels.get("alertname").unwrap();
                self.notified.push(format!("{name} {what}"));
            }
        }
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.notified, expected);
    }
}

fn leaking() -> Two {
    let mut two = Two::new();
    two.run(120.0, |_| 0.0);
    two.run(60.0, |_| 2.0);
    two
}

#[test]
fn two_that_see_the_same_are_one_alert_from_beginning_to_end() {
    let mut two = leaking();
    two.heard.check(&["ResourceLeak firing"]);
    assert_eq!(two.living(0), two.living(1));
    two.run(600.0, |_| -100.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
    assert_eq!(two.heard.starts["ResourceLeak"].len(), 1);
    assert!(two.living(0).is_empty() && two.living(1).is_empty());
    two.run(900.0, |_| 0.0);
    assert_eq!(two.heard.notified.len(), 2, "{:?}", two.heard.notified);
}

#[test]
fn what_only_one_convicts_lives_on_both_under_one_name() {
    let mut two = Two::new();
    two.run(120.0, |_| 0.0);
    two.run(60.0, |index| if index == 1 { 2.0 } else { 0.0 });
    assert_eq!(two.living(0), two.living(1));
    assert_eq!(two.living(0).len(), 1);
    two.heard.check(&["ResourceLeak firing"]);
    two.run(900.0, |_| 0.0);
    two.heard.check(&["ResourceLeak firing"]);
    assert_eq!(
        two.living(0),
        two.living(1),
        "the first agent sees nothing, and still the second convicts"
    );
    two.run(120.0, |_| -100.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
    assert_eq!(two.heard.starts["ResourceLeak"].len(), 1);
}

#[test]
fn nothing_ends_while_the_other_convicts() {
    let mut two = leaking();
    two.run(900.0, |index| if index == 0 { -100.0 } else { 0.0 });
    two.heard.check(&["ResourceLeak firing"]);
    assert_eq!(two.living(0).len(), 1);
    assert!(two.agents[0].only_incident().over);
    two.run(120.0, |_| -100.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
}

#[test]
fn the_survivor_goes_on_with_the_alert_and_ends_it_by_itself() {
    let mut two = leaking();
    two.kill(0);
    two.run(900.0, |_| 0.0);
    two.heard.check(&["ResourceLeak firing"]);
    two.run(120.0, |_| -100.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
    two.run(600.0, |_| 0.0);
    // It had not heard of the end, and must not begin again.
    two.start(0);
    two.run(900.0, |_| 0.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
    assert!(two.living(0).is_empty());
}

#[test]
fn silence_of_less_than_down_after_ends_nothing() {
    let mut two = leaking();
    two.kill(1);
    two.run(80.0, |_| -100.0);
    assert_eq!(two.living(0).len(), 1, "the other might object");
    two.run(60.0, |_| 0.0);
    assert!(two.living(0).is_empty(), "it is down");
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
}

#[test]
fn two_that_cannot_hear_each_other_come_to_the_same_once_they_can() {
    let mut two = Two::new();
    two.run(120.0, |_| 0.0);
    two.is_whole = false;
    two.run(30.0, |index| if index == 0 { 2.0 } else { 0.0 });
    two.run(60.0, |_| 2.0);
    assert_ne!(two.living(0), two.living(1), "each convicted for itself");
    two.is_whole = true;
    two.run(30.0, |_| 2.0);
    assert_eq!(two.living(0), two.living(1));
    two.heard.check(&["ResourceLeak firing"]);
    two.run(120.0, |_| -100.0);
    two.heard
        .check(&["ResourceLeak firing", "ResourceLeak resolved"]);
}

#[test]
fn what_one_ended_alone_lives_again_when_the_other_still_convicts_it() {
    let mut two = leaking();
    two.is_whole = false;
    two.run(300.0, |index| if index == 0 { -100.0 } else { 1.0 });
    assert!(two.living(0).is_empty(), "the other counted as down");
    two.is_whole = true;
    two.run(600.0, |index| if index == 0 { 0.0 } else { 1.0 });
    assert_eq!(two.living(0), two.living(1));
    let told = two.heard.notified.len();
    two.run(600.0, |index| if index == 0 { 0.0 } else { 1.0 });
    assert_eq!(
        two.heard.notified.len(),
        told,
        "no more back and forth: {:?}",
        two.heard.notified
    );
}

#[test]
fn random_kills_lose_nothing_end_nothing_and_tell_nothing_twice() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut two = leaking();
        for _ in 0..25 {
            let index = random.usize(..2);
            if two.is_up[index] {
                // Never both for long: then nobody is left to keep the promise.
                if two.is_up[1 - index] {
                    two.kill(index);
                }
            } else {
                two.start(index);
            }
            two.run(5.0 * f64::from(random.u8(1..30)), |_| 0.1);
        }
        assert_eq!(two.heard.notified, ["ResourceLeak firing"], "seed {seed}");
        assert_eq!(two.heard.starts["ResourceLeak"].len(), 1, "seed {seed}");
        for index in 0..2 {
            if !two.is_up[index] {
                two.start(index);
            }
        }
        two.run(900.0, |_| -100.0);
        let expected = ["ResourceLeak firing", "ResourceLeak resolved"];
        assert_eq!(two.heard.notified, expected, "seed {seed}");
    }
}
