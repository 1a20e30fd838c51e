#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Feeds tidy bad snippets and expects the finding; and good ones, and expects none."""
import sys
import unittest

sys.dont_write_bytecode = True
import tidy

HEAD = "/* SPDX-License-Identifier: Apache-2.0\n * x: y. */\n"
HEADER = HEAD + "#pragma once\n"


def rules(sources):
    return sorted({(f.rule, f.path, f.line) for f in tidy.check_tree(sources)})


class Tidy(unittest.TestCase):
    def expect(self, sources, *wanted):
        self.assertEqual(rules(sources), sorted(wanted))

    def one(self, text, *wanted, path="tests/sim/sim_x.c"):
        self.expect({path: HEAD + text}, *((rule, path, line) for rule, line in wanted))

    def test_a_good_file_has_no_finding(self):
        self.one('#include <stdio.h>\n\nint f(int a)\n{\n    return a;\n}\n')

    def test_head_guard_and_length(self):
        self.expect({"edge/edge_a.c": "int a;\n"}, ("spdx", "edge/edge_a.c", 1))
        self.expect({"edge/edge_a.h": HEAD + "int a;\n"}, ("guard", "edge/edge_a.h", 1))
        self.one("int a;\n" * 499, ("file", 501))
        self.one("/* " + "x" * 98 + " */\n", ("columns", 3))
        self.one("/* " + "é" * 94 + " */\n")
        self.one("int a; \n", ("space", 3))
        self.one("\tint a;\n", ("space", 3))
        self.one("int a;", ("space", 3))

    def test_a_long_function_is_named(self):
        body = "    f();\n" * 66
        self.one("static int\nf(void)\n{\n" + body + "}\n")
        found = list(tidy.check_tree({"a.c": HEAD + "int g;\n\nint f(int a,\n      int b)\n{\n" +
                                      body + "    f();\n    f();\n}\n\nint h(void)\n{\n}\n"}))
        self.assertEqual([(f.rule, f.line, f.name) for f in found], [("function", 5, "f")])

    def test_banned_calls(self):
        self.one("void f(void)\n{\n    strcpy(a, b);\n    system (c);\n}\n", ("banned", 5), ("banned", 6))
        self.one("natsSubscription_Fetch(&list, s, 1, 2, &e);\n", ("banned", 3))
        self.one('/* strcpy(a, b) */\nconst char *a = "atoi(x)"; // gets(a)\n')
        self.one("snprintf(a, 1, b);\nmy_atoi(a);\nx->system(1);\n")

    def test_a_core_reads_no_clock_and_does_not_log(self):
        test = {"tests/unit/edge/test_x.c": HEAD}
        for call in ("time(NULL)", "clock_gettime(1, &t)", "gettimeofday(&t, 0)", "printf(a)", "open(p, 0)"):
            self.expect({"edge/core/x.c": HEAD + f"int a = {call};\n", **test}, ("banned", "edge/core/x.c", 3))
            self.expect({"edge/edge_main.c": HEAD + f"int a = {call};\n"})
        self.expect({"edge/core/x.c": HEAD + "reader->read(a); r.open(b);\n", **test})

    def test_a_core_includes_nothing_of_the_world(self):
        for header in ("lmdb.h", "nats/nats.h", "nghttp2/nghttp2.h", "openssl/ssl.h", "uv.h", "unistd.h",
                       "sys/socket.h", "pthread.h", "time.h"):
            for path, test in (("proto/x.c", "tests/unit/proto/test_x.c"),
                               ("regional/core/x.c", "tests/unit/regional/test_x.c"),
                               ("common/base/x.c", "tests/unit/base/test_x.c")):
                self.expect({path: HEAD + f"#include <{header}>\n", test: HEAD}, ("arrow", path, 3))
            driver = "global/global_merger.c"
            self.expect({driver: HEAD + f"#include <{header}>\n"},
                        *([] if header == "pthread.h" else [("arrow", driver, 3)]))
            self.expect({driver: HEAD + "int a = pthread_create(b, 0, c, d);\n"}, ("banned", driver, 3))
        self.expect({"common/run/x.c": HEAD + "#include <lmdb.h>\n"})

    def test_arrows(self):
        headers = {path: HEADER for path in (
            "common/base/bytes.h", "common/base/kv.h", "common/run/log.h", "proto/click.h", "edge/core/admit.h",
            "edge/edge_pipeline.h", "edge/edge_http.h", "global/core/merge.h")}
        allowed = {
            "proto/x.c": "common/base/bytes.h proto/click.h",
            "common/run/x.c": "common/base/bytes.h common/base/kv.h common/run/log.h",
            "edge/core/x.c": "common/base/bytes.h proto/click.h edge/core/admit.h",
            "edge/edge_pipeline.c": "common/base/bytes.h common/base/kv.h proto/click.h edge/core/admit.h "
                                    "edge/edge_pipeline.h",
            "edge/edge_main.c": "common/base/bytes.h common/base/kv.h common/run/log.h proto/click.h "
                                "edge/core/admit.h edge/edge_pipeline.h edge/edge_http.h",
            "tests/load/load_x.c": "",
            "tests/sim/sim_x.c": " ".join(headers),
        }
        for path, good in allowed.items():
            for target in headers:
                sources = dict(headers)
                sources[path] = HEAD + f'#include "{target}"\n'
                found = [f for f in tidy.check_tree(sources) if f.rule == "arrow"]
                self.assertEqual(bool(found), target not in good.split(), f"{path} -> {target}")

    def test_include_of_nothing(self):
        self.one('#include "common/base/none.h"\n', ("include", 3))

    def test_circles(self):
        a, b, c = "tests/sim/a.h", "tests/sim/b.h", "tests/sim/c.h"
        found = rules({a: HEADER + '#include "b.h"\n', b: HEADER + f'#include "{c}"\n', c: HEADER + '#include "a.h"\n'})
        self.assertEqual([rule for rule, _, _ in found], ["cycle"])
        self.expect({a: HEADER + '#include "b.h"\n#include "c.h"\n', b: HEADER + '#include "c.h"\n', c: HEADER})

    def test_stems(self):
        self.expect({"edge/edge_a.h": HEADER, "edge/edge_a.c": HEAD})
        self.expect({"edge/util_a.h": HEADER, "global/util_a.c": HEAD}, ("stem", "global/util_a.c", 1))

    def test_a_pure_file_has_its_test(self):
        self.expect({"edge/core/x.c": HEAD}, ("untested", "edge/core/x.c", 1))
        self.expect({"proto/x.c": HEAD, "tests/unit/proto/test_x.c": HEAD})

    def test_what_clients_are_told_is_written_down(self):
        document = ("components:\n  schemas:\n    edge_problem:\n      properties:\n        type:\n          enum:\n"
                    "            - urn:tributary:problem:known # 400\n            - urn:tributary:problem:gone\n"
                    "        title: {type: string}\n    globe_problem: {}\n")
        code = HEAD + 'void f(void)\n{\n    problem(job, 400, "known", "x");\n    problem(job, 503,\n            odd ? "new" : "known");\n}\n'
        self.expect({"edge/edge_x.c": code, "proto/openapi.yaml": document},
                    ("undocumented", "edge/edge_x.c", 7), ("undocumented", "proto/openapi.yaml", 8))

    def test_unfinished_and_typedef(self):
        self.one("/* TO" "DO: later */\n", ("unfinished", 3))
        self.expect({"README.md": "a FIX" "ME\n"}, ("unfinished", "README.md", 1))
        self.one("typedef struct x x;\n", ("typedef", 3))

    def test_the_ratchet_only_shrinks(self):
        one = tidy.finding("a.c", 7, "function", "w", "f")
        kept = lambda text: [f.rule for f in tidy.apply_ratchet([one], "r", text)]
        self.assertEqual(kept("# nothing\n"), ["function"])
        self.assertEqual(kept("function a.c:f  # why\n"), [])
        self.assertEqual(kept("function a.c\n"), [])
        self.assertEqual(kept("function a.c:g\n"), ["function", "ratchet"])
        self.assertEqual(kept("function a.c:f\ncolumns b.c\n"), ["ratchet"])
        self.assertEqual(kept("one two three\n"), ["ratchet", "function"])


def run():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tidy)
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(run())
