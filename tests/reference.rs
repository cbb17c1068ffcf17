//! The reader under `tests/reference` was written in Python from `FORMAT.md` alone. It must agree with the crate about
//! every file: whether it is whole, and each bit of the logits and probabilities of its golden requests.

#[path = "scoring/small_model.rs"]
#[allow(dead_code, reason = "shared with the scoring tests, which use more of it")]
mod small_model;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ed25519_dalek::{Signature, VerifyingKey};
use omomi::Model;
use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::store::Digest;
use omomi::weight_file::table::Encoding;
use omomi_train::pack::signing::{PrivateKey, sign};
use small_model::{bytes_in, bytes_of, bytes_with_defaults, contract, full_rows};
use xxhash_rust::xxh3::xxh3_64;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference");

/// Runs Python with `input` on its standard input. Without Python, prints a message and returns nothing.
fn python(arguments: &[&str], input: &str) -> Option<Output> {
    let child = Command::new("python3")
        .args(arguments)
        .env("PYTHONPATH", REFERENCE)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: there is no python3 on the path to run the reference reader with");
        return None;
    };
    // A reader that stops early closes the pipe; its own message is more useful than the failed write.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Some(child.wait_with_output().unwrap())
}

/// Runs the reference reader over `bytes`. Returns stdout for exit code 0, and stderr for exit code 1.
fn read(bytes: &[u8]) -> Option<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.omomi");
    std::fs::write(&path, bytes).unwrap();
    let script = Path::new(REFERENCE).join("read_weight_file.py");
    let output = python(&[script.to_str().unwrap(), path.to_str().unwrap()], "")?;
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    match output.status.code() {
        Some(0) => Some(Ok(stdout)),
        // An uncaught exception also ends with 1, but it is no judgment of the file.
        Some(1) if !stderr.contains("Traceback") => Some(Err(stderr)),
        _ => panic!("{}\n{stdout}\n{stderr}", output.status),
    }
}

/// Returns requests in which fields are missing, out of range, empty and repeated, beside full ones.
fn requests() -> Vec<RequestRows> {
    let texts = |texts: &[&str]| FieldValue::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    let row = |values: &[(&str, FieldValue)]| -> Row {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    let empty = RequestRows { context: Row::new(), candidates: vec![Row::new()] };
    let careless = RequestRows {
        context: row(&[("interest", texts(&["news", "news", "旅行"])), ("floor_price", FieldValue::Number(1e9))]),
        candidates: vec![
            row(&[("tag", FieldValue::Ids(vec![])), ("title", FieldValue::Text(String::new()))]),
            row(&[("age_seconds", FieldValue::Number(5e-324)), ("creative_id", FieldValue::Id(i64::MAX))]),
            row(&[("age_seconds", FieldValue::Number(-0.0)), ("tag", FieldValue::Ids(vec![1, 1, 2]))]),
        ],
    };
    vec![full_rows(20), empty, careless, full_rows(1)]
}

/// Returns weights for nearly every feature of `requests` and for `noise_count` others, so that most shards and lines
/// are used.
fn weights(requests: &[RequestRows], noise_count: u64) -> Vec<(u64, f32)> {
    let weight = |key: u64| f32::from(u16::try_from(key >> 48).unwrap()) / 20_000.0 - 1.5;
    let mut keys: Vec<u64> = (0..noise_count).map(|index| xxh3_64(&index.to_le_bytes())).collect();
    for rows in requests {
        let empty = Model::from_bytes(bytes_of(&contract(), &[], std::slice::from_ref(rows))).unwrap();
        let (scorer, mut request) = empty.scorer_for(rows, omomi::Instructions::PLAIN).unwrap();
        request.fill(rows).unwrap();
        for index in 0..rows.candidates.len() {
            let explanation = scorer.explain(&mut request, index).unwrap();
            keys.extend(explanation.contributions.iter().map(|contribution| contribution.key));
        }
    }
    // The twin of a key has the same lines and the same tag, so one of the two becomes an exception.
    let twins: Vec<u64> = keys.iter().rev().take(20).map(|key| key ^ 1 << 32).collect();
    keys.extend(twins);
    keys.iter().filter(|&key| key % 8 != 0).map(|&key| (key, weight(key))).collect()
}

#[test]
fn the_reference_reader_computes_every_bit_of_the_golden_requests() {
    let requests = requests();
    for encoding in Encoding::ALL {
        for (noise_count, shards) in [(0, "in 1 shards"), (1_200_000, "in 2 shards")] {
            if noise_count > 0 && encoding != Encoding::I8 {
                // More shards would not test more of the encoding, and this reader is slow.
                continue;
            }
            let bytes = bytes_in(encoding, &contract(), &weights(&requests, noise_count), &requests);
            let Some(outcome) = read(&bytes) else { return };
            let summary = outcome.unwrap();
            println!("{summary}");
            assert!(summary.contains(&format!(" in {}, {shards}", encoding.name())), "{summary}");
            assert!(!summary.contains(" 0 exceptions"), "{summary}");
            assert!(summary.contains("golden: 4 requests, 25 candidates, all bits equal"), "{summary}");
        }
    }
}

#[test]
fn the_reference_reader_computes_every_bit_with_default_weights() {
    let requests = requests();
    // Without the weights of the requests, their categories are unseen.
    for (encoding, weights) in Encoding::ALL.map(|encoding| (encoding, weights(&requests, 10))) {
        for weights in [&weights[..], &[]] {
            let bytes = bytes_with_defaults(encoding, &contract(), weights, &requests);
            let plain = bytes_in(encoding, &contract(), weights, &requests);
            assert!(bytes.len() > plain.len());
            let Some(outcome) = read(&bytes) else { return };
            let summary = outcome.unwrap();
            assert!(summary.contains("golden: 4 requests, 25 candidates, all bits equal"), "{summary}");
        }
    }
}

#[test]
fn the_reference_reader_accepts_a_contract_that_limits_categories() {
    let requests = [full_rows(2)];
    let limited = contract()
        .canonical_json()
        .replace(
            r#""many":true,"meaning":"what it is about","name":"tag","#,
            r#""many":true,"max_categories":5,"meaning":"what it is about","name":"tag","over_max":"drop","#,
        )
        .replace(r#"["tag","age_seconds"]"#, r#"["tag","age_seconds"],"max_categories":7,"over_max":"error""#);
    assert_eq!(limited.matches("max_categories").count(), 2);
    let limited = Contract::from_json(limited.as_bytes()).unwrap();
    let bytes = bytes_in(Encoding::F32, &limited, &weights(&requests, 10), &requests);
    let Some(outcome) = read(&bytes) else { return };
    outcome.unwrap();
}

#[test]
fn the_reference_reader_accepts_a_contract_whose_unseen_categories_add_nothing() {
    let requests = [full_rows(2)];
    let learned = contract().canonical_json();
    let zero = learned.replacen(r#""type":"id"}"#, r#""type":"id","unseen":"zero"}"#, 1);
    let zero = zero.replacen(r#""unit":"s"}"#, r#""unit":"s","unseen":"zero"}"#, 1);
    let zero = Contract::from_json(zero.as_bytes()).unwrap();
    assert_eq!(zero.canonical_json().matches(r#","unseen":"zero"}"#).count(), 2);
    let Some(outcome) = read(&bytes_in(Encoding::F32, &zero, &weights(&requests, 10), &requests)) else { return };
    outcome.unwrap();
    // The default is not written out, so that the contract keeps its fingerprint.
    let told = learned.replace(r#""type":"id""#, r#""type":"id","unseen":"learned""#);
    assert_eq!(Contract::from_json(told.as_bytes()).unwrap().canonical_json(), learned);
}

#[test]
fn the_reference_reader_refuses_a_damaged_file() {
    let requests = [full_rows(2)];
    for encoding in Encoding::ALL {
        assert_damage_is_refused(&bytes_in(encoding, &contract(), &weights(&requests, 10), &requests));
    }
}

fn assert_damage_is_refused(bytes: &[u8]) {
    for position in (0..bytes.len()).step_by(bytes.len() / 20) {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 0x10;
        let Some(outcome) = read(&damaged) else { return };
        assert!(outcome.is_err(), "byte {position} flipped: {outcome:?}");
    }
    let Some(outcome) = read(&bytes[..bytes.len() - 1]) else { return };
    assert!(outcome.as_ref().is_err_and(|message| message.contains("truncated")), "{outcome:?}");
}

#[test]
fn the_reference_reader_computes_the_signed_data_and_accepts_a_signed_file() {
    let requests = [full_rows(2)];
    let bytes = bytes_of(&contract(), &weights(&requests, 10), &requests);
    let key = PrivateKey::generate();
    let signed = sign(bytes, &key).unwrap();
    let Some(outcome) = read(&signed) else { return };
    outcome.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.omomi");
    std::fs::write(&path, signed).unwrap();
    let script = Path::new(REFERENCE).join("signed_bytes.py");
    let Some(output) = python(&[script.to_str().unwrap(), path.to_str().unwrap()], "") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<u8>> = said.lines().map(bytes_of_hex).collect();
    let [message, key_id, signature] = &lines[..] else { panic!("{said}") };
    let public = key.public().to_string();
    let public = bytes_of_hex(public.strip_prefix("ed25519-public ").unwrap());
    assert_eq!(key_id[..], Digest::of(&public).as_bytes()[..8]);
    let verifying_key = VerifyingKey::from_bytes(public[..].try_into().unwrap()).unwrap();
    verifying_key.verify_strict(message, &Signature::from_slice(signature).unwrap()).unwrap();
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

#[test]
fn the_reference_computes_the_xxh3_of_the_crate_for_every_class_of_lengths() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for length in (0..=300).chain([511, 512, 513, 1_023, 1_024, 1_025, 1_088, 2_047, 2_048, 2_049, 5_000, 10_241]) {
        texts.push(
            (0..length)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random.to_le_bytes()[7]
                })
                .collect(),
        );
    }
    let mut input = String::new();
    for text in &texts {
        text.iter().for_each(|byte| write!(input, "{byte:02x}").unwrap());
        input.push('\n');
    }
    let program = "import sys, xxh3\n\
                   for line in sys.stdin: print(format(xxh3.xxh3_64(bytes.fromhex(line.strip())), '016x'))";
    let Some(output) = python(&["-c", program], &input) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let hashes = String::from_utf8(output.stdout).unwrap();
    assert_eq!(hashes.lines().count(), texts.len());
    for (text, hash) in texts.iter().zip(hashes.lines()) {
        assert_eq!(format!("{:016x}", xxh3_64(text)), hash, "{} bytes", text.len());
    }
}
