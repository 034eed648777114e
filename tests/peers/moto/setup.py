"""Users and a role for the tests.

    setup.py count            how many calls of AWS this makes
    setup.py ENDPOINT FILE    makes them, and writes each user's access key into FILE
"""
import json
import sys

# What each user may do: `dev` everything that lanyard asks for, `bare` nothing, `stuck` make keys but not delete them.
USERS = {
    "dev": ["sts:*", "iam:*AccessKey*", "ecr:GetAuthorizationToken"],
    "bare": ["s3:ListAllMyBuckets"],
    "stuck": ["sts:*", "iam:CreateAccessKey", "iam:ListAccessKeys"],
}
CALLS_PER_USER = 3


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def main(endpoint, file):
    import boto3

    iam = boto3.client(
        "iam",
        endpoint_url=endpoint,
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
    with open(file, "w") as out:
        json.dump(keys, out)


if sys.argv[1] == "count":
    print(len(USERS) * CALLS_PER_USER + 1)
else:
    main(*sys.argv[1:])
