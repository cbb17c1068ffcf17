#![doc = include_str!("EXPERIMENT.md")]

mod buckets;
mod explore;
mod file;
mod guard;
mod guard_stops;
mod guardian;
mod live;
mod memory;
mod prometheus;
mod registry;
mod scorer;
mod seat;
mod shadows;
mod shared;
mod status;
mod watch;
mod worker;

pub use buckets::{Assignment, AssignmentProblem, BUCKET_COUNT, MAX_ARMS, Purpose, bucket_of, draw, unit_interval_of};
pub use explore::{Choice, Exploration, Method, choose};
pub use file::{Arm, ArmState, Experiment, ExperimentProblem, FORMAT, MAX_FILE_LEN_BYTES, Unit};
pub use guard::{CalibrationBand, Exposure, Guard};
pub use live::LiveExperiment;
pub use memory::state_folder;
pub use scorer::{Answered, ExperimentScorer};
pub use status::{ArmStatus, ExperimentStatus};

pub(crate) use registry::{RegisteredArm, Registry};
pub(crate) use watch::Watch;
