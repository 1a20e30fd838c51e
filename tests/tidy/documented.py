# SPDX-License-Identifier: Apache-2.0
"""What clients may be told is written down: each problem type and each refusal of a click in the code is in
proto/openapi.yaml, and the other way round."""
import re

OPENAPI = "proto/openapi.yaml"
# refuse(v, 404, "not_found", ...), {413, "body_too_large", ...}, problem(job, 400, bad ? "invalid_json" : ..., ...)
SAID = re.compile(r'\b[45]\d\d,\s*(?:\w+\s*\?\s*"([a-z][a-z0-9_]*)"\s*:\s*)?"([a-z][a-z0-9_]*)"')
FAULT = re.compile(r'\[(?:CLICK_JSON_\w+\]\s*=\s*\{|ADMIT_\w+\]\s*=)\s*"([a-z][a-z0-9_]*)"')
# Where the words of each list of the document come from.
SHARED = r"common/run/(?:h2|http1)_\w+\.c"
LISTS = {
    "edge_problem": (re.compile(rf"edge/edge_\w+\.c|{SHARED}"), SAID),
    "globe_problem": (re.compile(rf"global/global_http\w*\.c|{SHARED}"), SAID),
    "refusal": (re.compile(r"proto/click_json\.c|edge/core/admit\.c"), FAULT),
}


def said(sources, where, pattern):
    """token -> (path, line) of its first use."""
    found = {}
    for path, text in sorted(sources.items()):
        if where.fullmatch(path):
            for match in pattern.finditer(text):
                for token in filter(None, match.groups()):
                    found.setdefault(token, (path, text.count("\n", 0, match.end()) + 1))
    found.pop("ok", None)
    return found


def written(text, schema):
    """token -> line, of the first enum of a schema that stands one a line."""
    found, inside, listing = {}, False, False
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r" {4}\w", line):
            if listing:
                break
            inside = line.startswith(f"    {schema}:")
        elif inside and line.strip() == "enum:":
            listing = True
        elif listing:
            item = re.match(r"\s+- (?:urn:tributary:problem:)?([a-z][a-z0-9_]*)", line)
            if item is None:
                break
            found[item.group(1)] = number
    return found


def check_documented(sources):
    """Yields (path, line, words)."""
    if OPENAPI not in sources:
        return
    for schema, (where, pattern) in LISTS.items():
        code, document = said(sources, where, pattern), written(sources[OPENAPI], schema)
        for token in sorted(code.keys() - document.keys()):
            yield *code[token], f"{token} is not in {schema} of {OPENAPI}"
        for token in sorted(document.keys() - code.keys()):
            yield OPENAPI, document[token], f"{token} of {schema} is said nowhere in the code"
