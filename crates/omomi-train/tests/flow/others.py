"""Runs the flows of the corpus in another interpreter, with tasks that end as each flow's script says.

python others.py moto|ministack FOLDER prints one JSON object: by flow, the outcome, the states in the order in which
they were entered, and how often each task was called. Only the service that runs containers is replaced.
"""

import json
import os
import pathlib
import sys
import threading
import time

SECONDS = 40
ROLE = "arn:aws:iam::123456789012:role/a"
LOCK = threading.Lock()
# By flow: its script, and the calls so far.
SCRIPTS, CALLS = {}, {}


def called(command):
    """Returns the description of a task that succeeds, or its error and cause. `simulated.rs` does the same."""
    flow, name = command[2], command[1]
    with LOCK:
        call = CALLS[flow].get(name, 0)
        CALLS[flow][name] = call + 1
    answers = SCRIPTS[flow].get(name, [])
    answer = answers[call] if call < len(answers) else 1
    if isinstance(answer, str):
        return None, (answer, "as the script says")
    description = {"Containers": [{"ExitCode": answer, "Name": "omomi"}], "LastStatus": "STOPPED"}
    if answer == 0:
        return description, None
    return None, ("States.TaskFailed", json.dumps(description))


def command_of(parameters):
    parameters = {key.lower(): value for key, value in parameters.items()}
    overrides = {key.lower(): value for key, value in parameters["overrides"].items()}
    container = {key.lower(): value for key, value in overrides["containeroverrides"][0].items()}
    return container["command"]


def moto(flows):
    from moto import mock_aws
    from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
    from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
    from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
        FailureEvent,
        FailureEventException,
    )
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
        StateTaskServiceEcs,
    )
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

    def evaluate(self, env, resource_runtime_part, normalised_parameters, state_credentials):
        output, failure = called(command_of(normalised_parameters))
        if failure is None:
            env.stack.append(output)
            return
        error, cause = failure
        if error.startswith("States."):
            error_name = StatesErrorName(typ=StatesErrorNameType.from_name(error))
        else:
            error_name = CustomErrorName(error_name=error)
        details = TaskFailedEventDetails(error=error, cause=cause, resource="runTask.sync", resourceType="ecs")
        raise FailureEventException(
            failure_event=FailureEvent(
                env=env,
                error_name=error_name,
                event_type=HistoryEventType.TaskFailed,
                event_details=EventDetails(taskFailedEventDetails=details),
            )
        )

    def resolver(self, env, resource_runtime_part, normalised_parameters, state_credentials):
        output = env.stack.pop()
        return lambda: output

    StateTaskServiceEcs._eval_service_task = evaluate
    StateTaskServiceEcs._build_sync_resolver = resolver
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        import boto3

        client = boto3.client("stepfunctions", "us-east-1")
        return run(flows, lambda operation, **arguments: getattr(client, operation)(**arguments))


def ministack(flows):
    import ministack.services.stepfunctions as service

    def run_task(resource, parameters):
        output, failure = called(command_of(parameters))
        if failure is None:
            return output
        raise service._ExecutionError(*failure)

    # Tables of resources hold the function.
    for table in vars(service).values():
        if isinstance(table, dict):
            for key, value in list(table.items()):
                if value is service._invoke_ecs_run_task:
                    table[key] = run_task
    operations = {
        "create_state_machine": service._create_state_machine,
        "start_execution": service._start_execution,
        "describe_execution": service._describe_execution,
        "get_execution_history": service._get_execution_history,
    }

    def call(operation, **arguments):
        status, _, body = operations[operation](arguments)
        answer = json.loads(body)
        if status >= 400:
            raise RuntimeError(f"{operation}: {answer}")
        return answer

    return run(flows, call)


def with_flow(definition, name):
    """Adds the name of the flow to the command lines, because not each interpreter tells its tasks."""
    if isinstance(definition, dict):
        named = {key: with_flow(value, name) for key, value in definition.items()}
        if "Command" in named:
            named["Command"] = [*named["Command"], name]
        if "Command.$" in named:
            named["Command.$"] = named["Command.$"][:-1] + f", '{name}')"
        return named
    if isinstance(definition, list):
        return [with_flow(value, name) for value in definition]
    return definition


def run(flows, call):
    answers, running = {}, {}
    for name, flow in flows.items():
        SCRIPTS[name], CALLS[name] = flow["tasks"], {}
        try:
            machine = call(
                "create_state_machine",
                name=name,
                roleArn=ROLE,
                definition=json.dumps(with_flow(flow["definition"], name)),
            )
            execution = call(
                "start_execution",
                stateMachineArn=machine["stateMachineArn"],
                name=name,
                input=json.dumps(flow["input"]),
            )
            running[name] = execution["executionArn"]
        except Exception as problem:
            answers[name] = {"refused": f"{type(problem).__name__}: {problem}"[:300]}
    deadline = time.monotonic() + SECONDS
    while running and time.monotonic() < deadline:
        for name, arn in list(running.items()):
            described = call("describe_execution", executionArn=arn)
            if described["status"] == "RUNNING":
                continue
            del running[name]
            history, token = [], {}
            while True:
                page = call("get_execution_history", executionArn=arn, maxResults=1000, **token)
                history += page["events"]
                if not page.get("nextToken"):
                    break
                token = {"nextToken": page["nextToken"]}
            entered = [
                event["stateEnteredEventDetails"]["name"] for event in history if event["type"].endswith("StateEntered")
            ]
            answer = {"entered": entered, "calls": CALLS[name]}
            if described["status"] == "SUCCEEDED":
                answer["output"] = json.loads(described["output"])
            else:
                details = [event.get("executionFailedEventDetails") for event in history]
                failed = next((found for found in reversed(details) if found), {})
                answer["error"] = failed.get("error") or described.get("error") or described["status"]
            answers[name] = answer
        time.sleep(0.05)
    for name in running:
        answers[name] = {"refused": f"it did not end in {SECONDS} seconds"}
    return answers


if __name__ == "__main__":
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "a")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "b")
    folder = pathlib.Path(sys.argv[2])
    corpus = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    found = {"moto": moto, "ministack": ministack}[sys.argv[1]](corpus)
    print("ANSWERS " + json.dumps(found), flush=True)
    # Threads of executions may still run.
    os._exit(0)
