//! Weight files, and stores to publish them to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omomi::Model;
use omomi::contract::Contract;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::store::{Control, ControlText, Digest, Store};
use omomi::weight_file::Calibrator;
use omomi::weight_file::map::LoadMode;
use omomi::weight_file::table::Encoding;
use omomi_train::operate::publish::{BlessingPolicy, PublishError, PublishOptions, Published, Step, Verifier, publish};
use omomi_train::pack::table::{EncodedWeights, Entry};
use omomi_train::pack::writer::{self, Parts};
use serde_json::json;

const CONTRACT: &str = r#"{"name":"small","label":"clicked","field":[
    {"name":"user","side":"context","type":"id","meaning":"who"},
    {"name":"word","side":"candidate","type":"text","meaning":"what"}]}"#;

/// Number of weights of a file that is copied in three pieces.
pub const USUAL_WEIGHT_COUNT: u64 = 70_000;

/// What a weight file should contain.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub generation: u64,
    pub weight_count: u64,
    /// Age of the end of the training data.
    pub training_age: Option<Duration>,
    /// How far the end is in the future, for a file whose age is zero.
    pub training_lead: Duration,
}

impl Wanted {
    pub fn generation(generation: u64) -> Self {
        Self {
            generation,
            weight_count: 100,
            training_age: Some(Duration::from_secs(3_600)),
            training_lead: Duration::ZERO,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let contract = contract();
        let key = |index: u64| (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut keys: Vec<u64> = (0..self.weight_count).map(key).collect();
        keys.sort_unstable();
        let entries = keys.iter().map(|&key| Entry { key, weight: 0.5, group: 0, popularity: 0 }).collect();
        let weights = EncodedWeights::encode(entries, Encoding::F32, 2).unwrap();
        let mut provenance = serde_json::Map::new();
        if let Some(age) = self.training_age {
            let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().saturating_sub(age);
            let end = end + self.training_lead;
            let last_us = u64::try_from(end.as_micros()).unwrap();
            provenance.insert("training".to_owned(), json!({ "training_window": { "last_us": last_us } }));
        }
        let user = Row::from([("user".to_owned(), FieldValue::Id(7))]);
        let word = Row::from([("word".to_owned(), FieldValue::Text("旅行".to_owned()))]);
        let parts = Parts {
            contract: &contract,
            generation: self.generation,
            logic_id: "small-v1",
            provenance,
            bias: -2.0,
            weights: &weights,
            calibrator: Calibrator { min: 1e-6, max: 0.999 },
            field_sizes: vec![("user".to_owned(), self.weight_count)],
            golden: &[RequestRows { context: user, candidates: vec![word, Row::new()] }],
        };
        writer::to_bytes(&parts).unwrap()
    }

    /// Writes the file to `folder` under a name without meaning.
    pub fn file_in(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("packed-{}", self.generation));
        fs::write(&path, self.bytes()).unwrap();
        path
    }
}

pub fn contract() -> Contract {
    Contract::from_json(CONTRACT.as_bytes()).unwrap()
}

/// The installed command.
pub fn verifier() -> Verifier {
    Verifier {
        program: env!("CARGO_BIN_EXE_omomi").into(),
        arguments: ["verify", "--json"].map(OsString::from).to_vec(),
        time_limit: Verifier::DEFAULT_TIME_LIMIT,
    }
}

/// No blessing is required, because most tests do not run the gate.
pub fn options(file: &Path) -> PublishOptions {
    let blessing = Some(BlessingPolicy::Off);
    PublishOptions::new(file, verifier()).with(|it| it.blessing = blessing)
}

/// A store, and a folder for files beside it.
pub struct Fixture {
    folder: tempfile::TempDir,
    pub store: Store,
}

impl Fixture {
    /// A store that does not exist yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("feed-ctr"));
        Self { folder, store }
    }

    /// A store with these generations published.
    pub fn with(generations: impl IntoIterator<Item = u64>) -> Self {
        let fixture = Self::new();
        for generation in generations {
            fixture.publish(&Wanted::generation(generation)).unwrap();
        }
        fixture
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn publish(&self, wanted: &Wanted) -> Result<Published, PublishError> {
        publish(&self.store, &options(&wanted.file_in(self.folder())), &mut |_| ())
    }

    /// Returns the orders that the store has in writing.
    #[track_caller]
    pub fn control(&self) -> Control {
        control_of(&self.store)
    }

    /// Publishes with these lines in `limits.toml`.
    pub fn publish_within(&self, limits: &str, wanted: &Wanted) -> Result<Published, PublishError> {
        fs::create_dir_all(self.store.dir()).unwrap();
        fs::write(self.store.dir().join("limits.toml"), limits).unwrap();
        self.publish(wanted)
    }

    /// Asserts that publishing fails with this name, owner and text in the message, and changes nothing.
    #[track_caller]
    pub fn assert_refused(&self, file: &Path, (name, owner, words): (&str, omomi::Owner, &str)) {
        let before = everything_in(self.folder());
        let error = publish(&self.store, &options(file), &mut |_| ()).expect_err("it was published");
        let message = error.to_string();
        assert_eq!((error.name(), error.owner()), (name, owner), "{message}");
        assert!(message.contains(words), "expected `{words}` in: {message}");
        assert!(!error.action().is_empty());
        assert_eq!(everything_in(self.folder()), before, "something was changed or left behind");
    }
}

/// Returns the orders that a store has in writing. Both are there.
#[track_caller]
pub fn control_of(store: &Store) -> Control {
    let text = store.read_control().unwrap().expect("`control` is absent");
    let ControlText { scoring: Some(scoring), target: Some(target) } = text else {
        panic!("an order is missing: {text:?}")
    };
    Control { scoring, target }
}

/// Returns what `control` says after `on pin` or another word, and a generation of the store.
#[track_caller]
pub fn orders(store: &Store, words: &str, generation: u64) -> Control {
    let digest = Digest::of(&fs::read(store.generation_path(generation)).unwrap());
    format!("{words} {generation:06} {digest}").parse().unwrap()
}

/// Lists every file and folder below `folder` with its permissions, and the digest of each file.
pub fn everything_in(folder: &Path) -> BTreeMap<PathBuf, (u32, Option<Digest>)> {
    let mut everything = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let digest = metadata.is_file().then(|| Digest::of(&fs::read(&path).unwrap()));
        if metadata.is_dir() {
            everything.extend(everything_in(&path));
        }
        everything.insert(path, (metadata.permissions().mode() & 0o7777, digest));
    }
    everything
}

/// Lists the names below `folder` that readers ignore.
pub fn leftovers_in(folder: &Path) -> Vec<PathBuf> {
    let is_hidden = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
    everything_in(folder).into_keys().filter(is_hidden).collect()
}

/// Returns the generation in `current`, after verifying its file like a server: digest, every byte, golden requests,
/// generation, mode.
#[track_caller]
pub fn published_generation(store: &Store) -> Option<u64> {
    let current = store.read_current().unwrap()?;
    let path = store.generation_path(current.generation);
    assert_eq!(Digest::of(&fs::read(&path).unwrap()), current.digest);
    assert_eq!(Model::load(&path, LoadMode::Copy).unwrap().generation(), current.generation);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o444);
    Some(current.generation)
}

/// Returns the steps of publishing `wanted`, in the order of their announcements.
pub fn steps_of_publishing(fixture: &Fixture, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    let file = wanted.file_in(fixture.folder());
    publish(&fixture.store, &options(&file), &mut |step| steps.push(step)).unwrap();
    steps
}
