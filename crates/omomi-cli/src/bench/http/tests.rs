//! The generator against small servers: one that stalls, one that is absent, one that refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::drive::drive;
use super::requests::Requests;
use super::schedule::Arrivals;
use super::{fell_behind, refusal};

const STALL: Duration = Duration::from_millis(400);
const STALLS_AT: u64 = 300;

/// Answers every request with `status`, and stalls once, at request [`STALLS_AT`], on all connections.
fn server(status: &'static str) -> (String, Arc<AtomicU64>, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/openrtb2/bid", listener.local_addr().unwrap());
    let (seen, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, opened) = (Arc::clone(&seen), Arc::clone(&connections));
    let gate = Arc::new(Mutex::new(()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            opened.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || serve(stream, status, &count, &gate));
        }
    });
    (url, seen, connections)
}

fn serve(stream: TcpStream, status: &str, count: &AtomicU64, gate: &Mutex<()>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut len = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                len = value.parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;
        serde_json::from_slice::<Value>(&body).expect("a request is JSON");
        let open = gate.lock().unwrap();
        if count.fetch_add(1, Ordering::Relaxed) == STALLS_AT {
            thread::sleep(STALL);
        }
        drop(open);
        reader.get_mut().write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
    }
}

fn requests() -> Requests {
    Requests::generated(200, 1).unwrap()
}

/// A generator that waits for an answer before its next request would see one slow request (coordinated omission).
#[test]
fn a_stall_is_in_the_latency_of_each_request_that_was_due_during_it() {
    let (url, _, connections) = server("200 OK");
    let arrivals = Arrivals::new(500.0, None);
    let outcome = drive(&url, &requests(), arrivals, Duration::ZERO, Duration::from_secs(2)).unwrap();
    assert_eq!((outcome.bid_count, outcome.latency.len(), outcome.failed_count()), (1000, 1000, 0));
    // 200 fall due during the stall, at even intervals: a quarter of them in the last 100 ms of it.
    let longer_than = |ms: u64| 1000 - outcome.latency.count_between(0, ms * 1_000_000);
    assert!(longer_than(100) >= 140, "{}", longer_than(100));
    assert!(longer_than(300) >= 40, "{}", longer_than(300));
    assert!(outcome.latency.value_at_quantile(0.97) > 200_000_000);
    // Connections stay open: there are as many as requests under way at once, not one for each request.
    assert!(connections.load(Ordering::Relaxed) < 900, "{connections:?}");
}

#[test]
fn the_warm_up_is_sent_and_not_recorded() {
    let (url, seen, _) = server("204 No Content");
    let warm_up = Duration::from_millis(500);
    let outcome = drive(&url, &requests(), Arrivals::new(100.0, None), warm_up, Duration::from_millis(500)).unwrap();
    assert_eq!((outcome.no_bid_count, outcome.latency.len(), seen.load(Ordering::Relaxed)), (50, 50, 100));
}

#[test]
fn failures_are_counted_and_the_first_one_is_named() {
    let (url, _, _) = server("500 Internal Server Error");
    let half = Duration::from_millis(500);
    let refused = drive(&url, &requests(), Arrivals::new(100.0, None), Duration::ZERO, half).unwrap();
    assert_eq!((refused.other_status_count, refused.failed_count()), (50, 50));
    assert!(refused.problem.unwrap().contains("500"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let absent = format!("http://127.0.0.1:{port}/");
    let absent = drive(&absent, &requests(), Arrivals::new(100.0, None), Duration::ZERO, half).unwrap();
    assert_eq!((absent.error_count, absent.latency.len()), (50, 50));
    assert!(absent.problem.unwrap().contains("refused"));
    for bad in ["https://127.0.0.1/", "127.0.0.1:80", "http://", "/openrtb2/bid", ""] {
        let failure = drive(bad, &requests(), Arrivals::new(1.0, None), Duration::ZERO, half).unwrap_err();
        assert!(failure.to_string().contains("http://127.0.0.1:8080"), "{bad}: {failure}");
    }
}

#[test]
fn even_arrivals_keep_their_rate_and_those_of_a_poisson_process_have_its_mean_and_variance() {
    let even: Vec<u64> = Arrivals::new(3.0, None).take(4).collect();
    assert_eq!(even, [0, 333_333_333, 666_666_666, 1_000_000_000]);
    let random: Vec<u64> = Arrivals::new(1000.0, Some(7)).take(100_001).collect();
    assert!(random.windows(2).all(|pair| pair[0] <= pair[1]));
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let gaps: Vec<f64> = random.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / 1e5;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 1e5;
    // The standard errors are 0.003 and 0.009.
    assert!((mean - 1.0).abs() < 0.015 && (variance - 1.0).abs() < 0.045, "{mean} {variance}");
    assert_eq!(random[..100], Arrivals::new(1000.0, Some(7)).take(100).collect::<Vec<_>>());
}

#[test]
fn figures_are_refused_if_more_than_one_request_in_a_thousand_was_sent_too_late() {
    let mut delays = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    delays.record_n(500_000, 9_990).unwrap();
    delays.record_n(5_000_000, 10).unwrap();
    assert!(!fell_behind(&delays, 1_000_000));
    delays.record_n(5_000_000, 5).unwrap();
    assert!(fell_behind(&delays, 1_000_000));
    assert_eq!(refusal(&json!({ "runs": [{ "fell_behind": false }] })), None);
    let reason = refusal(&json!({ "runs": [{ "fell_behind": false }, { "fell_behind": true }] })).unwrap();
    assert!(reason.starts_with("1 of 2 runs fell behind"), "{reason}");
}

#[test]
fn requests_have_the_distributions_of_the_generated_log() {
    let requests = Requests::generated(4_000, 1).unwrap();
    let bodies: Vec<Value> = (0..4_000).map(|number| serde_json::from_str(&requests.at(number).1).unwrap()).collect();
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let share = |holds: fn(&Value) -> bool| bodies.iter().filter(|body| holds(body)).count() as f64 / 4e3;
    for (expected, found) in [
        (0.91, share(|body| body["user"]["id"].is_string())),
        (0.66, share(|body| body["device"]["devicetype"] == 4)),
        (0.94, share(|body| body["device"]["geo"]["region"].is_string())),
        (0.75, share(|body| body["user"]["data"].is_array())),
        (0.88, share(|body| body["imp"][0]["bidfloor"].is_number())),
        (1.0, share(|body| body["site"]["id"].is_string() && body["imp"][0]["tagid"].is_string())),
        (1.0, share(|body| ["banner", "video", "native"].iter().any(|kind| body["imp"][0][kind].is_object()))),
    ] {
        assert!((expected - found).abs() < 0.04, "expected {expected}, found {found}");
    }
    // By the formats of the creatives that were shown.
    assert!(share(|body| body["imp"][0]["banner"].is_object()) > 0.15);
    assert!(share(|body| body["imp"][0]["native"].is_object()) > 0.15);
    let ids: std::collections::BTreeSet<_> = (0..10_000).map(|number| requests.at(number).1).collect();
    assert_eq!(ids.len(), 10_000);
    assert!(bodies[0].to_string().find("null").is_none());
}
