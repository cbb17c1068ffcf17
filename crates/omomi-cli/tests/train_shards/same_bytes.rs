//! The merged state depends on the logs, the settings, the shards and the split, but not on the processes.

use std::fs;
use std::process::Command;

use omomi_train::learn::shards::{ShardEvent, Split};

use crate::fixture::{Fixture, OMOMI};

#[test]
fn the_number_of_processes_and_the_order_in_which_they_end_change_no_byte() {
    let fixture = Fixture::new();
    for split in [Split::File, Split::Column("user_id".to_owned()), Split::Time(None), Split::Random] {
        let mut options = fixture.options();
        options.split = split.clone();
        let (one_by_one, seen) = fixture.merged(&options.clone().with(|it| it.process_count = 1));
        assert_eq!(seen.finished, [1, 2, 3], "{split}");
        fs::remove_dir_all(&options.work_dir).unwrap();

        // The first shard waits until the others are finished.
        let others =
            [2, 3].map(|shard| fixture.state_of_shard(shard).with_extension("done.json").display().to_string());
        let waits = format!("until [ -e {} ] && [ -e {} ]; do sleep 0.02; done", others[0], others[1]);
        let script = format!("case $ALL in *shard-0001.parquet*) {waits};; esac");
        let program = fixture.program(&format!("waits-{}", split.to_string().replace(':', "-")), &script);
        let (at_once, seen) = fixture.merged(&options.clone().with(|it| {
            it.process_count = 4;
            it.program = program;
        }));
        assert_eq!(seen.finished.last(), Some(&1), "{split}");
        assert!(one_by_one == at_once, "{split}");
        fs::remove_dir_all(&options.work_dir).unwrap();
    }
}

#[test]
fn every_row_is_learned_once_over_all_shards_and_rounds() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.round_count = 2;
    let (outcome, seen) = fixture.train(&options);
    let account = outcome.unwrap();
    assert_eq!(account.average.metadata.rows, 12_000);
    let rows = |finished: &ShardEvent| match finished {
        ShardEvent::Finished { rows, .. } => *rows,
        other => panic!("{other:?}"),
    };
    assert_eq!(account.shards.iter().map(|shard| rows(&shard.finished)).sum::<u64>(), 12_000);
    assert_eq!(account.shards.len(), 6);
    assert_eq!(seen.finished.len(), 6);

    // The states of all rounds are kept too.
    let bytes = fs::read(&options.train.state).unwrap();
    let (again, seen) = fixture.merged(&options);
    assert_eq!(seen.reused, [1, 2, 3, 1, 2, 3]);
    assert!(again == bytes);
}

#[test]
fn the_command_of_one_shard_run_by_hand_writes_the_same_bytes() {
    let fixture = Fixture::new();
    for split in ["file", "column:user_id", "time", "random"] {
        let mut options = fixture.options();
        options.split = split.parse().unwrap();
        fixture.merged(&options);
        let by_hand = fixture.path("by-hand.parquet");
        let output = Command::new(OMOMI)
            .args(["train", "--alpha", "0.1", "--time-column", "timestamp", "--quiet", "--force"])
            .args(["--shard", "2/3", "--split", split])
            .arg("--contract")
            .arg(fixture.contract_file())
            .arg("--state")
            .arg(&by_hand)
            .arg("--logs")
            .args(fixture.logs())
            .output()
            .unwrap();
        assert!(output.status.success(), "{split}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(by_hand).unwrap() == fs::read(fixture.state_of_shard(2)).unwrap(), "{split}");
    }
}

#[test]
fn more_shards_than_files_are_rejected_when_splitting_by_file() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.split = Split::File;
    options.shard_count = 6;
    let error = fixture.train(&options).0.unwrap_err().to_string();
    assert!(error.starts_with("expected at least 6 files, one per shard, found 5"), "{error}");
    assert!(!options.work_dir.exists());
}
