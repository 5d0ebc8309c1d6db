//! `evalrun sweep`: remove what runs that died left behind.

use super::Session;
use super::exit::{self, Failure};
use serde_json::json;

pub(super) fn run(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let removed = store.sweep().map_err(Failure::broken)?;
    match session.terminal.json {
        true => session.terminal.print_json(&json!({ "removed": removed })),
        false => session.terminal.print(&format!("{removed} leftovers removed\n")),
    }
    Ok(exit::FINISHED)
}
