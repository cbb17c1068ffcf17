//! Two stores, an experiment file, and a server.

use std::fs;
use std::path::PathBuf;

use omomi::experiment::{Answered, Arm, ArmState, Assignment, Experiment, ExperimentScorer, LiveExperiment, Unit};
use omomi::live::LiveOptions;
use omomi::store::Store;
use omomi::{Error, Request, RequestLayout};

use crate::small_model;
use crate::store_world::{CANDIDATE_COUNT, World, expected_answers, layout, options, replace, same_bits, schema};

/// A folder with the stores `a` to `d`, and the file.
pub struct Experiments {
    folder: tempfile::TempDir,
}

impl Experiments {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d"] {
            let store = Store::new(folder.path().join(name));
            fs::create_dir_all(store.generations_path()).unwrap();
            fs::write(store.control_path(), "on follow\n").unwrap();
        }
        Self { folder }
    }

    pub fn store(&self, name: &str) -> World {
        World::in_folder(self.folder.path().join(name))
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("test.experiment")
    }

    pub fn write(&self, experiment: &Experiment) {
        replace(&self.path(), experiment.to_string().as_bytes());
    }

    pub fn open(&self) -> LiveExperiment {
        self.open_with(options())
    }

    pub fn open_with(&self, options: LiveOptions) -> LiveExperiment {
        LiveExperiment::open(self.path(), &schema(), options).unwrap()
    }
}

/// An experiment of the arms `a` (control) and `b` on the stores of these names.
pub fn experiment(shares: [u32; 2]) -> Experiment {
    let arm = |name: &str| Arm { name: name.to_owned(), store: name.into(), state: ArmState::Serve };
    Experiment {
        name: "test".to_owned(),
        version: 1,
        unit: Unit::Request,
        salt: 7,
        control: 0,
        arms: vec![arm("a"), arm("b")],
        assignment: Assignment::first(&shares).unwrap(),
        exploration: None,
        guard: None,
    }
}

/// Adds the shadow `c` on the store of this name.
pub fn with_shadow(mut experiment: Experiment, share: u32) -> Experiment {
    experiment.arms.push(Arm { name: "c".to_owned(), store: "c".into(), state: ArmState::Shadow { share } });
    experiment
}

/// A layout with room for the answers of one shadow.
pub fn shadow_layout() -> RequestLayout {
    layout().for_models(2).unwrap()
}

/// A scorer and a filled request.
pub struct Thread {
    pub scorer: ExperimentScorer,
    pub request: Request,
}

impl Thread {
    pub fn new(experiment: &LiveExperiment) -> Self {
        let scorer = experiment.scorer(&shadow_layout()).unwrap();
        let mut request = scorer.new_request();
        request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
        Self { scorer, request }
    }

    /// Scores the request under an id.
    pub fn predict(&mut self, id: &str) -> Result<Answered, Error> {
        self.scorer.predict(&mut self.request, CANDIDATE_COUNT, id)
    }

    /// Scores the request, and compares the answers with those of the generation that the outcome names. Returns the
    /// name of the arm and the generation.
    pub fn ask(&mut self, id: &str) -> (String, u64) {
        let answered = self.predict(id).unwrap();
        assert_eq!(self.request.generation(), answered.generation);
        let expected = expected_answers(answered.generation);
        assert!(same_bits(self.request.answers(CANDIDATE_COUNT), expected.into_iter()), "{answered:?}");
        (self.scorer.arm(&answered).to_owned(), answered.generation)
    }

    /// Returns how many of 200 requests each arm answers.
    pub fn counts(&mut self) -> [usize; 2] {
        let arms: Vec<_> = (0..200).map(|index| self.predict(&format!("request-{index}")).unwrap()).collect();
        ["a", "b"].map(|name| arms.iter().filter(|answered| self.scorer.arm(answered) == name).count())
    }
}
