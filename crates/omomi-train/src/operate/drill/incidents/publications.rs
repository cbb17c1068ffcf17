//! Files that are published well, badly or carelessly, and files that change after that.

use super::*;

pub(super) fn publish(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.publish()?;
    Ok(Happened { at, expected: Expected::swaps_to(stage.good), tidy_up: TidyUp::Nothing })
}

pub(super) fn flipped_bit(stage: &mut Stage) -> Result<Happened, DrillError> {
    let happened = stage.careless(Code::Damaged, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::with_a_flipped_bit(stage.copy.good_bytes(generation)?))
    })?;
    Ok(Happened { expected: Expected { is_quarantined: true, ..happened.expected }, ..happened })
}

pub(super) fn half(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::Truncated, MODE_OF_WEIGHT_FILE, |stage, generation| {
        Ok(files::half(stage.copy.good_bytes(generation)?))
    })
}

pub(super) fn foreign(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::NotAWeightFile, MODE_OF_WEIGHT_FILE, |_, _| Ok(files::foreign()))
}

pub(super) fn other_name(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::GenerationMismatch, MODE_OF_WEIGHT_FILE, |stage, _| stage.copy.good_bytes(stage.good))
}

pub(super) fn other_contract(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::FieldMissing, MODE_OF_WEIGHT_FILE, |_, generation| Ok(files::of_another_contract(generation)?))
}

pub(super) fn writable(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.careless(Code::WritableByOthers, 0o666, |stage, generation| stage.copy.good_bytes(generation))
}

pub(super) fn other_bytes(stage: &mut Stage) -> Result<Happened, DrillError> {
    let happened =
        stage.careless(Code::DigestMismatch, 0o666, |stage, generation| stage.copy.good_bytes(generation))?;
    // So far the file is rejected for its permissions. Its replacement has the right permissions, but other bytes.
    if let TidyUp::Withdraw(generation, _) = &happened.tidy_up {
        let bytes = files::with_a_flipped_bit(stage.copy.good_bytes(*generation)?);
        let at = replace(&stage.copy.store.generation_path(*generation), &bytes, MODE_OF_WEIGHT_FILE)?;
        return Ok(Happened { at, ..happened });
    }
    Ok(happened)
}

pub(super) fn dead_publisher(stage: &mut Stage) -> Result<Happened, DrillError> {
    let generation = stage.copy.new_generation();
    let bytes = stage.copy.good_bytes(generation)?;
    let path = stage.copy.store.generation_path(generation);
    let sibling = path.with_file_name(format!(".{generation:06}.omomi.7-1.partial"));
    let at = replace(&sibling, &bytes[..bytes.len() / 2], MODE_OF_WEIGHT_FILE)?;
    // The next publisher removes it.
    Ok(stage.goes_on(at, TidyUp::Nothing))
}

pub(super) fn nothing(stage: &mut Stage) -> Result<Happened, DrillError> {
    Ok(stage.goes_on(Instant::now(), TidyUp::Nothing))
}

pub(super) fn no_current(stage: &mut Stage) -> Result<Happened, DrillError> {
    let current = stage.copy.current_text()?;
    let at = stage.copy.remove(&stage.copy.store.current_path())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::File);
    Ok(Happened { at, expected, tidy_up: TidyUp::PointBack(current) })
}

pub(super) fn nonsense_in_current(stage: &mut Stage) -> Result<Happened, DrillError> {
    let current = stage.copy.current_text()?;
    let at = replace(&stage.copy.store.current_path(), b"latest\n", 0o644)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::StoreMalformed);
    Ok(Happened { at, expected, tidy_up: TidyUp::PointBack(current) })
}

pub(super) fn nonsense_in_control(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = replace(&stage.copy.store.control_path(), b"offf\n", 0o644)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::StoreMalformed);
    Ok(Happened { at, expected, tidy_up: TidyUp::Order(Order::Normal) })
}

pub(super) fn removed(stage: &mut Stage) -> Result<Happened, DrillError> {
    let at = stage.copy.remove(&stage.copy.store.generation_path(stage.good))?;
    Ok(stage.goes_on(at, TidyUp::Publish))
}

/// Rewrites the file like `rsync --inplace`. A server in mode `map` notices this and switches to a private copy.
pub(super) fn rewritten(stage: &mut Stage) -> Result<Happened, DrillError> {
    let bytes = stage.copy.good_bytes(stage.good)?;
    let at = stage.copy.write_in_place(stage.good, &bytes)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::ChangedInPlace);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

pub(super) fn zeroed(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.restart(|options| options.load_mode = LoadMode::Copy)?;
    stage.come_to_rest("the served file is zeroed in place (mode copy)")?;
    let at = zero(stage)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::ChangedInPlace);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

/// Truncates the file like a careless `cp`. A server that maps it would be killed; one in the default mode has a copy.
pub(super) fn truncated(stage: &mut Stage) -> Result<Happened, DrillError> {
    stage.restart(|options| options.load_mode = LoadMode::Auto)?;
    stage.come_to_rest("the served file is truncated in place (mode auto)")?;
    let at = stage.copy.truncate_in_place(stage.good)?;
    let expected = Expected::goes_on(stage.good).complaining(Code::ChangedInPlace);
    Ok(Happened { at, expected, tidy_up: TidyUp::Publish })
}

pub(super) fn zero(stage: &Stage) -> Result<Instant, DrillError> {
    let zeros = vec![0; stage.copy.good_bytes(stage.good)?.len()];
    stage.copy.write_in_place(stage.good, &zeros)
}

pub(super) fn many_bad_files(stage: &mut Stage) -> Result<Happened, DrillError> {
    const COUNT: usize = 6;
    let current = stage.copy.current_text()?;
    let at = stage.kill();
    stage.copy.forget()?;
    let mut bad = Vec::new();
    for _ in 0..COUNT {
        let generation = stage.copy.new_generation();
        let half = files::half(stage.copy.good_bytes(generation)?);
        stage.copy.publish_carelessly(generation, &half, MODE_OF_WEIGHT_FILE)?;
        bad.push(generation);
    }
    stage.start(|_| ())?;
    let expected = Expected::goes_on(stage.good).complaining(Code::Truncated);
    Ok(Happened { at, expected, tidy_up: TidyUp::WithdrawAll(bad, current) })
}
