//! `inspect`: what is in a segment or a manifest file.

use std::{fmt, fs::File, io::Read, path::PathBuf};

use blindbook::{
    client::NormalisationProfile,
    snapshot::{FileSource, ManifestDraft, ReadError, SegmentSummary, SignedManifest},
};
use serde::Serialize;

use crate::{
    config::clock,
    connection::snapshot_key,
    failure::Failure,
    hex,
    text::{bytes, count, duration, table},
};

/// How a segment begins.
const SEGMENT: &[u8] = b"bbsegmnt";
/// Longest file that is read before it is known to be a segment, in bytes: a manifest is shorter.
const MAX_OTHER: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A segment or a manifest
    file: PathBuf,
    /// Verifies a manifest's signature with this key: 64 hexadecimal digits, or a file that holds them
    #[arg(long, value_name = "KEY|FILE", env = "BLINDBOOK_SNAPSHOT_KEY")]
    snapshot_key: Option<String>,
}

/// What is in a file.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Report {
    Segment {
        id: String,
        kind: String,
        service_hash: String,
        epoch: u64,
        members: u64,
        bytes: u64,
        shards: u64,
        sealed_label_bytes: u16,
        directory_bytes: u64,
        deletes: u64,
        changed_set: u64,
        changed_members: u64,
        deletes_bytes: u64,
        tag_bytes: u64,
        label_bytes: u64,
        bits_per_tag: f64,
    },
    Manifest {
        /// `None` if no key was given.
        signature_valid: Option<bool>,
        service: String,
        normalisation: u16,
        normalisation_is_ours: bool,
        epoch: u64,
        public_key: String,
        sequence: u64,
        previous: String,
        not_before: u64,
        not_after: u64,
        expires_in_seconds: Option<u64>,
        label_bytes: u8,
        segments: Vec<Entry>,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    kind: String,
    id: String,
    bytes: u64,
    members: u64,
    deletes: u64,
    from: u64,
    to: u64,
}

/// What is in the file; and that its signature is another's, if it is.
pub(crate) fn run(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let file = |error| Failure::file(&args.file, &error);
    let refuse =
        |error: &dyn fmt::Display| Failure::BadInput(format!("{}: {error}", args.file.display()));
    let mut opened = File::open(&args.file).map_err(file)?;
    let mut content = Vec::new();
    // Whatever isn't a segment is refused before a long file is read into memory.
    (&mut opened)
        .take(MAX_OTHER)
        .read_to_end(&mut content)
        .map_err(file)?;
    if content.starts_with(SEGMENT) {
        let size = opened.metadata().map_err(file)?.len();
        let source = FileSource::new(opened).map_err(file)?;
        let summary = SegmentSummary::read(source, size).map_err(|error| match error {
            ReadError::Io(error) => file(error),
            other => refuse(&other),
        })?;
        return Ok((segment(&summary), None));
    }
    let signed = SignedManifest::decode(&content).map_err(|error| refuse(&error))?;
    let claims = signed.unverified_claims().clone();
    let key = args.snapshot_key.as_deref().map(snapshot_key).transpose()?;
    let verified = key.map(|key| signed.verify(&key));
    let forged = verified
        .as_ref()
        .and_then(|verified| verified.as_ref().err());
    let forged = forged.map(|error| refuse(error));
    Ok((
        manifest(&claims, verified.map(|verified| verified.is_ok())),
        forged,
    ))
}

fn segment(summary: &SegmentSummary) -> Report {
    Report::Segment {
        id: hex::encode(&summary.id),
        kind: format!("{:?}", summary.kind).to_lowercase(),
        service_hash: hex::encode(&summary.service),
        epoch: summary.epoch.get(),
        members: summary.count,
        bytes: summary.size,
        shards: summary.shards,
        sealed_label_bytes: summary.sealed_label,
        directory_bytes: summary.directory_length,
        deletes: summary.deletes,
        changed_set: summary.from,
        changed_members: summary.changed,
        deletes_bytes: summary.deletes_length,
        tag_bytes: summary.tags_length,
        label_bytes: summary.labels_length,
        bits_per_tag: summary.tags_length as f64 * 8.0 / summary.count.max(1) as f64,
    }
}

fn manifest(claims: &ManifestDraft, signature_valid: Option<bool>) -> Report {
    let now = clock().as_micros() / 1_000_000;
    Report::Manifest {
        signature_valid,
        service: claims.service.as_str().to_owned(),
        normalisation: claims.normalisation,
        normalisation_is_ours: claims.normalisation == NormalisationProfile::CURRENT.id(),
        epoch: claims.epoch.get(),
        public_key: hex::encode(&claims.public_key.encode()),
        sequence: claims.sequence,
        previous: hex::encode(&claims.previous),
        not_before: claims.not_before,
        not_after: claims.not_after,
        expires_in_seconds: claims.not_after.checked_sub(now),
        label_bytes: claims.label_length.get(),
        segments: claims
            .segments
            .iter()
            .map(|entry| Entry {
                kind: format!("{:?}", entry.kind).to_lowercase(),
                id: hex::encode(&entry.id),
                bytes: entry.size,
                members: entry.count,
                deletes: entry.deletes,
                from: entry.from,
                to: entry.to,
            })
            .collect(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = match self {
            Self::Segment {
                id,
                kind,
                service_hash,
                epoch,
                members,
                bytes: size,
                shards,
                sealed_label_bytes,
                directory_bytes,
                deletes,
                changed_set,
                changed_members,
                deletes_bytes,
                tag_bytes,
                label_bytes,
                bits_per_tag,
            } => {
                let mut rows = vec![
                    (
                        "segment",
                        format!("{kind}, {} in all, every byte checked", bytes(*size)),
                    ),
                    ("id", id.clone()),
                    ("service", format!("{service_hash} (hash)")),
                    ("epoch", epoch.to_string()),
                    (
                        "members",
                        format!("{} in {} shards", count(*members), count(*shards)),
                    ),
                    ("directory", bytes(*directory_bytes)),
                    (
                        "tags",
                        format!("{}, {bits_per_tag:.1} bits a tag", bytes(*tag_bytes)),
                    ),
                    (
                        "labels",
                        format!(
                            "{}, {sealed_label_bytes} bytes each, sealed",
                            bytes(*label_bytes)
                        ),
                    ),
                ];
                if *changed_set > 0 {
                    let deleted = format!(
                        "{} of {} members of set {changed_set}, {}",
                        count(*deletes),
                        count(*changed_members),
                        bytes(*deletes_bytes)
                    );
                    rows.push(("deletes", deleted));
                }
                rows
            }
            Self::Manifest {
                signature_valid,
                service,
                normalisation,
                normalisation_is_ours,
                epoch,
                public_key,
                sequence,
                previous,
                expires_in_seconds,
                label_bytes,
                segments,
                ..
            } => {
                let signature = match signature_valid {
                    None => "not verified: no --snapshot-key was given",
                    Some(true) => "valid",
                    Some(false) => "NOT BY THIS KEY",
                };
                let profile = if *normalisation_is_ours {
                    "ours"
                } else {
                    "not ours"
                };
                let mut rows = vec![
                    ("manifest", format!("{sequence} of {service}")),
                    ("signature", signature.to_owned()),
                    ("previous", previous.clone()),
                    (
                        "valid",
                        expires_in_seconds.map_or_else(
                            || "EXPIRED".to_owned(),
                            |seconds| format!("for {} more", duration(seconds)),
                        ),
                    ),
                    ("epoch", epoch.to_string()),
                    ("public key", public_key.clone()),
                    (
                        "normalisation",
                        format!("profile {normalisation} ({profile})"),
                    ),
                    ("labels", format!("{label_bytes} bytes")),
                ];
                rows.extend(segments.iter().map(|entry| {
                    let Entry {
                        kind,
                        id,
                        bytes: size,
                        members,
                        deletes,
                        from,
                        to,
                    } = entry;
                    let content = match from {
                        0 => format!("set {to}: {} members", count(*members)),
                        _ => format!(
                            "set {from} to {to}: {} added, {} deleted",
                            count(*members),
                            count(*deletes)
                        ),
                    };
                    (
                        "segment",
                        format!("{kind} {id}, {content}, {}", bytes(*size)),
                    )
                }));
                rows
            }
        };
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect();
        f.write_str(table(&rows, &[]).trim_end())
    }
}
