"""Runs MiniStack, in which ECS tasks are mocked, because there is no container engine: a task ends at once.

Arguments: a file, to which the request of each task is appended as a line of JSON, and the exit codes of commands as
JSON: {"stage gate": [3]} lets the first task whose command is `omomi stage gate` end with 3, and later ones with 0.
As in Step Functions, the result of a task is its description, and the cause of a failure is that description as text.
"""

import json
import runpy
import sys
import threading

from ministack.services import stepfunctions

requests_path, exit_codes = sys.argv[1], json.loads(sys.argv[2])
lock = threading.Lock()


def run_task(resource, request):
    command = request["Overrides"]["ContainerOverrides"][0]["Command"]
    with lock:
        with open(requests_path, "a", encoding="utf-8") as requests:
            requests.write(json.dumps({"resource": resource, "request": request}) + "\n")
        codes = exit_codes.get(" ".join(command[1:3]), [])
        exit_code = codes.pop(0) if codes else 0
    task = {
        "Containers": [{"Name": "omomi", "ExitCode": exit_code}],
        "Overrides": request["Overrides"],
        "StartedAt": 1767582000000,
        "StoppedAt": 1767582060000,
        "StoppedReason": "Essential container in task exited",
    }
    if exit_code != 0:
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(task))
    return task


replaced = 0
for table in [value for value in vars(stepfunctions).values() if isinstance(value, dict)]:
    for key in [key for key, value in table.items() if value is stepfunctions._invoke_ecs_run_task]:
        table[key] = run_task
        replaced += 1
if not replaced:
    raise SystemExit("this version of MiniStack has no table of integrations with runTask")
sys.argv = sys.argv[:1]
runpy.run_module("ministack", run_name="__main__")
