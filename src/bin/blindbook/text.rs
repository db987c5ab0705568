//! Numbers, sizes, times and tables for people.

use std::{borrow::Cow, fmt::Write};

use unicode_width::UnicodeWidthStr;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes with three digits.
pub(crate) fn bytes(number: u64) -> String {
    let (mut value, mut unit) = (number as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{number} B"),
        _ if value < 9.995 => format!("{value:.2} {unit}"),
        _ if value < 99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A duration by its largest unit and the one below.
pub(crate) fn duration(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let largest = units
        .iter()
        .position(|(_, size)| seconds >= *size)
        .unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units.iter().skip(largest).take(2) {
        let whole = rest / size;
        rest %= size;
        if whole > 0 || parts.is_empty() {
            parts.push(format!("{whole} {unit}"));
        }
    }
    parts.join(" ")
}

/// Seconds as milliseconds or seconds.
pub(crate) fn elapsed(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1_000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

/// A text that somebody else wrote, with what would steer a terminal spelled out: control characters, and those that
/// turn the direction of writing for what follows.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::new();
    for c in text.chars() {
        if steers(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    Cow::Owned(harmless)
}

/// Lines of cells, aligned; the columns of `right` (by index) to the right.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) = if right.contains(&column) {
                (space.as_str(), "")
            } else {
                ("", space.as_str())
            };
            // Writing to a string doesn't fail.
            let _infallible = write!(line, " {before}{cell}{after} ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 999, 1_000, 7_512_345, 999_600].map(bytes),
            ["0 B", "999 B", "1.00 kB", "7.51 MB", "1.00 MB"]
        );
        assert_eq!(
            [0, 59, 60, 3_661, 86_400 * 3 + 3_600 * 4 + 59].map(duration),
            ["0 s", "59 s", "1 min", "1 h 1 min", "3 d 4 h"]
        );
    }

    /// Names come from address books that somebody else sent, titles of problems from a service: either could move the
    /// cursor over what was printed, or set the terminal's title.
    #[test]
    fn nothing_in_a_table_steers_the_terminal() {
        assert_eq!(printable("Zoë 美 \u{200f}עדה"), "Zoë 美 \u{200f}עדה");
        assert_eq!(printable("\x1b[2J\u{9b}"), "\\u{1b}[2J\\u{9b}");
        let rows = [vec!["a\n b\u{202e}".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows, &[]), "  a\\n b\\u{202e}  c\n");
    }

    #[test]
    fn a_table_is_aligned_by_the_width_of_characters() {
        let rows = [
            vec!["美".to_owned(), "1".to_owned()],
            vec!["abc".to_owned(), "22".to_owned()],
        ];
        assert_eq!(table(&rows, &[1]), "  美    1\n  abc  22\n");
    }
}
