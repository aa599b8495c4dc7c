"""What scripts do with boto3: types of answers, exceptions, paginators, waiters."""
import datetime
import sys

import boto3

cluster = sys.argv[1]
ecs = boto3.client("ecs")

fast = {"Delay": 1, "MaxAttempts": 90}
definition = ecs.register_task_definition(
    family=cluster,
    containerDefinitions=[{"name": "worker", "image": "gantry/sample-worker:latest", "memory": 32}],
    tags=[{"key": "a", "value": "b"}],
)
assert definition["tags"] == [{"key": "a", "value": "b"}], definition
definition = definition["taskDefinition"]
assert isinstance(definition["registeredAt"], datetime.datetime), definition
age = datetime.datetime.now(datetime.timezone.utc) - definition["registeredAt"]
assert abs(age) < datetime.timedelta(minutes=1), age

run = ecs.run_task(cluster=cluster, taskDefinition=cluster, count=2, startedBy="boto3")
assert run["failures"] == [], run
assert run["ResponseMetadata"]["RequestId"], run
arns = [t["taskArn"] for t in run["tasks"]]
ecs.get_waiter("tasks_running").wait(cluster=cluster, tasks=arns, WaiterConfig=fast)

pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, PaginationConfig={"PageSize": 1})
listed = [arn for page in pages for arn in page["taskArns"]]
assert sorted(listed) == sorted(arns), listed

for arn in arns:
    ecs.stop_task(cluster=cluster, task=arn, reason="enough")
ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=arns, WaiterConfig=fast)
for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
    assert task["stoppedReason"] == "enough" and task["stopCode"] == "UserInitiated", task
    assert task["startedAt"] <= task["stoppedAt"], task

try:
    ecs.run_task(cluster="nobody-made-this-one", taskDefinition=cluster)
    raise AssertionError("no exception")
except ecs.exceptions.ClusterNotFoundException as e:
    assert e.response["Error"]["Message"] == "Cluster not found.", e.response
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e.response

assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
