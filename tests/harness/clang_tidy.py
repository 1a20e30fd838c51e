# SPDX-License-Identifier: Apache-2.0
"""clang_tidy: runs clang-tidy over what has changed since it was last clean; BUILD JOBS FILE...

Findings that were looked at and are no mistakes stand in clang_tidy_tolerated.txt, one "file check" a line; that list
may only shrink: a line that nothing matches any more is reported, too.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from multiprocessing.pool import ThreadPool

TOLERATED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clang_tidy_tolerated.txt")
FINDING = re.compile(r"^(?P<file>[^:\n]+):\d+:\d+: (?:error|warning): .* \[(?P<checks>[^\]]+)\]$", re.M)


def digest(*texts):
    total = hashlib.sha256()
    for text in texts:
        total.update(text)
    return total.hexdigest()[:32]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def findings_of(build, path):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, path], capture_output=True, text=True, check=False)
    found = []
    for match in FINDING.finditer(done.stdout):
        where = os.path.relpath(match["file"]) if os.path.isabs(match["file"]) else match["file"]
        check = match["checks"].split(",")[0]
        found.append((f"{where} {check}", match.group(0)))
    if done.returncode != 0 and not found:
        found.append((f"{path} clang-tidy", done.stdout + done.stderr))
    return found


def main():
    build, jobs, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    with open(TOLERATED, encoding="utf-8") as file:
        tolerated = {line.strip() for line in file if line.strip() and not line.startswith("#")}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        compiled = {os.path.relpath(entry["file"]) for entry in json.load(file)}
    headers = [read(f) for f in sorted(files) if f.endswith(".h")]
    base = digest(read(".clang-tidy"), *headers)
    stamps = os.path.join("build", "lint")
    os.makedirs(stamps, exist_ok=True)

    def look(path):
        stamp = os.path.join(stamps, digest(base.encode(), path.encode(), read(path)))
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as known:
                return [tuple(item) for item in json.load(known)]
        found = findings_of(build, path)
        if all(key in tolerated for key, _ in found):
            with open(stamp, "w", encoding="utf-8") as known:
                json.dump(found, known)
        return found

    todo = [f for f in files if f.endswith(".c") and f in compiled and not f.startswith("tests/unit/")]
    with ThreadPool(jobs) as pool:
        found = [item for items in pool.imap_unordered(look, todo) for item in items]
    bad = [text for key, text in found if key not in tolerated]
    stale = tolerated - {key for key, _ in found}
    for text in sorted(set(bad)):
        print(text)
    for key in sorted(stale):
        print(f"{TOLERATED}: nothing to tolerate any more: {key}")
    print(f"{len(todo)} files, {len(bad)} findings, {len(found) - len(bad)} tolerated")
    sys.exit(1 if bad or stale else 0)


main()
