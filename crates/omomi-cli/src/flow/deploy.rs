//! `omomi flow deploy`: shows what the environment of a project on AWS would become, and makes it with the command
//! `aws`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use omomi::store::Digest;
use omomi_train::bucket::read;
use serde_json::{Value, json};

use crate::Failure;
use crate::output::{note, one_line, say};
use crate::places::FileFailure;
use crate::refusal::print_json;
use crate::text::table;

/// Create or update the environment of a project on AWS: template.yaml, with flow.asl.json as its state machine
///
/// Runs the command aws, with its credentials and its region: it copies the flow to the bucket FlowBucket under a name
/// with its digest, and deploys the stack. Parameters are in parameters.json; those that are not there have the
/// defaults of the template, or the values that the stack has.
///
/// Exit code 0: done. 1: failed. 2: misuse of the command line.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder of the project
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Name of the stack
    #[arg(long, value_name = "NAME", default_value = "omomi-training")]
    stack: String,
    /// Show what would change and the commands, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What `aws cloudformation describe-stacks --stack-name NAME` printed [default: it is run]
    #[arg(long, value_name = "FILE")]
    described: Option<PathBuf>,
    /// What `aws cloudformation get-template --stack-name NAME` printed [default: it is run]
    #[arg(long, value_name = "FILE", requires = "described")]
    described_template: Option<PathBuf>,
    /// Print what would change as JSON
    #[arg(long)]
    json: bool,
}

/// A stack as it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    status: String,
    parameters: BTreeMap<String, String>,
    template: Option<String>,
}

/// What a deployment would change.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    what: String,
    before: Option<String>,
    after: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let template_path = arguments.project.join("template.yaml");
    let template = text(&template_path)?;
    let flow_path = arguments.project.join("flow.asl.json");
    let flow = read(&flow_path).map_err(FileFailure::reading(&flow_path))?;
    let mut parameters = parameters(&arguments.project.join("parameters.json"))?;
    let mut digest = Digest::of(&flow).to_string();
    digest.truncate(16);
    let key = format!("omomi/{digest}.asl.json");
    parameters.insert("FlowKey".to_owned(), key.clone());
    let missing: Vec<&str> =
        parameters.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        return Err(format!("parameters.json: expected values of {names}, found empty ones").into());
    }
    let bucket = parameters.get("FlowBucket").ok_or("parameters.json: expected the name of a bucket as FlowBucket")?;
    let commands = commands(arguments, &template_path, &flow_path, &format!("s3://{bucket}/{key}"), &parameters);
    if !arguments.dry_run {
        return commands.iter().try_for_each(|command| run_command(command));
    }
    let described = described(arguments)?;
    let changes = changes(described.as_ref(), &parameters, &template);
    if arguments.json {
        let changes = changes.iter().map(|it| json!({ "what": it.what, "before": it.before, "after": it.after }));
        print_json(&json!({
            "stack": arguments.stack,
            "status": described.map(|it| it.status),
            "changes": changes.collect::<Vec<_>>(),
            "commands": commands,
        }));
        return Ok(());
    }
    match &described {
        None => say!("the stack {} does not exist: it would be created\n", arguments.stack),
        Some(it) => say!("the stack {} is {}\n", arguments.stack, one_line(&it.status)),
    }
    let cell = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), one_line);
    let rows: Vec<Vec<String>> =
        changes.iter().map(|it| vec![it.what.clone(), cell(&it.before), cell(&it.after)]).collect();
    if rows.is_empty() {
        say!("nothing would change")
    } else {
        say!("{}", table(&["what", "before", "after"], rows))
    }
    say!("\ncommands:");
    commands.iter().for_each(|command| say!("  {}", shell(command)));
    Ok(())
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path).map_err(FileFailure::reading(path))?;
    Ok(String::from_utf8(bytes).map_err(|_| format!("{}: expected UTF-8", path.display()))?)
}

/// Reads `parameters.json`: an object of texts, or of numbers.
fn parameters(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let value: Value = serde_json::from_str(&text(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let Some(object) = value.as_object() else {
        return Err(format!("{}: expected an object of parameters and their values", path.display()).into());
    };
    let of_value = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(number) => Ok((name.clone(), number.to_string())),
        _ => Err(format!("{}: expected a text or a number as {name}, found {value}", path.display()).into()),
    };
    object.iter().map(of_value).collect()
}

/// The command lines that deploy the stack.
fn commands(
    arguments: &Arguments,
    template: &Path,
    flow: &Path,
    flow_address: &str,
    parameters: &BTreeMap<String, String>,
) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let (template, flow) = (template.display().to_string(), flow.display().to_string());
    let mut deploy = words(&["aws", "cloudformation", "deploy", "--template-file", &template]);
    deploy.extend(words(&["--stack-name", &arguments.stack, "--capabilities", "CAPABILITY_IAM"]));
    deploy.extend(words(&["--no-fail-on-empty-changeset", "--parameter-overrides"]));
    deploy.extend(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    vec![words(&["aws", "s3", "cp", &flow, flow_address]), deploy]
}

fn run_command(words: &[String]) -> Result<(), Failure> {
    note!("{}", shell(words));
    let status = Command::new(&words[0]).args(&words[1..]).status();
    let status =
        status.map_err(|error| format!("{} cannot be started: {error}; install the AWS command line", words[0]))?;
    if status.success() { Ok(()) } else { Err(format!("{} {} ended with {status}", words[0], words[1]).into()) }
}

/// The stack as it is, from files or from the command `aws`. `None` if there is none.
fn described(arguments: &Arguments) -> Result<Option<Described>, Failure> {
    let stacks = match &arguments.described {
        Some(path) => text(path)?,
        None => match ask(&arguments.stack, "describe-stacks")? {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let template = match (&arguments.described_template, &arguments.described) {
        (Some(path), _) => Some(text(path)?),
        (None, Some(_)) => None,
        (None, None) => ask(&arguments.stack, "get-template")?,
    };
    parse_described(&stacks, template.as_deref()).map(Some).map_err(Failure::from)
}

/// Asks the command `aws`. Returns `None` if there is no such stack.
fn ask(stack: &str, command: &str) -> Result<Option<String>, Failure> {
    let output =
        Command::new("aws").args(["cloudformation", command, "--stack-name", stack, "--output", "json"]).output();
    let output = output.map_err(|error| {
        format!("aws cannot be started: {error}; install it, or give --described with what it prints")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), said.contains("does not exist")) {
        (true, _) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        (false, true) => Ok(None),
        (false, false) => Err(format!("aws cloudformation {command}: {}", said.trim()).into()),
    }
}

/// Reads what `describe-stacks` and `get-template` printed.
fn parse_described(stacks: &str, template: Option<&str>) -> Result<Described, String> {
    let form = |error| format!("the description of the stack: {error}");
    let value: Value = serde_json::from_str(stacks).map_err(form)?;
    let stack = &value["Stacks"][0];
    let Some(status) = stack["StackStatus"].as_str() else {
        return Err(
            "the description of the stack: expected what `aws cloudformation describe-stacks` prints".to_owned()
        );
    };
    let parameters = stack["Parameters"].as_array().into_iter().flatten().filter_map(|parameter| {
        let (name, value) = (parameter["ParameterKey"].as_str()?, parameter["ParameterValue"].as_str()?);
        Some((name.to_owned(), value.to_owned()))
    });
    let template = match template {
        None => None,
        Some(text) => {
            let value: Value = serde_json::from_str(text).map_err(form)?;
            // A template in JSON is an object, which this one never is.
            Some(value["TemplateBody"].as_str().map_or_else(|| value["TemplateBody"].to_string(), str::to_owned))
        }
    };
    Ok(Described { status: status.to_owned(), parameters: parameters.collect(), template })
}

/// What a deployment would change. A parameter that is not given keeps its value.
fn changes(described: Option<&Described>, parameters: &BTreeMap<String, String>, template: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let before = |name: &str| described.and_then(|it| it.parameters.get(name)).cloned();
    for (name, value) in parameters {
        if before(name).as_ref() != Some(value) {
            let what = if name == "FlowKey" { "the flow".to_owned() } else { format!("parameter {name}") };
            changes.push(Change { what, before: before(name), after: Some(value.clone()) });
        }
    }
    let short = |text: &str| {
        let mut digest = Digest::of(text.trim_end().as_bytes()).to_string();
        digest.truncate(16);
        digest
    };
    let known = described.map(|it| it.template.as_deref().map(short));
    match known {
        // The template of the stack is not known.
        Some(None) => {}
        Some(Some(known)) if known == short(template) => {}
        known => {
            changes.push(Change {
                what: "the template".to_owned(),
                before: known.flatten(),
                after: Some(short(template)),
            });
        }
    }
    changes
}

/// A command line as people type it.
fn shell(words: &[String]) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@".contains(char);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_new_stack_changes_everything_and_an_equal_one_nothing() {
        let parameters = map(&[("FlowKey", "omomi/1.asl.json"), ("Shards", "4")]);
        assert_eq!(changes(None, &parameters, "a").len(), 3);
        let stacks = r#"{"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Parameters": [
            {"ParameterKey": "FlowKey", "ParameterValue": "omomi/1.asl.json"},
            {"ParameterKey": "Shards", "ParameterValue": "4"},
            {"ParameterKey": "Kept", "ParameterValue": "1"}]}]}"#;
        let described = parse_described(stacks, Some(r#"{"TemplateBody": "a\n"}"#)).unwrap();
        assert_eq!(changes(Some(&described), &parameters, "a"), []);
        let parameters = map(&[("FlowKey", "omomi/2.asl.json"), ("Shards", "4")]);
        let changed = changes(Some(&described), &parameters, "b");
        assert_eq!(changed.iter().map(|it| it.what.as_str()).collect::<Vec<_>>(), ["the flow", "the template"]);
    }

    #[test]
    fn what_is_no_description_of_a_stack_is_refused() {
        for text in ["{}", "[]", "{\"Stacks\": []}"] {
            assert!(parse_described(text, None).unwrap_err().contains("describe-stacks"), "{text}");
        }
        assert!(parse_described("no", None).is_err());
    }

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        assert_eq!(shell(&["a".to_owned(), "Schedule=cron(0 3 * * ? *)".to_owned()]), "a 'Schedule=cron(0 3 * * ? *)'");
    }
}
