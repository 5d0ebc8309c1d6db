//! The files that are inside the program: the registry of names and the recipes, as they were
//! when it was built. Files on disk go before them.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The text of `datasets/registry.toml`.
pub(super) fn registry() -> &'static str {
    REGISTRY
}

/// The text of a recipe file of this name.
pub(super) fn recipe(name: &str) -> Option<&'static str> {
    RECIPES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_inside() {
        assert!(registry().contains("[verified]"));
        assert!(recipe("psf__requests.toml").unwrap().contains("psf/requests"));
        assert_eq!(recipe("psf__nothing.toml"), None);
    }
}
