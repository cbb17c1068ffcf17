//! Metrics and health of a live model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omomi::live::{Latency, LiveMetrics, LiveModel, SampledField, Stage, TrafficCounts};
use omomi::{CandidateSet, Capacity, Code, LoadMode, Model, RequestLayout, Scorer};
use omomi_train::pack::writer::{self, Parts};

use crate::exposition::{Page, read};
use crate::small_model;
use crate::world::{CANDIDATE_COUNT, Server, World, layout, options, schema};

/// Returns a weight file without weights, whose provenance has the end of its training data.
fn bytes_trained_until(generation: u64, logic_id: &str, end_unix_seconds: Option<u64>) -> Vec<u8> {
    let mut provenance = serde_json::Map::new();
    if let Some(end) = end_unix_seconds {
        let window = serde_json::json!({ "training_window": { "last_us": end * 1_000_000 } });
        provenance.insert("training".to_owned(), window);
    }
    let parts = Parts {
        contract: &small_model::contract(),
        generation,
        logic_id,
        provenance,
        bias: 0.0,
        weights: &Vec::new().into(),
        calibrator: small_model::CALIBRATOR,
        field_sizes: Vec::new(),
        golden: &[small_model::full_rows(2)],
    };
    writer::to_bytes(&parts).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn text_of(metrics: &LiveMetrics) -> String {
    let mut buffer = vec![0; 64 << 10];
    let len = metrics.write_prometheus(&mut buffer).unwrap();
    buffer.truncate(len);
    String::from_utf8(buffer).unwrap()
}

#[test]
fn every_request_is_counted_by_its_outcome() {
    let world = World::new();
    let mut server = world.serve();
    assert_eq!(server.ask(), Err("no_model"));
    world.publish(1);
    assert_eq!(server.look_and_ask(), Ok(1));
    let counts = server.request.counts();
    let too_many = server.scorer.predict(&mut server.request, CANDIDATE_COUNT + 1);
    assert_eq!(too_many.unwrap_err().code(), Code::TooManyCandidates);
    world.control("off");
    for _ in 0..3 {
        assert_eq!(server.look_and_ask(), Err("switched_off"));
    }
    let metrics = server.live.metrics();
    let expected = TrafficCounts {
        predictions: 1,
        failed: 1,
        no_model: 1,
        off: 3,
        scored: CANDIDATE_COUNT as u64,
        unseen: u64::from(counts.unseen_count),
        missing: u64::from(counts.missing_count),
        ..TrafficCounts::default()
    };
    assert_eq!(metrics.requests, expected);
    assert!(expected.unseen > 0);
    assert_eq!((metrics.latency.count(), metrics.latency.counts.len()), (1, Latency::BOUNDS_NS.len() + 1));
    assert!(metrics.latency.sum_ns > 0);
}

#[test]
fn counts_remain_after_their_scorer_is_closed() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let before = server.live.metrics().requests;
    for round in 1..=3 {
        let (other, mut request) = (server.live.scorer(&layout()).unwrap(), server.scorer.new_request());
        request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
        other.predict(&mut request, CANDIDATE_COUNT).unwrap();
        drop(other);
        assert_eq!(server.live.metrics().requests.predictions, before.predictions + round);
        server.live.look_now();
        assert_eq!(server.live.metrics().requests.predictions, before.predictions + round);
        assert_eq!(server.live.metrics().latency.count(), before.predictions + round);
    }
    server.ask().unwrap();
    assert_eq!(server.live.metrics().requests.predictions, before.predictions + 4);
}

#[test]
fn metrics_can_be_taken_while_requests_are_scored_and_generations_change() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let done = AtomicBool::new(false);
    let live = LiveModel::open(
        world.dir(),
        &schema(),
        options().with(|it| {
            it.name = "other".to_owned();
            it.poll_interval = Duration::from_millis(1);
        }),
    );
    let live = live.unwrap();
    server.scorer = live.scorer(&layout()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = live.metrics();
            while !done.load(Ordering::Relaxed) {
                let now = live.metrics();
                assert!(now.requests.predictions >= last.requests.predictions);
                assert!(now.latency.count() >= last.latency.count());
                assert!(now.swaps.served >= last.swaps.served);
                last = now;
            }
        });
        for generation in 2..6 {
            world.publish(generation);
            while server.ask().unwrap() != generation {}
        }
        done.store(true, Ordering::Relaxed);
    });
    // Requests see a new generation before the status of that pass is written.
    live.look_now();
    let metrics = live.metrics();
    assert_eq!(metrics.requests, TrafficCounts { predictions: metrics.latency.count(), ..metrics.requests });
    assert_eq!((metrics.requests.failed, metrics.requests.busy), (0, 0));
    assert_eq!((metrics.swaps.served, metrics.served.unwrap().generation), (5, 5));
}

#[test]
fn attempts_are_counted_by_outcome_code_and_owner_and_the_last_one_is_timed_by_stage() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(server.live.metrics().last_load, None);
    world.publish(1);
    server.live.look_now();
    let mut damaged = World::bytes(2);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    world.publish_bytes(2, &damaged);
    // The second look finds it in quarantine, and so makes no further attempt.
    server.live.look_now();
    server.live.look_now();
    let metrics = server.live.metrics();
    assert_eq!((metrics.swaps.served, metrics.swaps.interrupted), (1, 0));
    assert_eq!(metrics.swaps.refused.iter().collect::<Vec<_>>(), [(Code::Damaged, 1)]);
    assert_eq!(metrics.reasons.iter().collect::<Vec<_>>(), [(Code::Damaged, 1)]);
    assert_eq!(metrics.quarantined_count, 1);
    let load = metrics.last_load.unwrap();
    let reached = Stage::ALL.into_iter().zip(load.stages).filter(|(_, took)| took.is_some());
    let reached: Vec<Stage> = reached.map(|(stage, _)| stage).collect();
    assert_eq!(
        (load.generation, &*reached),
        (2, &[Stage::Open, Stage::Journal, Stage::Read, Stage::Digest, Stage::Verify][..])
    );
    let served = metrics.served.unwrap();
    assert_eq!((served.generation, served.file_len_bytes), (1, World::bytes(1).len() as u64));
    assert_eq!(metrics.mapped_bytes, served.file_len_bytes);
    let page = read(&text_of(&metrics));
    let refused = [("outcome", "refused"), ("code", "damaged"), ("owner", "infra")];
    assert_eq!(page.value("omomi_swaps_total", &refused), Some(1.0));
    assert_eq!(page.value("omomi_swaps_total", &[("outcome", "served")]), Some(1.0));
    assert_eq!(page.value("omomi_reasons", &refused[1..]), Some(1.0));
    assert_eq!(page.value("omomi_last_load_stage_seconds", &[("stage", "swap")]), None);
    assert!(page.value("omomi_last_load_stage_seconds", &[("stage", "verify")]).is_some_and(|took| took > 0.0));
}

#[test]
fn a_withdrawn_generation_is_counted_by_its_reason() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve_with(options().with(|it| it.load_mode = LoadMode::Map));
    let path = world.store.generation_path(1);
    crate::file_operations::make_writable(&path);
    let other = World::bytes(2);
    assert_eq!(other.len(), World::bytes(1).len());
    std::fs::write(&path, other).unwrap();
    assert_eq!(server.look_and_ask(), Err("no_model"));
    let metrics = server.live.metrics();
    assert_eq!(metrics.swaps.withdrawn.of(Code::ChangedInPlace), 1);
}

/// Returns the number of categories and of unseen categories by field, for the tests' request, according to `explain`.
fn expected_by_field(model: &Arc<Model>) -> BTreeMap<String, (u64, u64)> {
    let scorer = Scorer::new(Arc::clone(model), &layout()).unwrap();
    let mut request = scorer.new_request();
    request.fill(&small_model::full_rows(CANDIDATE_COUNT as i64)).unwrap();
    let context: Vec<&str> = vec!["media_id", "interest", "floor_price", "region"];
    let mut counts = BTreeMap::new();
    for candidate in 0..CANDIDATE_COUNT {
        let explained = scorer.explain(&mut request, candidate).unwrap();
        for part in explained.contributions.iter().filter(|part| !part.field.contains('*')) {
            if candidate == 0 || !context.contains(&&*part.field) {
                let (count, unseen) = counts.entry(part.field.clone()).or_insert((0, 0));
                *count += 1;
                *unseen += u64::from(part.source == omomi::score::WeightSource::Unseen);
            }
        }
    }
    counts
}

fn sampled(metrics: &LiveMetrics) -> BTreeMap<String, (u64, u64)> {
    let read = metrics.fields().map(|(name, field)| (name.to_owned(), (field.categories, field.unseen)));
    read.filter(|(_, (categories, _))| *categories > 0).collect()
}

#[test]
fn unseen_categories_are_counted_by_field_on_one_sampled_request_per_look() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    assert_eq!(server.live.metrics().sampled_requests, 0);
    for _ in 0..5 {
        server.ask().unwrap();
    }
    server.live.look_now();
    let (metrics, model) = (server.live.metrics(), server.live.model().unwrap());
    let expected = expected_by_field(&model);
    assert_eq!((metrics.sampled_requests, sampled(&metrics)), (1, expected.clone()));
    // As many as the scorer counted for one request, and at least one of each kind.
    let unseen: u64 = expected.values().map(|(_, unseen)| unseen).sum();
    assert_eq!(metrics.requests.unseen, 5 * unseen);
    assert!(expected.values().any(|(count, unseen)| 0 < *unseen && unseen < count));
    let page = read(&text_of(&metrics));
    for (field, (categories, unseen)) in &expected {
        let labels = [("field", field.as_str())];
        assert_eq!(page.value("omomi_sampled_categories_total", &labels), Some(*categories as f64));
        assert_eq!(page.value("omomi_sampled_unseen_categories_total", &labels), Some(*unseen as f64));
        let ratio = *unseen as f64 / *categories as f64;
        assert_eq!(page.value("omomi_sampled_unseen_ratio", &labels), Some(ratio));
    }
}

#[test]
fn the_share_of_unseen_categories_restarts_with_a_generation_but_their_count_does_not() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.ask().unwrap();
    server.live.look_now();
    let before = sampled(&server.live.metrics());
    world.publish_bytes(2, &bytes_trained_until(2, "empty", None));
    server.live.look_now();
    server.scorer.predict(&mut server.request, CANDIDATE_COUNT).unwrap();
    server.live.look_now();
    let metrics = server.live.metrics();
    for (name, field) in metrics.fields() {
        let (categories, unseen) = before[name];
        let expected = SampledField {
            categories: 2 * categories,
            unseen: unseen + categories,
            served_categories: categories,
            served_unseen: categories,
        };
        assert_eq!((*field, field.unseen_ratio()), (expected, Some(1.0)), "{name}");
    }
}

#[test]
fn categories_of_prepared_candidates_are_counted_too() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    let set = Arc::new(CandidateSet::new(&layout(), 100, 64).unwrap());
    for candidate in 0..CANDIDATE_COUNT {
        set.add(&mut server.request, candidate).unwrap();
    }
    let capacity = Capacity { candidates: CANDIDATE_COUNT, tail_len_bytes: 1_024 };
    let prepared = RequestLayout::prepared(&schema(), capacity).unwrap();
    let scorer = server.live.scorer_with_candidates(&prepared, &set).unwrap();
    let mut request = scorer.new_request();
    request.context().set_all(&small_model::full_rows(1).context).unwrap();
    for candidate in 0..CANDIDATE_COUNT {
        request.set_candidate(candidate, u32::try_from(candidate).unwrap()).unwrap();
    }
    scorer.predict(&mut request, CANDIDATE_COUNT).unwrap();
    server.live.look_now();
    let expected = expected_by_field(&server.live.model().unwrap());
    assert_eq!(sampled(&server.live.metrics()), expected);
}

#[test]
fn training_data_of_too_high_or_unknown_age_adds_a_reason_and_the_model_is_still_served() {
    let hour = Duration::from_secs(3_600);
    for (age, reasons) in [(Some(3_500), vec![]), (Some(3_700), vec!["stale_training_data"])] {
        let world = World::new();
        world.publish_bytes(1, &bytes_trained_until(1, "aged", age.map(|age: u64| now() - age)));
        let server = world.serve_with(options().with(|it| it.max_training_age = Some(hour)));
        assert_eq!(server.reasons(), reasons);
        let (metrics, health) = (server.live.metrics(), server.live.health());
        assert!(metrics.training_age_seconds().unwrap().abs_diff(age.unwrap()) < 100);
        assert!(health.is_ready && metrics.served.is_some());
    }
    let world = World::new();
    world.publish(1);
    let server = world.serve_with(options().with(|it| it.max_training_age = Some(hour)));
    let reason = server.live.health().reasons.remove(0);
    assert_eq!((reason.code, reason.owner().word()), (Code::StaleTrainingData, "ml"));
    assert!(
        reason.text.contains("expected an end at most 3600 seconds ago, found none in its provenance"),
        "{reason:?}"
    );
    assert_eq!(server.live.metrics().training_age_seconds(), None);
    assert_eq!(world.serve_with(options().with(|it| it.name = "free".to_owned())).reasons(), [""; 0]);
}

#[test]
fn training_data_that_ends_in_the_future_adds_a_reason_whatever_the_limit_is() {
    for max_training_age in [None, Some(Duration::from_secs(3_600))] {
        for (ahead, reasons) in [(80_000, vec![]), (90_000, vec!["stale_training_data"])] {
            let world = World::new();
            world.publish_bytes(1, &bytes_trained_until(1, "ahead", Some(now() + ahead)));
            let server = world.serve_with(options().with(|it| it.max_training_age = max_training_age));
            assert_eq!(server.reasons(), reasons, "{ahead} seconds ahead");
            for reason in server.live.health().reasons {
                assert_eq!(reason.owner().word(), "ml");
                let expected = if max_training_age.is_some() { "at most 3600 seconds ago" } else { "in the past" };
                assert!(reason.text.contains(&format!("expected an end {expected}, found one ")), "{reason:?}");
                assert!(reason.text.contains("seconds in the future; check the times of the logs"), "{reason:?}");
            }
        }
    }
}

#[test]
fn a_server_is_ready_if_it_answers_with_a_model_or_by_its_own_means() {
    let world = World::new();
    let server = world.serve();
    let health = server.live.health();
    assert!(health.is_live && !health.is_ready);
    assert_eq!(health.reasons[0].code, Code::NoModel);
    let other = world.serve_with(options().with(|it| {
        it.name = "other".to_owned();
        it.has_fallback = true;
    }));
    assert!(other.live.health().is_ready);
    world.control("off");
    server.live.look_now();
    assert!(server.live.health().is_ready);
    let page = read(&text_of(&server.live.metrics()));
    assert_eq!(page.value("omomi_control", &[("control", "off")]), Some(1.0));
    assert_eq!(page.value("omomi_state", &[("state", "off")]), Some(1.0));
    world.control("on follow");
    world.publish(1);
    server.live.look_now();
    let health = server.live.health();
    assert!(health.is_ready && health.reasons.is_empty());
    let page = read(&text_of(&server.live.metrics()));
    assert_eq!(page.value("omomi_ready", &[]), Some(1.0));
    assert_eq!(page.value("omomi_live", &[]), Some(1.0));
    assert_eq!(page.value("omomi_state", &[("state", "serving")]), Some(1.0));
}

#[test]
fn the_prometheus_text_agrees_with_the_metrics() {
    let world = World::new();
    world.publish_bytes(9, &bytes_trained_until(9, "feed-\"ctr\"\\v1", Some(now() - 100)));
    let mut server = world.serve();
    for _ in 0..7 {
        server.scorer.predict(&mut server.request, CANDIDATE_COUNT).unwrap();
    }
    server.live.look_now();
    let metrics = server.live.metrics();
    let text = text_of(&metrics);
    let page = read(&text);
    let store = world.dir().file_name().unwrap().to_str().unwrap();
    assert_eq!(metrics.store_name(), store);
    assert!(page.series().all(|labels| labels["store"] == store && labels["logic_id"] == "feed-\"ctr\"\\v1"));
    assert_eq!(page.value("omomi_predictions_total", &[]), Some(7.0));
    assert_eq!(page.value("omomi_candidates_total", &[("status", "scored")]), Some(140.0));
    assert_eq!(page.value("omomi_unseen_categories_total", &[]), Some(metrics.requests.unseen as f64));
    assert_eq!(page.value("omomi_served_generation", &[]), Some(9.0));
    assert_eq!(page.value("omomi_prediction_latency_seconds_count", &[]), Some(7.0));
    assert_eq!(page.value("omomi_prediction_latency_seconds_bucket", &[("le", "+Inf")]), Some(7.0));
    assert_eq!(page.value("omomi_prediction_latency_seconds_sum", &[]), Some(metrics.latency.sum_ns as f64 / 1e9));
    let age = page.value("omomi_training_age_seconds", &[]).unwrap();
    assert!((100.0..200.0).contains(&age));
    assert_eq!(page.value("omomi_resident_bytes", &[]), metrics.resident_bytes.map(|bytes| bytes as f64));
    assert_eq!(page.value("omomi_sampled_unseen_ratio", &[("field", "region")]), Some(1.0));
    assert_eq!(page.bucket_count("omomi_prediction_latency_seconds"), Latency::BOUNDS_NS.len() + 1);
}

#[test]
fn a_too_small_buffer_yields_the_required_length_and_several_models_share_headings() {
    let (world, empty) = (World::new(), World::new());
    world.publish(1);
    let (server, other) = (world.serve(), empty.serve());
    let (first, second) = (server.live.metrics(), other.live.metrics());
    let needed = first.write_prometheus(&mut []).unwrap_err();
    assert_eq!(first.write_prometheus(&mut vec![0; needed - 1]), Err(needed));
    assert_eq!(first.write_prometheus(&mut vec![0; needed]), Ok(needed));
    let mut buffer = vec![0; 64 << 10];
    // A scrape with each series twice is refused as a whole.
    assert_eq!(LiveMetrics::write_prometheus_of(&[&first, &first], &mut buffer), Ok(needed));
    let len = LiveMetrics::write_prometheus_of(&[&first, &second], &mut buffer).unwrap();
    let both = read(std::str::from_utf8(&buffer[..len]).unwrap());
    let of = |name: &str, metrics: &LiveMetrics| both.value(name, &[("store", metrics.store_name())]);
    assert_eq!((of("omomi_ready", &first), of("omomi_ready", &second)), (Some(1.0), Some(0.0)));
    assert_eq!((of("omomi_served_generation", &first), of("omomi_served_generation", &second)), (Some(1.0), None));
    let names = |page: &Page| page.families().cloned().collect::<BTreeSet<_>>();
    assert!(names(&read(&text_of(&first))).is_subset(&names(&both)));
}

#[test]
fn the_page_lists_exactly_the_exported_families() {
    const PAGE: &str = include_str!("../../src/live/LIVE.md");
    let table = PAGE.lines().skip_while(|line| !line.starts_with("| name | labels | what |"));
    let names = table.skip(2).take_while(|line| line.starts_with('|')).map(|line| line.split('|').nth(1).unwrap());
    let listed: BTreeSet<&str> = names.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    // Make every family appear: a generation of known age, a refusal, a sampled request, and a fallback file.
    let world = World::new();
    world.publish_bytes(1, &bytes_trained_until(1, "told", Some(now())));
    let fallback = world.dir().join("fallback.omomi");
    crate::world::replace(&fallback, &World::bytes(77));
    let mut server = world.serve_with(options().with(|it| it.fallback_file = Some(fallback)));
    server.scorer.predict(&mut server.request, CANDIDATE_COUNT).unwrap();
    world.publish_bytes(2, b"\x89OMOMI\r\n and then nothing");
    server.live.look_now();
    let text = text_of(&server.live.metrics());
    let page = read(&text);
    assert_eq!(listed, page.families().map(String::as_str).collect());
}

/// Uses `promtool`, which comes with Prometheus and checks the text like its readers do.
#[test]
fn promtool_accepts_the_prometheus_text() {
    let world = World::new();
    world.publish(1);
    let mut server = world.serve();
    server.ask().unwrap();
    server.live.look_now();
    let mut promtool = std::process::Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    promtool.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let Ok(mut process) = promtool.spawn() else {
        println!("skipped: there is no promtool on the path");
        return;
    };
    std::io::Write::write_all(&mut process.stdin.take().unwrap(), text_of(&server.live.metrics()).as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Only the live scorers of a server remain after it is dropped. They continue to count, unread.
#[test]
fn a_scorer_outlives_the_live_model_that_counts_it() {
    let world = World::new();
    world.publish(1);
    let Server { live, scorer, mut request } = world.serve();
    drop(live);
    scorer.predict(&mut request, CANDIDATE_COUNT).unwrap();
}
