use super::*;

mod vectors;

use vectors::{CROSS_ORIGIN, NONE_ES256, PACKED_EDDSA, PACKED_RS256, SELF_ES256, TOP_ORIGIN, Vector};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn expected(challenge: &[u8]) -> Expected<'_> {
    Expected { challenge, origin: "https://example.org", site: "example.org", verified: false }
}

fn registered(vector: &Vector) -> Result<Made, Refused> {
    register(&expected(&bytes(vector.challenge)), &bytes(vector.client_data), &bytes(vector.attestation))
}

/// An authentication, after a change to its parts.
fn signed(
    vector: &Vector,
    kept: &Kept<'_>,
    change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>),
) -> Result<Counted, Refused> {
    let (mut client_data, mut authenticator_data) = (bytes(vector.get_client_data), bytes(vector.authenticator_data));
    let mut signature = bytes(vector.signature);
    change(&mut client_data, &mut authenticator_data, &mut signature);
    let signed = Signed { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
    verify(&expected(&bytes(vector.get_challenge)), kept, &signed)
}

fn kept(made: &Made) -> Kept<'_> {
    Kept { key: &made.key, count: made.count, eligible: made.eligible }
}

/// The key of a vector whose attestation is one that was not asked for.
fn attested(vector: &Vector) -> (Vec<u8>, bool) {
    let object = bytes(vector.attestation);
    // The data of the authenticator follows the last text of the object.
    let at = object.windows(8).position(|window| window == b"authData").unwrap() + 8;
    let mut decoder = Decoder::new(&object[at..]);
    let data = AuthenticatorData::read(decoder.bytes().unwrap(), &expected(b"")).unwrap();
    (data.credential.as_ref().unwrap().2.to_vec(), data.has(BACKUP_ELIGIBLE))
}

#[test]
fn the_vectors_of_the_standard_are_accepted() {
    for vector in [&NONE_ES256, &SELF_ES256] {
        let made = registered(vector).unwrap();
        assert_eq!((made.id.len(), made.count), (32, 0));
        assert_eq!(signed(vector, &kept(&made), |_, _, _| ()).unwrap().count, 0);
    }
    for vector in [&PACKED_RS256, &PACKED_EDDSA] {
        assert_eq!(registered(vector).unwrap_err(), Refused::Attestation, "it was not asked for");
        let (key, eligible) = attested(vector);
        let kept = Kept { key: &key, count: 0, eligible };
        assert_eq!(signed(vector, &kept, |_, _, _| ()).unwrap().count, 0);
        let refused = signed(vector, &kept, |_, _, signature| *signature.last_mut().unwrap() ^= 1);
        assert_eq!(refused, Err(Refused::Signature));
    }
}

#[test]
fn what_was_used_within_another_site_is_refused() {
    for vector in [&CROSS_ORIGIN, &TOP_ORIGIN] {
        assert_eq!(registered(vector).unwrap_err(), Refused::Origin);
    }
}

#[test]
fn a_registration_that_is_not_as_asked_is_refused() {
    let (challenge, client_data) = (bytes(NONE_ES256.challenge), bytes(NONE_ES256.client_data));
    let attestation = bytes(NONE_ES256.attestation);
    let refused = |expected: &Expected<'_>| register(expected, &client_data, &attestation).unwrap_err();
    assert_eq!(refused(&expected(&[0; 32])), Refused::Challenge);
    let elsewhere = Expected { origin: "https://example.org:8443", ..expected(&challenge) };
    assert_eq!(refused(&elsewhere), Refused::Origin);
    assert_eq!(refused(&Expected { site: "example.com", ..expected(&challenge) }), Refused::Site);
    assert_eq!(refused(&Expected { verified: true, ..expected(&challenge) }), Refused::Unverified);
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(client_data.clone()).unwrap();
        assert!(text.contains(from));
        register(&expected(&challenge), text.replacen(from, to, 1).as_bytes(), &attestation).unwrap_err()
    };
    assert_eq!(changed("webauthn.create", "webauthn.get"), Refused::Kind);
    let malformed = |refused| matches!(refused, Refused::Malformed(_));
    assert!(malformed(changed("{", "{\"type\":\"webauthn.create\",")), "the same name twice");
    assert!(malformed(changed("}", "")));
    // Cut off at any place, or with something behind it, it is none.
    for length in 0..attestation.len() {
        assert!(register(&expected(&challenge), &client_data, &attestation[..length]).is_err(), "{length}");
    }
    let longer = [&attestation[..], &[0]].concat();
    assert!(malformed(register(&expected(&challenge), &client_data, &longer).unwrap_err()));
    // An answer to sign in is none to register.
    let other = bytes(NONE_ES256.get_client_data);
    assert!(register(&expected(&bytes(NONE_ES256.get_challenge)), &other, &attestation).is_err());
    // A statement by another key than its own.
    let mut forged = bytes(SELF_ES256.attestation);
    let at = forged.windows(3).position(|window| window == b"sig").unwrap() + 8;
    forged[at + 20] ^= 1;
    let own = expected_of(&SELF_ES256);
    assert_eq!(register(&expected(&own), &bytes(SELF_ES256.client_data), &forged).unwrap_err(), Refused::Signature);
}

fn expected_of(vector: &Vector) -> Vec<u8> {
    bytes(vector.challenge)
}

#[test]
fn an_authentication_that_does_not_hold_is_refused() {
    let made = registered(&NONE_ES256).unwrap();
    let tried = |change: fn(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>)| signed(&NONE_ES256, &kept(&made), change);
    assert_eq!(tried(|_, _, signature| signature[10] ^= 1), Err(Refused::Signature));
    assert_eq!(tried(|_, _, signature| signature.clear()), Err(Refused::Signature));
    assert_eq!(tried(|client_data, _, _| client_data.push(b' ')), Err(Refused::Signature));
    assert_eq!(tried(|_, data, _| data[36] ^= 1), Err(Refused::Signature), "a counter that nobody signed");
    assert_eq!(tried(|_, data, _| data[0] ^= 1), Err(Refused::Site));
    assert_eq!(tried(|_, data, _| data[32] &= !USER_PRESENT), Err(Refused::Absent));
    assert_eq!(tried(|_, data, _| data[32] &= !BACKUP_ELIGIBLE), Err(Refused::Backup));
    for other in [
        tried(|_, data, _| data.push(0)),
        tried(|_, data, _| data.truncate(36)),
        tried(|_, data, _| data[32] |= HAS_CREDENTIAL),
        tried(|_, data, _| data[32] |= HAS_EXTENSIONS),
    ] {
        assert!(matches!(other, Err(Refused::Malformed(_))), "{other:?}");
    }
    let other = registered(&SELF_ES256).unwrap();
    let of_other = Kept { eligible: made.eligible, ..kept(&other) };
    assert_eq!(signed(&NONE_ES256, &of_other, |_, _, _| ()), Err(Refused::Signature));
    let counted = Kept { count: 7, ..kept(&made) };
    assert_eq!(signed(&NONE_ES256, &counted, |_, _, _| ()), Err(Refused::Counter), "it has counted before");
}

#[test]
fn a_key_is_one_of_three_kinds_and_nothing_else() {
    let read = |hex: &str| PublicKey::read(&mut Decoder::new(&bytes(hex)));
    let (x, y) = ("00".repeat(32), "11".repeat(32));
    let es256 = format!("a5010203262001215820{x}225820{y}");
    assert!(matches!(read(&es256), Ok(PublicKey::Es256(point)) if point.len() == 65));
    assert!(read(&es256.replace("2001", "2002")).is_err(), "another curve");
    assert!(read(&es256.replace("0326", "0327")).is_err(), "another algorithm");
    assert!(read(&format!("a6{}2000", &es256[2..])).is_err(), "the same twice");
    assert!(read(&format!("a6{}040a", &es256[2..])).is_err(), "something more");
    let ed25519 = format!("a4010103272006215820{x}");
    assert!(matches!(read(&ed25519), Ok(PublicKey::Ed25519(_))));
    let rsa = |exponent: &str| read(&format!("a401030339010020590100{}21{exponent}", "ff".repeat(256)));
    assert!(matches!(rsa("43010001"), Ok(PublicKey::Rs256 { .. })));
    for weak in ["4101", "4102", "40"] {
        assert!(rsa(weak).is_err(), "{weak}");
    }
    for other in ["", "a0", "80", "a10102", "f6"] {
        assert!(read(other).is_err(), "{other}");
    }
}
