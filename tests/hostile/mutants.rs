//! Thousands of mutants of good files: none ends the process, none takes more than its bounds, none gives a probability
//! outside of (0, 1), and the reader that was written from `FORMAT.md` alone agrees about every one.
//!
//! `OMOMI_MUTANTS=1000000` tries more, and `OMOMI_MUTANTS_SEED` repeats a run. Under valgrind or a sanitizer, fewer are
//! enough: see `CONTRIBUTING.md`.

use std::fs;

use omomi::weight_file::WeightFile;
use omomi::weight_file::layout::SectionKind;
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys, verify_signature};
use omomi::weight_file::table::Encoding;
use omomi::{LoadMode, Model};
use omomi_train::pack::signing::{PrivateKey, sign};
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::mutation::mutant;
use crate::reference::Reference;
use crate::sealing::{assemble, sections_of};
use crate::small_model::{contract, full_rows};
use crate::{open, small_model, tiny_file};

/// Mutants of each of the two tests, unless `OMOMI_MUTANTS` says otherwise.
const MUTANT_COUNT: u64 = 4_000;

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn mutant_count() -> u64 {
    number_in("OMOMI_MUTANTS").unwrap_or(MUTANT_COUNT)
}

fn seed() -> u64 {
    number_in("OMOMI_MUTANTS_SEED").unwrap_or(16)
}

/// Good files: the smallest in each encoding, and one with every kind of field.
fn good_files() -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = Encoding::ALL.map(tiny_file::bytes_in).into();
    let rows = [full_rows(2)];
    files.push(small_model::bytes_of(&contract(), &[(7, 0.5), (1 << 40, -1.0)], &rows));
    files
}

#[test]
fn mutants_stay_within_bounds_and_the_reference_reader_agrees_about_each() {
    let (files, folder) = (good_files(), tempfile::tempdir().unwrap());
    let path = folder.path().join("mutant.omomi");
    let mut reference = Reference::start();
    let (mut accepted_count, mut worst_bytes) = (0, 0);
    for number in 0..mutant_count() {
        let mut random = Pcg64Mcg::seed_from_u64(seed().wrapping_mul(1 << 32).wrapping_add(number));
        let (bytes, what) = mutant(files.choose(&mut random).unwrap(), &mut random);
        let name = format!("mutant {number} of seed {}: {what}", seed());
        fs::write(&path, &bytes).unwrap();
        let opened = open(&path, &name);
        worst_bytes = worst_bytes.max(opened.peak_bytes);
        accepted_count += u64::from(opened.outcome.is_ok());
        if let Some(reference) = &mut reference {
            let refusal = reference.refusal(&path);
            let said = opened.outcome.as_ref().err().map(omomi::Error::full_message);
            assert_eq!(refusal.is_some(), said.is_some(), "{name}\nreference: {refusal:?}\nlibrary: {said:?}");
        }
    }
    println!("{accepted_count} of {} mutants accepted, at most {worst_bytes} bytes", mutant_count());
    // A mutator whose files are all refused tests the first check only.
    assert!(accepted_count >= mutant_count() / 50, "only {accepted_count} were accepted");
}

#[test]
fn no_mutant_of_a_signed_file_passes_for_signed_unless_it_says_the_same() {
    let key = PrivateKey::generate();
    let keys = TrustedKeys::new(vec![key.public()]);
    let good = sign(tiny_file::bytes(), &key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.omomi");
    let mut signed_count = 0;
    for number in 0..mutant_count() / 4 {
        let mut random = Pcg64Mcg::seed_from_u64(seed().wrapping_mul(1 << 33).wrapping_add(number));
        let (bytes, what) = if random.random_range(0..3) == 0 {
            signature_mutant(&good, &mut random)
        } else {
            mutant(&good, &mut random)
        };
        let name = format!("mutant {number} of seed {}: {what}", seed());
        fs::write(&path, &bytes).unwrap();
        open(&path, &name);
        let outcome = Model::load_signed(&path, LoadMode::Map, &keys, SignaturePolicy::Require);
        let says_the_same = WeightFile::open(&bytes[..]).is_ok_and(|file| {
            let of =
                |bytes: &[u8]| omomi::weight_file::signature::signed_bytes(&WeightFile::open(bytes.to_vec()).unwrap());
            of(file.bytes()) == of(&good)
        });
        assert!(outcome.is_err() || says_the_same, "{name}");
        signed_count += u64::from(outcome.is_ok());
        if let Ok(file) = WeightFile::open(&bytes[..])
            && !says_the_same
        {
            assert!(verify_signature(&file, &keys, SignaturePolicy::Require).is_err(), "{name}");
        }
    }
    println!("{signed_count} of {} mutants say what was signed", mutant_count() / 4);
}

/// Changes the signature section.
fn signature_mutant(file: &[u8], random: &mut impl Rng) -> (Vec<u8>, String) {
    let mut sections = sections_of(file);
    let section = sections.iter_mut().find(|section| section.kind == SectionKind::Signature.number()).unwrap();
    let at = random.random_range(0..section.content.len());
    section.content[at] ^= 1 << random.random_range(0..8);
    (assemble(&sections), format!("byte {at} of the signature"))
}
