//! The agent as a process, killed with SIGKILL at random instants while services begin and cease to leak: its state opens
//! every time, it knows at least what Alertmanager was told, and Alertmanager hears of nothing that is not so.
//!
//! `LEAKWATCH_KILLS` (default 24) says how many kills, `LEAKWATCH_SEED` which ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leak_agent::alert::{Alert, AlertState};
use leak_agent::clock;
use leak_agent::engine::Saved;
use leak_agent::state::Store;
use tempfile::TempDir;

use crate::fake_alertmanager::{FakeAlertmanager, Message};
use crate::target::Target;

/// Services watched. Each leaks so many times at most: a leak that keeps coming back takes longer to be over.
const SERVICES: usize = 12;
const LEAKS: usize = 3;

/// Lives are as short as this, but every eighth, in which a leak can be convicted or released.
const SHORT_LIFE: Duration = Duration::from_millis(500);
const LONG_LIFE: Duration = Duration::from_millis(3500);

/// How long everything may take to settle once nobody is killed any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// `endsAt` of an alert that fires: four resend delays after the evaluation.
const PROMISE_SECONDS: f64 = 240.0;

/// A service and the truth about it.
struct Service {
    job: String,
    target: Target,
    /// When it began and ceased to leak, in turns.
    turns: Vec<f64>,
}

impl Service {
    fn is_leaking(&self) -> bool {
        self.turns.len() % 2 == 1
    }

    fn turn(&mut self) {
        let leaking = !self.is_leaking();
        // The truth comes first: whatever is heard of it comes later.
        self.turns.push(clock::now().seconds());
        self.target.leak(if leaking { 7 } else { 0 });
    }

    fn may_turn(&self) -> bool {
        self.is_leaking() || self.turns.len() < 2 * LEAKS
    }

    fn began(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().step_by(2).copied()
    }

    fn ceased_between(&self, from: f64, to: f64) -> bool {
        let mut ceased = self.turns.iter().skip(1).step_by(2);
        ceased.any(|at| (from..=to).contains(at))
    }
}

/// The agent's process; killed when dropped.
struct Agent(Child);

impl Agent {
    fn start(config: &Path, log: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log");
        let child = Command::new(env!("CARGO_BIN_EXE_leak-agent"))
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent runs");
        Self(child)
    }

    fn kill(&mut self) {
        assert_eq!(
            self.0.try_wait().expect("a child can be waited for"),
            None,
            "it ended by itself"
        );
        self.0.kill().expect("it was running");
        self.0.wait().expect("a child can be waited for");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already, but where the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stand {
    services: Vec<Service>,
    alertmanager: FakeAlertmanager,
    directory: TempDir,
    config: PathBuf,
    random: fastrand::Rng,
}

impl Stand {
    async fn start(seed: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let alertmanager = FakeAlertmanager::start().await;
        let mut services = Vec::new();
        let mut jobs = String::new();
        for number in 0..SERVICES {
            let target = Target::exposing(&crate::target::ledger_exposition(0)).await;
            let job = format!("service-{number}");
            jobs += &format!(
                "  - job_name: {job}\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
                target.address
            );
            services.push(Service {
                job,
                target,
                turns: Vec::new(),
            });
        }
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n{jobs}\
             alerting: {{ keep_firing_for: 0s, alertmanagers: [{{ static_configs: [{{ targets: [\"{}\"] }}] }}] }}\n\
             storage: {{ path: {:?} }}\nweb: {{ listen: \"127.0.0.1:0\" }}\n",
            alertmanager.address,
            directory.path().join("data"),
        );
        let config = directory.path().join("agent.yml");
        std::fs::write(&config, text).expect("the file is written");
        Self {
            services,
            alertmanager,
            config,
            directory,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn agent(&self) -> Agent {
        Agent::start(&self.config, &self.log())
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("agent.log")
    }

    /// A random part of a span: not to wait for anything, the kill is what comes at a random instant.
    async fn a_while(&mut self, longest: Duration) {
        tokio::time::sleep(longest.mul_f64(self.random.f64())).await;
    }

    /// One life, in which a service may turn, and its end.
    async fn live_and_die(&mut self, number: usize) {
        let longest = if number.is_multiple_of(8) {
            LONG_LIFE
        } else {
            SHORT_LIFE
        };
        let mut agent = self.agent();
        self.a_while(longest / 2).await;
        let chosen = self.random.usize(..SERVICES);
        if self.random.f64() < 0.25 && self.services[chosen].may_turn() {
            self.services[chosen].turn();
        }
        self.a_while(longest).await;
        agent.kill();
        self.check_state();
    }

    /// The state opens, and says at least what Alertmanager knows.
    fn check_state(&self) {
        let opened = Store::open(&self.directory.path().join("data"), clock::now())
            .expect("the state opens");
        assert_eq!(opened.set_aside, None, "a kill damages nothing");
        let Saved { alerts, .. } = opened.saved.unwrap_or_default();
        for service in &self.services {
            let Some(told) = self.alertmanager.last_of(&service.job) else {
                continue;
            };
            let of_job = |alert: &&Alert| alert.labels.get("job") == Some(&service.job);
            let kept = alerts
                .iter()
                .find(of_job)
                .unwrap_or_else(|| panic!("told, and not kept: {told:?}"));
            let fired_at = kept.fired_at.map_or(f64::INFINITY, |at| at.seconds());
            assert!(fired_at >= told.starts_at, "{told:?}, kept {kept:?}");
            if told.is_resolved() && fired_at == told.starts_at {
                assert_eq!(kept.state, AlertState::Resolved, "{told:?}");
            }
        }
    }

    /// Whether Alertmanager knows the truth about every service, told since `since`.
    fn is_settled(&self, since: f64) -> bool {
        self.services.iter().all(|service| {
            let told = self.alertmanager.last_of(&service.job);
            match told {
                Some(told) if service.is_leaking() => {
                    !told.is_resolved() && told.received_at >= since
                }
                Some(told) => told.is_resolved(),
                None => !service.is_leaking(),
            }
        })
    }

    fn check_messages(&self) {
        let messages = self.alertmanager.messages();
        for service in &self.services {
            let of_job: Vec<&Message> = messages
                .iter()
                .filter(|own| own.job == service.job)
                .collect();
            for told in &of_job {
                assert_eq!(told.alertname, "ResourceLeak", "{told:?}");
                assert!(
                    service.began().any(|at| at <= told.starts_at),
                    "begun before the leak: {told:?}"
                );
                if told.is_resolved() {
                    assert!(
                        service.ceased_between(told.starts_at, told.ends_at),
                        "falsely resolved: {told:?}, turns {:?}",
                        service.turns
                    );
                } else {
                    let promise = told.ends_at - told.received_at;
                    assert!(
                        (PROMISE_SECONDS - 10.0..=PROMISE_SECONDS).contains(&promise),
                        "{told:?}"
                    );
                }
            }
            let starts: BTreeSet<i64> = of_job
                .iter()
                .map(|own| (own.starts_at * 1000.0).round() as i64)
                .collect();
            assert!(
                starts.len() <= service.began().count(),
                "{}: startsAt changed: {starts:?}, turns {:?}",
                service.job,
                service.turns
            );
        }
    }
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_loses_ends_or_changes_an_alert() {
    let kills = number_from("LEAKWATCH_KILLS", 24) as usize;
    let mut stand = Stand::start(number_from("LEAKWATCH_SEED", 1)).await;
    for number in 0..kills {
        stand.live_and_die(number).await;
    }
    // Some leak on over all of it.
    for number in 0..SERVICES {
        let service = &mut stand.services[number];
        if service.is_leaking() != (number % 2 == 0) && service.may_turn() {
            service.turn();
        }
    }
    let mut agent = stand.agent();
    let since = clock::now().seconds();
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let settling = async {
        while !stand.is_settled(since) {
            looks.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, settling).await.is_err() {
        let log = std::fs::read_to_string(stand.log()).unwrap_or_default();
        let told: Vec<_> = stand
            .services
            .iter()
            .map(|own| (&own.job, &own.turns, stand.alertmanager.last_of(&own.job)))
            .collect();
        panic!("never settled: {told:#?}\n{log}");
    }
    agent.kill();
    stand.check_messages();
    let turns: usize = stand.services.iter().map(|own| own.turns.len()).sum();
    let resolved = stand.alertmanager.messages();
    let resolved = resolved.iter().filter(|own| own.is_resolved()).count();
    println!("{kills} kills, {turns} turns, {resolved} messages of an end");
    let log = std::fs::read_to_string(stand.log()).expect("the log");
    assert!(!log.contains("ERROR"), "{log}");
}
