//! Where an image is: its name, and the addresses that it may be had from.

use super::{RegistryError, RegistryOptions};
use oci_client::Reference;
use std::net::IpAddr;
use std::str::FromStr;

/// A registry that is asked before another, such as a cache of Docker Hub in the same building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The registry it stands for, e.g. `docker.io`.
    registry: String,
    /// Whether TLS is left out or used; `None`: as for any other registry of that name.
    plain: Option<bool>,
    host: String,
    /// What stands before the names of repositories there; empty, or ends in `/`.
    prefix: String,
}

impl FromStr for Mirror {
    type Err = String;

    /// `[registry=][http://|https://]host[:port][/prefix]`; without a registry it is Docker Hub's.
    fn from_str(text: &str) -> Result<Self, String> {
        let (registry, address) = text.split_once('=').unwrap_or(("docker.io", text));
        let (plain, address) = match address.split_once("://") {
            Some(("http", rest)) => (Some(true), rest),
            Some(("https", rest)) => (Some(false), rest),
            Some(_) => (None, ""),
            None => (None, address),
        };
        let (host, prefix) = address
            .trim_end_matches('/')
            .split_once('/')
            .unwrap_or((address.trim_end_matches('/'), ""));
        let good = |text: &str, more: &str| {
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c) || more.contains(c))
        };
        if host.is_empty()
            || registry.is_empty()
            || !good(host, "[]")
            || !good(registry, "[]")
            || !good(prefix, "/")
        {
            return Err(format!(
                "`{}` is no mirror; write `registry=https://host:port/prefix`, e.g. \
                 `docker.io=https://mirror.example`",
                text.escape_debug()
            ));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { registry: registry.to_owned(), plain, host: host.to_owned(), prefix })
    }
}

/// An address of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) plain: bool,
    /// With the port, if that is not the usual one.
    pub(super) host: String,
    pub(super) repository: String,
}

impl Endpoint {
    /// The address of what is at a path of the repository.
    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.plain { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{path}", self.host, self.repository)
    }

    /// As the client library names it.
    pub(super) fn reference(&self) -> Reference {
        Reference::with_tag(self.host.clone(), self.repository.clone(), "latest".to_owned())
    }
}

/// An image and where it may be had, the address to be asked first at the front.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The name as it was given.
    pub(super) name: String,
    pub(super) reference: Reference,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Place {
    /// Reads a name.
    pub(super) fn new(name: &str, options: &RegistryOptions) -> Result<Self, RegistryError> {
        let name = name.trim();
        let bad = |why: String| RegistryError::Name { name: name.escape_debug().to_string(), why };
        let reference = Reference::from_str(name).map_err(|error| bad(error.to_string()))?;
        if let Some(digest) = reference.digest()
            && !digest.starts_with("sha256:")
        {
            return Err(bad("only sha256 digests are verified here".to_owned()));
        }
        let registry = reference.registry();
        let mirrors = options.mirrors.iter().filter(|mirror| mirror.registry == registry);
        let mut endpoints: Vec<_> = mirrors
            .map(|mirror| Endpoint {
                plain: mirror.plain.unwrap_or_else(|| is_plain(&mirror.host, options)),
                host: mirror.host.clone(),
                repository: format!("{}{}", mirror.prefix, reference.repository()),
            })
            .collect();
        let host = reference.resolve_registry().to_owned();
        let own = Endpoint {
            plain: is_plain(&host, options),
            host,
            repository: reference.repository().to_owned(),
        };
        endpoints.push(own);
        Ok(Self { name: name.to_owned(), reference, endpoints })
    }

    /// The address of the registry itself.
    pub(super) fn own(&self) -> &Endpoint {
        self.endpoints.last().expect("the registry itself is always among them")
    }

    /// What a manifest is asked for by: digest, else tag.
    pub(super) fn version(&self) -> &str {
        self.reference.digest().or(self.reference.tag()).unwrap_or("latest")
    }
}

/// Whether a registry is spoken to without TLS: one on this machine, and those that are named.
fn is_plain(host: &str, options: &RegistryOptions) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let address = bare.trim_start_matches('[').trim_end_matches(']');
    let loopback = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback
        || bare == "localhost"
        || options.plain_http.iter().any(|named| named == host || named == bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, options: &RegistryOptions) -> Place {
        Place::new(name, options).unwrap()
    }

    #[test]
    fn names_lead_to_addresses() {
        let options = RegistryOptions::default();
        let hub = place("python:3.12", &options);
        assert_eq!(
            hub.own().url("manifests/3.12"),
            "https://index.docker.io/v2/library/python/manifests/3.12"
        );
        assert_eq!(hub.version(), "3.12");
        for host in ["localhost:5000", "127.0.0.1:5000"] {
            assert!(place(&format!("{host}/a/b"), &options).own().plain, "{host}");
        }
        assert!(!place("ghcr.io/a/b", &options).own().plain);
        let options = RegistryOptions { plain_http: vec!["lan:5000".into()], ..options };
        assert!(place("lan:5000/a", &options).own().plain);
        assert!(Place::new("Not A Name", &options).is_err());
        assert!(Place::new(&format!("a@sha512:{}", "0".repeat(128)), &options).is_err());
    }

    #[test]
    fn mirrors_go_first() {
        let mirrors = ["http://near:5000", "quay.io=far.example/cache/quay", "127.0.0.1:1"];
        let mirrors = mirrors.map(|text| text.parse().unwrap()).to_vec();
        let options = RegistryOptions { mirrors, ..RegistryOptions::default() };
        let urls = |name| -> Vec<String> {
            place(name, &options).endpoints.iter().map(|endpoint| endpoint.url("x")).collect()
        };
        assert_eq!(
            urls("a/b"),
            [
                "http://near:5000/v2/a/b/x",
                "http://127.0.0.1:1/v2/a/b/x",
                "https://index.docker.io/v2/a/b/x"
            ]
        );
        assert_eq!(
            urls("quay.io/a/b"),
            ["https://far.example/v2/cache/quay/a/b/x", "https://quay.io/v2/a/b/x"]
        );
        for bad in ["", "=x", "ftp://x", "a b", "docker.io="] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }
}
