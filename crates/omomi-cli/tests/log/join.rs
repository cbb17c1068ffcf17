//! `omomi log join`: what is joined, what is left out, and that the order of the inputs changes nothing.

use std::fs::{self, File};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use omomi::serving_log::{Event, EventKind, Served, Source};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{PATIENCE, START_UNIX_MS, World, at, contract_with, counts, id_of, money};

/// Everything is complete by then.
const JOIN: &str = "log join served --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z";

fn read(world: &World, name: &str) -> RecordBatch {
    let file = File::open(world.path(name)).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 16).build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    batch[column].as_string::<i32>().iter().collect()
}

fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    batch[column].as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn a_row_has_its_fields_its_label_and_what_was_logged() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    for number in [2, 0, 1] {
        server.serve(number);
    }
    let answer = {
        server.predict(1);
        server.request.answer(1)
    };
    server.event(1, EventKind::Win, 10);
    server.event(1, EventKind::Impression, 20);
    server.event(1, EventKind::Click, 30);
    server.event(2, EventKind::Win, 10);
    server.close();
    let said = counts(&world.done(&format!("{JOIN} --out joined.parquet")));
    assert_eq!((said["predictions"], said["rows"], said["with a click"], said["with a win"]), (3, 3, 1, 2), "{said:?}");
    assert_eq!((said["events"], said["that count"]), (4, 4));

    let rows = read(&world, "joined.parquet");
    let times: Vec<_> = rows["timestamp"].as_primitive::<TimestampMillisecondType>().values().to_vec();
    assert_eq!(times, [at(0), at(1), at(2)]);
    assert_eq!(integers(&rows, "clicked"), [Some(0), Some(1), Some(0)]);
    assert_eq!(integers(&rows, "site"), [Some(0), Some(1), Some(2)]);
    assert_eq!(texts(&rows, "title")[1], Some("タイトル 2"));
    assert!(rows["floor"].is_null(0), "a field without a value is null");
    let segments = rows["segment"].as_list::<i32>().value(0);
    let segments: Vec<_> = segments.as_string::<i32>().iter().collect();
    assert_eq!(segments, [Some("旅行"), Some("")], "an empty text is a category");
    let ids: Vec<String> = [0, 1, 2].iter().map(|number| id_of(*number).to_string()).collect();
    assert_eq!(texts(&rows, "prediction_id"), ids.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>());
    assert_eq!(texts(&rows, "logic_id"), [Some("ctr-a"); 3]);
    assert_eq!(rows["generation"].as_primitive::<UInt64Type>().value(0), 7);
    let probability = rows["probability"].as_primitive::<Float32Type>().value(1);
    assert_eq!(probability.to_bits(), answer.probability.to_bits());
    assert_eq!(integers(&rows, "win_price_micros"), [None, Some(900_001), Some(900_002)]);
    assert_eq!(texts(&rows, "currency"), [None, Some("JPY"), Some("JPY")]);
    assert_eq!(texts(&rows, "win_price_basis")[1], Some("thousand_impressions"));
    assert_eq!(integers(&rows, "click_delay_ms"), [None, Some(30), None]);
    assert_eq!(integers(&rows, "bid_micros")[2], Some(1_500_002));

    let again = world.failed(&format!("{JOIN} --out joined.parquet"));
    assert!(again.contains("joined.parquet: the file exists"), "{again}");
    let other = world.failed(&format!("{JOIN} --out joined.csv"));
    assert!(other.contains("a name that ends in .parquet, found joined.csv"), "{other}");
    let hidden = fs::read_dir(world.folder.path()).unwrap().filter_map(Result::ok);
    let hidden: Vec<_> =
        hidden.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(hidden.is_empty(), "temporary files are left: {hidden:?}");
}

#[test]
fn what_is_not_joined_is_counted_by_reason() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    for number in 0..6 {
        server.serve(number);
    }
    // The same id again: the first record counts.
    server.serve(3);
    // The server's own value, of a request that was not filled.
    server.request.clear();
    let served = Served::of("off").with(|it| (it.source, it.own_probability) = (Source::Off, Some(0.5)));
    server.ring.record(&mut server.request, 0, &served).unwrap();
    let off = omomi::serving_log::PredictionId::of("off", "", 0).unwrap();
    let click = Event { prediction_id: off, kind: EventKind::Click, at_unix_ms: Some(at(9)), money: None };
    server.ring.event(&click).unwrap();
    server.event(0, EventKind::Click, 50);
    server.event(0, EventKind::Click, 20);
    server.event(1, EventKind::Click, 3_600_001);
    server.event(2, EventKind::Click, -60_001);
    server.event(77, EventKind::Click, 0);
    // Its window is open at the end of the log.
    server.event(5, EventKind::Click, 0);
    server.close();
    let until = "log join served --contract contract.toml --window 1h --until 2026-10-01T01:00:04Z";
    let said = counts(&world.done(&format!("{until} --out joined.parquet")));
    let expected = [
        ("predictions", 8),
        ("rows", 5),
        ("with a click", 1),
        ("left out: with the id of another", 1),
        ("left out: without a row", 1),
        ("left out: whose window is open", 1),
        ("events", 7),
        ("that count", 1),
        ("not used: repeated", 1),
        ("not used: after the window", 1),
        ("not used: before their prediction", 1),
        ("not used: without a prediction", 1),
        ("not used: of predictions whose window is open", 1),
        ("not used: of predictions that were left out", 1),
    ];
    for (name, count) in expected {
        assert_eq!(said.get(name), Some(&count), "{name}: {said:?}");
    }
    let rows = read(&world, "joined.parquet");
    assert_eq!(integers(&rows, "click_delay_ms")[0], Some(20), "the first click counts");
}

#[test]
fn a_later_run_has_what_waited_and_what_came_late_and_nothing_twice() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve_all(0..10);
    server.event(2, EventKind::Click, 5);
    server.close();
    let run = |until: &str, rest: &str| {
        counts(&world.done(&format!("log join served --contract contract.toml --window 1h --until {until} {rest}")))
    };
    let first = run("2026-10-01T01:00:04Z", "--out first.parquet");
    assert_eq!((first["rows"], first["left out: whose window is open"]), (5, 5));

    // A click of a row that the first run wrote, which reached the log late.
    let mut server = world.serve(|_| {});
    server.event(1, EventKind::Click, 700);
    server.event(8, EventKind::Click, 700);
    server.close();
    let second = run("2026-10-01T02:00:00Z", "--previous first.parquet --out second.parquet");
    assert_eq!((second["rows"], second["again, because an event came late"]), (6, 1), "{second:?}");
    assert_eq!(second["left out: joined by an earlier run"], 4);
    let rows = read(&world, "second.parquet");
    let late: Vec<bool> = rows["late"].as_boolean().iter().map(Option::unwrap).collect();
    assert_eq!(late, [true, false, false, false, false, false]);
    assert_eq!(integers(&rows, "clicked"), [1, 0, 0, 0, 1, 0].map(Some));
    assert_eq!(texts(&rows, "prediction_id")[0], Some(id_of(1).to_string().as_str()));

    let third = run("2026-10-01T03:00:00Z", "--previous first.parquet second.parquet --out third.parquet");
    assert_eq!((third["rows"], third["left out: joined by an earlier run"]), (0, 10));
}

#[test]
fn the_order_of_the_inputs_and_the_number_of_partitions_change_no_byte() {
    let world = World::new(&[]);
    for (name, numbers) in [("a", 0..150), ("b", 150..300), ("c", 300..400)] {
        let mut server = world.serve_to(name, |it| it.max_segment_len_bytes = 4_096);
        for number in numbers {
            server.serve(number);
            // Events of the other folders, too.
            for kind in EventKind::ALL {
                if (number * 7 + *kind as i64) % 3 == 0 {
                    server.event((number * 30) % 400, *kind, number % 90);
                }
            }
            if number % 40 == 39 {
                assert!(server.log.flush(PATIENCE));
            }
        }
        server.close();
    }
    let mut paths: Vec<String> =
        ["a", "b", "c"].iter().flat_map(|name| world.segments(name)).map(|path| path.display().to_string()).collect();
    assert!(paths.len() > 6, "{paths:?}");
    let mut outputs = Vec::new();
    let mut random = 17_u64;
    for (turn, partition) in ["64MiB", "1", "4kB", "20kB", "7kB", "100kB", "1kB", "2kB"].into_iter().enumerate() {
        for place in (1..paths.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            paths.swap(place, usize::try_from(random >> 33).unwrap() % (place + 1));
        }
        // The same files in folders with other names, so that they are read in another order, too.
        let folder = world.path(&format!("shuffled-{turn}"));
        fs::create_dir(&folder).unwrap();
        for (place, path) in paths.iter().enumerate() {
            fs::copy(path, folder.join(format!("{place:03}.omomilog"))).unwrap();
        }
        let said = world.done(&format!(
            "log join shuffled-{turn} --contract contract.toml --window 1h --until 2026-10-02T00:00:00Z --partition \
             {partition} --out {turn}.parquet"
        ));
        outputs.push((counts(&said), fs::read(world.path(&format!("{turn}.parquet"))).unwrap()));
    }
    assert_eq!(outputs[0].0["rows"], 400);
    assert!(outputs[0].0["with a click"] > 20 && outputs[0].0["not used: repeated"] > 0, "{:?}", outputs[0].0);
    assert!(outputs.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn events_may_come_from_tables_and_bad_ones_are_named() {
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve_all(0..4);
    server.close();
    let id = |number: i64| id_of(number).to_string();
    let wins = format!(
        "prediction_id,kind,time,price_micros,currency,basis\n{},win,2026-10-01T00:00:00.500Z,5,JPY,impression\n\
         {},win,{},7,USD,click\n",
        id(0),
        id(1),
        at(1) + 3
    );
    fs::write(world.path("wins.csv"), wins).unwrap();
    let clicks = format!(
        "{{\"prediction_id\":\"{}\",\"kind\":\"click\",\"time\":{}}}\n{{\"prediction_id\":\"{}\",\"kind\":\"click\",\"time\":{}}}\n",
        id(1),
        at(1) + 9,
        id(3),
        at(3)
    );
    fs::write(world.path("clicks.jsonl"), &clicks).unwrap();
    let both = world.failed(&format!("{JOIN} --events wins.csv clicks.jsonl --out both.parquet"));
    assert!(both.contains("price_micros"), "files of one run have one set of columns: {both}");
    fs::write(
        world.path("clicks.jsonl"),
        clicks.replace("}\n", ",\"price_micros\":null,\"currency\":null,\"basis\":null}\n"),
    )
    .unwrap();
    world.done(&format!("{JOIN} --events wins.csv clicks.jsonl --out both.parquet"));
    let rows = read(&world, "both.parquet");
    assert_eq!(integers(&rows, "clicked"), [0, 1, 0, 1].map(Some));
    assert_eq!(integers(&rows, "win_price_micros"), [Some(5), Some(7), None, None]);
    assert_eq!(integers(&rows, "click_delay_ms"), [None, Some(9), None, Some(0)]);
    let won: Vec<_> = rows["won"].as_boolean().iter().map(Option::unwrap).collect();
    assert_eq!(won, [true, true, false, false]);

    for (line, column) in [
        ("no-id,click,2026-10-01T00:00:00Z".to_owned(), "prediction_id"),
        (format!("{},clicked,2026-10-01T00:00:00Z", id(0)), "kind"),
        (format!("{},click,soon", id(0)), "time"),
    ] {
        fs::write(world.path("bad.csv"), format!("prediction_id,kind,time\n{line}\n")).unwrap();
        let said = world.failed(&format!("{JOIN} --events bad.csv --out bad.parquet"));
        assert!(said.contains("row 1 of the events") && said.contains(&format!("`{column}`")), "{said}");
        assert!(said.contains("who must act: delivery"), "{said}");
        assert!(!world.path("bad.parquet").exists());
    }
    let said = counts(&world.done(&format!("{JOIN} --events bad.csv --max-bad-rows 1 --out bad.parquet")));
    assert_eq!(said["unusable rows of events"], 1);
    fs::write(world.path("bad.csv"), "prediction_id,kind,time,price_micros\n").unwrap();
    let said = world.failed(&format!("{JOIN} --events absent.csv --out other.parquet"));
    assert!(said.contains("absent.csv"), "{said}");
}

#[test]
fn hashed_fields_are_keys_under_another_name_and_columns_of_the_contract_keep_their_names() {
    let world = World::new(&[("site", "hashed"), ("tag", "hashed"), ("floor", "hashed"), ("title", "never")]);
    let mut server = world.serve(|_| {});
    server.serve(1);
    server.close();
    let output = world.omomi(&format!("{JOIN} --out joined.parquet"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("`site_key` has feature keys; `omomi train` learns from them as from plain values"),
        "{said}"
    );
    let rows = read(&world, "joined.parquet");
    let key = |field: &str, value: u64| omomi::feature::feature_key(omomi::feature::field_seed(field), value);
    assert_eq!(rows["site_key"].as_primitive::<UInt64Type>().value(0), key("site", 1));
    assert_eq!(rows["floor_key"].as_primitive::<UInt64Type>().value(0), key("floor", 0), "the bucket of 7.5");
    let tags = rows["tag_key"].as_list::<i32>().value(0);
    assert_eq!(tags.as_primitive::<UInt64Type>().values().to_vec(), [key("tag", 1), key("tag", 101)]);
    assert!(rows["title"].is_null(0));
    assert!(rows.column_by_name("site").is_none());

    // A contract whose fields have names of columns of the log.
    let world = World::new(&[]);
    let mut server = world.serve(|_| {});
    server.serve(1);
    server.close();
    let text = contract_with(&[]).replace("name = \"site\"\n", "name = \"site\"\ncolumn = \"position\"\n");
    let text = text.replace("label = \"clicked\"", "label = \"won\"");
    fs::write(world.path("contract.toml"), text).unwrap();
    let output = world.omomi(&format!("{JOIN} --out joined.parquet"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`served_position`") && said.contains("`served_won`"), "{said}");
    let rows = read(&world, "joined.parquet");
    assert_eq!(integers(&rows, "position"), [Some(1)]);
    assert_eq!(rows["served_position"].as_primitive::<UInt64Type>().value(0), 2);
    assert_eq!(integers(&rows, "won"), [Some(0)]);
    assert!(START_UNIX_MS > 0 && money(1).micros == 1);
}
