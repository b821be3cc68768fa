"""``python -m genai doctor``: say what this machine has, and what to do about what is wrong."""

import sys

from genai.cli.exit_codes import exit_on_error
from genai.core.terminal import one_line

HELP = """Say what this machine has, and what to do about what is wrong. It takes no options.

Exit code 1 if something is wrong."""


def main() -> None:
    """Run the command."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(HELP)
        return
    exit_on_error(doctor)


def doctor() -> None:
    """Print all checks, then what to do. Exit code 1 if something is wrong."""
    from genai.core.environment import check_machine, report_lines

    checks = []
    for check in check_machine():
        print(one_line(f"{check.label:<10}{check.text}"), flush=True)
        checks.append(check)
    print(*map(one_line, report_lines(checks)), sep="\n", flush=True)
    if any(check.fix for check in checks):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
