//! One replay from the command line: reads, plays, writes what was asked for.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leak_detect::Timestamp;
use resource_ledger::{Ledger, Settings};

use crate::catalogue::Catalogue;
use crate::clock;
use crate::command::{EmptySpan, Moment, ReplayOptions};
use crate::config::{Config, ConfigError};
use crate::history::openmetrics::{self, ReadError, ReadSettings};
use crate::history::store::{Range, Store, StoreError, Wanted};
use crate::history::{SeriesTable, Slice};
use crate::progress::Progress;
use crate::quantity::{bytes, count, duration, moment};
use crate::replay::explain::{Explainer, PictureError};
use crate::replay::table::{Basis, Rows};
use crate::replay::{Expected, Player, VerdictLine, is_wanted, judged_series};

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The alerts that fired, each with its workload, in the order in which they did.
    pub fired: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be played.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be played.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to play.
    #[error(transparent)]
    Span(#[from] EmptySpan),
    /// What was sorted on disk cannot be read.
    #[error("the temporary file cannot be read")]
    Sorted(#[source] io::Error),
    /// No runtime to ask the store with.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    /// There is no picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Something cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file, or `-` for standard output.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ReplayError {
    /// Whether the command line or the configuration is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Span(_)
                | Self::Store(StoreError::Url(_))
                | Self::Picture(PictureError::NotOne(_))
        )
    }
}

/// Reads the history, judges it and writes what was asked for: verdict lines, the table and the explanation.
///
/// # Errors
/// The first thing that kept it from the end.
pub fn run(options: &ReplayOptions) -> Result<Outcome, ReplayError> {
    let config = Config::of_history(options.config.as_deref())?;
    let mut session = Session::new(options, config)?;
    match (&options.openmetrics, &options.prometheus) {
        (Some(path), _) => session.play_file(path)?,
        (None, Some(url)) => session.play_store(url)?,
        (None, None) => {}
    }
    session.finish()
}

/// One replay under way.
struct Session<'a> {
    options: &'a ReplayOptions,
    config: Config,
    catalogue: Catalogue,
    player: Option<Player>,
    verdicts: Option<(PathBuf, Box<dyn Write>)>,
    /// Kept only where they are explained.
    lines: Vec<VerdictLine>,
    rows: Rows,
    fired: Vec<String>,
    explainer: Option<Explainer>,
    progress: Progress,
    begun_at: Instant,
    /// When the first sample could be judged.
    read_at: Instant,
    series: usize,
    samples: u64,
    span: Option<(Timestamp, Timestamp)>,
    watched: u64,
    /// What the reader of the result has to know, beside it.
    notes: Vec<String>,
}

impl<'a> Session<'a> {
    fn new(options: &'a ReplayOptions, config: Config) -> Result<Self, ReplayError> {
        let verdicts = match &options.verdicts {
            None => None,
            Some(path) => {
                let writer = writer(path).map_err(|source| write_error(path, source))?;
                Some((path.clone(), writer))
            }
        };
        Ok(Self {
            options,
            catalogue: config.catalogue(),
            config,
            player: None,
            verdicts,
            lines: Vec::new(),
            rows: Rows::default(),
            fired: Vec::new(),
            explainer: options.explain.clone().map(Explainer::new),
            progress: Progress::new(),
            begun_at: clock::instant(),
            read_at: clock::instant(),
            series: 0,
            samples: 0,
            span: None,
            watched: 0,
            notes: Vec::new(),
        })
    }

    fn begin(&mut self, table: &SeriesTable, interval: Duration) {
        let judged = judged_series(table, &self.catalogue);
        self.watched = self.options.series.unwrap_or(judged);
        let expected = Expected {
            watched_series: self.watched,
            interval,
        };
        let mut player = Player::new(&self.config, expected);
        player.meet(table);
        self.player = Some(player);
        self.read_at = clock::instant();
        if judged == 0 {
            self.notes.push(
                "no series of this history is in the catalogue: `signals` of the configuration names others to judge"
                    .to_owned(),
            );
        }
    }

    fn play_file(&mut self, path: &Path) -> Result<(), ReplayError> {
        let directory = &self.options.temporary_directory;
        let settings = ReadSettings {
            memory_bytes: self.options.memory,
            temporary_directory: directory.clone().unwrap_or_else(std::env::temp_dir),
        };
        let catalogue = &self.catalogue;
        let progress = &mut self.progress;
        let mut announced = false;
        let mut recording = openmetrics::read(
            path,
            &settings,
            &|name| is_wanted(catalogue, name),
            &mut |now| {
                if now.temporary_bytes > 0 && !announced {
                    announced = true;
                    progress.end();
                    eprintln!("leak-agent: {}", announcement(&settings, &now));
                }
                progress.say(|| {
                    let share = now.read_bytes as f64 / (now.file_bytes.max(1)) as f64;
                    format!("reading {:.0} %", 100.0 * share)
                });
            },
        )?;
        if recording.notes.temporary_bytes > 0 {
            self.notes.push(format!(
                "{} of samples were sorted in {}, and nothing of it is left",
                bytes(recording.notes.temporary_bytes as f64),
                settings.temporary_directory.display()
            ));
        }
        self.series = recording.table.len();
        let span = recording.span();
        self.begin(&recording.table, recording.interval());
        let mut failed = None;
        let table = std::mem::take(&mut recording.table);
        let notes = recording
            .play(&mut |slice| {
                if failed.is_none() {
                    failed = self.play(&table, slice, span).err();
                }
            })
            .map_err(ReplayError::Sorted)?;
        if notes.duplicates > 0 {
            self.notes.push(format!(
                "{} samples had the series and the time of another: the first in the file counted",
                count(notes.duplicates as f64)
            ));
        }
        failed.map_or(Ok(()), Err)
    }

    fn play_store(&mut self, url: &str) -> Result<(), ReplayError> {
        let now = Moment::Before(0.0);
        let (from, to) = Moment::span(
            self.options.from.unwrap_or(now),
            self.options.to.unwrap_or(now),
            clock::now(),
        )?;
        let step = self.options.step;
        if let Some(step) = step {
            let interval = &mut self.config.global.evaluation_interval;
            *interval = step.max(*interval);
        }
        let range = Range { from, to, step };
        let store = Store::named(url, &self.config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(ReplayError::Runtime)?;
        runtime.block_on(async {
            let wanted = Wanted::of_catalogue(&self.catalogue, []);
            let listing = Arc::new(store.list(&wanted, &range).await?);
            for (family, why) in &listing.unlisted {
                self.notes
                    .push(format!("nothing is known of {family}: {why}"));
            }
            if listing.dropped > 0 {
                let dropped = count(listing.dropped as f64);
                self.notes
                    .push(format!("{dropped} series above the limit were left out"));
            }
            self.series = listing.table.len();
            self.begin(&listing.table, range.interval());
            let ledger = Ledger::new(Settings::default());
            let mut reader = store.read(Arc::clone(&listing), range, &ledger);
            while let Some(stretch) = reader.next().await {
                let stretch = stretch?;
                // Before its slices: who is missing in them may be in what could not be read.
                if let Some(player) = self.player.as_mut().filter(|_| !stretch.unknown.is_empty()) {
                    player.excuse(stretch.to);
                }
                for slice in &stretch.slices {
                    self.play(&listing.table, slice, Some((from, to)))?;
                }
                for unknown in &stretch.unknown {
                    self.notes.push(format!(
                        "nothing is known of {} from {} to {}: {}",
                        unknown.selector,
                        moment(unknown.from.seconds()),
                        moment(unknown.to.seconds()),
                        unknown.why
                    ));
                }
            }
            Ok(())
        })
    }

    fn play(
        &mut self,
        table: &SeriesTable,
        slice: &Slice,
        span: Option<(Timestamp, Timestamp)>,
    ) -> Result<(), ReplayError> {
        let Some(player) = &mut self.player else {
            return Ok(());
        };
        self.samples += slice.samples.len() as u64;
        self.span = Some((self.span.map_or(slice.at, |(first, _)| first), slice.at));
        let lines = player.play(table, slice);
        if let Some(explainer) = &mut self.explainer {
            explainer.take(player, &self.catalogue, table, slice);
        }
        self.progress.say(|| {
            let share = span.map_or(1.0, |(first, last)| {
                (slice.at - first) / (last - first).max(1.0)
            });
            format!(
                "judging {:.0} %, {}",
                100.0 * share,
                moment(slice.at.seconds())
            )
        });
        self.tell(lines)
    }

    fn tell(&mut self, lines: Vec<VerdictLine>) -> Result<(), ReplayError> {
        for line in lines {
            self.rows.take(&line);
            if line.state == "firing" {
                self.fired.push(line.shown());
            }
            if let Some((path, writer)) = &mut self.verdicts {
                let written = writeln!(writer, "{}", line.json());
                written.map_err(|source| write_error(path, source))?;
            }
            if self.explainer.is_some() {
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome, ReplayError> {
        let last = self.player.as_mut().map(Player::finish);
        self.tell(last.unwrap_or_default())?;
        self.progress.end();
        eprintln!("leak-agent: {}", self.pace());
        if let Some((path, writer)) = &mut self.verdicts {
            writer.flush().map_err(|source| write_error(path, source))?;
        }
        let text = self.text();
        // Nothing but verdicts where they go to standard output.
        let result = if self.options.verdicts.as_deref() == Some(Path::new("-")) {
            io::stderr().write_all(text.as_bytes())
        } else {
            io::stdout().write_all(text.as_bytes())
        };
        result.map_err(|source| write_error(Path::new("-"), source))?;
        if let (Some(path), Some(explainer)) = (&self.options.svg, &self.explainer) {
            let picture = explainer.svg(&self.lines)?;
            std::fs::write(path, picture).map_err(|source| write_error(path, source))?;
        }
        Ok(Outcome { fired: self.fired })
    }

    /// How long it took: on standard error, since it differs from run to run.
    fn pace(&self) -> String {
        let spent = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let judging = spent(self.read_at, clock::instant());
        format!(
            "read in {}, judged in {} ({} samples a second)",
            duration(spent(self.begun_at, self.read_at)),
            duration(judging),
            count(self.samples as f64 / judging.max(1e-3))
        )
    }

    /// The table, what it rests on, and the explanation.
    fn text(&mut self) -> String {
        let Some(player) = &self.player else {
            return String::new();
        };
        let counters = player.engine().counters();
        for (reason, dropped) in counters.dropped.iter().filter(|(_, dropped)| **dropped > 0) {
            let key = match *reason {
                "series_limit" => "limits.series of the configuration",
                _ => "10,000 series of one target",
            };
            let dropped = count(*dropped as f64);
            self.notes.push(format!(
                "{dropped} samples were above the limit of {key} and not judged"
            ));
        }
        if counters.incidents_refused > 0 || counters.alerts_refused > 0 {
            self.notes.push(format!(
                "more leaked at once than limits.alerts of the configuration ({}) allows: what was beyond has no alert",
                count(self.config.limits.alerts as f64)
            ));
        }
        let basis = Basis {
            series: self.series,
            targets: player.targets(),
            samples: self.samples,
            span: self.span,
            tickets_per_year: self.config.alerting.false_alerts_per_year.ticket,
            divisor: counters.divisor,
            watched: (self.watched, self.options.series.is_some()),
        };
        let mut text = self.rows.text();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&basis.text(self.rows.len()));
        for note in &self.notes {
            text.push_str(&format!("Note: {note}.\n"));
        }
        if let Some(explainer) = &self.explainer {
            text.push_str(&explainer.text(player.engine(), &self.lines));
        }
        text
    }
}

/// Where what does not fit into memory goes, and how much it will be.
fn announcement(settings: &ReadSettings, now: &openmetrics::Progress) -> String {
    let share = now.read_bytes.max(1) as f64 / now.file_bytes.max(1) as f64;
    format!(
        "the samples do not fit into {} (--memory) and are sorted in {} (--temporary-directory): about {} there, which vanish at the end",
        bytes(settings.memory_bytes as f64),
        settings.temporary_directory.display(),
        bytes(now.temporary_bytes as f64 / share.min(1.0))
    )
}

fn writer(path: &Path) -> io::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    Ok(Box::new(BufWriter::new(File::create(path)?)))
}

fn write_error(path: &Path, source: io::Error) -> ReplayError {
    ReplayError::Write {
        path: path.to_owned(),
        source,
    }
}
