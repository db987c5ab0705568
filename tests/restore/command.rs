//! `restore`, as an operator uses it at three in the morning.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

const BAD_INPUT: i32 = 2;

struct Operator {
    folder: tempfile::TempDir,
}

impl Operator {
    fn new() -> Self {
        let operator = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let (service, key) = (operator.path("service"), operator.path("unlock"));
        operator.succeeds(&[
            "keygen".as_ref(),
            "--service".as_ref(),
            "chat.example".as_ref(),
            "--new-key-file".as_ref(),
            "--key-file".as_ref(),
            key.as_path(),
            service.as_path(),
        ]);
        operator
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn runs(&self, arguments: &[&Path]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blindbook"));
        command.arg("--json").args(arguments).env_clear();
        command.env("BLINDBOOK_CONFIG", self.path("service/blindbook.toml"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let document = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), document)
    }

    fn succeeds(&self, arguments: &[&Path]) -> Value {
        let (code, document) = self.runs(arguments);
        assert_eq!(code, 0, "{document}");
        document
    }

    fn refuses(&self, arguments: &[&Path], why: &str) {
        let (code, document) = self.runs(arguments);
        assert_eq!(code, BAD_INPUT, "{document}");
        let message = document["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
}

fn words(line: &str) -> Vec<&Path> {
    line.split(' ').map(Path::new).collect()
}

#[test]
fn a_restored_store_is_refused_by_every_command_until_it_is_accepted() {
    let operator = Operator::new();
    let publish = words("publish --offline --now");
    operator.succeeds(&publish);
    let (store, backup) = (
        operator.path("service/blindbook.redb"),
        operator.path("backup"),
    );
    fs::copy(&store, &backup).unwrap();
    let shown = operator.succeeds(&words("restore show"));
    assert_eq!(shown["restored"], Value::Null);
    operator.refuses(&words("restore accept --yes"), "--anyway");
    operator.succeeds(&publish);
    fs::copy(&backup, &store).unwrap();

    for command in ["serve", "publish --offline --now", "rotate --offline"] {
        operator.refuses(&words(command), "restored from a backup");
        operator.refuses(&words(command), "restore accept");
    }
    let shown = operator.succeeds(&words("restore show"));
    assert_eq!(
        (&shown["stored_manifest"], &shown["newest_manifest"]),
        (&1.into(), &2.into())
    );
    operator.refuses(&words("restore accept"), "--yes accepts it");
    // The folder was restored, too: somebody else has to know what was published.
    let newest = operator.path("newest");
    fs::copy(operator.path("service/segments/manifests/2"), &newest).unwrap();
    fs::remove_file(operator.path("service/segments/latest")).unwrap();
    operator.refuses(&words("restore accept --yes"), "--no-newer-manifest");
    let mut accept = words("restore accept --yes --manifest");
    accept.push(&newest);
    let accepted = operator.succeeds(&accept);
    assert_eq!(accepted["accepted"], true);
    let published = operator.succeeds(&publish);
    assert_eq!(published["sequence"], 3);
    operator.refuses(&accept, "--anyway");
}

#[test]
fn where_nothing_was_published_since_somebody_has_to_say_so() {
    let operator = Operator::new();
    let config = operator.path("service/blindbook.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(
        "# witness = \"/var/lib/blindbook/witness\"",
        "witness = \"../seen\"",
    );
    fs::write(&config, text).unwrap();
    operator.succeeds(&words("publish --offline --now"));
    assert!(operator.path("seen").exists());
    fs::remove_file(operator.path("seen")).unwrap();
    operator.refuses(&words("serve"), "its witness is missing");
    operator.refuses(&words("restore accept --yes"), "--no-newer-manifest");
    operator.succeeds(&words("restore accept --yes --no-newer-manifest"));
    let published = operator.succeeds(&words("publish --offline --now"));
    assert_eq!(published["sequence"], 2);
}
