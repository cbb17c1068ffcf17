//! Creates the input of the clients: a weight file, requests with their answers, files that are not weight files, and a
//! store.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use omomi::Instructions;
use omomi::LoadMode;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::score::Model;
use omomi::store::{Current, Digest, Store};
use omomi_train::learn::{TrainOptions, train};
use omomi_train::log::generate::{self, LogSpec, WriteOptions};
use omomi_train::pack::{PackOptions, pack};

use crate::small_model::{full_rows, model_for};
use crate::world::{World, replace};

/// A folder that is removed when the test ends.
pub struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = full_rows(20);
        rows.candidates.extend(titles_of_every_length());
        let model = model_for(&rows);
        let bytes = model.file().bytes();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("small.omomi", bytes);
        write("text.omomi", b"this is a text, which is longer than eight bytes");
        write("empty.omomi", b"");
        write("truncated.omomi", &bytes[..bytes.len() - 1]);
        write("longer.omomi", &[bytes, &[0]].concat());
        let mut damaged = bytes.to_vec();
        let inside_contract = bytes.windows(9).position(|window| window == b"the media").unwrap();
        damaged[inside_contract] ^= 1;
        write("damaged.omomi", &damaged);
        let mut requests = vec![rows, rows_with_gaps()];
        requests.extend(model.golden_requests().unwrap().into_iter().map(|golden| golden.rows));
        write("requests.txt", requests.iter().map(|rows| with_answers(&model, rows)).collect::<String>().as_bytes());
        publish(&folder.path().join("store"), &[(8, &World::bytes(8)), (7, bytes)]);
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Creates a store with these generations. The last one is current.
fn publish(dir: &Path, generations: &[(u64, &[u8])]) {
    let store = Store::new(dir);
    std::fs::create_dir_all(store.generations_path()).unwrap();
    for &(generation, bytes) in generations {
        replace(&store.generation_path(generation), bytes);
        let current = Current { generation, digest: Digest::of(bytes) };
        replace(&store.current_path(), current.to_string().as_bytes());
    }
}

/// Creates a weight file like a user does (log, training state, pack), and writes its golden requests to a file.
/// Returns the number of requests.
pub fn trained(folder: &Path) -> usize {
    let logs = ["learn.parquet", "held-out.parquet"].map(|name| folder.join(name));
    let spec = LogSpec { rows: 20_000, seed: 5, click_rate: 0.1 };
    generate::write(&spec, &logs, WriteOptions::default(), &mut |_| ()).unwrap();
    let contract = omomi_train::toml::parse_contract(generate::CONTRACT).unwrap();
    let [learn, held_out] = logs.map(|path| path.display().to_string());
    let options = TrainOptions::new([learn], folder.join("state.parquet"));
    train(&contract, &options, &mut |_| ()).unwrap();
    let options = PackOptions::new(&options.state, [held_out], "trained", 1);
    pack(&contract, &options, folder.join("trained.omomi"), &mut |_| ()).unwrap();
    let model = Model::load(folder.join("trained.omomi"), LoadMode::Map).unwrap();
    let requests = model.golden_requests().unwrap();
    let lines: String = requests.iter().map(|golden| with_answers(&model, &golden.rows)).collect();
    std::fs::write(folder.join("trained.txt"), lines).unwrap();
    requests.len()
}

/// Returns rows with missing fields, empty lists and texts, unseen categories, and numbers that count as missing.
fn rows_with_gaps() -> RequestRows {
    let row = |values: &[(&str, FieldValue)]| -> Row {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    RequestRows {
        context: row(&[("interest", FieldValue::Texts(Vec::new())), ("region", FieldValue::Text(String::new()))]),
        candidates: vec![
            Row::new(),
            row(&[("creative_id", FieldValue::Id(i64::MAX)), ("age_seconds", FieldValue::Number(f64::NAN))]),
            row(&[("tag", FieldValue::Ids(Vec::new())), ("age_seconds", FieldValue::Number(-0.0))]),
            row(&[("title", FieldValue::Text("見たことのない".to_owned())), ("age_seconds", FieldValue::Number(1e10))]),
        ],
    }
}

/// Returns candidates whose texts have each length that a setter copies in a different way.
fn titles_of_every_length() -> impl Iterator<Item = Row> {
    let title = |len: u8| (0..len).map(|place| char::from(b'a' + (place + len) % 26)).collect();
    (0..40).map(move |len| Row::from([("title".to_owned(), FieldValue::Text(title(len)))]))
}

/// Returns the lines that `golden.h` describes.
fn with_answers(model: &std::sync::Arc<Model>, rows: &RequestRows) -> String {
    let count = rows.candidates.len();
    let (scorer, mut request) = model.scorer_for(rows, Instructions::PLAIN).unwrap();
    request.fill(rows).unwrap();
    scorer.predict_plain(&mut request, count).unwrap();
    let mut text = format!("request {count}\ncontext\n");
    write_row(&mut text, &rows.context);
    for (index, row) in rows.candidates.iter().enumerate() {
        writeln!(text, "candidate {index}").unwrap();
        write_row(&mut text, row);
    }
    text.push_str("answers\n");
    for answer in request.answers(count) {
        let (logit, probability) = (answer.logit.to_bits(), answer.probability.to_bits());
        writeln!(text, "{logit:016x} {probability:08x} {}", answer.status.number()).unwrap();
    }
    let counts = request.counts();
    let (unseen, missing, invalid) = (counts.unseen_count, counts.missing_count, counts.invalid_number_count);
    writeln!(text, "counts {} {} {unseen} {missing} {invalid}", counts.scored_count, counts.refused_count).unwrap();
    text
}

fn write_row(text: &mut String, row: &Row) {
    for (name, value) in row {
        let (kind, words) = match value {
            FieldValue::Id(id) => ("id", id.to_string()),
            FieldValue::Number(number) => ("number", format!("{:016x}", number.to_bits())),
            FieldValue::Text(value) => ("text", hex(value)),
            FieldValue::Ids(ids) => ("ids", list(ids.iter().map(i64::to_string).collect())),
            FieldValue::Texts(texts) => ("texts", list(texts.iter().map(|text| hex(text)).collect())),
        };
        writeln!(text, "{kind} {name} {words}").unwrap();
    }
}

fn list(words: Vec<String>) -> String {
    format!("{} {}", words.len(), words.join(" "))
}

fn hex(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
