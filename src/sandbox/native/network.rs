//! What a sandbox in the machine's own network gets besides the network: how names are resolved,
//! whom to trust, which proxies to use.

use super::binds::Wanted;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the bundle of certificates is shown, and what programs are told.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where distributions keep it.
const BUNDLES: [&str; 3] = [BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
/// What programs read the bundle's path from.
const BUNDLE_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];
/// Variables that are passed on.
const PASSED: [&str; 16] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "NPM_CONFIG_REGISTRY",
];

/// Files and variables for sandboxes in the machine's network.
pub(super) struct HostView {
    pub(super) files: Vec<Wanted>,
    pub(super) env: BTreeMap<String, String>,
}

impl HostView {
    /// What this machine and this process's environment say.
    pub(super) fn of_this_machine() -> Self {
        Self::new(|name| std::env::var(name).ok(), Path::is_file)
    }

    fn new(variable: impl Fn(&str) -> Option<String>, is_file: impl Fn(&Path) -> bool) -> Self {
        let mut env: BTreeMap<String, String> =
            PASSED.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?))).collect();
        let mut files = Vec::new();
        for path in ["/etc/resolv.conf", "/etc/hosts"] {
            if is_file(Path::new(path)) {
                files.push(Wanted::file(path.into(), path));
            }
        }
        let own = variable("SSL_CERT_FILE").map(PathBuf::from);
        let bundle = own.into_iter().chain(BUNDLES.map(PathBuf::from)).find(|path| is_file(path));
        if let Some(bundle) = bundle {
            files.push(Wanted::file(bundle, BUNDLE));
            env.extend(BUNDLE_VARIABLES.map(|name| (name.to_owned(), BUNDLE.to_owned())));
        }
        Self { files, env }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_shown_where_programs_are_told() {
        let variable = |name: &str| match name {
            "SSL_CERT_FILE" => Some("/opt/own.pem".to_owned()),
            "https_proxy" => Some("http://proxy:1".to_owned()),
            _ => None,
        };
        let view = HostView::new(variable, |_| true);
        assert_eq!(view.files.len(), 3);
        assert_eq!(view.env["PIP_CERT"], BUNDLE);
        assert_eq!(view.env["https_proxy"], "http://proxy:1");
        let bare = HostView::new(|_| None, |_| false);
        assert!(bare.files.is_empty() && bare.env.is_empty());
    }
}
