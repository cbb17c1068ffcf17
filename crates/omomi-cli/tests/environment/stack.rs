//! The stack on MiniStack: it deploys, and its flow asks for the tasks that it should. The tasks are mocked.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tools::{Project, python};

struct MiniStack {
    process: Child,
    port: u16,
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/environment").join(name)
}

/// What happened to a run of the flow whose tasks end with these exit codes.
struct Ran {
    stack: Value,
    requests: Vec<Value>,
}

impl Ran {
    fn new(exit_codes: &Value) -> Option<Self> {
        let python = python()?;
        let project = Project::new();
        let requests = project.path("requests.jsonl");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(python);
        command.arg(script("ministack_with_tasks.py")).arg(&requests).arg(exit_codes.to_string());
        command.env("GATEWAY_PORT", port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = MiniStack { process: command.spawn().unwrap(), port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", server.port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "MiniStack does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = Command::new(python).arg(script("stack.py")).arg(port.to_string()).arg(project.path(".")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut lines = String::new();
        std::fs::File::open(requests).unwrap().read_to_string(&mut lines).unwrap();
        let requests = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Some(Self { stack: serde_json::from_slice(&output.stdout).unwrap(), requests })
    }

    fn states(&self) -> Vec<&str> {
        self.stack["states"].as_array().unwrap().iter().map(|state| state.as_str().unwrap()).collect()
    }

    fn commands(&self) -> Vec<String> {
        let command = |request: &Value| -> String {
            let words = request["request"]["Overrides"]["ContainerOverrides"][0]["Command"].as_array().unwrap();
            words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        self.requests.iter().map(command).collect()
    }
}

#[test]
fn each_task_is_asked_for_with_its_command_role_network_and_resources() {
    let Some(ran) = Ran::new(&json!({})) else { return };
    assert_eq!(ran.stack["status"], "SUCCEEDED");
    assert_eq!(ran.states().last(), Some(&"Published"));
    let bucket = ran.stack["outputs"]["Bucket"].as_str().unwrap();
    let run = format!("s3://{bucket}/models/runs/run-1");
    let plan = format!("--plan {run}/plan.json");
    let mut expected = vec![format!(
        "omomi plan --run {run} --logs s3://ads/logs --store s3://{bucket}/store --models s3://{bucket}/models --until \
         2026-01-10T03:00:00Z --shards 4"
    )];
    expected.extend((1..=4).map(|shard| format!("omomi stage train {plan} --shard {shard}")));
    let stages = ["average", "recalibrate", "prune", "pack", "evaluate", "gate", "preflight", "publish"];
    expected.extend(stages.map(|stage| format!("omomi stage {stage} {plan}")));
    expected.push(format!("omomi status s3://{bucket}/store"));
    let mut commands = ran.commands();
    // Shards are trained side by side.
    commands[1..5].sort();
    assert_eq!(commands, expected);

    let resources = &ran.stack["resources"];
    let judges = ["plan", "stage gate", "stage preflight", "stage publish", "status"];
    for (request, command) in ran.requests.iter().zip(ran.commands()) {
        assert_eq!(request["resource"], "arn:aws:states:::ecs:runTask.sync");
        let asked = &request["request"];
        let is_judge = judges.iter().any(|judge| command.starts_with(&format!("omomi {judge}")));
        assert_eq!(asked["TaskDefinition"], resources[if is_judge { "JudgeTask" } else { "TrainTask" }], "{command}");
        assert!(asked["Cluster"].as_str().unwrap().ends_with(":cluster/training"), "{asked}");
        let network = &asked["NetworkConfiguration"]["AwsvpcConfiguration"];
        assert_eq!(network["Subnets"], ran.stack["subnets"]);
        assert_eq!(network["SecurityGroups"][0], resources["SecurityGroup"]);
        assert_eq!(network["AssignPublicIp"], "DISABLED");
        let resources = [&asked["Overrides"]["Cpu"], &asked["Overrides"]["Memory"]];
        let expected = match command.split(' ').nth(2) {
            Some("train" | "average" | "recalibrate" | "prune" | "pack") => ["2048", "16384"],
            Some("evaluate" | "gate" | "preflight") => ["2048", "8192"],
            _ => ["1024", "4096"],
        };
        assert_eq!(resources, expected, "{command}");
    }
}

#[test]
fn exit_codes_hold_a_file_back_try_again_or_fail() {
    let cases = [
        (json!({ "stage gate": [3] }), "SUCCEEDED", "Held back", "omomi stage why", 0),
        (json!({ "stage gate": [4] }), "SUCCEEDED", "Held back", "omomi stage why", 0),
        (json!({ "stage average": [75], "stage train": [75] }), "SUCCEEDED", "Published", "omomi status", 2),
        (json!({ "stage prune": [1] }), "FAILED", "Failed", "omomi stage prune", 0),
    ];
    for (exit_codes, status, last_state, last_command, again) in cases {
        let Some(ran) = Ran::new(&exit_codes) else { return };
        assert_eq!(ran.stack["status"], status, "{exit_codes}");
        assert_eq!(ran.states().last(), Some(&last_state), "{exit_codes}");
        let commands = ran.commands();
        assert!(commands.last().unwrap().starts_with(last_command), "{commands:?}");
        // Only what failed is done again.
        let different: std::collections::BTreeSet<_> = commands.iter().collect();
        assert_eq!(commands.len() - different.len(), again, "{commands:?}");
    }
}
