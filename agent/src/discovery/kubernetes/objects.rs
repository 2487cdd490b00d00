//! The objects of one kind, as the watches last told of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::discovery::Outlet;

/// Namespaces; all of them where none is named.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) names: Vec<String>,
}

/// What names an object: its namespace, empty for none, and its name.
pub(super) type Key = (String, String);

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Objects<K> {
    shelf: Mutex<Shelf<K>>,
}

#[derive(Debug)]
struct Shelf<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Watches that have not listed yet; `None` before any was begun.
    unlisted: Option<usize>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            shelf: Mutex::new(Shelf {
                objects: BTreeMap::new(),
                unlisted: None,
            }),
        }
    }
}

impl<K> Objects<K> {
    fn shelf(&self) -> MutexGuard<'_, Shelf<K>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of them have been listed once.
    pub(super) fn are_known(&self) -> bool {
        self.shelf().unlisted == Some(0)
    }

    /// All of them, by namespace and name.
    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.shelf().objects.values().cloned().collect()
    }

    /// One of them.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.shelf().objects.get(&key).cloned()
    }

    /// As if it had been listed.
    #[cfg(test)]
    pub(super) fn with(objects: Vec<K>) -> Self
    where
        K: Resource,
    {
        let own = Self::default();
        for object in objects {
            let key = key(&object);
            own.shelf().objects.insert(key, Arc::new(object));
        }
        own.shelf().unlisted = Some(0);
        own
    }
}

impl<K> Objects<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Follows those of some namespaces, for ever.
    pub(super) async fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        settings: watcher::Config,
        changed: &Notify,
        outlet: &Outlet,
    ) where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let apis: Vec<(Option<&str>, Api<K>)> = match scope.names.as_slice() {
            [] => vec![(None, Api::all(client.clone()))],
            names => names
                .iter()
                .map(|name| (Some(name.as_str()), Api::namespaced(client.clone(), name)))
                .collect(),
        };
        self.shelf().unlisted = Some(apis.len());
        let follows = apis
            .into_iter()
            .map(|(namespace, api)| self.follow(api, namespace, settings.clone(), changed, outlet));
        join_all(follows).await;
    }

    /// Follows those of a kind that has no namespaces, for ever.
    pub(super) async fn watch_all(
        &self,
        client: &Client,
        settings: watcher::Config,
        changed: &Notify,
        outlet: &Outlet,
    ) {
        self.shelf().unlisted = Some(1);
        let api = Api::all(client.clone());
        self.follow(api, None, settings, changed, outlet).await;
    }

    async fn follow(
        &self,
        api: Api<K>,
        namespace: Option<&str>,
        settings: watcher::Config,
        changed: &Notify,
        outlet: &Outlet,
    ) {
        let mut events = std::pin::pin!(kube::runtime::watcher(api, settings).default_backoff());
        let mut listing: BTreeMap<Key, Arc<K>> = BTreeMap::new();
        let mut is_listed = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listing.clear(),
                Ok(Event::InitApply(object)) => {
                    let (key, object) = slim(object);
                    listing.insert(key, object);
                }
                Ok(Event::InitDone) => {
                    let mut shelf = self.shelf();
                    shelf
                        .objects
                        .retain(|(own, _), _| namespace.is_some_and(|namespace| own != namespace));
                    shelf.objects.append(&mut listing);
                    if !std::mem::replace(&mut is_listed, true) {
                        shelf.unlisted = shelf.unlisted.map(|number| number.saturating_sub(1));
                    }
                    drop(shelf);
                    changed.notify_one();
                }
                Ok(Event::Apply(object)) => {
                    let (key, object) = slim(object);
                    self.shelf().objects.insert(key, object);
                    changed.notify_one();
                }
                Ok(Event::Delete(object)) => {
                    self.shelf().objects.remove(&key(&object));
                    changed.notify_one();
                }
                Err(error) => outlet.failed(reason(&error)),
            }
        }
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Without the history of who set which field, which is most of an object.
fn slim<K: Resource>(mut object: K) -> (Key, Arc<K>) {
    object.meta_mut().managed_fields = None;
    (key(&object), Arc::new(object))
}

/// The whole chain in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(own) = cause {
        let own_text = own.to_string();
        if !text.contains(&own_text) {
            text.push_str(": ");
            text.push_str(&own_text);
        }
        cause = own.source();
    }
    crate::excerpt::excerpt(&text, 400)
}
