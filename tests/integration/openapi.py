# SPDX-License-Identifier: MIT
"""Holds answers to the OpenAPI document that was served.

    openapi.py DOCUMENT FOLDER

FOLDER has a folder for each exchange: `request` (method and path, a line each), `status`, `headers` and, unless it was too large
to be kept, `body`. Every answer must be one that the document has for its operation: status, content type, and all of its JSON, in
which no member may be that the document does not name. What is at no path of it must be a problem with 404, and an unknown method
one with 405. Every operation must have been seen with each of the successes that the document has for it.
"""
import json
import os
import re
import sys

import jsonschema

PROBLEM = {"$ref": "#/components/responses/Problem"}
METHODS = ("get", "put", "post", "delete")


class Document:
    def __init__(self, text):
        self.tree = json.loads(text)
        self.routes = [(re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part)
                                            for part in path.split("/")) + "$"), path)
                       for path in self.tree["paths"]]

    def find(self, node):
        """What a reference means."""
        while "$ref" in node:
            at = self.tree
            for part in node["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            node = at
        return node

    def path_of(self, path):
        # What is there by its name comes before what a pattern takes.
        plain = path.split("?")[0]
        if plain in self.tree["paths"]:
            return plain
        return next((found for pattern, found in self.routes if pattern.match(plain)), None)

    def schema(self, node):
        """As JSON Schema, without references, and strict: what has properties has no others."""
        node = dict(self.find(node))
        parts = [self.schema(part) for part in node.pop("allOf", [])]
        for part in parts:
            node["type"] = part["type"]
            node["required"] = node.get("required", []) + part.get("required", [])
            node["properties"] = {**node.get("properties", {}), **part.get("properties", {})}
        if parts:
            node["additionalProperties"] = False
            return node
        if "properties" in node:
            node["properties"] = {name: self.schema(value) for name, value in node["properties"].items()}
            node.setdefault("additionalProperties", False)
        if "oneOf" in node:
            node["oneOf"] = [self.schema(part) for part in node["oneOf"]]
        if "items" in node:
            node["items"] = self.schema(node["items"])
        if node.pop("nullable", False) and "type" in node:
            node["type"] = [node["type"], "null"]
        return node


def check_events(document, text):
    """Server-sent events, the last of which may be cut off by the end of the connection."""
    job = document.schema({"$ref": "#/components/schemas/Job"})
    for block in text.split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        event = dict(line.split(": ", 1) for line in lines if line)
        if not event:
            continue
        if event["event"] in ("state", "end"):
            assert event["id"].isdigit(), event["id"]
            validate(json.loads(event["data"]), job)
        else:
            assert event["event"] in ("removed", "stopped") and event["data"] == "{}", event


def validate(value, schema):
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker(["uuid"])).validate(value)


def check(document, seen, folder):
    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()

    method, path = read("request").splitlines()
    status = read("status").strip()
    # The last answer's: one that says 100 may come before it.
    headers = dict((line.split(":", 1)[0].lower(), line.split(":", 1)[1].strip())
                   for line in re.split(r"\r?\n\r?\n", read("headers").strip())[-1].splitlines()[1:])
    kind = headers.get("content-type", "").split(";")[0]
    template = document.path_of(path)
    operations = document.tree["paths"].get(template, {})
    operation = operations.get(method.lower()) if method.lower() in METHODS else None
    if operation is None:
        assert status in ("401", "403", "405" if template else "404"), "the document knows no %s %s" % (method, template)
        response = PROBLEM
    else:
        response = operation["responses"].get(status, operation["responses"]["default"])
        assert status[0] != "2" or status in operation["responses"], "there is no success with status %s" % status
        seen.add((method.lower(), template, status))
    response = document.find(response)
    for name, header in response.get("headers", {}).items():
        assert name.lower() in headers or not header.get("required"), "there is no header " + name
    if "content" not in response:
        assert status in ("414", "431") or headers.get("content-length", "0") == "0", "there is a body"
        return
    assert kind in response["content"], "the type is %s" % kind
    if not os.path.exists(os.path.join(folder, "body")):
        return
    if kind == "text/event-stream":
        check_events(document, read("body"))
    elif kind in ("application/json", "application/problem+json"):
        value = json.loads(read("body"))
        validate(value, document.schema(response["content"][kind].get("schema", {})))
        if kind == "application/problem+json":
            assert value["status"] == int(status), "the problem has status %s" % value["status"]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = Document(file.read())
    failures = 0
    seen = set()
    folders = sorted(os.listdir(sys.argv[2]), key=int)
    for name in folders:
        folder = os.path.join(sys.argv[2], name)
        try:
            check(document, seen, folder)
        except (AssertionError, KeyError, ValueError, jsonschema.ValidationError) as error:
            failures += 1
            with open(os.path.join(folder, "request"), encoding="utf-8", errors="replace") as file:
                print("not ok", file.read().strip().replace("\n", " ")[:300], str(error)[:600])
    for path, operations in document.tree["paths"].items():
        for method, operation in operations.items():
            for status in operation["responses"] if method in METHODS else []:
                if status[0] == "2" and (method, path, status) not in seen:
                    failures += 1
                    print("not ok %s %s was never answered with %s" % (method, path, status))
    print("%d answers, %d failed" % (len(folders), failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
