//! Processes that are killed or end, and what the next ones serve.

use super::*;

pub(super) fn killed(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    stage.start(|_| ())?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

pub(super) fn killed_with_damaged_file(stage: &mut Stage) -> Result<Happened, DrillError> {
    // Gives the server a file to fall back to; the incident before may have damaged the last one.
    stage.publish()?;
    stage.come_to_rest("killed, and the served file is damaged at the next start")?;
    let at = stage.kill();
    publications::zero(stage)?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good_before).complaining(Code::DigestMismatch);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

pub(super) fn killed_with_bad_file(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    let happened = stage.careless(Code::Truncated, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::half(stage.copy.good_bytes(generation)?))
    })?;
    stage.start(|_| ())?;
    Ok(Happened { at, ..happened })
}

pub(super) fn killed_on_trial(stage: &mut Stage) -> Result<Happened, DrillError> {
    let (_, at) = stage.die_on_trial("killed during a trial")?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::KilledProcess);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

pub(super) fn killed_on_trial_twice(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "killed during a trial for the second time";
    let (generation, _) = stage.die_on_trial(NAME)?;
    stage.start(|options| (options.trial, options.retry_after_death) = (LONG, Duration::ZERO))?;
    stage.wait_for_trial(NAME, generation)?;
    let at = stage.kill();
    stage.start(|options| options.retry_after_death = Duration::ZERO)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::KilledProcess);
    Ok(Happened { at, expected: Expected { is_quarantined: true, ..expected }, tidy_up: TidyUp::Publish })
}

pub(super) fn ended_on_trial(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "ended in order three times during a trial";
    stage.restart(|options| options.trial = LONG)?;
    stage.come_to_rest(NAME)?;
    stage.publish()?;
    for _ in 0..2 {
        stage.wait_for_trial(NAME, stage.good)?;
        stage.end();
        stage.start(|options| options.trial = LONG)?;
    }
    stage.wait_for_trial(NAME, stage.good)?;
    let at = stage.end();
    stage.start(|_| ())?;
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

pub(super) fn killed_on_trial_twice_then_pin(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "killed during a trial for the second time, then pin";
    let (generation, _) = stage.die_on_trial(NAME)?;
    stage.start(|options| (options.trial, options.retry_after_death) = (LONG, Duration::ZERO))?;
    stage.wait_for_trial(NAME, generation)?;
    stage.kill();
    stage.start(|_| ())?;
    stage.wait_for(|said| said.quarantined_count > 0 && said.answered == Some(stage.good));
    // An operator knows better, and overrules the quarantine.
    let at = stage.copy.order(Order::Pin(generation))?;
    (stage.good_before, stage.good) = (stage.good, generation);
    Ok(Happened { at, expected: Expected::swaps_to(generation), tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn killed_with_unreadable_journal(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.kill();
    stage.copy.garble_journal()?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::StateUnusable);
    // The next process finds what this one wrote.
    Ok(Happened { at, expected, tidy_up: TidyUp::Restart })
}

/// It serves, too, and says that the state belongs to the first one, which goes on.
pub(super) fn second_of_the_same_name(stage: &mut Stage) -> Result<Happened, DrillError> {
    let second = stage.new_server(|_| ())?;
    let first = std::mem::replace(&mut stage.server, second);
    stage.process += 1;
    let at = Instant::now();
    let is_met = |said: &Said| said.answered == Some(stage.good) && said.reasons == [Code::StateUnusable.name()];
    stage.wait_for(is_met);
    stage.request_count += first.said().request_count;
    drop(first);
    // Now the state belongs to the second one.
    Ok(stage.goes_on(at, TidyUp::Nothing))
}
