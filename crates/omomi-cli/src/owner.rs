//! Who must act on an error of a step that reads logs or writes states. Refusals of files and stores say it themselves.

use std::error::Error;

use omomi::error::{Error as ServingError, Owner};
use omomi_train::adopt::amend::AmendError;
use omomi_train::adopt::baseline::BaselineError;
use omomi_train::adopt::import::ImportError;
use omomi_train::bucket::BucketError;
use omomi_train::evaluate::{CompareError, EvaluateError};
use omomi_train::judge::gate::GateError;
use omomi_train::learn::average::AverageError;
use omomi_train::learn::recalibrate::RecalibrateError;
use omomi_train::learn::shards::TrainShardsError;
use omomi_train::learn::state::StateError;
use omomi_train::learn::tune::TuneError;
use omomi_train::learn::{QuantileError, TrainError};
use omomi_train::log::LogError;
use omomi_train::operate::bucket_store::BucketStoreError;
use omomi_train::operate::experiment::ExperimentError;
use omomi_train::pack::PackError;
use omomi_train::plan::PlanError;
use omomi_train::prune::PruneError;
use omomi_train::read_out::ReadOutError;
use omomi_train::serving_logs::ServingLogError;

use crate::contract::NoContract;
use crate::refusal::Refused;
use crate::stores::StoreError;

/// Returns who must act on an error, from the first of its causes that says so.
pub(crate) fn owner_of(error: &(dyn Error + 'static)) -> Option<Owner> {
    // A bucket knows better than the step that used it.
    if let Some(error) = BucketError::within(error) {
        return Some(error.owner());
    }
    let mut cause = Some(error);
    while let Some(error) = cause {
        let owner = own(error);
        if owner.is_some() {
            return owner;
        }
        cause = error.source();
    }
    None
}

/// Whether trying again later may succeed without any other change.
pub(crate) fn is_temporary(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<Refused>().is_some_and(Refused::is_temporary)
        || error.downcast_ref::<PlanError>().is_some_and(PlanError::is_temporary)
        || BucketError::within(error).is_some_and(BucketError::is_temporary)
}

fn own(error: &(dyn Error + 'static)) -> Option<Owner> {
    if let Some(error) = error.downcast_ref::<PruneError>() {
        return match error {
            PruneError::Train(error) => Some(error.owner()),
            PruneError::State(error) => Some(error.owner()),
            PruneError::Log(error) => Some(error.owner()),
            PruneError::Pack(error) => own(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<PackError>() {
        return match error {
            PackError::State(error) => Some(error.owner()),
            PackError::Log(error) => Some(error.owner()),
            PackError::Evaluate(error) => Some(error.owner()),
            PackError::RoundingUnmeasured { .. } => Some(Owner::Ml),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ExperimentError>() {
        return Some(error.owner());
    }
    if let Some(error) = error.downcast_ref::<GateError>() {
        return Some(error.owner());
    }
    if let Some(error) = error.downcast_ref::<QuantileError>() {
        return if let QuantileError::Log(error) = error { Some(error.owner()) } else { None };
    }
    // A contract is written by those who train. A file that is not there was named by them, too.
    if error.is::<NoContract>() {
        return Some(Owner::Ml);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Store(error) => Some(error.owner()),
            StoreError::Bucket(error) => Some(error.owner()),
            StoreError::Address(error) => Some(error.owner()),
        };
    }
    let log = error.downcast_ref::<LogError>().map(LogError::owner);
    log.or_else(|| error.downcast_ref::<TrainError>().map(TrainError::owner))
        .or_else(|| error.downcast_ref::<TrainShardsError>().map(TrainShardsError::owner))
        .or_else(|| error.downcast_ref::<PlanError>().map(PlanError::owner))
        .or_else(|| error.downcast_ref::<StateError>().map(StateError::owner))
        .or_else(|| error.downcast_ref::<AverageError>().map(AverageError::owner))
        .or_else(|| error.downcast_ref::<RecalibrateError>().map(RecalibrateError::owner))
        .or_else(|| error.downcast_ref::<TuneError>().map(TuneError::owner))
        .or_else(|| error.downcast_ref::<EvaluateError>().map(EvaluateError::owner))
        .or_else(|| error.downcast_ref::<CompareError>().map(CompareError::owner))
        .or_else(|| error.downcast_ref::<AmendError>().map(AmendError::owner))
        .or_else(|| error.downcast_ref::<BaselineError>().map(BaselineError::owner))
        .or_else(|| error.downcast_ref::<ImportError>().map(ImportError::owner))
        .or_else(|| error.downcast_ref::<BucketError>().map(BucketError::owner))
        .or_else(|| error.downcast_ref::<BucketStoreError>().map(BucketStoreError::owner))
        .or_else(|| error.downcast_ref::<ReadOutError>().map(ReadOutError::owner))
        .or_else(|| error.downcast_ref::<ServingLogError>().map(ServingLogError::owner))
        .or_else(|| error.downcast_ref::<ServingError>().map(ServingError::owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_error_that_knows_it_says_who_must_act() {
        let log = || LogError::NoLogs { folder: "logs".into(), skipped: Vec::new() };
        let unreadable = || NoContract::Unreadable { path: "a".into(), source: std::io::ErrorKind::NotFound.into() };
        let cases: [(Box<dyn Error>, Option<Owner>); 9] = [
            (log().into(), Some(Owner::Delivery)),
            (TrainShardsError::Train(log().into()).into(), Some(Owner::Delivery)),
            (PruneError::Log(log()).into(), Some(Owner::Delivery)),
            (GateError::Evaluate(log().into()).into(), Some(Owner::Delivery)),
            (TrainError::NoPass.into(), Some(Owner::Ml)),
            (TrainError::State(StateError::Exists { path: "a".into() }).into(), Some(Owner::Ml)),
            (unreadable().into(), Some(Owner::Ml)),
            (GateError::NoStore { dir: "a".into() }.into(), Some(Owner::Infra)),
            ("no type of its own".into(), None),
        ];
        for (error, expected) in cases {
            assert_eq!(owner_of(error.as_ref()), expected, "{error}");
        }
    }
}
