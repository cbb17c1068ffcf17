//! The folder that `omomi flow init` writes, and what would change on AWS.

use std::process::Command;

use serde_json::json;

use crate::tools::{Project, python};

#[test]
fn files_that_exist_are_not_replaced_without_force() {
    let project = Project::new();
    project.write("prune.toml", "max_bytes = \"1MB\"\n");
    std::fs::remove_file(project.path("README.md")).unwrap();
    let (_, said) = project.exit("flow init .", 1);
    assert!(said.contains("exists: nothing was written"), "{said}");
    assert!(!project.path("README.md").exists());
    assert_eq!(project.text("prune.toml"), "max_bytes = \"1MB\"\n");
    project.succeed("flow init . --force");
    assert!(project.text("prune.toml").contains("200MB"));
}

#[test]
fn the_contract_of_a_project_is_the_given_one_or_that_of_generated_logs() {
    let project = Project::new();
    let of_logs = project.text("contract.toml");
    assert!(of_logs.contains("name = \"generated-ctr\""));
    project.write("own.toml", &of_logs.replace("generated-ctr", "own-ctr"));
    project.succeed("flow init other --contract own.toml");
    assert!(project.text("other/contract.toml").contains("own-ctr"));
    project.write("own.toml", "name = 1\n");
    project.exit("flow init third --contract own.toml", 1);
    assert!(!project.path("third").exists());
}

#[test]
fn the_template_and_the_image_have_no_faults_that_linters_know() {
    let Some(python) = python() else { return };
    let project = Project::new();
    for (linter, file) in [("cfn-lint", "template.yaml"), ("hadolint", "Dockerfile")] {
        let linter = python.with_file_name(linter);
        let output = Command::new(&linter).arg(project.path(file)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}{}", linter.display(), String::from_utf8_lossy(&output.stderr));
    }
    // They do find faults.
    project.write("template.yaml", &project.text("template.yaml").replace("Status: Enabled", "Status: Maybe"));
    let output = Command::new(python.with_file_name("cfn-lint")).arg(project.path("template.yaml")).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn what_would_change_is_shown_and_nothing_is_changed() {
    let project = Project::new();
    let (_, said) = project.exit("flow deploy --dry-run", 1);
    assert!(said.contains("expected values of FlowBucket, Image, LogsBucket, Subnets, Vpc"), "{said}");
    let parameters = json!({ "FlowBucket": "flows", "Image": "omomi:2", "Shards": 8 });
    project.write("parameters.json", &parameters.to_string());
    let described = json!({ "Stacks": [{ "StackStatus": "CREATE_COMPLETE", "Parameters": [
        { "ParameterKey": "Image", "ParameterValue": "omomi:1" },
        { "ParameterKey": "Shards", "ParameterValue": "8" },
        { "ParameterKey": "FlowBucket", "ParameterValue": "flows" },
        { "ParameterKey": "Compute", "ParameterValue": "FARGATE_SPOT" },
    ] }] });
    project.write("stack.json", &described.to_string());
    project.write("body.json", &json!({ "TemplateBody": project.text("template.yaml") }).to_string());
    let dry_run = "flow deploy --dry-run --json --described stack.json --described-template body.json";
    let shown: serde_json::Value = serde_json::from_str(&project.succeed(dry_run)).unwrap();
    let names: Vec<_> = shown["changes"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(names, ["the flow", "parameter Image"]);
    assert_eq!(shown["changes"][1]["before"], "omomi:1");
    let key = shown["changes"][0]["after"].as_str().unwrap();
    let commands = &shown["commands"];
    assert_eq!(commands[0][4], format!("s3://flows/{key}"));
    assert!(commands[1].as_array().unwrap().contains(&json!(format!("FlowKey={key}"))));
    // Another flow has another key.
    project.write("flow.asl.json", &project.text("flow.asl.json").replace("Daily", "daily"));
    let other: serde_json::Value = serde_json::from_str(&project.succeed(dry_run)).unwrap();
    assert_ne!(other["changes"][0]["after"], key);
}

/// The same project, deployed by a stand-in for `aws` that records its command lines.
#[test]
#[cfg(unix)]
fn a_deployment_runs_the_commands_that_were_shown() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    project.write("parameters.json", "{ \"FlowBucket\": \"flows\" }");
    project.write("aws", "#!/bin/sh\nprintf '%s\\n' \"$*\" >> ran.txt\ntest ! -e fails\n");
    std::fs::set_permissions(project.path("aws"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let deploy = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
        command.args(["flow", "deploy", "--stack", "own"]).current_dir(project.path("."));
        command.env("PATH", format!("{}:/usr/bin:/bin", project.path(".").display())).output().unwrap()
    };
    assert!(deploy().status.success());
    let ran = project.text("ran.txt");
    let lines: Vec<&str> = ran.lines().collect();
    assert_eq!(lines.len(), 2, "{ran}");
    assert!(lines[0].starts_with("s3 cp ./flow.asl.json s3://flows/omomi/"), "{ran}");
    assert!(lines[1].contains("cloudformation deploy --template-file ./template.yaml --stack-name own"), "{ran}");
    project.write("fails", "");
    let output = deploy();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(project.text("ran.txt").lines().count(), 3, "the stack was deployed without its flow");
}
