//! The processes of a workload: restarts in place, rollouts under new names, replicas that come and go with the load.

use super::chance::Chance;
use super::footprint::Footprint;
use super::leak::{Leak, Who};
use super::{DAY, HOUR, Span};

/// Least time between two decisions of an autoscaler.
const SCALING_SECONDS: f64 = 300.0;

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) name: u32,
    /// Seconds after the first sample; before it, where it was there already.
    pub(crate) started: f64,
    /// Its part of the load, in even parts.
    pub(crate) part: f64,
    /// What it holds in any case.
    pub(crate) base: f64,
    pub(crate) in_flight: f64,
    pub(crate) total: f64,
    pub(crate) leaked: f64,
    pub(crate) footprint: Footprint,
}

impl Instance {
    pub(crate) fn leaks(&self, leak: &Leak) -> bool {
        match leak.who {
            Who::All => true,
            Who::First(number) => self.name < number,
            Who::New => self.started >= leak.onset,
        }
    }
}

/// How processes come and go.
#[derive(Debug, Clone)]
pub(crate) struct Lives {
    replicas: usize,
    /// When all are replaced, in order.
    deploys: Vec<f64>,
    deployed: usize,
    /// Whether a new process has a new name.
    renamed: bool,
    /// Requests a second for which one replica is kept, where there is an autoscaler, and when it last decided.
    autoscaled: Option<(f64, f64)>,
    next_name: u32,
    base: f64,
    /// What a new process begins with.
    footprint: Option<Footprint>,
}

impl Lives {
    /// A kind's, for a service that gets so much a second.
    pub(crate) fn of(kind: &str, chance: &mut Chance, span: Span, rate: f64) -> Self {
        let seconds = span.seconds;
        let deploys = match kind {
            "deploys" | "rollouts" | "redeployed memory" => {
                let number = chance.whole(1, 7);
                (0..number)
                    .map(|_| chance.between(0.05, 0.95) * seconds)
                    .collect()
            }
            "restarted" | "rolled out" => {
                let number = chance.whole(3, 7);
                let part = seconds / (number + 1) as f64;
                (1..=number)
                    .map(|life| (life as f64 + chance.between(-0.15, 0.15)) * part)
                    .collect()
            }
            _ => Vec::new(),
        };
        let replicas = match kind {
            "one of eight" | "all after a deploy" => 8,
            "two of twenty" => 20,
            "autoscaling" | "autoscaled" => chance.whole(2, 6),
            _ => 1,
        };
        let autoscaled = kind
            .starts_with("autoscal")
            .then(|| (rate / replicas as f64, 0.0));
        let mut deploys: Vec<f64> = deploys;
        deploys.sort_by(f64::total_cmp);
        Self {
            replicas,
            deploys,
            deployed: 0,
            renamed: matches!(kind, "rollouts" | "rolled out" | "all after a deploy"),
            autoscaled,
            next_name: 0,
            base: chance.between(5.0, 200.0).round(),
            footprint: None,
        }
    }

    /// Replicas at the usual load.
    pub(crate) fn replicas(&self) -> f64 {
        self.replicas as f64
    }

    /// Lives that follow one another in a span; an autoscaler's replicas live for a working day.
    pub(crate) fn number(&self, span: Span) -> f64 {
        match self.autoscaled {
            Some(_) => (span.seconds / (8.0 * HOUR)).max(2.0),
            None => (self.deploys.len() + 1) as f64,
        }
    }

    /// A deploy at the onset of what it brings.
    pub(crate) fn deploy_at(&mut self, onset: f64) {
        self.deploys = vec![onset];
    }

    /// The processes that are there at the first sample: in half of the cases they have just been started, in the others
    /// they have `held` in flight already.
    pub(crate) fn begin(
        &mut self,
        chance: &mut Chance,
        footprint: &Footprint,
        held: f64,
        instances: &mut Vec<Instance>,
    ) {
        self.footprint = Some(footprint.clone());
        let young = chance.happens(0.5);
        let started = if young {
            0.0
        } else {
            -chance.decades(HOUR, 30.0 * DAY)
        };
        for _ in 0..self.replicas {
            let name = self.name();
            let mut instance = self.process(chance, name, started);
            instance.in_flight = if young { 0.0 } else { held.round() };
            instances.push(instance);
        }
    }

    fn name(&mut self) -> u32 {
        self.next_name += 1;
        self.next_name - 1
    }

    fn process(&self, chance: &mut Chance, name: u32, started: f64) -> Instance {
        let uneven = if self.replicas > 1 { 0.1 } else { 0.0 };
        Instance {
            name,
            started,
            part: 1.0 + uneven * chance.between(-1.0, 1.0),
            base: self.base,
            in_flight: 0.0,
            total: 0.0,
            leaked: 0.0,
            footprint: self.footprint.clone().unwrap_or(Footprint::InFlight),
        }
    }

    /// What happens until now, at so many requests a second.
    pub(crate) fn go_on(
        &mut self,
        chance: &mut Chance,
        now: f64,
        rate: f64,
        instances: &mut Vec<Instance>,
    ) {
        if self.deploys.get(self.deployed).is_some_and(|at| *at <= now) {
            self.deployed += 1;
            for place in instances.iter_mut() {
                let name = if self.renamed {
                    self.name()
                } else {
                    place.name
                };
                *place = self.process(chance, name, now);
            }
        }
        let Some((each, last)) = self.autoscaled else {
            return;
        };
        if now - last < SCALING_SECONDS {
            return;
        }
        self.autoscaled = Some((each, now));
        let wanted = (rate / each).ceil().clamp(1.0, 3.0 * self.replicas as f64) as usize;
        if wanted > instances.len() {
            let name = self.name();
            let instance = self.process(chance, name, now);
            instances.push(instance);
        } else if wanted + 1 < instances.len() {
            let last = instances.len() - 1;
            instances.swap_remove(chance.whole(0, last));
        }
    }
}
