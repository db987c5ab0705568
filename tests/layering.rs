//! The layers of the crate: an arrow points down, and siblings never import each other.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Bottom first. A module may name modules of the rows above its own row here, and nothing else.
///
/// `label` stands on `oprf` because labels are sealed under contact keys, and `group` on `secret` because it
/// says where a verdict on a secret is public; everything else in a row doesn't know its neighbours.
const LAYERS: &[&[&str]] = &[
    &["secret", "timestamp"],
    &["group"],
    &["suite", "kernel"],
    &["oprf"],
    &["label"],
    &["wire", "snapshot"],
    &["client", "server"],
    &["store"],
    &["http", "http_client", "mirror"],
    &["bin"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The top-level modules that `source` names behind `root` (`crate::` or `blindbook::`).
fn named(source: &str, root: &str) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut modules = BTreeSet::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find(root) {
        let before = rest[..at].chars().next_back();
        rest = &rest[at + root.len()..];
        if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
            continue;
        }
        match rest.strip_prefix('{') {
            None => modules.extend(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (index, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && !character.is_whitespace() => {
                            modules.extend(word(&group[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn word(text: &str) -> Option<String> {
    let end = text
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    let word = &text[..end];
    word.chars()
        .next()
        .is_some_and(char::is_lowercase)
        .then(|| word.to_owned())
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module at the root of the crate that a source file belongs to.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(src()).unwrap();
    let first = relative.components().next().unwrap();
    first
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

#[test]
fn arrows_point_down() {
    let mut arrows = 0;
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let module = module_of(&path);
        if module == "lib" || module == "tests" {
            continue;
        }
        let from =
            layer(&module).unwrap_or_else(|| panic!("{module} isn't in the table of layers"));
        let source = fs::read_to_string(&path).unwrap();
        let root = if module == "bin" {
            "blindbook::"
        } else {
            "crate::"
        };
        for target in named(&source, root) {
            // Inside the binary `crate::` names its own modules.
            if target == module || target == "tests" {
                continue;
            }
            let to = layer(&target).unwrap_or_else(|| {
                panic!(
                    "{} names {target}, which isn't in the table",
                    path.display()
                )
            });
            arrows += 1;

            if to >= from {
                wrong.push(format!("{}: {module} -> {target}", path.display()));
            }
        }
    }
    assert!(
        arrows > 20,
        "only {arrows} arrows seen: is the reader broken?"
    );
    assert!(
        wrong.is_empty(),
        "arrows that don't point down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_group_names_the_curve_library() {
    let naming: Vec<String> = sources(&src())
        .into_iter()
        .filter(|path| {
            fs::read_to_string(path)
                .unwrap()
                .contains("curve25519_dalek::")
        })
        .map(|path| module_of(&path))
        .collect();
    assert_eq!(naming, ["group"]);
}

#[test]
fn the_reader_sees_every_form_of_a_path() {
    let source = "
        use crate::wire;
        use crate::{group::{Element, Scalar}, oprf::Tag, label};
        fn f() -> crate::store::Store {} // crate::http
        use mycrate::client;
    ";
    let seen: Vec<String> = named(source, "crate::").into_iter().collect();
    assert_eq!(seen, ["group", "label", "oprf", "store", "wire"]);
}
