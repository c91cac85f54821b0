//! Object stores for processes that are told URLs alone: opened when first asked for, with credentials of the environment.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::object_store::ObjectStore;
use url::Url;

use crate::location::Location;
use crate::store;

#[derive(Debug)]
pub struct Opening(DefaultObjectStoreRegistry);

impl Opening {
    #[must_use]
    pub fn new() -> Self {
        let known = DefaultObjectStoreRegistry::new();
        // it comes with one for local files, which is not ours
        let _ = url::Url::parse("file://").map(|local| known.deregister_store(&local));
        Self(known)
    }
}

impl ObjectStoreRegistry for Opening {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.0.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(known) = self.0.get_store(url) {
            return Ok(known);
        }
        let store = store::build(&Location { url: url.clone(), glob: None })?;
        self.0.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}
