"""A moto with users and a role for the tests.

    server.py PORT FILE

Writes each user's access key and the role's ARN into FILE, then checks every request.
"""
import json
import os
import sys
import threading

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "inf"

import boto3  # noqa: E402
from moto import settings  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

# What each user may do: `dev` all that lanyard asks for, `bare` nothing of it, `stuck` make keys but not delete them.
USERS = {
    "dev": ["sts:*", "iam:*AccessKey*", "ecr:GetAuthorizationToken"],
    "bare": ["s3:ListAllMyBuckets"],
    "stuck": ["sts:*", "iam:CreateAccessKey", "iam:ListAccessKeys"],
}


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def set_up(port):
    iam = boto3.client(
        "iam",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
    )
    keys = {}
    for user, actions in USERS.items():
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="may", PolicyDocument=policy(Action=actions, Resource="*"))
        made = iam.create_access_key(UserName=user)["AccessKey"]
        keys[user] = {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
    trust = policy(Action="sts:AssumeRole", Principal={"AWS": "*"})
    keys["role"] = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="deploy", PolicyName="may", PolicyDocument=policy(Action="sts:*", Resource="*"))
    return keys


port, file = sys.argv[1:]
ThreadedMotoServer(ip_address="127.0.0.1", port=int(port), verbose=False).start()
keys = set_up(port)
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
with open(file + ".new", "w") as out:
    json.dump(keys, out)
os.rename(file + ".new", file)
threading.Event().wait()
