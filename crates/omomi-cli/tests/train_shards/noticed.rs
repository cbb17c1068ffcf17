//! What all shards together notice about the logs is what one process notices: fields that vanish from one file to the
//! next, fields without any value, and values that the start state has not seen.

use std::fs;
use std::path::PathBuf;

use omomi::contract::Contract;
use omomi_train::learn::shards::{ShardsAccount, Split, TrainShardsError, TrainShardsOptions, train_shards};
use omomi_train::learn::{Account, Sampling, Settings, StartOptions, TrainOptions, train};

use crate::fixture::OMOMI;

const CONTRACT: &str = r#"name = "noticed"
label = "clicked"
[[field]]
name = "site"
side = "context"
type = "text"
meaning = "where"
[[field]]
name = "creative"
side = "candidate"
type = "id"
meaning = "which"
"#;

const ROW_COUNT: usize = 150;

struct Logs(tempfile::TempDir);

impl Logs {
    /// Writes one file of JSON lines for each function, which makes the rows from their numbers.
    fn new(files: &[fn(usize) -> String]) -> Self {
        let logs = Self(tempfile::tempdir().unwrap());
        fs::write(logs.path("contract.toml"), CONTRACT).unwrap();
        logs.write("day", files);
        logs
    }

    fn write(&self, name: &str, files: &[fn(usize) -> String]) {
        for (file, row) in files.iter().enumerate() {
            let rows = (0..ROW_COUNT).map(|number| row(number + file) + "\n").collect::<String>();
            fs::write(self.path(&format!("{name}-{file}.jsonl")), rows).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn contract(&self) -> Contract {
        omomi_train::toml::parse_contract(CONTRACT).unwrap()
    }

    fn options(&self, name: &str) -> TrainOptions {
        TrainOptions::new([self.path(&format!("{name}-*.jsonl")).display().to_string()], self.path("state.parquet"))
            .with(|it| {
                it.settings = Settings { l1: 0.0, ..Settings::default() };
                it.replace = true;
                it.again = true;
            })
    }

    fn train(&self, options: &TrainOptions) -> Account {
        train(&self.contract(), options, &mut |_| ()).unwrap()
    }

    fn train_shards(&self, train: TrainOptions, split: Split) -> Result<ShardsAccount, TrainShardsError> {
        let train = train.with(|it| it.state = self.path("merged.parquet"));
        let mut options = TrainShardsOptions::new(train, self.path("contract.toml"), 3, OMOMI);
        options.split = split;
        options.process_count = 2;
        options.retry_count = 0;
        options.round_count = 1;
        options.allow_uneven = true;
        options.work_dir = self.path("work");
        train_shards(&self.contract(), &options, &mut |_| ())
    }
}

fn good(number: usize) -> String {
    format!(
        r#"{{"site":"site-{}","creative":{},"clicked":{}}}"#,
        number % 7,
        number % 11,
        u8::from(number.is_multiple_of(4))
    )
}

fn renamed(number: usize) -> String {
    good(number).replace("site\":\"", "sight\":\"")
}

fn in_capitals(number: usize) -> String {
    good(number).replace("\"site-", "\"SITE-")
}

fn without_site(number: usize) -> String {
    good(number).replace(&format!("\"site\":\"site-{}\",", number % 7), "")
}

fn warnings(account: &Account) -> Vec<String> {
    let warnings = account.warnings.iter().map(ToString::to_string);
    warnings.chain(account.unseen_warnings.iter().cloned()).collect()
}

/// Each process saw only its own files, so that with one file for each process none noticed anything.
#[test]
fn a_field_that_vanishes_between_the_files_of_different_shards_is_told_as_by_one_process() {
    for (files, place) in [
        (&[good as fn(usize) -> String, good, good, renamed, renamed, renamed][..], "day-3.jsonl"),
        (&[good, good, without_site], "day-2.jsonl"),
        (&[without_site, good, good], "day-1.jsonl"),
    ] {
        let logs = Logs::new(files);
        let expected = warnings(&logs.train(&logs.options("day")));
        assert_eq!(expected.len(), 1, "{expected:?}");
        assert!(expected[0].contains(place) && expected[0].contains("column `site` is missing in"), "{expected:?}");
        for split in [Split::File, Split::Random] {
            let _ = fs::remove_dir_all(logs.path("work"));
            let account = logs.train_shards(logs.options("day"), split.clone()).unwrap();
            assert_eq!(account.warnings, expected, "{split}");
            let missing: Vec<u64> = account.missing_by_log.iter().map(|log| log.missing_counts[0]).collect();
            let one_process = logs.train(&logs.options("day")).missing_by_log;
            assert_eq!(missing, one_process.iter().map(|log| log.missing_counts[0]).collect::<Vec<_>>(), "{split}");
            assert!(account.missing_by_log.iter().all(|log| log.row_count == ROW_COUNT as u64), "{split}");
        }
    }
}

#[test]
fn a_field_without_any_value_in_all_shards_is_an_error() {
    let logs = Logs::new(&[without_site, without_site, without_site]);
    for split in [Split::File, Split::Random] {
        let _ = fs::remove_dir_all(logs.path("work"));
        let error = logs.train_shards(logs.options("day"), split).unwrap_err().to_string();
        assert!(error.starts_with("the field `site` has no value in any of 450 rows"), "{error}");
        assert!(!logs.path("merged.parquet").exists());
    }
}

/// A category in capitals is another one: the start state knows none of them, and nobody was told.
#[test]
fn values_that_the_start_state_has_not_seen_are_counted_by_field_and_file_in_shards_too() {
    let logs = Logs::new(&[good, good]);
    let account = logs.train(&logs.options("day").with(|it| it.state = logs.path("start.parquet")));
    assert!(account.unseen_by_log.is_empty() && warnings(&account).is_empty());

    logs.write("next", &[good, good, in_capitals]);
    let start = StartOptions::new(logs.path("start.parquet"));
    let mut options = logs.options("next");
    options.start = Some(start);
    let account = logs.train(&options);
    let unseen: Vec<&[u64]> = account.unseen_by_log.iter().map(|log| log.unseen_counts.as_slice()).collect();
    let rows = ROW_COUNT as u64;
    assert_eq!(unseen, [[0, 0], [0, 0], [rows, 0]]);
    assert!(account.unseen_by_log.iter().all(|log| log.value_counts == [rows, rows]));
    let expected = warnings(&account);
    assert_eq!(expected.len(), 1, "{expected:?}");
    let words = "next-2.jsonl: 100.0 % of the values of `site` are not in the start state";
    assert!(expected[0].contains(words), "{expected:?}");
    for split in [Split::File, Split::Random] {
        let _ = fs::remove_dir_all(logs.path("work"));
        let shards = logs.train_shards(options.clone(), split.clone()).unwrap();
        assert_eq!((&shards.warnings, &shards.unseen_by_log), (&expected, &account.unseen_by_log), "{split}");
    }
    // Rows that sampling or a part leaves out do not count, and the others are counted for their file.
    let half = Sampling { negative_rate: 0.5, seed: 1 };
    let start_state = logs.path("half.parquet");
    logs.train(&logs.options("day").with(|it| {
        it.sampling = half;
        it.state = start_state.clone();
    }));
    let start = options.start.clone().map(|start| start.with(|it| it.state = start_state));
    let sampled = logs.train(&options.with(|it| {
        it.sampling = half;
        it.start = start;
    }));
    let values: Vec<u64> = sampled.unseen_by_log.iter().map(|log| log.value_counts[0]).collect();
    assert_eq!(values.len(), 3);
    assert!(values.iter().all(|&values| (60..140).contains(&values)), "{values:?}");
    assert_eq!(sampled.unseen_by_log[2].unseen_counts[0], values[2]);
    assert_eq!(sampled.unseen_by_log[1].unseen_counts[0], 0);
}
