//! Encryption between the processes of a cluster, and proof of who they are: each has a certificate of one authority, and trusts no other.

use std::fmt;
use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

use crate::error::{Error, Result};

/// The files in PEM: all of them, or none for a cluster on a network that is trusted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsFiles {
    /// The certificate of the authority that all processes of the cluster have theirs from; with it all connections are encrypted
    #[arg(long, env = "REGULARS_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// This process's certificate, for the names that others reach it by
    #[arg(long, env = "REGULARS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, env = "REGULARS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl TlsFiles {
    /// Those that the environment names.
    #[must_use]
    pub fn of_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            tls_ca: path("REGULARS_TLS_CA"),
            tls_cert: path("REGULARS_TLS_CERT"),
            tls_key: path("REGULARS_TLS_KEY"),
        }
    }
}

#[derive(Clone)]
pub struct Tls {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// None where no file is named.
    ///
    /// # Errors
    /// When some are named and not all, or one cannot be read.
    pub fn read(files: &TlsFiles) -> Result<Option<Self>> {
        match (&files.tls_ca, &files.tls_cert, &files.tls_key) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(certificate), Some(key)) => {
                // libraries of ours bring two; one that is installed already is as good
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                Ok(Some(Self { authority: read(ca)?, certificate: read(certificate)?, key: read(key)? }))
            }
            _ => Err(Error::config(
                "TLS takes three files: the authority's certificate, a certificate and its key (REGULARS_TLS_CA, REGULARS_TLS_CERT, \
                 REGULARS_TLS_KEY)",
            )),
        }
    }

    fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }

    /// What a server shows, and asks of those who connect.
    #[must_use]
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.identity())
            .client_ca_root(Certificate::from_pem(&self.authority))
    }

    /// The endpoint, encrypted.
    ///
    /// # Errors
    /// When the files hold no certificates or key.
    pub fn encrypted(&self, endpoint: &Endpoint) -> Result<Endpoint, tonic::transport::Error> {
        let url = endpoint.uri().to_string().replacen("http://", "https://", 1);
        let authority = Certificate::from_pem(&self.authority);
        Endpoint::from_shared(url)?
            .tls_config(ClientTlsConfig::new().ca_certificate(authority).identity(self.identity()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::config("a file of TLS cannot be read").with("file", path.display()).caused_by(error)
    })
}
