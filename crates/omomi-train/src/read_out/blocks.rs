//! Why the metrics of a read-out must not be shown, and what looks odd.

use std::collections::BTreeMap;

use omomi::error::Owner;

use super::interval::Validity;
use super::result::{ArmUnits, Block, BlockKind, ReadOut};
use super::sample_ratio::SAMPLE_RATIO_ALPHA;
use super::survey::Survey;
use crate::readable::grouped;

/// Largest share of units in several arms that does not block the read-out.
const MAX_SEVERAL_SHARE: f64 = 0.01;
const HOUR_US: i64 = 3_600_000_000;

/// Returns what looks odd, and does not block.
pub(super) fn notes(read_out: &ReadOut, survey: &Survey) -> Vec<String> {
    let mut notes = Vec::new();
    if !survey.is_in_order {
        notes.push(
            "the rows are not in the order of time, so there are no figures over time: name the files in their order"
                .to_owned(),
        );
    }
    if read_out.units_in_several_arms > 0 {
        notes.push(format!(
            "{} units were in several arms, and count in none: the shares were changed, an arm was stopped, or the \
             assignment is broken",
            grouped(read_out.units_in_several_arms)
        ));
    }
    if read_out.validity_is_reached_twice() {
        notes.push(
            "the log has more units than the horizon: a fixed-horizon read-out holds at one moment only".to_owned(),
        );
    }
    notes.extend(survey.note.clone());
    notes.extend(late_arms(read_out));
    notes
}

/// Says which arms began later, or ended earlier, than the experiment.
fn late_arms(read_out: &ReadOut) -> Vec<String> {
    let [first, last] = read_out.window_us;
    let tolerance = ((last - first) / 20).max(HOUR_US);
    let hours = |us: i64| format!("{:.1} hours", us as f64 / HOUR_US as f64);
    let mut said = Vec::new();
    for arm in read_out.arms.iter().filter(|arm| arm.rows > 0) {
        if arm.window_us[0] - first > tolerance {
            let late = hours(arm.window_us[0] - first);
            said.push(format!("arm `{}` appears {late} after the first row: read from then on with --since", arm.arm));
        }
        if last - arm.window_us[1] > tolerance {
            let early = hours(last - arm.window_us[1]);
            said.push(format!("arm `{}` ends {early} before the last row: read up to then with --until", arm.arm));
        }
    }
    said
}

impl ReadOut {
    fn unit_count(&self) -> u64 {
        self.arms.iter().map(|arm| arm.units).sum()
    }

    fn validity_is_reached_twice(&self) -> bool {
        match self.validity {
            Validity::Once { horizon_units } => self.unit_count() as f64 > horizon_units as f64 * 1.05,
            Validity::Always { .. } => false,
        }
    }
}

/// Returns why the metrics must not be shown.
pub(super) fn blocks(read_out: &ReadOut, survey: &Survey) -> Vec<Block> {
    let mut blocks = Vec::new();
    let counted = read_out.unit_count();
    let several = read_out.units_in_several_arms;
    let share = several as f64 / (counted + several).max(1) as f64;
    if share > MAX_SEVERAL_SHARE {
        let mut block = Block::new(
            BlockKind::Broken,
            Owner::Delivery,
            format!(
                "expected each unit in one arm, found {} units ({:.1} %) in several",
                grouped(several),
                share * 100.0
            ),
            "read a time in which the shares did not change (--since, --until), or repair the assignment",
        );
        block.causes = late_arms(read_out);
        block.causes.push("the unit of the read-out (--unit) is not the unit of the experiment".to_owned());
        block.causes.push("the shares were changed, or an arm was stopped, and units moved".to_owned());
        block.causes.push("servers have different versions of the experiment's file or salt".to_owned());
        blocks.push(block);
    }
    match read_out.sample_ratio {
        Some(test) if !test.passes() => blocks.push(ratio_block(read_out, survey, test.p_value)),
        Some(_) => {}
        None => blocks.push(Block::new(
            BlockKind::CannotTell,
            Owner::Ml,
            "the planned shares of the arms are not known: the logs have too few units for their buckets, or no \
             buckets"
                .to_owned(),
            "give the shares with --shares control=5000,other=5000",
        )),
    }
    if let Validity::Once { horizon_units } = read_out.validity
        && counted < horizon_units
    {
        blocks.push(Block::new(
            BlockKind::CannotTell,
            Owner::Ml,
            format!(
                "the horizon is not reached: expected {} units, found {} ({:.0} %); an earlier look would make the \
                 planned intervals wrong",
                grouped(horizon_units),
                grouped(counted),
                (100.0 * counted as f64 / horizon_units as f64).floor()
            ),
            "wait, or read out with always-valid intervals (without --horizon)",
        ));
    }
    blocks
}

fn ratio_block(read_out: &ReadOut, survey: &Survey, p_value: f64) -> Block {
    let of = |text: &dyn Fn(&ArmUnits) -> String| read_out.arms.iter().map(text).collect::<Vec<_>>().join(", ");
    let expected = of(&|arm| format!("{} {:.2} %", arm.arm, arm.planned_share.unwrap_or(0.0) * 100.0));
    let counted = read_out.unit_count().max(1) as f64;
    let found =
        of(&|arm| format!("{} {:.2} % ({} units)", arm.arm, arm.units as f64 / counted * 100.0, grouped(arm.units)));
    let mut block = Block::new(
        BlockKind::Broken,
        Owner::Delivery,
        format!(
            "the sample ratio is wrong: expected {expected}; found {found}; p = {p_value:.2e}, below \
             {SAMPLE_RATIO_ALPHA}"
        ),
        "find out which units are missing or added; no figure of this experiment can be trusted until then",
    );
    block.causes = late_arms(read_out);
    let mut buckets = BTreeMap::new();
    for arm in survey.arms.values() {
        arm.buckets.iter().for_each(|bucket| *buckets.entry(*bucket).or_insert(0_u32) += 1);
    }
    let moved = buckets.values().filter(|count| **count > 1).count();
    if moved > 0 {
        block.causes.push(format!("the shares were changed meanwhile: {moved} buckets were in several arms"));
    }
    block.causes.push("the log of one arm lost records (omomi log check, omomi status)".to_owned());
    block.causes.push("one arm answers later, and its requests are cut off before they are logged".to_owned());
    block.causes.push("rows were filtered by something that the arm changes".to_owned());
    block.causes.push("robots, or units that are assigned in another place".to_owned());
    block
}
