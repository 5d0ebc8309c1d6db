//! How `evalrun top` draws.

use super::view::{End, View, between};
use crate::model::VerdictKind;
use jiff::Timestamp;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, Widget};
use std::time::Duration;

/// Draws a run as it stands at this moment.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, now: Timestamp) {
    let area = frame.area();
    draw_into(frame.buffer_mut(), area, view, now);
}

/// The same as text, without colours.
pub(super) fn as_text(view: &View, now: Timestamp, (width, height): (u16, u16)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw_into(&mut buffer, area, view, now);
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn draw_into(buffer: &mut Buffer, area: Rect, view: &View, now: Timestamp) {
    let [head, gauge, counts, running, verdicts, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    title(view, now).render(head, buffer);
    progress(view).render(gauge, buffer);
    numbers(view).render(counts, buffer);
    Widget::render(running_table(view, now, running), running, buffer);
    Widget::render(verdict_table(view, verdicts), verdicts, buffer);
    Paragraph::new("q ends  ·  up and down move").dim().render(foot, buffer);
}

fn title(view: &View, now: Timestamp) -> Paragraph<'static> {
    let (word, colour) = match view.end {
        End::Open => ("runs", Color::Cyan),
        End::Interrupted => ("interrupted", Color::Yellow),
        End::Finished => ("finished", Color::Green),
    };
    let mut second = format!("{}  ·  {} so far", printable(&view.place), clock(view.elapsed(now)));
    if let Some(left) = view.left(now) {
        second.push_str(&format!(", about {} left", clock(left)));
    }
    Paragraph::new(vec![
        Line::from(vec![
            Span::styled(printable(&view.run_id), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!("  {}  ", printable(&view.dataset))),
            Span::styled(word, Style::new().fg(colour)),
        ]),
        Line::from(second),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
fn progress(view: &View) -> Gauge<'static> {
    let share = match view.total {
        0 => 0.0,
        total => view.finished() as f64 / total as f64,
    };
    Gauge::default()
        .ratio(share.clamp(0.0, 1.0))
        .label(format!("{}/{}", view.finished(), view.total))
        .gauge_style(Style::new().fg(Color::Cyan).bg(Color::DarkGray))
}

fn numbers(view: &View) -> Paragraph<'static> {
    let mut spans = Vec::new();
    for kind in VerdictKind::ALL {
        let count = view.counts.get(&kind).copied().unwrap_or_default();
        if count > 0 || kind == VerdictKind::Resolved {
            let text = format!("{count} {}", kind.name().replace('_', " "));
            spans.push(Span::styled(text, Style::new().fg(colour(kind))));
            spans.push(Span::raw("  "));
        }
    }
    let mut rest = format!("{} running, {} images", view.running.len(), view.images);
    if view.retrying > 0 {
        rest.push_str(&format!(", {} to be tried again", view.retrying));
    }
    if view.known > 0 {
        rest.push_str(&format!(", {} known from earlier runs", view.known));
    }
    Paragraph::new(vec![Line::from(spans), Line::from(rest)])
}

/// Rows that fit below a border and a head.
fn fitting(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(3))
}

fn running_table(view: &View, now: Timestamp, area: Rect) -> Table<'static> {
    let shown = view.running.iter().skip(view.scroll).take(fitting(area));
    let rows = shown.map(|(key, since)| {
        Row::new([
            printable(key.instance_id.as_str()),
            printable(&key.model),
            key.attempt.to_string(),
            clock(between(Some(*since), Some(now))),
        ])
    });
    let title = format!(" running, the longest first ({}) ", view.running.len());
    Table::new(rows, WIDTHS)
        .header(Row::new(["instance", "model", "attempt", "for"]).bold())
        .block(Block::bordered().title(title))
}

const WIDTHS: [Constraint; 4] =
    [Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(8), Constraint::Length(12)];

fn verdict_table(view: &View, area: Rect) -> Table<'static> {
    let shown = view.verdicts.iter().take(fitting(area));
    let rows = shown.map(|told| {
        let took = if told.known { "known".to_owned() } else { clock(told.took) };
        Row::new([
            printable(told.key.instance_id.as_str()),
            printable(&told.key.model),
            took,
            told.kind.name().replace('_', " "),
        ])
        .style(Style::new().fg(colour(told.kind)))
    });
    let last = view.verdicts.front().map(|told| told.at.strftime("%H:%M:%S").to_string());
    let title =
        last.map_or(" verdicts ".to_owned(), |at| format!(" verdicts, the last at {at} UTC "));
    Table::new(rows, [WIDTHS[0], WIDTHS[1], Constraint::Length(9), Constraint::Length(20)])
        .header(Row::new(["instance", "model", "took", "verdict"]).bold())
        .block(Block::bordered().title(title))
}

fn colour(kind: VerdictKind) -> Color {
    match kind {
        VerdictKind::Resolved => Color::Green,
        VerdictKind::Unresolved | VerdictKind::EmptyPatch => Color::Reset,
        VerdictKind::Infra => Color::Red,
        _ => Color::Yellow,
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{:.1} s", time.as_secs_f64()),
        (0, minutes) => format!("{minutes} min {:02} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

/// Names come from outside: nothing in them may drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
