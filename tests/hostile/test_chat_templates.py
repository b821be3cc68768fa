"""A chat template is a program of a stranger: it ends soon, in little memory, and reaches nothing."""

import sys
import time
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.modalities import chat_template
from genai.modalities.chat_template import ChatTemplate

DOUBLE = "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s OP n.s %}{% endfor %}{{ n.s }}"
TOO_LARGE = {
    "repeat": "{{ 'a' * 100000000 }}",
    "list": "{{ [0] * 1000000000 }}",
    "power": "{{ 10 ** 10 ** 10 }}",
    "number": "{% set n = namespace(x=9**9) %}{% for i in range(9999) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "range": "{{ range(10 ** 9)|list }}",
    "output": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "join": "{% set a = range(99999)|join(',') %}{% for i in range(99999) %}{{ a }}{% endfor %}",
    "percent": "{{ '%9999999999d' % 1 }}",
    "macro": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "parentheses": "{{ " + "(" * 60_000 + " }}",
}
TOO_SLOW = {
    "rounds": "{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}",
}
NEED_A_LIMIT = {  # of memory, which only Linux has
    "concat": DOUBLE.replace("OP", "~"),
    "add": DOUBLE.replace("OP", "+"),
    "center": "{{ 'a'.center(10000000000) }}",
    "ljust": "{{ 'a'.ljust(10000000000) }}",
    "format": "{{ '{:>9999999999}'.format('a') }}",
    "filter": "{{ '%9999999999d'|format(1) }}",
    "indent": "{{ 'a\\nb'|indent(9999999999) }}",
    "tojson": "{{ [[1]]|tojson(indent=9999999999) }}",
    "replace": "{% set n = namespace(s='aaaa') %}{% for i in range(20) %}{% set n.s = n.s.replace('a', 'aaaaaaaa') %}"
    "{% endfor %}",
    "translate": "{{ ('a' * 1000000).translate({97: 'a'.center(1000000)}) }}",
    "batch": "{{ [1]|batch(9999999999, 0)|list }}",
}


def refused(source: str, message: str = "the chat template of this model") -> None:
    """Check that a template fails in time and memory."""
    start = time.monotonic()
    with pytest.raises(UserError, match=message):
        ChatTemplate(source).render([{"role": "user", "content": "hi"}])
    assert time.monotonic() - start < chat_template.MAX_SECONDS + 10  # the machine may be busy


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_refused(name: str) -> None:
    refused(TOO_LARGE[name])


@pytest.mark.parametrize("name", TOO_SLOW)
def test_what_never_ends_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 0.5)
    refused(TOO_SLOW[name], r"takes more than 0\.5 seconds")


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory")
@pytest.mark.parametrize("name", NEED_A_LIMIT)
def test_memory_is_limited(name: str) -> None:
    import resource

    def peak() -> int:
        """The largest memory of all processes that this one has begun; each begins with the memory of this one."""
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024

    earlier = peak()
    refused(NEED_A_LIMIT[name])
    assert peak() <= max(2**31, earlier, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ().__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append(1) }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_nothing_is_reached(source: str) -> None:
    refused(source)


def test_functions_have_no_insides() -> None:
    for name in ("raise_exception", "strftime_now", "dict", "namespace"):
        assert ChatTemplate("{{ " + name + ".__globals__ }}{{ " + name + "|attr('__globals__') }}").render([]) == ""


def test_it_does_not_see_the_environment_or_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ChatTemplate("a").render([]) == "a"


def test_messages_are_plain_and_limited() -> None:
    for messages in ([{"content": object()}], [{"content": "a" * 5_000_000}]):
        with pytest.raises(UserError, match="messages have"):
            ChatTemplate("a").render(messages)
