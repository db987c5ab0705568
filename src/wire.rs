//! The messages between the two roles, byte by byte.
//!
//! Layer 3: stands on [`crate::oprf`] and must not know HTTP, the quota or the store. A decoder refuses
//! unknown versions and kinds, counts that don't fit the bytes there are (before it allocates), and
//! trailing bytes. That an encoding is a group element is checked later, by who does the arithmetic.
//!
//! Media type: [`MEDIA_TYPE`]. In the presentation language of RFC 8446, section 3 (integers are
//! big-endian):
//!
//! ```text
//! enum {
//!     evaluate_request(1), evaluate_response(2),
//!     enrol_request(3), remove_request(4), members_response(5),
//!     carry_over_request(6), carry_over_response(7),
//!     (255)
//! } Kind;
//!
//! struct {
//!     uint8 version = 1;
//!     Kind kind;
//! } Header;                              /* every message starts with one */
//!
//! opaque Element[32];                    /* RFC 9497 SerializeElement */
//! opaque Scalar[32];                     /* RFC 9497 SerializeScalar */
//!
//! struct {                               /* POST /v1/evaluate */
//!     Header header;
//!     uint64 epoch;
//!     uint16 count;                      /* 1..65535 */
//!     Element blinded[count];
//! } EvaluateRequest;
//!
//! struct {
//!     Header header;
//!     uint64 epoch;
//!     uint16 count;                      /* that of the request */
//!     Element evaluated[count];
//!     Scalar c;
//!     Scalar s;
//! } EvaluateResponse;
//!
//! struct {                               /* POST /v1/carry-over */
//!     Header header;
//!     uint64 from;                       /* the epoch of the results */
//!     uint64 to;                         /* the epoch that they are wanted in: the next one */
//!     uint16 count;                      /* 1..65534 */
//!     Element blinded[count];            /* N + r*G */
//! } CarryOverRequest;
//!
//! struct {
//!     Header header;
//!     uint64 from;
//!     uint64 to;
//!     Element delta_key;                 /* delta*G: see `server::CarryOver` for what is proved */
//!     uint16 count;                      /* that of the request */
//!     Element carried[count];            /* delta times each blinded element */
//!     Scalar c;
//!     Scalar s;
//! } CarryOverResponse;
//!
//! enum { nobody(0), everyone(1), (255) } Audience;
//!
//! struct {
//!     Element unblinded;                 /* N */
//!     Audience audience;
//!     uint64 consented_at;               /* microseconds since 1970-01-01T00:00:00Z; zero if the
//!                                           audience is nobody, or everyone without consent */
//!     opaque region[2];                  /* ISO 3166-1 alpha-2 in capitals; zeros if unknown */
//!     opaque label[label_length];        /* filled up with zeros */
//! } Enrolment;
//!
//! struct {                               /* PUT /v1/members */
//!     Header header;
//!     uint64 epoch;
//!     opaque text_version<0..64>;        /* what was consented to, and where: UTF-8; */
//!     opaque surface<0..64>;             /* empty if there is no consent */
//!     uint8 label_length;                /* 0..64 */
//!     uint16 count;                      /* 1..65535 */
//!     Enrolment enrolments[count];
//! } EnrolRequest;
//!
//! struct {                               /* DELETE /v1/members */
//!     Header header;
//!     uint64 epoch;
//!     uint16 count;                      /* 1..65535 */
//!     Element unblinded[count];
//! } RemoveRequest;
//!
//! enum { stale_consent(1), consent_in_future(2), consent_needed(3), (255) } ChangeError;
//!
//! struct {
//!     uint16 index;                      /* in the request; each greater than the one before */
//!     ChangeError error;
//! } RefusedChange;                       /* this member is as it was before */
//!
//! struct {
//!     Header header;
//!     uint32 changed;                    /* members that are now otherwise than before */
//!     uint32 unchanged;
//!     uint16 count;                      /* 0..65535 */
//!     RefusedChange refused[count];
//! } MembersResponse;
//! ```

mod carry_over;
mod codec;
mod member;
mod message;

pub use carry_over::{CarryOverRequest, CarryOverResponse};
pub use codec::{DecodeError, Kind, Message, VERSION};
pub use member::{
    Audience, ChangeError, Consent, ConsentError, Enrolment, Region, RegionError, Setting,
};
pub use message::{
    EnrolRequest, EnrolRequestError, EvaluateRequest, EvaluateResponse, MembersResponse,
    RefusedChange, RemoveRequest,
};

/// The media type of every message.
pub const MEDIA_TYPE: &str = "application/vnd.blindbook.v1+octets";
