//! What goes over the wire: Alertmanager's `postableAlert`.
//!
//! Both times always stand in it: with an `endsAt` in the future and no `startsAt`, Alertmanager would let the alert
//! begin in the future.
//!
//! Source: "Alertmanager: alerts API v2".

use serde::Serialize;

use crate::alert::OutgoingAlert;
use crate::labels::Labels;
use crate::quantity;

/// The body of a request.
///
/// # Errors
/// Never: labels, times and texts are JSON.
pub(super) fn body<'a>(
    alerts: impl Iterator<Item = &'a OutgoingAlert>,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&alerts.map(Message::of).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    labels: &'a Labels,
    annotations: &'a Labels,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

impl<'a> Message<'a> {
    fn of(alert: &'a OutgoingAlert) -> Self {
        Self {
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: quantity::rfc3339(alert.starts_at.seconds()),
            ends_at: quantity::rfc3339(alert.ends_at.seconds()),
            generator_url: &alert.generator_url,
        }
    }
}
