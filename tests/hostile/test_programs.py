"""A program that a model wrote is a program of a stranger: it passes no test, reaches nothing, and ends soon."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai.sandbox.judge import Job, judge
from genai.sandbox.server import Limits, SandboxServer

pytest.importorskip("pyseccomp")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no sandbox")
TEST = "def check(candidate):\n    secret = 4711\n    assert candidate(20) == 41\n    assert candidate(3) == 7\n"
GOOD = "def f(x):\n    return 2 * x + 1\n"
DO = "def f(x):\n{}\n    return 2 * x + 1\n"
"""A right answer after an attack: only an attack that ends or fails the program is not passed."""

FOREIGN = "[c for c in object.__subclasses__() if c.__name__ == 'CDLL'][0]"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(Limits(cpu_seconds=1, seconds=20.0)) as started:
        yield started


def kind(server: SandboxServer, program: str, test: str = TEST) -> str:
    """Return how a program does, and check that the server judges the next one rightly."""
    outcome = judge(server, Job(program, "f", "", test)).kind
    assert judge(server, Job(GOOD, "f", "", TEST)).kind == "passed"
    return outcome


ATTACKS = {
    "read a file": "open('/etc/passwd').read()",
    "read itself": "open('/proc/self/maps').read()",
    "read its environment": "open('/proc/self/environ').read()",
    "list a folder": "import os; os.listdir('/proc')",
    "write a file": "open('FOLDER/written', 'w').write('x')",
    "write a file at the descriptor": "import os; os.write(os.open('FOLDER/written', os.O_CREAT | os.O_WRONLY), b'x')",
    "remove a file": "import os; os.remove('FOLDER/precious')",
    "rename a file": "import os; os.rename('FOLDER/precious', 'FOLDER/written')",
    "make a folder": "import os; os.mkdir('FOLDER/written')",
    "link": "import os; os.symlink('/etc', 'FOLDER/written')",
    "network": "import socket; socket.create_connection(('127.0.0.1', PORT))",
    "network below": "import _socket; _socket.socket(2, 1).connect(('127.0.0.1', PORT))",
    "fork": "import os; os.fork()",
    "fork bomb": "import os\n    while True: os.fork()",
    "subprocess": "import subprocess; subprocess.run(['touch', 'FOLDER/written'])",
    "subprocess below": "import _posixsubprocess; _posixsubprocess.fork_exec()",
    "system": "import os; os.system('touch FOLDER/written')",
    "exec": "import os; os.execv('/bin/sh', ['sh', '-c', 'touch FOLDER/written'])",
    "spawn": "import os; os.posix_spawn('/bin/sh', ['sh', '-c', 'touch FOLDER/written'], {})",
    "kill the server": "import os; os.kill(SERVER, 9)",
    "kill this process": "import os; os.kill(PARENT, 9)",
    "kill the group": "import os; os.killpg(SERVER, 9)",
    "kill everything": "import os; os.kill(-1, 9)",
    "priority": "import os; os.nice(19)",
    "thread": "import _thread; _thread.start_new_thread(print, ()); x = 1 / 0",
    "ctypes": "import ctypes; ctypes.CDLL(None).system(b'touch FOLDER/written')",
    "ctypes below": "import _ctypes; _ctypes.dlopen('/lib/x86_64-linux-gnu/libc.so.6', 2)",
    "ctypes in its memory": f"{FOREIGN}(None).system(b'touch FOLDER/written')",
    "socket in its memory": "[c for c in object.__subclasses__() if c.__module__ == '_socket'][0](2, 1)",
    "call of another architecture": f"{FOREIGN}(None).syscall(0x40000000 | 41, 2, 1, 0)",
    "machine code": f"{FOREIGN}(None).mmap(None, 4096, 7, 34, -1, 0)",
    "more memory": f"{FOREIGN}(None).setrlimit(9, bytes(16))",
    "trace": f"{FOREIGN}(None).ptrace(16, SERVER, 0, 0)",
    "heavy module": "import numpy",
    "module of genai": "import genai",
    "module of the sandbox": "import checks",
    "alarm": "import _signal; _signal.alarm(1); x = 1 / 0",
    "handler": "import _signal; _signal.signal(24, lambda *a: None)",
    "sleep": "import time; time.sleep(99)",
    "standard input": "input()",
    "recursion": "f(x)",
    "memory": "y = bytearray(10**12)",
    "memory in steps": "y = []\n    while True: y.append(bytes(10**7))",
    "bomb": "(x,) * 10**10",
    "exit": "raise SystemExit(0)",
    "sys.exit": "import sys; sys.exit(0)",
    "os._exit": "import os; os._exit(0)",
    "abort": "import os; os.abort()",
    "read the channel": "import os; os.close(100); x = 1 / 0",
    "interrupt": "raise KeyboardInterrupt",
    "end of the channel": "import os; os.write(100, b'')\n    os.write(100, b'A' + b'\\xff' * 4)",
    "no frame": "import os; os.write(100, b'A\\0\\0\\0\\4abcd')",
    "nested frame": "import os; os.write(100, b'A\\0\\0\\x40\\0' + b'[' * 16384)",
    "deep": "import sys; sys.setrecursionlimit(10**9); y = []\n    for _ in range(10**5): y = [y]\n    repr(y); 1 / 0",
    "code": "import types; exec(f.__code__.replace(co_code=b'\\x64\\xff' * 50))",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_does_nothing_and_does_not_pass(name: str, server: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        values = {"FOLDER": tmp_path, "PORT": listener.getsockname()[1], "SERVER": server.process.pid}
        program = DO.format("    " + ATTACKS[name])
        for key, value in {**values, "PARENT": os.getpid()}.items():
            program = program.replace(key, str(value))
        assert kind(server, program) in ("raised", "killed", "time", "wrong")
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [file.name for file in tmp_path.iterdir()] == ["precious"]
    assert os.listdir(server.folder.name) == [] and processes(server) == []


def processes(server: SandboxServer) -> list[str]:
    """Return the processes that the server has started and that are still there."""
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


FORGERIES = {
    "print": "print('passed')\n    return 0",
    "verdict": """import os, json
    c = json.dumps({'kind': 'passed'}).encode()
    os.write(100, b'V' + len(c).to_bytes(4, 'big') + c)
    os.write(100, b'A' + len(c).to_bytes(4, 'big') + c)
    return 0""",
    "equal to all": """class Equal(int):
        __eq__ = lambda self, other: True
        __hash__ = int.__hash__
    return Equal(0)""",
    "equal object": """class Equal:
        __eq__ = lambda self, other: True
    return Equal()""",
    "equal inside": """class Equal(list):
        __eq__ = lambda self, other: True
    return Equal([Equal()])""",
    "encoded object": "return {'__reduce__': 1}",
    "builtins": """import builtins
    builtins.AssertionError = builtins.isinstance = builtins.getattr = lambda *a: True
    return 0""",
    "frames": """import sys
    frame = sys._getframe()
    while frame:
        if 'secret' in frame.f_locals: return 41 if x == 20 else 7
        frame = frame.f_back
    return 0""",
    "objects": """import gc
    found = [o for o in gc.get_objects() if isinstance(o, dict) and 'check' in o]
    return 41 if any(4711 in o['check'].__code__.co_consts for o in found if callable(o['check'])) else 0""",
    "no answer": "return None",
    "true": "return True",
    "generator": "yield 41",
    "infinite generator": "yield from iter(int, 1)",
    "cycle": "y = []; y.append(y); return y",
    "long number": "return 10 ** 10000",
    "long text": "return 'x' * 10**7",
    "long output": "import os\n    while True: os.write(100, b'A' + b'\\0' * 4 + b'x' * 60000)",
    "error": "raise AssertionError('passed')",
    "odd error": """class E(Exception):
        __name__ = __qualname__ = 'passed'
        def __str__(self): raise SystemExit(0)
    raise E""",
    "class of an error": "raise type('SystemExit', (Exception,), {'__module__': 'builtins'})",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_pass_cannot_be_forged(name: str, server: SandboxServer) -> None:
    assert kind(server, "def f(x):\n    " + FORGERIES[name] + "\n") != "passed"


def test_memory_of_the_program_holds_no_test(server: SandboxServer) -> None:
    """The tests of other samples of the problem ran before: nothing of them is in memory that processes share."""
    marker = "a_rare_word"
    test = f"def check(candidate):\n    '''{marker}'''\n    assert candidate(1)\n"
    search = (
        "import gc\ndef f(x):\n    word = 'drow_erar_a'[::-1]\n"
        "    return not any(word in repr(o) for o in gc.get_objects() if isinstance(o, (tuple, list, dict)))\n"
    )
    for _ in range(3):
        assert judge(server, Job("def f(x):\n    return True\n", "f", "", test)).kind == "passed"
    assert judge(server, Job(search, "f", "", test)).kind == "passed"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def f(x:", "syntax"),
        ("\0", "syntax"),
        ("(" * 100_000, "syntax"),
        ("-" * 100_000 + "1", "syntax"),
        ("x = 1", "raised"),
        ("1 / 0\n" + GOOD, "raised"),
        ("f = 3", "raised"),
        ("import os\nos._exit(0)", "killed"),
        ("import sys\nsys.exit(0)", "raised"),
        ("f = [[[]]]\n" * 10, "raised"),
        ("# coding: idna\n" + GOOD, "passed"),
        ("import this\n" + GOOD, "raised"),
    ],
)
def test_source_that_is_no_function(program: str, expected: str, server: SandboxServer) -> None:
    assert kind(server, program) == expected


def test_memory_is_limited(server: SandboxServer) -> None:
    test = "def check(candidate):\n    try: candidate({})\n    except MemoryError: pass\n    else: assert 0\n"
    program = "def f(x):\n    return len(bytearray(x))\n"
    assert kind(server, program, test.format(2**29)) == "passed"
    assert kind(server, program, test.format(2**24)) == "wrong"


def test_what_never_ends_is_stopped_by_the_clock_or_by_its_time() -> None:
    loop, read = "    while True: pass", "    import os; os.read(100, 1)"
    with SandboxServer(Limits(cpu_seconds=1, seconds=0.3)) as quick:
        start = time.monotonic()
        assert judge(quick, Job(DO.format(loop), "f", "", TEST)).kind == "time"
        assert judge(quick, Job(DO.format(read), "f", "", TEST)).kind == "time"
        assert judge(quick, Job("while True: pass", "f", "", TEST)).kind == "time"
        assert judge(quick, Job(GOOD, "f", "", f"def check(candidate):\n{loop}")).kind == "time"
        assert time.monotonic() - start < 10  # the machine may be busy
    with SandboxServer(Limits(cpu_seconds=1, seconds=60.0)) as patient:
        assert judge(patient, Job(DO.format(loop), "f", "", TEST)).kind == "time"


def test_it_sees_no_variable_and_no_file_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET", "secret")
    program = "import os, sys\ndef f(x):\n    return [dict(os.environ), sys.path, sys.argv]\n"
    test = "def check(candidate):\n    assert candidate(1) == [{}, [], ['']]\n"
    with SandboxServer() as fresh:
        assert judge(fresh, Job(program, "f", "", test)).kind == "passed"
        environment = Path(f"/proc/{fresh.process.pid}/environ").read_bytes()
        assert b"secret" not in environment and len(Path(f"/proc/{fresh.process.pid}/fd").resolve().name)
        folder = fresh.folder.name
    assert not os.path.exists(folder)


def test_the_problems_tests_are_limited_too(server: SandboxServer, tmp_path: Path) -> None:
    for line in (f"open({str(tmp_path / 'written')!r}, 'w')", "import os; os.fork()", "raise SystemExit(0)"):
        assert kind(server, GOOD, f"def check(candidate):\n    {line}\n") != "passed"
        assert kind(server, GOOD, f"{line}\n") != "passed"
    assert kind(server, GOOD, "check = 3") == "wrong"
    assert kind(server, GOOD, "def check(candidate):\n    candidate(lambda: 1)\n") == "broken"
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_if_this_process_is_killed() -> None:
    """The server ends with the socket of the process that started it, and so do its children."""
    code = (
        "import threading, time\nfrom genai.sandbox.judge import *\nfrom genai.sandbox.server import *\n"
        "server = SandboxServer(Limits(seconds=60.0))\n"  # the machine may be busy
        "job = Job('def f(x):\\n    import os; os.read(100, 1)', 'f', '', 'def check(c): c(1)')\n"
        "threading.Thread(target=judge, args=(server, job), daemon=True).start()\n"
        "children = f'/proc/{server.process.pid}/task/{server.process.pid}/children'\n"
        "while len(open(children).read().split()) < 2: time.sleep(0.01)\n"
        "print(server.process.pid, server.folder.name, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        words = process.stdout.readline().split()
        server = int(words[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        process.kill()
    assert len(children) == 2
    for process_id in (server, *map(int, children)):
        deadline = time.monotonic() + 60
        while is_running(process_id) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not is_running(process_id)
    assert not os.path.exists(words[1])


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_threads_of_this_process_stay_out(server: SandboxServer) -> None:
    """Several servers work at once without descriptors of each other."""
    with SandboxServer() as other:
        results: list[str] = []
        jobs = [Job(GOOD, "f", "", TEST)] * 5
        threads = [
            threading.Thread(target=lambda s=s: results.extend(judge(s, job).kind for job in jobs))  # type: ignore[misc]
            for s in (server, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == ["passed"] * 10
