//! Failures of one shard: a killed process, a missing file, a full disk, a bad row, a changed contract. The error names
//! the shard and the problem, the other shards are kept, and the same command run again does only what is missing.

use std::fs;

use omomi::contract::Contract;
use omomi_train::learn::shards::{ShardEvent, Split, TrainShardsError, TrainShardsOptions, train_shards};
use omomi_train::log::generate::CONTRACT;

use crate::fixture::{Fixture, Seen, is_marked};

/// Trains with one shard that fails. Then fixes the problem and trains again, which trains only that shard.
#[track_caller]
fn fails_and_recovers(
    fixture: &Fixture,
    failing: &TrainShardsOptions,
    failing_shard: u32,
    words: &[&str],
    make_good: impl FnOnce() -> TrainShardsOptions,
) -> Seen {
    let (outcome, seen) = fixture.train(failing);
    let error = outcome.unwrap_err();
    let text = error.to_string();
    let TrainShardsError::Shards { failures, shard_count: 3, .. } = error else { panic!("{text}") };
    assert_eq!(failures.iter().map(|failure| failure.shard).collect::<Vec<_>>(), [failing_shard], "{text}");
    let all_words = [format!("shard {failing_shard}: "), "the 2 others are kept in ".to_owned()];
    for words in all_words.iter().map(String::as_str).chain(words.iter().copied()) {
        assert!(text.contains(words), "expected `{words}` in:\n{text}");
    }
    assert_eq!(seen.failed, [failing_shard]);
    assert!(!failing.train.state.exists());
    for shard in 1..=3 {
        assert_eq!(is_marked(&fixture.state_of_shard(shard)), shard != failing_shard, "{shard}");
    }

    let good = make_good();
    let (bytes, again) = fixture.merged(&good);
    assert_eq!(again.learned(), [failing_shard]);
    assert_eq!(again.reused.len(), 2);

    // The result is the same as without a failure.
    let fresh = good.with(|it| it.work_dir = fixture.path("fresh"));
    assert!(fixture.merged(&fresh).0 == bytes);
    seen
}

#[test]
fn a_killed_shard_is_restarted_alone() {
    let fixture = Fixture::new();
    let (undisturbed, _) = fixture.merged(&fixture.options());
    fs::remove_dir_all(fixture.path("work")).unwrap();
    let once = "case $ALL in *--shard=2/3*) if mkdir \"$0.killed\" 2>/dev/null; then kill -KILL $$; fi;; esac";
    let mut options = fixture.options();
    options.program = fixture.program("killed-once", once);
    let (bytes, seen) = fixture.merged(&options);
    assert_eq!(seen.died.len(), 1);
    let (shard, message) = &seen.died[0];
    assert_eq!(*shard, 2);
    assert!(message.contains("signal: 9 (SIGKILL)"), "{message}");
    assert_eq!(seen.started.values().copied().collect::<Vec<_>>(), [1, 2, 1]);
    assert!(bytes == undisturbed);
}

#[test]
fn a_shard_that_is_killed_every_time_fails_and_the_others_are_kept() {
    let fixture = Fixture::new();
    let always = "case $ALL in *--shard=2/3*) echo so much memory >&2; kill -KILL $$;; esac";
    let mut options = fixture.options();
    options.program = fixture.program("killed", always);
    let words =
        ["its process ended with signal: 9 (SIGKILL), with the output: so much memory", "shard-0002.stderr.txt"];
    let seen = fails_and_recovers(&fixture, &options, 2, &words, || fixture.options());
    assert_eq!(seen.started[&2], 2);
}

#[test]
fn a_missing_file_fails_the_shard_that_has_it() {
    let fixture = Fixture::new();
    let (gone, kept) = (fixture.log(4), fixture.path("kept"));
    let (gone, kept) = (gone.display(), kept.display());
    let script = format!("case $ALL in *log-4.parquet*) mv {gone} {kept} 2>/dev/null;; esac");
    let program = fixture.program("takes-away", &script);
    // Each shard has at most two files. The last file is alone in its shard, or the second one there.
    let mut options = fixture.options();
    options.split = Split::File;
    options.program = program;
    options.allow_uneven = true;
    let shard = shard_with(&fixture, &options, 4);
    fails_and_recovers(&fixture, &options, shard, &[&format!("no file matches `{gone}`")], || {
        fs::rename(fixture.path("kept"), fixture.log(4)).unwrap();
        fixture.options().with(|it| {
            it.split = Split::File;
            it.allow_uneven = true;
        })
    });
    // A file that is missing from the beginning is reported before anything is done.
    fs::remove_file(fixture.log(4)).unwrap();
    let error = fixture.train(&options.with(|it| it.work_dir = fixture.path("none"))).0.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no file matches `{gone}`")), "{error}");
    assert!(!fixture.path("none").exists());
}

/// Returns the shard that gets the file.
fn shard_with(fixture: &Fixture, options: &TrainShardsOptions, file: usize) -> u32 {
    let has = |shard: u32| {
        let (mut train, split) = (options.train.clone(), Split::File);
        let shard = format!("{shard}/3").parse().unwrap();
        split.narrow(shard, &fixture.contract(), &mut train).unwrap();
        train.logs.contains(&fixture.log(file).display().to_string())
    };
    (1..=3).find(|&shard| has(shard)).unwrap()
}

#[test]
fn a_full_disk_fails_the_shard_that_writes_to_it() {
    let fixture = Fixture::new();
    // The files of that process may not grow beyond 8 blocks, and the signal for it is ignored, so that writing fails.
    let script = "case $ALL in *--shard=3/3*) trap '' XFSZ; ulimit -f 8;; esac";
    let mut options = fixture.options();
    options.program = fixture.program("full", script);
    let state = fixture.state_of_shard(3);
    let seen = fails_and_recovers(&fixture, &options, 3, &["cannot write ", &state.display().to_string()], || {
        fixture.options()
    });
    assert_eq!(seen.started[&3], 1, "a process that reports an error is not restarted");
    let leftovers = fs::read_dir(fixture.path("work/round-01")).unwrap();
    assert!(leftovers.flatten().all(|entry| !entry.file_name().to_str().unwrap().ends_with(".partial")));
}

#[test]
fn a_bad_row_fails_the_shard_that_has_its_file() {
    let fixture = Fixture::new();
    let header = "clicked,media_id\n";
    let contract = br#"{"name":"feed-ctr","label":"clicked","field":[
        {"name":"media_id","side":"context","type":"id","meaning":"media"}]}"#;
    let contract = Contract::from_json(contract).unwrap();
    let toml = "name = \"feed-ctr\"\nlabel = \"clicked\"\n[[field]]\nname = \"media_id\"\nside = \"context\"\n\
                type = \"id\"\nmeaning = \"media\"\n";
    fs::write(fixture.path("small.toml"), toml).unwrap();
    let row = |file: usize, row: usize| format!("{},{}\n", (file + row) % 2, row % (5 + file));
    let text = |file: usize| header.to_owned() + &(0..200).map(|index| row(file, index)).collect::<String>();
    let paths: Vec<_> = (0..3).map(|file| fixture.path(&format!("small-{file}.csv"))).collect();
    for (file, path) in paths.iter().enumerate() {
        fs::write(path, text(file)).unwrap();
    }
    let good = text(1);
    fs::write(&paths[1], good.replacen("\n0,", "\n7,", 1)).unwrap();
    let mut options = fixture.options();
    options.split = Split::File;
    options.contract_file = fixture.path("small.toml");
    options.train.logs = paths.iter().map(|path| path.display().to_string()).collect();
    options.train.read.time_column = None;

    let run = |seen: &mut Vec<u32>| {
        train_shards(&contract, &options, &mut |progress| {
            if let (Some(shard), ShardEvent::Started { .. }) = (progress.shard, &progress.event) {
                seen.push(shard);
            }
        })
    };
    let mut started = Vec::new();
    let error = run(&mut started).unwrap_err().to_string();
    assert_eq!(started.len(), 3);
    let expected = format!("shard 2: {}: row ", paths[1].display());
    assert!(error.contains(&expected) && error.contains("expected a label of 0 or 1, found `7`"), "{error}");
    assert!(is_marked(&fixture.state_of_shard(1)) && is_marked(&fixture.state_of_shard(3)));

    fs::write(&paths[1], good).unwrap();
    let mut started = Vec::new();
    let account = run(&mut started).unwrap();
    assert_eq!(started, [2]);
    assert_eq!(account.average.metadata.rows, 600);
}

#[test]
fn a_contract_that_changes_during_training_fails_the_shards_that_read_the_new_one() {
    let fixture = Fixture::new();
    let other = CONTRACT.replacen("generated-ctr", "renamed-ctr", 1);
    assert_ne!(other, CONTRACT);
    fs::write(fixture.path("other.toml"), other).unwrap();
    let (contract_file, other) = (fixture.contract_file(), fixture.path("other.toml"));
    let script = format!("case $ALL in *--shard=3/3*) cp {} {};; esac", other.display(), contract_file.display());
    let program = fixture.program("renames", &script);
    let mut options = fixture.options();
    options.program = program;
    options.process_count = 1;
    let words = [format!("{} changed during training: expected the fingerprint ", contract_file.display())];
    fails_and_recovers(&fixture, &options, 3, &words.each_ref().map(String::as_str), || {
        fs::write(fixture.contract_file(), CONTRACT).unwrap();
        fixture.options()
    });
}
