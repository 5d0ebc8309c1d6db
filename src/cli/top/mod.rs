//! `evalrun top`: a run as it goes, from its journal alone, so that any shell can watch it.

mod draw;
mod view;

use super::Session;
use super::args::TopArgs;
use super::exit::{self, Failure};
use crate::journal::{FILE_NAME, Follow};
use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use view::View;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The size of what is printed without a terminal.
const PRINTED: (u16, u16) = (100, 30);

pub(super) fn run(args: &TopArgs, session: &Session) -> Result<u8, Failure> {
    let dir = directory(args, session)?;
    let mut follow = Follow::new(&dir);
    let mut view = View::default();
    look(&mut follow, &mut view)?;
    if args.once || !std::io::stdout().is_terminal() {
        let text = draw::as_text(&view, Timestamp::now(), PRINTED);
        session.terminal.print(&text);
        return Ok(exit::FINISHED);
    }
    let mut terminal = ratatui::try_init().context("cannot use the terminal");
    let result = match &mut terminal {
        Ok(terminal) => watch(terminal, &mut follow, &mut view),
        Err(_) => Ok(()),
    };
    ratatui::restore();
    terminal.map_err(Failure::broken)?;
    result.map(|()| exit::FINISHED)
}

/// The run's folder: as named, or of that name below the report folder.
fn directory(args: &TopArgs, session: &Session) -> Result<PathBuf, Failure> {
    let below = session.settings.report_dir.join(&args.run);
    [args.run.clone(), below].into_iter().find(|dir| dir.join(FILE_NAME).is_file()).ok_or_else(
        || {
            Failure::input(anyhow!("there is no run {}", args.run.display()))
                .hint("name its folder, or its name and --report-dir")
        },
    )
}

fn look(follow: &mut Follow, view: &mut View) -> Result<(), Failure> {
    let mut happened = Vec::new();
    let mut each = |at, event: &crate::journal::Event| happened.push((at, event.clone()));
    let state = follow.look(&mut each).map_err(Failure::broken)?;
    if let Some(state) = state {
        view.take(state, &happened);
    }
    Ok(())
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    follow: &mut Follow,
    view: &mut View,
) -> Result<(), Failure> {
    loop {
        let now = Timestamp::now();
        terminal.draw(|frame| draw::draw(frame, view, now)).map_err(Failure::broken)?;
        if event::poll(LOOK).map_err(Failure::broken)?
            && let Event::Key(key) = event::read().map_err(Failure::broken)?
            && key.kind == KeyEventKind::Press
        {
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(());
                }
                KeyCode::Up | KeyCode::Char('k') => view.scroll = view.scroll.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => view.scroll = view.scroll.saturating_add(1),
                _ => {}
            }
        }
        look(follow, view)?;
    }
}
