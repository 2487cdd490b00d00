//! `sources`: stores of Prometheus' kind that are queried instead of, or beside, scraping.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node};

use super::read::{http_url, items, positive_count, positive_duration, text};
use super::{Source, jobs};
use crate::http_client::HttpSettings;
use crate::labels::is_label_name;

/// Questions that a store may be asked at once.
const MAX_CONCURRENCY: usize = 4;

/// Every source; those with a mistake may be missing.
pub(super) fn sources(
    node: Option<&Node>,
    directory: &Path,
    mistakes: &mut Mistakes,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for node in items(node, mistakes) {
        let mut fields = node.fields(mistakes);
        let url_node = fields.required("url", mistakes);
        let url = url_node.and_then(|node| http_url(node, mistakes));
        let name_node = fields.optional("name");
        let name = text(name_node, mistakes).map(Arc::from);
        let mut source = Source::at(url.clone().unwrap_or_default());
        read(&mut fields, &mut source, mistakes);
        source.http = HttpSettings::read(&mut fields, directory, mistakes);
        fields.finish(mistakes);
        if url.is_none() {
            continue;
        }
        if let Some(name) = name {
            source.name = name;
        }
        if sources.iter().any(|known| known.name == source.name)
            && let Some(node) = name_node.or(url_node)
        {
            let name = &source.name;
            node.reject(
                mistakes,
                format!("another source is named `{name}` too; give each a `name` of its own"),
            );
        }
        sources.push(source);
    }
    sources
}

fn read(fields: &mut Fields<'_>, source: &mut Source, mistakes: &mut Mistakes) {
    if let Some(node) = fields.optional("tenant")
        && let Some(tenant) = text(Some(node), mistakes)
    {
        if tenant.chars().all(|c| c.is_ascii_graphic()) {
            source.tenant = Some(Arc::from(tenant));
        } else {
            node.reject(mistakes, "is no tenant: it goes into a header as it is");
        }
    }
    if let Some(node) = fields.optional("match")
        && let Some(selector) = text(Some(node), mistakes)
    {
        match matchers(selector) {
            Ok(matchers) => source.matchers = Some(Arc::from(matchers)),
            Err(why) => node.reject(
                mistakes,
                format!("is no selector such as '{{cluster=\"eu-1\",env!~\"dev|test\"}}': {why}"),
            ),
        }
    }
    if let Some(node) = fields.optional("lookback")
        && let Some(lookback) = node.duration(mistakes)
    {
        source.lookback = lookback;
    }
    if let Some(step) = fields.optional("step")
        && let Some(own) = step.positive_duration(mistakes)
    {
        if own < Duration::from_secs(1) || own.subsec_millis() > 0 {
            step.reject(mistakes, "is not in whole seconds");
        } else {
            source.step = own;
        }
    }
    if let Some(node) = fields.optional("query_offset") {
        source.query_offset = node.duration(mistakes);
    }
    if let Some(timeout) = positive_duration(fields.optional("timeout"), mistakes) {
        source.timeout = timeout;
    }
    if let Some(node) = fields.optional("concurrency")
        && let Some(number) = positive_count(Some(node), mistakes)
    {
        if number <= MAX_CONCURRENCY {
            source.concurrency = number;
        } else {
            node.reject(
                mistakes,
                format!("is more than {MAX_CONCURRENCY}: a store serves others as well"),
            );
        }
    }
    limits(fields, source, mistakes);
}

fn limits(fields: &mut Fields<'_>, source: &mut Source, mistakes: &mut Mistakes) {
    for (key, limit) in [
        ("series_limit", &mut source.series_limit),
        ("sample_limit", &mut source.sample_limit),
    ] {
        if let Some(number) = positive_count(fields.optional(key), mistakes) {
            *limit = number;
        }
    }
    if let Some(node) = fields.optional("body_size_limit")
        && let Some(text) = node.text(mistakes)
    {
        match jobs::byte_size(text).and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(0) => node.reject(mistakes, "must be more than zero"),
            Some(bytes) => source.body_size_limit = bytes,
            None => node.reject(mistakes, format!("`{text}` is not a size such as 256MB")),
        }
    }
}

/// The matchers of a selector without its braces: `a="b",c!~"d"`.
fn matchers(selector: &str) -> Result<String, &'static str> {
    let inner = selector
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inner.ok_or("it does not stand in braces")?.trim();
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .ok_or("a matcher has no value")?;
        let (label, after) = rest.split_at(end);
        if !is_label_name(label) {
            return Err("a label name is missing");
        }
        if label == "__name__" {
            return Err("which metrics are read is the catalogue's business");
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Err("a matcher has no value");
        }
        let operator = ["=~", "!~", "!=", "="]
            .into_iter()
            .find(|own| after.starts_with(own))
            .ok_or("one of =, !=, =~, !~ is missing")?;
        let value = quoted(after[operator.len()..].trim_start())?;
        matchers.push(format!("{label}{operator}{value}"));
        rest = after[operator.len()..].trim_start()[value.len()..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return Err("a comma is missing"),
        }
    }
    if matchers.is_empty() {
        return Err("it names nothing; take it out");
    }
    Ok(matchers.join(","))
}

/// The quoted text at the beginning, with its quotes.
fn quoted(text: &str) -> Result<&str, &'static str> {
    let inner = text
        .strip_prefix('"')
        .ok_or("a value stands in double quotes")?;
    let mut escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(&text[..at + 2]),
            '\n' => break,
            _ => {}
        }
    }
    Err("a value does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_as_it_is_and_not_otherwise() {
        for (selector, expected) in [
            (r#"{cluster="eu-1"}"#, Ok(r#"cluster="eu-1""#)),
            (
                r#" { cluster = "eu-1" , env !~ "dev|te\"st", } "#,
                Ok(r#"cluster="eu-1",env!~"dev|te\"st""#),
            ),
            ("cluster=\"eu-1\"", Err("it does not stand in braces")),
            ("{}", Err("it names nothing; take it out")),
            ("{cluster}", Err("a matcher has no value")),
            ("{cluster }", Err("a matcher has no value")),
            ("{cluster \"a\"}", Err("one of =, !=, =~, !~ is missing")),
            ("{=\"a\"}", Err("a label name is missing")),
            ("{a=b}", Err("a value stands in double quotes")),
            ("{a=\"b}", Err("a value does not end")),
            ("{a=\"b\" c=\"d\"}", Err("a comma is missing")),
            (
                "{__name__=\"up\"}",
                Err("which metrics are read is the catalogue's business"),
            ),
        ] {
            assert_eq!(
                matchers(selector).as_deref(),
                expected.as_ref().copied(),
                "{selector}"
            );
        }
    }
}
