//! Enrolment files: every line stands for itself, wherever reading begins.

use std::io::Cursor;

use blindbook::client::contacts::{
    EnrolmentLine, EnrolmentReader, MAX_LINE_BYTES, Position, RejectReason,
};

/// Lines are numbered as they lie in the file, each position is where a line begins, and whoever goes on
/// there reads what is left.
pub fn run(data: &[u8]) {
    let reader = EnrolmentReader::new(Cursor::new(data), "GB".parse().ok());
    let lines: Vec<EnrolmentLine> = reader.map(|line| line.expect("memory")).collect();
    let mut before = Position::START;
    for line in &lines {
        assert!(line.line >= before.line && line.next.line == line.line + 1);
        assert!(line.next.offset > before.offset);
        let (read, _) = data.split_at(usize::try_from(line.next.offset).expect("within"));
        let feeds = read.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let ends = u64::from(read.last() != Some(&b'\n'));
        assert_eq!(
            feeds + ends,
            line.line,
            "the line isn't where it is said to be"
        );
        before = line.next;
        let length = read[..read.len() - 1]
            .iter()
            .rev()
            .take_while(|&&byte| byte != b'\n');
        if let Err(RejectReason::TooLong) = line.outcome {
            assert!(length.count() >= MAX_LINE_BYTES);
        }
    }
    // Every position of a short file, the first of a long one.
    for (at, line) in lines.iter().enumerate().take(64) {
        let resumed = EnrolmentReader::resume(Cursor::new(data), "GB".parse().ok(), line.next);
        let rest = resumed.expect("a line begins here");
        assert_eq!(rest.position(), line.next);
        let mut expected = lines[at + 1..].iter();
        for line in rest.map(|line| line.expect("memory")) {
            same(&line, expected.next().expect("no line more"));
        }
        assert!(expected.next().is_none(), "a line is missing");
    }
}

fn same(one: &EnrolmentLine, other: &EnrolmentLine) {
    assert_eq!((one.line, one.next), (other.line, other.next));
    match (&one.outcome, &other.outcome) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.identifier.as_input(), other.identifier.as_input());
            assert_eq!(one.handle, other.handle);
            assert_eq!(one.audience, other.audience);
            assert_eq!(one.consented_at, other.consented_at);
            assert_eq!(one.region, other.region);
        }
        (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err()),
    }
}
