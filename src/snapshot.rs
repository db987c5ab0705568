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
//!      9     1   kind: 1 base (2 daily delta and 3 cumulative delta are reserved)
//!     10     1   shard bits b: the set is cut into 2^b shards by the b highest bits of the tag
//!     11     1   Rice parameter k
//!     12     2   label stride: bytes of a sealed label
//!     14     2   number of sections = 3
//!     16    32   service id hash
//!     48     8   epoch
//!     56     8   count n of tags
//!     64     8   sequence of the manifest that the base of a delta was published with; 0 in a base
//!     72   3 x 56  section table: kind u64, offset u64, length u64, Merkle root 32
//!    240         section 1, directory: (2^b + 1) x { offset u64, rank u64 }
//!      .         section 2, tags: 2^b shards, each padded with zero bits to a whole byte
//!      .         section 3, labels: n x label stride, in the order of the tags
//! ```
//!
//! Sections follow each other without a gap and fill the file. Entry `i` of the directory tells where shard
//! `i` begins in the tag section and how many tags are before it; the last entry tells the totals.
//!
//! In a shard the low `64 - b` bits of the tags are coded as gaps: the first from zero, each other one from its
//! predecessor plus one. A gap `g` is Golomb-Rice coded: `g >> k` ones, a zero, and the `k` low bits of `g`.
//! A gap with `g >> k >= 40`, which random tags don't have, is forty ones and 64 plain bits.
//!
//! `b` and `k` follow from `n`: `b = max(0, floor(log2(n / 1024)))`, so a shard has 1,024 to 2,047 tags on
//! average, and `k = floor(log2(ln 2 * 2^64 / n))`, 0 for an empty set. At 100 million tags that is 39 bits a tag.
//!
//! A Merkle root is that of RFC 9162, section 2.1.1, with SHA-256. The leaves are blocks of 4,096 bytes of the directory,
//! the shards of the tags, and the labels of each shard. The id of a segment is the SHA-256 of the whole file.

mod builder;
mod chain;
mod format;
mod manifest;
mod merkle;
mod reader;
mod rice;

pub use builder::{BuildError, SegmentBuilder};
pub use chain::{Advance, ChainError, ChainState, ChainStateError};
pub use format::{Kind, SegmentError};
pub use manifest::{
    BadSignature, BadSnapshotKey, Manifest, ManifestDraft, ManifestError, SegmentEntry,
    SignedManifest, SnapshotKey, SnapshotPublicKey,
};
pub use reader::{Found, Segment, SegmentSummary};
