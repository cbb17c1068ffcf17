"""Deploys the stack of a project to MiniStack, and runs its flow there with the input of its schedule.

Arguments: the port of MiniStack, and the folder of the project.
Prints JSON: the status of the execution, its states in order, and what the stack is made of.
"""

import json
import sys
import time
from pathlib import Path

import boto3

port, project = sys.argv[1], Path(sys.argv[2])


def client(service):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


def wait_for(what, read, done):
    for _ in range(600):
        found = read()
        if done(found):
            return found
        time.sleep(0.05)
    raise SystemExit(f"{what} takes too long: {found}")


s3, cloudformation, states, scheduler = (client(name) for name in ("s3", "cloudformation", "stepfunctions", "scheduler"))
ec2 = client("ec2")

name = "training"
parameters = json.loads((project / "parameters.json").read_text())
vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24")["Subnet"]["SubnetId"] for i in range(2)]
s3.create_bucket(Bucket="flows")
s3.put_object(Bucket="flows", Key="flow.asl.json", Body=(project / "flow.asl.json").read_bytes())
parameters |= {
    "Image": "omomi:1",
    "FlowBucket": "flows",
    "FlowKey": "flow.asl.json",
    "Vpc": vpc,
    "Subnets": ",".join(subnets),
    "LogsBucket": "ads",
}
cloudformation.create_stack(
    StackName=name,
    TemplateBody=(project / "template.yaml").read_text(),
    Capabilities=["CAPABILITY_IAM"],
    Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
)


def stack():
    return cloudformation.describe_stacks(StackName=name)["Stacks"][0]


stack = wait_for("the stack", stack, lambda it: it["StackStatus"].endswith(("COMPLETE", "FAILED")))
if stack["StackStatus"] != "CREATE_COMPLETE":
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [f"{it['LogicalResourceId']}: {it.get('ResourceStatusReason')}" for it in events if "FAILED" in it["ResourceStatus"]]
    raise SystemExit(f"{stack['StackStatus']}: {failed}")
outputs = {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}

# The input is that of the schedule, whose time the scheduler fills in.
schedule = next(it for it in scheduler.list_schedules()["Schedules"])
target = scheduler.get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])["Target"]
text = target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-01-10T03:00:00Z")
text = json.dumps(json.loads(text) | {"retry_seconds": 0})
begun = states.start_execution(stateMachineArn=outputs["Flow"], name="run-1", input=text)


def execution():
    return states.describe_execution(executionArn=begun["executionArn"])


execution = wait_for("the execution", execution, lambda it: it["status"] != "RUNNING")
history = []
token = {}
while token is not None:
    page = states.get_execution_history(executionArn=begun["executionArn"], maxResults=1000, **token)
    history += page["events"]
    token = {"nextToken": page["nextToken"]} if "nextToken" in page else None

events = [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
print(json.dumps({
    "status": execution["status"],
    "error": execution.get("error"),
    "states": events,
    "outputs": outputs,
    "subnets": subnets,
    "resources": {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in resources},
}))
