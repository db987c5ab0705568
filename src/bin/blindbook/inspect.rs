//! `inspect`: what is in a segment or a manifest file.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use blindbook::{
    client::NormalisationProfile,
    snapshot::{ManifestDraft, SegmentSummary, SignedManifest},
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
/// Longest segment that is read, in bytes: 16 GiB.
const MAX_SEGMENT: u64 = 16 << 30;
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
        tag_bytes: u64,
        label_bytes: u64,
        bits_per_tag: f64,
        merkle_roots: Vec<String>,
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
}

/// What is in the file; and that its signature is another's, if it is.
pub(crate) fn run(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let content = read(&args.file)?;
    let refuse =
        |error: &dyn fmt::Display| Failure::BadInput(format!("{}: {error}", args.file.display()));
    if content.starts_with(SEGMENT) {
        let summary = SegmentSummary::read(&content).map_err(|error| refuse(&error))?;
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

/// Whatever isn't a segment is refused before a long file is read into memory.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let mut read = || {
        let mut file = File::open(path)?;
        file.by_ref().take(MAX_OTHER).read_to_end(&mut content)?;
        if content.starts_with(SEGMENT) {
            file.take(MAX_SEGMENT).read_to_end(&mut content)?;
        }
        Ok(())
    };
    read().map_err(|error| Failure::file(path, &error))?;
    Ok(content)
}

fn segment(summary: &SegmentSummary) -> Report {
    let [directory_bytes, tag_bytes, label_bytes] = summary.section_lengths;
    Report::Segment {
        id: hex::encode(&summary.id),
        kind: format!("{:?}", summary.kind).to_lowercase(),
        service_hash: hex::encode(&summary.service),
        epoch: summary.epoch.get(),
        members: summary.count,
        bytes: summary.size,
        shards: summary.shards,
        sealed_label_bytes: summary.sealed_label,
        directory_bytes,
        tag_bytes,
        label_bytes,
        bits_per_tag: tag_bytes as f64 * 8.0 / summary.count.max(1) as f64,
        merkle_roots: summary.roots.iter().map(|root| hex::encode(root)).collect(),
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
                tag_bytes,
                label_bytes,
                bits_per_tag,
                merkle_roots,
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
                let names = ["directory root", "tags root", "labels root"];
                rows.extend(names.into_iter().zip(merkle_roots.iter().cloned()));
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
                    } = entry;
                    (
                        "segment",
                        format!("{kind} {id}, {} members, {}", count(*members), bytes(*size)),
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
