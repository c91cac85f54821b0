//! An executor's connections to the others: one to each, shared by all that fetch rows from it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;

/// A connection that broke is made anew by its next request, so none need be thrown away.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<(String, u16), BallistaClient>>);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[async_trait]
impl BallistaClientPool for Connections {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let to = (host.to_owned(), port);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&to).cloned();
        let client = if let Some(client) = known {
            client
        } else {
            let client = BallistaClient::try_new(
                host,
                port,
                config.max_message_size,
                config.use_tls,
                customize_endpoint,
                config.io_retries_times,
                config.io_retry_wait_time_ms,
                config.initial_connection_window_size,
                config.initial_stream_window_size,
            )
            .await?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(to, client.clone());
            client
        };
        Ok(PooledClient::new(client, Box::new(drop)))
    }

    async fn evict_idle(&self) {}
}
