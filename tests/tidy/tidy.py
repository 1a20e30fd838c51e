#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy: style as a test. Prints `file:line: rule: words` for each finding and ends with 1 if there is any.

    tests/tidy/tidy.py [--root FOLDER] [--self-test]

What is tolerated for a while stands in ratchet.txt, one `rule path` or `rule path:name` a line; a line that tolerates
nothing any more is a finding too, so the list only shrinks. What each rule is for: docs/HACKING.md.
"""
import argparse
import collections
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import documented  # pylint: disable=wrong-import-position

COLUMNS = 100
FUNCTION_LINES = 70
FILE_LINES = 500
SPDX = "SPDX-License-Identifier: Apache-2.0"
TIERS = ("edge", "regional", "global")
PORTS = ("common/base/kv.h", "common/base/bus.h", "common/base/clock.h", "common/base/object_store.h")
PURE = ("base", "proto", "core")

# A driver acts through the ports alone; its files are those that begin with one of these.
DRIVERS = ("edge/edge_pipeline", "regional/regional_replica", "regional/regional_archiver",
           "global/global_merger", "global/global_reader")

# room -> rooms whose headers it may include; "own" is a room of the same tier.
ARROWS = {
    "base": {"base"},
    "proto": {"base", "proto"},
    "run": {"base", "ports", "run"},
    "core": {"base", "proto", "own core"},
    "driver": {"base", "ports", "proto", "own core", "own driver"},
    "shell": {"base", "ports", "proto", "run", "own core", "own driver", "own shell"},
    "load": {"load"},  # the checker shares no code with what it checks
}

WORLD = re.compile(r"^(lmdb\.h|nats\.h|nats/|nghttp2/|openssl/|uv\.h|microhttpd\.h|cyaml/|curl/|"
                   r"unistd\.h|fcntl\.h|pthread\.h|threads\.h|time\.h|signal\.h|poll\.h|netdb\.h|"
                   r"sys/|syslog\.h)")

BANNED = {
    "strcpy": "use snprintf or memcpy with a length", "strcat": "use struct buf",
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf", "gets": "has no bound",
    "strtok": "hides state", "system": "starts a shell", "popen": "starts a shell",
    "atoi": "cannot tell an error", "atol": "cannot tell an error", "atof": "cannot tell an error",
    "alloca": "has no bound", "mktemp": "can be raced", "tmpnam": "can be raced",
    "rand": "use rng, or clock->random for secrets", "srand": "use rng",
    "natsSubscription_Fetch": "overflows its array in cnats 3.4.1; pull by MSG.NEXT",
    "natsSubscription_FetchRequest": "as natsSubscription_Fetch",
}
BANNED_PURE = {
    "time": "time is an argument", "clock_gettime": "time is an argument",
    "gettimeofday": "time is an argument", "localtime": "time is an argument",
    "localtime_r": "time is an argument", "getenv": "a core reads no environment",
    "getrandom": "randomness is an argument", "random": "randomness is an argument",
    "printf": "a core does not log", "fprintf": "a core does not log",
    "puts": "a core does not log", "perror": "a core does not log", "syslog": "a core does not log",
    "fopen": "a core does no I/O", "open": "a core does no I/O", "read": "a core does no I/O",
    "write": "a core does no I/O", "log_write": "a core does not log",
}
# In pieces, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")

Finding = collections.namedtuple("Finding", "path line rule words name")


def finding(path, line, rule, words, name=""):
    return Finding(path, line, rule, words, name)


def without_comments(text, strings=True):
    """Comments, and with `strings` the inside of literals, become spaces; lines stay where they are."""
    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1] if strings else found
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def room_of(path):
    """The room of a source or header, and its tier where it has one."""
    parts = path.split("/")
    if path in PORTS:
        return "ports", ""
    if path.startswith("common/base/"):
        return "base", ""
    if path.startswith("common/run/"):
        return "run", ""
    if parts[0] == "proto":
        return "proto", ""
    if path.startswith("tests/load/"):
        return "load", ""
    if parts[0] in TIERS:
        if len(parts) > 2 and parts[1] == "core":
            return "core", parts[0]
        return ("driver" if path.startswith(DRIVERS) else "shell"), parts[0]
    return "other", ""


def resolve(path, included, paths):
    """The tree's file that an include names, or None."""
    near = os.path.normpath(os.path.join(os.path.dirname(path), included))
    for candidate in (included, near, "tests/" + included):
        if candidate in paths:
            return candidate
    return None


def includes(text):
    for number, line in enumerate(without_comments(text, strings=False).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def check_arrow(path, number, target):
    room, tier = room_of(path)
    if room not in ARROWS:
        return None
    other, other_tier = room_of(target)
    if other_tier and other_tier != tier:
        return finding(path, number, "arrow", f"{tier or room} may not include {target}: tiers meet in proto only")
    wanted = f"own {other}" if other_tier else other
    if wanted in ARROWS[room]:
        return None
    return finding(path, number, "arrow", f"{room} may not include {target} ({other})")


def check_includes(path, text, paths, graph):
    room, _ = room_of(path)
    for number, kind, included in includes(text):
        target = resolve(path, included, paths) if kind == '"' else None
        if target is not None:
            graph[path].add(target)
            wrong = check_arrow(path, number, target)
            if wrong:
                yield wrong
        elif kind == '"':
            yield finding(path, number, "include", f'"{included}" is not in the tree')
        if room in PURE and WORLD.match(included):
            yield finding(path, number, "arrow", f"{room} may not include <{included}>: it does not act")
        # A lock between a driver's two halves decides nothing and reaches nothing; starting threads is the shell's.
        if room == "driver" and WORLD.match(included) and included != "pthread.h":
            yield finding(path, number, "arrow", f"a driver acts through ports, not <{included}>")


def check_cycles(graph):
    state, stack = {}, []

    def visit(path):
        state[path] = "open"
        stack.append(path)
        for target in sorted(graph.get(path, ())):
            if state.get(target) == "open":
                circle = stack[stack.index(target):] + [target]
                yield finding(path, 1, "cycle", " -> ".join(circle))
            elif target not in state:
                yield from visit(target)
        stack.pop()
        state[path] = "done"

    for path in sorted(graph):
        if path not in state:
            yield from visit(path)


def functions(code):
    """(name, first line, lines) of each function definition laid out by clang-format."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{" and number > 1:
            first = number - 1
            while first > 1 and lines[first - 2].strip() and not re.match(r"[}#]|.*;$", lines[first - 2]):
                first -= 1
            head = " ".join(lines[first - 1:number - 1])
            match = re.search(r"([A-Za-z_]\w*)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)|PRINTF_LIKE\([^)]*\)", "", head))
            start = (match.group(1), first) if match else None
        elif line.startswith("}") and start:
            yield start[0], start[1], number - start[1] + 1
            start = None


def check_code(path, text):
    room, _ = room_of(path)
    code = without_comments(text)
    banned = dict(BANNED)
    if room in PURE:
        banned.update(BANNED_PURE)
    if room in PURE + ("driver",):
        banned["pthread_create"] = "threads belong to the shell"
    for number, line in enumerate(code.split("\n"), 1):
        for match in re.finditer(r"(?<![\w>.])([A-Za-z_]\w*)\s*\(", line):
            # `->read(` and `.read(` are ports or members; a definition of that name would be as bad as a call.
            if match.group(1) in banned and not re.search(r"(->|\.)\s*$", line[:match.start()]):
                yield finding(path, number, "banned", f"{match.group(1)}: {banned[match.group(1)]}")
        if re.match(r"\s*typedef\s+(struct|union|enum)\b", line):
            yield finding(path, number, "typedef", "no typedef of structs")
    for name, first, lines in functions(code):
        if lines > FUNCTION_LINES:
            yield finding(path, first, "function", f"{name} has {lines} lines, at most {FUNCTION_LINES}", name)


def check_source(path, text):
    lines = text.split("\n")
    if SPDX not in "\n".join(lines[:3]) or (path.endswith((".c", ".h")) and SPDX not in lines[0]):
        yield finding(path, 1, "spdx", f"the head must hold {SPDX}")
    if path.endswith(".h") and not re.search(r"^#pragma once$", text, flags=re.M):
        yield finding(path, 1, "guard", "a header needs #pragma once")
    if len(lines) - 1 > FILE_LINES:
        yield finding(path, FILE_LINES + 1, "file", f"{len(lines) - 1} lines, at most {FILE_LINES}")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS and path.endswith((".c", ".h")):
            yield finding(path, number, "columns", f"{len(line)} columns, at most {COLUMNS}")


def check_text(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = UNFINISHED.search(line)
        if match:
            yield finding(path, number, "unfinished", f"{match.group(1)}: do it, or open an issue")
        if line.rstrip(" \t\r") != line and not path.endswith(".md"):
            yield finding(path, number, "space", "space at the end of the line")
        if "\t" in line and path.endswith((".c", ".h", ".py")):
            yield finding(path, number, "space", "a tab")
    if text and not text.endswith("\n"):
        yield finding(path, text.count("\n") + 1, "space", "no newline at the end")


def check_stems(paths):
    seen = {}
    for path in sorted(paths):
        folder, name = os.path.split(path)
        stem, suffix = os.path.splitext(name)
        if suffix not in (".c", ".h", ".py"):
            continue
        first = seen.setdefault(stem, path)
        if os.path.dirname(first) != folder:
            yield finding(path, 1, "stem", f"{first} has this stem already")


def check_tested(paths):
    """Every pure file has a unit test of its own."""
    for path in sorted(paths):
        room, tier = room_of(path)
        if room not in PURE or not path.endswith(".c"):
            continue
        stem = os.path.basename(path)[:-2]
        wanted = f"tests/unit/{tier or room}/test_{stem}.c"
        if wanted not in paths:
            yield finding(path, 1, "untested", f"{wanted} is missing")


def check_problems(sources):
    for path, line, words in documented.check_documented(sources):
        yield finding(path, line, "undocumented", words)


def check_tree(sources):
    """sources: path -> text."""
    graph = collections.defaultdict(set)
    for path, text in sorted(sources.items()):
        yield from check_text(path, text)
        if path.endswith((".c", ".h", ".py")):
            yield from check_source(path, text)
        if path.endswith((".c", ".h")):
            yield from check_code(path, text)
            yield from check_includes(path, text, sources, graph)
    yield from check_cycles(graph)
    yield from check_stems(sources)
    yield from check_tested(sources)
    yield from check_problems(sources)


def apply_ratchet(findings, ratchet_path, ratchet):
    """What stays after the tolerated findings; a tolerance without a finding is one itself."""
    tolerated, used = {}, set()
    for number, line in enumerate(ratchet.split("\n"), 1):
        entry = line.split("#")[0].split()
        if len(entry) == 2:
            tolerated[tuple(entry)] = number
        elif entry:
            yield finding(ratchet_path, number, "ratchet", "expected `rule path` or `rule path:name`")
    for one in findings:
        keys = [(one.rule, one.path), (one.rule, f"{one.path}:{one.name}")]
        hit = [key for key in keys if key in tolerated]
        used.update(hit)
        if not hit:
            yield one
    for key, number in sorted(tolerated.items(), key=lambda item: item[1]):
        if key not in used:
            yield finding(ratchet_path, number, "ratchet", f"{' '.join(key)}: mended; take the line out")


def tree_of(root):
    """Tracked and new files, without what git ignores, as path -> text."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                            check=True, stdout=subprocess.PIPE).stdout
    sources = {}
    for path in listed.decode().split("\0"):
        full = os.path.join(root, path)
        if not path or os.path.islink(full) or not os.path.isfile(full):
            continue
        if path.startswith(("tests/fuzz/corpus/", "tests/golden/")) or os.path.getsize(full) > 4 << 20:
            continue
        with open(full, "rb") as file:
            data = file.read()
        try:
            sources[path] = data.decode()
        except UnicodeDecodeError:
            if path.endswith((".c", ".h", ".py", ".md")):
                sources[path] = data.decode(errors="replace")
    return sources


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="checks the style of the tree")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(here)))
    parser.add_argument("--self-test", action="store_true", help="checks the checks")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.path.insert(0, here)
        import test_tidy
        return test_tidy.run()
    sources = tree_of(arguments.root)
    ratchet_path = "tests/tidy/ratchet.txt"
    found = list(apply_ratchet(check_tree(sources), ratchet_path, sources.get(ratchet_path, "")))
    for one in found:
        print(f"{one.path}:{one.line}: {one.rule}: {one.words}")
    print(f"tidy: {len(sources)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
