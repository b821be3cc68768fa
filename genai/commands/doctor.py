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
    from genai.core.environment import disk_space, hardware, packages

    checks = [*packages(), *hardware(), *disk_space()]
    for check in checks:
        print(one_line(f"{check.label:<10}{check.text}"), flush=True)
    problems = [check for check in checks if check.fix]
    for check in problems:
        print(one_line(f"{'wrong':<10}{check.label}: {check.text}"))
        print(one_line(f"{'do':<10}{check.fix}"))
    if problems:
        raise SystemExit(1)
    print("nothing is wrong")


if __name__ == "__main__":
    main()
