//! The plot of a run: time an element against the length of the batch, both logarithmic, a panel an operation.

use std::{
    fmt::{self, Write},
    fs, io,
};

use crate::{AVX512, BLIND, BUILD, DALEK, EVALUATE, FINALIZE, LENGTHS, PORTABLE, PRODUCT, VOPRF};

use super::estimates::Estimates;

const PANELS: [&str; 5] = [BLIND, EVALUATE, FINALIZE, PRODUCT, BUILD];
const COLUMNS: usize = 3;
const LINES: [(&str, &str); 4] = [
    (VOPRF, "#8a94a6"),
    (DALEK, "#c98a2b"),
    (PORTABLE, "#3f7cc4"),
    (AVX512, "#1d7f4f"),
];

/// Of one panel without its margins, in pixels.
const WIDTH: f64 = 220.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 14.0;
const BOTTOM: f64 = 30.0;

/// Microseconds at the lower and the upper end of a panel.
const RANGE: (f64, f64) = (2.0, 400.0);
const TICKS: [usize; 5] = [3, 10, 30, 100, 300];

/// Writes `blindbook.svg` beside criterion's reports, and says so; nothing unless each panel has something
/// to show.
pub(crate) fn write(estimates: &Estimates) -> io::Result<()> {
    let points = |panel: &str, function: &str| -> Vec<(usize, f64)> {
        LENGTHS
            .iter()
            .filter_map(|&count| Some((count, estimates.micros(panel, function, count)?)))
            .collect()
    };
    if PANELS
        .iter()
        .any(|panel| points(panel, PORTABLE).is_empty())
    {
        return Ok(());
    }
    let svg = draw(points).map_err(io::Error::other)?;
    let file = Estimates::folder().join("blindbook.svg");
    fs::write(&file, svg)?;
    println!("\n{}", file.canonicalize()?.display());
    Ok(())
}

fn draw(points: impl Fn(&str, &str) -> Vec<(usize, f64)>) -> Result<String, fmt::Error> {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let (panel_width, panel_height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
    let (width, height) = (COLUMNS as f64 * panel_width, rows as f64 * panel_height);
    let mut svg = String::new();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="#333">
<title>Microseconds an element against the length of the batch</title>
<rect width="{width}" height="{height}" fill="#fff"/>"##
    )?;
    for (index, panel) in PANELS.iter().enumerate() {
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        let (x, y) = (
            column as f64 * panel_width + LEFT,
            row as f64 * panel_height + TOP,
        );
        writeln!(svg, r#"<g transform="translate({x} {y})">"#)?;
        axes(&mut svg, panel)?;
        for (function, colour) in LINES {
            line(&mut svg, &points(panel, function), colour)?;
        }
        writeln!(svg, "</g>")?;
    }
    let (x, y) = (
        (PANELS.len() % COLUMNS) as f64 * panel_width + LEFT,
        (rows - 1) as f64 * panel_height + TOP,
    );
    writeln!(svg, r#"<g transform="translate({x} {y})">"#)?;
    legend(&mut svg)?;
    writeln!(svg, "</g>\n</svg>")?;
    Ok(svg)
}

fn axes(svg: &mut String, title: &str) -> fmt::Result {
    writeln!(
        svg,
        r#"<text x="0" y="-10" font-size="13" font-weight="bold">{title}</text>"#
    )?;
    for tick in TICKS {
        let y = height_of(tick as f64);
        writeln!(
            svg,
            r##"<path d="M0 {y:.1}H{WIDTH}" stroke="#e4e6ea"/><text x="-6" y="{:.1}" text-anchor="end">{tick}</text>"##,
            y + 4.0
        )?;
    }
    for (count, label) in [
        (1, "1"),
        (8, "8"),
        (64, "64"),
        (1_024, "1,024"),
        (16_384, "16,384"),
    ] {
        writeln!(
            svg,
            r##"<path d="M{0:.1} {HEIGHT}v4" stroke="#999"/><text x="{0:.1}" y="{1}" text-anchor="middle">{label}</text>"##,
            place_of(count),
            HEIGHT + 17.0
        )?;
    }
    writeln!(
        svg,
        r##"<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#999"/>"##
    )
}

fn line(svg: &mut String, points: &[(usize, f64)], colour: &str) -> fmt::Result {
    let places: Vec<String> = points
        .iter()
        .map(|&(count, micros)| format!("{:.1},{:.1}", place_of(count), height_of(micros)))
        .collect();
    writeln!(
        svg,
        r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>"#,
        places.join(" ")
    )?;
    for &(count, micros) in points {
        writeln!(
            svg,
            r#"<circle cx="{:.1}" cy="{:.1}" r="2.5" fill="{colour}"/>"#,
            place_of(count),
            height_of(micros)
        )?;
    }
    Ok(())
}

fn legend(svg: &mut String) -> fmt::Result {
    writeln!(
        svg,
        r#"<text x="0" y="10">Microseconds an element, against</text>
<text x="0" y="26">the length of the batch. One thread.</text>"#
    )?;
    for (index, (name, colour)) in LINES.iter().rev().enumerate() {
        let y = 52.0 + 20.0 * index as f64;
        writeln!(
            svg,
            r#"<path d="M0 {y}h24" stroke="{colour}" stroke-width="2"/><circle cx="12" cy="{y}" r="2.5" fill="{colour}"/><text x="32" y="{:.1}">{name}</text>"#,
            y + 4.0
        )?;
    }
    Ok(())
}

fn place_of(count: usize) -> f64 {
    let longest = LENGTHS[LENGTHS.len() - 1] as f64;
    (count as f64).ln() / longest.ln() * WIDTH
}

fn height_of(micros: f64) -> f64 {
    let (low, high) = RANGE;
    let part = (micros / low).ln() / (high / low).ln();
    (1.0 - part.clamp(0.0, 1.0)) * HEIGHT
}
