//! A C client serves from a store, while this test publishes, damages and switches off.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use omomi::live::LiveOptions;
use omomi::request::{FieldValue, RequestRows, Row};
use omomi::{Model, Scorer};

use crate::compiler::{Dialect, Linkage, compile_client, run};
use crate::world::{World, layout};

/// A running `tests/c/live.c`.
struct Client {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Client {
    fn start(world: &World) -> Self {
        let program = world.dir().join("live-client");
        compile_client(Dialect::C99, "live.c", Linkage::Shared, &program);
        let mut command = Command::new(program);
        let mut process = command.arg(world.dir()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { process, said }
    }

    /// Makes the client look at its store, and returns which generation answers it.
    fn look(&mut self) -> String {
        self.process.stdin.as_mut().unwrap().write_all(b"look\n").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Returns the request of `small_fill`.
pub fn rows() -> RequestRows {
    let row = |values: Vec<(&str, FieldValue)>| -> Row {
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let text = |text: &str| FieldValue::Text(text.to_owned());
    RequestRows {
        context: row(vec![
            ("media_id", FieldValue::Id(i64::MIN)),
            ("interest", FieldValue::Texts(["旅行", "", "news"].map(str::to_owned).to_vec())),
            ("floor_price", FieldValue::Number(50.0)),
            ("region", text("東京")),
        ]),
        candidates: (0..3)
            .map(|id| {
                row(vec![
                    ("creative_id", FieldValue::Id(id)),
                    ("title", text("a title")),
                    ("tag", FieldValue::Ids(vec![id % 3, 100 + id % 5])),
                    ("age_seconds", FieldValue::Number(1.5 * f64::from(u32::try_from(id).unwrap()))),
                ])
            })
            .collect(),
    }
}

/// Returns what the client prints when that generation answers.
fn answers(generation: u64, reason_count: usize) -> String {
    let model = Model::from_bytes(World::bytes(generation)).unwrap();
    let scorer = Scorer::new(model, &layout()).unwrap();
    let mut request = scorer.new_request();
    request.fill(&rows()).unwrap();
    scorer.predict(&mut request, 3).unwrap();
    let mut line = generation.to_string();
    for answer in request.answers(3) {
        write!(line, " {:016x}", answer.logit.to_bits()).unwrap();
    }
    write!(line, ", {reason_count} reasons").unwrap();
    line
}

#[test]
fn a_c_client_serves_the_last_good_generation_no_matter_what_happens_to_the_store() {
    let world = World::new();
    let mut client = Client::start(&world);
    assert_eq!(client.look(), "no_model, 1 reasons");
    world.publish(1);
    assert_eq!(client.look(), answers(1, 0));
    let mut damaged = World::bytes(2);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    world.publish_bytes(2, &damaged);
    assert_eq!(client.look(), answers(1, 1));
    world.publish_bytes(3, &World::bytes(3)[..middle]);
    assert_eq!(client.look(), answers(1, 1));
    world.publish(4);
    assert_eq!(client.look(), answers(4, 0));
    world.control("off");
    assert_eq!(client.look(), "switched_off, 0 reasons");
    world.control("on pin 1");
    assert_eq!(client.look(), answers(1, 0));
    world.control("on freeze");
    world.publish(5);
    assert_eq!(client.look(), answers(1, 0));
    world.control("on follow");
    assert_eq!(client.look(), answers(5, 0));
    // The client has its own copy.
    fs::remove_file(world.store.generation_path(5)).unwrap();
    assert_eq!(client.look(), answers(5, 0));
    for generation in 6..20 {
        world.publish(generation);
        assert_eq!(client.look(), answers(generation, 0));
    }
    client.end();
}

#[test]
fn a_c_client_answers_with_its_fallback_file_in_a_second_call() {
    let world = World::new();
    let fallback = world.dir().join("fallback.omomi");
    crate::world::replace(&fallback, &World::bytes(77));
    let program = world.dir().join("client");
    compile_client(Dialect::C99, "live_fallback.c", Linkage::Shared, &program);
    let said = run(Command::new(program).arg(world.dir()).arg(&fallback));
    let expected = answers(77, 0);
    let expected = format!("small-v1 {}\n", expected.strip_suffix(", 0 reasons").unwrap());
    assert_eq!(said, expected);
}

#[test]
fn the_c_initializer_of_the_options_has_the_defaults_of_rust() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("client");
    compile_client(Dialect::Cpp17, "live_options.cpp", Linkage::Shared, &program);
    let said = run(&mut Command::new(program));
    let options = LiveOptions::default();
    let milliseconds = |duration: Duration| duration.as_millis();
    let expected = format!(
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}\n",
        options.name,
        options.load_mode as u32,
        options.max_deaths,
        milliseconds(options.poll_interval),
        milliseconds(options.trial),
        milliseconds(options.retry_after_death),
        options.max_file_len_bytes,
        options.memory_budget_bytes,
        options.min_generation,
        options.contract_fingerprints.len(),
        options.trusted_keys.keys().len(),
        options.max_training_age.map_or(0, |age| age.as_secs()),
        options.signature as u32,
        u32::from(options.allow_writable_files),
        u32::from(options.lock_memory),
        u32::from(options.has_fallback),
        options.fallback_file.map_or(0, |path| path.as_os_str().len()),
    );
    assert_eq!(said, expected);
}
