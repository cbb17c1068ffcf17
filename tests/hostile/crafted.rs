//! Files that are as large as the format allows in one way, with correct checksums. Each took gigabytes, minutes or a
//! place in a terminal before its limit existed.
//!
//! `OMOMI_HOSTILE_FOLDER=folder` also writes the files there, so that other programs can be measured with them.

use std::fmt::Write as _;
use std::fs;

use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::weight_file::layout::{self, SectionKind};
use omomi::weight_file::signature::{SignaturePolicy, TrustedKeys};
use omomi::{Code, Instructions, LoadMode, Model};
use omomi_train::pack::signing::{PrivateKey, sign};

use crate::sealing::{Section, assemble, put, sections_of, with_content};
use crate::small_model::bytes_of;
use crate::{open, tiny_file};

const MIB: usize = 1 << 20;

fn with_text(file: &[u8], kind: SectionKind, text: &str) -> Vec<u8> {
    with_content(file, kind, |content| *content = text.as_bytes().to_vec())
}

/// Returns as many copies of `item`, with commas, as have at most `len` bytes.
fn repeated(item: &str, len: usize) -> String {
    let count = len / (item.len() + 1);
    vec![item; count].join(",")
}

fn opened(name: &str, bytes: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = match std::env::var_os("OMOMI_HOSTILE_FOLDER") {
        Some(folder) => std::path::PathBuf::from(folder).join(format!("{}.omomi", name.replace(' ', "-"))),
        None => folder.path().join("file.omomi"),
    };
    fs::write(&path, bytes).unwrap();
    let opened = open(&path, name);
    let outcome = opened.outcome.map(drop).map_err(|error| error.short_message());
    let (kib, seconds) = (opened.peak_bytes >> 10, opened.duration.as_secs_f64());
    println!("| {name} | {} | {kib} KiB | {seconds:.3} s | {outcome:?} |", bytes.len());
    outcome
}

#[track_caller]
fn assert_refused(name: &str, bytes: &[u8], words: &str) {
    let message = opened(name, bytes).expect_err(name);
    assert!(message.contains(words), "{name}: expected `{words}` in: {message}");
}

#[test]
fn a_contract_takes_little_memory_whatever_it_says() {
    let tiny = tiny_file::bytes();
    let contract = |name: &str, text: &str, words: &str| {
        assert!(text.len() <= 4 * MIB);
        assert_refused(name, &with_text(&tiny, SectionKind::Contract, text), words);
    };
    let room = 4 * MIB - 4_096;
    let long_name = format!(
        "{{\"field\":[{{\"name\":\"{}\",{}}}]}}",
        "x".repeat(room / 2),
        (0..150_000).map(|index| format!("\"k{index}\":0")).collect::<Vec<_>>().join(",")
    );
    contract("contract with a long name", &long_name, "texts of at most 4096 bytes");
    contract("contract of unknown members", &format!("{{{}}}", repeated("\"k\":0", room)), "unknown key `k`");
    contract("contract of fields", &format!("{{\"field\":[{}]}}", repeated("{}", room)), "at most 128 fields");
    contract("contract of crosses", &format!("{{\"cross\":[{}]}}", repeated("{}", room)), "at most 64 crosses");
    contract("contract of lists", &format!("{{\"name\":[{}]}}", repeated("[]", room)), "at most 160000 values");
    contract("contract of numbers", &format!("{{\"name\":[{}]}}", repeated("0", room)), "at most 160000 values");
    let edges =
        format!("{{\"field\":[{}]}}", repeated(&format!("{{\"buckets\":[{}]}}", "0,".repeat(1_022) + "0"), room));
    contract("contract of edges", &edges, "at most 128 fields");
    let objects = format!("{{\"name\":[{}]}}", repeated("{\"name\":{\"name\":{\"name\":0}}}", room));
    contract("contract of objects", &objects, "at most 1024 objects");
    contract("contract of escapes", &format!("{{\"name\":\"{}\"}}", "\\u0041".repeat(room / 6)), "at most 4096 bytes");
}

/// The largest contract that is valid: it costs as much as hostile ones may.
#[test]
fn the_largest_contract_is_accepted_within_the_bounds() {
    let edges = (0..1_024).map(|edge| format!("{:?}", 1e-200 + f64::from(edge) / 3.0)).collect::<Vec<_>>().join(",");
    let field = |index: usize| {
        let side = if index < 64 { "context" } else { "candidate" };
        format!(
            "{{\"name\":\"f{index}\",\"side\":\"{side}\",\"type\":\"number\",\"unit\":\"{}\",\"range\":[-1.0,1e300],\
             \"meaning\":\"{}\",\"buckets\":[{edges}]}}",
            "u".repeat(128),
            "m".repeat(1_024)
        )
    };
    let fields = (0..128).map(field).collect::<Vec<_>>().join(",");
    let crosses = (0..64).map(|index| format!("{{\"fields\":[\"f{index}\",\"f{}\"]}}", index + 64));
    let crosses = crosses.collect::<Vec<_>>().join(",");
    let text = format!("{{\"name\":\"largest\",\"label\":\"y\",\"field\":[{fields}],\"cross\":[{crosses}]}}");
    let contract = Contract::from_json(text.as_bytes()).unwrap();
    let rows = RequestRows { context: Default::default(), candidates: vec![Default::default()] };
    let bytes = bytes_of(&contract, &[], &[rows]);
    assert!(bytes.len() > MIB, "{} bytes", bytes.len());
    opened("largest contract", &bytes).unwrap();
}

#[test]
fn a_provenance_or_field_sizes_take_little_memory_whatever_they_say() {
    let tiny = tiny_file::bytes();
    let room = 4 * MIB - 4_096;
    for (kind, name) in [(SectionKind::Provenance, "provenance"), (SectionKind::FieldSizes, "field sizes")] {
        let section = |what: &str, value: &str, words: &str| {
            let text = format!("{{\"logic_id\":\"a\",\"more\":{value}}}");
            assert_refused(&format!("{name} of {what}"), &with_text(&tiny, kind, &text), words);
        };
        section("numbers", &format!("[{}]", repeated("0", room)), "at most 65536 values");
        section("lists", &format!("[{}]", repeated("[]", room)), "at most 65536 values");
        section("objects", &format!("[{}]", repeated("{\"a\":{}}", room)), "at most 65536 values");
        section("nested objects", &repeated(&"{\"a\":".repeat(room / 5), room), "at most 32 levels");
        section("a long text", &format!("\"\\n{}\"", "x".repeat(room - 64)), "at most 1048576 bytes");
    }
    let logic_id = |text: &str| with_text(&tiny, SectionKind::Provenance, &format!("{{\"logic_id\":\"{text}\"}}"));
    assert_refused("a logic id of 4 MB", &logic_id(&"x".repeat(room)), "at most 1048576 bytes");
    assert_refused("a logic id of 129 bytes", &logic_id(&"x".repeat(129)), "at most 128 bytes");
    for control in [r"\u001b[31m", r"\n", "\u{9b}", "\u{202e}"] {
        assert_refused("a logic id with a control character", &logic_id(control), "printable");
    }
    opened("a logic id of 128 bytes", &logic_id(&"x".repeat(128))).unwrap();
}

/// Returns the answers to an empty candidate as JSON.
fn empty_answers(file: &[u8]) -> (String, String) {
    answers_to(file, Row::default())
}

fn answers_to(file: &[u8], candidate: Row) -> (String, String) {
    let model = Model::from_bytes(file.to_vec()).unwrap();
    let rows = RequestRows { context: Default::default(), candidates: vec![candidate] };
    let (scorer, mut request) = model.scorer_for(&rows, Instructions::PLAIN).unwrap();
    request.fill(&rows).unwrap();
    scorer.predict(&mut request, 1).unwrap();
    let answer = request.answer(0);
    (format!("\"{:016x}\"", answer.logit.to_bits()), format!("\"{:08x}\"", answer.probability.to_bits()))
}

fn request(context: &str, candidate: &str, count: usize, answers: &(String, String)) -> String {
    format!(
        "{{\"context\":{context},\"candidates\":[{}],\"logits\":[{}],\"probabilities\":[{}]}}",
        vec![candidate; count].join(","),
        vec![answers.0.as_str(); count].join(","),
        vec![answers.1.as_str(); count].join(",")
    )
}

#[test]
fn golden_requests_take_little_memory_and_time_whatever_they_say() {
    let tiny = tiny_file::bytes();
    let answers = empty_answers(&tiny);
    let golden = |requests: &str| {
        let text = format!("{{\"requests\":[{requests}]}}");
        assert!(text.len() <= 8 * MIB, "{}", text.len());
        with_text(&tiny, SectionKind::Golden, &text)
    };
    let room = 8 * MIB - 4_096;
    opened("very many golden requests", &golden(&repeated(&request("{}", "{}", 1, &answers), room))).unwrap();
    opened("a golden request of 65,536 candidates", &golden(&request("{}", "{}", 65_536, &answers))).unwrap();
    let unseen_word = Row::from([("word".to_owned(), FieldValue::Texts(vec!["a".to_owned()]))]);
    let unseen = answers_to(&tiny, unseen_word);
    let word = request("{}", r#"{"word":["a"]}"#, 65_536, &unseen);
    opened("a golden request of 65,536 rows", &golden(&word)).unwrap();
    assert_refused("a golden request of 65,537 candidates", &golden(&request("{}", "{}", 65_537, &answers)), "65536");
    let list = |item: &str, count: usize| format!("{{\"word\":[{}]}}", vec![item; count].join(","));
    let long = request("{}", &list("0", 4_000_000), 1, &answers);
    assert_refused("a golden list of numbers", &golden(&long), "needs a list of text");
    let long = request("{}", &list("\"\"", 2_000_000), 1, &answers);
    assert_refused("a golden list of texts", &golden(&long), "at most 1024");
    let text = format!("\"{}\"", "x".repeat(7 * MIB));
    assert_refused("a golden text of 7 MiB", &golden(&request("{}", &list(&text, 1), 1, &answers)), "1048576 bytes");
    let text = format!("\"{}\"", "x".repeat(MIB / 2));
    assert_refused("a golden row of 4 MiB", &golden(&request("{}", &list(&text, 8), 1, &answers)), "at most 1048576");
    let rows = request("{}", &list(&format!("\"{}\"", "x".repeat(MIB - 16)), 1), 7, &unseen);
    opened("golden rows of 1 MiB", &golden(&rows)).unwrap();
    let nested = format!("{{\"more\":{},{}", "[".repeat(room / 2), &request("{}", "{}", 1, &answers)[1..]);
    assert_refused("a nested golden request", &golden(&nested), "at most 32 levels");
    let members = format!("{{{},{}", repeated("\"more\":0", room - 4_096), &request("{}", "{}", 1, &answers)[1..]);
    opened("a golden request of unknown members", &golden(&members)).unwrap();
    assert_refused("golden requests that are numbers", &golden(&repeated("0", room)), "a row is not an object");
}

/// A contract with 64 crosses of a list of the context and a candidate's id: one candidate needs 65,536 look-ups.
fn contract_of_crosses() -> Contract {
    let mut text = String::from(
        r#"{"name":"c","label":"y","field":[{"name":"m","side":"context","type":"id","many":true,"meaning":"m"}"#,
    );
    (0..64).for_each(|index| {
        write!(text, r#",{{"name":"f{index}","side":"candidate","type":"id","meaning":"m"}}"#).unwrap();
    });
    let crosses = (0..64).map(|index| format!(r#"{{"fields":["m","f{index}"]}}"#)).collect::<Vec<_>>().join(",");
    write!(text, "],\"cross\":[{crosses}]}}").unwrap();
    Contract::from_json(text.as_bytes()).unwrap()
}

#[test]
fn golden_requests_that_need_too_many_lookups_are_refused_before_they_are_computed() {
    let contract = contract_of_crosses();
    let rows = RequestRows { context: Default::default(), candidates: vec![Default::default()] };
    let file = bytes_of(&contract, &[], &[rows]);
    let answers = empty_answers(&file);
    let context = format!("{{\"m\":[{}]}}", (0..1_024).map(|id| id.to_string()).collect::<Vec<_>>().join(","));
    let candidate = (0..64).map(|index| format!("\"f{index}\":1")).collect::<Vec<_>>().join(",");
    let golden = |count: usize| {
        let requests = request(&context, &format!("{{{candidate}}}"), count, &answers);
        with_text(&file, SectionKind::Golden, &format!("{{\"requests\":[{requests}]}}"))
    };
    // 65,536 + 1,024 + 64 look-ups for a candidate, in a file whose proportion is far above 2^22.
    opened("golden requests of 1,000,000 look-ups", &golden(15)).unwrap();
    assert_refused("golden requests of 470,000,000 look-ups", &golden(7_000), "look-ups for the golden requests");
}

#[test]
fn sections_at_their_limits_together_take_no_more_than_one() {
    let tiny = tiny_file::bytes();
    let answers = empty_answers(&tiny);
    let mut sections = sections_of(&tiny);
    let room = 4 * MIB - 4_096;
    for section in &mut sections {
        let golden = || format!("{{\"requests\":[{}]}}", repeated(&request("{}", "{}", 1, &answers), 2 * room));
        let more =
            format!("{{\"logic_id\":\"a\",\"more\":\"{}\",\"list\":[{}]}}", "x".repeat(MIB), repeated("{}", 120_000));
        match SectionKind::from_number(section.kind) {
            Some(SectionKind::Provenance | SectionKind::FieldSizes) => section.content = more.into_bytes(),
            Some(SectionKind::Golden) => section.content = golden().into_bytes(),
            _ => {}
        }
    }
    sections.push(Section { kind: 99, flags: 0, content: vec![1; 16 * MIB] });
    opened("every section at its limit", &assemble(&sections)).unwrap();
}

/// The limits of the calibrator were compared as f64 and used as f32: 0.0 and 1.0 were served.
#[test]
fn calibrator_limits_that_round_to_0_or_1_are_refused() {
    let with = |offset: usize, value: f64| {
        with_content(&tiny_file::bytes(), SectionKind::Calibrator, |content| put(content, offset, &value.to_le_bytes()))
    };
    let (min, max) = (layout::CALIBRATOR_MIN_OFFSET, layout::CALIBRATOR_MAX_OFFSET);
    // Half of the smallest f32 rounds to 0, ties to even; half a unit below 1 rounds to 1.
    let half_of_smallest = f64::from(f32::from_bits(1)) / 2.0;
    for value in [1e-300, 5e-324, half_of_smallest] {
        assert_refused("a smallest probability that rounds to 0", &with(min, value), "calibrator section");
    }
    for value in [1.0 - 1.0 / f64::from(1 << 25), 1.0 - f64::EPSILON] {
        assert_refused("a largest probability that rounds to 1", &with(max, value), "calibrator section");
    }
    let largest = f64::from(f32::from_bits(1.0_f32.to_bits() - 1));
    opened("the largest probability below 1", &with(max, largest)).unwrap();
    opened("a smallest probability that is an f32", &with(min, f64::from(f32::from_bits(1)))).unwrap();
}

#[test]
fn training_that_ends_in_a_year_that_nobody_lives_in_is_refused() {
    let with = |end: &str| {
        let text = format!(r#"{{"logic_id":"a","training":{{"training_window":{{"last_us":{end}}}}}}}"#);
        with_text(&tiny_file::bytes(), SectionKind::Provenance, &text)
    };
    for end in ["9223372036854775807", "7258118400000000", "-2208988800000001", "1e15", "1.5", "\"2026\"", "-0", "{}"] {
        assert_refused("a training end", &with(end), "end of the training data");
    }
    for end in ["7258118399999999", "-2208988800000000", "0", "null"] {
        opened("a training end", &with(end)).unwrap();
    }
}

#[test]
fn a_bias_beyond_what_a_logit_can_use_is_refused() {
    for bias in [700.1_f64, -1e6, 1e308] {
        let bytes = with_content(&tiny_file::bytes(), SectionKind::Table, |content| {
            put(content, layout::TABLE_BIAS_OFFSET, &bias.to_le_bytes());
        });
        assert_refused("a bias", &bytes, "expected a bias from -700 to 700");
    }
}

/// A file by anybody was parsed first, and its contract was in the errors, even where a signature is required.
#[test]
fn where_a_signature_is_required_nothing_of_an_unsigned_file_is_parsed() {
    let key = PrivateKey::generate();
    let (keys, policy) = (TrustedKeys::new(vec![key.public()]), SignaturePolicy::Require);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.omomi");
    for kind in [SectionKind::Contract, SectionKind::Provenance, SectionKind::Golden, SectionKind::Table] {
        let wrong = with_content(&tiny_file::bytes(), kind, |content| content[0] ^= 1);
        fs::write(&path, &wrong).unwrap();
        let error = Model::load_signed(&path, LoadMode::Map, &keys, policy).unwrap_err();
        assert_eq!(error.code(), Code::SignatureMissing, "{error}");
        let signed = sign(tiny_file::bytes(), &key).unwrap();
        let wrong = with_content(&signed, kind, |content| content[0] ^= 1);
        fs::write(&path, &wrong).unwrap();
        let error = Model::load_signed(&path, LoadMode::Map, &keys, policy).unwrap_err();
        assert_eq!(error.code(), Code::SignatureInvalid, "{error}");
    }
}
