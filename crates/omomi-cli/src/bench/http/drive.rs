//! Sends requests when they are due, over connections that stay open, and waits for no answer before the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::requests::Requests;
use super::schedule::Arrivals;
use crate::Failure;

/// How long after the end answers are still awaited.
const GRACE: Duration = Duration::from_secs(10);
/// Longest latency that can be told from a longer one.
const LONGEST_NS: u64 = 600_000_000_000;
/// The operating system may wake a sleeping thread late, by about this much. The rest of a wait is spent spinning.
const SLEEP_MARGIN: Duration = Duration::from_micros(150);

/// What was measured in one run.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// From when a request was due until its answer was read, in nanoseconds. A request without an answer counts with
    /// the time until it failed, or until the run was over.
    pub(super) latency: Histogram<u64>,
    /// From when a request was due until it was sent: the delay of this generator.
    pub(super) send_delay: Histogram<u64>,
    /// Answers with status 200.
    pub(super) bid_count: u64,
    /// Answers with status 204.
    pub(super) no_bid_count: u64,
    /// Answers with another status.
    pub(super) other_status_count: u64,
    /// Requests whose connection failed.
    pub(super) error_count: u64,
    /// Requests without an answer long after the end.
    pub(super) unanswered_count: u64,
    /// The first failure.
    pub(super) problem: Option<String>,
    duration: Duration,
}

impl Outcome {
    fn new(duration: Duration) -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("valid bounds");
        Self {
            latency: histogram(),
            send_delay: histogram(),
            bid_count: 0,
            no_bid_count: 0,
            other_status_count: 0,
            error_count: 0,
            unanswered_count: 0,
            problem: None,
            duration,
        }
    }

    pub(super) const fn failed_count(&self) -> u64 {
        self.other_status_count + self.error_count + self.unanswered_count
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    pub(super) fn answers_per_second(&self) -> f64 {
        (self.bid_count + self.no_bid_count + self.other_status_count) as f64 / self.duration.as_secs_f64()
    }

    fn record(&mut self, latency: Duration, answer: Result<StatusCode, String>) {
        record(&mut self.latency, latency);
        let problem = match answer {
            Ok(StatusCode::OK) => {
                self.bid_count += 1;
                return;
            }
            Ok(StatusCode::NO_CONTENT) => {
                self.no_bid_count += 1;
                return;
            }
            Ok(status) => {
                self.other_status_count += 1;
                format!("expected status 200 or 204, found {status}")
            }
            Err(problem) => {
                self.error_count += 1;
                problem
            }
        };
        self.problem.get_or_insert(problem);
    }
}

fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1));
}

/// Sends requests to `url` for `warm_up`, which is not recorded, and for `duration`.
pub(super) fn drive(
    url: &str,
    requests: &Requests,
    arrivals: Arrivals,
    warm_up: Duration,
    duration: Duration,
) -> Result<Outcome, Failure> {
    let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}; give an address such as {EXAMPLE}"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(format!("expected an address such as {EXAMPLE}, found {url}").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let tally = Arc::new(Mutex::new(Outcome::new(duration)));
    // A moment for threads to start.
    let start = Instant::now() + Duration::from_millis(20);
    let (warm_until, end) = (start + warm_up, start + warm_up + duration);
    let mut recorded_count = 0;
    for (number, due_ns) in (0..).zip(arrivals) {
        let due = start + Duration::from_nanos(due_ns);
        if due >= end {
            break;
        }
        wait_until(due);
        let (client, tally) = (client.clone(), Arc::clone(&tally));
        let request = request(&uri, requests, number)?;
        let is_recorded = due >= warm_until;
        recorded_count += u64::from(is_recorded);
        runtime.spawn(async move {
            let sent = Instant::now();
            let answer = answer(&client, request).await;
            let done = Instant::now();
            if is_recorded {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                record(&mut tally.send_delay, sent.saturating_duration_since(due));
                tally.record(done.saturating_duration_since(due), answer);
            }
        });
    }
    let over = end + GRACE;
    let answered = || tally.lock().unwrap_or_else(PoisonError::into_inner).latency.len();
    while answered() < recorded_count && Instant::now() < over {
        thread::sleep(Duration::from_millis(5));
    }
    runtime.shutdown_background();
    let mut outcome = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for _ in outcome.latency.len()..recorded_count {
        record(&mut outcome.latency, GRACE);
        outcome.unanswered_count += 1;
        outcome.problem.get_or_insert_with(|| format!("no answer within {} s after the end", GRACE.as_secs()));
    }
    Ok(outcome)
}

const EXAMPLE: &str = "http://127.0.0.1:8080/openrtb2/bid";

fn request(uri: &Uri, requests: &Requests, number: u64) -> Result<Request<Full<Bytes>>, Failure> {
    let (exchange, body) = requests.at(number);
    let mut builder = Request::post(uri.clone());
    if let Some(exchange) = exchange {
        let mut parts = uri.clone().into_parts();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let joint = if uri.query().is_some() { '&' } else { '?' };
        parts.path_and_query = Some(format!("{path}{joint}exchange={}", exchange.replace(' ', "%20")).parse()?);
        builder = Request::post(Uri::from_parts(parts)?);
    }
    Ok(builder.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))?)
}

async fn answer(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, String> {
    let response = client.request(request).await.map_err(|error| with_cause(&error))?;
    let status = response.status();
    response.into_body().collect().await.map_err(|error| with_cause(&error))?;
    Ok(status)
}

/// The error with its cause, such as a refused connection.
fn with_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        match left.checked_sub(SLEEP_MARGIN) {
            Some(left) => thread::sleep(left),
            None if left.is_zero() => return,
            None => std::hint::spin_loop(),
        }
    }
}
