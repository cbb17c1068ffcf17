//! Running a command again repeats no work. A shard whose inputs changed is trained again, and the reason is reported.

use std::fs;

use omomi_train::learn::shards::{ShardEvent, Split, TrainShardsError, TrainShardsOptions, train_shards};
use omomi_train::log::generate::CONTRACT;
use serde_json::Value;

use crate::fixture::{FILE_COUNT, Fixture, Seen};

/// Runs a first command, applies `change`, and returns what the second command does.
fn after(fixture: &Fixture, options: &TrainShardsOptions, change: impl FnOnce(&mut TrainShardsOptions)) -> Seen {
    let (first, _) = fixture.merged(options);
    let mut changed = options.clone();
    change(&mut changed);
    let (second, seen) = fixture.merged(&changed);
    let fresh = changed.with(|it| it.work_dir = fixture.path("fresh"));
    assert!(fixture.merged(&fresh).0 == second, "what was kept should not have been");
    assert!(first == second || !seen.learned().is_empty());
    seen
}

#[test]
fn finished_shards_are_kept() {
    let fixture = Fixture::new();
    let seen = after(&fixture, &fixture.options(), |_| ());
    assert_eq!(seen.reused, [1, 2, 3]);
    assert!(seen.learned().is_empty() && seen.stale.is_empty());
}

#[test]
fn a_changed_log_is_learned_again_by_the_shard_that_has_it() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.split = Split::File;
    options.allow_uneven = true;
    options.shard_count = 5;
    let seen = after(&fixture, &options, |_| {
        // Changes one letter of the writer's name. The length stays the same, so every shard keeps its files.
        let mut text = fs::read(fixture.log(0)).unwrap();
        let created_by = text.windows(5).rposition(|bytes| bytes == b"omomi").unwrap();
        text[created_by] = b'O';
        fs::write(fixture.log(0), text).unwrap();
    });
    assert_eq!(seen.stale.len(), 1);
    assert_eq!(seen.stale[0].1, format!("{} has changed", fixture.log(0).display()));
    assert_eq!(seen.learned(), [seen.stale[0].0]);
}

#[test]
fn changed_settings_a_changed_split_and_a_damaged_state_are_reported() {
    let fixture = Fixture::new();
    type Change<'a> = &'a dyn Fn(&mut TrainShardsOptions);
    let changes: [(Change<'_>, &str, &[u32]); 5] = [
        (&|options| options.train.settings.l1 = 0.5, "--l1 was 1.0, is 0.5", &[1, 2, 3]),
        (
            &|options| options.split = Split::Column("user_id".to_owned()),
            "--split was random, is column:user_id",
            &[1, 2, 3],
        ),
        (&|options| options.shard_count = 2, "--shard was 1/3, is 1/2", &[1, 2]),
        (&|options| options.train.logs.truncate(FILE_COUNT - 1), "log-4.parquet was removed from the logs", &[1, 2, 3]),
        (
            &|_| fs::write(fixture.state_of_shard(2), "other bytes").unwrap(),
            "shard-0002.parquet has changed since it was written",
            &[2],
        ),
    ];
    for (change, reason, learned) in changes {
        let options = fixture.options();
        fixture.merged(&options);
        let mut changed = options.clone();
        change(&mut changed);
        let (_, seen) = fixture.merged(&changed);
        assert_eq!(seen.learned(), learned, "{reason}");
        assert!(seen.stale.iter().any(|(_, told)| told.contains(reason)), "expected `{reason}` in {:?}", seen.stale);
        fs::remove_dir_all(&options.work_dir).unwrap();
    }
}

#[test]
fn states_of_another_contract_are_not_mixed_in() {
    let fixture = Fixture::new();
    let options = fixture.options();
    fixture.merged(&options);
    let text = CONTRACT.replacen("generated-ctr", "renamed-ctr", 1);
    fs::write(fixture.contract_file(), &text).unwrap();
    let mut reasons = Vec::new();
    let account = train_shards(&omomi_train::toml::parse_contract(&text).unwrap(), &options, &mut |progress| {
        if let ShardEvent::Stale { reason } = &progress.event {
            reasons.push(reason.clone());
        }
    });
    assert_eq!(account.unwrap().average.metadata.contract.name(), "renamed-ctr");
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("the fingerprint of the contract was "), "{reasons:?}");
}

#[test]
fn two_commands_cannot_use_the_same_folder() {
    let fixture = Fixture::new();
    let options = fixture.options();
    fs::create_dir(&options.work_dir).unwrap();
    let folder = fs::File::open(&options.work_dir).unwrap();
    folder.lock().unwrap();
    let error = fixture.train(&options).0.unwrap_err();
    assert!(matches!(error, TrainShardsError::Busy { .. }), "{error}");
    drop(folder);
    fixture.merged(&options);
}

#[test]
fn progress_is_written_as_lines_of_json() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.train.passes = 30;
    let (_, seen) = fixture.merged(&options);
    let text = fs::read_to_string(options.work_dir.join("progress.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), seen.events.len());
    for (line, event) in lines.iter().zip(&seen.events) {
        assert_eq!(*line, serde_json::to_value(event).unwrap());
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(["begun", "digested", "merged", "done"].map(|event| of(event).len()), [1; 4]);
    assert_eq!(["started", "finished"].map(|event| of(event).len()), [3; 2]);
    assert!(!of("progress").is_empty());
    for line in of("progress").into_iter().chain(of("finished")) {
        for key in ["round", "shard", "rows", "rows_per_second", "percent"] {
            assert!(line[key].as_f64().unwrap() > 0.0, "{key} in {line}");
        }
    }
    assert!(of("finished").iter().all(|line| line["log_loss"].as_f64().unwrap() > 0.0 && line["percent"] == 100.0));
    // The next command appends to it.
    fixture.merged(&options);
    let again = fs::read_to_string(options.work_dir.join("progress.jsonl")).unwrap();
    assert!(again.starts_with(&text) && again[text.len()..].contains("\"event\":\"reused\""));
}
