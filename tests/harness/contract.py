# SPDX-License-Identifier: Apache-2.0
"""contract: every answer held against proto/openapi.yaml, and what of it was never exercised."""

import json
import os

import jsonschema
import yaml

from cluster import ROOT
from process import Failure

ROW_SCHEMAS = {"/v1/stats": "stats_row", "/v1/top": "top_ad"}  # of application/x-ndjson
METHODS = ("get", "post", "options")


class Contract:
    """Give it each answer; ask it in the end what was left untouched."""

    def __init__(self):
        with open(os.path.join(ROOT, "proto/openapi.yaml"), encoding="utf-8") as file:
            self.document = yaml.safe_load(file)
        self.touched = set()

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            at = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            node = at
        return node

    def validate(self, value, schema, what):
        """Also what a schema does not forbid: members that it does not know are told to us by nobody, so they may come."""
        whole = {"allOf": [schema], "components": self.document["components"]}
        errors = list(jsonschema.Draft202012Validator(whole).iter_errors(value))
        if errors:
            best = jsonschema.exceptions.best_match(errors)
            where = "/".join(str(part) for part in best.absolute_path)
            raise Failure(f"{what}: {where or 'the body'}: {best.message[:300]}")

    def operation(self, path, method):
        name = "get" if method in (None, "HEAD") else method.lower()
        found = self.document["paths"].get(path, {}).get(name)
        if found is None and name != "options":  # a method that is refused, or a path: said of another one
            found = next((self.document["paths"][path][m] for m in METHODS if m in self.document["paths"].get(path, {})),
                         None)
        return name, found

    def check_headers(self, response, answer, what):
        for name, header in response.get("headers", {}).items():
            header = self.resolve(header)
            value = answer.headers.get(name.lower())
            if value is None:
                if header.get("required"):
                    raise Failure(f"{what}: no {name}")
                continue
            schema = self.resolve(header["schema"])
            if schema.get("type") == "integer":
                value = int(value)
            elif "pattern" in schema:
                value = value.replace("w/", "W/")  # e2e.ask lowers them
            self.validate(value, schema, f"{what}: {name}")
            self.touched.add(("header", what.split()[1], name))

    def check_body(self, path, response, answer, what):
        kind = answer.headers.get("content-type", "").split(";")[0]
        content = response.get("content", {})
        if kind not in content:
            raise Failure(f"{what}: the type {kind!r} is not documented")
        self.touched.add(("type", what, kind))
        if kind.endswith("json") and not kind.endswith("ndjson"):
            self.validate(answer.json, content[kind]["schema"], what)
        elif kind == "application/x-ndjson":
            for line in answer.body.splitlines():
                self.validate(json.loads(line), {"$ref": f"#/components/schemas/{ROW_SCHEMAS[path]}"}, what)

    def check(self, path, method, answer, wanted=None, problem=None):
        """wanted: the status; problem: the last part of its type."""
        what = f"{method or 'GET'} {path} {answer.status}"
        if wanted is not None and answer.status != wanted:
            raise Failure(f"{what}, not {wanted}: {answer.body[:300]}")
        name, operation = self.operation(path, method)
        if operation is None:
            raise Failure(f"{what}: no such operation in the contract")
        response = self.resolve(operation["responses"].get(str(answer.status)))
        if response is None:
            raise Failure(f"{what}: the status is not documented; {answer.body[:300]}")
        self.touched.add(self.status(path, "post" if path == "/v1/clicks" and name != "options" else
                                     name if name in self.document["paths"][path] else "get", str(answer.status)))
        self.check_headers(response, answer, what)
        if method != "HEAD" and "content" in response:
            self.check_body(path, response, answer, what)
        if answer.status >= 400 and method != "HEAD":
            token = answer.json["type"].removeprefix("urn:tributary:problem:")
            if problem is not None and token != problem:
                raise Failure(f"{what}: {token}, not {problem}: {answer.json['detail']}")
            self.touched.add(("problem", "edge" if path in ("/v1/clicks", "/v1/home") else "globe", token))
        return answer

    def parameter(self, path, name, value):
        """Said of a request that was sent with it, and answered as a good one."""
        self.touched.add(("parameter", path, name))
        self.touched.add(("value", path, name, value))

    def status(self, path, method, status):
        """What a tier says in the same way on every path is tried on one of them."""
        said = self.document["paths"][path][method]["responses"][status].get("$ref", "").rpartition("/")[2]
        if said.startswith(("globe_", "edge_")):
            return ("status", said)
        return ("status", path, method, status)

    def expected(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                for status in operation["responses"]:
                    yield self.status(path, method, status)
                for parameter in operation.get("parameters", []):
                    parameter = self.resolve(parameter)
                    yield ("parameter", path, parameter["name"])
                    for value in self.resolve(parameter["schema"]).get("enum", []):
                        yield ("value", path, parameter["name"], value)
                for status in operation["responses"].values():
                    for kind in self.resolve(status).get("content", {}):
                        if not kind.endswith("problem+json"):
                            yield ("type", f"{method.upper()} {path} "
                                   f"{next(s for s, r in operation['responses'].items() if r is status)}", kind)
        for tier in ("edge", "globe"):
            schema = self.document["components"]["schemas"][f"{tier}_problem"]
            for token in schema["properties"]["type"]["enum"]:
                yield ("problem", tier, token.removeprefix("urn:tributary:problem:"))

    def untouched(self):
        return sorted(set(map(str, set(self.expected()) - self.touched)))
