//! Names of errors: those of the language, and the prefixes of services.

/// Errors that the language reserves.
const OF_THE_LANGUAGE: &[&str] = &[
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

/// Prefixes of the errors of services, as Step Functions spells them.
const OF_SERVICES: &[&str] = &[
    "ApiGateway",
    "Athena",
    "Batch",
    "Bedrock",
    "CodeBuild",
    "DataBrew",
    "DynamoDB",
    "DynamoDb",
    "ECS",
    "EKS",
    "EMR",
    "ElasticMapReduce",
    "EventBridge",
    "Events",
    "Glue",
    "Lambda",
    "MediaConvert",
    "S3",
    "SNS",
    "SQS",
    "SageMaker",
    "SdkClient",
    "Sfn",
    "SfnClient",
    "StepFunctions",
];

/// Says what is wrong with the name of an error in `ErrorEquals`.
pub(super) fn fault_of_error(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("expected the name of an error, found an empty text".to_owned());
    }
    if name.starts_with("States.") && !OF_THE_LANGUAGE.contains(&name) {
        return Some(format!("{name} is not an error of the language, which reserves names that begin with States."));
    }
    if name.eq_ignore_ascii_case("States.ALL") && name != "States.ALL" {
        return Some(format!("expected States.ALL, found {name}"));
    }
    let (prefix, rest) = name.split_once('.')?;
    if prefix.eq_ignore_ascii_case("States") {
        return (prefix != "States").then(|| format!("expected States.{rest}, found {name}"));
    }
    let right = OF_SERVICES.iter().find(|service| service.eq_ignore_ascii_case(prefix))?;
    let is_right = OF_SERVICES.contains(&prefix);
    (!is_right).then(|| {
        format!("expected {right}.{rest}, found {name}: the service spells its errors so, and {name} never occurs")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_spelled_as_the_services_do() {
        assert!(fault_of_error("Ecs.AmazonECSException").unwrap().contains("expected ECS.AmazonECSException"));
        assert!(fault_of_error("states.ALL").unwrap().contains("expected States.ALL"));
        assert!(fault_of_error("States.TaskFailure").unwrap().contains("not an error of the language"));
        for good in ["ECS.AmazonECSException", "States.TaskFailed", "MyError", "My.Error", "DynamoDb.X", "DynamoDB.X"] {
            assert_eq!(fault_of_error(good), None);
        }
    }
}
