"""The seccomp filter, run on paper for both architectures, and what Landlock may be asked for by version."""

from __future__ import annotations

import errno
import struct

import pytest

from superalign.research.sandbox import landlock, seccomp

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CALLS = {
    "x86_64": {"read": 0, "execve": 59, "fork": 57, "socket": 41, "ptrace": 101, "shmget": 29, "memfd_create": 319},
    "aarch64": {"read": 63, "execve": 221, "openat": 56, "socket": 198, "ptrace": 117, "shmget": 194, "memfd_create": 279},
}  # fmt: skip
CLONE = {"x86_64": 56, "aarch64": 220}


def answer(machine: str, architecture: int, call: int, argument: int = 0) -> int:
    """What the filter says of a call: a classic BPF machine with the instructions that it uses."""
    data = struct.pack("=IIQQ", call, architecture, 0, argument)
    program = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    line = register = 0
    while True:
        code, yes, no, value = program[line]
        line += 1
        if code == 0x20:
            register = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[code]
            line += yes if holds else no


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_refuses_its_list_and_allows_the_rest(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    refused = {numbers[list(ARCHITECTURES).index(machine)] for numbers in seccomp._DENIED.values()}
    for call in range(600):
        expected = ERRNO | errno.EPERM if call in refused else ERRNO | errno.ENOSYS if call == 435 else ALLOW
        assert answer(machine, architecture, call) == expected, call
    for name, call in CALLS[machine].items():
        assert (answer(machine, architecture, call) != ALLOW) == (name in ("ptrace", "shmget", "memfd_create")), name


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_processes_and_no_namespaces(machine: str, flag: int) -> None:
    clone, architecture = CLONE[machine], ARCHITECTURES[machine]
    assert answer(machine, architecture, clone, flag | 17) == ERRNO | errno.EPERM
    assert answer(machine, architecture, clone, 0x01200000 | 17) == ALLOW
    assert answer(machine, architecture, clone, 0x003D0F00) == ALLOW, "a thread"


def test_another_table_of_calls_is_no_way_round() -> None:
    assert answer("x86_64", 0x40000003, 26) == KILL, "calls of 32-bit programs"
    assert answer("x86_64", ARCHITECTURES["x86_64"], 0x40000000 | 101) == ERRNO | errno.EPERM, "x32"


def test_a_machine_without_a_table_has_no_filter() -> None:
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


@pytest.mark.parametrize(("version", "rights"), [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (6, 16), (9, 16)])
def test_only_rights_that_the_kernel_knows_are_asked_for(version: int, rights: int) -> None:
    assert landlock._known(version) == (1 << rights) - 1


def test_without_landlock_there_is_no_restriction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(OSError, match="this kernel has no Landlock"):
        landlock.restrict([])
