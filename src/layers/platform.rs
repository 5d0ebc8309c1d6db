//! What an image runs on, and which image of an index runs on what is wanted.

use super::oci::{Descriptor, Index};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// An operating system and a processor, in the words of image indexes: `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Operating system; empty: any.
    #[serde(default)]
    pub os: String,
    /// Processor; empty: any.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the processor; empty: any.
    #[serde(default)]
    pub variant: String,
}

impl Platform {
    /// That of this machine.
    #[must_use]
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: usual(architecture).to_owned(),
            variant: String::new(),
        }
    }

    /// Whether an image for `self` is what is wanted.
    pub(super) fn is(&self, wanted: &Self) -> bool {
        let alike = |own: &str, wanted: &str| own.is_empty() || wanted.is_empty() || own == wanted;
        alike(&self.os, &wanted.os)
            && alike(usual(&self.architecture), &wanted.architecture)
            && alike(&self.variant, &wanted.variant)
    }
}

/// One name for each processor.
fn usual(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let good = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let platform = |os: &str, architecture: &str, variant: &str| Self {
            os: os.to_owned(),
            architecture: usual(architecture).to_owned(),
            variant: variant.to_owned(),
        };
        match parts.as_slice() {
            _ if !parts.iter().all(good) => {}
            [architecture] => return Ok(platform("linux", architecture, "")),
            [os, architecture] => return Ok(platform(os, architecture, "")),
            [os, architecture, variant] => return Ok(platform(os, architecture, variant)),
            _ => {}
        }
        Err(format!("`{}` is no platform; write linux/amd64 or linux/arm64", text.escape_debug()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// The manifest for a platform among those of an index. Notes on how an image was built
/// (attestations) are no images.
pub(super) fn choose(index: Index, wanted: &Platform) -> Result<Descriptor, String> {
    let images: Vec<_> = index
        .manifests
        .into_iter()
        .filter(|one| !one.annotations.contains_key("vnd.docker.reference.type"))
        .collect();
    let fitting: Vec<_> = images
        .iter()
        .filter(|one| one.platform.as_ref().is_none_or(|platform| platform.is(wanted)))
        .collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let found: Vec<_> = images.iter().map(platform_name).collect();
            Err(format!("it has no image for {wanted}, only for {}", found.join(", ")))
        }
        // Variants of one processor: the first is the most general by custom. Different images:
        // nobody said which.
        [first, ..] if first.platform.is_some() && names(&fitting).len() <= 1 => {
            Ok((*first).clone())
        }
        several => Err(format!(
            "it holds {} images ({}); take one apart from the others first",
            several.len(),
            names(several).join(", ")
        )),
    }
}

fn platform_name(descriptor: &Descriptor) -> String {
    descriptor.platform.as_ref().map_or_else(|| "any".to_owned(), Platform::to_string)
}

/// The different names that descriptors carry.
fn names(descriptors: &[&Descriptor]) -> Vec<String> {
    let key = "org.opencontainers.image.ref.name";
    let mut names: Vec<_> =
        descriptors.iter().filter_map(|one| one.annotations.get(key)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn descriptor(platform: Option<&str>, name: Option<&str>) -> Descriptor {
        let name = name.map(|name| ("org.opencontainers.image.ref.name".into(), name.into()));
        Descriptor {
            media_type: String::new(),
            digest: format!("sha256:{}", Digest::of(format!("{platform:?}{name:?}"))),
            size: None,
            platform: platform.map(|text| text.parse().unwrap()),
            annotations: name.into_iter().collect(),
            urls: Vec::new(),
        }
    }

    #[test]
    fn the_image_for_a_platform_is_chosen() {
        let here = descriptor(Some(&Platform::here().to_string()), None);
        let other = descriptor(Some("linux/s390x"), None);
        let mut note = descriptor(Some("unknown/unknown"), None);
        note.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
        let index = || Index { manifests: vec![other.clone(), here.clone(), note.clone()] };
        assert_eq!(choose(index(), &Platform::here()).unwrap().digest, here.digest);
        assert_eq!(choose(index(), &"s390x".parse().unwrap()).unwrap().digest, other.digest);
        let refused = choose(Index { manifests: vec![other] }, &Platform::here()).unwrap_err();
        assert!(refused.contains("linux/s390x"), "{refused}");
        let two = vec![descriptor(None, Some("a")), descriptor(None, Some("b"))];
        let refused = choose(Index { manifests: two }, &Platform::here()).unwrap_err();
        assert!(refused.contains("a, b"), "{refused}");
    }

    #[test]
    fn variants_are_told_apart_where_that_is_asked_for() {
        let (v6, v7) =
            (descriptor(Some("linux/arm/v6"), None), descriptor(Some("linux/arm/v7"), None));
        let index = || Index { manifests: vec![v6.clone(), v7.clone()] };
        assert_eq!(choose(index(), &"linux/arm".parse().unwrap()).unwrap().digest, v6.digest);
        assert_eq!(choose(index(), &"linux/arm/v7".parse().unwrap()).unwrap().digest, v7.digest);
    }

    #[test]
    fn platforms_are_read() {
        assert_eq!("x86_64".parse::<Platform>().unwrap().to_string(), "linux/amd64");
        assert_eq!("linux/arm64/v8".parse::<Platform>().unwrap().variant, "v8");
        for bad in ["", "a/b/c/d", "linux/", "a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
