"""Calls of the Linux kernel that Python 3.11 does not offer, through the C library; each raises OSError."""

from __future__ import annotations

import ctypes
import os
import signal

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_MOUNT_SETATTR = 442  # the number is the same on every architecture
_AT_RECURSIVE = 0x8000

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object, what: str) -> int:
    """A system call by its number. Integers are passed as C longs."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *words)), what)


def unshare(namespaces: int) -> None:
    """Leave the caller's namespaces for new ones."""
    _checked(_libc.unshare(ctypes.c_int(namespaces)), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    words = [w.encode() or None for w in (source, target, kind)]
    result = _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _checked(result, f"mount {kind or source} at {target}")


def read_only(target: str, attributes: int = 0, recursive: bool = True) -> None:
    """Make a mount, and those below it, read-only (Linux 5.12). Flags that a parent has locked are kept as they are,
    which a remount through mount(2) would have to repeat."""
    wanted = (ctypes.c_uint64 * 4)(ATTR_RDONLY | attributes, 0, 0, 0)  # to set, to clear, propagation, userns
    flags = _AT_RECURSIVE if recursive else 0
    where = f"make {target} read-only"
    syscall(_MOUNT_SETATTR, -100, target.encode(), flags, ctypes.byref(wanted), ctypes.sizeof(wanted), what=where)


def pivot(new: str, old: str) -> None:
    """Make the mount `new` the root, and the root so far visible at `old` below it."""
    _checked(_libc.pivot_root(new.encode(), old.encode()), f"pivot_root to {new}")


def unmount(target: str) -> None:
    """Detach a mount and everything below it."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def _prctl(option: int, value: int, extra: object = 0, what: str = "prctl") -> None:
    _checked(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), extra, 0, 0), what)


def die_with(parent: int) -> None:
    """Be killed when the parent ends, or now if it has. A change of user id forgets this: call it again after one."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (parent, 0):  # 0: the parent is outside of this process's namespace
        os.kill(os.getpid(), signal.SIGKILL)


def hide_memory() -> None:
    """No process of the same user may attach to this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    """Nothing that this process runs can gain rights; Landlock and seccomp ask for it."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_calls(program: bytes) -> None:
    """Install a seccomp filter: classic BPF, 8 bytes an instruction."""
    built = _Program(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.byref(built), what="seccomp")
