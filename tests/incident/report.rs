//! What a report says, and that it says the same whenever it is asked.

use blindbook::server::incident::{
    Counted, Evaluations, Findings, Incident, OperatorWords, Phase, RegionCount, Report, Tally,
};

use super::{at, opened};

const HOUR: u64 = 3_600;

fn findings(incident: Incident, hours: u64) -> Findings {
    let region = |region: Option<&str>, members, numbers| RegionCount {
        region: region.map(Into::into),
        members,
        numbers,
    };
    Findings {
        service: "chat.example".into(),
        incident,
        at: at(hours * HOUR),
        outlasts_seconds: 26 * HOUR,
        evaluations: Evaluations {
            elements: 752_000,
            complete: true,
            requests: 1_000,
            counted: Counted::NamedAccounts,
            silent_accounts: 0,
        },
        regions: vec![
            region(Some("US"), 30_000_000, Some(505_730_000)),
            region(Some("XK"), 100, None),
            region(None, 5, None),
        ],
        tally: Tally::default(),
        ledger: Some("entry 7".into()),
    }
}

fn contained() -> Incident {
    let mut incident = opened(&[1, 2], 10 * HOUR);
    incident.contain(at(11 * HOUR)).unwrap();
    incident.report(at(12 * HOUR)).unwrap();
    incident
}

#[test]
fn each_region_has_its_bound_and_what_is_unknown_is_said() {
    let report = Report::new(&findings(contained(), 12));
    assert_eq!((report.members, report.at_most), (30_000_105, 752_000));
    let rows: Vec<_> = report
        .regions
        .iter()
        .map(|row| (row.region.as_str(), row.at_most, row.expected))
        .collect();
    assert_eq!(
        rows,
        [
            ("US", 752_000, Some(44_609)),
            ("XK", 100, None),
            ("unknown", 5, None)
        ]
    );
    let page = report.page();
    assert!(page.contains("752,000") && page.contains("not known") && page.contains("entry 7"));
}

/// What is kept of an hour goes after a month. An incident that began before that can't be bounded by what is left.
#[test]
fn where_hours_are_missing_the_bound_is_everybody() {
    let mut findings = findings(contained(), 12);
    findings.evaluations.complete = false;
    let report = Report::new(&findings);
    assert_eq!((report.members, report.at_most), (30_000_105, 30_000_105));
    assert!(
        report
            .regions
            .iter()
            .all(|row| row.at_most == row.members && row.expected.is_none())
    );
    assert!(report.formula[0].starts_with("Q isn't known"));
}

#[test]
fn the_clock_of_72_hours_runs_from_when_the_operator_knew() {
    let report = |hours| Report::new(&findings(contained(), hours)).deadline;
    // Aware at the tenth hour.
    let soon = report(12);
    assert_eq!((soon.seconds_left, soon.late), (70 * HOUR, false));
    assert!(soon.words.starts_with("70 hours left"));
    let last = report(82);
    assert_eq!((last.seconds_left, last.late), (0, false));
    let late = report(83);
    assert_eq!((late.seconds_left, late.late), (0, true));
    assert!(late.words.starts_with("1 hour late"));
}

#[test]
fn what_only_the_operator_can_say_is_missing_until_it_is_said() {
    let mut incident = contained();
    let before = Report::new(&findings(incident.clone(), 90));
    assert_eq!(before.missing.len(), 3);
    assert!(before.article_33.b.is_none() && before.page().contains("to be added"));
    incident
        .say(OperatorWords {
            controller: Some("Chat Example Ltd <& partners>".into()),
            contact: Some("dpo@chat.example".into()),
            ..OperatorWords::default()
        })
        .unwrap();
    let report = Report::new(&findings(incident.clone(), 90));
    assert_eq!(report.missing, ["the reasons for the delay: Art. 33(1)"]);
    assert!(report.words.last().unwrap().contains("dpo@chat.example"));
    let page = report.page();
    assert!(page.contains("Ltd &lt;&amp; partners&gt;") && !page.contains("<& partners>"));
    // Said once, it needn't be said again.
    let reason = OperatorWords {
        delay_reason: Some("we were counting".into()),
        ..OperatorWords::default()
    };
    incident.say(reason).unwrap();
    let report = Report::new(&findings(incident, 90));
    assert!(report.missing.is_empty() && report.controller.is_some());
    let long = OperatorWords {
        measures: vec!["x".into(); 65],
        ..OperatorWords::default()
    };
    assert!(contained().say(long).is_err());
}

#[test]
fn phases_follow_the_incident() {
    let mut incident = contained();
    let phase = |incident: &Incident| Report::new(&findings(incident.clone(), 12)).phase;
    assert_eq!(phase(&incident), Phase::Preliminary);
    incident.report(at(13 * HOUR)).unwrap();
    assert_eq!(phase(&incident), Phase::Supplementary);
    let mut unfounded = incident.clone();
    unfounded
        .close(true, &Tally::default(), at(14 * HOUR))
        .unwrap();
    assert_eq!(phase(&unfounded), Phase::Unfounded);
    incident.list(true, at(14 * HOUR)).unwrap().complete = true;
    incident
        .close(false, &Tally::default(), at(15 * HOUR))
        .unwrap();
    assert_eq!(phase(&incident), Phase::Final);
}

/// Without a hard rotation nobody may be told that the harvest is worthless now.
#[test]
fn only_a_rotation_lets_people_be_told_of_one() {
    let mut incident = contained();
    let report = Report::new(&findings(incident.clone(), 20));
    let all = |report: &Report| report.words.join(" ") + &report.caveats.join(" ");
    assert!(!all(&report).contains("changed our keys"));
    assert!(
        report
            .caveats
            .iter()
            .any(|one| one.contains("hasn't been rotated"))
    );
    incident.learn_of_rotation(at(19 * HOUR));
    let report = Report::new(&findings(incident, 20));
    assert!(all(&report).contains("changed our keys"));
    assert!(
        !report
            .caveats
            .iter()
            .any(|one| one.contains("hasn't been rotated"))
    );
}

/// The page is read by people who open no other file: no script, nothing fetched, no handle, the same bytes.
#[test]
fn the_page_stands_alone_and_is_the_same_each_time() {
    let findings = findings(contained(), 12);
    let page = Report::new(&findings).page();
    assert_eq!(page, Report::new(&findings).page());
    for foreign in ["<script", "http://", "https://", "src=", "href=", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.ends_with("</body></html>\n"));
    let silent = Findings {
        evaluations: Evaluations {
            silent_accounts: 3,
            ..findings.evaluations
        },
        ..findings
    };
    let caveats = Report::new(&silent).caveats;
    assert!(caveats.iter().any(|one| one.contains("misspelt")));
}
