#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command under the kernel of Debian 12, Linux 6.1, on an emulated machine.

    boot.py DIRECTORY COMMAND...

Its package, and that of the first program, are fetched into DIRECTORY once, and not installed. The
emulated machine has the files of this one (see init), so the command finds what it finds here, and whatever
it writes is lost; the environment's variables are those of this process. Prints what the command prints,
and ends with its status; with 77 where this machine has that kernel itself.
"""
import gzip
import os
import pathlib
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NEWEST = "linux-image-amd64"  # depends on the kernel's package, whose name has a version
BUSYBOX = "busybox-static"
# What /init needs to reach everything else, by name.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
ENDED = re.compile(r"^boot: the job ended with (\d+)\s*$", re.MULTILINE)
MEMORY_MB = 3072


def output_of(*args, **options):
    return subprocess.run(args, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


class Kernel:
    """Debian's package of the kernel, fetched and unpacked, with what /init is made of."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.root = self.directory / "root"
        if not self.root.exists():
            self.fetch()
        self.busybox = self.root / "bin" / "busybox"
        self.image = next(self.root.glob("boot/vmlinuz-*"))
        self.version = self.image.name.removeprefix("vmlinuz-")
        self.modules = self.root / "lib" / "modules" / self.version

    def fetch(self):
        fresh = self.directory / "new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        depends = output_of("apt-cache", "depends", "--important", NEWEST)
        name = re.search(r"Depends: (linux-image-\S+)", depends)[1]
        download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"]
        subprocess.run([*download, name, BUSYBOX], cwd=fresh, check=True)
        for package in fresh.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, fresh / "root"], check=True)
        version = next((fresh / "root" / "lib" / "modules").iterdir()).name
        subprocess.run(["depmod", "-b", fresh / "root", version], check=True)
        (fresh / "root").rename(self.root)
        shutil.rmtree(fresh)

    def needed(self):
        """The files of MODULES and of what they need, relative to the modules' directory."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, others = line.split(":")
            needs[path] = others.split()
        found, wanted = set(), [p for p in needs if pathlib.Path(p).stem in MODULES]
        while wanted:
            path = wanted.pop()
            found.add(path)
            wanted += [p for p in needs[path] if p not in found]
        return sorted(found)


class Archive:
    """An initramfs: cpio in its "newc" form (Documentation/driver-api/early-userspace of the kernel)."""

    def __init__(self):
        self.parts = []
        self.known = set()

    def add(self, name, mode, data=b""):
        parent = str(pathlib.PurePath(name).parent)
        if parent != "." and parent not in self.known:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.known.add(name)
        path = name.encode() + b"\0"
        fields = (len(self.parts) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self.parts.append(padded(header + path) + padded(data))

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return gzip.compress(b"".join(self.parts), compresslevel=1)


def padded(data):
    return data + bytes(-len(data) % 4)


def initramfs(kernel, job):
    archive = Archive()
    archive.file("bin/busybox", kernel.busybox.read_bytes())
    for applet in output_of(kernel.busybox, "--list").split():
        if applet != "busybox":
            archive.add(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    modules = f"lib/modules/{kernel.version}"
    for name in kernel.needed():
        archive.file(f"{modules}/{name}", (kernel.modules / name).read_bytes(), 0o644)
    for table in ("modules.dep", "modules.alias", "modules.symbols"):
        archive.file(f"{modules}/{table}", (kernel.modules / table).read_bytes(), 0o644)
    archive.file("init", (HERE / "init").read_bytes())
    archive.file("modules", str(kernel.modules).encode(), 0o644)
    archive.file("needed", " ".join(MODULES).encode(), 0o644)
    archive.file("job", job.encode(), 0o644)
    return archive.bytes()


def job_of(command):
    named = [(name, value) for name, value in os.environ.items() if name.isidentifier()]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in named]
    return "\n".join([*exports, f"cd {shlex.quote(os.getcwd())}", f"exec {shlex.join(command)}", ""])


def boot(kernel, archive):
    """Returns what the machine has printed."""
    image = kernel.directory / f"initramfs.{os.getpid()}"
    image.write_bytes(archive)
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]
    command += ["-smp", "2", "-m", str(MEMORY_MB), "-nographic", "-no-reboot", "-nic", "none"]
    command += ["-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"]
    command += ["-kernel", kernel.image, "-initrd", image]
    command += ["-append", "console=ttyS0 quiet loglevel=1 panic=-1"]
    said = []
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
    try:
        with subprocess.Popen(command, **pipes) as qemu:
            try:
                for line in qemu.stdout:
                    print(line, end="", flush=True)
                    said.append(line)
            finally:
                qemu.kill()
    finally:
        image.unlink()
    return "".join(said)


def main():
    if os.uname().release.startswith("6.1."):
        print("skipped: this machine's own kernel is of that version")
        sys.exit(77)
    # Nothing stays behind: neither the emulator nor its file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kernel = Kernel(sys.argv[1])
    said = boot(kernel, initramfs(kernel, job_of(sys.argv[2:])))
    ended = ENDED.search(said.replace("\r", ""))
    if not ended:
        sys.exit("boot: the machine has ended without the job")
    sys.exit(int(ended[1]))


if __name__ == "__main__":
    main()
