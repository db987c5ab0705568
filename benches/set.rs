//! A whole published set: built from an unsorted file, searched, changed; beside what one would take instead.
//!
//! `cargo bench --features parallel --bench set` takes ten million members, `BLINDBOOK_BENCH_MEMBERS=100000000` before
//! it another number. Each step runs in a process of its own, whose peak of resident memory the kernel tells.

#![allow(missing_docs)]

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    hint::black_box,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, PublicKey, ServiceId, Tag},
    snapshot::{
        FileSource, Forward, Kind, Manifest, ManifestDraft, Search, Segment, SegmentBuilder,
        SegmentEntry, SegmentSummary, SignedManifest, SnapshotKey,
    },
    store::{BaseBuilder, Duplicates},
};
use xorf::{BinaryFuse32, Filter};

const LABEL: usize = 32;
const RECORD: usize = 8 + LABEL;
const CONTACTS: u64 = 1_000;
const EPOCH: Epoch = Epoch::new(7);
/// The generator of ristretto255 (RFC 9496, appendix A.1).
const GENERATOR: [u8; 32] = [
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
];

type Figures = BTreeMap<String, f64>;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().position(|argument| argument == "--step") {
        Some(at) => step(&arguments[at + 1], Path::new(&arguments[at + 2])),
        None => all(),
    }
}

fn members() -> u64 {
    let given = env::var("BLINDBOOK_BENCH_MEMBERS").ok();
    given.map_or(10_000_000, |count| count.parse().expect("a number"))
}

/// The output of SplitMix64: tags in no order, each once.
fn tag(index: u64) -> u64 {
    let word = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn sealed(tag: u64) -> [u8; LABEL] {
    let mut label = [0; LABEL];
    for (at, chunk) in label.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&self::tag(tag ^ at as u64).to_be_bytes());
    }
    label
}

fn service() -> ServiceId {
    ServiceId::new("chat.example").unwrap()
}

fn label_length() -> LabelLength {
    LabelLength::new(16).unwrap()
}

fn manifest(segments: Vec<SegmentEntry>) -> Manifest {
    let draft = ManifestDraft {
        service: service(),
        normalisation: 1,
        label_length: label_length(),
        epoch: EPOCH,
        public_key: PublicKey::decode(&GENERATOR).unwrap(),
        sequence: 2,
        previous: [1; 32],
        not_before: 0,
        not_after: u64::MAX,
        segments,
    };
    let key = SnapshotKey::from_seed(&mut [7; 32]);
    let signed = SignedManifest::decode(&key.sign(&draft).unwrap()).unwrap();
    signed.verify(&key.public_key()).unwrap()
}

/// Every fourth one is a member.
fn contacts() -> Vec<Tag> {
    let contact = |index| {
        let outside = if index % 4 == 0 { 0 } else { 1 << 60 };
        Tag::new(tag(index * (members() / CONTACTS) + outside))
    };
    (0..CONTACTS).map(contact).collect()
}

fn all() {
    let scratch = tempfile::tempdir().unwrap();
    let run = |step: &str| -> Figures {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--step", step])
            .arg(scratch.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{step}: {errors}");
        let said = String::from_utf8(output.stdout).unwrap();
        let figures = said.lines().map(|line| {
            let (name, figure) = line.split_once('=').unwrap();
            (name.to_owned(), figure.parse().unwrap())
        });
        figures.collect()
    };
    let count = members() as f64;
    run("generate");
    let build = run("build");
    let [whole, map, stream, delta] = ["verify", "map", "stream", "delta"].map(run);
    let [array, fuse] = ["array", "fuse"].map(run);

    println!(
        "{} members, labels of 16 bytes, {CONTACTS} contacts",
        members()
    );
    println!(
        "built from an unsorted file in {:.2} s with {:.0} MiB resident; every byte checked in {:.2} s",
        build["seconds"], build["resident"], whole["seconds"],
    );
    println!(
        "streamed in {:.0} ms, {:.0} ms with every byte checked, {:.1} MiB resident; looked up in memory in {:.1} ms, \
         {:.1} ms once all was checked",
        stream["seconds"] * 1e3,
        stream["all"] * 1e3,
        stream["resident"],
        map["seconds"] * 1e3,
        map["lookup"] * 1e3,
    );
    let least = 64.0 - count.log2() + 1.5;
    println!(
        "{:.2} bits a tag, {:+.2} % beside 64 - log2(N) + 1.5; {:.2} % more for the directory",
        build["tags"] * 8.0 / count,
        (build["tags"] * 8.0 / count / least - 1.0) * 100.0,
        build["directory"] / build["tags"] * 100.0,
    );
    println!(
        "a day of 0.3 % joins and 0.3 % leaves: {:.1} kB without labels, written in {:.0} ms\n",
        delta["bytes"] / 1e3,
        delta["seconds"] * 1e3,
    );

    println!(
        "                          bytes a member  build s  build MiB  lookup us  a day of changes"
    );
    let row = |name: &str, bytes: f64, seconds: f64, resident: f64, lookup: f64, change: &str| {
        let lookup = lookup * 1e6 / CONTACTS as f64;
        println!("{name:<28}{bytes:>12.2}{seconds:>9.2}{resident:>11.0}{lookup:>11.2}  {change}");
    };
    row(
        "blindbook, tags alone",
        (build["tags"] + build["directory"]) / count,
        build["seconds"],
        build["resident"],
        map["lookup"],
        &format!("{:.2} % of it", delta["bytes"] / build["tags"] * 100.0),
    );
    row(
        "sorted array of tags",
        8.0,
        array["seconds"],
        array["resident"],
        array["lookup"],
        "0.60 % of it",
    );
    row(
        "binary fuse filter, 32 bits",
        fuse["bytes"] / count,
        fuse["seconds"],
        fuse["resident"],
        fuse["lookup"],
        "a new filter",
    );
    // OpenMined PSI: at most one false positive in 10^9 look-ups of all contacts.
    let rate: f64 = 1e-9 / CONTACTS as f64;
    println!(
        "{:<28}{:>12.2}{:>31}  a new one, by its formula",
        "Golomb-coded set of PSI",
        (-rate.log2() + 1.5) / 8.0,
        ""
    );
    println!(
        "\nA filter has no labels, and one contact in 4 billion is found who isn't there; neither is signed."
    );
}

fn step(step: &str, scratch: &Path) {
    let tags = scratch.join("unsorted");
    let start = Instant::now();
    let mut figures = Figures::new();
    let mut tell = |name: &str, figure: f64| {
        figures.insert(name.to_owned(), figure);
    };
    match step {
        "generate" => generate(&tags),
        "build" => {
            let summary = build(&tags, scratch);
            tell("seconds", start.elapsed().as_secs_f64());
            tell("tags", summary.0);
            tell("directory", summary.1);
        }
        "verify" => {
            let (path, manifest) = published(scratch);
            let source = FileSource::new(File::open(path).unwrap()).unwrap();
            Segment::open(source, &manifest).unwrap().verify().unwrap();
            tell("seconds", start.elapsed().as_secs_f64());
        }
        "map" => {
            let (path, manifest) = published(scratch);
            let bytes = std::fs::read(path).unwrap();
            let mut segment = Segment::open(&bytes, &manifest).unwrap();
            tell("seconds", best(|| segment.find(&contacts()).unwrap().len()));
            segment.verify().unwrap();
            tell("lookup", best(|| segment.find(&contacts()).unwrap().len()));
        }
        "stream" => {
            let (path, manifest) = published(scratch);
            let find = |all: bool| {
                let file = Forward::new(File::open(&path).unwrap());
                let mut segment = Segment::open(file, &manifest).unwrap();
                let mut search = Search::new(&contacts());
                let read = match all {
                    true => search.read_all(&mut segment),
                    false => search.read(&mut segment),
                };
                read.unwrap();
                search.found().len()
            };
            tell("seconds", best(|| find(false)));
            tell("all", best(|| find(true)));
        }
        "delta" => {
            let (bytes, seconds) = delta();
            tell("bytes", bytes);
            tell("seconds", seconds);
        }
        "array" => {
            let mut tags = read_tags(&tags);
            tags.sort_unstable();
            tell("seconds", start.elapsed().as_secs_f64());
            let there = |tag: &&Tag| tags.binary_search(&tag.get()).is_ok();
            tell("lookup", best(|| contacts().iter().filter(there).count()));
        }
        "fuse" => {
            let filter = BinaryFuse32::try_from(&read_tags(&tags)).unwrap();
            tell("seconds", start.elapsed().as_secs_f64());
            tell("bytes", filter.len() as f64 * 4.0);
            let there = |tag: &&Tag| filter.contains(&tag.get());
            tell("lookup", best(|| contacts().iter().filter(there).count()));
        }
        other => panic!("no step {other}"),
    }
    tell("resident", resident());
    for (name, figure) in figures {
        println!("{name}={figure}");
    }
}

/// The least of ten runs, in seconds; each finds the quarter that is there.
fn best(mut run: impl FnMut() -> usize) -> f64 {
    let mut seconds = || {
        let start = Instant::now();
        assert_eq!(black_box(run()) as u64, CONTACTS / 4);
        start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| seconds()).fold(f64::MAX, f64::min)
}

/// The most memory that this process ever had resident, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn generate(path: &Path) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    for index in 0..members() {
        let tag = tag(index);
        file.write_all(&tag.to_be_bytes()).unwrap();
        file.write_all(&sealed(tag)).unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
}

fn records(path: &Path, mut each: impl FnMut(u64, &[u8])) {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let mut record = [0; RECORD];
    for _ in 0..members() {
        file.read_exact(&mut record).unwrap();
        let (tag, label) = record.split_first_chunk().unwrap();
        each(u64::from_be_bytes(*tag), label);
    }
}

fn read_tags(path: &Path) -> Vec<u64> {
    let mut tags = Vec::with_capacity(members() as usize);
    records(path, |tag, _| tags.push(tag));
    tags
}

/// Leaves the segment and its entry behind; bytes of the tags, and of the directory without the labels' hashes.
fn build(tags: &Path, scratch: &Path) -> (f64, f64) {
    let folder = scratch.join("building");
    // A twentieth of what ten million members are.
    let memory = (members() as usize * 2).max(20 << 20);
    let mut builder =
        BaseBuilder::new(&folder, service().hash(), EPOCH, label_length(), memory).unwrap();
    records(tags, |tag, label| {
        builder.add(Tag::new(tag), label).unwrap()
    });
    let built = builder.finish(Duplicates::Refuse, |_| ()).unwrap();
    let manifest = manifest(vec![built.entry(1)]);
    let source = FileSource::new(File::open(&built.path).unwrap()).unwrap();
    Segment::open(source, &manifest).unwrap();
    let mut file = File::open(&built.path).unwrap();
    let mut header = [0; 232];
    file.read_exact(&mut header).unwrap();
    let tags = u64::from_be_bytes(header[96..104].try_into().unwrap());
    let shards = 1_u64 << header[10];
    (tags as f64, (232 + 16 * (shards + 1) + 32 * shards) as f64)
}

fn published(scratch: &Path) -> (PathBuf, Manifest) {
    let path = scratch.join("building/segment");
    let mut header = [0; 232];
    File::open(&path).unwrap().read_exact(&mut header).unwrap();
    let entry = SegmentEntry {
        kind: Kind::Base,
        id: <sha2::Sha256 as sha2::Digest>::digest(header).into(),
        size: path.metadata().unwrap().len(),
        count: members(),
        deletes: 0,
        from: 0,
        to: 1,
    };
    (path, manifest(vec![entry]))
}

/// Three of a thousand leave, as many join; bytes without labels, and the seconds for writing it.
fn delta() -> (f64, f64) {
    let changes = members() * 3 / 1_000;
    let start = Instant::now();
    let mut builder =
        SegmentBuilder::new(service().hash(), EPOCH, label_length()).changing(1, members());
    for index in 0..changes {
        let spread = tag(index) % (members() / changes);
        builder
            .delete(index * (members() / changes) + spread)
            .unwrap();
        let joined = tag(index + (1 << 50));
        builder.add(Tag::new(joined), &sealed(joined)).unwrap();
    }
    let bytes = builder.build().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let summary = SegmentSummary::read(&bytes, bytes.len() as u64).unwrap();
    let without = summary.size - summary.labels_length - 32 * summary.shards;
    (without as f64, seconds)
}
