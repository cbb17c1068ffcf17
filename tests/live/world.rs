//! A store with published generations, and a server that follows it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use omomi::live::{LiveModel, LiveOptions, LiveScorer};
use omomi::store::{Current, Digest, Store};
use omomi::{Answer, Capacity, Model, Request, RequestLayout, Schema};

use crate::small_model;

/// Number of candidates in the request that the tests score.
pub const CANDIDATE_COUNT: usize = 20;

pub struct World {
    pub store: Store,
    /// `None` if the folder belongs to another process.
    _folder: Option<tempfile::TempDir>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        fs::create_dir(store.generations_path()).unwrap();
        // The first publication writes it.
        fs::write(store.control_path(), "on follow\n").unwrap();
        Self { store, _folder: Some(folder) }
    }

    /// Opens the store of another process.
    pub fn in_folder(dir: impl Into<PathBuf>) -> Self {
        Self { store: Store::new(dir), _folder: None }
    }

    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// Returns the bytes of a weight file of that generation. Each generation has different weights.
    pub fn bytes(generation: u64) -> Vec<u8> {
        small_model::bytes_of_generation(generation)
    }

    /// Puts bytes under the name of a generation like a publisher: writes a read-only sibling, and renames it.
    pub fn put(&self, generation: u64, bytes: &[u8]) -> PathBuf {
        let path = self.store.generation_path(generation);
        replace(&path, bytes);
        path
    }

    /// Points `current` to the file under the name of a generation.
    pub fn point_to(&self, generation: u64) {
        let digest = Digest::of(&fs::read(self.store.generation_path(generation)).unwrap());
        replace(&self.store.current_path(), Current { generation, digest }.to_string().as_bytes());
    }

    pub fn publish(&self, generation: u64) {
        self.publish_bytes(generation, &Self::bytes(generation));
    }

    pub fn publish_bytes(&self, generation: u64, bytes: &[u8]) {
        self.put(generation, bytes);
        self.point_to(generation);
    }

    /// Writes an order.
    pub fn control(&self, control: &str) {
        replace(&self.store.control_path(), format!("{control}\n").as_bytes());
    }

    pub fn serve(&self) -> Server {
        self.serve_with(options())
    }

    pub fn serve_with(&self, options: LiveOptions) -> Server {
        Server::new(LiveModel::open(self.dir(), &schema(), options).unwrap())
    }
}

/// Options that look at the store on demand only, and end a trial successfully at the next look.
pub fn options() -> LiveOptions {
    LiveOptions::default().with(|it| {
        it.poll_interval = Duration::from_secs(3_600);
        it.trial = Duration::ZERO;
    })
}

pub fn schema() -> Schema {
    Schema::of_contract(&small_model::contract())
}

pub fn layout() -> RequestLayout {
    RequestLayout::new(&schema(), Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 8_192 }).unwrap()
}

/// A live model with one scorer and a filled request.
pub struct Server {
    pub live: LiveModel,
    pub scorer: LiveScorer,
    pub request: Request,
}

impl Server {
    pub fn new(live: LiveModel) -> Self {
        let scorer = live.scorer(&layout()).unwrap();
        let mut request = scorer.new_request();
        request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
        Self { live, scorer, request }
    }

    /// Returns the generation that answers, after comparing its answers with those of a model over the same bytes; or
    /// the name of the error if nothing answers.
    pub fn ask(&mut self) -> Result<u64, &'static str> {
        self.scorer.predict(&mut self.request, CANDIDATE_COUNT).map_err(|error| error.code().name())?;
        let generation = self.request.generation();
        let (found, expected) = (self.request.answers(CANDIDATE_COUNT), expected_answers(generation));
        assert!(same_bits(found, expected.into_iter()), "generation {generation} gave other answers");
        Ok(generation)
    }

    /// Scores a request and looks: that proves the generation of a server without a trial.
    pub fn prove(&mut self) {
        self.ask().unwrap();
        self.live.look_now();
    }

    /// Looks at the store, and then asks.
    pub fn look_and_ask(&mut self) -> Result<u64, &'static str> {
        self.live.look_now();
        self.ask()
    }

    /// Returns the codes of the current problems.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.live.status().reasons.iter().map(|reason| reason.code.name()).collect()
    }
}

pub fn same_bits(left: impl Iterator<Item = Answer>, right: impl Iterator<Item = Answer>) -> bool {
    let bits = |answer: Answer| (answer.logit.to_bits(), answer.probability.to_bits(), answer.status);
    left.map(bits).eq(right.map(bits))
}

pub fn expected_answers(generation: u64) -> Vec<Answer> {
    let model = Model::from_bytes(World::bytes(generation)).unwrap();
    let scorer = omomi::Scorer::new(model, &layout()).unwrap();
    let mut request = scorer.new_request();
    request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
    scorer.predict(&mut request, CANDIDATE_COUNT).unwrap();
    request.answers(CANDIDATE_COUNT).collect()
}

pub fn replace(path: &Path, bytes: &[u8]) {
    let sibling = path.with_extension("new");
    let _ = fs::remove_file(&sibling);
    let mut file = File::create(&sibling).unwrap();
    file.write_all(bytes).unwrap();
    let mut permissions = file.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions).unwrap();
    fs::rename(&sibling, path).unwrap();
}
