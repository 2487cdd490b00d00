//! `pair`: the other agent that watches the same, and how it is asked.

use std::path::Path;
use std::time::Duration;

use checked_yaml::{Mistakes, Node};

use super::read::{http_url, items, positive_duration};
use super::{Alerting, Global, Pair, Peer};
use crate::http_client::HttpSettings;
use crate::pair::PATH;

const TIMEOUT: Duration = Duration::from_secs(5);
const DOWN_AFTER: Duration = Duration::from_secs(90);

/// The section, where it is there. A promise to Alertmanager must outlast the silence after which a member is given up.
pub(super) fn pair(
    node: Option<&Node>,
    directory: &Path,
    global: &Global,
    alerting: &Alerting,
    mistakes: &mut Mistakes,
) -> Pair {
    let longest = longest_silence(global.evaluation_interval, alerting.resend_delay);
    let mut pair = Pair {
        peers: Vec::new(),
        down_after: DOWN_AFTER.min(longest),
    };
    let Some(node) = node else { return pair };
    let mut fields = node.fields(mistakes);
    let timeout = positive_duration(fields.optional("timeout"), mistakes).unwrap_or(TIMEOUT);
    let down_node = fields.optional("down_after");
    if let Some(own) = positive_duration(down_node, mistakes) {
        pair.down_after = own;
    }
    if let Some(node) = down_node {
        if pair.down_after > longest {
            node.reject(
                mistakes,
                format!("is longer than {longest:?}: by then Alertmanager could have ended what only the silent agent fires"),
            );
        } else if pair.down_after < 2 * timeout {
            node.reject(
                mistakes,
                format!("is shorter than two timeouts ({timeout:?} each): one slow answer would count as silence"),
            );
        }
    }
    let http = HttpSettings::read(&mut fields, directory, mistakes);
    let before = mistakes.len();
    let peers = fields.required("peers", mistakes);
    for node in items(peers, mistakes) {
        if let Some(url) = http_url(node, mistakes) {
            if pair.peers.iter().any(|known: &Peer| known.url == url) {
                node.reject(mistakes, "is listed twice");
            }
            if let Ok(report_url) = reqwest::Url::parse(&format!("{url}{PATH}")) {
                let http = http.clone();
                pair.peers.push(Peer {
                    url,
                    report_url,
                    http,
                    timeout,
                });
            }
        }
    }
    if let Some(node) = peers
        && pair.peers.is_empty()
        && mistakes.len() == before
    {
        node.reject(
            mistakes,
            "is empty: name the other agent's URL, or take `pair` out",
        );
    }
    fields.finish(mistakes);
    pair
}

/// What is left of the promise to Alertmanager (`endsAt`) when a member dies just before it would send again, less the
/// evaluation at which the other sends instead.
fn longest_silence(interval: Duration, resend_delay: Duration) -> Duration {
    (4 * interval.max(resend_delay)).saturating_sub(resend_delay + 2 * interval)
}
