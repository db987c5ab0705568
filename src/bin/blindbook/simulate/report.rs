//! The page that a simulation writes: plots as SVG, numbers as a table. No script, nothing from elsewhere.

use std::fmt::Write;

use super::outcome::{DayOutcome, Outcome};
use crate::{policy::signal, text::count};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 90.0;
const BOTTOM: f64 = 30.0;

/// A line of a plot.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    dashed: bool,
    values: Vec<u64>,
}

/// Writes the page.
pub(super) fn page(outcome: &Outcome) -> String {
    let days = &outcome.days;
    let of = |value: fn(&DayOutcome) -> u64| days.iter().map(value).collect::<Vec<_>>();
    let constant = |value| vec![value; days.len()];
    let line = |name, colour, values| Line {
        name,
        colour,
        dashed: false,
        values,
    };
    let dashed = |name, colour, values| Line {
        dashed: true,
        ..line(name, colour, values)
    };
    let signal = (1..=outcome.scenario.days)
        .map(|day| signal(u64::from(outcome.scenario.accounts), day).min(outcome.country.numbers))
        .collect();
    let plots = [
        plot(
            "Numbers that the attacker knows about",
            &[
                line("learned", "#c22", of(|day| day.learned)),
                dashed(
                    "bound of the policy, for all days",
                    "#444",
                    constant(outcome.bound),
                ),
                dashed("Signal's published limits, same accounts", "#27c", signal),
                dashed(
                    "all mobile numbers of the country",
                    "#999",
                    constant(outcome.country.numbers),
                ),
            ],
        ),
        plot(
            "Elements a day, new accounts",
            &[
                line("charged", "#c22", of(|day| day.young.charged)),
                dashed("limit", "#444", of(|day| day.young.limit)),
            ],
        ),
        plot(
            "Elements a day, everybody",
            &[
                line("charged", "#c22", of(|day| day.service.charged)),
                dashed("limit", "#444", of(|day| day.service.limit)),
            ],
        ),
        plot(
            "Honest people refused for the first time",
            &[line("people", "#27c", of(|day| day.honest_refused))],
        ),
        plot(
            "Signals of detection",
            &[
                line("about the attacker", "#c22", of(|day| day.signals.attacker)),
                line("about honest people", "#27c", of(|day| day.signals.honest)),
                dashed(
                    "about nobody in particular",
                    "#444",
                    of(|day| day.signals.nobody),
                ),
            ],
        ),
    ];
    let mut page = String::from(HEAD);
    let text = outcome.to_string();
    let _infallible = write!(page, "<pre>{}</pre>", escaped(&text));
    for plot in plots {
        page.push_str(&plot);
    }
    page.push_str("</body></html>\n");
    page
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<title>blindbook: simulation</title><style>\
body{font:15px/1.4 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}\
pre{overflow-x:auto;background:#f4f4f4;padding:1em}svg{max-width:100%}text{font:12px sans-serif}\
</style></head><body><h1>A simulated attack</h1>\n";

/// A plot of lines over days, the highest value at the top, with its legend below.
fn plot(title: &str, lines: &[Line<'_>]) -> String {
    let most = lines.iter().flat_map(|line| &line.values).max();
    let most = most.copied().unwrap_or(0).max(1);
    let days = lines
        .iter()
        .map(|line| line.values.len())
        .max()
        .unwrap_or(0);
    let x = |day: usize| LEFT + WIDTH * day as f64 / days.saturating_sub(1).max(1) as f64;
    let y = |value: u64| 10.0 + HEIGHT - HEIGHT * value as f64 / most as f64;
    let height = HEIGHT + BOTTOM + 10.0;
    let width = LEFT + WIDTH + 10.0;
    let mut svg = format!(
        "<h2>{}</h2>\n<svg viewBox=\"0 0 {width} {height}\" role=\"img\">",
        escaped(title)
    );
    for part in 0..=4 {
        let value = most / 4 * part;
        let _infallible = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            y(value),
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            count(value)
        );
    }
    for day in (0..days).step_by((days / 6).max(1)) {
        let _infallible = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(day),
            HEIGHT + BOTTOM,
            day + 1
        );
    }
    for line in lines {
        let points: Vec<String> = line
            .values
            .iter()
            .enumerate()
            .map(|(day, value)| format!("{:.1},{:.1}", x(day), y(*value)))
            .collect();
        let dashes = if line.dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        let _infallible = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dashes} points=\"{}\"/>",
            line.colour,
            points.join(" ")
        );
    }
    svg.push_str("</svg>\n<p>");
    for line in lines {
        let dash = if line.dashed { "- -" } else { "&mdash;" };
        let _infallible = write!(
            svg,
            "<span style=\"color:{}\">{dash}</span> {} &nbsp; ",
            line.colour,
            escaped(line.name)
        );
    }
    svg.push_str("</p>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
