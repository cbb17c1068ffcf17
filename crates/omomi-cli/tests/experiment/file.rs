//! `omomi ab` with the file of the experiment: names, unit and shares are those of the file, and rows must fit it.

use std::fs;
use std::path::Path;

use omomi::experiment::Experiment;

use crate::read_out::{json_of, metric};
use crate::users::Users;
use crate::world::omomi;

const SALT: u64 = 0x0123_4567_89ab_cdef;

/// Starts the experiment `ranker` of users in arms `control` and `b`, and returns its file.
fn start(folder: &Path) -> Experiment {
    let words =
        "experiment start ranker.experiment --name ranker --unit user --salt 0123456789abcdef --control control=a";
    let output = omomi(folder, &format!("{words} --arm b=b:50%"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Experiment::read(&folder.join("ranker.experiment")).unwrap().unwrap()
}

/// Users whose buckets and arms are those of the file.
fn users() -> Users {
    Users::two(6_000, 1.3).with(|it| it.salt = Some(SALT))
}

/// Runs `omomi ab` over the log of `users`, which must end with `code`, and returns what it said.
fn said(folder: &Path, users: &Users, words: &str, code: i32) -> String {
    fs::write(folder.join("joined.csv"), users.csv()).unwrap();
    let output = omomi(folder, &format!("ab --logs joined.csv {words}"));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    said
}

#[test]
fn a_file_gives_the_figures_of_the_flags_that_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = start(folder.path());
    assert_eq!((file.salt, file.control), (SALT, 0));
    let shown = said(folder.path(), &users(), "--experiment-file ranker.experiment", 0);
    assert!(shown.contains("planned shares of the experiment file"), "{shown}");
    let mut by_file = json_of(folder.path(), "--logs joined.csv --experiment-file ranker.experiment");
    let by_flags = json_of(
        folder.path(),
        "--logs joined.csv --unit user --experiment ranker --control control --shares control=5000,b=5000",
    );
    assert_eq!((&by_file["shares_from"], &by_flags["shares_from"]), (&"file".into(), &"given".into()));
    by_file["shares_from"] = by_flags["shares_from"].clone();
    assert_eq!(by_file, by_flags);
    assert!(metric(&by_file, "ctr")["differences"][0]["absolute"]["low"].as_f64().unwrap() > 0.0);
    let plan = json_of(folder.path(), "--plan --experiment-file ranker.experiment --logs joined.csv --effect 0.1");
    assert_eq!((&plan["plan"]["units_by_arm"][1][0], plan["metric"].as_str()), (&"b".into(), Some("ctr")));
}

#[test]
fn rows_that_do_not_fit_the_file_are_refused_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path());
    let words = "--experiment-file ranker.experiment";
    let refused = |users: &Users, expected: &str| {
        let said = said(folder.path(), users, words, 1);
        assert!(said.contains(expected) && said.contains("the logs do not fit the experiment file"), "{said}");
    };
    let unlike = |change: fn(&mut Users)| users().with(change);
    refused(&unlike(|it| it.salt = Some(1)), "its salt or its unit was another one");
    refused(&unlike(|it| it.salt = None), "of the unit `u0`");
    refused(&unlike(|it| it.arms[1].0 = "c"), "expected the arms control, b, found");
    // The file has other shares than the log: the arm had more buckets.
    refused(&unlike(|it| (it.arms[0].1, it.arms[1].1) = (4_000, 6_000)), "in `b`, which is of `control` in the file");
    // With the shares of that time, it is read.
    let sixty = unlike(|it| (it.arms[0].1, it.arms[1].1) = (4_000, 6_000));
    let shown = said(folder.path(), &sixty, &format!("{words} --shares control=4000,b=6000"), 0);
    assert!(shown.contains("planned shares as given"), "{shown}");
    // The control arm answers for an arm that cannot. If it does so often, the sample ratio tells.
    let forty = unlike(|it| (it.arms[0].1, it.arms[1].1) = (6_000, 4_000));
    let shown = said(folder.path(), &forty, words, 3);
    assert!(shown.contains("the control arm answered") && shown.contains("the sample ratio is wrong"), "{shown}");
    let other = said(folder.path(), &unlike(|it| it.experiment = "pacing"), words, 1);
    assert!(other.contains("is of the experiment `ranker`"), "{other}");
}

#[test]
fn a_stopped_arm_is_read_with_the_shares_of_its_time_and_a_bad_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path());
    let stopped = omomi(folder.path(), "experiment stop ranker.experiment b");
    assert!(stopped.status.success());
    let words = "--experiment-file ranker.experiment";
    let refused = said(folder.path(), &users(), words, 1);
    assert!(refused.contains("the shares were changed") && refused.contains("--shares"), "{refused}");
    let shown = said(folder.path(), &users(), &format!("{words} --shares control=5000,b=5000"), 0);
    assert!(shown.contains("ctr"), "{shown}");
    let refused = said(folder.path(), &users(), &format!("{words} --unit user"), 2);
    assert!(refused.contains("cannot be used with"), "{refused}");
    fs::write(folder.path().join("ranker.experiment"), "{").unwrap();
    let refused = said(folder.path(), &users(), words, 1);
    assert!(
        refused.contains("ranker.experiment is malformed") && refused.contains("omomi experiment start"),
        "{refused}"
    );
    let absent = said(folder.path(), &users(), "--experiment-file none.experiment", 1);
    assert!(absent.contains("none.experiment, found none"), "{absent}");
    let nothing = said(folder.path(), &users(), "", 2);
    assert!(nothing.contains("--unit <COLUMN>"), "{nothing}");
}
