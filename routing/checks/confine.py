"""Shut a process in: no file but those of its folder and of Python, no network, no processes, no signals to others.

Linux alone can do this without a helper or rights of its own: Landlock (5.13 and later) keeps files, seccomp keeps
system calls. Elsewhere nothing is done, and `Held` says so. Only the standard library is used: a check's own process
runs this before it runs code that a model wrote, and nothing of it can be undone.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Held", "confine"]


class Held(NamedTuple):
    """What is kept in: `files` by Landlock; `calls` (network, processes, signals, owners of files) by seccomp."""

    files: bool
    calls: bool


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH: Final = 1
_ASK_VERSION: Final = 1
_READ: Final = 1 << 0 | 1 << 2 | 1 << 3  # execute (a library is mapped), read a file, list a folder
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2
_TRUNCATE: Final = 1 << 14
_ACCESS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every access to files that a version of Landlock knows: from 5 on all, devices' ioctl included."""

_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/usr/share/zoneinfo")
_FILES: Final = ("/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero")

_DENIED: Final[dict[str, tuple[int, int]]] = {
    # name: (x86_64, aarch64); below 0 where the machine does not have it
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "accept4": (288, 242), "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
    "setsid": (112, 157), "setpgid": (109, 154), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "fsopen": (430, 430), "open_by_handle_at": (304, 265), "reboot": (169, 142),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "lchown": (94, -1), "fchown": (93, 55), "fchownat": (260, 54), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}  # fmt: skip
_OWN_ALONE: Final = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
"""Calls that name a process: allowed where it is this one."""

_MACHINES: Final = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}
"""Where a machine stands in the tables, its audit architecture, and its number for `clone`."""

_CLONE3: Final = 435
_CLONE_THREAD: Final = 0x10000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCH, _AT_FIRST = 0, 4, 16
_ALLOW, _NOT_PERMITTED, _NOT_THERE = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38


def confine(folder: str) -> Held:
    """Shut this process in for good, with `folder` to read and write in; return what the system could keep."""
    if sys.platform != "linux":
        return Held(False, False)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0:
        return Held(False, False)
    files = _keep_files(libc, folder)
    steps = _filter(os.getpid())
    if steps is None:
        return Held(files, False)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    return Held(files, libc.prctl(set_seccomp, by_filter, program, 0, 0) == 0)


def _keep_files(libc: Any, folder: str) -> bool:
    """Allow this process its folder, and to read Python and the libraries it is made of; return whether that holds."""
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return False
    access = _ACCESS[max(known for known in _ACCESS if known <= version)]
    # From 4 on TCP is kept too, from 6 on signals and abstract sockets beyond this process: seccomp may not be there.
    attributes = struct.pack("QQQ", access, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if rules < 0:
        return False
    try:
        for path, allowed in [(folder, access), ("/dev/null", _READ_FILE | _WRITE_FILE | _TRUNCATE), *_readable()]:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                rule = struct.pack("=Qi", allowed & access, handle)
                if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) != 0 and path == folder:
                    return False
            finally:
                os.close(handle)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _readable() -> Iterator[tuple[str, int]]:
    """Yield what may be read: Python's own library, installed packages, and the system's shared libraries."""
    where = sysconfig.get_paths()
    folders = {where[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    above = Path(where["stdlib"]).parent
    if above.name.lower() in ("lib", "lib64"):  # libpython lies there; else it could be anybody's folder
        folders.add(str(above))
    for folder in (*folders, *_LIBRARIES):
        yield folder, _READ
    for file in _FILES:
        yield file, _READ_FILE


def _filter(pid: int) -> list[tuple[int, int, int, int]] | None:
    """Return the steps of a seccomp filter as (code, jump if so, jump if not, value); None for an unknown machine."""
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.maxsize < 1 << 32:
        return None
    column, arch, clone = machine
    steps = [
        (_LOAD, 0, 0, _AT_ARCH),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 numbers are other names of the same calls
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_EQUAL, 0, 1, _CLONE3),  # its flags cannot be seen: libc then takes clone
        (_RETURN, 0, 0, _NOT_THERE),
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _AT_FIRST),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _NOT_PERMITTED),
    ]
    for numbers in _DENIED.values():
        if numbers[column] >= 0:
            steps += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _NOT_PERMITTED)]
    for name, numbers in _OWN_ALONE.items():
        also = 0 if name == "prlimit64" else pid
        steps += [
            (_EQUAL, 0, 5, numbers[column]),
            (_LOAD, 0, 0, _AT_FIRST),
            (_EQUAL, 1, 0, pid),
            (_EQUAL, 0, 1, also),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _NOT_PERMITTED),
        ]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]
