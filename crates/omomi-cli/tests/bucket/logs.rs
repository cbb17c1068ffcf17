//! Logs, states, weight files and evaluations in buckets: they have the bytes and the meaning of files in a folder.

use std::path::Path;
use std::process::Command;

use omomi::live::{LiveModel, LiveOptions};
use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema};

use crate::server::{Kind, STORE, Server, bytes};

/// What a server of a store answers to the golden requests of a weight file: generations and probabilities.
fn served(store: &Path, file: &Path) -> Vec<(u64, u32)> {
    let model = Model::load(file, LoadMode::Map).unwrap();
    let (schema, requests) = (Schema::of_contract(model.contract()), model.golden_requests().unwrap());
    let candidates = requests.iter().map(|request| request.rows.candidates.len()).max().unwrap();
    let options = LiveOptions::default().with(|it| it.name = "a".to_owned());
    let live = LiveModel::open(store, &schema, options).unwrap();
    let layout = RequestLayout::new(&schema, Capacity { candidates, tail_len_bytes: 1 << 16 }).unwrap();
    let scorer = live.scorer(&layout).unwrap();
    let mut request = scorer.new_request();
    let mut answers = Vec::new();
    for golden in &requests {
        request.fill(&golden.rows).unwrap();
        scorer.predict_filled(&mut request).unwrap();
        let of = |candidate| (request.generation(), request.answer(candidate).probability.to_bits());
        answers.extend((0..golden.rows.candidates.len()).map(of));
    }
    answers
}

/// Generates a log of four parts in the folder of the server, and copies it to the bucket.
fn with_logs(server: &Server) {
    server.line("generate-log --rows 24000 --seed 3 --click-rate 0.1 --out logs --files 4");
    for part in 0..4 {
        let name = format!("logs/part-{part:03}.parquet");
        server.put(&name, &bytes(server.path(&name)));
    }
    server.put("contract.toml", &bytes(server.path("logs/contract.toml")));
}

#[test]
fn a_day_in_a_bucket_has_the_bytes_of_a_day_in_a_folder() {
    for server in Server::of_each_kind() {
        with_logs(&server);
        let day = |at: &str, contract: &str| {
            let train = format!("train --contract {contract} --time-column timestamp --no-search --quiet");
            let account =
                server.line(&format!("{train} --logs {at}logs/part-00[012].parquet --state {at}day/state.parquet"));
            assert!(account.contains(&format!("{at}day/state.parquet")), "{account}");
            server
                .line(&format!("prune {at}day/state.parquet --out {at}day/small.parquet --min-impressions 2 --quiet"));
            server.line(&format!(
                "pack --contract {contract} --state {at}day/small.parquet --held-out {at}logs/part-003.parquet \
                 --logic-id feed-v1 --generation 1 --out {at}day/1.omomi"
            ));
            server.line(&format!("verify {at}day/1.omomi"));
            server.line(&format!("inspect {at}day/1.omomi --state {at}day/small.parquet --largest 3"));
            server.line(&format!(
                "evaluate {at}day/1.omomi --logs {at}logs/part-003.parquet --json {at}day/evaluation.json --quiet"
            ));
            server.line(&format!(
                "predict {at}day/1.omomi --logs {at}logs/part-003.parquet --out {at}day/predictions.csv --quiet"
            ));
            server.line(&format!("report --evaluation {at}day/evaluation.json --out {at}day/report.html"));
            server.line(&format!("explain {at}day/1.omomi --logs {at}logs/part-003.parquet --row 1"));
            server.line(&format!(
                "contract draft --logs {at}logs/part-003.parquet --label clicked --out {at}day/draft.toml"
            ));
        };
        std::fs::create_dir(server.path("day")).unwrap();
        day("", "logs/contract.toml");
        day("s3://ads/", "s3://ads/contract.toml");
        for name in ["state.parquet", "small.parquet", "1.omomi", "predictions.csv", "draft.toml", "small.bill.json"] {
            let name = format!("day/{name}");
            assert!(server.get(&name) == bytes(server.path(&name)), "{name} has other bytes in a bucket");
        }
        let evaluation = String::from_utf8(server.get("day/evaluation.json")).unwrap();
        assert!(evaluation.contains("s3://ads/day/1.omomi"), "{evaluation}");
        let beside = String::from_utf8(server.get("day/state.provenance.json")).unwrap();
        assert!(beside.contains("\"path\": \"s3://ads/logs/part-000.parquet\""), "{beside}");

        // Published from a bucket to a bucket, and fetched: the same file as from the folder.
        server.line(&format!("publish s3://ads/day/1.omomi --to {STORE} --unblessed"));
        server.line(&format!("fetch {STORE} store --once"));
        assert!(bytes(server.path("store/generations/000001.omomi")) == bytes(server.path("day/1.omomi")));
        server.line("predict store/generations/000001.omomi --logs logs/part-003.parquet --out served.csv --quiet");
        assert!(bytes(server.path("served.csv")) == bytes(server.path("day/predictions.csv")));

        // A live model serves the same answers as one of a store that never was in a bucket.
        server.line("publish day/1.omomi --to local --unblessed");
        let answers = |store| served(&server.path(store), &server.path("day/1.omomi"));
        assert_eq!(answers("store"), answers("local"));
        assert!(answers("store").iter().all(|(generation, _)| *generation == 1));
    }
}

#[test]
fn a_folder_and_a_pattern_of_a_bucket_mean_what_they_mean_on_a_disk() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let header = "clicked,site_id,creative_id\n";
    let rows = |from: u32| (from..from + 30).map(|at| format!("{},{at},{}\n", at % 3 / 2, at % 5)).collect::<String>();
    let names = ["dt=2026-01-02/part-10.csv", "dt=2026-01-02/part-9.csv", "dt=2026-01-03/a.csv.gz", "top.csv"];
    for (index, name) in (0..).zip(names) {
        let text = format!("{header}{}", rows(100 * index));
        let path = server.path(&format!("logs/{name}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.strip_suffix(".gz") {
            None => std::fs::write(&path, text).unwrap(),
            Some(_) => {
                let plain = path.with_extension("");
                std::fs::write(&plain, text).unwrap();
                assert!(Command::new("gzip").args(["-n".as_ref(), plain.as_os_str()]).status().unwrap().success());
            }
        }
        server.put(&format!("logs/{name}"), &bytes(&path));
    }
    for name in ["_SUCCESS", ".hidden.csv", "top.csv.crc", "_temporary/x.csv"] {
        let path = server.path(&format!("logs/{name}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "no log").unwrap();
        server.put(&format!("logs/{name}"), b"no log");
    }
    let train = "train --contract contract.toml --no-search --force --quiet --state";
    let read = |state: &str| {
        let text = std::fs::read_to_string(server.path(&format!("{state}.provenance.json"))).unwrap();
        let paths = text.lines().filter(|line| line.contains("\"path\"") && line.contains("logs/"));
        let names = paths.map(|line| line.split("logs/").last().unwrap().to_owned()).collect::<Vec<_>>();
        (bytes(server.path(&format!("{state}.parquet"))), names)
    };
    for pattern in
        ["logs", "logs/", "logs/*.csv", "logs/**/*.csv", "logs/**", "logs/dt=*", "logs/*/part-?.csv", "logs/top.csv"]
    {
        server.line(&format!("{train} disk.parquet --logs {pattern}"));
        server.line(&format!("{train} bucket.parquet --logs s3://ads/{pattern}"));
        assert!(read("disk") == read("bucket"), "{pattern}: {:?} and {:?}", read("disk").1, read("bucket").1);
    }
    for pattern in ["logs/*.tsv", "absent", "absent/*.csv", "logs/_temporary/*.vw"] {
        let arguments = format!("{train} no.parquet --logs s3://ads/{pattern}");
        let said = server.fail(&arguments.split_whitespace().collect::<Vec<_>>());
        assert!(said.contains(&format!("no file matches `s3://ads/{pattern}`")), "{said}");
    }
    // The same object under two names is read once.
    let twice = server.line(&format!("{train} twice.parquet --logs s3://ads/logs/top.csv s3://ads/logs/top.csv"));
    assert!(twice.contains("30"), "{twice}");
}

#[test]
fn a_name_in_a_bucket_is_never_used_twice_unless_it_is_forced() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    with_logs(&server);
    let train = "train --contract s3://ads/contract.toml --no-search --quiet --logs s3://ads/logs/part-000.parquet";
    let out = "--state s3://ads/out/state.parquet";
    server.line(&format!("{train} {out}"));
    let first = server.get("out/state.parquet");
    let again = format!("{train} --l1 3 {out}");
    let said = server.fail(&again.split_whitespace().collect::<Vec<_>>());
    assert!(said.contains("s3://ads/out/state.parquet") && said.contains("exists"), "{said}");
    assert!(server.get("out/state.parquet") == first);
    server.line(&format!("{again} --force"));
    assert!(server.get("out/state.parquet") != first);
    assert_eq!(server.keys("out"), ["out/state.parquet", "out/state.provenance.json"]);
    let said = server.fail(&["inspect", "s3://ads/out/absent.omomi"]);
    assert!(said.contains("s3://ads/out/absent.omomi does not exist"), "{said}");
    let said = server.fail(&["contract", "check", "s3://ads/absent.toml"]);
    assert!(said.contains("s3://ads/absent.toml") && said.contains("who must act: ml"), "{said}");
}
