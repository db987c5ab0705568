//! The messages, byte by byte, from the drawing in `src/wire.rs`.

use blindbook::{
    Timestamp,
    label::{Label, LabelLength},
    oprf::{BlindedElements, Encoding, Epoch, EvaluatedElements, Proof, UnblindedElement},
    wire::{
        CarryOverRequest, CarryOverResponse, ChangeError, Consent, DecodeError, EnrolRequest,
        EnrolRequestError, Enrolment, EvaluateRequest, EvaluateResponse, MembersResponse, Message,
        RefusedChange, Region, RemoveRequest, Setting,
    },
};

/// The generator and its double (RFC 9496, appendix A.1).
const G: Encoding = [
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
];
const G2: Encoding = [
    0x6a, 0x49, 0x32, 0x10, 0xf7, 0x49, 0x9c, 0xd1, 0x7f, 0xec, 0xb5, 0x10, 0xae, 0x0c, 0xea, 0x23,
    0xa1, 0x10, 0xe8, 0xd5, 0xb9, 0x01, 0xf8, 0xac, 0xad, 0xd3, 0x09, 0x5c, 0x73, 0xa3, 0xb9, 0x19,
];
const EPOCH: [u8; 8] = [0, 0, 0, 0, 0, 0, 1, 2];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn evaluate_request() -> Vec<u8> {
    join(&[&[1, 1], &EPOCH, &[0, 2], &G, &G2])
}

fn evaluate_response() -> Vec<u8> {
    let mut c = [0; 32];
    c[0] = 3;
    let mut s = [0; 32];
    s[0] = 4;
    join(&[&[1, 2], &EPOCH, &[0, 2], &G, &G2, &c, &s])
}

fn enrol_request() -> Vec<u8> {
    join(&[
        &[1, 3],
        &EPOCH,
        &[2],
        b"v2",
        &[7],
        b"sign-up",
        &[4],
        &[0, 2],
        &G,
        &[1, 0, 0, 0, 0, 0, 0, 0, 9],
        b"GB",
        b"ab\0\0",
        &G2,
        &[0, 0, 0, 0, 0, 0, 0, 0, 0],
        b"\0\0",
        b"abcd",
    ])
}

fn remove_request() -> Vec<u8> {
    join(&[&[1, 4], &EPOCH, &[0, 1], &G])
}

fn members_response() -> Vec<u8> {
    vec![1, 5, 0, 0, 0, 7, 0, 0, 0, 8, 0, 2, 0, 1, 1, 1, 3, 2]
}

fn carry_over_request() -> Vec<u8> {
    let next = [0, 0, 0, 0, 0, 0, 1, 3];
    join(&[&[1, 6], &EPOCH, &next, &[0, 2], &G, &G2])
}

fn carry_over_response() -> Vec<u8> {
    let next = [0, 0, 0, 0, 0, 0, 1, 3];
    let mut c = [0; 32];
    c[0] = 3;
    let mut s = [0; 32];
    s[0] = 4;
    join(&[&[1, 7], &EPOCH, &next, &G2, &[0, 2], &G, &G2, &c, &s])
}

fn enrolments() -> Vec<Enrolment> {
    let consent = Consent::new(Timestamp::from_micros(9), "v2", "sign-up").unwrap();
    vec![
        Enrolment {
            unblinded: UnblindedElement::decode(&G).unwrap(),
            label: Label::new(b"ab").unwrap(),
            setting: Setting::Everyone(consent),
            region: Some(Region::new("GB").unwrap()),
        },
        Enrolment {
            unblinded: UnblindedElement::decode(&G2).unwrap(),
            label: Label::new(b"abcd").unwrap(),
            setting: Setting::Nobody,
            region: None,
        },
    ]
}

#[test]
fn messages_are_encoded_as_drawn() {
    let epoch = Epoch::new(0x0102);
    let request = EvaluateRequest {
        epoch,
        blinded: BlindedElements::new(vec![G, G2]).unwrap(),
    };
    assert_eq!(request.encode(), evaluate_request());

    let mut proof = [0; 64];
    proof[0] = 3;
    proof[32] = 4;
    let response = EvaluateResponse {
        epoch,
        evaluated: EvaluatedElements::new(vec![G, G2]).unwrap(),
        proof: Proof::decode(&proof).unwrap(),
    };
    assert_eq!(response.encode(), evaluate_response());

    let length = LabelLength::new(4).unwrap();
    let enrol = EnrolRequest::new(epoch, length, enrolments()).unwrap();
    assert_eq!(enrol.encode(), enrol_request());

    let remove = RemoveRequest {
        epoch,
        unblinded: vec![UnblindedElement::decode(&G).unwrap()],
    };
    assert_eq!(remove.encode(), remove_request());

    let response = MembersResponse {
        changed: 7,
        unchanged: 8,
        refused: vec![
            RefusedChange {
                index: 1,
                error: ChangeError::StaleConsent,
            },
            RefusedChange {
                index: 0x0103,
                error: ChangeError::ConsentInFuture,
            },
        ],
    };
    assert_eq!(response.encode(), members_response());

    let (from, to) = (epoch, Epoch::new(0x0103));
    let request = CarryOverRequest {
        from,
        to,
        blinded: BlindedElements::new(vec![G, G2]).unwrap(),
    };
    assert_eq!(request.encode(), carry_over_request());
    let response = CarryOverResponse {
        from,
        to,
        delta_key: G2,
        carried: EvaluatedElements::new(vec![G, G2]).unwrap(),
        proof: Proof::decode(&proof).unwrap(),
    };
    assert_eq!(response.encode(), carry_over_response());
}

#[test]
fn what_is_decoded_encodes_to_the_same_bytes() {
    fn check<M: Message>(bytes: &[u8]) {
        assert_eq!(M::decode(bytes).map_err(|_| ()).unwrap().encode(), bytes);
    }
    check::<EvaluateRequest>(&evaluate_request());
    check::<EvaluateResponse>(&evaluate_response());
    check::<EnrolRequest>(&enrol_request());
    check::<RemoveRequest>(&remove_request());
    check::<MembersResponse>(&members_response());
    check::<CarryOverRequest>(&carry_over_request());
    check::<CarryOverResponse>(&carry_over_response());
}

#[test]
fn enrolments_arrive_as_they_were_sent() {
    let request = EnrolRequest::decode(&enrol_request()).unwrap();
    assert_eq!(request.epoch(), Epoch::new(0x0102));
    assert_eq!(request.label_length(), LabelLength::new(4).unwrap());
    for (there, sent) in request.enrolments().iter().zip(enrolments()) {
        assert_eq!(there.unblinded.expose(), sent.unblinded.expose());
        assert_eq!(there.label, sent.label);
        assert_eq!(there.setting, sent.setting);
        assert_eq!(there.region, sent.region);
    }
}

fn refusals<M: Message + std::fmt::Debug>(good: &[u8]) {
    for length in 0..good.len() {
        let refused = M::decode(&good[..length]).unwrap_err();
        assert!(
            matches!(refused, DecodeError::Truncated | DecodeError::BatchSize(_)),
            "{length}: {refused:?}"
        );
    }
    let longer = [good, &[0]].concat();
    assert_eq!(M::decode(&longer).unwrap_err(), DecodeError::TrailingBytes);
    let mut other = good.to_vec();
    other[0] = 2;
    assert_eq!(
        M::decode(&other).unwrap_err(),
        DecodeError::UnknownVersion(2)
    );
    for kind in 0..=255 {
        if kind != good[1] {
            other = good.to_vec();
            other[1] = kind;
            assert_eq!(
                M::decode(&other).unwrap_err(),
                DecodeError::UnexpectedKind(kind)
            );
        }
    }
}

#[test]
fn truncated_longer_and_foreign_messages_are_refused() {
    refusals::<EvaluateRequest>(&evaluate_request());
    refusals::<EvaluateResponse>(&evaluate_response());
    refusals::<EnrolRequest>(&enrol_request());
    refusals::<RemoveRequest>(&remove_request());
    refusals::<MembersResponse>(&members_response());
    refusals::<CarryOverRequest>(&carry_over_request());
    refusals::<CarryOverResponse>(&carry_over_response());
}

#[test]
fn a_count_that_lies_is_refused_before_memory_is_taken() {
    for count in [0u16, 1, 3, 1_024, u16::MAX] {
        let mut lying = evaluate_request();
        lying[10..12].copy_from_slice(&count.to_be_bytes());
        assert!(EvaluateRequest::decode(&lying).is_err(), "{count}");
        let mut lying = enrol_request();
        lying[22..24].copy_from_slice(&count.to_be_bytes());
        assert!(EnrolRequest::decode(&lying).is_err(), "{count}");
    }
    // The proof of a carry-over is about one element more than are sent.
    let most = [
        &carry_over_request()[..18],
        &[0xff; 2],
        &vec![1; 65_535 * 32],
    ]
    .concat();
    assert_eq!(
        CarryOverRequest::decode(&most).unwrap_err(),
        DecodeError::BadField("count")
    );
    let none = [&[1, 1][..], &EPOCH, &[0, 0]].concat();
    assert!(matches!(
        EvaluateRequest::decode(&none).unwrap_err(),
        DecodeError::BatchSize(_)
    ));
}

#[test]
fn fields_without_meaning_are_refused() {
    let cases: [(&str, usize, u8); 8] = [
        ("text_version", 10, 65),
        ("text_version", 11, 0xff),
        ("label_length", 21, 65),
        ("audience", 24 + 32, 2),
        ("consented_at", 24 + 47 + 32 + 8, 1),
        ("region", 24 + 32 + 9, b'g'),
        ("region", 24 + 32 + 10, 0),
        ("region", 24 + 47 + 32 + 9, b'G'),
    ];
    for (field, offset, value) in cases {
        let mut bad = enrol_request();
        bad[offset] = value;
        assert_eq!(
            EnrolRequest::decode(&bad).unwrap_err(),
            DecodeError::BadField(field),
            "{offset}"
        );
    }
}

#[test]
fn refused_changes_are_in_order_and_have_a_reason() {
    // The first refused change is at 12: two bytes of index, one of reason. The second follows.
    for (field, offset, value) in [
        ("index", 12, 1),
        ("index", 12, 2),
        ("error", 14, 0),
        ("error", 17, 4),
    ] {
        let mut bad = members_response();
        bad[offset] = value;
        if offset == 12 {
            bad[13] = 3;
        }
        assert_eq!(
            MembersResponse::decode(&bad).unwrap_err(),
            DecodeError::BadField(field),
            "{offset}"
        );
    }
}

/// Everyone without a date is everyone without having been asked: another thing, for the service to judge.
#[test]
fn everyone_without_consent_is_said_so() {
    let unasked = |region| {
        let enrolment = Enrolment {
            unblinded: UnblindedElement::decode(&G).unwrap(),
            label: Label::new(b"ab").unwrap(),
            setting: Setting::EveryoneByDefault,
            region,
        };
        let length = LabelLength::new(4).unwrap();
        EnrolRequest::new(Epoch::new(0x0102), length, vec![enrolment]).unwrap()
    };
    let expected = join(&[
        &[1, 3],
        &EPOCH,
        &[0, 0, 4, 0, 1],
        &G,
        &[1, 0, 0, 0, 0, 0, 0, 0, 0],
        b"US",
        b"ab\0\0",
    ]);
    let request = unasked(Some(Region::new("US").unwrap()));
    assert_eq!(request.encode(), expected);
    let there = EnrolRequest::decode(&expected).unwrap();
    assert_eq!(there.enrolments()[0].setting, Setting::EveryoneByDefault);
    assert_eq!(
        EnrolRequest::decode(&unasked(None).encode())
            .unwrap()
            .enrolments()[0]
            .region,
        None
    );
}

#[test]
fn a_region_is_two_capitals() {
    for code in ["GB", "ZZ"] {
        assert_eq!(Region::new(code).unwrap().to_string(), code);
    }
    for code in ["", "G", "gb", "GBR", "G1", "Ä"] {
        assert!(Region::new(code).is_err(), "{code}");
    }
}

#[test]
fn a_consent_text_that_nobody_consented_to_is_refused() {
    let mut request = enrol_request();
    request[24 + 32] = 0;
    request[24 + 32 + 8] = 0;
    assert_eq!(
        EnrolRequest::decode(&request).unwrap_err(),
        DecodeError::BadField("text_version")
    );
}

#[test]
fn requests_that_cannot_be_sent_are_refused() {
    let epoch = Epoch::new(1);
    let length = LabelLength::new(4).unwrap();
    let refused = EnrolRequest::new(epoch, length, Vec::new()).unwrap_err();
    assert!(matches!(refused, EnrolRequestError::BatchSize(_)));
    let refused = EnrolRequest::new(epoch, LabelLength::new(3).unwrap(), enrolments()).unwrap_err();
    assert_eq!(refused, EnrolRequestError::LabelTooLong);
    let mut mixed = enrolments();
    let other = Consent::new(Timestamp::from_micros(9), "v3", "sign-up").unwrap();
    mixed[1].setting = Setting::Everyone(other);
    let refused = EnrolRequest::new(epoch, length, mixed).unwrap_err();
    assert_eq!(refused, EnrolRequestError::MixedConsents);
}

#[test]
fn elements_of_members_are_checked_where_they_arrive() {
    let mut bad = remove_request();
    bad[12..44].copy_from_slice(&[0; 32]);
    assert!(matches!(
        RemoveRequest::decode(&bad).unwrap_err(),
        DecodeError::BadElement(_)
    ));
    let mut bad = enrol_request();
    bad[24..56].copy_from_slice(&[0xff; 32]);
    assert!(matches!(
        EnrolRequest::decode(&bad).unwrap_err(),
        DecodeError::BadElement(_)
    ));
}

#[test]
fn a_proof_of_unreduced_scalars_is_refused() {
    let mut bad = evaluate_response();
    let end = bad.len();
    bad[end - 32..].copy_from_slice(&[0xff; 32]);
    assert!(matches!(
        EvaluateResponse::decode(&bad).unwrap_err(),
        DecodeError::BadProof(_)
    ));
}
