//! The report as a page: no script, nothing from elsewhere, the same bytes for the same report.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Counted, Phase, Report, Step};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\">\
<title>blindbook: incident</title><style>\
body{font:15px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.3em .6em;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child{text-align:left}\
.box{border-left:4px solid #27c;background:#f4f6fa;padding:.6em 1em}\
.late{border-color:#c22;background:#fbf0f0}\
.people{border-left:4px solid #999;padding-left:1em}\
</style></head><body>\n";

impl Report {
    /// The page, self-contained HTML.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = Page(HEAD.into());
        page.heading(
            1,
            &format!("Incident {} of {}", self.incident, self.service),
        );
        page.paragraph(&format!(
            "{} report, number {}, written {}.",
            phase(self.phase),
            self.number,
            self.written_at
        ));
        let class = if self.deadline.late {
            "box late"
        } else {
            "box"
        };
        page.classed(
            class,
            &format!(
                "Aware since {}; the supervisory authority is to be told by {}: {}.",
                self.deadline.aware_at, self.deadline.due_at, self.deadline.words
            ),
        );
        if !self.missing.is_empty() {
            page.paragraph("The operator has still to say:");
            page.list(&self.missing);
        }
        self.bound(&mut page);
        self.article_33(&mut page);
        page.heading(2, "What was done, and when");
        let steps = self.steps.iter();
        let rows = steps.map(|(step, at)| Vec::from([name(*step).to_string(), at.clone()]));
        page.table(&["step", "first taken"], rows);
        page.heading(2, "Telling the people affected");
        let notices = &self.notices;
        page.paragraph(&format!(
            "{} handles are on the list: {} told, {} handed over without an answer yet, {} waiting. {} members have no \
             handle to be told by.",
            grouped(notices.all()),
            grouped(notices.told),
            grouped(notices.in_flight),
            grouped(notices.waiting),
            grouped(self.nameless)
        ));
        page.paragraph("They are told this (GDPR Art. 34(2)):");
        for words in &self.words {
            page.classed("people", words);
        }
        page.0.push_str("</body></html>\n");
        page.0
    }

    fn bound(&self, page: &mut Page) {
        page.heading(2, "What was learned, at most");
        page.classed(
            "box",
            &format!(
                "Of at most {} members it was learned that they are members.",
                grouped(self.at_most)
            ),
        );
        page.list(&self.formula);
        let number = |number: Option<u64>| number.map_or_else(|| "not known".into(), grouped);
        let rows = self.regions.iter().map(|region| {
            Vec::from([
                region.region.clone(),
                grouped(region.members),
                number(region.numbers),
                grouped(region.at_most),
                number(region.expected),
            ])
        });
        page.table(
            &[
                "region",
                "members M",
                "numbers S",
                "at most min(Q, M)",
                "expected Q*M/S",
            ],
            rows,
        );
        page.paragraph(
            "A row says what was learned if all of Q went into its region; so the rows don't add up.",
        );
        page.heading(2, "What it rests on");
        let suspects = &self.suspects;
        page.paragraph(&format!(
            "Suspects: {} accounts, {} networks{}{}. Counted: {}. Harvested from {} to {}; members could be learned of from \
             {} to {}.",
            grouped(suspects.accounts),
            grouped(suspects.networks),
            if suspects.new_accounts { ", all new accounts" } else { "" },
            if suspects.unknown { ", unknown others" } else { "" },
            match self.evaluations.counted {
                Counted::NamedAccounts => "named accounts",
                Counted::NewAccounts => "new and named accounts",
                Counted::AllAccounts => "all accounts",
            },
            self.harvest[0],
            self.harvest[1],
            self.exposed[0],
            self.exposed[1],
        ));
        if let Some(ledger) = &self.ledger {
            page.paragraph(&format!("Newest entry of the ledger: {ledger}."));
        }
        page.list(&self.caveats);
    }

    fn article_33(&self, page: &mut Page) {
        page.heading(2, "GDPR Art. 33(3)");
        let unsaid = "to be added by the operator";
        let said = |text: &Option<String>| text.clone().unwrap_or_else(|| unsaid.into());
        page.paragraph(&format!("Controller: {}", said(&self.controller)));
        page.heading(3, "a. Nature of the breach");
        page.paragraph(&self.article_33.a);
        page.heading(3, "b. Contact point");
        page.paragraph(&said(&self.article_33.b));
        page.heading(3, "c. Likely consequences");
        page.paragraph(&self.article_33.c);
        page.heading(3, "d. Measures");
        page.list(&self.article_33.d);
        if let Some(reason) = &self.delay_reason {
            page.heading(3, "Reasons for the delay");
            page.paragraph(reason);
        }
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Preliminary => "Preliminary",
        Phase::Supplementary => "Supplementary",
        Phase::Final => "Final",
        Phase::Unfounded => "Final (unfounded)",
    }
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Opened => "opened, evidence frozen",
        Step::Contained => "contained",
        Step::Rotated => "key rotated hard",
        Step::Reported => "reported",
        Step::Listing => "people affected being determined",
        Step::Listed => "people affected determined",
        Step::Closed => "closed",
    }
}

/// HTML that is being written. Every text goes through [`escaped`].
struct Page(String);

impl Page {
    fn heading(&mut self, level: u8, text: &str) {
        let text = escaped(text);
        self.0.push_str(&format!("<h{level}>{text}</h{level}>\n"));
    }

    fn paragraph(&mut self, text: &str) {
        self.0.push_str(&format!("<p>{}</p>\n", escaped(text)));
    }

    fn classed(&mut self, class: &'static str, text: &str) {
        let text = escaped(text);
        self.0
            .push_str(&format!("<p class=\"{class}\">{text}</p>\n"));
    }

    fn list(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.0.push_str("<ul>\n");
        for line in lines {
            self.0.push_str(&format!("<li>{}</li>\n", escaped(line)));
        }
        self.0.push_str("</ul>\n");
    }

    fn table(&mut self, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.0.push_str("<table><tr>");
        for cell in head {
            self.0.push_str(&format!("<th>{}</th>", escaped(cell)));
        }
        self.0.push_str("</tr>\n");
        for row in rows {
            self.0.push_str("<tr>");
            for cell in row {
                self.0.push_str(&format!("<td>{}</td>", escaped(&cell)));
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</table>\n");
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
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
