use serde_json::Value;

use super::*;

const CONTRACT: &str = r#"{"name":"tiny","label":"clicked","field":[
    {"name":"media","side":"context","type":"text","meaning":"m"},
    {"name":"price","side":"context","type":"number","unit":"JPY","range":[0,100],"buckets":[10],"meaning":"m"}]}"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with_logs() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("day1.csv", "clicked,media,price,time\n1,a,5,2026-01-01T00:00:00Z\n0,b,50,2026-01-01T00:00:01Z\n");
        folder.write("day2.csv", "clicked,media,price,time\n0,a,500,2026-01-02T00:00:00Z\n");
        folder.write("late.csv", "clicked,media,price,time\n0,a,,2026-01-03T00:00:00Z\n1,c,7,2026-01-03T00:00:01Z\n");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pattern(&self, name: &str) -> Vec<String> {
        vec![self.path(name).to_str().unwrap().to_owned()]
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn options(&self) -> TrainOptions {
        TrainOptions {
            logs: self.pattern("day*.csv"),
            held_out: self.pattern("late.csv"),
            read: ReadOptions { time_column: Some("time".to_owned()), ..ReadOptions::default() },
            settings: Settings::default(),
            sampling: Sampling::default(),
            start: None,
            passes: 2,
            search: None,
            last_iterates: false,
            cache: None,
            state: self.path("out.parquet"),
            replace: false,
            again: false,
            arguments: vec!["train".to_owned(), "--passes=2".to_owned()],
        }
    }

    fn train(&self, options: &TrainOptions) -> Result<Account, String> {
        let contract = Contract::from_json(CONTRACT.as_bytes()).unwrap();
        train(&contract, options, &mut |_| ())
            .map_err(|error| error.to_string().replace(self.0.path().to_str().unwrap(), "FOLDER"))
    }
}

#[test]
fn a_run_leaves_a_state_and_its_provenance() {
    let folder = Folder::with_logs();
    let account = folder.train(&folder.options()).unwrap();
    assert_eq!((account.rows, account.bad_rows, account.progressive.clicks), (3, 0, 1));
    assert_eq!(account.invalid_numbers, [("price".to_owned(), 1)]);
    assert_eq!(account.feature_count(), 4);
    let held_out = account.held_out.unwrap();
    assert_eq!((held_out.impressions, held_out.clicks), (2, 1));

    let mut state = StateReader::open(folder.path("out.parquet")).unwrap();
    // And the defaults of unseen media, unseen prices and missing prices.
    assert_eq!((state.metadata().passes, state.metadata().rows, state.feature_count()), (2, 3, 4 + 3));
    let batch = state.next_batch().unwrap().unwrap();
    let counts: u64 = batch.rows().filter(|row| !row.is_default()).map(|row| row.impressions).sum();
    // Bias 3, media 3, price 2: the second pass does not count rows again.
    assert_eq!(counts, 8);

    let provenance: Value = serde_json::from_slice(&fs::read(folder.path("out.provenance.json")).unwrap()).unwrap();
    assert_eq!(provenance["arguments"][1], "--passes=2");
    assert_eq!(provenance["training_window"]["first"], "2026-01-01T00:00:00Z");
    assert_eq!(provenance["training_window"]["last"], "2026-01-02T00:00:00Z");
    assert_eq!(provenance["logs"].as_array().unwrap().len(), 2);
    assert_eq!(provenance["logs"][0]["len_bytes"], fs::metadata(folder.path("day1.csv")).unwrap().len());
    assert_eq!(provenance["held_out_logs"][0]["rows"], 2);
    assert_eq!(provenance["invalid_numbers"]["price"], 1);
    assert_eq!(provenance["metrics"]["held_out"]["impressions"], 2);
    assert_eq!(provenance["fields"][0]["features"], 2);
    assert_eq!(account.missing.row_count, 3);
    assert_eq!(provenance["missing_values"]["price"], 1);
}

#[test]
fn a_field_without_any_value_is_an_error_unless_it_may_be_empty() {
    let folder = Folder::with_logs();
    let contract = Contract::from_json(CONTRACT.as_bytes()).unwrap();
    let text = fs::read_to_string(folder.path("day1.csv")).unwrap();
    let header = text.lines().next().unwrap().to_owned();
    let price = header.split(',').position(|name| name == "price").unwrap();
    for day in ["day1.csv", "day2.csv"] {
        let text = fs::read_to_string(folder.path(day)).unwrap();
        let row = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if line != header {
                cells[price] = "";
            }
            cells.join(",") + "\n"
        };
        folder.write(day, &text.lines().map(row).collect::<String>());
    }
    let error = folder.train(&folder.options()).unwrap_err();
    assert!(error.starts_with("the field `price` has no value in any of 3 rows"), "{error}");
    assert!(!folder.path("out.parquet").exists());
    let contract = contract.with_reading_json(r#"{"field":{"price":{"may_be_empty":true}}}"#).unwrap();
    let account = train(&contract, &folder.options(), &mut |_| ()).unwrap();
    assert_eq!(account.missing.missing_counts.iter().max(), Some(&3));
}

#[test]
fn a_run_continues_from_a_state_that_decays_with_its_age() {
    let folder = Folder::with_logs();
    folder.train(&folder.options()).unwrap();
    let start = StartOptions {
        state: folder.path("out.parquet"),
        decay_per_day: 0.25,
        age_days: None,
        forget_unseen_days: None,
        shares: 1,
    };
    let options = TrainOptions {
        logs: folder.pattern("late.csv"),
        held_out: Vec::new(),
        start: Some(start.clone()),
        state: folder.path("next.parquet"),
        ..folder.options()
    };
    let account = folder.train(&options).unwrap();
    // From the last row of the 2nd of January to that of the 3rd are a day and a few seconds.
    let used = account.start.clone().unwrap();
    assert_eq!((used.rows, account.rows), (3, 2));
    assert!((used.decay - 0.25).abs() < 1e-4, "{}", used.decay);
    // Of 3 rows, a quarter is left.
    assert_eq!((used.effective_rows_left(), account.lineage_rows), (1, 3));
    assert!((account.lineage_days.unwrap() - 2.0).abs() < 1e-3);
    let provenance: Value = serde_json::from_slice(&fs::read(folder.path("next.provenance.json")).unwrap()).unwrap();
    assert_eq!(provenance["start"]["digest"], used.digest.to_string());
    assert_eq!(provenance["start"]["training_window"]["last"], "2026-01-02T00:00:00Z");
    assert_eq!(provenance["training_window"]["first"], "2026-01-03T00:00:00Z");
    assert!(provenance["lineage_days"].as_f64().unwrap() >= 2.0);

    let said = StartOptions { age_days: Some(2.0), ..start.clone() };
    let said = TrainOptions { start: Some(said), replace: true, ..options.clone() };
    assert_eq!(folder.train(&said).unwrap().start.unwrap().decay, 0.0625);

    let read = ReadOptions { time_column: None, ..options.read.clone() };
    let without_times = TrainOptions { read, replace: true, ..options.clone() };
    let error = folder.train(&without_times).unwrap_err();
    assert!(
        error.starts_with("FOLDER/out.parquet has the times of its rows, and this run has no time column"),
        "{error}"
    );
    let forgotten = StartOptions { age_days: Some(1e6), ..start.clone() };
    let forgotten = TrainOptions { start: Some(forgotten), replace: true, ..options.clone() };
    let expected = "after a decay of 1000000.0 days nothing is left of FOLDER/out.parquet; train from scratch";
    assert_eq!(folder.train(&forgotten).unwrap_err(), expected);
    for (decay_per_day, age_days, expected) in [
        (1.5, None, "decay must be a number above 0 and at most 1, found 1.5"),
        (0.9, Some(-1.0), "age_days must be a number at least 0, found -1.0"),
    ] {
        let start = StartOptions { decay_per_day, age_days, ..start.clone() };
        let options = TrainOptions { start: Some(start), replace: true, ..options.clone() };
        assert_eq!(folder.train(&options).unwrap_err(), expected);
    }
}

/// In a loop without gaps, decay once did nothing at all: the days between the last row and the first new one are 0.
#[test]
fn a_day_of_new_rows_ages_the_state_by_a_day_without_any_gap() {
    let folder = Folder::with_logs();
    let header = fs::read_to_string(folder.path("day1.csv")).unwrap().lines().next().unwrap().to_owned();
    let row = fs::read_to_string(folder.path("day1.csv")).unwrap().lines().nth(1).unwrap().to_owned();
    let day = |number: u32| {
        let at = |day: u32, time: &str| row.replace("2026-01-01T00:00:00Z", &format!("2026-01-0{day}T{time}Z"));
        let (first, last) = (at(number, "00:00:00"), at(number, "23:59:59"));
        assert_ne!(first, last, "{row}");
        folder.write(&format!("of-{number}.csv"), &format!("{header}\n{first}\n{last}\n"));
        folder.pattern(&format!("of-{number}.csv"))
    };
    let options = TrainOptions { held_out: Vec::new(), ..folder.options() };
    folder.train(&TrainOptions { logs: day(1), ..options.clone() }).unwrap();
    let start = StartOptions {
        state: folder.path("out.parquet"),
        decay_per_day: 0.5,
        age_days: None,
        forget_unseen_days: None,
        shares: 1,
    };
    let next =
        TrainOptions { logs: day(2), start: Some(start.clone()), state: folder.path("2.parquet"), ..options.clone() };
    let account = folder.train(&next).unwrap();
    assert!((account.start.unwrap().decay - 0.5).abs() < 1e-6);
    assert!(account.order_warnings.is_empty());

    // A gap ages it too, and is named. Older days change nothing, and are named.
    let after_gap = TrainOptions { logs: day(4), state: folder.path("4.parquet"), ..next.clone() };
    let account = folder.train(&after_gap).unwrap();
    assert!((account.start.unwrap().decay - 0.125).abs() < 1e-6);
    assert!(account.order_warnings[0].starts_with("2.0 days are missing"), "{:?}", account.order_warnings);
    let start = StartOptions { state: folder.path("4.parquet"), ..start };
    let back = TrainOptions { logs: day(3), start: Some(start), state: folder.path("3.parquet"), ..options };
    let account = folder.train(&back).unwrap();
    assert_eq!(account.start.unwrap().decay, 1.0);
    assert!(account.order_warnings[0].contains("days out of order"), "{:?}", account.order_warnings);
}

/// Rotating user ids once made a state grow from 0.9 to 11.6 MB in 14 days, without end.
#[test]
fn a_state_that_is_continued_can_forget_what_no_row_has_had_lately() {
    let folder = Folder::with_logs();
    folder.train(&folder.options()).unwrap();
    // `b` and its bucket were seen on the 1st of January only, and the state ends on the 2nd.
    let next = |name: &str, forget_unseen_days| {
        let state = folder.path("out.parquet");
        let start = StartOptions { state, decay_per_day: 1.0, age_days: None, forget_unseen_days, shares: 1 };
        let logs = folder.pattern("late.csv");
        let options = TrainOptions {
            logs,
            held_out: Vec::new(),
            start: Some(start),
            state: folder.path(name),
            ..folder.options()
        };
        folder.train(&options)
    };
    let all = next("all.parquet", None).unwrap();
    let recent = next("recent.parquet", Some(0.5)).unwrap();
    let forgotten = recent.start.as_ref().unwrap().forgotten;
    assert!(forgotten > 0 && all.start.as_ref().unwrap().forgotten == 0);
    // The bucket of `5` came back with the `7` of the new rows.
    assert_eq!((all.feature_count() - recent.feature_count(), forgotten), (2, 3));
    assert_eq!(next("two.parquet", Some(2.0)).unwrap().feature_count(), all.feature_count());
    assert_eq!(next("none.parquet", Some(-1.0)).unwrap_err(), "forget_unseen must be a number at least 0, found -1.0");
}

#[test]
fn what_the_start_state_has_learned_is_refused_under_any_name() {
    let folder = Folder::with_logs();
    folder.train(&folder.options()).unwrap();
    fs::copy(folder.path("day1.csv"), folder.path("copy.csv")).unwrap();
    let start = StartOptions {
        state: folder.path("out.parquet"),
        decay_per_day: 1.0,
        age_days: None,
        forget_unseen_days: None,
        shares: 1,
    };
    let again = TrainOptions {
        logs: folder.pattern("copy.csv"),
        held_out: Vec::new(),
        start: Some(start.clone()),
        state: folder.path("next.parquet"),
        ..folder.options()
    };
    let error = folder.train(&again).unwrap_err();
    assert!(error.contains("copy.csv was learned already: FOLDER/out.parquet contains it"), "{error}");
    assert!(!folder.path("next.parquet").exists());
    folder.train(&TrainOptions { again: true, ..again.clone() }).unwrap();
    // The lineage goes on: the log of the first run is refused by its grandchild.
    let start = StartOptions { state: folder.path("next.parquet"), ..start };
    let logs = folder.pattern("day2.csv");
    let third = TrainOptions { logs, start: Some(start), state: folder.path("third.parquet"), ..again.clone() };
    assert!(folder.train(&third).unwrap_err().contains("day2.csv was learned already"));
    let mut logs = folder.pattern("day1.csv");
    logs.extend(folder.pattern("copy.csv"));
    let twice = TrainOptions { logs, start: None, state: folder.path("twice.parquet"), ..again };
    let error = folder.train(&twice).unwrap_err();
    assert!(error.contains("copy.csv is a copy of FOLDER/day1.csv"), "{error}");
    assert!(!folder.path("twice.parquet").exists());
}

#[test]
fn a_state_has_its_provenance_and_what_is_beside_it_changes_nothing() {
    let folder = Folder::with_logs();
    let account = folder.train(&folder.options()).unwrap();
    let (state, beside) = (folder.path("out.parquet"), folder.path("out.provenance.json"));
    let provenance = crate::learn::read_provenance(&state).unwrap();
    assert_eq!(provenance["metrics"]["progressive"]["log_loss"], account.progressive.log_loss);
    assert_eq!(provenance["metrics"]["held_out"]["impressions"], 2);
    assert_eq!((&provenance["fields"][0]["features"], &provenance["invalid_numbers"]["price"]), (&2.into(), &1.into()));
    assert_eq!(provenance["lineage"].as_array().unwrap().len(), 2);
    // Nothing of the machine, of the time of day or of paths is in the state.
    assert!(!serde_json::to_string(&provenance).unwrap().contains("seconds\":"));
    let bytes = fs::read(&state).unwrap();
    let folder_name = folder.0.path().to_str().unwrap().as_bytes();
    assert!(!bytes.windows(folder_name.len()).any(|window| window == folder_name));
    let copy: Value = serde_json::from_slice(&fs::read(&beside).unwrap()).unwrap();
    assert_eq!(copy["state"]["content"], crate::lineage::content_digest(&state).unwrap());

    // A run died after it wrote its state, beside the provenance of an earlier run, or of none.
    for text in [None, Some(r#"{"rows":7}"#), Some("{")] {
        text.map_or_else(|| fs::remove_file(&beside), |text| fs::write(&beside, text)).unwrap();
        assert_eq!(crate::learn::read_provenance(&state).unwrap(), provenance, "{text:?}");
    }
    // A run died before it wrote its state.
    fs::rename(&state, folder.path("elsewhere.parquet")).unwrap();
    folder.train(&folder.options()).unwrap();
    assert_eq!(fs::read(&state).unwrap(), bytes);
    assert_eq!(crate::learn::read_provenance(&folder.path("elsewhere.parquet")).unwrap(), provenance);
}

#[test]
fn invalid_options_are_rejected_before_anything_is_written() {
    let folder = Folder::with_logs();
    let options = folder.options();
    let cases = [
        (TrainOptions { passes: 0, ..options.clone() }, "expected at least 1 pass, found 0"),
        (
            TrainOptions { settings: Settings { alpha: -1.0, ..Settings::default() }, ..options.clone() },
            "alpha must be a number above 0, found -1.0",
        ),
        (
            TrainOptions { sampling: Sampling { negative_rate: 0.0, seed: 0 }, ..options.clone() },
            "negative_rate must be a number above 0 and at most 1, found 0.0",
        ),
        (
            TrainOptions { held_out: folder.pattern("./day1.csv"), ..options.clone() },
            "FOLDER/./day1.csv is among the held-out logs and among the logs to learn from; name it in one of them \
             only",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(folder.train(&options).unwrap_err(), expected);
    }
    folder.write("empty.csv", "clicked,media,price,time\n");
    let empty = TrainOptions { logs: folder.pattern("empty.csv"), ..options.clone() };
    let expected = "the logs have no rows: expected at least one to learn from";
    assert_eq!(folder.train(&empty).unwrap_err(), expected);
    folder.write("bad.csv", "clicked,media,price,time\n2,a,5,2026-01-01T00:00:00Z\n");
    let bad = TrainOptions { logs: folder.pattern("bad.csv"), ..options };
    assert!(folder.train(&bad).unwrap_err().contains("label"));
    assert!(!folder.path("out.parquet").exists() && !folder.path("out.provenance.json").exists());
}

#[test]
fn existing_files_are_replaced_on_demand_only() {
    let folder = Folder::with_logs();
    let mut options = folder.options();
    folder.write("out.parquet", "precious");
    let expected = "FOLDER/out.parquet exists already; choose another name, or ask to replace it";
    assert_eq!(folder.train(&options).unwrap_err(), expected);
    assert_eq!(fs::read(folder.path("out.parquet")).unwrap(), b"precious");
    options.replace = true;
    folder.train(&options).unwrap();
}

#[test]
fn a_row_cache_is_built_once_and_then_read_instead_of_the_logs() {
    let folder = Folder::with_logs();
    let cache = folder.path("log.rows");
    let learn = |passes: u32, cache: Option<&PathBuf>, logs: &str| {
        let (cache, replace) = (cache.cloned(), true);
        let options = TrainOptions { passes, cache, replace, logs: folder.pattern(logs), ..folder.options() };
        let contract = Contract::from_json(CONTRACT.as_bytes()).unwrap();
        let (mut read, mut stale) = (0, 0);
        let account = train(&contract, &options, &mut |event| match event {
            Event::Started { step: Step::Cache | Step::Learn, .. } => read += 1,
            Event::CacheIsStale { .. } => stale += 1,
            _ => {}
        });
        let account = account.unwrap();
        let counts = (account.rows, account.progressive.clicks, account.invalid_numbers.clone(), account.window_us);
        let rows: Vec<_> = account.logs.iter().map(|log| log.row_count).collect();
        ((counts, rows), fs::read(folder.path("out.parquet")).unwrap(), (read, stale))
    };
    let (counts, state, _) = learn(1, None, "day*.csv");
    // Built once, then read twice; the result is the same each time.
    for times in [(1, 0), (0, 0), (0, 0)] {
        let (cached_counts, cached, read) = learn(1, Some(&cache), "day*.csv");
        assert_eq!((cached_counts, read), (counts.clone(), times));
        assert!(cached == state);
    }
    // Two passes without a named cache leave no file.
    let names = || fs::read_dir(folder.0.path()).unwrap().count();
    let before = names();
    let (_, twice, _) = learn(2, None, "day*.csv");
    assert_eq!(names(), before);
    assert!(learn(2, Some(&cache), "day*.csv").1 == twice && twice != state);
    // The cache of another log is stale: it is reported and rebuilt.
    assert_eq!(learn(1, Some(&cache), "day1.csv").2, (1, 1));
    folder.write("day1.csv", "clicked,media,price,time\n1,b,5,2026-01-01T00:00:00Z\n");
    assert_eq!(learn(1, Some(&cache), "day1.csv").2, (1, 1));
    assert_eq!(learn(1, Some(&cache), "day1.csv").2, (0, 0));
}

#[test]
fn a_file_that_is_not_a_row_cache_is_left_alone() {
    let folder = Folder::with_logs();
    let options = TrainOptions { cache: Some(folder.path("day1.csv")), ..folder.options() };
    let expected =
        "FOLDER/day1.csv is not a row cache: expected a file that begins with `omomirow`; choose another name";
    assert_eq!(folder.train(&options).unwrap_err(), expected);
    assert!(fs::read_to_string(folder.path("day1.csv")).unwrap().starts_with("clicked,"));
}

/// Rows in order of time left the bias at the level of the evening: the next day had a calibration ratio of 0.8.
#[test]
fn the_bias_is_that_of_the_last_day_and_without_times_that_of_the_last_rows() {
    let folder = Folder(tempfile::tempdir().unwrap());
    // A tenth of the rows is clicked in the morning, a half in the evening.
    let mut text = "clicked,media,price,time\n".to_owned();
    for row in 0..24_000 {
        let hour = row / 1_000;
        let clicked = row % if hour < 12 { 10 } else { 2 } == 0;
        let (media, second) = (["a", "b", "c"][row % 3], row % 1_000);
        let time = format!("2026-01-01T{hour:02}:{:02}:{:02}Z", second / 60, second % 60);
        text.push_str(&format!("{},{media},{},{time}\n", u8::from(clicked), row % 20));
    }
    folder.write("day.csv", &text);
    let mean = |state: &Path| {
        let model = crate::learn::StateModel::read(state).unwrap();
        let mut reader =
            LogReader::open(&model.metadata().contract, &folder.pattern("day.csv"), ReadOptions::default()).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        while let Some(batch) = reader.next_batch().unwrap() {
            model.predict(&batch, |logit, _| {
                sum += omomi::math::sigmoid(logit);
                count += 1.0;
            });
        }
        sum / count
    };
    let options = TrainOptions { logs: folder.pattern("day.csv"), held_out: Vec::new(), passes: 1, ..folder.options() };
    let account = folder.train(&options).unwrap();
    let settled = account.settled_bias.unwrap();
    assert_eq!((settled.hours, settled.rows), (24, 24_000));
    assert!((mean(&options.state) / 0.3 - 1.0).abs() < 0.01, "{}", mean(&options.state));
    let without = TrainOptions { read: ReadOptions::default(), state: folder.path("without.parquet"), ..options };
    assert_eq!(folder.train(&without).unwrap().settled_bias, None);
    assert!(mean(&without.state) > 0.4, "{}", mean(&without.state));
}

#[test]
fn categories_that_the_start_state_does_not_know_are_counted_by_field_and_a_dropped_recalibration_is_named() {
    let folder = Folder::with_logs();
    let first = TrainOptions { logs: folder.pattern("day1.csv"), held_out: Vec::new(), ..folder.options() };
    assert_eq!(folder.train(&first).unwrap().fields[0].unseen_rate, None);
    // The state as a recalibration leaves it.
    let mut reader = StateReader::open(&first.state).unwrap();
    let weight_rule = crate::learn::WeightRule::of(&Settings::default()).recalibrated(2.0, 0.5);
    let metadata = crate::learn::state::Metadata { weight_rule, ..reader.metadata().clone() };
    let start = folder.path("recalibrated.parquet");
    let mut writer = crate::learn::state::StateWriter::create(&start, &metadata, false).unwrap();
    while let Some(batch) = reader.next_batch().unwrap() {
        for row in batch.rows() {
            let weight = if row.is_bias() {
                weight_rule.bias_weight(row.z, row.d)
            } else {
                weight_rule.feature_weight(row.z, row.d)
            };
            writer.push(&crate::learn::state::StateRow { weight, ..row }).unwrap();
        }
    }
    writer.finish().unwrap();
    folder.write("next.csv", "clicked,media,price,time\n0,a,5,2026-01-01T01:00:00Z\n1,d,5,2026-01-01T01:00:01Z\n");
    let start = StartOptions { state: start, decay_per_day: 1.0, age_days: None, forget_unseen_days: None, shares: 1 };
    let next = TrainOptions {
        logs: folder.pattern("next.csv"),
        start: Some(start),
        state: folder.path("next.parquet"),
        ..first
    };
    let account = folder.train(&next).unwrap();
    let rates: Vec<Option<f64>> = account.fields.iter().map(|field| field.unseen_rate).collect();
    assert_eq!(rates, [Some(0.5), Some(0.0)], "media d is new; the price is not");
    assert_eq!(
        account.order_warnings,
        ["training goes on without the recalibration of the start state (scale 2.0000, shift +0.5000): recalibrate \
             the new state, too"]
    );
}
