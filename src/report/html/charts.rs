//! Charts as SVG. Shapes alone are drawn, stretched to whatever room there is; words around them are
//! the page's.

use crate::report::statistics::Interval;
use std::fmt::Write as _;

/// Markup of ours that goes into the page as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::report) struct Chart(pub(in crate::report) String);

/// A part of a stacked bar: how much, and the class of its colour.
pub(in crate::report) type Part<'a> = (f64, &'a str);

/// A share as a bar with its interval.
pub(in crate::report) fn interval(share: f64, interval: Interval) -> Chart {
    let at = |share: f64| share.clamp(0.0, 1.0) * 1000.0;
    let (low, high) = (at(interval.low), at(interval.high));
    Chart(format!(
        "{open}<rect class=\"track\" width=\"1000\" height=\"16\" rx=\"3\"/>\
         <rect class=\"f-resolved\" width=\"{bar:.1}\" height=\"16\" rx=\"3\"/>\
         <rect class=\"dot\" x=\"{low:.1}\" y=\"7\" width=\"{width:.1}\" height=\"2\"/>\
         <rect class=\"dot\" x=\"{left:.1}\" y=\"4\" width=\"3\" height=\"8\"/>\
         <rect class=\"dot\" x=\"{right:.1}\" y=\"4\" width=\"3\" height=\"8\"/></svg>",
        open = svg("interval", (1000, 16), "share with its interval"),
        bar = at(share),
        width = high - low,
        left = low - 1.5,
        right = high - 1.5,
    ))
}

/// Parts beside one another, of a whole.
pub(in crate::report) fn stacked(parts: &[Part<'_>], whole: f64, said: &str) -> Chart {
    let mut text = svg("", (1000, 22), said);
    let mut x = 0.0;
    for (amount, class) in parts {
        let width = amount / whole.max(f64::MIN_POSITIVE) * 1000.0;
        if width > 0.0 {
            let _ = write!(
                text,
                "<rect class=\"f-{class}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"22\"/>"
            );
        }
        x += width;
    }
    text.push_str("</svg>");
    Chart(text)
}

/// A thin bar for each of some shares, one below the other.
pub(in crate::report) fn bars(shares: &[f64]) -> Chart {
    let height = 14.0 / f64::from(u32::try_from(shares.len().max(1)).unwrap_or(1));
    let mut text = svg("", (100, 14), "");
    let mut y = 0.0;
    for (at, share) in shares.iter().enumerate() {
        let (width, tall) = (share.clamp(0.0, 1.0) * 100.0, (height - 1.0).max(0.6));
        let class = if shares.len() == 1 { "resolved".to_owned() } else { colour(at) };
        let _ =
            write!(text, "<rect class=\"track\" y=\"{y:.2}\" width=\"100\" height=\"{tall:.2}\"/>");
        let _ = write!(
            text,
            "<rect class=\"f-{class}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{tall:.2}\"/>"
        );
        y += height;
    }
    text.push_str("</svg>");
    Chart(text)
}

/// Columns of stacked parts over equal steps; each column's parts stand for what the classes say.
pub(in crate::report) fn columns(
    values: &[Vec<f64>],
    classes: &[&str],
    low: bool,
    said: &str,
) -> Chart {
    let most = values.iter().map(|parts| parts.iter().sum()).fold(0.0, f64::max);
    let height = if low { 72.0 } else { 152.0 };
    let mut text = svg(if low { "low" } else { "" }, (1000, if low { 72 } else { 152 }), said);
    let step = 1000.0 / f64::from(u32::try_from(values.len().max(1)).unwrap_or(1));
    let gap = if values.len() > 60 { 0.0 } else { step * 0.12 };
    for (at, parts) in values.iter().enumerate() {
        let x = step * f64::from(u32::try_from(at).unwrap_or(0));
        let mut y = height;
        for (value, class) in parts.iter().zip(classes) {
            let tall = value / f64::max(most, f64::MIN_POSITIVE) * height;
            if tall <= 0.0 {
                continue;
            }
            y -= tall;
            let _ = write!(
                text,
                "<rect class=\"f-{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" \
                 height=\"{tall:.2}\"/>",
                width = step - gap
            );
        }
    }
    let _ =
        write!(text, "<rect class=\"track\" y=\"{height}\" width=\"1000\" height=\"1\"/></svg>");
    Chart(text)
}

/// The class of a model's colour.
pub(in crate::report) fn colour(model: usize) -> String {
    format!("m{}", model % 6)
}

fn svg(class: &str, (width, height): (u32, u32), said: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let role = match said {
        "" => " aria-hidden=\"true\"".to_owned(),
        said => format!(" role=\"img\" aria-label=\"{}\"", escaped(said)),
    };
    format!("<svg{class} viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\"{role}>")
}

/// Text inside an attribute.
pub(in crate::report) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
