//! `leak-agent signals`: what the catalogue knows, and which of it a target's exposition meets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::catalogue::{Catalogue, LevelSpec, Limit, Role};
use crate::exposition::{Format, ParseError, Parser};
use crate::labels::Labels;
use crate::quantity::bytes;

/// Which signals are shown.
#[derive(Debug, Clone, Args)]
pub struct SignalsOptions {
    /// The agent's configuration: its `signals` are shown with the others.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What a target exposes, as text; `-` is standard input: `curl -s http://localhost:9100/metrics | leak-agent signals
    /// --exposition -`. Only what it meets is shown, with its limits and its load.
    #[arg(long, value_name = "FILE")]
    pub exposition: Option<PathBuf>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum SignalsError {
    /// The exposition cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file, or `-`.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The exposition is none.
    #[error("{} is no exposition", path.display())]
    Exposition {
        /// The file, or `-`.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
}

/// What is to be printed: the catalogue, or what of it the exposition meets.
///
/// # Errors
/// The exposition cannot be read.
pub fn signals(catalogue: &Catalogue, exposition: Option<&Path>) -> Result<String, SignalsError> {
    match exposition {
        None => Ok(listed(catalogue)),
        Some(path) => Ok(met_text(&Met::read(catalogue, path)?)),
    }
}

/// Every level, by program.
fn listed(catalogue: &Catalogue) -> String {
    let mut by_program: Vec<(&str, Vec<&LevelSpec>)> = Vec::new();
    for level in catalogue.levels() {
        match by_program
            .iter_mut()
            .find(|(own, _)| *own == &*level.program)
        {
            Some((_, levels)) => levels.push(level),
            None => by_program.push((&level.program, vec![level])),
        }
    }
    by_program.sort_by_key(|(program, _)| *program);
    let exact: Vec<&str> = catalogue
        .families()
        .filter(|(_, role)| matches!(role, Role::Exact(_)))
        .map(|(name, _)| &**name)
        .collect();
    let mut text = format!(
        "Counted exactly: {}. Levels that must not grow for ever:\n",
        exact.join(", ")
    );
    for (program, levels) in by_program {
        let _ = writeln!(text, "\n{program}");
        for level in levels {
            let _ = writeln!(text, "  {}", described(level));
            let _ = writeln!(text, "      {}", level.first_action);
        }
    }
    let load = Catalogue::default_load();
    let _ = writeln!(text, "\nThe usual counters of load: {}.", load.join(", "));
    text
}

fn described(level: &LevelSpec) -> String {
    let floor = if &*level.unit == "bytes" {
        bytes(level.absolute_floor)
    } else {
        format!("{} {}", level.absolute_floor, level.unit)
    };
    let only: Vec<String> = level
        .only
        .iter()
        .map(|only| format!("{}: {}", only.label, only.values.join(" | ")))
        .collect();
    let only = if only.is_empty() {
        String::new()
    } else {
        format!(" {{{}}}", only.join(", "))
    };
    let limit = match &level.limit {
        Some(Limit::Family(name)) => format!(", limit {name}"),
        Some(Limit::Value(value)) => format!(", limit {value}"),
        None => String::new(),
    };
    format!(
        "{}{only}: {}, from {floor} and {:.0} % on{limit}",
        level.signal,
        level.unit,
        100.0 * level.relative_floor
    )
}

/// What of an exposition is known: its families, with how many series of each, and what they mean.
struct Met {
    families: BTreeMap<String, (usize, Role)>,
    samples: usize,
}

impl Met {
    fn read(catalogue: &Catalogue, path: &Path) -> Result<Self, SignalsError> {
        let mut body = Vec::new();
        let read = if path == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut body)
        } else {
            std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut body))
        };
        let path = path.to_owned();
        match read {
            Ok(_) => Self::of(catalogue, &body)
                .map_err(|source| SignalsError::Exposition { path, source }),
            Err(source) => Err(SignalsError::Read { path, source }),
        }
    }

    fn of(catalogue: &Catalogue, body: &[u8]) -> Result<Self, ParseError> {
        let mut met = Self {
            families: BTreeMap::new(),
            samples: 0,
        };
        let mut sink = |sample: crate::exposition::RawSample<'_>| {
            met.samples += 1;
            let name = sample.name();
            if catalogue.knows(&name) {
                let labels: Labels = sample
                    .labels()
                    .map(|(name, value)| (name.into_owned(), value.into_owned()))
                    .collect();
                if let Some(role) = catalogue.role(&name, &labels) {
                    met.families.entry(name.into_owned()).or_insert((0, role)).0 += 1;
                }
            }
            Ok::<(), ParseError>(())
        };
        let mut parser = Parser::new(Format::Text);
        parser.feed(body, &mut sink)?;
        parser.finish(&mut sink)?;
        Ok(met)
    }

    fn has(&self, name: &str) -> bool {
        self.families.contains_key(name)
    }
}

/// What an exposition meets.
fn met_text(met: &Met) -> String {
    let mut text = String::new();
    let mut judged = 0;
    for (name, (series, role)) in &met.families {
        let meaning = match role {
            Role::Exact(_) => "counted exactly".to_owned(),
            Role::Level(level) => judged_as(level, met),
            _ => continue,
        };
        judged += series;
        let _ = writeln!(text, "{name} ({series} series): {meaning}");
    }
    let explains: Vec<&str> = met
        .families
        .iter()
        .filter(|(_, (_, role))| !matches!(role, Role::Exact(_) | Role::Level(_)))
        .map(|(name, _)| &**name)
        .collect();
    if judged == 0 {
        text.push_str(
            "nothing of it is judged: `signals` of the configuration names levels of your own\n",
        );
    }
    let _ = writeln!(
        text,
        "\n{judged} of {} series are judged. Explain them: {}.",
        met.samples,
        if explains.is_empty() {
            "none".to_owned()
        } else {
            explains.join(", ")
        }
    );
    text
}

fn judged_as(level: &LevelSpec, met: &Met) -> String {
    let limit = match &level.limit {
        Some(Limit::Family(name)) if met.has(name) => format!("limit {name}"),
        Some(Limit::Family(name)) => format!("limit {name}, which is not there"),
        Some(Limit::Value(value)) => format!("limit {value}"),
        None => "no limit".to_owned(),
    };
    let load = level.load.iter().find(|name| met.has(name));
    let load = load.map_or("no counter of load".to_owned(), |name| {
        format!("load {name}")
    });
    format!("level in {}, {limit}, {load}", level.unit)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_an_exposition_meets_is_told_with_limits_and_load() {
        let body = include_bytes!("../catalogue/recorded/haproxy.txt");
        let met = Met::of(&Catalogue::built_in(), body).expect("an exposition");
        expect![[r#"
            haproxy_backend_current_queue (1 series): level in waiters, no limit, load haproxy_process_requests_total
            haproxy_backend_current_sessions (1 series): level in sessions, no limit, load haproxy_process_requests_total
            haproxy_frontend_current_sessions (2 series): level in sessions, limit haproxy_frontend_limit_sessions, load haproxy_process_requests_total
            haproxy_process_current_connections (1 series): level in connections, limit haproxy_process_max_connections, load haproxy_process_requests_total
            haproxy_process_pool_used_bytes (1 series): level in bytes, no limit, load haproxy_process_requests_total

            6 of 262 series are judged. Explain them: haproxy_frontend_http_requests_total, haproxy_frontend_limit_sessions, haproxy_process_max_connections, haproxy_process_requests_total.
        "#]].assert_eq(&met_text(&met));
    }

    #[test]
    fn where_nothing_is_judged_it_says_what_to_do() {
        let met = Met::of(&Catalogue::built_in(), b"http_requests_total 5\nx 1\n").expect("read");
        expect![[r#"
            nothing of it is judged: `signals` of the configuration names levels of your own

            0 of 2 series are judged. Explain them: http_requests_total.
        "#]]
        .assert_eq(&met_text(&met));
    }

    #[test]
    fn every_level_of_the_catalogue_is_listed() {
        let catalogue = Catalogue::built_in();
        let text = listed(&catalogue);
        for level in catalogue.levels() {
            let head = format!("  {}", level.signal);
            assert!(
                text.contains(&head) && text.contains(&*level.program),
                "{head}"
            );
        }
        let jvm = "jvm_memory_bytes_used {area: heap | nonheap}: bytes, from 16 MiB and 10 % on, limit jvm_memory_bytes_max";
        assert!(text.contains(jvm), "{text}");
    }
}
