"""The calls of the system that code of a stranger may make: those of an interpreter that computes, and no others.

libseccomp kills the process for any other call, and for calls of other architectures (seccomp(2), seccomp_init(3)).
"""

import errno
from typing import Any

ALLOWED_CALLS = (
    "munmap", "mremap", "brk", "madvise", "futex", "sched_yield", "getrandom", "rt_sigreturn", "exit", "exit_group",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "restart_syscall",
)  # fmt: skip
BLOCKED_CALLS = (
    "open", "openat", "openat2", "creat", "stat", "lstat", "newfstatat", "fstat", "statx", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "getdents", "getdents64", "mkdir", "mkdirat", "unlink",
    "unlinkat", "rename", "renameat", "renameat2", "lseek", "ioctl", "fcntl", "close", "dup", "dup2", "dup3", "pipe",
    "pipe2", "mprotect", "nanosleep", "clock_nanosleep", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "uname",
    "sysinfo", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "sched_getaffinity",
)  # fmt: skip
"""Calls that fail with ``EPERM``, so that code that tries them gets an ordinary error of Python."""
EXEC_FLAG = 4


def make_filter(seccomp: Any, descriptor: int) -> Any:
    """Return a filter to be loaded by ``.load()``: reading and writing is possible on ``descriptor`` alone.

    Args:
        seccomp: the module ``pyseccomp``.
        descriptor: a pipe or socket that the process has.

    Raises:
        OSError: the library refuses a rule.
    """
    rules = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    blocked = seccomp.ERRNO(errno.EPERM)
    for action, names in ((seccomp.ALLOW, ALLOWED_CALLS), (blocked, BLOCKED_CALLS)):
        for name in names:
            if (number := seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)) >= 0:  # else unknown on this machine
                rules.add_rule(action, number)
    for name in ("read", "write"):
        rules.add_rule(seccomp.ALLOW, name, seccomp.Arg(0, seccomp.EQ, descriptor))
        rules.add_rule(blocked, name, seccomp.Arg(0, seccomp.NE, descriptor))
    rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, EXEC_FLAG, 0))  # memory, no machine code
    return rules
