//! The engine's keys: embedded or on a cluster, its memory and where it spills.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::resolve::{integer_in, one_of, required};
use super::settings::Settings;
use crate::error::Result;

/// Where a scheduler listens unless told otherwise.
pub const SCHEDULER_PORT: u16 = 50050;

/// Says how the work is done; no result depends on it.
#[derive(Debug, Clone)]
pub struct Engine {
    /// None for the embedded engine.
    pub ballista: Option<Ballista>,
    /// 0 for the number of cores.
    pub target_partitions: usize,
    pub batch_size: usize,
    pub memory_limit: usize,
    pub spill_dir: PathBuf,
}

/// What runs on a Ballista cluster, and which.
#[derive(Debug, Clone)]
pub struct Ballista {
    /// None for a cluster of one, in the process.
    pub scheduler: Option<SchedulerAddress>,
    /// What reads no more bytes runs in the client.
    pub local_limit: u64,
}

/// Where a scheduler listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerAddress {
    pub host: String,
    pub port: u16,
}

impl Engine {
    pub(super) fn resolve(settings: &Settings) -> Result<Self> {
        let is_ballista = one_of(settings, "engine.kind", &["embedded", "ballista"])? == "ballista";
        if settings.is_written("engine.scheduler") && !is_ballista {
            return Err(settings.error("engine.scheduler", "belongs to engine.kind = \"ballista\""));
        }
        let ballista = Some(Ballista::resolve(settings)?).filter(|_| is_ballista);
        let memory_limit = usize::try_from(size(settings, "engine.memory_limit")?).ok();
        let memory_limit = memory_limit.filter(|bytes| *bytes >= 16 << 20).ok_or_else(|| {
            settings.error("engine.memory_limit", "must be a size of at least 16MiB, such as 8GiB")
        })?;
        let spill_dir = PathBuf::from(required(settings.text("engine.spill_dir"), "engine.spill_dir")?);
        if !spill_dir.is_dir() {
            return Err(settings.error("engine.spill_dir", "is no folder"));
        }
        Ok(Self {
            ballista,
            target_partitions: usize::try_from(integer_in(settings, "engine.target_partitions", 0, 1024)?)
                .unwrap_or(0),
            batch_size: usize::try_from(integer_in(settings, "engine.batch_size", 1, 1 << 20)?).unwrap_or(1),
            memory_limit,
            spill_dir,
        })
    }
}

impl Ballista {
    fn resolve(settings: &Settings) -> Result<Self> {
        let key = "engine.scheduler";
        let scheduler = settings.text(key).map(|text| {
            let parsed = text.parse();
            parsed.map_err(|message: &str| settings.error(key, &format!("{message}, not {text}")))
        });
        Ok(Self { scheduler: scheduler.transpose()?, local_limit: size(settings, "engine.local_limit")? })
    }
}

fn size(settings: &Settings, key: &str) -> Result<u64> {
    let size = required(settings.text(key), key)?.parse::<bytesize::ByteSize>();
    size.map(|size| size.as_u64()).map_err(|_| settings.error(key, "must be a size, such as 8GiB"))
}

/// `df://host:port`, or without the port.
impl FromStr for SchedulerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).ok().filter(|url| {
            url.scheme() == "df" && url.path().trim_matches('/').is_empty() && url.username().is_empty()
        });
        let address = url.as_ref().and_then(|url| Some((url.host_str()?, url.port())));
        match address {
            Some((host, port)) if !host.is_empty() => {
                Ok(Self { host: host.to_owned(), port: port.unwrap_or(SCHEDULER_PORT) })
            }
            _ => Err("must be an address such as df://host:50050"),
        }
    }
}

impl fmt::Display for SchedulerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "df://{}:{}", self.host, self.port)
    }
}
