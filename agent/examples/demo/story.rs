//! The story: start everything, a healthy part, the drill, the alert, the recovery, and the exit code that says how
//! it went.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use leak_agent::clock;
use leak_agent::quantity::count;

use crate::cast::Cast;
use crate::load::Second;
use crate::observe::{Alert, Held, Leak, Said};
use crate::screen::{Screen, Tone};
use crate::table::Now;
use crate::{Options, alert, gateway};

/// How long the evidence may take after the alert; the alert itself does not wait for it.
const WITNESS_PATIENCE: Duration = Duration::from_secs(10);
/// How long the release may take after the drill. Lost reuse is judged over half a minute and more.
const RELEASE_PATIENCE: Duration = Duration::from_secs(150);
/// How long the gateway has, at the start, to be scraped for the first time.
const FIRST_SCRAPE_PATIENCE: Duration = Duration::from_secs(15);

/// Tells the story; 0 only if it went as it should.
pub(crate) async fn tell(options: &Options) -> ExitCode {
    let mut screen = Screen::new();
    let told = tokio::select! {
        told = stage(options, &mut screen) => told,
        () = interrupted() => {
            // Leaving the branch above has dropped the children, which ends them.
            screen.keep();
            screen.say(Tone::Plain, "\ninterrupted; all processes are ended");
            return ExitCode::from(130);
        }
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.keep();
            screen.say(
                Tone::Bad,
                &format!("\nThe demo did not go as it should: {error:#}"),
            );
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn stage(options: &Options, screen: &mut Screen) -> anyhow::Result<()> {
    let directory =
        tempfile::tempdir().context("making a directory for configurations, logs and state")?;
    let mut cast = Cast::start(options, directory.path()).await?;
    let told = Teller {
        options,
        screen,
        cast: &mut cast,
        start: clock::instant(),
        before: None,
    }
    .tell()
    .await;
    if options.keep && told.is_ok() {
        // Until Ctrl-C drops this future.
        return cast.stay().await;
    }
    cast.end().await;
    told
}

/// Goes through the story, a second at a time.
struct Teller<'a> {
    options: &'a Options,
    screen: &'a mut Screen,
    cast: &'a mut Cast,
    start: Instant,
    before: Option<Held>,
}

impl Teller<'_> {
    async fn tell(&mut self) -> anyhow::Result<()> {
        self.introduce();
        self.healthy().await?;
        let drill = self.options.drill;
        let begun = clock::instant();
        self.cast.observer.start(drill).await?;
        self.screen.keep();
        self.screen.say(
            Tone::Strong,
            &format!("\nDrill {}: {}.", drill.name(), drill.story()),
        );
        let alert = self.until_alert(begun).await?;
        let took = begun.elapsed().as_secs_f64();
        let (said, alert, leak) = self.with_place(alert).await?;
        self.screen.keep();
        self.screen.say(
            Tone::Strong,
            &format!("\nAfter {took:.0} s the agent alerts:"),
        );
        let page = match &leak {
            Some(leak) => format!("http://{}/leaks/{}", self.cast.web, leak.id),
            None => format!("http://{}/", self.cast.web),
        };
        let louder = firing(&said, "ResourceLeakUrgent");
        alert::print(self.screen, &alert, louder, leak.as_ref(), &page);
        let named = alert.annotation("cause").to_owned();
        ensure!(
            named.starts_with(drill.cause()),
            "the alert names the cause {named:?}, and the drill's is {}",
            drill.cause()
        );
        let said = self.recover().await?;
        self.conclude(took, &said);
        Ok(())
    }

    fn introduce(&mut self) {
        let gateway::Ready {
            listen,
            admin,
            metrics,
        } = self.cast.addresses.clone();
        let web = &self.cast.web;
        let lines = [
            format!(
                "gateway    http://{listen}/home/7   (ask it yourself; metrics on http://{metrics}/metrics)"
            ),
            format!("agent      http://{web}/   (its page: works in any browser)"),
            format!("evidence   http://{admin}/debug/open?resource=fan_out_task&order=age&limit=3"),
        ];
        self.screen.say(Tone::Strong, "Leakwatch demo");
        for line in lines {
            self.screen.say(Tone::Plain, &line);
        }
        if !self.screen.in_place() {
            self.screen
                .say(Tone::Quiet, "(no terminal: one line a second)");
        }
    }

    /// Healthy load, and silence.
    async fn healthy(&mut self) -> anyhow::Result<()> {
        let begun = clock::instant();
        let length = Duration::from_secs(self.options.healthy);
        let mut answered = 0;
        loop {
            let passed = begun.elapsed();
            let chapter = format!("healthy, {} s of {} s", passed.as_secs(), length.as_secs());
            let (_, said, load) = self.second(&chapter).await?;
            answered += load.answered;
            if let Some(alert) = said.alerts.first() {
                bail!(
                    "in the healthy part the agent raised {}: {}",
                    alert.label("alertname"),
                    alert.annotation("summary")
                );
            }
            if let Some(leak) = said.leaks.first() {
                bail!(
                    "in the healthy part the agent suspected a leak: {}",
                    leak.cause
                );
            }
            let watched: f64 = said.series.iter().sum();
            ensure!(
                watched > 0.0 || passed < FIRST_SCRAPE_PATIENCE,
                "the agent has not scraped the gateway within {FIRST_SCRAPE_PATIENCE:?}"
            );
            if passed >= length && watched > 0.0 {
                ensure!(
                    answered > 0,
                    "the clients got no answer in the healthy part"
                );
                return Ok(());
            }
        }
    }

    async fn until_alert(&mut self, begun: Instant) -> anyhow::Result<Alert> {
        let drill = self.options.drill;
        loop {
            let passed = begun.elapsed();
            let chapter = format!("drill {}, for {} s", drill.name(), passed.as_secs());
            let (_, said, _) = self.second(&chapter).await?;
            if let Some(alert) = firing(&said, drill.alertname()) {
                return Ok(alert.clone());
            }
            ensure!(
                passed < drill.patience(),
                "no {} fired within {:?} of drill {}",
                drill.alertname(),
                drill.patience(),
                drill.name()
            );
        }
    }

    /// The same alert a moment later, when the target has been asked where it leaks.
    async fn with_place(&mut self, alert: Alert) -> anyhow::Result<(Said, Alert, Option<Leak>)> {
        let begun = clock::instant();
        loop {
            let (_, said, _) = self.second("the alert fires").await?;
            let latest = firing(&said, self.options.drill.alertname())
                .unwrap_or(&alert)
                .clone();
            let leak = said
                .leaks
                .iter()
                .find(|leak| latest.annotation("evidence_url").contains(&leak.id))
                .or(said.leaks.first());
            let placed = leak.is_some_and(|leak| !leak.places.is_empty());
            if placed || begun.elapsed() >= WITNESS_PATIENCE {
                let leak = leak.cloned();
                return Ok((said, latest, leak));
            }
        }
    }

    /// Ends the drill and waits until nothing is late, the incident is over and the alert is gone.
    async fn recover(&mut self) -> anyhow::Result<Said> {
        let drill = self.options.drill;
        self.cast.observer.stop(drill).await?;
        self.screen.say(Tone::Strong, "The drill ends.");
        let begun = clock::instant();
        loop {
            let passed = begun.elapsed();
            let chapter = format!("recovery, for {} s", passed.as_secs());
            let (held, said, _) = self.second(&chapter).await?;
            let living = said
                .leaks
                .iter()
                .filter(|leak| matches!(&*leak.state, "growing" | "stalled"))
                .count();
            let late = held.map_or(f64::NAN, |held| held.late());
            if late == 0.0 && living == 0 && said.alerts.is_empty() {
                return match said.leaks.iter().find(|leak| leak.state != "released") {
                    None => Ok(said),
                    Some(leak) => bail!("the incident ended as {} and not as released", leak.state),
                };
            }
            ensure!(
                passed < RELEASE_PATIENCE,
                "{RELEASE_PATIENCE:?} after the drill {late} entries are late, {living} incidents live and {} alerts stand",
                said.alerts.len()
            );
        }
    }

    fn conclude(&mut self, took: f64, said: &Said) {
        let drill = self.options.drill;
        self.screen.keep();
        let line = format!(
            "Released. Silent in health; {} named {} after {took:.0} s.",
            drill.alertname(),
            drill.cause()
        );
        self.screen.say(Tone::Good, &format!("\n{line}"));
        if !self.options.alertmanagers.is_empty() {
            let [taken, failed] = said.deliveries.map(count);
            let urls = self.options.alertmanagers.join(", ");
            self.screen.say(
                Tone::Plain,
                &format!("{urls} took {taken} messages; {failed} attempts failed."),
            );
        }
        if self.options.keep {
            let switches = self.cast.observer.switches(drill);
            let mut lines = vec![
                "Everything stays up until Ctrl-C. To begin the fault once more, and to end it:"
                    .to_owned(),
            ];
            lines.extend(
                ["POST", "DELETE"]
                    .iter()
                    .map(|method| format!("  curl -X {method} {}", switches.join(" "))),
            );
            self.screen.say(Tone::Plain, &lines.join("\n"));
        }
    }

    /// One second, by the clients' clock: looks at everything and shows it.
    async fn second(&mut self, chapter: &str) -> anyhow::Result<(Option<Held>, Said, Second)> {
        self.cast.check()?;
        let load = self.cast.load.report::<Second>().await?;
        let held = self.cast.observer.held().await.ok();
        let said = self
            .cast
            .observer
            .said()
            .await
            .context("asking the agent")?;
        let now = Now {
            chapter,
            elapsed: self.start.elapsed().as_secs_f64(),
            held,
            before: self.before,
            load,
            said: &said,
        };
        self.screen.show(&now.table(), &now.line());
        self.before = held.or(self.before);
        Ok((held, said, load))
    }
}

fn firing<'a>(said: &'a Said, alertname: &str) -> Option<&'a Alert> {
    said.alerts
        .iter()
        .find(|alert| alert.state == "firing" && alert.label("alertname") == alertname)
}
