//! The one resource of Task states: `ecs:runTask.sync`, which runs a container until it ends.
//!
//! Here the container is a process of this machine. What it returns has the form that ECS gives, so that the same
//! Catch and Choice read the exit code in both places.

use serde_json::{Map, Value, json};

/// The end of the resource, after its partition.
const RESOURCE: &str = ":states:::ecs:runTask.sync";

/// The parameters that Step Functions passes to `RunTask`.
const PARAMETERS: &[&str] = &[
    "CapacityProviderStrategy",
    "Cluster",
    "EnableECSManagedTags",
    "EnableExecuteCommand",
    "Group",
    "LaunchType",
    "NetworkConfiguration",
    "Overrides",
    "PlacementConstraints",
    "PlacementStrategy",
    "PlatformVersion",
    "PropagateTags",
    "ReferenceId",
    "Tags",
    "TaskDefinition",
    "VolumeConfigurations",
];
const OVERRIDES: &[&str] =
    &["ContainerOverrides", "Cpu", "EphemeralStorage", "ExecutionRoleArn", "Memory", "TaskRoleArn"];
const CONTAINER: &[&str] = &[
    "Command",
    "Cpu",
    "Environment",
    "EnvironmentFiles",
    "Memory",
    "MemoryReservation",
    "Name",
    "ResourceRequirements",
];

/// CPU units of one core, as ECS counts.
pub const CPU_UNITS_PER_CORE: u64 = 1024;

/// What a Task state asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRequest {
    /// The name of the container.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables that the process gets besides those of this process.
    pub environment: Vec<(String, String)>,
    /// Shares of a core, 1,024 per core.
    pub cpu_units: Option<u64>,
    /// Most memory of the process and those it starts.
    pub memory_mib: Option<u64>,
}

/// Says what is wrong with the resource of a Task state.
pub(super) fn fault_of_resource(resource: &str) -> Option<String> {
    let partition = resource.strip_suffix(RESOURCE);
    let is_known = partition.is_some_and(|partition| matches!(partition, "arn:aws" | "arn:aws-cn" | "arn:aws-us-gov"));
    (!is_known).then(|| format!("expected arn:aws{RESOURCE}, found {resource:?}: no other resource is supported"))
}

/// Says what is wrong with the parameters of a Task state, each with its field. Values that are computed are checked
/// when the state runs.
pub(super) fn faults_of_parameters(parameters: &Value) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let place = "Parameters";
    let Some(parameters) = checked(parameters, place, PARAMETERS, &mut faults) else { return faults };
    for required in ["TaskDefinition", "Cluster"] {
        if given(parameters, required).is_none() {
            faults.push((place.to_owned(), format!("expected {required}, because Step Functions needs it")));
        }
    }
    let place = "Parameters.Overrides";
    let Some((overrides, false)) = given(parameters, "Overrides") else {
        if given(parameters, "Overrides").is_none() {
            let problem = "expected ContainerOverrides with the command of the container: it is what runs here";
            faults.push((place.to_owned(), problem.to_owned()));
        }
        return faults;
    };
    let Some(overrides) = checked(overrides, place, OVERRIDES, &mut faults) else { return faults };
    let Some((containers, false)) = given(overrides, "ContainerOverrides") else {
        if given(overrides, "ContainerOverrides").is_none() {
            faults.push((place.to_owned(), "expected ContainerOverrides with one container".to_owned()));
        }
        return faults;
    };
    let place = "Parameters.Overrides.ContainerOverrides";
    let Some([container]) = containers.as_array().map(Vec::as_slice) else {
        faults.push((place.to_owned(), "expected a list of one container".to_owned()));
        return faults;
    };
    let place = format!("{place}[0]");
    let Some(container) = checked(container, &place, CONTAINER, &mut faults) else { return faults };
    if given(container, "Name").is_none() {
        faults.push((place.clone(), "expected Name, because ECS needs it".to_owned()));
    }
    match given(container, "Command") {
        None => faults.push((place, "expected Command with the program and its arguments".to_owned())),
        Some((_, true)) => {}
        Some((command, false)) => {
            let words = command.as_array().filter(|words| !words.is_empty());
            if words.is_none_or(|words| !words.iter().all(Value::is_string)) {
                faults.push((format!("{place}.Command"), "expected a list of texts".to_owned()));
            }
        }
    }
    faults
}

/// The object, after its keys were checked.
fn checked<'a>(
    value: &'a Value,
    place: &str,
    known: &[&str],
    faults: &mut Vec<(String, String)>,
) -> Option<&'a Map<String, Value>> {
    let object = value.as_object();
    if object.is_none() {
        faults.push((place.to_owned(), "expected an object".to_owned()));
    }
    for key in object?.keys() {
        let name = key.strip_suffix(".$").unwrap_or(key);
        if !known.contains(&name) {
            let right = known.iter().find(|known| known.eq_ignore_ascii_case(name));
            let instead = right.map_or_else(String::new, |right| format!("; it is spelled {right}"));
            faults.push((format!("{place}.{key}"), format!("ecs:runTask does not support this field{instead}")));
        }
    }
    object
}

/// A field, and whether it is computed.
fn given<'a>(object: &'a Map<String, Value>, name: &str) -> Option<(&'a Value, bool)> {
    let computed = || object.get(&format!("{name}.$")).map(|value| (value, true));
    object.get(name).map(|value| (value, false)).or_else(computed)
}

impl TaskRequest {
    /// Reads the parameters of a state that runs.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a value that was computed.
    pub fn of(parameters: &Value) -> Result<Self, String> {
        let overrides = &parameters["Overrides"];
        let container = &overrides["ContainerOverrides"][0];
        let words = container["Command"].as_array().filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| expected("Command", "a list of texts", &container["Command"]))?;
        let word = |word: &Value| {
            let word = word.as_str().ok_or_else(|| expected("Command", "texts", word))?;
            if word.contains('\0') {
                Err(expected("Command", "texts without zero bytes", &json!(word)))
            } else {
                Ok(word.to_owned())
            }
        };
        let command = words.iter().map(word).collect::<Result<Vec<_>, _>>()?;
        let mut environment = Vec::new();
        for variable in container["Environment"].as_array().into_iter().flatten() {
            let (name, value) = (variable["Name"].as_str(), variable["Value"].as_str());
            let pair = name
                .zip(value)
                .filter(|(name, value)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
            let (name, value) =
                pair.ok_or_else(|| expected("Environment", "a Name and a Value, both texts", variable))?;
            environment.push((name.to_owned(), value.to_owned()));
        }
        let cpu_units = limit(container, "Cpu")?.or(limit(overrides, "Cpu")?);
        let memory_mib = limit(container, "Memory")?.or(limit(overrides, "Memory")?);
        let name = container["Name"].as_str().unwrap_or("container").to_owned();
        Ok(Self { container: name, command, environment, cpu_units, memory_mib })
    }
}

/// A limit, which ECS takes as a number for containers and as a text for tasks.
fn limit(object: &Value, name: &str) -> Result<Option<u64>, String> {
    let value = &object[name];
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| expected(name, "a number above 0", value))
}

fn expected(field: &str, what: &str, found: &Value) -> String {
    format!("{field}: expected {what}, found {found}")
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// The exit code, or nothing if the program was not started.
    pub exit_code: Option<i32>,
    /// Why, if something else than the program decided.
    pub reason: Option<String>,
}

/// The description of a task that ended, in the form of ECS. It is the output of a task that succeeded, and the cause
/// of one that failed.
#[must_use]
pub fn description(task_id: &str, request: &TaskRequest, end: &TaskEnd, times_unix_ms: (i64, i64)) -> Value {
    let mut container = json!({ "LastStatus": "STOPPED", "Name": request.container });
    if let Some(exit_code) = end.exit_code {
        container["ExitCode"] = json!(exit_code);
    }
    if let Some(reason) = &end.reason {
        container["Reason"] = json!(reason);
    }
    let (started, stopped) = times_unix_ms;
    json!({
        "Containers": [container],
        "DesiredStatus": "STOPPED",
        "LastStatus": "STOPPED",
        "Overrides": { "ContainerOverrides": [{ "Command": request.command, "Name": request.container }] },
        "StartedAt": started,
        "StopCode": if end.exit_code.is_some() { "EssentialContainerExited" } else { "TaskFailedToStart" },
        "StoppedAt": stopped,
        "StoppedReason": if end.exit_code.is_some() { "Essential container in task exited" } else { "Task failed to start" },
        "TaskArn": task_arn(task_id),
    })
}

/// The name of a task of this machine, in the form of ECS.
pub(super) fn task_arn(task_id: &str) -> String {
    format!("arn:aws:ecs:local:000000000000:task/local/{task_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Value {
        json!({
            "Cluster": "a", "TaskDefinition": "b",
            "Overrides": {"Cpu": "2048", "ContainerOverrides": [
                {"Name": "omomi", "Command": ["omomi", "verify"], "Memory": 512, "Environment": [{"Name": "A", "Value": "1"}]}
            ]}
        })
    }

    #[test]
    fn a_request_has_its_command_and_limits() {
        assert_eq!(faults_of_parameters(&parameters()), []);
        let request = TaskRequest::of(&parameters()).unwrap();
        assert_eq!(request.command, ["omomi", "verify"]);
        assert_eq!((request.cpu_units, request.memory_mib), (Some(2048), Some(512)));
        assert_eq!(request.environment, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn values_of_wrong_kinds_are_refused() {
        for (pointer, value) in [
            ("/Overrides/ContainerOverrides/0/Command", json!([1])),
            ("/Overrides/ContainerOverrides/0/Command", json!([])),
            ("/Overrides/ContainerOverrides/0/Memory", json!("much")),
            ("/Overrides/ContainerOverrides/0/Environment", json!([{"Name": "A=B", "Value": ""}])),
        ] {
            let mut parameters = parameters();
            *parameters.pointer_mut(pointer).unwrap() = value;
            assert!(TaskRequest::of(&parameters).is_err(), "{parameters}");
        }
    }

    #[test]
    fn fields_that_ecs_does_not_know_are_named() {
        let mut parameters = parameters();
        parameters["cluster"] = json!("a");
        let faults = faults_of_parameters(&parameters);
        assert!(faults[0].1.contains("spelled Cluster"), "{faults:?}");
        assert!(fault_of_resource("arn:aws:states:::lambda:invoke").is_some());
        assert!(fault_of_resource("arn:aws:states:::ecs:runTask").is_some());
        assert_eq!(fault_of_resource("arn:aws:states:::ecs:runTask.sync"), None);
    }

    #[test]
    fn the_exit_code_is_where_ecs_has_it() {
        let end = TaskEnd { exit_code: Some(75), reason: None };
        let description = description("1/2", &TaskRequest::of(&parameters()).unwrap(), &end, (1, 2));
        assert_eq!(description["Containers"][0]["ExitCode"], 75);
    }
}
