//! The shipped flow, from generated logs to answers of a live server: in a folder, and from a server that speaks S3.

use std::path::Path;
use std::time::Duration;

use omomi::live::{LiveModel, LiveOptions};
use omomi::{Capacity, LoadMode, Model, RequestLayout, Schema};
use serde_json::{Value, json};

use crate::server::{Kind, Server};
use crate::tools::Project;

/// Changes the input of a project.
fn change_input(project: &Project, change: &Value) {
    let mut input = project.json("input.json");
    input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    project.write("input.json", &input.to_string());
}

/// Runs the flow on a day, and returns its last state and its output.
#[track_caller]
fn run_on(project: &Project, day: &str) -> Value {
    change_input(project, &json!({ "until": format!("{day}T03:00:00Z") }));
    serde_json::from_str(&project.succeed("flow run --json --quiet")).unwrap()
}

/// A live model that follows a store, and answers golden requests of the file that it should serve.
struct Follower {
    live: LiveModel,
}

impl Follower {
    fn of(store: &Path, schema_of: &Path) -> Self {
        let model = Model::load(schema_of, LoadMode::Map).unwrap();
        let schema = Schema::of_contract(model.contract());
        let options = LiveOptions::default().with(|it| {
            it.name = "a".to_owned();
            it.poll_interval = Duration::from_millis(20);
        });
        Self { live: LiveModel::open(store, &schema, options).unwrap() }
    }

    /// Checks that the answers are the golden ones of a generation, bit for bit, within a time.
    #[track_caller]
    fn serves(&self, store: &Path, generation: u64) {
        let file = store.join(format!("generations/{generation:06}.omomi"));
        let model = Model::load(&file, LoadMode::Map).unwrap();
        let requests = model.golden_requests().unwrap();
        let candidates = requests.iter().map(|request| request.rows.candidates.len()).max().unwrap();
        let schema = Schema::of_contract(model.contract());
        let layout = RequestLayout::new(&schema, Capacity { candidates, tail_len_bytes: 1 << 16 }).unwrap();
        let scorer = self.live.scorer(&layout).unwrap();
        let mut request = scorer.new_request();
        for _ in 0..1_500 {
            request.fill(&requests[0].rows).unwrap();
            scorer.predict_filled(&mut request).unwrap();
            if request.generation() == generation {
                for (candidate, logit) in requests[0].logits.iter().enumerate() {
                    assert_eq!(request.answer(candidate).logit.to_bits(), logit.to_bits());
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("generation {generation} is not served, but {}", request.generation());
    }
}

#[test]
fn the_flow_trains_in_a_folder_continues_the_next_day_and_holds_back_a_bad_day() {
    let project = Project::with_logs(140_000);
    let store = project.path("store");
    // Ten shards, two at a time.
    change_input(&project, &json!({ "shards": 10, "shards_at_once": 2 }));
    let ran = run_on(&project, "2026-01-10");
    assert_eq!(ran["outcome"]["status"], "succeeded", "{ran}");
    assert!(ran["outcome"]["output"]["done"]["publish"].is_object(), "{ran}");
    let server = Follower::of(&store, &store.join("generations/000001.omomi"));
    server.serves(&store, 1);

    let ran = run_on(&project, "2026-01-11");
    assert!(ran["outcome"]["output"]["done"]["publish"].is_object(), "{ran}");
    server.serves(&store, 2);
    let run = ran["outcome"]["output"]["run"].as_str().unwrap();
    let plan = project.json(&format!("{run}/plan.json"));
    assert_eq!((&plan["mode"], &plan["days"]), (&json!("continue"), &json!(["2026-01-09"])));

    project.succeed("generate-log --rows 5000 --seed 9 --click-rate 0.3 --out bad.parquet");
    std::fs::copy(project.path("bad.parquet"), project.path("logs/2026-01-11/part-000.parquet")).unwrap();
    let ran = run_on(&project, "2026-01-12");
    let done = &ran["outcome"]["output"]["done"];
    assert!(done["why"].is_object() && done["train"].is_null(), "{ran}");
    server.serves(&store, 2);
}

#[test]
fn the_flow_trains_from_a_server_that_speaks_s3() {
    let Some(server) = Server::start(Kind::Moto) else { return };
    let run = |line: &str| server.succeed(&line.split_whitespace().collect::<Vec<_>>());
    run("flow init project");
    let at = |name: &str| server.path("project").join(name);
    run("generate-log --rows 140000 --by-day --out logs");
    for day in server.path("logs").read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if day.is_dir() {
            let name = day.file_name().unwrap().to_string_lossy().into_owned();
            server.put(&format!("logs/{name}/part-000.parquet"), &std::fs::read(day.join("part-000.parquet")).unwrap());
        }
    }
    for name in ["gate.toml", "limits.toml"] {
        server.put(&format!("store/{name}"), &std::fs::read(at("store").join(name)).unwrap());
    }
    let mut input: Value = serde_json::from_slice(&std::fs::read(at("input.json")).unwrap()).unwrap();
    let places = json!({
        "logs": "s3://ads/logs", "store": "s3://ads/store", "models": "s3://ads/models",
        "notify": ["omomi", "status", "s3://ads/store"], "until": "2026-01-10T03:00:00Z",
    });
    input.as_object_mut().unwrap().extend(places.as_object().unwrap().clone());
    std::fs::write(at("input.json"), input.to_string()).unwrap();
    let ran: Value = serde_json::from_str(&run("flow run project --json --quiet")).unwrap();
    assert!(ran["outcome"]["output"]["done"]["publish"].is_object(), "{ran}");
    assert!(server.keys("models").contains(&"models/latest.json".to_owned()));
    run("fetch s3://ads/store local --once");
    let store = server.path("local");
    Follower::of(&store, &store.join("generations/000001.omomi")).serves(&store, 1);
}
