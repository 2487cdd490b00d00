//! The records of the store: one for each incident, alert and detector, so that a save writes what has changed.
//!
//! Incidents and alerts are JSON, whose fields may be added to; detectors are leak-detect's own versioned bytes.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use leak_detect::Timestamp;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{Detectors, Saved, SavedDetectors, SavedSeries, SavedTarget};
use crate::labels::Labels;
use crate::state::FORMAT;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// By id.
const INCIDENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("incidents");
/// By alertname and labels.
const ALERTS: TableDefinition<&str, &[u8]> = TableDefinition::new("alerts");
/// By the target's labels: the life of its process.
const TARGETS: TableDefinition<&str, &[u8]> = TableDefinition::new("targets");
/// By the target's labels, signal and labels.
const DETECTORS: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("detectors");

const VERSION: &str = "format";
const DIVISOR: &str = "divisor";
const DIVISOR_SINCE: &str = "divisor_since_millis";

/// What a store held.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) saved: Option<Saved>,
    /// Records that could not be read, and why.
    pub(super) unreadable: Vec<String>,
}

/// Why records cannot be written.
#[derive(Debug)]
pub(super) enum WriteError {
    Store(redb::Error),
    Encode(serde_json::Error),
}

impl<E: Into<redb::Error>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// The version of the records; `None` in a new store.
pub(super) fn version(transaction: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    match transaction.open_table(META) {
        Ok(meta) => Ok(meta.get(VERSION)?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the tables of a new store.
pub(super) fn begin(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(VERSION, FORMAT)?;
    transaction.open_table(INCIDENTS)?;
    transaction.open_table(ALERTS)?;
    transaction.open_table(TARGETS)?;
    transaction.open_table(DETECTORS)?;
    Ok(())
}

pub(super) fn read(transaction: &ReadTransaction) -> Result<Contents, redb::Error> {
    let mut unreadable = Vec::new();
    let incidents = read_all(transaction, INCIDENTS, "incident", &mut unreadable)?;
    let alerts = read_all(transaction, ALERTS, "alert", &mut unreadable)?;
    let detectors = read_detectors(transaction, &mut unreadable)?;
    let values = |records: Vec<(String, _)>| records.into_iter().map(|(_, value)| value).collect();
    let saved = Saved {
        incidents: values(incidents),
        alerts: alerts.into_iter().map(|(_, alert)| alert).collect(),
        detectors: Some(detectors),
    };
    Ok(Contents {
        saved: Some(saved),
        unreadable,
    })
}

fn read_all<T: DeserializeOwned>(
    transaction: &ReadTransaction,
    table: TableDefinition<&str, &[u8]>,
    what: &str,
    unreadable: &mut Vec<String>,
) -> Result<Vec<(String, T)>, redb::Error> {
    let mut values = Vec::new();
    for record in transaction.open_table(table)?.iter()? {
        let (key, value) = record?;
        match serde_json::from_slice(value.value()) {
            Ok(value) => values.push((key.value().to_owned(), value)),
            Err(error) => unreadable.push(format!("{what} {}: {error}", key.value())),
        }
    }
    Ok(values)
}

fn read_detectors(
    transaction: &ReadTransaction,
    unreadable: &mut Vec<String>,
) -> Result<SavedDetectors, redb::Error> {
    let meta = transaction.open_table(META)?;
    let number = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|value| value.value()));
    let divisor = number(DIVISOR)?.zip(number(DIVISOR_SINCE)?);
    let mut targets: BTreeMap<String, SavedTarget> =
        read_all(transaction, TARGETS, "target", unreadable)?
            .into_iter()
            .map(|(target, life)| {
                (
                    target.clone(),
                    SavedTarget {
                        target,
                        life,
                        series: Vec::new(),
                    },
                )
            })
            .collect();
    for record in transaction.open_table(DETECTORS)?.iter()? {
        let (key, detector) = record?;
        let (target, signal, labels) = key.value();
        match serde_json::from_str::<Labels>(labels) {
            Ok(labels) => {
                let series = SavedSeries {
                    signal: signal.to_owned(),
                    labels,
                    detector: detector.value().to_vec(),
                };
                let target = targets
                    .entry(target.to_owned())
                    .or_insert_with(|| SavedTarget {
                        target: target.to_owned(),
                        life: None,
                        series: Vec::new(),
                    });
                target.series.push(series);
            }
            Err(error) => unreadable.push(format!("detector {signal} of {target}: {error}")),
        }
    }
    Ok(SavedDetectors {
        divisor: divisor.map(|(divisor, since)| (divisor, Timestamp::from_millis(since as i64))),
        targets: targets.into_values().collect(),
    })
}

pub(super) fn write(
    transaction: &WriteTransaction,
    saved: &Saved,
    detectors: Option<Detectors<impl Iterator<Item = SavedTarget>>>,
) -> Result<(), WriteError> {
    let incidents = saved.incidents.iter().map(|own| (own.id.to_string(), own));
    write_all(transaction, INCIDENTS, incidents)?;
    let alerts = saved
        .alerts
        .iter()
        .map(|own| (format!("{}{}", own.name.word(), own.labels), own));
    write_all(transaction, ALERTS, alerts)?;
    match detectors {
        Some(detectors) => write_detectors(transaction, detectors),
        None => Ok(()),
    }
}

/// Makes a table hold these records and no others; those that have not changed are left alone.
fn write_all<'a, T: Serialize + 'a>(
    transaction: &WriteTransaction,
    table: TableDefinition<&str, &[u8]>,
    records: impl Iterator<Item = (String, &'a T)>,
) -> Result<(), WriteError> {
    let mut table = transaction.open_table(table)?;
    let mut kept = BTreeMap::new();
    for (key, record) in records {
        let bytes = serde_json::to_vec(record).map_err(WriteError::Encode)?;
        kept.insert(key, bytes);
    }
    table.retain(|key, _| kept.contains_key(key))?;
    for (key, bytes) in &kept {
        let is_same = table
            .get(key.as_str())?
            .is_some_and(|stored| stored.value() == bytes);
        if !is_same {
            table.insert(key.as_str(), bytes.as_slice())?;
        }
    }
    Ok(())
}

/// Makes the tables hold these detectors and no others. Of what was written, no more than a hash of its name is kept: should
/// two be the same, a detector that is gone is removed a little later.
fn write_detectors(
    transaction: &WriteTransaction,
    detectors: Detectors<impl Iterator<Item = SavedTarget>>,
) -> Result<(), WriteError> {
    if let Some((divisor, since)) = detectors.divisor {
        let mut meta = transaction.open_table(META)?;
        meta.insert(DIVISOR, divisor)?;
        meta.insert(DIVISOR_SINCE, since.millis() as u64)?;
    }
    let mut lives = BTreeMap::new();
    let mut table = transaction.open_table(DETECTORS)?;
    let names = RandomState::new();
    let mut kept: HashSet<u64> = HashSet::new();
    for SavedTarget {
        target,
        life,
        series,
    } in detectors.targets
    {
        for own in &series {
            let labels = serde_json::to_string(&own.labels).map_err(WriteError::Encode)?;
            let key = (target.as_str(), own.signal.as_str(), labels.as_str());
            kept.insert(names.hash_one(key));
            let is_same = table
                .get(key)?
                .is_some_and(|stored| stored.value() == own.detector);
            if !is_same {
                table.insert(key, own.detector.as_slice())?;
            }
        }
        lives.insert(target, life);
    }
    table.retain(|key, _| kept.contains(&names.hash_one(key)))?;
    let lives = lives.iter().map(|(target, life)| (target.clone(), life));
    write_all(transaction, TARGETS, lives)
}
