//! Stores that vanish, come late, are copies or start again.

use super::*;

pub(super) fn moved(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.move_away()?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

pub(super) fn moved_while_off(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    stage.copy.move_away()?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    Ok(stage.stays_off(at, 1))
}

pub(super) fn mounted_late(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    stage.kill();
    stage.copy.move_away()?;
    stage.start(|_| ())?;
    stage.wait_for_missing_store();
    let at = stage.copy.move_back()?;
    // First there is no model, then scoring is off.
    Ok(stage.stays_off(at, 1))
}

pub(super) fn copied(stage: &mut Stage) -> Result<Happened, DrillError> {
    let (generation, at) = stage.die_on_trial("killed during a trial, and the store is a copy at the next start")?;
    stage.copy.replace_by_copy()?;
    stage.start(|_| ())?;
    (stage.good_before, stage.good) = (stage.good, generation);
    // The copy has no evidence of a death: it is another store.
    Ok(Happened { at, expected: Expected::swaps_to(generation), tidy_up: TidyUp::Nothing })
}

pub(super) fn rebuilt(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    stage.good = stage.copy.rebuild()?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::GenerationBehind);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}
