//! Partitions by the hash of the prediction id, the join within each, and the merge of what they give.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use omomi::serving_log::{Basis, Currency, EventKind, Money, PredictionId};
use xxhash_rust::xxh3::xxh3_64;

use super::row::{put_money, take_money};
use super::{JoinReport, Writer, file_error};
use crate::serving_logs::attribution::{EventFact, Fate, Joined, Outcome, Rule, fate, outcome};
use crate::serving_logs::bytes::{Put, Take, read_record};
use crate::serving_logs::error::ServingLogError;

/// Most files that are open at a time. Common limits are 1,024.
const MAX_PARTITION_COUNT: u64 = 512;

const PREDICTION: u8 = 1;
const EVENT: u8 = 2;
const PREVIOUS: u8 = 3;
/// A prediction that cannot be a row: its events are not without a prediction.
const LEFT_OUT: u8 = 4;

/// Temporary files, each with the records of some ids.
pub(super) struct Partitions {
    files: Vec<(PathBuf, Writer)>,
    record: Vec<u8>,
}

impl Partitions {
    /// Creates as many files as it takes for each to have about `partition_len_bytes` of `len_bytes`.
    pub(super) fn create(folder: &Path, len_bytes: u64, partition_len_bytes: u64) -> Result<Self, ServingLogError> {
        let count = (len_bytes / partition_len_bytes.max(1) + 1).min(MAX_PARTITION_COUNT);
        let files = (0..count).map(|number| {
            let path = folder.join(format!("{number:03}.partition"));
            let file = File::create_new(&path).map_err(file_error("create the file", &path))?;
            Ok((path, BufWriter::with_capacity(1 << 16, file)))
        });
        Ok(Self { files: files.collect::<Result<_, ServingLogError>>()?, record: Vec::new() })
    }

    pub(super) fn add_prediction(&mut self, id: &PredictionId, row: &[u8]) -> Result<(), ServingLogError> {
        self.add(PREDICTION, id, |record| record.put(row))
    }

    pub(super) fn add_left_out(&mut self, id: &PredictionId) -> Result<(), ServingLogError> {
        self.add(LEFT_OUT, id, |_| ())
    }

    pub(super) fn add_event(
        &mut self,
        id: &PredictionId,
        kind: EventKind,
        at_unix_ms: i64,
        money: Option<Money>,
    ) -> Result<(), ServingLogError> {
        self.add(EVENT, id, |record| {
            record.put(&at_unix_ms.to_le_bytes());
            record.put(&[kind as u8]);
            put_money(money, record);
        })
    }

    pub(super) fn add_previous(&mut self, id: &PredictionId, joined: Joined) -> Result<(), ServingLogError> {
        self.add(PREVIOUS, id, |record| record.put(&[joined.won, joined.clicked, joined.converted].map(u8::from)))
    }

    fn add(&mut self, tag: u8, id: &PredictionId, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), ServingLogError> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.put(&[tag]);
        record.put(id.as_bytes());
        put(&mut record);
        // An id from another system need not be a hash.
        let place = xxh3_64(id.as_bytes()) % self.files.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "below the number of files")]
        let (path, writer) = &mut self.files[place as usize];
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let written = writer.write_all(&len.to_le_bytes()).and_then(|()| writer.write_all(&record));
        self.record = record;
        written.map_err(file_error("write the temporary file", path))
    }

    /// Joins each partition, and returns the runs of their rows.
    pub(super) fn join(self, rule: Rule, report: &mut JoinReport) -> Result<Vec<Run>, ServingLogError> {
        let mut paths = Vec::new();
        for (path, mut writer) in self.files {
            writer.flush().map_err(file_error("write the temporary file", &path))?;
            paths.push(path);
        }
        let mut runs = Vec::new();
        for path in paths {
            let failed = || file_error("read the temporary file", &path);
            let bytes = fs::read(&path).map_err(failed())?;
            fs::remove_file(&path).map_err(failed())?;
            let run = path.with_extension("run");
            if join_partition(&bytes, rule, report, &run).map_err(file_error("write the temporary file", &run))? {
                runs.push(Run { path: run });
            }
        }
        Ok(runs)
    }
}

fn unused(report: &mut JoinReport, reason: &'static str, count: u64) {
    if count > 0 {
        *report.unused_events.entry(reason).or_default() += count;
    }
}

/// A prediction of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prediction<'a> {
    id: [u8; PredictionId::LEN],
    at_unix_ms: i64,
    /// Writer, ring and number: where the record is.
    place: (u64, u32, u64),
    row: &'a [u8],
}

/// The records of a partition, each list sorted by id.
#[derive(Default)]
struct Contents<'a> {
    predictions: Vec<Prediction<'a>>,
    events: Vec<([u8; PredictionId::LEN], EventFact)>,
    previous: Vec<([u8; PredictionId::LEN], Joined)>,
    left_out: Vec<[u8; PredictionId::LEN]>,
}

impl<'a> Contents<'a> {
    fn read(bytes: &'a [u8]) -> io::Result<Self> {
        let mut contents = Self::default();
        let mut bytes = Take(bytes);
        while !bytes.0.is_empty() {
            let mut record = Take(bytes.bytes()?);
            let (tag, id) = (record.u8()?, record.array()?);
            match tag {
                PREDICTION => {
                    let at_unix_ms = record.i64()?;
                    let place = (record.u64()?, record.u32()?, record.u64()?);
                    contents.predictions.push(Prediction { id, at_unix_ms, place, row: record.0 });
                }
                EVENT => {
                    let (at_unix_ms, kind) = (record.i64()?, record.u8()?);
                    let money = money_of(take_money(&mut record)?);
                    let kind = EventKind::from_number(kind).ok_or_else(|| io::Error::other("another kind"))?;
                    contents.events.push((id, EventFact { kind, at_unix_ms, money }));
                }
                LEFT_OUT => contents.left_out.push(id),
                _ => {
                    let [won, clicked, converted] = record.array()?.map(|byte: u8| byte == 1);
                    contents.previous.push((id, Joined { won, clicked, converted }));
                }
            }
        }
        contents.predictions.sort_unstable();
        contents.events.sort_by_key(|(id, _)| *id);
        contents.previous.sort_by_key(|(id, _)| *id);
        contents.left_out.sort_unstable();
        Ok(contents)
    }
}

fn money_of(money: Option<(i64, u8, [u8; 3])>) -> Option<Money> {
    let (micros, basis, letters) = money?;
    let currency = Currency::new(str::from_utf8(&letters).ok()?).ok()?;
    Some(Money { micros, currency, basis: Basis::from_number(basis)? })
}

/// Takes those with this id from the front of a list sorted by id.
fn take_of<'l, T>(list: &mut &'l mut [T], id: [u8; PredictionId::LEN], id_of: impl Fn(&T) -> [u8; 16]) -> &'l mut [T] {
    let all = std::mem::take(list);
    let end = all.iter().position(|item| id_of(item) != id).unwrap_or(all.len());
    let (front, rest) = all.split_at_mut(end);
    *list = rest;
    front
}

/// Joins a partition, and writes its rows to `path`, sorted. Returns whether there are any.
fn join_partition(bytes: &[u8], rule: Rule, report: &mut JoinReport, path: &Path) -> io::Result<bool> {
    let mut contents = Contents::read(bytes)?;
    let (mut predictions, mut events) = (&mut contents.predictions[..], &mut contents.events[..]);
    let (mut previous, mut left_out) = (&mut contents.previous[..], &mut contents.left_out[..]);
    let mut rows: Vec<Joint<'_>> = Vec::new();
    loop {
        let fronts = [
            predictions.first().map(|prediction| prediction.id),
            events.first().map(|(id, _)| *id),
            previous.first().map(|(id, _)| *id),
            left_out.first().copied(),
        ];
        let Some(id) = fronts.into_iter().flatten().min() else { break };
        let own = take_of(&mut predictions, id, |prediction| prediction.id);
        let facts = take_of(&mut events, id, |(id, _)| *id);
        let earlier = take_of(&mut previous, id, |(id, _)| *id);
        let is_left_out = !take_of(&mut left_out, id, |id| *id).is_empty();
        let mut facts: Vec<EventFact> = facts.iter().map(|(_, fact)| *fact).collect();
        let event_count = facts.len() as u64;
        let Some((first, others)) = own.split_first() else {
            let reason = if is_left_out { "of predictions that were left out" } else { "without a prediction" };
            unused(report, reason, event_count);
            continue;
        };
        // A record that was read twice is one record.
        let mut kept = first.place;
        for other in others {
            let reason = if other.place == kept { "read twice" } else { "with the id of another" };
            kept = other.place;
            *report.left_out.entry(reason).or_default() += 1;
        }
        let earlier = earlier.iter().map(|(_, joined)| *joined).reduce(Joined::or);
        let (outcome, counts) = outcome(rule, first.at_unix_ms, &mut facts);
        let fate = fate(rule.is_open(first.at_unix_ms), earlier, &outcome);
        match fate {
            Fate::Waits => {
                *report.left_out.entry("whose window is open").or_default() += 1;
                unused(report, "of predictions whose window is open", event_count);
                continue;
            }
            Fate::Done => {
                *report.left_out.entry("joined by an earlier run").or_default() += 1;
                unused(report, "of predictions that an earlier run joined", event_count);
                continue;
            }
            Fate::New | Fate::Late => {}
        }
        report.counted_event_count += counts.counted;
        unused(report, "repeated", counts.repeated);
        unused(report, "before their prediction", counts.too_early);
        unused(report, "after the window", counts.too_late);
        report.late_count += u64::from(fate == Fate::Late);
        rows.push(Joint {
            at_unix_ms: first.at_unix_ms,
            id: PredictionId::from_bytes(id),
            is_late: fate == Fate::Late,
            outcome,
            row: Take(first.row),
        });
    }
    rows.sort_unstable_by_key(|row| (row.at_unix_ms, row.id));
    if rows.is_empty() {
        return Ok(false);
    }
    let mut writer = BufWriter::with_capacity(1 << 16, File::create_new(path)?);
    let mut record = Vec::new();
    for Joint { at_unix_ms, id, is_late, outcome, row } in rows {
        record.clear();
        record.put(&at_unix_ms.to_le_bytes());
        record.put(id.as_bytes());
        record.put(&[u8::from(is_late)]);
        // Most rows have no event.
        for event in [outcome.win, outcome.impression, outcome.click, outcome.conversion] {
            record.put(&[u8::from(event.is_some())]);
            if let Some((delay_ms, money)) = event {
                record.put(&delay_ms.to_le_bytes());
                put_money(money, &mut record);
            }
        }
        record.put(row.0);
        writer.write_all(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        writer.write_all(&record)?;
    }
    writer.flush()?;
    Ok(true)
}

/// Rows of a partition, sorted by time and id.
pub(super) struct Run {
    path: PathBuf,
}

/// A row of the output.
pub(in crate::serving_logs) struct Joint<'a> {
    pub(in crate::serving_logs) at_unix_ms: i64,
    pub(in crate::serving_logs) id: PredictionId,
    pub(in crate::serving_logs) is_late: bool,
    pub(in crate::serving_logs) outcome: Outcome,
    /// Facts and values.
    pub(in crate::serving_logs) row: Take<'a>,
}

/// Passes the rows of all runs to `visit`, by time and id.
pub(super) fn merge(
    runs: Vec<Run>,
    visit: &mut dyn FnMut(Joint<'_>) -> Result<(), ServingLogError>,
) -> Result<(), ServingLogError> {
    let mut readers = Vec::new();
    let mut heap = BinaryHeap::new();
    for (number, run) in runs.into_iter().enumerate() {
        let failed = || file_error("read the temporary file", &run.path);
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&run.path).map_err(failed())?);
        let mut record = Vec::new();
        if read_record(&mut reader, &mut record).map_err(failed())? {
            heap.push(Reverse((key_of(&record).map_err(failed())?, number)));
        }
        readers.push((run.path, reader, record));
    }
    while let Some(Reverse((_, number))) = heap.pop() {
        let (path, reader, record) = &mut readers[number];
        let failed = || file_error("read the temporary file", path);
        visit(joint_of(record).map_err(failed())?)?;
        if read_record(reader, record).map_err(failed())? {
            heap.push(Reverse((key_of(record).map_err(failed())?, number)));
        }
    }
    Ok(())
}

fn key_of(record: &[u8]) -> io::Result<(i64, [u8; 16])> {
    let mut record = Take(record);
    Ok((record.i64()?, record.array()?))
}

fn joint_of(record: &[u8]) -> io::Result<Joint<'_>> {
    let mut row = Take(record);
    let (at_unix_ms, id) = (row.i64()?, PredictionId::from_bytes(row.array()?));
    let is_late = row.u8()? == 1;
    let mut event = || {
        let is_some = row.u8()? == 1;
        Ok::<_, io::Error>(if is_some { Some((row.i64()?, money_of(take_money(&mut row)?))) } else { None })
    };
    let outcome = Outcome { win: event()?, impression: event()?, click: event()?, conversion: event()? };
    Ok(Joint { at_unix_ms, id, is_late, outcome, row })
}
