//! What is recorded is read back, bit for bit.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use omomi::feature::{feature_key, field_seed, text_value};
use omomi::serving_log::{
    Account, Basis, Currency, DropReason, Event, EventKind, Money, PredictionId, RecordBody, Recorded, Served,
    ServingLog, Source, sample_place,
};
use omomi::store::Digest;
use omomi::{CandidateSet, Capacity, Code, RequestLayout, Scorer};

use crate::small_model;
use crate::world::{
    CANDIDATE_COUNT, PATIENCE, Thread, click, mixed_contract, model_of, options, plain, read, rows, segments_in,
};

#[test]
fn predictions_have_their_answers_and_their_rows_in_contract_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let model = model_of(&small_model::contract());
    let mut thread = Thread::new(&log, &model);
    for candidate in 0..CANDIDATE_COUNT {
        assert_eq!(thread.record(&format!("request-{candidate}"), candidate), Recorded::Queued);
    }
    let answers: Vec<_> = thread.request.answers(CANDIDATE_COUNT).collect();
    drop((thread, log));
    let read = read(folder.path());
    assert_eq!(read.predictions.len(), CANDIDATE_COUNT);
    for (index, (found, answer)) in read.predictions.iter().zip(&answers).enumerate() {
        assert_eq!((found.candidate as usize, &*found.request_id), (index, &*format!("request-{index}")));
        assert_eq!(found.logit.to_bits(), answer.logit.to_bits());
        assert_eq!(found.probability.to_bits(), answer.probability.to_bits());
        assert_eq!(found.head.sequence, index as u64);
        let rows = rows();
        let expected: Vec<(String, String)> = model
            .contract()
            .fields()
            .iter()
            .map(|field| {
                let value = rows.context.get(&field.name).or_else(|| rows.candidates[index].get(&field.name));
                (field.name.clone(), plain(value.unwrap()))
            })
            .collect();
        assert_eq!(found.row, expected);
    }
    let ring = read.ring();
    assert_eq!((ring.read, ring.next_sequence, ring.missing, ring.unexplained), (20, 20, 0, 0));
    assert!(ring.is_closed && read.account.writers().all(|(_, writer)| writer.is_closed));
}

#[test]
fn policies_say_what_of_a_row_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&mixed_contract()));
    thread.record("1", 3);
    drop((thread, log));
    let read = read(folder.path());
    let key = |field: &str, value: u64| feature_key(field_seed(field), value);
    let interests = ["旅行", "", "news"].map(|text| key("interest", text_value(text.as_bytes())));
    let expected = [
        ("media_id", format!("Id({})", i64::MIN)),
        ("interest", format!("Keys({interests:?})")),
        ("floor_price", format!("Key({})", key("floor_price", 2))),
        ("creative_id", format!("Key({})", key("creative_id", 3))),
        ("title", format!("Key({})", key("title", text_value("タイトル 3".as_bytes())))),
        ("tag", "Ids([0, 103])".to_owned()),
        ("age_seconds", "Number(4.5)".to_owned()),
    ];
    assert_eq!(read.predictions[0].row, expected.map(|(name, value)| (name.to_owned(), value)));
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("東京"), "a field that is never logged");
    assert!(!holds("旅行") && !holds("タイトル"), "a field that is hashed");
}

/// Values that are rarely seen: missing, empty, repeated, out of range, and texts that the server has hashed.
#[test]
fn rows_with_gaps_and_odd_values_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let slot = |name: &str| thread.request.layout().schema().slot(name).unwrap();
    let [region, interest, floor_price, title, tag, age] =
        ["region", "interest", "floor_price", "title", "tag", "age_seconds"].map(slot);
    let request = &mut thread.request;
    request.clear();
    request.context().set_text_value(region, 77).unwrap();
    request.context().set_number(floor_price, f64::NAN).unwrap();
    request.context().set_texts(interest, &["旅行", "旅行", ""]).unwrap();
    // Set twice, so that the values have room classes.
    request.context().set_texts(interest, &["a"]).unwrap();
    request.candidate(0).unwrap().set_text(title, &"長".repeat(100)).unwrap();
    request.candidate(1).unwrap().set_ids(tag, &[]).unwrap();
    request.candidate(1).unwrap().set_number(age, 1e18).unwrap();
    request.candidate(3).unwrap().set_text(title, "").unwrap();
    thread.scorer.predict_filled(request).unwrap();
    for candidate in [0, 1, 3] {
        thread.record("1", candidate);
    }
    let refused = thread.ring.record(&mut thread.request, 2, &Served::of("1")).unwrap_err();
    assert_eq!(refused.code(), Code::RecordInvalid, "a gap has no answer");
    drop((thread, log));
    let read = read(folder.path());
    let context = [("interest", "Texts([\"a\"])"), ("floor_price", "Number(NaN)"), ("region", "TextValue(77)")];
    let long = format!("Text({:?})", "長".repeat(100));
    let own: [&[(&str, &str)]; 3] =
        [&[("title", &long)], &[("tag", "Ids([])"), ("age_seconds", "Number(1e18)")], &[("title", "Text(\"\")")]];
    for (found, own) in read.predictions.iter().zip(own) {
        let expected = context.iter().chain(own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(found.row, expected.collect::<Vec<_>>());
    }
    let ring = read.ring();
    assert_eq!((ring.read, ring.missing, ring.unexplained), (3, 1, 0));
    assert_eq!(ring.counts.dropped_for(DropReason::Invalid), 1);
}

#[test]
fn everything_that_a_server_reports_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let model = model_of(&small_model::contract());
    let mut thread = Thread::new(&log, &model);
    let bid = Money { micros: -1_500_000, currency: Currency::new("JPY").unwrap(), basis: Basis::ThousandImpressions };
    let served = Served::of("リクエスト").with(|it| {
        it.impression = "imp-1";
        it.at_unix_ms = Some(-5);
        it.experiment = "bids";
        it.arm = "b";
        it.bucket = Some(0);
        it.position = Some(7);
        it.propensity = Some(0.25);
        it.bid = Some(bid);
        it.latency_ns = u64::MAX;
    });
    thread.ring.record(&mut thread.request, 4, &served).unwrap();
    let (counts, answer) = (thread.request.counts(), thread.request.answer(4));
    drop((thread, log));
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    let mut seen = 0;
    Account::new()
        .read(&bytes, &mut |header, block, record| {
            let RecordBody::Prediction(found) = &record.body else { panic!("{record:?}") };
            assert_eq!(found.id, PredictionId::of("リクエスト", "imp-1", 4).unwrap());
            assert_eq!((found.request_id, found.impression), ("リクエスト", "imp-1"));
            assert_eq!((found.experiment, found.arm, found.bucket), ("bids", "b", Some(0)));
            assert_eq!((found.position, found.propensity, found.bid), (Some(7), Some(0.25), Some(bid)));
            assert_eq!((found.latency_ns, record.head.at_unix_ms), (u64::MAX, -5));
            assert_eq!((found.source, found.is_clamped, found.status), (Source::Model, false, answer.status));
            assert_eq!((found.candidate, found.candidate_count), (4, 20));
            assert_eq!((found.unseen_count, found.missing_count), (counts.unseen_count, counts.missing_count));
            let named = &block.models[record.head.model.unwrap()];
            assert_eq!((named.generation, named.logic_id), (model.generation(), model.logic_id()));
            assert_eq!(named.contract_fingerprint, model.contract().fingerprint());
            assert_eq!(named.digest, Digest::of(model.file().bytes()).as_bytes()[..8]);
            let crosses: Vec<Vec<usize>> =
                named.crosses.iter().map(|cross| cross.iter().map(|member| usize::from(*member)).collect()).collect();
            assert!(crosses.iter().eq(model.contract().crosses().iter().map(|cross| &cross.members)));
            assert_eq!((&*header.name, header.process_id, header.number), ("test", std::process::id(), 0));
            seen += 1;
        })
        .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn without_a_time_the_record_has_the_time_of_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let now = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let before = now();
    thread.record("1", 0);
    let after = now();
    drop((thread, log));
    assert!((before..=after).contains(&read(folder.path()).predictions[0].head.at_unix_ms));
}

#[test]
fn events_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut ring = log.event_ring().unwrap();
    let id = PredictionId::of("1", "", 0).unwrap();
    let price = Money { micros: 120, currency: Currency::new("USD").unwrap(), basis: Basis::Impression };
    let mut expected = Vec::new();
    for kind in EventKind::ALL {
        let money = (*kind == EventKind::Win).then_some(price);
        ring.event(&Event { prediction_id: id, kind: *kind, at_unix_ms: None, money }).unwrap();
        expected.push(format!("LoggedEvent {{ prediction_id: {id:?}, kind: {kind:?}, money: {money:?} }}"));
    }
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    assert_eq!(ring.record(&mut thread.request, 0, &Served::of("1")).unwrap_err().code(), Code::RecordInvalid);
    drop((ring, thread, log));
    assert_eq!(read(folder.path()).events, expected);
}

#[test]
fn a_request_of_another_layout_or_without_answers_is_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let capacity = Capacity { candidates: 1, tail_len_bytes: 0 };
    let other = RequestLayout::new(thread.request.layout().schema(), capacity).unwrap();
    let mut foreign = omomi::Request::new(&other);
    let error = thread.ring.record(&mut foreign, 0, &Served::of("1")).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let own = Served::of("1").with(|it| (it.source, it.own_probability) = (Source::Off, Some(0.5)));
    let careless = [
        (thread.scorer.new_request(), 0, Served::of("1")),
        (thread.request.clone(), CANDIDATE_COUNT, Served::of("1")),
        (thread.request.clone(), usize::MAX, Served::of("1")),
        (thread.request.clone(), 0, Served::of("")),
        (thread.request.clone(), 0, Served::of("1").with(|it| it.model = 1)),
        (thread.request.clone(), 0, Served::of("1").with(|it| it.source = Source::Late)),
        (thread.request.clone(), 0, Served::of("1").with(|it| it.source = Source::Refused)),
        (thread.request.clone(), 0, own),
    ];
    for (mut request, candidate, served) in careless {
        let error = thread.ring.record(&mut request, candidate, &served).unwrap_err();
        assert_eq!(error.code(), Code::RecordInvalid, "{candidate} {served:?}");
    }
    drop((thread, log));
    let ring = read(folder.path()).ring();
    assert_eq!((ring.read, ring.missing, ring.unexplained), (0, 9, 0));
    assert_eq!(ring.counts.dropped_for(DropReason::Invalid), 9);
}

#[test]
fn the_value_of_a_fallback_model_names_it_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    for source in [Source::Off, Source::NoModel] {
        let served = Served::of("1").with(|it| it.source = source);
        assert_eq!(thread.ring.record(&mut thread.request, 4, &served).unwrap(), Recorded::Queued);
    }
    let answer = thread.request.answer(4);
    drop((thread, log));
    let read = read(folder.path());
    for (found, source) in read.predictions.iter().zip(["Off", "NoModel"]) {
        assert_eq!((found.logit.to_bits(), found.probability), (answer.logit.to_bits(), answer.probability));
        assert_eq!((found.row.len(), found.head.model), (8, Some(0)));
        assert!(found.text.contains(&format!("source: {source}")), "{}", found.text);
    }
    assert_eq!(read.predictions.len(), 2);
}

#[test]
fn each_of_several_models_is_named_and_has_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let models = [model_of(&small_model::contract()), model_of(&mixed_contract())];
    let layout = crate::world::layout().for_models(2).unwrap();
    let scorer = Scorer::for_models(models.to_vec(), &layout).unwrap();
    let mut request = scorer.new_request();
    request.fill(&rows()).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    let mut ring = log.ring(&scorer).unwrap();
    for round in 0..6 {
        let served = Served::of("1").with(|it| it.model = round % 2);
        ring.record(&mut request, round, &served).unwrap();
    }
    drop((ring, log));
    let read = read(folder.path());
    for (round, found) in read.predictions.iter().enumerate() {
        assert_eq!(found.logit.to_bits(), request.answer_of(round % 2, round).logit.to_bits());
        assert_eq!((usize::from(found.head.answer), found.row.len()), (round % 2, 8 - round % 2));
    }
    assert_eq!(read.predictions.len(), 6);
}

#[test]
fn prepared_candidates_have_the_row_that_was_scored_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 1_000_000)).unwrap();
    let model = model_of(&small_model::contract());
    let inline = crate::world::layout();
    let set = Arc::new(CandidateSet::new(&inline, 100, 8).unwrap());
    let mut carrier = omomi::Request::new(&inline);
    carrier.fill(&rows()).unwrap();
    let names: Vec<u32> = (0..CANDIDATE_COUNT).map(|index| set.add(&mut carrier, index).unwrap()).collect();
    let layout = RequestLayout::prepared(inline.schema(), inline.capacity()).unwrap();
    let scorer = Scorer::with_candidates(vec![model], &layout, &set).unwrap();
    let mut request = scorer.new_request();
    request.context().set_all(&rows().context).unwrap();
    request.set_candidates(&names).unwrap();
    scorer.predict_filled(&mut request).unwrap();
    let mut ring = log.ring(&scorer).unwrap();
    ring.record(&mut request, 3, &Served::of("1")).unwrap();
    assert!(log.flush(PATIENCE));
    // Replaced and removed after the answer, and before the record is written.
    set.put(names[5], &mut carrier, 6).unwrap();
    set.remove(names[7]).unwrap();
    for candidate in [5, 6, 7] {
        ring.record(&mut request, candidate, &Served::of("2")).unwrap();
    }
    let answers: Vec<_> = request.answers(CANDIDATE_COUNT).collect();
    drop((ring, log));
    let read = read(folder.path());
    let states: Vec<_> = read.predictions.iter().map(|found| (found.candidate, found.row_state)).collect();
    assert_eq!(states, [(3, "here"), (5, "changed"), (6, "here"), (7, "changed")]);
    let title = format!("TextValue({})", text_value("タイトル 3".as_bytes()));
    assert!(read.predictions[0].row.contains(&("title".to_owned(), title)), "{:?}", read.predictions[0].row);
    assert!(read.predictions[0].row.contains(&("tag".to_owned(), "Ids([0, 103])".to_owned())));
    for found in &read.predictions {
        assert_eq!(found.logit.to_bits(), answers[found.candidate as usize].logit.to_bits());
    }
    assert_eq!(read.details, ["1", "2"]);
}

#[test]
fn details_explain_every_candidate_of_the_requests_in_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 100_000)).unwrap();
    let model = model_of(&small_model::contract());
    let mut thread = Thread::new(&log, &model);
    let ids: Vec<String> = (0..300).map(|index| format!("request-{index}")).collect();
    for id in &ids {
        thread.record(id, 0);
        thread.record(id, 1);
    }
    drop(log);
    let mut seen = Vec::new();
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    Account::new()
        .read(&bytes, &mut |_, block, record| {
            let RecordBody::Detail(detail) = &record.body else { return };
            let named = &block.models[record.head.model.unwrap()];
            let group = |group: u16| match named.fields.get(usize::from(group)) {
                Some(field) => field.name.to_owned(),
                None => {
                    let cross = &named.crosses[usize::from(group) - named.fields.len()];
                    let names: Vec<_> = cross.iter().map(|member| named.fields[usize::from(*member)].name).collect();
                    names.join("*")
                }
            };
            assert_eq!(detail.candidates.len(), CANDIDATE_COUNT);
            for (index, candidate) in detail.candidates.iter().enumerate() {
                let expected = thread.scorer.explain(&mut thread.request, index).unwrap();
                let features = detail.context.iter().chain(&candidate.features);
                let found: Vec<_> = features
                    .map(|feature| (group(feature.group), feature.key, feature.weight.to_bits(), feature.source))
                    .collect();
                let expected_features: Vec<_> = expected
                    .contributions
                    .iter()
                    .map(|it| (it.field.clone(), it.key, it.weight.to_bits(), it.source))
                    .collect();
                assert_eq!(found, expected_features);
                assert_eq!(detail.bias.to_bits(), expected.bias.to_bits());
                assert_eq!(candidate.logit.to_bits(), expected.logit.to_bits());
                assert_eq!(candidate.probability.to_bits(), expected.probability.to_bits());
            }
            seen.push(detail.request_id.to_owned());
        })
        .unwrap();
    let expected: Vec<_> = ids.iter().filter(|id| sample_place(0, id) < 100_000).cloned().collect();
    assert!((15..60).contains(&expected.len()), "{}", expected.len());
    assert_eq!(seen, expected);
}

#[test]
fn details_have_nothing_of_fields_that_are_never_logged_nor_of_their_crosses() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.details_per_million = 1_000_000)).unwrap();
    let mut thread = Thread::new(&log, &model_of(&mixed_contract()));
    thread.record("1", 0);
    drop((thread, log));
    let bytes = std::fs::read(&segments_in(folder.path(), false)[0]).unwrap();
    let mut feature_count = 0;
    Account::new()
        .read(&bytes, &mut |_, block, record| {
            let RecordBody::Detail(detail) = &record.body else { return };
            let named = &block.models[record.head.model.unwrap()];
            let region = named.fields.iter().position(|field| field.name == "region").unwrap();
            let all = detail.context.iter().chain(detail.candidates.iter().flat_map(|candidate| &candidate.features));
            for feature in all {
                let group = usize::from(feature.group);
                let is_of_region = match group.checked_sub(named.fields.len()) {
                    None => group == region,
                    Some(cross) => named.crosses[cross].iter().any(|member| usize::from(*member) == region),
                };
                assert!(!is_of_region);
                feature_count += 1;
            }
        })
        .unwrap();
    assert!(feature_count > 100, "{feature_count}");
}

#[test]
fn a_sample_holds_whole_requests_and_is_a_part_of_any_larger_one() {
    let mut kept: Vec<Vec<String>> = Vec::new();
    for rate in [0, 200_000, 500_000, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let log = ServingLog::open(folder.path(), options().with(|it| it.predictions_per_million = rate)).unwrap();
        let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
        let mut left_out = 0;
        for index in 0..200 {
            for candidate in 0..3 {
                let recorded = thread.record(&format!("request-{index}"), candidate);
                left_out += u64::from(recorded == Recorded::SampledOut);
            }
        }
        drop((thread, log));
        let read = read(folder.path());
        let ids: Vec<String> = read.predictions.iter().map(|found| found.request_id.clone()).collect();
        assert!(ids.chunks(3).all(|three| three.iter().all(|id| *id == three[0])));
        assert_eq!(ids.len() as u64 + left_out, 600);
        assert_eq!(read.ring().counts.sampled_out, left_out, "and the footer says so");
        assert!(kept.iter().all(|smaller| smaller.iter().all(|id| ids.contains(id))));
        kept.push(ids);
    }
    let counts: Vec<usize> = kept.iter().map(Vec::len).collect();
    assert!(counts[0] == 0 && (60..200).contains(&counts[1]) && (240..360).contains(&counts[2]) && counts[3] == 600);
}

#[test]
fn other_sources_than_the_model_have_the_servers_own_value_and_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.fallbacks_per_second = 3)).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let mut request = thread.scorer.new_request();
    request.fill(&rows()).unwrap();
    let own = Served::of("1").with(|it| (it.source, it.own_probability) = (Source::Off, Some(0.01)));
    let recorded: Vec<_> = (0..10).map(|index| thread.ring.record(&mut request, index, &own).unwrap()).collect();
    assert_eq!(recorded[2..4], [Recorded::Queued, Recorded::Dropped(DropReason::RateLimited)]);
    assert_eq!(thread.record("1", 0), Recorded::Queued, "the limit is not for answers of the model");
    // What cannot be read is served somehow, too.
    let refused = Served::of("2").with(|it| it.source = Source::Refused);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    request.candidate(19).unwrap();
    // SAFETY: the word of the block that says how much of the tail is used; the request is not used otherwise.
    unsafe { request.block_address().cast::<u32>().add(1).write(u32::MAX) };
    assert_eq!(thread.ring.record(&mut request, 0, &refused).unwrap(), Recorded::Queued);
    drop((thread, log));
    let read = read(folder.path());
    assert_eq!(read.predictions.len(), 5);
    assert!(read.predictions[0].text.contains("source: Off"), "{}", read.predictions[0].text);
    assert_eq!((read.predictions[0].probability, read.predictions[0].row.len()), (0.01, 8));
    assert!(read.predictions[0].logit.is_nan() && read.predictions[0].row_state == "here");
    assert_eq!((read.predictions[4].row_state, read.predictions[4].row.len()), ("unreadable", 0));
    assert_eq!(read.ring().counts.dropped_for(DropReason::RateLimited), 7);
    assert_eq!(read.ring().unexplained, 0);
}

#[test]
fn a_ring_that_outlives_its_log_drops_what_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut ring = log.event_ring().unwrap();
    ring.event(&click(PredictionId::of("1", "", 0).unwrap())).unwrap();
    drop(log);
    let dropped = ring.event(&click(PredictionId::of("1", "", 0).unwrap())).unwrap();
    assert_eq!(dropped, Recorded::Dropped(DropReason::Closed));
    assert_eq!(read(folder.path()).events.len(), 1);
}
