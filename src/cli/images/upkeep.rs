//! `evalrun images prune`, `rm` and `verify`.

use super::find;
use crate::cli::Session;
use crate::cli::args::{PruneArgs, RemoveArgs};
use crate::cli::exit::{self, Failure};
use crate::cli::terminal::bytes;
use crate::layers::{Prune, Pruned, StoreError};
use anyhow::anyhow;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Removes what nobody needs, and by wish what was not used for some time.
pub(super) fn prune(args: &PruneArgs, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let unused_for = args.unused_for.as_deref().map(age).transpose()?;
    let what = Prune { unused_for, named: args.all, dry_run: args.dry_run };
    let pruned = store.prune(&what).map_err(failure)?;
    tell(&pruned, args.dry_run, session);
    Ok(exit::FINISHED)
}

/// Removes images by name. What stands on them must be named too.
pub(super) fn remove(args: &RemoveArgs, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let keys: BTreeSet<_> =
        args.names.iter().map(|name| find(&store, name)).collect::<Result<_, _>>()?;
    let children = store.children().map_err(Failure::broken)?;
    for key in &keys {
        let left = children.get(key).into_iter().flatten().filter(|child| !keys.contains(child));
        let left: Vec<String> = left.map(|child| child.0.short()).collect();
        if !left.is_empty() {
            let why = format!("{} stands below {}", key.0.short(), left.join(", "));
            return Err(Failure::input(anyhow!(why)).hint("`evalrun images tree` shows them"));
        }
    }
    let pruned = store.remove(&keys, args.dry_run).map_err(failure)?;
    tell(&pruned, args.dry_run, session);
    Ok(exit::FINISHED)
}

/// Looks whether the store holds what it says; 1 if it does not.
pub(super) fn verify(quick: bool, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let faults = store.verify(!quick).map_err(Failure::broken)?;
    if session.terminal.json {
        session.terminal.print_json(&json!({ "quick": quick, "faults": faults }));
    } else {
        let lines = faults.iter().map(|fault| format!("{}: {}\n", fault.path.display(), fault.why));
        session.terminal.print(&lines.collect::<String>());
    }
    if faults.is_empty() {
        session.terminal.say("the store holds what it says");
        return Ok(exit::FINISHED);
    }
    let error = anyhow!("{} things are not as they should be", faults.len());
    let remedy = "`evalrun images rm` the images of these layers; they are made or pulled again";
    Err(Failure::broken(error).hint(remedy))
}

fn tell(pruned: &Pruned, dry_run: bool, session: &Session) {
    if session.terminal.json {
        session.terminal.print_json(&json!({ "dry_run": dry_run, "pruned": pruned }));
        return;
    }
    let keys: String = pruned.images.iter().map(|key| format!("{}\n", key.0.short())).collect();
    session.terminal.print(&keys);
    session.terminal.say(&format!(
        "{} images and {} layers {}, {}",
        pruned.images.len(),
        pruned.layers.len(),
        if dry_run { "would go" } else { "are gone" },
        bytes(pruned.bytes)
    ));
}

fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::InUse { .. } => Failure::input(error),
        other => Failure::broken(other),
    }
}

/// `90s`, `30m`, `12h`, `14d`.
fn age(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::input(anyhow!("`{text}` is no time; write 90s, 30m, 12h or 14d"));
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (number, seconds) = units
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::age;
    use std::time::Duration;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("14d").unwrap(), Duration::from_hours(14 * 24));
        assert_eq!(age("90s").unwrap(), Duration::from_secs(90));
        for wrong in ["", "d", "3", "3w", "-1d", "ä"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
