//! Where data stands: a local path or a URL, and a glob below it.

use std::fmt;
use std::path::PathBuf;

use datafusion::object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};

/// A folder or file, and a glob below it where one was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Without the glob; ends with `/` where it is known to be a folder.
    pub url: Url,
    pub glob: Option<String>,
}

/// Those that there are stores for.
const SCHEMES: &[&str] = &["file", "s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https"];

impl Location {
    /// Reads a path, absolute or relative, or a URL; a glob begins with the first segment that holds `*`, `?` or `[`.
    ///
    /// # Errors
    /// When it is no URL of a scheme that we know.
    pub fn parse(text: &str) -> Result<Self> {
        // a path that is there as it is written is no glob, whatever its name
        let is_there = !text.contains("://") && std::fs::symlink_metadata(text).is_ok();
        let (base, glob) = if is_there { (text, None) } else { split_glob(text) };
        let wrong = |reason: &str| Error::config(format!("not a location: {reason}")).with("location", text);
        let url = if base.contains("://") {
            Url::parse(base).map_err(|error| wrong("not a URL").caused_by(error))?
        } else {
            local_url(base).ok_or_else(|| wrong("not a path"))?
        };
        // logs and manifests name locations; of Azure's URLs a user name is the container
        if url.password().is_some() || (url.scheme().starts_with("http") && !url.username().is_empty()) {
            let message = "credentials do not belong in a URL: object stores take them from the environment";
            return Err(Error::config(message).with("host", url.host_str().unwrap_or_default()));
        }
        if !SCHEMES.contains(&url.scheme()) {
            return Err(wrong("the schemes are file, s3, gs, az, http and https"));
        }
        Ok(Self { url, glob: glob.map(str::to_owned) })
    }

    /// The path, where it is on a local disk.
    #[must_use]
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok()).flatten()
    }

    /// The same place with links followed, as far as it is there on a local disk.
    #[must_use]
    pub fn without_links(&self) -> Self {
        let Some(path) = self.local_path() else { return self.clone() };
        for standing in path.ancestors() {
            let (Ok(real), Ok(below)) = (standing.canonicalize(), path.strip_prefix(standing)) else {
                continue;
            };
            let url = if self.is_folder() {
                Url::from_directory_path(real.join(below))
            } else {
                Url::from_file_path(real.join(below))
            };
            return url.map_or_else(|()| self.clone(), |url| Self { url, glob: self.glob.clone() });
        }
        self.clone()
    }

    /// Whether the URL says that it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.url.path().ends_with('/')
    }

    /// The same place as a folder.
    #[must_use]
    pub fn into_folder(mut self) -> Self {
        if !self.is_folder() {
            let path = format!("{}/", self.url.path());
            self.url.set_path(&path);
        }
        self
    }

    /// An object of the same store by a name that a person can use: a path, or a URL.
    #[must_use]
    pub fn name_of(&self, object: &Path) -> String {
        if self.url.scheme() == "file" { format!("/{object}") } else { self.object_url(object).to_string() }
    }

    /// The URL of an object in the same store.
    #[must_use]
    pub fn object_url(&self, object: &Path) -> Url {
        let mut url = self.url.clone();
        // the path of an object is not percent-encoded, that of a URL is
        url.set_path(&object.as_ref().split('/').map(encode_segment).collect::<Vec<_>>().join("/"));
        url
    }
}

/// The URL, and the glob where there is one.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url, self.glob.as_deref().unwrap_or_default())
    }
}

fn encode_segment(segment: &str) -> String {
    segment.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace('\\', "%5C")
}

fn split_glob(text: &str) -> (&str, Option<&str>) {
    let Some(wildcard) = text.find(['*', '?', '[']) else { return (text, None) };
    if text.starts_with("http://") || text.starts_with("https://") {
        return (text, None); // a question mark begins a query there
    }
    let start = text[..wildcard].rfind('/').map_or(0, |slash| slash + 1);
    (&text[..start], Some(&text[start..]))
}

fn local_url(path: &str) -> Option<Url> {
    let path = if path.is_empty() { "." } else { path };
    let absolute = std::path::absolute(path).ok()?;
    let url = if path.ends_with('/') || absolute.is_dir() {
        Url::from_directory_path(absolute).ok()?
    } else {
        Url::from_file_path(absolute).ok()?
    };
    // parsing takes `..` out
    Url::parse(url.as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_a_glob_from_its_folder() {
        let location = Location::parse("s3://bucket/orders/month=2024-*/*.parquet").unwrap();
        assert_eq!(location.url.as_str(), "s3://bucket/orders/");
        assert_eq!(location.glob.as_deref(), Some("month=2024-*/*.parquet"));
    }

    #[test]
    fn reads_local_paths_with_odd_names() {
        let location = Location::parse("/no such/100% #1").unwrap();
        assert_eq!(location.url.as_str(), "file:///no%20such/100%25%20%231");
        assert_eq!(Path::from_url_path(location.url.path()).unwrap().as_ref(), "no such/100% #1");
        let object = location.object_url(&Path::parse("no such/100% #1/a?b.parquet").unwrap());
        assert_eq!(Path::from_url_path(object.path()).unwrap().as_ref(), "no such/100% #1/a?b.parquet");
    }

    #[test]
    fn takes_dots_out_of_local_paths() {
        assert_eq!(Location::parse("/a/b/../c/./d.csv").unwrap().url.as_str(), "file:///a/c/d.csv");
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        for url in
            ["s3://key:secret@bucket/orders", "https://key:secret@host/orders", "https://secret@host/orders"]
        {
            let error = Location::parse(url).unwrap_err().to_string();
            assert!(error.contains("do not belong in a URL") && !error.contains("secret"), "{error}");
        }
        Location::parse("abfss://container@account.dfs.core.windows.net/orders").unwrap();
    }

    #[test]
    fn names_the_schemes_it_knows() {
        let error = Location::parse("ftp://host/orders").unwrap_err();
        assert!(error.to_string().contains("file, s3, gs, az, http"));
    }
}
