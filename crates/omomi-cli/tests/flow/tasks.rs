//! Tasks: exit codes, limits, stages that are skipped, and what status and page show.

use serde_json::{Value, json};

use crate::project::{Project, row, task, with};

/// A gate that ends with an exit code, and states that tell the codes apart.
fn gated(exit_code: &str) -> Value {
    let catch = json!([{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.failure", "Next": "Read"}]);
    let why = json!({"Type": "Choice", "Default": "Broken", "Choices": [
        {"Variable": "$.task.Containers[0].ExitCode", "NumericEquals": 3, "Next": "Held back"},
        {"Variable": "$.task.Containers[0].ExitCode", "NumericEquals": 75, "Next": "Later"},
    ]});
    row(&[
        (
            "Gate",
            with(
                with(task(&["sh", "-c", &format!("echo said; exit {exit_code}")]), "Catch", catch),
                "Next",
                json!("Good"),
            ),
        ),
        ("Read", json!({"Type": "Pass", "Parameters": {"task.$": "States.StringToJson($.failure.Cause)"}})),
        ("Why", why),
        ("Held back", json!({"Type": "Succeed"})),
        ("Later", json!({"Type": "Fail", "Error": "Later"})),
        ("Broken", json!({"Type": "Fail", "Error": "Broken"})),
        ("Good", json!({"Type": "Succeed"})),
    ])
}

fn entered(project: &Project) -> Vec<String> {
    let entered =
        project.history().into_iter().filter(|event| event["type"].as_str().unwrap().ends_with("StateEntered"));
    entered.map(|event| event["stateEnteredEventDetails"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn exit_codes_are_told_apart_by_catch_and_choice() {
    for (code, last, of_flow) in [("0", "Good", 0), ("3", "Held back", 0), ("75", "Later", 1), ("1", "Broken", 1)] {
        let project = Project::new(&gated(code), &json!({}));
        project.flow(of_flow);
        assert_eq!(entered(&project).last().unwrap(), last);
    }
    // Nothing catches the failure: the flow has the exit code of the task.
    for (code, of_flow) in [("3", 3), ("75", 75), ("9", 1)] {
        let project = Project::new(&row(&[("Gate", task(&["sh", "-c", &format!("exit {code}")]))]), &json!({}));
        project.flow(of_flow);
    }
}

#[test]
fn a_program_that_does_not_exist_fails_without_an_exit_code() {
    let project = Project::new(&row(&[("Go", task(&["./no-such-program"]))]), &json!({}));
    let account = project.flow(1);
    assert_eq!(account["outcome"]["error"], "States.TaskFailed");
    let cause: Value = serde_json::from_str(account["outcome"]["cause"].as_str().unwrap()).unwrap();
    assert_eq!(cause["StopCode"], "TaskFailedToStart");
    assert!(cause["Containers"][0]["Reason"].as_str().unwrap().contains("no-such-program"), "{cause}");
    assert!(cause["Containers"][0]["ExitCode"].is_null());
}

#[test]
fn a_task_that_takes_too_long_is_ended_with_all_that_it_started() {
    let slow = with(task(&["sh", "-c", "sleep 60 & echo $! > child; wait"]), "TimeoutSeconds", json!(1));
    let catch = json!([{"ErrorEquals": ["States.Timeout"], "Next": "Late"}]);
    let flow = row(&[("Slow", with(slow, "Catch", catch)), ("Late", json!({"Type": "Fail", "Error": "Late"}))]);
    let project = Project::new(&flow, &json!({}));
    assert_eq!(project.flow(1)["outcome"]["error"], "Late");
    let child = String::from_utf8(project.read("child")).unwrap();
    let begin = std::time::Instant::now();
    let is_alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    };
    while is_alive() {
        assert!(begin.elapsed().as_secs() < 20, "the child of the task still runs");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_task_that_uses_more_memory_than_its_state_says_is_ended() {
    let mut state = task(&["python3", "-c", "a = bytearray(200 << 20); import time; time.sleep(30)"]);
    state["Parameters"]["Overrides"]["Memory"] = json!("64");
    let project = Project::new(&row(&[("Big", state)]), &json!({}));
    let account = project.flow(1);
    let cause: Value = serde_json::from_str(account["outcome"]["cause"].as_str().unwrap()).unwrap();
    assert_eq!(cause["Containers"][0]["ExitCode"], 137);
    assert!(cause["Containers"][0]["Reason"].as_str().unwrap().starts_with("OutOfMemoryError"), "{cause}");
}

#[test]
fn a_later_run_skips_stages_whose_files_are_unchanged() {
    let project = Project::trains();
    project.flow(0);
    let count = |account: &Value| (account["tasks_run"].as_u64().unwrap(), account["stages_skipped"].as_u64().unwrap());
    assert_eq!(count(&project.flow(0)), (0, 5));
    // One log has more rows: its shard and what follows are done again.
    let mut log = String::from_utf8(project.read("b.csv")).unwrap();
    log += "2026-01-06T12:00:00Z,s1,1\n";
    project.write("b.csv", &log);
    assert_eq!(count(&project.flow(0)), (4, 1));
    // An output that someone removed is made again. It has the same bytes, so that the next stage is not.
    std::fs::remove_file(project.path("all.state")).unwrap();
    assert_eq!(count(&project.flow(0)).0, 1);
    let output = project.run("flow run --again --json");
    let account: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(count(&account), (5, 0));
}

#[test]
fn faults_are_all_named_before_the_first_step() {
    let mut flow = row(&[("First", task(&["sh", "-c", "touch begun"])), ("Second", task(&["true"]))]);
    flow["States"]["Second"]["Resource"] = json!("arn:aws:states:::lambda:invoke");
    flow["States"]["Second"]["Retry"] = json!([{"ErrorEquals": ["Ecs.AmazonECSException"], "Jitter": 1}]);
    flow["States"]["First"]["HeartbeatSeconds"] = json!(5);
    flow["QueryLanguage"] = json!("JSONata");
    let project = Project::new(&flow, &json!({}));
    let output = project.run("flow run");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in [
        "QueryLanguage",
        "First.HeartbeatSeconds",
        "Second.Resource",
        "expected ECS.AmazonECSException",
        "Second.Retry[0].Jitter",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!project.path("begun").exists() && !project.path("runs").exists());
}

#[test]
fn status_and_page_show_the_run_and_work_with_a_history_alone() {
    let project = Project::trains();
    project.flow(0);
    let status: Value = serde_json::from_slice(&project.run("flow status --json").stdout).unwrap();
    let train = status["states"].as_array().unwrap().iter().find(|state| state["name"] == "Train").unwrap();
    assert_eq!((&train["attempt_count"], &train["done"]), (&json!(2), &json!([2, 2])));
    assert_eq!(train["figures"]["count"], json!(3_000));
    let page = String::from_utf8(project.read("runs/index.html")).unwrap();
    for part in ["Shards: each item", "Verify", "3,000", "class=\"node succeeded\""] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http-equiv"), "a page of a run that ended need not be loaded again");
    let printed = json!({ "events": project.history() }).to_string();
    project.write("history.json", &printed);
    let shown = project.run("flow status --history history.json --page aws.html");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("run on AWS: succeeded") && shown.contains("Average"), "{shown}");
    assert!(String::from_utf8(project.read("aws.html")).unwrap().contains("in Shards"));
}
