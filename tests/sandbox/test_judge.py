"""Programs are judged as if they ran in one process with their tests."""

import sys
from collections.abc import Iterator

import pytest

from genai.core.errors import RunError, UserError
from genai.sandbox import server as server_module
from genai.sandbox.judge import Job, judge, judge_all
from genai.sandbox.server import SandboxServer, check_sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no sandbox")


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    pytest.importorskip("pyseccomp")
    with SandboxServer() as started:
        yield started


def kind(server: SandboxServer, program: str, test: str, setup: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in test.split("\n"))
    return judge(server, Job(program, "f", setup, f"def check(candidate):\n{lines}")).kind


PASSED = {
    "arguments": (
        "def f(a, *b, c=0, **d): return [a, b, c, d]",
        "assert candidate(1, 2, c=3, e=4) == [1, (2,), 3, {'e': 4}]",
    ),
    "types": ("def f(x): return x", "x = [(1, 2.5), {'a': {3}}, b'', None, True, 1j]\nassert candidate(x) == x"),
    "error": (
        "def f(x): return {}[x]",
        "try: candidate(1)\nexcept KeyError as e: assert e.args == ('1',)\nelse: assert 0",
    ),
    "own error": (
        "class E(ValueError): pass\ndef f(): raise E('a')",
        "try: candidate()\nexcept ValueError as e: assert str(e) == 'a'\nelse: assert 0",
    ),
    "error of a module": (
        "import statistics\nf = statistics.mean",
        "try: candidate([])\nexcept ValueError: pass\nelse: assert 0",
    ),
    "odd constructor": (
        "def f(): b'\\xff'.decode()",
        "try: candidate()\nexcept UnicodeDecodeError: pass\nelse: assert 0",
    ),
    "list in place": (
        "def f(x, y): x.append(y)",
        "x = [1]\ny = x\nassert candidate(x, 2) is None\nassert x == [1, 2] and y is x",
    ),
    "dict in place": (
        "def f(x): x['a'] += 1; x['b'] = [1]",
        "x = {'a': 1}\ncandidate(x)\nassert x == {'a': 2, 'b': [1]}",
    ),
    "set in place": ("def f(x): x.discard(1)", "x = {1, 2}\ncandidate(x)\nassert x == {2}"),
    "inner list": ("def f(x): x[0].sort()", "x = [[2, 1]]\ncandidate(x)\nassert x == [[1, 2]]"),
    "no change": ("def f(x): return sorted(x)", "x = [2, 1]\nassert candidate(x) == [1, 2] and x == [2, 1]"),
    "state": (
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        "assert [candidate() for _ in range(3)] == [1, 2, 3]",
    ),
    "generator": ("def f(n): yield from range(n)", "assert list(candidate(3)) == [0, 1, 2]"),
    "modules": (
        "import math, re, json, heapq, bisect, itertools, functools, collections, string, textwrap, random\n"
        "import statistics, hashlib, datetime, decimal, fractions, os.path\n"
        "from typing import List\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: 'int' = 1\n"
        "def f(x: List[int]): return hashlib.md5(b'').hexdigest()[:4] + os.path.join('a', 'b') + str(P().x)",
        "assert candidate([]) == 'd41da/b1'",
    ),
    "print": ("def f(): print('x' * 10**6); return 1", "print(candidate())\nassert candidate() == 1"),
    "encodings": (
        "def f(x): return [x.encode(e) for e in ('latin-1', 'utf-16-le', 'ascii')]",
        "assert candidate('a')[1] == b'a\\0'",
    ),
    "randomness": ("import random\ndef f(): return random.random()", "assert candidate() == 0.8444218515250481"),
    "order of sets": (
        "def f(): return list({'a', 'b', 'c', 'd'})",
        "assert candidate() == list({'a', 'b', 'c', 'd'})",
    ),
    "names of the setup": ("def f(x): return x", "assert g(candidate(2)) == 4 and math.pi > 3"),
    "name of the function": ("def f(x): return x + 1", "assert f(1) == 2 and f is candidate"),
    "main": ("def f(): return 1\nif __name__ == '__main__':\n    f = None", "assert candidate() == 1"),
}


@pytest.mark.parametrize("name", PASSED)
def test_right_programs_pass(name: str, server: SandboxServer) -> None:
    setup = "import math\ndef g(x): return x * 2\ndef f(x): return 'the reference'\n"
    program, test = PASSED[name]
    assert kind(server, program, test, setup) == "passed"
    assert kind(server, program, test + "\nassert not 'this line'", setup) == "wrong"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def f(x): return x + 2", "wrong"),
        ("def f(x): return None", "wrong"),
        ("def f(x): return lambda: 1", "wrong"),
        ("def f(x): return x.y", "raised"),
        ("def f(): return 1", "raised"),
        ("def g(x): return x + 1", "raised"),
        ("def f(x) return x", "syntax"),
        ("def f(x): return f(x)", "raised"),
        ("def f(x): return [(x, x)] * 10**6", "wrong"),
        ("import os\ndef f(x): os._exit(0)", "killed"),
    ],
)
def test_wrong_programs_fail_by_kind(program: str, expected: str, server: SandboxServer) -> None:
    assert kind(server, program, "assert candidate(1) == 2") == expected


def test_tests_that_fail_by_themselves_do_not_pass(server: SandboxServer) -> None:
    program = "def f(x): return x"
    assert judge(server, Job(program, "f", "", "def check(")).kind == "broken"
    assert judge(server, Job(program, "f", "", "x = 1")).kind == "broken"
    assert kind(server, program, "candidate(len)") == "broken"
    assert kind(server, program, "assert candidate(1) == 1", setup="def f(") == "passed"


def test_many_programs_have_their_results_in_order(server: SandboxServer) -> None:
    jobs = [Job(f"def f(): return {i}", "f", "", f"def check(c): assert c() == {i // 2 * 2}") for i in range(12)]
    assert [result.kind for result in judge_all(jobs, 3)] == ["passed", "wrong"] * 6
    assert list(judge_all([], 3)) == []


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job("", "f", "", "")]
    with monkeypatch.context() as patch:
        patch.setattr(server_module.sys, "platform", "darwin")
        with pytest.raises(UserError, match="no sandbox, so no code of the model is run: it needs Linux"):
            check_sandbox()
    with monkeypatch.context() as patch:
        patch.setattr(server_module, "find_spec", lambda name: None)
        with pytest.raises(UserError, match=r"pip install 'genai\[sandbox\]'"):
            list(judge_all(jobs, 1))


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("raise RuntimeError('Unable to find libseccomp')", "RuntimeError: Unable to find libseccomp"),
        ("import os\nos._exit(0)", "the process ended"),
        ("import types\nclass R:\n    add_rule = load = lambda *a: None\nSyscallFilter = lambda a: R()\n"
         "KILL_PROCESS = ALLOW = EQ = NE = MASKED_EQ = 0\nERRNO = lambda e: 0\nArg = lambda *a: 0\n"
         "Arch = types.SimpleNamespace(NATIVE=0)\nresolve_syscall = lambda a, n: 1\n", "the filter has no effect"),
    ],
)  # fmt: skip
def test_a_filter_that_does_not_work_is_found_out(
    library: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    (file := tmp_path / "library.py").write_text(library)  # type: ignore[operator]
    monkeypatch.setattr(server_module, "_find_library", lambda: str(file))
    with pytest.raises(UserError, match=message):
        check_sandbox()


def test_a_server_that_has_ended_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyseccomp")
    with SandboxServer() as server:
        server.process.kill()
        server.process.wait()
        with pytest.raises(RunError, match="the sandbox has ended"):
            judge(server, Job("", "f", "", ""))
    monkeypatch.setattr(server_module.sys, "executable", "/no/such/python")
    with pytest.raises(RunError, match="cannot start /no/such/python"):
        check_sandbox()
