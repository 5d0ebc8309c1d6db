//! What pip is told when the tests of an instance run.

use std::collections::BTreeMap;

/// The wheelhouse of an image built here: what a reinstall of the project needs.
pub const WHEELHOUSE: &str = "/opt/wheels";

/// Where the Python environment of a built image stands.
pub const ENVIRONMENT: &str = "/opt/miniconda3/envs/testbed";

/// For images that were not built here, in a sandbox without a network: pip finds nothing, and says
/// so at once instead of trying again and again. What is installed already still satisfies it.
#[must_use]
pub fn offline_pip_env() -> BTreeMap<String, String> {
    variables([
        ("PIP_NO_INDEX", "1"),
        ("PIP_RETRIES", "0"),
        ("PIP_DEFAULT_TIMEOUT", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ])
}

/// For images built here, in a sandbox that has a network: the index is asked again, as it would be
/// without our `pip.conf`.
#[must_use]
pub fn online_pip_env() -> BTreeMap<String, String> {
    variables([("PIP_NO_INDEX", "0")])
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
