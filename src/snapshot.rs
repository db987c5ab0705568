//! The published set: segments of tags and sealed labels, and the signed manifest that names them.
//!
//! Layer 3: stands on [`crate::oprf`] and [`crate::label`] and must not know members, files or the network. It
//! works on byte slices; a memory map or a download is the edge's.
//!
//! A segment is canonical: the same set gives the same bytes, whoever builds it, and no other bytes are
//! taken for it. Integers are big-endian.
//!
//! ```text
//! offset  size
//!      0     8   magic "bbsegmnt"
//!      8     1   version = 1
//!      9     1   kind: 1 base, 2 delta
//!     10     1   shard bits b: the set is cut into 2^b shards by the b highest bits of the tag
//!     11     1   Rice parameter of the tags
//!     12     1   Rice parameter of the deleted ranks
//!     13     1   zero
//!     14     2   label stride: bytes of a sealed label
//!     16    32   service id hash
//!     48     8   epoch
//!     56     8   count n of tags
//!     64     8   count d of deleted ranks; 0 in a base
//!     72     8   count m of tags in the set that a delta changes; 0 in a base
//!     80     8   number of that set; 0 in a base
//!     88     8   bytes of the deleted ranks
//!     96     8   bytes of the tags
//!    104   128   Merkle roots of the directory, the deleted ranks, the tags and the labels
//!    232         directory: (2^b + 1) x { offset u64, rank u64 }
//!      .         tag hashes: 2^b x the Merkle leaf hash of a shard's tags
//!      .         label hashes: 2^b x the Merkle leaf hash of a shard's labels
//!      .         deleted ranks
//!      .         tags: 2^b shards
//!      .         labels: n x label stride, in the order of the tags
//! ```
//!
//! The id of a segment is the SHA-256 of its header. The header commits to all the rest by its Merkle roots, which are those
//! of RFC 9162, section 2.1.1, with SHA-256. The leaves are blocks of 4,096 bytes of the directory and of the deleted
//! ranks, the shards of the tags, and the labels of each shard. So any shard can be checked alone, and whoever checks
//! all of them has checked the file.
//!
//! Entry `i` of the directory tells where shard `i` begins in the tags and how many tags are before it; the last
//! entry tells the totals.
//!
//! Ascending numbers are coded as gaps: the first from zero, each other one from its predecessor plus one. A gap `g` is
//! Golomb-Rice coded with parameter `k`: `g >> k` ones, a zero, and the `k` low bits of `g`. A gap with `g >> k >= 40`,
//! which random numbers don't have, is forty ones and 64 plain bits. At the end zero bits fill a byte.
//!
//! The numbers are, in a shard, the low `64 - b` bits of its tags, and in a delta the deleted ranks: how many tags of the
//! changed set are less than the one that is deleted. A delta first deletes and then adds; a member with another label is
//! deleted and added. It says which set it changes, so that two that change different sets in the same way are two segments.
//!
//! `b` and the parameters follow from the counts: `b = max(0, floor(log2(n / 1024)))`, so a shard has 1,024 to 2,047 tags
//! on average; of `n` numbers below `s` the parameter is `floor(log2(ln 2 * s / n))`, 0 if that is less than 1 or there
//! are none; `s` is 2^64 for tags and `m` for ranks. At 100 million tags that is 39 bits a tag.

mod builder;
mod chain;
mod format;
mod manifest;
mod merge;
mod merkle;
mod outline;
mod path;
mod ranges;
mod rice;
mod search;
mod segment;
mod source;
mod writer;

pub use builder::{BuildError, SegmentBuilder};
pub use chain::{Advance, ChainError, ChainState, ChainStateError};
pub use format::{Kind, SegmentError};
pub use manifest::{
    BadSignature, BadSnapshotKey, Manifest, ManifestDraft, ManifestError, SegmentEntry,
    SignedManifest, SnapshotKey, SnapshotPublicKey,
};
pub use merge::{Composer, Merge};
pub use path::cheapest_path;
pub use ranges::{Ranges, RangesError, Runs, RunsError};
pub use search::{Found, Search};
pub use segment::{Segment, SegmentSummary};
pub use source::ReadAt;
#[cfg(feature = "std")]
pub use source::{FileSource, Forward, ReadError};
pub use writer::{SegmentWriter, Sink, Written};
