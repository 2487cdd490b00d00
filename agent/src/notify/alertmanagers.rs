//! Which Alertmanagers there are: from an address and its labels to where alerts are posted.
//!
//! The rules are Prometheus' own (`AlertmanagerFromGroup` of its notifier package): the settings of the set are labels
//! that a target's own go before (`__scheme__`, `__alerts_path__`), then `relabel_configs` rewrite or drop it, and its
//! address and those two are what is left of it.

use std::sync::Arc;

use reqwest::Url;

use crate::config::AlertmanagerSet;
use crate::discovery::{TargetError, with_port};
use crate::labels::Labels;

/// The end of every path at which alerts are posted, unless relabelling says otherwise.
pub(crate) const POST_PATH: &str = "/api/v2/alerts";

/// Where alerts are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) post_url: Url,
    /// How it is called: its URL without the usual path.
    pub(crate) name: Arc<str>,
}

/// Why a target is no Alertmanager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error(transparent)]
    Address(#[from] TargetError),
    #[error("`{0}` is neither http nor https")]
    Scheme(String),
    #[error("`{0}` is no URL")]
    Url(String),
}

/// The Alertmanager of a target; `None` where relabelling drops it.
///
/// # Errors
/// Why there can be none at this target.
pub(crate) fn endpoint(
    set: &AlertmanagerSet,
    target: &Labels,
) -> Result<Option<Endpoint>, EndpointError> {
    let settings: Labels = [
        ("__scheme__", set.scheme.clone()),
        ("__alerts_path__", format!("{}{POST_PATH}", set.path_prefix)),
    ]
    .into_iter()
    .collect();
    let Some(labels) = set.relabelling.apply(&target.or(&settings)) else {
        return Ok(None);
    };
    let read = |name: &str| labels.get(name).unwrap_or_default();
    let scheme = read("__scheme__");
    if !matches!(scheme, "http" | "https") {
        return Err(EndpointError::Scheme(scheme.to_owned()));
    }
    let address = with_port(read("__address__"), scheme)?;
    let path = read("__alerts_path__");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = format!("{scheme}://{address}{slash}{path}");
    let post_url = Url::parse(&text).map_err(|_| EndpointError::Url(text.clone()))?;
    let name = text.strip_suffix(POST_PATH).unwrap_or(&text);
    Ok(Some(Endpoint {
        post_url,
        name: Arc::from(name),
    }))
}
