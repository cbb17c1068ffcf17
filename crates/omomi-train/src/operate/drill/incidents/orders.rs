//! Orders of people, and what is left of them after restarts.

use super::*;

pub(super) fn freeze(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Freeze)?;
    // The server has to see the freeze before the publication that it must not follow.
    std::thread::sleep(stage.options.poll_interval * POLLS_HELD);
    let frozen = stage.good;
    let at = stage.publish()?;
    Ok(Happened { at, expected: Expected::goes_on(frozen), tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn off(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.order(Order::Off)?;
    let expected = Expected { answered: None, may_fail: true, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn on(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Off)?;
    let is_off = |said: &Said| said.error.as_deref() == Some(Code::SwitchedOff.name());
    // A timeout here has already failed the incident before this one.
    let _ = stage.server.wait_until(is_off, stage.options.time_limit);
    let at = stage.copy.order(Order::On)?;
    let expected = Expected { may_fail: true, max_changes: 2, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Nothing })
}

pub(super) fn rollback(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.order(Order::Pin(stage.good_before))?;
    Ok(Happened { at, expected: Expected::swaps_to(stage.good_before), tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn on_after_rollback(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Pin(stage.good_before))?;
    let is_back = |said: &Said| said.answered == Some(stage.good_before);
    // A timeout here has already failed the incident before this one.
    let _ = stage.server.wait_until(is_back, stage.options.time_limit);
    let at = stage.copy.order(Order::Follow)?;
    let expected = Expected { max_changes: 2, ..Expected::swaps_to(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Nothing })
}

pub(super) fn freeze_and_forget(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Freeze)?;
    let frozen = stage.good;
    stage.publish()?;
    let at = stage.kill();
    stage.copy.forget()?;
    stage.start(|_| ())?;
    Ok(Happened { at, expected: Expected::goes_on(frozen), tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn rollback_twice(stage: &mut Stage) -> Result<Happened, DrillError> {
    const NAME: &str = "rollback, and rollback again";
    let first = stage.good;
    stage.publish()?;
    stage.come_to_rest(NAME)?;
    stage.publish()?;
    stage.come_to_rest(NAME)?;
    stage.copy.order(Order::Rollback)?;
    let deadline = Instant::now() + stage.options.time_limit;
    while !stage.copy.has_settled(stage.good_before) && Instant::now() < deadline {
        std::thread::sleep(stage.options.poll_interval / 10);
    }
    let at = stage.copy.order(Order::Rollback)?;
    // Two publications and two rollbacks.
    let expected = Expected { max_changes: 4, ..Expected::goes_on(first) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn other_content_under_a_pin(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.publish()?;
    stage.come_to_rest("other content under the name of a pinned generation")?;
    let pinned = stage.good_before;
    stage.copy.order(Order::Pin(pinned))?;
    stage.wait_for(|said| said.answered == Some(pinned));
    let at = stage.kill();
    let other = files::with_other_content(stage.copy.good_bytes(pinned)?)?;
    replace(&stage.copy.store.generation_path(pinned), &other, MODE_OF_WEIGHT_FILE)?;
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::DigestMismatch);
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn killed_while_off(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.copy.order(Order::Off)?;
    let at = stage.kill();
    stage.start(|_| ())?;
    let expected = Expected { answered: None, may_fail: true, ..Expected::goes_on(stage.good) };
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn killed_while_off_without_control(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    let at = stage.kill();
    stage.copy.remove(&stage.copy.store.control_path())?;
    stage.start(|_| ())?;
    let Happened { at, expected, tidy_up } = stage.stays_off(at, 0);
    Ok(Happened { at, expected: expected.complaining(Code::StoreMalformed), tidy_up })
}

pub(super) fn off_then_pin(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.switch_off()?;
    let at = stage.copy.order(Order::Pin(stage.good_before))?;
    // A pin says what to serve. It does not switch scoring on.
    Ok(stage.stays_off(at, 1))
}

pub(super) fn off_without_descriptors(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.off_despite("-n 64", true, Code::File)
}

/// No file may grow, as on a full disk. The default action of that signal would end the server.
pub(super) fn off_on_a_full_disk(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.off_despite("-f 0", false, Code::StateUnusable)
}
