"""A process's own user, network, mount, process and IPC namespaces (Linux), and the view of files inside them.

As root, the method's user is 65534 on both sides of the wall, so that files which only root can read are out of its
reach by ownership too. An ordinary user can map nobody but itself: inside it is called 65534, outside it is still you.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from superalign.research.sandbox import linux

NOBODY = 65534
"""The method's user and group, as it sees them."""
INPUT, SCRATCH, SEALED = "/input", "/scratch", "/sealed"
"""What the view holds beside the interpreter: the inputs, the one place to write, and a file that Landlock withholds."""
DEVICES = ("/dev/null", "/dev/urandom")

_STAGE = "/tmp"
_INODES = 4096


def enter(network: int = linux.NEWNET) -> None:
    """Move this process into namespaces of its own; its children will be in the new process namespace.

    There is no network in them, not even a loopback that is up. Raises OSError where the system does not allow it.
    """
    caller, group = os.geteuid(), os.getegid()
    parted, part = os.pipe()
    mapper = os.fork()  # a map of more than one id must be written from outside
    if not mapper:
        os.close(part)
        os.read(parted, 1)
        os._exit(0 if _mapped(os.getppid(), caller, group) else 1)
    os.close(parted)
    try:
        linux.unshare(linux.NEWUSER | network | linux.NEWNS | linux.NEWPID | linux.NEWIPC)
    finally:
        os.close(part)
        status = os.waitpid(mapper, 0)[1]
    if status:
        raise OSError("the user ids of the new namespace could not be mapped")
    if caller == 0:  # the ids of root, so that what root may read can be shown
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


def _mapped(process: int, caller: int, group: int) -> bool:
    """Write the maps. As root, root's own ids go in too: the view is built with them, the method never runs with them."""
    with_root = caller == 0
    users = f"0 0 1\n{NOBODY} {NOBODY} 1\n" if with_root else f"{NOBODY} {caller} 1\n"
    groups = f"0 0 1\n{NOBODY} {NOBODY} 1\n" if with_root else f"{NOBODY} {group} 1\n"
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", users), ("gid_map", groups)):
            with open(f"/proc/{process}/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return True


def view(shown: Iterable[str], hidden: Iterable[str], inputs: Mapping[str, bytes], disk: int) -> int:
    """Make a root of our own: `shown` paths read-only in their places, `inputs`, and a scratch folder of `disk` bytes.

    Folders among the shown ones that are `hidden` appear empty. Returns a descriptor of the scratch folder, through which it can be read when the method has ended. Raises OSError.
    """
    room = sum(len(data) for data in inputs.values()) + (1 << 20)
    flags = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _STAGE, "tmpfs", flags, f"size={room},nr_inodes={_INODES},mode=755")
    old = f"{_STAGE}/old"
    os.mkdir(old)
    linux.pivot(_STAGE, old)
    os.chdir("/")
    for path in shown:
        _show(path)
    for path in hidden:
        if os.path.isdir(path):
            linux.mount("tmpfs", path, "tmpfs", flags | linux.MS_RDONLY, "size=4k,mode=755")
    for device in DEVICES:
        if not os.path.exists(device):
            _bind(f"/old{device}", device)
    os.mkdir(INPUT, 0o755)
    for name, data in (*((f"{INPUT}/{n}", d) for n, d in inputs.items()), (SEALED, b"sealed")):
        with open(name, "wb") as file:
            file.write(data)
        os.chmod(name, 0o444)
    os.mkdir(SCRATCH)
    options = f"size={disk},nr_inodes={_INODES},mode=700,uid={NOBODY},gid={NOBODY}"
    linux.mount("tmpfs", SCRATCH, "tmpfs", flags | linux.MS_NOEXEC, options)
    linux.unmount("/old")
    os.rmdir("/old")
    linux.read_only("/", recursive=False)
    return os.open(SCRATCH, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _show(path: str) -> None:
    """A path of the old root at the same place in the new one; what is not there is left out."""
    there = f"/old{path}"
    if os.path.lexists(path) or not os.path.lexists(there):
        return
    if os.path.islink(there):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(os.readlink(there), path)
        return
    _bind(there, path)
    linux.read_only(path, linux.ATTR_NOSUID | linux.ATTR_NODEV)


def _bind(there: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(there):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o444))
    linux.mount(there, path, "", linux.MS_BIND | linux.MS_REC)


def become_nobody() -> None:
    """Give up every right of the namespace's owner: the method's user has no capability in it."""
    if os.getresuid() != (NOBODY,) * 3:  # an ordinary user is called that already, and loses its rights on exec
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
