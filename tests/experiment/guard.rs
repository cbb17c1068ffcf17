//! The guard stops an arm that has left its bands, in this process and the ones after it, until the file knows.

use std::time::Duration;

use omomi::Code;
use omomi::experiment::{ArmState, CalibrationBand, Experiment, Exposure, Guard, LiveExperiment};
use omomi::serving_log::{Event, EventKind, LogRing, PredictionId, Recorded, Served, ServingLog};

use crate::shadows::log_options;
use crate::store_world::CANDIDATE_COUNT;
use crate::world::{Experiments, Thread, experiment};

fn guarded(guard: Guard) -> Experiment {
    let mut now = experiment([5_000, 5_000]);
    now.guard = Some(guard);
    now
}

fn errors_only() -> Guard {
    Guard { max_error_share: Some(0.01), calibration: None, false_stop_probability: 0.001 }
}

/// Whether the guard has stopped the arm `b`, with the words of the reason.
fn stop_of_b(live: &LiveExperiment) -> Option<String> {
    live.look_now();
    let status = live.status();
    assert_eq!(status.arms[0].guard_stop, None, "the control arm");
    let reason = status.arms[1].guard_stop.clone()?;
    assert_eq!(reason.code, Code::GuardStopped);
    assert!(status.arms[1].reasons.contains(&reason) && !status.arms[1].is_ready);
    Some(reason.text)
}

#[test]
fn an_arm_that_fails_its_requests_is_stopped_through_restarts_until_the_file_says_so() {
    let world = Experiments::new();
    world.store("a").publish(1);
    let mut now = guarded(errors_only());
    world.write(&now);
    let live = world.open();
    let mut thread = Thread::new(&live);
    assert_eq!(stop_of_b(&live), None);
    assert_eq!(thread.counts(), [200, 0], "the arm b has no model");
    let text = stop_of_b(&live).expect("a stop");
    assert!(text.contains("the arm b") && text.contains("(100.00 %)"), "{text}");
    let failed = live.status().arms[1].failed_count;
    assert!(failed > 50, "{failed}");
    let page = live.status().to_prometheus();
    for (arm, is_stopped) in [("a", 0), ("b", 1)] {
        let series = format!("omomi_experiment_guard_stopped{{experiment=\"test\",arm=\"{arm}\"}} {is_stopped}\n");
        assert!(page.contains(&series), "{page}");
    }
    let answered = thread.predict("request-1").unwrap();
    assert!(!answered.fell_back, "its units belong to the control arm");
    assert_eq!(live.status().arms[1].state, ArmState::Serve, "what the file says");
    drop((thread, live));

    // A model comes, and the process begins again: only people say that the arm is good.
    world.store("b").publish(2);
    let live = world.open();
    assert!(stop_of_b(&live).is_some());
    assert_eq!(Thread::new(&live).counts(), [200, 0]);
    now.version += 1;
    now.assignment = now.assignment.with_shares(&[4_000, 6_000]).unwrap();
    world.write(&now);
    assert!(stop_of_b(&live).is_some(), "another share is no answer");
    let mut stopped = now.clone();
    stopped.arms[1].state = ArmState::Stopped;
    world.write(&stopped);
    assert_eq!(stop_of_b(&live), None);
    world.write(&now);
    assert_eq!(stop_of_b(&live), None);
    drop(live);
    let live = world.open();
    assert_eq!(stop_of_b(&live), None);
    let [a, b] = Thread::new(&live).counts();
    assert!(a > 50 && b > 50, "{a} {b}");
    assert_eq!(stop_of_b(&live), None, "it answers");
}

#[test]
fn without_a_guard_no_arm_is_stopped() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.write(&experiment([5_000, 5_000]));
    let live = world.open();
    assert_eq!(Thread::new(&live).counts(), [200, 0]);
    assert_eq!(stop_of_b(&live), None);
}

/// Records a prediction of each request, and a click of those that `is_clicked` chooses by their probability and by
/// whether the control arm answered.
fn serve(
    thread: &mut Thread,
    (log, ring, events): (&ServingLog, &mut LogRing, &mut LogRing),
    ids: std::ops::Range<u32>,
    is_clicked: impl Fn(u32, f32, bool) -> bool,
) {
    for id in ids {
        let name = format!("request-{id}");
        let is_control = thread.predict(&name).unwrap().is_control;
        let candidate = id as usize % CANDIDATE_COUNT;
        let probability = thread.request.answer(candidate).probability;
        let recorded = ring.record(&mut thread.request, candidate, &Served::of(&name)).unwrap();
        assert_eq!(recorded, Recorded::Queued);
        let prediction_id = PredictionId::of(&name, "", u32::try_from(candidate).unwrap()).unwrap();
        let mut event = |kind| {
            let event = Event { prediction_id, kind, at_unix_ms: None, money: None };
            assert_eq!(events.event(&event).unwrap(), Recorded::Queued);
        };
        event(EventKind::Impression);
        if is_clicked(id, probability, is_control) {
            event(EventKind::Click);
        }
        if id % 100 == 99 {
            assert!(log.flush(Duration::from_secs(60)));
        }
    }
}

#[test]
fn an_arm_whose_calibration_leaves_the_band_is_stopped_and_one_within_it_is_not() {
    let world = Experiments::new();
    world.store("a").publish(1);
    world.store("b").publish(2);
    let window = Duration::from_secs(1);
    let calibration = CalibrationBand { min: 0.5, max: 2.0, of: Exposure::Impressions, window };
    world.write(&guarded(Guard { max_error_share: None, calibration: Some(calibration), ..errors_only() }));
    let live = world.open();
    live.look_now();
    let mut thread = Thread::new(&live);
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), log_options()).unwrap();
    let (mut ring, mut events) = (log.experiment_ring(&thread.scorer).unwrap(), log.event_ring().unwrap());
    let over = || std::thread::sleep(window + Duration::from_millis(1_100));
    // As many clicks as expected, spread evenly.
    let evenly =
        |id: u32, probability: f32, _: bool| (f64::from(id) * 0.618_033_988_749_895).fract() < f64::from(probability);
    serve(&mut thread, (&log, &mut ring, &mut events), 0..2_000, evenly);
    over();
    assert_eq!(stop_of_b(&live), None);
    // The arm gets no clicks: predicted ones are missing. The control arm gets its clicks.
    serve(&mut thread, (&log, &mut ring, &mut events), 2_000..8_000, |_, _, is_control| is_control);
    over();
    let text = stop_of_b(&live).expect("a stop");
    assert!(text.contains("a calibration ratio of 0.5 to 2") && text.contains("impressions"), "{text}");
    drop((ring, events, log));
}
