"""An S3 store that Millrace's authors did not write (moto), for test/ship and test/e2e/ship.test.ts. Checks signatures and rights. Prints one line of JSON: port, bucket,
credentials, and those of a user who may only read. Ends with its standard input."""

import json
import logging
import sys

import boto3
import requests
from moto.server import ThreadedMotoServer  # its pages have as many keys as MOTO_S3_DEFAULT_MAX_KEYS says

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
url = f"http://127.0.0.1:{port}"
NOBODY = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
boto3.client("s3", endpoint_url=url, **NOBODY).create_bucket(Bucket="events")
iam = boto3.client("iam", endpoint_url=url, **NOBODY)


def user(name, actions):
    iam.create_user(UserName=name)
    rights = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [rights]}
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}


told = {
    "port": port,
    "bucket": "events",
    "credentials": user("writer", "s3:*"),
    "reader": user("reader", ["s3:Get*", "s3:List*"]),
}
# from now on every request is checked
requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10)
print(json.dumps(told), flush=True)
sys.stdin.read()
server.stop()
