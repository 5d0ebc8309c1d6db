//! `RUN --mount`: what is shown to one command and is in no layer.

use super::state::State;
use std::collections::BTreeMap;

/// One `--mount`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mount {
    /// A directory that outlives the build.
    Cache { target: String, id: String, sharing: Sharing, mode: u32, owner: (u32, u32) },
    /// Part of the context, or of a stage or image.
    Bind { target: String, from: Option<String>, source: String, writable: bool },
    /// An empty directory.
    Tmpfs { target: String },
    /// A file of whoever builds.
    Secret { target: Option<String>, id: String, env: Option<String>, required: bool, mode: u32 },
}

/// What happens when several commands use one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sharing {
    Shared,
    Private,
    Locked,
}

impl Mount {
    /// Reads the value of a `--mount`.
    pub(super) fn parse(text: &str, state: &State) -> Result<Self, String> {
        let mut fields = Fields::new(text, state)?;
        let kind = fields.take(&["type"]).unwrap_or_else(|| "bind".to_owned());
        let target = fields.take(&["target", "dst", "destination"]);
        let target = target.map(|target| state.inner_path(&target));
        let need = |target: Option<String>| {
            target.filter(|target| target != "/").ok_or("a mount needs a target below /".to_owned())
        };
        let mount = match kind.as_str() {
            "cache" => {
                let target = need(target)?;
                for field in ["from", "source"] {
                    if fields.take(&[field]).is_some() {
                        return Err(format!("`{field}` of a cache mount is not supported"));
                    }
                }
                let _ = (fields.switch(&["ro", "readonly"])?, fields.switch(&["rw", "readwrite"])?);
                Self::Cache {
                    id: fields.take(&["id"]).unwrap_or_else(|| target.clone()),
                    sharing: match fields.take(&["sharing"]).as_deref() {
                        None | Some("shared") => Sharing::Shared,
                        Some("private") => Sharing::Private,
                        Some("locked") => Sharing::Locked,
                        Some(other) => return Err(format!("`{other}` is no way of sharing")),
                    },
                    mode: fields.bits(0o755)?,
                    owner: fields.owner()?,
                    target,
                }
            }
            "bind" => {
                let writable = fields.switch(&["rw", "readwrite"])?;
                let _ = fields.switch(&["ro", "readonly"])?;
                Self::Bind {
                    target: need(target)?,
                    from: fields.take(&["from"]),
                    source: fields.take(&["source", "src"]).unwrap_or_else(|| "/".to_owned()),
                    writable,
                }
            }
            "tmpfs" => {
                let _ = fields.take(&["size"]);
                Self::Tmpfs { target: need(target)? }
            }
            "secret" => {
                let env = fields.take(&["env"]);
                let id = fields.take(&["id"]);
                let base = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
                let id = id.or_else(|| target.as_ref().map(base)).or_else(|| env.clone());
                let id = id.ok_or("a secret needs an id")?;
                let target = match (&target, &env) {
                    (None, Some(_)) => None,
                    _ => Some(target.unwrap_or_else(|| format!("/run/secrets/{id}"))),
                };
                let mode = fields.bits(0o400)?;
                let _ = fields.owner()?;
                Self::Secret { target, id, env, required: fields.switch(&["required"])?, mode }
            }
            "ssh" => return Err("mounts of type ssh are not supported; use a secret".to_owned()),
            other => return Err(format!("`{other}` is no type of mount")),
        };
        fields.end()?;
        Ok(mount)
    }

    /// Where it is shown.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Cache { target, .. } | Self::Bind { target, .. } | Self::Tmpfs { target } => {
                Some(target)
            }
            Self::Secret { target, .. } => target.as_deref(),
        }
    }
}

/// `name=value,…`; a name alone is a switch.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn new(text: &str, state: &State) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            fields.insert(name.trim().to_ascii_lowercase(), state.expand(value)?);
        }
        Ok(Self(fields))
    }

    fn take(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.0.remove(*name))
    }

    fn switch(&mut self, names: &[&str]) -> Result<bool, String> {
        match self.take(names).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(format!("`{other}` is neither true nor false")),
        }
    }

    fn bits(&mut self, default: u32) -> Result<u32, String> {
        self.take(&["mode"]).map_or(Ok(default), |text| {
            u32::from_str_radix(&text, 8).map_err(|_| format!("`{text}` are no permission bits"))
        })
    }

    fn owner(&mut self) -> Result<(u32, u32), String> {
        let mut id = |name| {
            self.take(&[name])
                .map_or(Ok(0), |text| text.parse().map_err(|_| format!("`{text}` is no {name}")))
        };
        Ok((id("uid")?, id("gid")?))
    }

    fn end(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("`{name}` is nothing that this mount takes")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{ImageConfig, ImageKey};
    use crate::model::Digest;

    fn mount(text: &str) -> Result<Mount, String> {
        let config = ImageConfig {
            env: [("D".to_owned(), "/d".to_owned())].into(),
            workdir: "/w".to_owned(),
            ..ImageConfig::default()
        };
        Mount::parse(text, &State::new(ImageKey(Digest::of("x")), config, '\\'))
    }

    #[test]
    fn mounts_are_read_as_buildkit_does() {
        assert_eq!(
            mount("type=cache,target=$D/c,sharing=locked,mode=0700").unwrap(),
            Mount::Cache {
                target: "/d/c".to_owned(),
                id: "/d/c".to_owned(),
                sharing: Sharing::Locked,
                mode: 0o700,
                owner: (0, 0),
            }
        );
        assert_eq!(mount("target=x,from=build,rw").unwrap().target(), Some("/w/x"));
        assert_eq!(mount("type=secret,id=a").unwrap().target(), Some("/run/secrets/a"));
        assert_eq!(mount("type=secret,id=a,env=A").unwrap().target(), None);
        for bad in ["type=cache", "type=ssh", "type=x,target=/y", "target=/", "target=/x,y=z"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
