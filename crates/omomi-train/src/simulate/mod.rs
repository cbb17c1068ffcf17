//! A month of daily training on made-up logs whose truth is known: how often a healthy day is held back, how far the
//! served model is from the truth, and which step notices which accident.
//!
//! ```text
//! every day:  log --profile--> train on the day before --> pack --> gate on today's log --> publish
//! ```
//!
//! The settings are those of a newcomer: the defaults of every command. The model that is judged on the log of a day
//! has learned the days before it, so no step has learned the rows that it is judged on.
//!
//! The month before accidents is made once for a seed. Each accident then begins on the same day and stays for one more
//! day, so that it is first in the log that a healthy model is judged on, then also in the log that is learned.

mod accidents;
mod draw;
mod pipeline;
mod world;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::judge::gate::{Profile, SliceFigure};
use crate::operate::publish::Verifier;

pub use accidents::{ACCIDENTS, Accident};
pub use pipeline::{Caught, MonthError, Stage};
pub use world::WorldSpec;

use accidents::{Kind, Mishap};
use pipeline::{Pipeline, Today};
use world::{World, true_log_loss};

/// Days that are learned before the first file is judged.
const DAYS_BEFORE: u32 = 2;

/// Days with a profile before an accident that happens on every day is counted.
const DAYS_BEFORE_NOTICING: u32 = 5;

/// What to simulate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MonthOptions {
    /// The world.
    pub world: WorldSpec,
    /// Number of days that are judged.
    pub days: u32,
    /// Whether training gets the times of the rows. Without them, the bias is that of the last rows.
    pub with_times: bool,
    /// Verifies files before they are published.
    pub verifier: Verifier,
    /// A new or empty folder for logs, states and the store.
    pub folder: PathBuf,
    /// Accidents that happen to the log of every healthy day, each by itself, and only to be profiled.
    pub on_every_day: Vec<Accident>,
    /// Gets the figures of all these days, and the slices of the file that was judged on each healthy one, one line of
    /// JSON each, so that other rules can be tried on them.
    pub figures: Option<PathBuf>,
}

impl MonthOptions {
    /// Returns options for 31 days, with times, without figures and without accidents on every day.
    #[must_use]
    pub fn new(world: WorldSpec, verifier: Verifier, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { world, days: 31, with_times: true, verifier, folder, on_every_day: Vec::new(), figures: None }
    }

    /// Returns these options, changed by `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The outcome of a month.
#[derive(Debug, Clone)]
pub struct Month {
    /// Number of days that were judged.
    pub days: u32,
    /// The healthy days that were held back, by their number.
    pub held_back: Vec<(u32, Caught)>,
    /// Sum over all days of the log loss of the served model on the rows of the day.
    pub log_loss: f64,
    /// Sum over all days of the log loss of the true probabilities.
    pub true_log_loss: f64,
    /// Calibration ratios of the served model, day by day.
    pub calibration: Vec<f64>,
    /// How often accidents that happened to the log of every day were noticed.
    pub noticed: Vec<Noticed>,
}

/// How often the profile noticed an accident on its first day.
#[derive(Debug, Clone, Copy)]
pub struct Noticed {
    /// The accident.
    pub accident: Accident,
    /// Days to whose log it happened: those with enough days before them.
    pub days: u32,
    /// Days on which it was noticed.
    pub noticed: u32,
}

impl Month {
    /// Returns by how much the log loss of what was served is above that of the truth: 0.05 is 5 %.
    #[must_use]
    pub fn excess(&self) -> f64 {
        self.log_loss / self.true_log_loss - 1.0
    }
}

/// Simulates a month without accidents. Calls `watch` with the number of days so far.
///
/// # Errors
///
/// Returns an error if a step of the pipeline cannot be set up, or a file cannot be written. A step that refuses the
/// day is part of the outcome.
pub fn month(options: &MonthOptions, watch: &mut dyn FnMut(u32)) -> Result<Month, MonthError> {
    let world = World::new(options.world);
    let mut pipeline = begin(options, &world)?;
    let accidents = options.on_every_day.iter().filter(|accident| accident.is_in_the_log());
    let mut month = Month {
        days: options.days,
        held_back: Vec::new(),
        log_loss: 0.0,
        true_log_loss: 0.0,
        calibration: Vec::new(),
        noticed: accidents.map(|&accident| Noticed { accident, days: 0, noticed: 0 }).collect(),
    };
    let open = |path: &PathBuf| File::options().create(true).append(true).open(path);
    let mut figures = options.figures.as_ref().map(open).transpose()?;
    let mut write = |accident: Option<&str>, profile: &Profile, slices: &[SliceFigure]| -> io::Result<()> {
        let Some(file) = &mut figures else { return Ok(()) };
        let (seed, day, jumps) = (options.world.seed, &profile.day, &profile.jumps);
        let line = json!({ "seed": seed, "accident": accident, "day": day, "jumps": jumps, "slices": slices });
        writeln!(file, "{line}")
    };
    for number in 0..options.days {
        let day = DAYS_BEFORE + 1 + number;
        let rows = world.day(day);
        let log = pipeline.write_log(day, &world::csv_of(&rows))?;
        let served = pipeline.served_metrics(&log)?;
        month.log_loss += served.log_loss;
        month.true_log_loss += true_log_loss(&rows);
        month.calibration.extend(served.calibration_ratio);
        for noticed in month.noticed.iter_mut().filter(|_| number >= DAYS_BEFORE_NOTICING) {
            let text = noticed.accident.log(world.day(day), u64::from(day));
            let compared = pipeline.compare(&pipeline.write_other_log(&text)?);
            noticed.days += 1;
            noticed.noticed += u32::from(compared.as_ref().map_or(true, |profile| !profile.passed()));
            compared.map_or(Ok(()), |profile| write(Some(noticed.accident.name), &profile, &[]))?;
        }
        let compared = pipeline.compare(&log);
        if let Some(caught) = healthy_day(&mut pipeline, day, &log)? {
            month.held_back.push((number + 1, caught));
        }
        let slices = pipeline.take_slices();
        compared.map_or(Ok(()), |profile| write(None, &profile, &slices))?;
        watch(number + 1);
    }
    Ok(month)
}

/// The outcome of an accident.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The accident.
    pub accident: Accident,
    /// What noticed it, and on which of its days, from 1; `None` if a file that learned from it was published.
    pub caught: Option<(u32, Caught)>,
}

/// Simulates healthy days, then each of `accidents` on a copy of what they left. Calls `watch` with the number of
/// accidents so far.
///
/// # Errors
///
/// Returns an error as [`month`] does.
pub fn simulate_accidents(
    options: &MonthOptions,
    accidents: &[Accident],
    watch: &mut dyn FnMut(usize),
) -> Result<Vec<Outcome>, MonthError> {
    let world = World::new(options.world);
    let healthy = MonthOptions { folder: options.folder.join("healthy"), ..options.clone() };
    let mut pipeline = begin(&healthy, &world)?;
    for day in DAYS_BEFORE + 1..=DAYS_BEFORE + options.days {
        let log = pipeline.write_log(day, &world::csv_of(&world.day(day)))?;
        healthy_day(&mut pipeline, day, &log)?;
    }
    let first = DAYS_BEFORE + options.days + 1;
    let mut outcomes = Vec::new();
    for (index, &accident) in accidents.iter().enumerate() {
        let folder = options.folder.join(format!("accident-{index}"));
        copy_folder(&healthy.folder, &folder)?;
        let caught = accident_in(&mut pipeline.in_folder(&folder), &world, accident, first)?;
        fs::remove_dir_all(&folder)?;
        outcomes.push(Outcome { accident, caught });
        watch(index + 1);
    }
    Ok(outcomes)
}

/// Takes the steps of a healthy day. If the profile refuses it, people look, find nothing, and take the day.
fn healthy_day(pipeline: &mut Pipeline, day: u32, log: &Path) -> Result<Option<Caught>, MonthError> {
    let caught = pipeline.day(&Today::healthy(day, log))?;
    if caught.as_ref().is_some_and(|caught| caught.stage == Stage::Profile) {
        pipeline.accept(log)?;
        pipeline.day(&Today::healthy(day, log))?;
    }
    Ok(caught)
}

/// Trains the first model, and publishes it as the first of its store.
fn begin(options: &MonthOptions, world: &World) -> Result<Pipeline, MonthError> {
    let mut pipeline = Pipeline::new(&options.folder, options.with_times, options.verifier.clone())?;
    for day in 0..DAYS_BEFORE {
        pipeline.write_log(day, &world::csv_of(&world.day(day)))?;
    }
    let log = pipeline.write_log(DAYS_BEFORE, &world::csv_of(&world.day(DAYS_BEFORE)))?;
    pipeline.begin(DAYS_BEFORE, &log)?;
    Ok(pipeline)
}

fn accident_in(
    pipeline: &mut Pipeline,
    world: &World,
    accident: Accident,
    first: u32,
) -> Result<Option<(u32, Caught)>, MonthError> {
    if let Kind::Pipeline(mishap) = accident.kind {
        let text = match mishap {
            Mishap::SameLogAgain => world::csv_of(&world.day(first - 1)),
            _ => world::csv_of(&world.day(first)),
        };
        let log = pipeline.write_log(first, &text)?;
        let today = Today { mishap: Some(mishap), ..Today::healthy(first, &log) };
        return Ok(pipeline.day(&today)?.map(|caught| (1, caught)));
    }
    for number in 0..2 {
        let day = first + number;
        let log = pipeline.write_log(day, &accident.log(world.day(day), u64::from(day)))?;
        if let Some(caught) = pipeline.day(&Today::healthy(day, &log))? {
            return Ok(Some((number + 1, caught)));
        }
    }
    Ok(None)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
