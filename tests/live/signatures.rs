//! Signatures and trusted keys.

use omomi::live::LiveOptions;
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};
use omomi_train::pack::signing::{PrivateKey, sign};

use crate::world::{World, options};

fn trusting(keys: &[&PrivateKey]) -> LiveOptions {
    options().with(|it| {
        it.signature = SignaturePolicy::Require;
        it.trusted_keys = TrustedKeys::new(keys.iter().map(|key| key.public()).collect());
    })
}

#[test]
fn while_one_key_replaces_another_files_signed_by_either_are_served() {
    let world = World::new();
    let (old, new, foreign) = (PrivateKey::generate(), PrivateKey::generate(), PrivateKey::generate());
    world.publish_bytes(1, &sign(World::bytes(1), &old).unwrap());
    let mut server = world.serve_with(trusting(&[&old, &new]));
    assert_eq!(server.ask(), Ok(1));
    world.publish_bytes(2, &sign(World::bytes(2), &new).unwrap());
    assert_eq!(server.look_and_ask(), Ok(2));
    world.publish_bytes(3, &sign(World::bytes(3), &foreign).unwrap());
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(2), vec!["signature_key_unknown"]));
    world.publish(4);
    assert_eq!((server.look_and_ask(), server.reasons()), (Ok(2), vec!["signature_missing"]));
}

#[test]
fn a_file_signed_by_an_unknown_key_is_served_by_a_server_that_trusts_the_key() {
    let world = World::new();
    let (key, other) = (PrivateKey::generate(), PrivateKey::generate());
    world.publish_bytes(1, &sign(World::bytes(1), &key).unwrap());
    assert_eq!(world.serve_with(trusting(&[&other])).ask(), Err("no_model"));
    assert_eq!(world.serve_with(trusting(&[&key])).ask(), Ok(1));
}

#[test]
fn requiring_signatures_without_a_trusted_key_is_refused_immediately() {
    let options = options().with(|it| it.signature = SignaturePolicy::Require);
    let world = World::new();
    let refused = omomi::live::LiveModel::open(world.dir(), &crate::world::schema(), options);
    assert_eq!(refused.unwrap_err().code().name(), "invalid_argument");
}
