//! The kernel: scores a request in three steps, each over many candidates together, so that the batches of look-ups are
//! long enough for prefetches to hide the latency of memory.
//!
//! Once per request, the kernel makes the context's feature keys ([`context`]) and each model's sum over them. Then it
//! processes the candidates chunk by chunk. Rows become columns of feature keys, once for all models ([`columns`]).
//! Each model looks up its columns in one call, adds them in contract order, and turns logits into probabilities
//! ([`answers`]). Prepared candidates skip the rows: their sums and keys were computed when they were put into their
//! set.
//!
//! The order of additions is the one that `FORMAT.md` (5) defines, so the results are bit for bit those of the plain
//! twin.

mod answers;
mod columns;
mod context;
mod crosses;
mod prepared;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Model;
use super::block::Block;
use super::candidate_set::{CandidateSet, Contents, Prepared};
use super::counts::{PackedCounts, RequestCounts, RunningCounts};
use super::plan::{Column, KeyPlan, Needed, Plan, Use};
use super::request::Answer;
use crate::error::{Error, RowProblem};
use crate::instructions::{Instructions, Set};
use crate::memory::{Lanes, array};
use crate::request::{CandidateStatus, Candidates, MAX_MODELS};
use crate::weight_file::DefaultWeights;
use crate::weight_file::table::Table;
use columns::Columns;
use context::Context;
use crosses::Stream;

/// Number of candidates in a chunk. Their keys stay in the first-level cache, and the time limit is checked once per
/// chunk.
pub(super) const CHUNK: usize = 256;

/// Largest number of candidates in a short request, in which there is nothing to do while a look-up waits for memory.
const SHORT: usize = 8;

/// One bit for each candidate of a chunk.
type Bits = [u64; CHUNK / 64];

/// Calls `each` with the index of every bit that is set.
fn each_place(bits: &Bits, mut each: impl FnMut(usize)) {
    for (index, &word) in bits.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            each(index * 64 + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}

/// Multiplies weights by `scale`, and replaces NaN by `unseen`.
#[inline(always)]
fn fill_in_unseen(weights: &mut [f32], scale: f32, unseen: f32) {
    for weight in weights {
        *weight = if weight.is_nan() { unseen } else { *weight * scale };
    }
}

fn ones(bits: &Bits) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

fn set(bits: &mut Bits, place: usize) {
    bits[place / 64] |= 1 << (place % 64);
}

fn is_set(bits: &Bits, place: usize) -> bool {
    bits[place / 64] >> (place % 64) & 1 == 1
}

/// Returns the number of candidates in a chunk of a scorer. A chunk of prepared candidates must have room for as many
/// values as each candidate may have.
pub(super) fn chunk(keys: &KeyPlan, set: Option<&CandidateSet>) -> usize {
    match set {
        Some(set) if keys.many_column_count > 0 => CHUNK.min(columns::MANY_CAPACITY / set.values_per_field().max(1)),
        _ => CHUNK,
    }
}

/// One of the models of a scorer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) model: Arc<Model>,
    pub(super) plan: Plan,
    /// The set's candidates, prepared for this model, if the layout names candidates by index.
    prepared: Option<Arc<Prepared>>,
    /// The candidate fields whose keys mixed crosses need of prepared candidates, and their columns.
    needed: Needed,
    /// Whether the table has a weight for [`columns::ABSENT_KEY`], the key in place of an absent one.
    finds_absent: bool,
}

impl Part {
    /// Creates the part of a model of `keys`, with its plan.
    pub(super) fn new(keys: &KeyPlan, model: Arc<Model>, plan: Plan, prepared: Option<Arc<Prepared>>) -> Self {
        let needed = keys.needed(&plan);
        let finds_absent = model.table().get(columns::ABSENT_KEY).is_some();
        Self { model, plan, prepared, needed, finds_absent }
    }
}

/// The working memory of scoring, allocated once with a scorer.
#[derive(Debug)]
pub(super) struct Scratch {
    context: Context,
    columns: Columns,
    stream: Stream,
    sums: Sums,
    /// One entry per result of a request. Shadows come after the scorer's own models.
    running: Vec<Running>,
}

/// Sums of a chunk's candidates for one model.
#[derive(Debug)]
struct Sums {
    own: Lanes<f64, CHUNK>,
    crossed: Lanes<f64, CHUNK>,
    /// Two intermediate results of the sigmoid.
    shifted: Lanes<f64, CHUNK>,
    exps: Lanes<f64, CHUNK>,
    /// The second words of the answers: status and probability.
    others: Lanes<u64, CHUNK>,
}

impl Sums {
    fn new() -> Result<Self, Error> {
        let zeros = || array(0.0, OF_SCORER);
        Ok(Self { own: zeros()?, crossed: zeros()?, shifted: zeros()?, exps: zeros()?, others: array(0, OF_SCORER)? })
    }
}

/// What needs the memory that is allocated with a scorer. All of it is on the heap, for threads with a small stack.
const OF_SCORER: &str = "a scorer";

/// The state of a model between the chunks of one request.
#[derive(Debug, Default, Clone, Copy)]
struct Running {
    /// The bias plus the sum over the context.
    start: f64,
    counts: RunningCounts,
}

impl Scratch {
    pub(super) fn new(keys: &KeyPlan) -> Result<Self, Error> {
        Ok(Self {
            context: Context::new(keys)?,
            columns: Columns::new(keys)?,
            stream: Stream::new()?,
            sums: Sums::new()?,
            running: vec![Running::default(); MAX_MODELS],
        })
    }
}

/// The inputs that stay constant during a request.
pub(super) struct Job<'a> {
    pub(super) keys: &'a KeyPlan,
    pub(super) parts: &'a [Part],
    pub(super) shadows: &'a [Option<Shadow<'a>>],
    pub(super) instructions: Instructions,
    pub(super) block: &'a Block<'a>,
    pub(super) candidates: Candidates,
    /// Number of candidates that are asked for. Those that the request did not begin are refused.
    pub(super) asked_count: usize,
    /// Number of candidates among them that the request has begun.
    pub(super) candidate_count: usize,
    /// Number of candidates in a chunk, at most [`CHUNK`].
    pub(super) chunk: usize,
    pub(super) time_limit: Option<TimeLimit>,
}

/// The model of another scorer, which scores each chunk after the scorer's own models, with the keys that they made,
/// for as long as its time lasts. At most [`MAX_MODELS`] with the scorer's own ones.
pub(crate) struct Shadow<'a> {
    part: &'a Part,
    /// Which result of the request it gives.
    result: usize,
    time_limit: Option<TimeLimit>,
    /// Number of candidates that it has reached.
    reached: Cell<usize>,
    took: Cell<Duration>,
    counts: Cell<RequestCounts>,
}

impl<'a> Shadow<'a> {
    pub(super) fn new(part: &'a Part, result: usize, time_limit: Option<TimeLimit>) -> Self {
        Self {
            part,
            result,
            time_limit,
            reached: Cell::new(0),
            took: Cell::new(Duration::ZERO),
            counts: Cell::new(RequestCounts::default()),
        }
    }

    /// Returns when the scoring of a chunk begins, or nothing if the time is up.
    fn begin(&self, first: usize) -> Option<Instant> {
        let is_late = self.reached.get() < first || self.time_limit.is_some_and(TimeLimit::is_up);
        (!is_late).then(Instant::now)
    }

    fn end(&self, began: Instant, reached: usize) {
        self.reached.set(reached);
        self.took.set(self.took.get() + began.elapsed());
    }

    /// Returns the time that it took.
    pub(crate) const fn took(&self) -> Duration {
        self.took.get()
    }

    /// Returns what it counted.
    pub(crate) const fn counts(&self) -> RequestCounts {
        self.counts.get()
    }
}

/// The time limit of a request.
#[derive(Clone, Copy)]
pub(crate) struct TimeLimit {
    pub(crate) started: Instant,
    pub(crate) budget: Duration,
}

impl TimeLimit {
    pub(super) fn starting_now(budget: Duration) -> Self {
        Self { started: Instant::now(), budget }
    }

    fn is_up(self) -> bool {
        self.started.elapsed() >= self.budget
    }
}

/// A model that scores a chunk.
struct Work<'a> {
    job: &'a Job<'a>,
    part: &'a Part,
    /// Which result of the request it gives.
    result: usize,
    /// Set if it is no model of the scorer.
    shadow: Option<&'a Shadow<'a>>,
    table: &'a Table<'a>,
    /// What fields add where the table has no weight, in contract order; empty if they add nothing.
    defaults: &'a [DefaultWeights],
}

/// Scores a request and returns the counts of the first model.
pub(super) fn predict(job: &Job<'_>, scratch: &mut Scratch) -> Result<RequestCounts, Error> {
    match job.instructions.set() {
        Set::Plain => predict_with(job, scratch),
        // Every aarch64 target of the compiler enables NEON anyway.
        #[cfg(target_arch = "aarch64")]
        Set::Neon => predict_with(job, scratch),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Instructions` holds this set only if the processor has it.
        Set::Avx2 => unsafe { predict_avx2(job, scratch) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Set::Avx512 => unsafe { predict_avx512(job, scratch) },
    }
}

/// Runs [`predict_with`], compiled for wider registers: column sums and sigmoids are loops that the compiler turns into
/// vector code. This changes no bit, because the compiler never reorders or fuses floating-point operations.
///
/// # Safety
///
/// The processor has AVX2, BMI1, BMI2 and POPCNT.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
unsafe fn predict_avx2(job: &Job<'_>, scratch: &mut Scratch) -> Result<RequestCounts, Error> {
    predict_with(job, scratch)
}

/// Runs [`predict_with`], compiled for the widest registers. A 64-bit product, of which a feature key takes two, is one
/// instruction here.
///
/// # Safety
///
/// The processor has AVX-512 F, VL, BW and DQ, AVX2, BMI1, BMI2 and POPCNT.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,bmi1,bmi2,popcnt")]
unsafe fn predict_avx512(job: &Job<'_>, scratch: &mut Scratch) -> Result<RequestCounts, Error> {
    predict_with(job, scratch)
}

#[inline(always)]
fn predict_with(job: &Job<'_>, scratch: &mut Scratch) -> Result<RequestCounts, Error> {
    let Scratch { context, columns, stream, sums, running } = scratch;
    // A short request has no other work while it waits for memory, so it prefetches everything first.
    let is_short = job.candidate_count <= SHORT;
    context.read(job)?;
    context.start_crosses(job.keys);
    let mut tables = [None; MAX_MODELS];
    let models = || {
        let own = job.parts.iter().enumerate().map(|(result, part)| (part, result, None));
        own.chain(job.shadows.iter().flatten().map(|shadow| (shadow.part, shadow.result, Some(shadow))))
    };
    for ((part, _, _), table) in models().zip(&mut tables) {
        let table = table.insert(part.model.table());
        if is_short {
            context.prefetch(table);
        }
    }
    let works = || {
        models().zip(tables.iter().flatten()).map(|((part, result, shadow), table)| {
            let defaults = part.model.default_weights();
            Work { job, part, result, shadow, table, defaults }
        })
    };
    let mut first = 0;
    loop {
        let left_count = job.candidate_count - first;
        let is_late = left_count > 0 && job.time_limit.is_some_and(TimeLimit::is_up);
        let wanted = if is_late { 0 } else { job.chunk.min(left_count) };
        if wanted == 0 && first > 0 {
            break;
        }
        match job.candidates {
            Candidates::Inline => {
                columns.read_rows(job, first, wanted);
                for cross in 0..job.keys.crosses.len() {
                    columns.make_cross_keys(job.keys, cross, context);
                }
            }
            Candidates::Prepared => columns.begin(wanted),
        }
        if is_short && job.candidates == Candidates::Inline {
            for work in works() {
                columns.prefetch(work.table);
            }
        }
        // This comes after the first rows: while they were read, memory fetched the prefetched lines.
        if first == 0 {
            for (work, running) in works().zip(running.iter_mut()) {
                if let Some(prepared) = &work.part.prepared
                    && let Contents::Records(records) = prepared.contents()
                {
                    prepared::prefetch(records, job.block.candidate_indices(0, wanted));
                }
                let mut counts = RunningCounts::default();
                let sum = context.sum(&work, &mut counts);
                let start = work.part.model.bias() + stream.add_context_crosses(&work, context, sum);
                *running = Running { start, counts };
            }
        }
        // There are no candidates, or none within the time limit.
        if wanted == 0 {
            break;
        }
        for (work, running) in works().zip(running.iter_mut()) {
            let began = work.shadow.and_then(|shadow| shadow.begin(first));
            if work.shadow.is_some() && began.is_none() {
                continue;
            }
            match &work.part.prepared {
                Some(prepared) => {
                    work.score_prepared(prepared, first, wanted, context, columns, stream, sums, running);
                }
                None => work.score_rows(first, context, columns, stream, sums, running),
            }
            if let (Some(shadow), Some(began)) = (work.shadow, began) {
                shadow.end(began, first + columns.count());
            }
        }
        first += columns.count();
    }
    let mut first_counts = RequestCounts::default();
    for ((part, result, shadow), running) in models().zip(running) {
        let reached = shadow.map_or(first, |shadow| shadow.reached.get());
        for index in reached..job.candidate_count {
            job.block.write_answer(result, index, Answer::without_probability(CandidateStatus::Late));
        }
        running.counts.late_count = (job.candidate_count - reached) as u64;
        for index in job.candidate_count..job.asked_count {
            job.block.write_answer(result, index, Answer::refused(RowProblem::NotFilled));
        }
        running.counts.refused_count += (job.asked_count - job.candidate_count) as u64;
        let counts = RequestCounts::from(running.counts);
        job.block.write_outcome(result, part.model.generation(), counts);
        match shadow {
            Some(shadow) => shadow.counts.set(counts),
            None if result == 0 => first_counts = counts,
            None => {}
        }
    }
    job.block.note_answers(job.asked_count);
    Ok(first_counts)
}

impl Work<'_> {
    /// Looks up keys of fields and returns how many have a weight. If the file has default weights, NaN marks keys
    /// without one, which must be filled in.
    #[inline(always)]
    fn gather_fields(&self, keys: &[u64], weights: &mut [f32]) -> usize {
        if self.defaults.is_empty() {
            self.table.gather(self.job.instructions, keys, weights)
        } else {
            self.table.gather_marked(self.job.instructions, keys, weights)
        }
    }

    /// Returns the default weights of a field of the model's contract.
    #[inline]
    fn default_weights(&self, field: usize) -> DefaultWeights {
        self.defaults.get(field).copied().unwrap_or_default()
    }

    /// Scores the chunk whose rows have been read.
    #[inline(always)]
    fn score_rows(
        &self,
        first: usize,
        context: &Context,
        columns: &mut Columns,
        stream: &mut Stream,
        sums: &mut Sums,
        running: &mut Running,
    ) {
        let count = columns.count();
        let plan = &self.part.plan;
        let refused = columns.refused(plan);
        columns.look_up_fields(self, &refused, running);
        sums.own[..count].fill(0.0);
        let has_defaults = !self.defaults.is_empty();
        for field in &plan.candidate {
            // Weights that were filled in are scaled already.
            let scale = if has_defaults { 1.0 } else { self.table.scale(field.group) };
            match self.job.keys.field_columns[field.index] {
                Column::Single(column) => columns.add(column, scale, &mut sums.own),
                Column::Many(column) if has_defaults => {
                    columns.add_many_or(column, self.default_weights(field.group).missing, &mut sums.own);
                }
                Column::Many(column) => columns.add_many(column, scale, &mut sums.own),
            }
        }
        self.add_crosses(&plan.candidate_crosses, &plan.candidate_cross_runs, context, columns, stream, &mut sums.own);
        let is_crossed = !plan.mixed_crosses.is_empty();
        if is_crossed {
            sums.crossed[..count].fill(0.0);
            self.add_crosses(&plan.mixed_crosses, &plan.mixed_cross_runs, context, columns, stream, &mut sums.crossed);
        }
        let refused_count = ones(&refused);
        running.counts.refused_count += refused_count;
        running.counts.scored_count += count as u64 - refused_count;
        let answers = self.job.block.answers(self.result, first, count);
        answers::write(running.start, sums, is_crossed, self.part.model.calibrator(), answers);
        if refused_count > 0 {
            each_place(&refused, |place| {
                if let Some(problem) = columns.problem(plan, place) {
                    self.job.block.write_answer(self.result, first + place, Answer::refused(problem));
                }
            });
        }
    }

    /// Scores a chunk of candidates that are named by index.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the parts of the scratch memory, borrowed one by one")]
    fn score_prepared(
        &self,
        prepared: &Prepared,
        first: usize,
        count: usize,
        context: &Context,
        columns: &mut Columns,
        stream: &mut Stream,
        sums: &mut Sums,
        running: &mut Running,
    ) {
        let plan = &self.part.plan;
        let indices = self.job.block.candidate_indices(first, count);
        columns.begin(count);
        let answers = self.job.block.answers(self.result, first, count);
        let calibrator = self.part.model.calibrator();
        let mut counts = PackedCounts::default();
        let has_gaps = match prepared.contents() {
            // Every cross with the context needs a key of the candidate, so here there are no such crosses.
            Contents::Sums(prepared_sums) => {
                prepared_sums.read(indices, &mut sums.own[..count], &mut counts);
                answers::write(running.start, sums, false, calibrator, answers)
            }
            Contents::Records(records) => {
                let indices = self.job.block.candidate_indices(first, self.job.candidate_count - first);
                columns.read_records(&self.part.needed, prepared, records, indices, &mut sums.own, &mut counts);
                sums.crossed[..count].fill(0.0);
                for cross in &plan.mixed_crosses {
                    columns.make_cross_keys(self.job.keys, cross.index, context);
                }
                self.add_crosses(
                    &plan.mixed_crosses,
                    &plan.mixed_cross_runs,
                    context,
                    columns,
                    stream,
                    &mut sums.crossed,
                );
                answers::write(running.start, sums, true, calibrator, answers)
            }
        };
        counts.add_to(&mut running.counts);
        // A candidate that does not exist shows in the sums, which are logits by now.
        let mut refused_count = 0;
        if has_gaps {
            for (place, sum) in sums.own[..count].iter().enumerate() {
                if sum.is_nan() {
                    refused_count += 1;
                    let problem = self.job.block.problem_of_name(first + place);
                    self.job.block.write_answer(self.result, first + place, Answer::refused(problem));
                }
            }
        }
        running.counts.refused_count += refused_count;
        running.counts.scored_count += count as u64 - refused_count;
    }

    /// Looks up the crosses and adds them in contract order.
    #[inline(always)]
    fn add_crosses(
        &self,
        crosses: &[Use],
        runs: &[Range<usize>],
        context: &Context,
        columns: &mut Columns,
        stream: &mut Stream,
        sums: &mut [f64; CHUNK],
    ) {
        columns.look_up_crosses(self, runs);
        for cross in crosses {
            if !context.has_members_of(cross.index) {
                continue;
            }
            let scale = self.table.scale(cross.group);
            match self.job.keys.cross_columns[cross.index] {
                Some(column) => columns.add(column, scale, sums),
                None => stream.add_cross(self, &self.job.keys.crosses[cross.index], scale, context, columns, sums),
            }
        }
    }
}
