//! Tests signatures, which show who vouches for a file: where they are required, a file that was changed after signing
//! is rejected, even if its checksums match.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use omomi::weight_file::WeightFile;
use omomi::weight_file::layout::{self, SectionKind};
use omomi::weight_file::signature::{PublicKey, SignaturePolicy, SignatureState, TrustedKeys, verify_signature};
use omomi::{Code, Error, Model, Owner};
use omomi_train::operate::publish::{PublishError, Published, publish};
use omomi_train::pack::signing::{PrivateKey, sign, sign_file};

use crate::fixture::{Fixture, Wanted, options, published_generation};
use crate::sealing::{Section, assemble, entry_at, put, reseal, sections_of, u64_at};

fn trusted<const COUNT: usize>(keys: [&PrivateKey; COUNT]) -> TrustedKeys {
    TrustedKeys::new(keys.map(PrivateKey::public).to_vec())
}

fn state(bytes: &[u8], keys: &TrustedKeys, policy: SignaturePolicy) -> Result<SignatureState, Error> {
    verify_signature(&WeightFile::open(bytes)?, keys, policy)
}

fn required(bytes: &[u8], keys: &TrustedKeys) -> Result<SignatureState, Code> {
    state(bytes, keys, SignaturePolicy::Require).map_err(|error| error.code())
}

/// Returns a changed file with correct checksums, as an attacker without the key could make it.
fn tampered(bytes: &[u8], change: impl Fn(&mut Vec<Section>)) -> Vec<u8> {
    let front = bytes[layout::GENERATION_OFFSET..layout::FILE_ID_OFFSET + layout::FILE_ID_LEN].to_vec();
    let mut sections = sections_of(bytes);
    change(&mut sections);
    let mut changed = assemble(&sections);
    // Everything else stays as it was.
    put(&mut changed, layout::GENERATION_OFFSET, &front);
    reseal(&mut changed);
    changed
}

#[test]
fn a_signed_file_names_its_signer_and_is_otherwise_unchanged() {
    let key = PrivateKey::generate();
    let plain = Wanted::generation(1).bytes();
    let signed = sign(plain.clone(), &key).unwrap();
    assert_eq!(required(&signed, &trusted([&key])), Ok(SignatureState::Signed(key.public().id())));
    Model::from_bytes(signed.clone()).unwrap();
    let [before, after] = [&plain, &signed].map(|bytes| WeightFile::open(bytes).unwrap());
    assert_eq!(before.header().file_id, after.header().file_id);
    for kind in SectionKind::ALL.into_iter().filter(|&kind| kind != SectionKind::Signature) {
        assert!(before.section(kind) == after.section(kind), "{}", kind.name());
    }
    assert!(sign(plain, &key).unwrap() == signed, "the same file and key gave other bytes");
}

#[test]
fn each_policy_accepts_what_it_should() {
    use SignaturePolicy::{Accept, Off, Require};
    let [key, stranger] = [PrivateKey::generate(), PrivateKey::generate()];
    let (id, strange_id) = (key.public().id(), stranger.public().id());
    let keys = trusted([&key]);
    let plain = Wanted::generation(1).bytes();
    let by_key = sign(plain.clone(), &key).unwrap();
    let by_stranger = sign(plain.clone(), &stranger).unwrap();
    let wrong = tampered(&by_key, |sections| sections[1].content.push(b' '));
    let cases = [
        (&plain, [Ok(SignatureState::NotChecked), Ok(SignatureState::Unsigned), Err(Code::SignatureMissing)]),
        (&by_key, [Ok(SignatureState::NotChecked), Ok(SignatureState::Signed(id)), Ok(SignatureState::Signed(id))]),
        (
            &by_stranger,
            [
                Ok(SignatureState::NotChecked),
                Ok(SignatureState::UnknownKey(strange_id)),
                Err(Code::SignatureKeyUnknown),
            ],
        ),
        (&wrong, [Ok(SignatureState::NotChecked), Err(Code::SignatureInvalid), Err(Code::SignatureInvalid)]),
    ];
    for (bytes, expected) in cases {
        for (policy, expected) in [Off, Accept, Require].into_iter().zip(expected) {
            assert_eq!(state(bytes, &keys, policy).map_err(|error| error.code()), expected, "{policy:?}");
        }
    }
    assert_eq!(required(&by_key, &TrustedKeys::default()), Err(Code::SignatureKeyUnknown));
}

#[test]
fn the_signature_covers_every_part_of_the_file() {
    let key = PrivateKey::generate();
    let keys = trusted([&key]);
    let signed = sign(Wanted::generation(1).bytes(), &key).unwrap();
    // Taking the file apart and assembling it again gives an equal file.
    assert!(tampered(&signed, |_| ()) == signed);
    for index in 0..WeightFile::open(&signed).unwrap().header().sections.len() - 1 {
        let changed = tampered(&signed, |sections| match sections[index].content.last_mut() {
            Some(byte) => *byte ^= 1,
            None => sections[index].content = vec![0; layout::EXCEPTION_LEN],
        });
        assert_eq!(required(&changed, &keys), Err(Code::SignatureInvalid), "section {index}");
    }
    let without = tampered(&signed, |sections| sections.retain(|section| section.kind != 8));
    assert_eq!(required(&without, &keys), Err(Code::SignatureInvalid));
    let more = Section { kind: 11, flags: 0, content: vec![1] };
    let with_more = tampered(&signed, |sections| sections.push(more.clone()));
    assert_eq!(required(&with_more, &keys), Err(Code::SignatureInvalid));
    for offset in [layout::GENERATION_OFFSET, layout::FILE_ID_OFFSET, layout::FORMAT_VERSION_OFFSET] {
        let mut changed = signed.clone();
        changed[offset] = changed[offset].wrapping_add(1);
        reseal(&mut changed);
        assert_eq!(required(&changed, &keys), Err(Code::SignatureInvalid), "byte {offset} of the header");
    }
}

#[test]
fn each_bit_of_a_signature_counts() {
    let key = PrivateKey::generate();
    let keys = trusted([&key]);
    let signed = sign(Wanted::generation(1).bytes(), &key).unwrap();
    let index = SectionKind::Signature.number() as usize - 1;
    let start = usize::try_from(u64_at(&signed, entry_at(index) + layout::SECTION_OFFSET_OFFSET)).unwrap();
    for bit in 0..layout::SIGNATURE_LEN * 8 {
        let mut changed = signed.clone();
        changed[start + bit / 8] ^= 1 << (bit % 8);
        reseal(&mut changed);
        let expected = match bit / 8 {
            0..4 => Code::TooNew,
            4..8 => Code::Malformed,
            8..16 => Code::SignatureKeyUnknown,
            _ => Code::SignatureInvalid,
        };
        assert_eq!(required(&changed, &keys), Err(expected), "bit {bit}");
    }
}

#[test]
fn no_file_is_rejected_while_one_key_replaces_another() {
    let [old, new] = [PrivateKey::generate(), PrivateKey::generate()];
    let by_old = sign(Wanted::generation(1).bytes(), &old).unwrap();
    let by_new = sign(by_old.clone(), &new).unwrap();
    // First, servers learn the new key; then files are signed with it; then servers forget the old key.
    for keys in [trusted([&old]), trusted([&old, &new])] {
        assert_eq!(required(&by_old, &keys), Ok(SignatureState::Signed(old.public().id())));
    }
    for keys in [trusted([&old, &new]), trusted([&new])] {
        assert_eq!(required(&by_new, &keys), Ok(SignatureState::Signed(new.public().id())));
    }
    assert_eq!(required(&by_old, &trusted([&new])), Err(Code::SignatureKeyUnknown));
}

/// Writes a key pair to files.
fn key_files(fixture: &Fixture, name: &str) -> (PrivateKey, PathBuf) {
    let key = PrivateKey::generate();
    let path = fixture.folder().join(name);
    key.write(&path).unwrap();
    (key, path)
}

#[test]
fn keys_are_read_back_from_files_that_other_users_cannot_read() {
    let fixture = Fixture::new();
    let (key, path) = key_files(&fixture, "signer");
    let public_path = fixture.folder().join("signer.pub");
    assert_eq!(PrivateKey::read(&path).unwrap().public(), key.public());
    assert_eq!(PublicKey::read(&public_path).unwrap(), key.public());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = PrivateKey::generate().write(&path).unwrap_err();
    assert!(error.to_string().contains("overwriting it would lose a key"), "{error}");
    assert_eq!(PrivateKey::read(&path).unwrap().public(), key.public());

    for (read, words) in [
        (PublicKey::read(&path).err(), "expected `ed25519-public`"),
        (PrivateKey::read(&public_path).err(), "found mode 0644"),
        (PublicKey::read(fixture.folder()).err(), "expected a regular file, found a folder"),
        (PublicKey::read(fixture.folder().join("absent")).err(), "cannot open the key"),
    ] {
        let message = read.expect("something else was read as a key").to_string();
        assert!(message.contains(words), "expected `{words}` in: {message}");
    }
}

#[test]
fn a_public_key_that_anyone_can_sign_for_is_rejected() {
    // The neutral element of the curve, for which every message has a valid signature.
    let text = format!("ed25519-public 01{}", "00".repeat(31));
    assert!(text.parse::<PublicKey>().is_err());
    assert!(format!("ed25519-public {}", "zz".repeat(32)).parse::<PublicKey>().is_err());
}

#[test]
fn a_file_that_servers_would_reject_is_not_signed_and_a_name_is_never_used_twice() {
    let fixture = Fixture::new();
    let key = PrivateKey::generate();
    let file = Wanted::generation(1).file_in(fixture.folder());
    let out = fixture.folder().join("signed");
    sign_file(&file, &key, &out).unwrap();
    let bytes = fs::read(&out).unwrap();
    assert!(sign_file(&file, &key, &out).unwrap_err().to_string().contains("already exists"));
    assert!(fs::read(&out).unwrap() == bytes);
    let mut damaged = fs::read(&file).unwrap();
    damaged[5_000] ^= 1;
    fs::write(&file, damaged).unwrap();
    let error = sign_file(&file, &key, fixture.folder().join("other")).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(!fixture.folder().join("other").exists());
}

fn publish_bytes(fixture: &Fixture, bytes: &[u8]) -> Result<Published, PublishError> {
    let file = fixture.folder().join("to-publish");
    fs::write(&file, bytes).unwrap();
    publish(&fixture.store, &options(&file), &mut |_| ())
}

#[test]
fn a_store_whose_limits_require_a_signature_accepts_only_signed_files() {
    let fixture = Fixture::with([1]);
    let (key, _) = key_files(&fixture, "feed-ctr/signer");
    fs::write(fixture.store.dir().join("limits.toml"), "signature = \"require\"\nkeys = [\"signer.pub\"]").unwrap();
    let plain = Wanted::generation(2).bytes();
    let signed = sign(plain.clone(), &key).unwrap();
    // Another model with correct golden answers, under the signature of the signed file.
    let taken = sections_of(&signed).pop().unwrap();
    let other = Wanted { weight_count: 99, ..Wanted::generation(2) }.bytes();
    let tampered = tampered(&other, |sections| sections.push(taken.clone()));
    Model::from_bytes(tampered.clone()).unwrap();
    let cases = [
        (&plain, Code::SignatureMissing, Owner::Ml),
        (&sign(plain.clone(), &PrivateKey::generate()).unwrap(), Code::SignatureKeyUnknown, Owner::Delivery),
        (&tampered, Code::SignatureInvalid, Owner::Infra),
    ];
    for (bytes, code, owner) in cases {
        let error = publish_bytes(&fixture, bytes).unwrap_err();
        assert_eq!((error.name(), error.owner()), (code.name(), owner), "{error}");
        assert_eq!(published_generation(&fixture.store), Some(1));
    }
    publish_bytes(&fixture, &signed).unwrap();
    assert_eq!(published_generation(&fixture.store), Some(2));
}

#[test]
fn the_options_of_the_publisher_override_the_limits_of_the_store() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    let keys = trusted([&PrivateKey::generate()]);
    let mut options = options(&file);
    options.signature = Some((SignaturePolicy::Require, keys));
    let error = publish(&fixture.store, &options, &mut |_| ()).unwrap_err();
    assert_eq!(error.name(), Code::SignatureMissing.name());
}

/// `omomi publish --signature off` published an unsigned file to a store that requires signatures.
#[test]
fn an_option_of_the_publisher_does_not_override_what_the_store_requires() {
    let fixture = Fixture::with([1]);
    let [key, other] = [PrivateKey::generate(), PrivateKey::generate()];
    let key_path = fixture.store.dir().join("key.pub");
    fs::write(&key_path, format!("{}\n", key.public())).unwrap();
    fs::write(fixture.store.dir().join("limits.toml"), "signature = \"require\"\nkeys = [\"key.pub\"]\n").unwrap();
    let plain = Wanted::generation(2).bytes();
    let file = fixture.folder().join("file.omomi");
    let publish_with = |bytes: &[u8], signature: Option<(SignaturePolicy, TrustedKeys)>| {
        let _ = fs::remove_file(&file);
        fs::write(&file, bytes).unwrap();
        let mut options = options(&file);
        options.signature = signature;
        publish(&fixture.store, &options, &mut |_| ()).map_err(|error| error.name().to_owned())
    };
    for policy in SignaturePolicy::ALL {
        let outcome = publish_with(&plain, Some((policy, trusted([&other]))));
        assert_eq!(outcome.unwrap_err(), "signature_missing", "{policy:?}");
        let by_other = sign(plain.clone(), &other).unwrap();
        let outcome = publish_with(&by_other, Some((policy, trusted([&other]))));
        assert_eq!(outcome.unwrap_err(), "signature_key_unknown", "{policy:?}");
    }
    assert_eq!(published_generation(&fixture.store), Some(1));
    publish_with(&sign(plain, &key).unwrap(), Some((SignaturePolicy::Off, TrustedKeys::default()))).unwrap();
    assert_eq!(published_generation(&fixture.store), Some(2));
}

/// A link to limits that do not exist was read as no limits.
#[test]
fn limits_that_are_a_link_to_nothing_are_an_error() {
    let fixture = Fixture::with([1]);
    std::os::unix::fs::symlink("absent.toml", fixture.store.dir().join("limits.toml")).unwrap();
    let error = fixture.publish(&Wanted::generation(2)).unwrap_err();
    assert!(error.to_string().contains("a link to a file that does not exist"), "{error}");
    assert_eq!(published_generation(&fixture.store), Some(1));
}
