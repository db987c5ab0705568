//! Only the quota makes a permit.

use blindbook::{oprf::Epoch, server::quota::Permit};

fn main() {
    let _permit = Permit {
        elements: 1.try_into().unwrap(),
        request_digest: [0; 32],
        epoch: Epoch::new(1),
    };
}
