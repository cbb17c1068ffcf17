//! Accidents that happen to logs and pipelines, to see which step notices each of them.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::world::{FIELDS, LogRow, csv_of};

/// An accident.
#[derive(Debug, Clone, Copy)]
pub struct Accident {
    /// What happened, in a few words.
    pub name: &'static str,
    /// Whether it makes models worse or logs wrong. The others are healthy changes that may pass.
    pub is_harmful: bool,
    pub(super) kind: Kind,
}

/// Where an accident happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// In the rows of a day and of all days after it.
    Rows(fn(&mut Vec<LogRow>, &mut Pcg64Mcg)),
    /// In the text of the log of a day and of all days after it.
    Text(fn(String) -> String),
    /// In the pipeline, on healthy logs.
    Pipeline(Mishap),
}

/// A mistake of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The log of the day before comes again, under a new name, to profile and to evaluate.
    SameLogAgain,
    /// The log of the day before is learned again.
    LearnedTwice,
    /// Training failed, and the state of the day before is packed again.
    Stuck,
    /// The file that is served is judged again.
    ServedFileAgain,
    /// The directory of the store is empty.
    StoreLost,
    /// The directory of the store is empty, and the pipeline passes `--first`.
    FirstAlthoughServed,
    /// The candidate was learned 20 times from the evaluation day.
    EvaluationLearned,
    /// The candidate was recalibrated on the evaluation day.
    EvaluationRecalibrated,
    /// The evaluation has a hundredth of the rows.
    SmallEvaluation,
    /// The candidate is compared with an old file that is worse than the served one.
    OldBaseline,
    /// Another file was published between gate and publication.
    OvertakenPublication,
    /// The candidate was trained from nothing, on a hundredth of a day.
    FewTrainingRows,
    /// The learning rate was mistyped, in a training from nothing.
    WildLearningRate,
    /// The learning rate was mistyped, in a training that goes on.
    OtherLearningRate,
}

const fn rows(name: &'static str, change: fn(&mut Vec<LogRow>, &mut Pcg64Mcg)) -> Accident {
    Accident { name, is_harmful: true, kind: Kind::Rows(change) }
}

const fn text(name: &'static str, change: fn(String) -> String) -> Accident {
    Accident { name, is_harmful: true, kind: Kind::Text(change) }
}

const fn pipeline(name: &'static str, mishap: Mishap) -> Accident {
    Accident { name, is_harmful: true, kind: Kind::Pipeline(mishap) }
}

const fn harmless(accident: Accident) -> Accident {
    Accident { is_harmful: false, ..accident }
}

/// All accidents.
pub const ACCIDENTS: &[Accident] = &[
    rows("labels flipped", |rows, _| rows.iter_mut().for_each(|row| row.clicked = !row.clicked)),
    rows("a tenth of the labels flipped", |rows, random| flip(rows, 0.1, random)),
    rows("all labels 0", |rows, _| rows.iter_mut().for_each(|row| row.clicked = false)),
    rows("all labels 1", |rows, _| rows.iter_mut().for_each(|row| row.clicked = true)),
    rows("half a day", |rows, _| rows.truncate(rows.len() / 2)),
    rows("every second row lost", |rows, random| rows.retain(|_| random.random_range(0.0..1.0) < 0.5)),
    rows("nine of ten rows lost", |rows, random| rows.retain(|_| random.random_range(0.0..1.0) < 0.1)),
    rows("a fifth of the negatives lost", |rows, random| {
        rows.retain(|row| row.clicked || random.random_range(0.0..1.0) > 0.2);
    }),
    rows("half of the negatives lost", |rows, random| {
        rows.retain(|row| row.clicked || random.random_range(0.0..1.0) > 0.5);
    }),
    rows("a fifth of the clicks lost", |rows, random| {
        rows.iter_mut().for_each(|row| row.clicked &= random.random_range(0.0..1.0) > 0.2);
    }),
    rows("clicks of the largest country lost", |rows, _| {
        rows.iter_mut().for_each(|row| row.clicked &= cell(row, "country") != "US");
    }),
    rows("clicks of the last six hours not joined yet", |rows, _| {
        let start = rows.len() * 3 / 4;
        rows[start..].iter_mut().for_each(|row| row.clicked = false);
    }),
    rows("2 % bots that always click", |rows, random| {
        rows.iter_mut().for_each(|row| row.clicked |= random.random_range(0.0..1.0) < 0.02);
    }),
    rows("a bot of one user, 5 % of the rows", |rows, random| {
        for row in rows.iter_mut().filter(|_| random.random_range(0.0..1.0) < 0.05) {
            set(row, "user_id", "999999999");
            row.clicked = true;
        }
    }),
    rows("a field that leaks the label", |rows, _| {
        for row in rows {
            let leak = if row.clicked { "s1" } else { "s2" };
            set(row, "segment", leak);
        }
    }),
    rows("a number that leaks the label", |rows, _| {
        for row in rows {
            let leak = if row.clicked { "500" } else { "5" };
            set(row, "floor_price", leak);
        }
    }),
    rows("a column constant", |rows, _| rows.iter_mut().for_each(|row| set(row, "format", "image"))),
    rows("the largest column constant", |rows, _| rows.iter_mut().for_each(|row| set(row, "site_id", "7"))),
    rows("prices in another unit", |rows, _| rows.iter_mut().for_each(|row| scale(row, "floor_price", 100.0))),
    rows("prices by another exchange rate", |rows, _| rows.iter_mut().for_each(|row| scale(row, "floor_price", 7.5))),
    rows("seconds as milliseconds", |rows, _| rows.iter_mut().for_each(|row| scale(row, "session_seconds", 1_000.0))),
    rows("negative numbers", |rows, _| rows.iter_mut().for_each(|row| scale(row, "session_seconds", -1.0))),
    rows("ids of creatives shifted by one", |rows, _| rows.iter_mut().for_each(|row| shift(row, "creative_id", 1))),
    rows("ids of sites shifted by one", |rows, _| rows.iter_mut().for_each(|row| shift(row, "site_id", 1))),
    rows("ids of campaigns shifted by one", |rows, _| rows.iter_mut().for_each(|row| shift(row, "campaign_id", 1))),
    rows("`US` as `us`", |rows, _| {
        for row in rows {
            let small = cell(row, "country").to_lowercase();
            set(row, "country", &small);
        }
    }),
    rows("a space after each format", |rows, _| {
        for row in rows {
            let longer = format!("{} ", cell(row, "format"));
            set(row, "format", &longer);
        }
    }),
    rows("columns swapped: site and advertiser", |rows, _| {
        rows.iter_mut().for_each(|row| row.cells.swap(at("site_id"), at("advertiser_id")));
    }),
    rows("columns swapped: device and os", |rows, _| {
        rows.iter_mut().for_each(|row| row.cells.swap(at("device"), at("os")));
    }),
    rows("users rehashed", |rows, _| {
        for row in rows.iter_mut().filter(|row| !cell(row, "user_id").is_empty()) {
            let id: u64 = cell(row, "user_id").parse().unwrap_or(0);
            set(row, "user_id", &(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2).to_string());
        }
    }),
    rows("a column null", |rows, _| rows.iter_mut().for_each(|row| set(row, "country", ""))),
    rows("half of a column null", |rows, random| {
        rows.iter_mut().filter(|_| random.random_range(0.0..1.0) < 0.5).for_each(|row| set(row, "advertiser_id", ""));
    }),
    rows("all columns of candidates null", |rows, _| {
        for row in rows {
            for name in ["creative_id", "campaign_id", "advertiser_id", "format", "category"] {
                set(row, name, "");
            }
        }
    }),
    rows("ids cut to 8 bits", |rows, _| {
        for row in rows {
            let id: u64 = cell(row, "creative_id").parse().unwrap_or(0);
            set(row, "creative_id", &(id % 256).to_string());
        }
    }),
    rows("every row twice", |rows, _| *rows = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect()),
    rows("rows of one exchange lost", |rows, _| rows.retain(|row| cell(row, "exchange") != "alpha")),
    rows("rows in order of the label", |rows, _| rows.sort_by_key(|row| row.clicked)),
    rows("labels of another row", |rows, _| {
        let labels: Vec<bool> = rows.iter().map(|row| row.clicked).collect();
        let count = rows.len();
        rows.iter_mut().zip(labels.iter().cycle().skip(count / 2)).for_each(|(row, &label)| row.clicked = label);
    }),
    rows("times in the future", |rows, _| rows.iter_mut().for_each(|row| row.time_us += 3_653 * 86_400_000_000)),
    rows("times before 2000", |rows, _| rows.iter_mut().for_each(|row| row.time_us -= 36_530 * 86_400_000_000)),
    text("no header", |text| text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default()),
    text("the last line cut", |mut text| {
        text.truncate(text.len() - 30);
        text
    }),
    text("an empty log", |text| text.lines().next().unwrap_or_default().to_owned() + "\n"),
    text("a column renamed", |text| text.replacen("country", "geo", 1)),
    pipeline("the log of a day again", Mishap::SameLogAgain),
    pipeline("a day learned twice", Mishap::LearnedTwice),
    pipeline("a stuck pipeline", Mishap::Stuck),
    pipeline("the served file again", Mishap::ServedFileAgain),
    pipeline("a lost store", Mishap::StoreLost),
    pipeline("--first, although the store serves", Mishap::FirstAlthoughServed),
    pipeline("20 passes over the evaluation day", Mishap::EvaluationLearned),
    pipeline("recalibrated on the evaluation day", Mishap::EvaluationRecalibrated),
    pipeline("a small evaluation", Mishap::SmallEvaluation),
    pipeline("an old baseline", Mishap::OldBaseline),
    pipeline("another file published meanwhile", Mishap::OvertakenPublication),
    pipeline("trained from nothing on few rows", Mishap::FewTrainingRows),
    pipeline("alpha of 5 instead of 0.2", Mishap::WildLearningRate),
    pipeline("alpha of 0.5 in a run that goes on", Mishap::OtherLearningRate),
    harmless(rows("times in milliseconds", |rows, _| rows.iter_mut().for_each(|row| row.time_us /= 1_000))),
    harmless(rows("rows in another order", |rows, random| {
        for index in (1..rows.len()).rev() {
            rows.swap(index, random.random_range(0..=index));
        }
    })),
    harmless(rows("a tenth of the rows lost", |rows, random| rows.retain(|_| random.random_range(0.0..1.0) > 0.1))),
];

impl Accident {
    /// Returns whether it happens to logs, not to the pipeline.
    pub(super) const fn is_in_the_log(&self) -> bool {
        !matches!(self.kind, Kind::Pipeline(_))
    }

    /// Returns the text of the log of a day on which the accident is in force.
    pub(super) fn log(&self, mut day: Vec<LogRow>, seed: u64) -> String {
        match self.kind {
            Kind::Rows(change) => {
                change(&mut day, &mut Pcg64Mcg::seed_from_u64(seed));
                csv_of(&day)
            }
            Kind::Text(change) => change(csv_of(&day)),
            Kind::Pipeline(_) => csv_of(&day),
        }
    }
}

fn at(name: &str) -> usize {
    FIELDS.iter().position(|field| *field == name).unwrap_or_else(|| unreachable!("a field of the contract"))
}

fn cell<'a>(row: &'a LogRow, name: &str) -> &'a str {
    &row.cells[at(name)]
}

fn set(row: &mut LogRow, name: &str, text: &str) {
    text.clone_into(&mut row.cells[at(name)]);
}

fn scale(row: &mut LogRow, name: &str, factor: f64) {
    if let Ok(number) = cell(row, name).parse::<f64>() {
        set(row, name, &format!("{:.2}", number * factor));
    }
}

fn shift(row: &mut LogRow, name: &str, by: u64) {
    if let Ok(id) = cell(row, name).parse::<u64>() {
        set(row, name, &(id + by).to_string());
    }
}

fn flip(rows: &mut [LogRow], share: f64, random: &mut Pcg64Mcg) {
    rows.iter_mut().for_each(|row| row.clicked ^= random.random_range(0.0..1.0) < share);
}
