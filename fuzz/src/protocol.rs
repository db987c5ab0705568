//! One round of the protocol with corrupted bytes.

use blindbook::{
    client::OprfClient,
    oprf::{Epoch, Evaluation, Proof},
    wire::{EvaluateRequest, EvaluateResponse, Message},
};
use rand::{SeedableRng, rngs::StdRng};

use crate::server::Server;

/// `data` is a number of inputs and then corruptions: an offset of two bytes, and what is flipped there.
/// Odd corruptions hit the answer, even ones the request.
///
/// Whatever is flipped: nothing panics, and a client that accepts has what the untouched round gives.
pub fn run(data: &[u8]) {
    let Some((&first, corruptions)) = data.split_first() else {
        return;
    };
    let inputs: Vec<[u8; 1]> = (0..=first % 8).map(|input| [input]).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(<[u8; 1]>::as_slice).collect();
    let mut rng = StdRng::from_seed([1; 32]);
    let server = Server::new(&mut rng);
    let client = OprfClient::new(server.public_key());
    let expect = client.blind(&inputs, 0, &mut rng).expect("a valid batch");
    let mut request = EvaluateRequest {
        epoch: Epoch::new(1),
        blinded: expect.request().clone(),
    }
    .encode();
    let mut touched = corrupt(&mut request, corruptions, 0);
    let Ok(request) = EvaluateRequest::decode(&request) else {
        return;
    };
    let Some(Evaluation { elements, proof }) = server.evaluate(&request, &mut rng) else {
        return;
    };
    let mut answer = EvaluateResponse {
        epoch: request.epoch,
        evaluated: elements,
        proof,
    }
    .encode();
    touched |= corrupt(&mut answer, corruptions, 1);
    let Ok(answer) = EvaluateResponse::decode(&answer) else {
        return;
    };
    let proof = Proof::decode(&answer.proof.encode()).expect("it was decoded");
    match expect.finalize(&answer.evaluated, &proof) {
        Ok(found) => {
            let expected = server.evaluate_directly(&inputs);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.expose(), expected.expose());
            }
        }
        Err(_) => assert!(touched, "an honest answer was refused"),
    }
}

/// Applies every second corruption; tells whether a byte is now another one.
fn corrupt(message: &mut [u8], corruptions: &[u8], turn: usize) -> bool {
    let before = message.to_vec();
    for corruption in corruptions.chunks_exact(3).skip(turn).step_by(2) {
        let offset = usize::from(u16::from_be_bytes([corruption[0], corruption[1]]));
        if let Some(byte) = message.get_mut(offset % before.len()) {
            *byte ^= corruption[2];
        }
    }
    message != before
}
