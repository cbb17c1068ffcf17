//! Encodes the status of an experiment for `ExperimentStatus.java`, in the form of
//! [`live_answers`](super::live_answers).

use super::live_answers::{encode_reason, number, optional, text};
use crate::experiment::{ArmState, ArmStatus, ExperimentStatus};
use crate::live::Reason;

/// Encodes the status: name and version; two optional problems; two counts; the arms; and the whole status as JSON,
/// with `name`, that of the process.
pub(super) fn encode_experiment_status(status: &ExperimentStatus, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    text(&mut bytes, &status.experiment);
    number(&mut bytes, status.version);
    optional_reason(&mut bytes, status.problem.as_ref());
    optional_reason(&mut bytes, status.memory_problem.as_ref());
    number(&mut bytes, status.without_unit_count);
    number(&mut bytes, status.unready_count);
    number(&mut bytes, status.arms.len() as u64);
    status.arms.iter().for_each(|arm| encode_arm(&mut bytes, arm));
    text(&mut bytes, &status.to_json(name).to_string());
    bytes
}

/// Encodes an arm: name and store; its state as a byte, and its share; whether it is the control arm and ready, as one
/// byte each; its generation, logic id and stop by the guard, if it has them; the reasons; and six counts.
fn encode_arm(bytes: &mut Vec<u8>, arm: &ArmStatus) {
    text(bytes, &arm.name);
    text(bytes, &arm.store.to_string_lossy());
    bytes.push(match arm.state {
        ArmState::Serve => 0,
        ArmState::Shadow { .. } => 1,
        ArmState::Stopped => 2,
    });
    number(bytes, arm.share.into());
    bytes.extend([u8::from(arm.is_control), u8::from(arm.is_ready)]);
    optional(bytes, arm.generation);
    bytes.push(u8::from(arm.logic_id.is_some()));
    if let Some(logic_id) = &arm.logic_id {
        text(bytes, logic_id);
    }
    optional_reason(bytes, arm.guard_stop.as_ref());
    number(bytes, arm.reasons.len() as u64);
    arm.reasons.iter().for_each(|reason| encode_reason(bytes, reason));
    for count in [
        arm.answered_count,
        arm.fell_back_count,
        arm.failed_count,
        arm.shadow_count,
        arm.shadow_skipped_count,
        arm.shadow_failed_count,
    ] {
        number(bytes, count);
    }
}

fn optional_reason(bytes: &mut Vec<u8>, reason: Option<&Reason>) {
    bytes.push(u8::from(reason.is_some()));
    if let Some(reason) = reason {
        encode_reason(bytes, reason);
    }
}
