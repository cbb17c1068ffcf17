//! Rotations and runs over a real file, trained by the test itself. Nothing here depends on the speed of the machine.

use std::path::Path;

use super::*;
use crate::learn::{Sampling, Settings, TrainOptions, train};
use crate::log::generate;
use crate::log::{LogReader, ReadOptions};
use crate::pack::{DEFAULT_CALIBRATOR, PackOptions, pack};
use omomi::LoadMode;
use omomi::contract::Side;
use omomi::weight_file::table::Encoding;

const SPEC: RotationSpec = RotationSpec { requests: 64, candidates: 40, seed: 1, hashed_texts: false };

/// A model trained on a generated log, and the pattern of its held-out log.
fn trained(folder: &Path) -> (Arc<Model>, String) {
    let paths = [folder.join("learn.parquet"), folder.join("held-out.parquet")];
    let spec = generate::LogSpec { rows: 6_000, seed: 3, click_rate: 0.1 };
    generate::write(&spec, &paths, generate::WriteOptions::default(), &mut |_| ()).unwrap();
    let contract = crate::toml::parse_contract(generate::CONTRACT).unwrap();
    let [logs, held_out] = paths.map(|path| path.display().to_string());
    let options = TrainOptions {
        logs: vec![logs],
        held_out: Vec::new(),
        read: ReadOptions::default(),
        // With an l1, categories that were seen but have no weight would count as unseen, too.
        settings: Settings { l1: 0.0, ..Settings::default() },
        sampling: Sampling::default(),
        start: None,
        passes: 1,
        search: None,
        last_iterates: false,
        cache: None,
        state: folder.join("state.parquet"),
        replace: false,
        again: false,
        arguments: Vec::new(),
    };
    train(&contract, &options, &mut |_| ()).unwrap();
    let options = PackOptions {
        state: options.state,
        held_out: vec![held_out.clone()],
        read: options.read,
        logic_id: "latency-test".to_owned(),
        generation: 1,
        calibrator: DEFAULT_CALIBRATOR,
        encoding: Encoding::F32,
    };
    let path = folder.join("000001.omomi");
    pack(&contract, &options, &path, &mut |_| ()).unwrap();
    (Model::load(&path, LoadMode::Map).unwrap(), held_out)
}

fn from_log(model: &Model, log: &str, spec: RotationSpec) -> Result<Rotation, LatencyError> {
    let mut reader = LogReader::open(model.contract(), &[log], ReadOptions::default()).unwrap();
    Rotation::from_log(model, &mut reader, spec)
}

/// The answers to all requests of a rotation.
fn answers(model: &Arc<Model>, rotation: &Rotation, candidates: usize) -> Vec<u64> {
    let scorer = Scorer::new(Arc::clone(model), &rotation.layout(candidates).unwrap()).unwrap();
    let mut request = scorer.new_request();
    let mut bits = Vec::new();
    for index in 0..rotation.spec().requests {
        rotation.fill(index, candidates, &mut request).unwrap();
        scorer.predict(&mut request, candidates).unwrap();
        bits.extend(request.answers(candidates).map(|answer| answer.logit.to_bits()));
    }
    bits
}

#[test]
fn rotations_from_a_log_and_invented_rotations_are_complete_repeatable_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (model, log) = trained(folder.path());
    let make: [&dyn Fn(RotationSpec) -> Rotation; 2] =
        [&|spec| from_log(&model, &log, spec).unwrap(), &|spec| Rotation::synthetic(&model, spec).unwrap()];
    for (make, source) in make.into_iter().zip([RowSource::Log, RowSource::Invented]) {
        let rotation = make(SPEC);
        assert_eq!((rotation.source(), rotation.context_count()), (source, 64));
        assert!(rotation.candidate_count() > 1_000 && rotation.feature_count() > 100);
        let coverage = rotation.check(&model, 40, false).unwrap();
        assert_eq!((coverage.request_count, coverage.compared_count), (64, 16));
        // Of each request: at most all values of the context and 8 of each candidate.
        assert!((64 * 40 * 4..64 * (40 * 8 + 200)).contains(&coverage.category_count), "{coverage:?}");
        let (unseen, unseen_crosses) = (coverage.unseen_share().unwrap(), coverage.unseen_cross_share().unwrap());
        assert!((0.01..0.9).contains(&unseen) && (0.0..=1.0).contains(&unseen_crosses), "{coverage:?}");
        assert!(coverage.missing_count > 0);
        assert_eq!(rotation.check(&model, 40, true).unwrap(), coverage, "prepared candidates meet the same weights");
        assert_eq!(answers(&model, &rotation, 40), answers(&model, &make(SPEC), 40));
        assert_ne!(answers(&model, &rotation, 40), answers(&model, &make(RotationSpec { seed: 2, ..SPEC }), 40));
        assert_eq!(
            answers(&model, &rotation, 40),
            answers(&model, &make(RotationSpec { hashed_texts: true, ..SPEC }), 40),
            "a text and its hash are one category"
        );
        // Smaller requests are the first part of large ones.
        let (large, small) = (answers(&model, &rotation, 40), answers(&model, &rotation, 3));
        assert_eq!(large.chunks(40).map(|chunk| &chunk[..3]).collect::<Vec<_>>().concat(), small);
    }
}

#[test]
fn a_log_has_fewer_unseen_categories_than_invented_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (model, log) = trained(folder.path());
    let unseen = |rotation: &Rotation| rotation.check(&model, 40, false).unwrap().unseen_share().unwrap();
    let (real, invented) = (from_log(&model, &log, SPEC).unwrap(), Rotation::synthetic(&model, SPEC).unwrap());
    assert!(unseen(&real) < unseen(&invented), "{} {}", unseen(&real), unseen(&invented));
}

#[test]
fn candidates_of_a_request_are_distinct_while_there_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (model, log) = trained(folder.path());
    let rotation = from_log(&model, &log, SPEC).unwrap();
    for index in 0..SPEC.requests {
        let mut rows = rotation.rows_of(index, 40).to_vec();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 40);
    }
    assert_ne!(rotation.rows_of(0, 40), rotation.rows_of(1, 40));
    assert_eq!(rotation.rows_of(3, 40), rotation.rows_of(SPEC.requests + 3, 40));
    let max = RotationSpec { requests: 2, candidates: rotation.candidate_count() + 5, ..SPEC };
    let rotation = from_log(&model, &log, max).unwrap();
    let rows = rotation.rows_of(1, max.candidates);
    assert_eq!(rows[..5], rows[max.candidates - 5..]);
    rotation.check(&model, max.candidates, false).unwrap();
}

#[test]
fn every_request_of_a_run_is_in_every_distribution() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = trained(folder.path());
    let rotation = Rotation::synthetic(&model, SPEC).unwrap();
    let run = Run { warm_up: Duration::from_millis(5), ..Run::new(2, 40, Duration::from_millis(60)) };
    let back_to_back = measure(&model, &rotation, &run).unwrap();
    let at_rate = measure(&model, &rotation, &Run { rate_per_second: Some(500.0), ..run }).unwrap();
    let prepared = measure(&model, &rotation, &Run { prepared: true, ..run }).unwrap();
    assert!(prepared.preparation.is_some() && back_to_back.preparation.is_none());
    assert_eq!(at_rate.request_count + at_rate.unserved_count, 30);
    assert_eq!((back_to_back.wait.count(), at_rate.wait.count()), (0, 30));
    assert_eq!(back_to_back.unserved_count, 0);
    for measurement in [&back_to_back, &at_rate, &prepared] {
        assert!(measurement.request_count > 0);
        assert_eq!(measurement.latency.count(), measurement.request_count + measurement.unserved_count);
        for part in [&measurement.request, &measurement.fill, &measurement.predict, &measurement.read] {
            assert_eq!(part.count(), measurement.request_count);
        }
        assert!(measurement.predict.max_ns() <= measurement.request.max_ns());
        assert!(measurement.latency.quantile_ns(0.5) <= measurement.latency.max_ns());
        assert!(measurement.elapsed >= run.duration);
        assert!(measurement.predictions_per_second() > measurement.requests_per_second());
    }
}

#[test]
fn runs_and_rotations_outside_their_limits_are_rejected_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = trained(folder.path());
    let rotation = Rotation::synthetic(&model, SPEC).unwrap();
    let run = Run::new(1, 40, Duration::from_secs(1));
    for (run, expected) in [
        (Run { threads: 0, ..run }, "expected 1 to 1024 threads, found 0"),
        (Run { candidates: 41, ..run }, "the rotation has 1 to 40 candidates per request, found 41"),
        (Run { candidates: 0, ..run }, "the rotation has 1 to 40 candidates per request, found 0"),
        (
            Run { rate_per_second: Some(0.0), ..run },
            "expected a rate above 0 and up to 10000000 requests per second, found 0",
        ),
        (Run { rate_per_second: Some(f64::NAN), ..run }, "requests per second, found NaN"),
        (Run { duration: Duration::ZERO, ..run }, "expected a duration above 0 seconds"),
    ] {
        let error = measure(&model, &rotation, &run).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (spec, expected) in [
        (RotationSpec { requests: 0, ..SPEC }, "requests in a rotation, found 0"),
        (RotationSpec { candidates: 65_537, ..SPEC }, "expected 1 to 65536 candidates per request, found 65537"),
        (
            RotationSpec { requests: 1 << 20, candidates: 257, ..SPEC },
            "1048576 requests of 257 candidates are too many: at most 268435456 candidates are allowed",
        ),
    ] {
        let error = Rotation::synthetic(&model, spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_answer_that_differs_from_the_plain_twins_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = trained(folder.path());
    let rotation = Rotation::synthetic(&model, SPEC).unwrap();
    let scorer = Scorer::new(Arc::clone(&model), &rotation.layout(40).unwrap()).unwrap();
    let (mut one, mut other) = (scorer.new_request(), scorer.new_request());
    for (index, request) in [&mut one, &mut other].into_iter().enumerate() {
        rotation.fill(index, 40, request).unwrap();
        scorer.predict(request, 40).unwrap();
    }
    rotation::compare(7, 40, &one, &one).unwrap();
    let error = rotation::compare(7, 40, &one, &other).unwrap_err().to_string();
    assert!(error.starts_with("wrong answer: for candidate 0 of request 7 the kernel gives"), "{error}");
}

#[test]
fn invented_rows_have_the_types_of_their_fields_and_no_number_out_of_range() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = trained(folder.path());
    let golden = model.golden_requests().unwrap();
    let mut random = <rand_pcg::Pcg64Mcg as rand::SeedableRng>::seed_from_u64(1);
    for golden in [&golden[..], &[]] {
        let rows = rows::invent_rows(model.contract(), golden, 100, &mut random);
        for (side, rows) in [(Side::Context, &rows.contexts), (Side::Candidate, &rows.candidates)] {
            for row in rows {
                let json = omomi::request::row_to_json(row);
                let read = omomi::request::row_from_json(model.contract(), side, json.as_object().unwrap()).unwrap();
                assert_eq!(&read, row);
            }
        }
        let rotation = Rotation::new(model.contract(), rows, RowSource::Invented, SPEC, &mut random).unwrap();
        let scorer = Scorer::new(Arc::clone(&model), &rotation.layout(40).unwrap()).unwrap();
        let mut request = scorer.new_request();
        rotation.fill(0, 40, &mut request).unwrap();
        scorer.predict(&mut request, 40).unwrap();
        assert_eq!(request.counts().invalid_number_count, 0);
    }
}
