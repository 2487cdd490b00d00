//! `signals`: levels that the catalogue does not know.

use std::sync::Arc;

use checked_yaml::{Fields, Mistakes, Node};

use super::read::{boolean, items, positive_number, text};
use crate::catalogue::{Catalogue, LevelSpec, Limit, Only};
use crate::labels::{is_label_name, is_metric_name};

/// A quarter more than before is worth a look whatever is counted; the absolute floor depends on the unit.
const RELATIVE_FLOOR: f64 = 0.25;

/// The levels, and the catalogue with them.
pub(super) fn signals(node: Option<&Node>, mistakes: &mut Mistakes) -> (Vec<LevelSpec>, Catalogue) {
    let mut catalogue = Catalogue::built_in();
    let mut levels = Vec::new();
    for node in items(node, mistakes) {
        let mut fields = node.fields(mistakes);
        let level = level(&mut fields, mistakes);
        fields.finish(mistakes);
        let Some(level) = level else { continue };
        match catalogue.add(level.clone()) {
            Ok(()) => levels.push(level),
            Err(name) if name == level.signal => node.reject(
                mistakes,
                format!("`{name}` is known already; `overrides` can change its floor"),
            ),
            Err(name) => node.reject(
                mistakes,
                format!("`{name}` is known already with another meaning"),
            ),
        }
    }
    (levels, catalogue)
}

fn level(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<LevelSpec> {
    let signal = fields
        .required("name", mistakes)
        .and_then(|node| metric_name(node, mistakes));
    let unit = text(fields.required("unit", mistakes), mistakes);
    let integer = boolean(fields.optional("integer"), false, mistakes);
    let absolute_floor = fields
        .required("absolute_floor", mistakes)
        .and_then(|node| positive_number(node, mistakes));
    let relative_floor = match fields.optional("relative_floor") {
        Some(node) => positive_number(node, mistakes),
        None => Some(RELATIVE_FLOOR),
    };
    let only = fields
        .optional("only")
        .map_or_else(|| Arc::from([]), |node| only(node, mistakes));
    let parts = match fields.optional("parts") {
        Some(node) => node
            .items(mistakes)
            .iter()
            .filter_map(|item| label_name(item, mistakes))
            .collect(),
        None => Arc::default(),
    };
    let limit = fields
        .optional("limit")
        .and_then(|node| limit(node, mistakes));
    let load = match fields.optional("load") {
        Some(node) => node
            .items(mistakes)
            .iter()
            .filter_map(|item| metric_name(item, mistakes))
            .collect(),
        None => Catalogue::default_load(),
    };
    let first_action = text(fields.optional("first_action"), mistakes).map_or_else(
        || Arc::from("Look at what a leaking instance holds and a fresh one does not."),
        Arc::from,
    );
    Some(LevelSpec {
        signal: signal?,
        program: Arc::from("signals of the configuration"),
        unit: Arc::from(unit?),
        integer,
        absolute_floor: absolute_floor?,
        relative_floor: relative_floor?,
        only,
        parts,
        limit,
        limit_elsewhere: None,
        load,
        first_action,
    })
}

fn label_name(node: &Node, mistakes: &mut Mistakes) -> Option<Arc<str>> {
    let name = node.text(mistakes)?;
    if is_label_name(name) {
        return Some(Arc::from(name));
    }
    node.reject(mistakes, format!("`{name}` is no label name"));
    None
}

/// Labels, each with a value or a list of values.
fn only(node: &Node, mistakes: &mut Mistakes) -> Arc<[Only]> {
    let mut all = Vec::new();
    for (label, values) in node.entries(mistakes) {
        if !is_label_name(label) {
            values.reject(mistakes, format!("`{label}` is no label name"));
            continue;
        }
        let values: Arc<[Arc<str>]> = values
            .items(mistakes)
            .iter()
            .filter_map(|value| value.text(mistakes).map(Arc::from))
            .collect();
        all.push(Only {
            label: Arc::from(&**label),
            values,
        });
    }
    all.into()
}

/// A number, or the name of the family that holds it.
fn limit(node: &Node, mistakes: &mut Mistakes) -> Option<Limit> {
    let text = node.text(mistakes)?;
    if text.parse::<f64>().is_ok() {
        return positive_number(node, mistakes).map(Limit::Value);
    }
    metric_name(node, mistakes).map(Limit::Family)
}

fn metric_name(node: &Node, mistakes: &mut Mistakes) -> Option<Arc<str>> {
    let text = node.text(mistakes)?;
    if is_metric_name(text) {
        return Some(Arc::from(text));
    }
    node.reject(mistakes, format!("`{text}` is no metric name"));
    None
}
