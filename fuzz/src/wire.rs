//! Every message decoder on the same bytes.

use blindbook::wire::{
    CarryOverRequest, CarryOverResponse, EnrolRequest, EvaluateRequest, EvaluateResponse,
    MembersResponse, Message, RemoveRequest,
};

/// At most one decoder takes the bytes, and what it took it gives back.
pub fn run(data: &[u8]) {
    let taken = [
        round_trip::<EvaluateRequest>(data),
        round_trip::<EvaluateResponse>(data),
        round_trip::<EnrolRequest>(data),
        round_trip::<RemoveRequest>(data),
        round_trip::<MembersResponse>(data),
        round_trip::<CarryOverRequest>(data),
        round_trip::<CarryOverResponse>(data),
    ];
    assert!(taken.into_iter().filter(|&taken| taken).count() <= 1);
}

fn round_trip<M: Message>(data: &[u8]) -> bool {
    match M::decode(data) {
        Ok(message) => {
            assert_eq!(message.encode(), data);
            true
        }
        Err(_) => false,
    }
}
