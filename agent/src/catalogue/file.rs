//! The catalogue's data file, `catalogue.yml`: its rows as levels.
//!
//! The file is part of the program, so a mistake in it is a mistake of the program: a test reads it whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{LevelSpec, Limit, LimitElsewhere, Only};

/// The file.
const TEXT: &str = include_str!("catalogue.yml");

/// Fewer things than this are nobody's business. These three floors are those that the detector's README is measured
/// with; a growth must pass both of its own to be worth a ticket.
const LEAST_COUNT: f64 = 8.0;

/// The same for bytes: 16 MiB.
const LEAST_BYTES: f64 = 16.0 * 1_048_576.0;

/// The same as a share of the level from which it grew.
const LEAST_SHARE: f64 = 0.1;

/// The whole of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The usual counters of load, the best first.
    pub(super) load: Vec<String>,
    programs: Vec<Program>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    program: String,
    #[serde(default)]
    load: Vec<String>,
    #[serde(default)]
    parts: Vec<String>,
    began: Option<String>,
    levels: Vec<Row>,
}

/// A limit that another job tells.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    name: String,
    #[serde(default)]
    only: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    unit: String,
    #[serde(default)]
    only: BTreeMap<String, Vec<String>>,
    limit: Option<String>,
    limit_told_elsewhere: Option<Elsewhere>,
    absolute_floor: Option<f64>,
    relative_floor: Option<f64>,
    first_action: String,
}

impl File {
    /// The file as it was built in.
    ///
    /// # Panics
    /// Where it has a mistake.
    pub(super) fn built_in() -> Self {
        serde_saphyr::from_str(TEXT).expect("catalogue.yml has no mistake")
    }

    /// Its levels.
    pub(super) fn levels(&self) -> impl Iterator<Item = LevelSpec> {
        self.programs.iter().flat_map(|program| {
            let program_name: Arc<str> = Arc::from(&*program.program);
            let usual = self.load.iter().filter(|own| !program.load.contains(own));
            let load: Arc<[Arc<str>]> = program
                .load
                .iter()
                .chain(usual)
                .map(|name| Arc::from(&**name))
                .collect();
            let parts: Arc<[Arc<str>]> =
                program.parts.iter().map(|own| Arc::from(&**own)).collect();
            program.levels.iter().map(move |row| LevelSpec {
                parts: Arc::clone(&parts),
                ..row.level(Arc::clone(&program_name), Arc::clone(&load))
            })
        })
    }

    /// The families that say when a part began, each with the labels that tell a part.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = (Arc<str>, Arc<[Arc<str>]>)> {
        self.programs.iter().filter_map(|program| {
            let parts = program.parts.iter().map(|own| Arc::from(&**own));
            Some((Arc::from(&**program.began.as_ref()?), parts.collect()))
        })
    }
}

fn only(rows: &BTreeMap<String, Vec<String>>) -> Arc<[Only]> {
    let only = rows.iter().map(|(label, values)| Only {
        label: Arc::from(&**label),
        values: values.iter().map(|value| Arc::from(&**value)).collect(),
    });
    only.collect()
}

impl Row {
    fn level(&self, program: Arc<str>, load: Arc<[Arc<str>]>) -> LevelSpec {
        let is_bytes = self.unit == "bytes";
        let least = if is_bytes { LEAST_BYTES } else { LEAST_COUNT };
        LevelSpec {
            signal: Arc::from(&*self.name),
            program,
            unit: Arc::from(&*self.unit),
            integer: !is_bytes,
            absolute_floor: self.absolute_floor.unwrap_or(least),
            relative_floor: self.relative_floor.unwrap_or(LEAST_SHARE),
            only: only(&self.only),
            parts: Arc::default(),
            limit: self
                .limit
                .as_deref()
                .map(|name| Limit::Family(Arc::from(name))),
            limit_elsewhere: self
                .limit_told_elsewhere
                .as_ref()
                .map(|own| LimitElsewhere {
                    family: Arc::from(&*own.name),
                    only: only(&own.only),
                }),
            load,
            first_action: Arc::from(self.first_action.trim_end()),
        }
    }
}
