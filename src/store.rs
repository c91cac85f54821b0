//! The object stores behind locations: settings and credentials from the environment, retries with a limit.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datafusion::object_store::aws::AmazonS3Builder;
use datafusion::object_store::azure::MicrosoftAzureBuilder;
use datafusion::object_store::gcp::GoogleCloudStorageBuilder;
use datafusion::object_store::http::HttpBuilder;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::{
    self, BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
};
use url::Position;

use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;

mod named;

use named::Named;

/// How long a request that fails is tried again, where the default does not fit: a duration such as `5m`.
const RETRY_VARIABLE: &str = "REGULARS_RETRY_TIMEOUT";
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long it may take to find credentials; the metadata service of a machine that has none never answers.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where each store's credentials are looked for.
const S3_CREDENTIALS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, \
                              AWS_CONTAINER_CREDENTIALS_*, the metadata service of the machine; AWS_SKIP_SIGNATURE=true for none";
const GCS_CREDENTIALS: &str = "GOOGLE_SERVICE_ACCOUNT, GOOGLE_SERVICE_ACCOUNT_KEY, GOOGLE_APPLICATION_CREDENTIALS, \
                               the metadata service of the machine; GOOGLE_SKIP_SIGNATURE=true for none";
const AZURE_CREDENTIALS: &str = "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_ID with its secret or \
                                 token file, the machine's managed identity; AZURE_SKIP_SIGNATURE=true for none";

/// The settings of a store that the environment has under some prefix, such as `AWS_`, in lower case.
#[derive(Debug)]
struct Settings(Vec<(String, String)>);

impl Settings {
    fn of(prefix: &str) -> Self {
        // a variable that is no text is none of these
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let named = texts.filter(|(name, _)| name.starts_with(prefix));
        Self(named.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    fn is_anonymous(&self) -> bool {
        let is_true =
            |value: &str| ["1", "true", "on", "yes", "y"].contains(&value.to_ascii_lowercase().as_str());
        self.0.iter().any(|(name, value)| name.ends_with("skip_signature") && is_true(value))
    }

    /// A builder with those settings that it knows.
    fn apply<B, K: std::str::FromStr>(self, builder: B, with: impl Fn(B, K, String) -> B) -> B {
        self.0.into_iter().fold(builder, |builder, (name, value)| match name.parse() {
            Ok(key) => with(builder, key, value),
            Err(_) => builder,
        })
    }
}

/// A store's builder with the environment's settings. The builders have no trait in common.
macro_rules! builder {
    ($builder:ty, $prefix:literal, $location:expr) => {
        Settings::of($prefix)
            .apply(<$builder>::new().with_url($location.url.as_str()), <$builder>::with_config)
    };
}

/// The store that a location lies in. Credentials are looked for at once, so that a run without any fails within seconds.
///
/// # Errors
/// When the store's settings do not add up or there are no credentials.
pub async fn open(location: &Location) -> Result<Arc<dyn ObjectStore>> {
    let impatient = RetryConfig { max_retries: 1, retry_timeout: CREDENTIALS_TIMEOUT, ..retry()? };
    macro_rules! find_credentials {
        ($builder:ty, $prefix:literal, $tried:expr) => {
            if !Settings::of($prefix).is_anonymous() {
                let store = builder!($builder, $prefix, location).with_retry(impatient).build();
                let store = store.map_err(|error| unusable(location, error))?;
                find_credentials(store.credentials().get_credential(), location, $tried).await?;
            }
        };
    }
    match scheme(location)? {
        ObjectStoreScheme::AmazonS3 => find_credentials!(AmazonS3Builder, "AWS_", S3_CREDENTIALS),
        ObjectStoreScheme::GoogleCloudStorage => {
            find_credentials!(GoogleCloudStorageBuilder, "GOOGLE_", GCS_CREDENTIALS);
        }
        ObjectStoreScheme::MicrosoftAzure => {
            find_credentials!(MicrosoftAzureBuilder, "AZURE_", AZURE_CREDENTIALS);
        }
        _ => {}
    }
    build(location)
}

/// The same without looking for credentials first.
///
/// # Errors
/// When the store's settings do not add up.
pub fn build(location: &Location) -> Result<Arc<dyn ObjectStore>> {
    let retry = retry()?;
    macro_rules! named {
        ($builder:expr) => {
            Arc::new(Named($builder.with_retry(retry).build().map_err(|error| unusable(location, error))?))
        };
    }
    Ok(match scheme(location)? {
        // folders that become empty are of no use to anyone
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new().with_automatic_cleanup(true)),
        ObjectStoreScheme::AmazonS3 => named!(builder!(AmazonS3Builder, "AWS_", location)),
        ObjectStoreScheme::GoogleCloudStorage => {
            named!(builder!(GoogleCloudStorageBuilder, "GOOGLE_", location))
        }
        ObjectStoreScheme::MicrosoftAzure => named!(builder!(MicrosoftAzureBuilder, "AZURE_", location)),
        ObjectStoreScheme::Http => {
            // who writes http:// means it
            let is_plain = (location.url.scheme() == "http").to_string();
            let builder = HttpBuilder::new()
                .with_url(&location.url[..Position::BeforePath])
                .with_config(ClientConfigKey::AllowHttp, is_plain);
            named!(builder)
        }
        _ => return Err(Error::config("not a location").with("location", location)),
    })
}

fn scheme(location: &Location) -> Result<ObjectStoreScheme> {
    let (scheme, _) = ObjectStoreScheme::parse(&location.url)
        .map_err(|error| Error::config("not a location").with("location", location).caused_by(error))?;
    Ok(scheme)
}

fn unusable(location: &Location, error: object_store::Error) -> Error {
    Error::new(ErrorKind::Config, "the object store cannot be opened")
        .with("location", location)
        .caused_by(error)
}

/// Waits for credentials, though not long.
async fn find_credentials<T, E: Display>(
    credentials: impl Future<Output = Result<T, E>>,
    location: &Location,
    tried: &str,
) -> Result<()> {
    let missing = |cause: String| {
        Error::config(format!("there are no credentials for the object store; tried: {tried}"))
            .with("location", location)
            .caused_by(cause)
    };
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, credentials).await {
        Ok(found) => found.map(drop).map_err(|error| missing(error.to_string())),
        Err(late) => Err(missing(late.to_string())),
    }
}

/// Requests that fail are tried again, later and later, until the limit; those that no retry can help are not.
fn retry() -> Result<RetryConfig> {
    let retry_timeout = match std::env::var(RETRY_VARIABLE) {
        Ok(text) => humantime::parse_duration(&text).map_err(|error| {
            Error::config(format!("{RETRY_VARIABLE} must be a duration, such as 5m"))
                .with("value", text)
                .caused_by(error)
        })?,
        Err(_) => RETRY_TIMEOUT,
    };
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    // the time is the limit
    Ok(RetryConfig { backoff, max_retries: 1000, retry_timeout })
}
