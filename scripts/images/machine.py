"""A guest in QEMU: started, watched on its serial line, commanded through QMP."""

import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from catalogue import MACHINES, Image


class GuestError(Exception):
    pass


# A panic ends QEMU (-no-reboot), unless it is what was wanted.
ENDS = {
    "alive": "panic=-1",
    "crash": "rig=crash panic=0",
    "kexec": "rig=kexec panic=-1 crashkernel=192M",
    "live": "rig=live panic=-1",
}
LAST_WORDS = {
    "alive": "@@ end",
    "crash": r".*end Kernel panic.*",
    "kexec": r"@@ vmcore (\d+)",
}


PATIENCE = 1800
"""For a guest to do all that it does, in seconds."""

# As QEMU's monitor writes it for the one machine or the other.
PROGRAM_COUNTER = r"\b(?:[RE]IP=|PC=|R15=|pc +|NIP +|PSW=mask \w+ addr )([0-9a-f]+)"


class Guest:
    """Emulated (TCG), never virtualised: where /dev/kvm exists it may itself be emulated, and kernels die in it."""

    def __init__(self, image: Image, kernel: Path, initramfs: Path, folder: Path, disk: Path | None = None) -> None:
        self.image = image
        machine = MACHINES[image.source.arch]
        self.serial = folder / "serial.log"
        self.socket = folder / "qmp"
        self.errors = folder / "qemu.log"
        ram = f"memory-backend-file,id=ram,size={image.memory},mem-path={folder / 'ram.img'},share=on"
        append = f"{machine.append} loglevel=4 {ENDS[image.end]} {image.append}"
        self.command = [
            *("setpriv", "--pdeathsig", "KILL"),  # does not outlive us, however we end
            *(machine.qemu, "-accel", "tcg,thread=multi", *machine.options, "-cpu", image.cpu, "-smp", "3"),
            *("-m", image.memory, "-object", ram, "-display", "none", "-no-reboot", "-nodefaults"),
            *("-serial", f"file:{self.serial}", "-qmp", f"unix:{self.socket},server=on,wait=off"),
            *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", append),
            *(("-drive", f"file={disk},if=virtio,format=raw") if disk else ()),
        ]

    def __enter__(self) -> "Guest":
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=errors)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> re.Match[str]:
        """For the line by which the guest is known to be as it is wanted."""
        # Some 20 seconds on a machine that has nothing else to do.
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll() is not None
            text = self.console()
            if match := re.search(f"^{LAST_WORDS[self.image.end]}$", text, re.MULTILINE):
                return match
            if ended or time.monotonic() > deadline:
                what = f"ended ({self.errors.read_text().strip()})" if ended else f"is not ready after {PATIENCE} s"
                raise GuestError(f"the guest {what}; its last words:\n{text[-2000:]}")
            if failure := re.search("^@@ failed: (.*)$", text, re.MULTILINE):
                raise GuestError(f"the guest waited in vain: {failure[1]}")
            time.sleep(0.1)

    def report(self) -> str:
        """What the guest has said about itself, from its first section on."""
        match = re.search(r"^@@ kallsyms$.*?(?=^@@ end$)", self.console(), re.MULTILINE | re.DOTALL)
        if not match:
            raise GuestError("the guest's report is not on its console")
        return match[0]

    def console(self) -> str:
        return self.serial.read_text(errors="replace").replace("\r", "") if self.serial.exists() else ""


class Monitor:
    """QMP: https://www.qemu.org/docs/master/interop/qmp-spec.html"""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(guest.socket))
        self.lines = self.socket.makefile("rw")
        self.lines.readline()  # the greeting
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: Any) -> Any:
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        for line in self.lines:
            answer = json.loads(line)
            if "error" in answer:
                raise GuestError(f"QEMU refuses {command} {arguments}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise GuestError(f"QEMU ended during {command}")

    def human(self, command: str) -> str:
        """What QEMU's other monitor, the one for people, answers."""
        return str(self.run("human-monitor-command", **{"command-line": command}))

    def stop(self) -> str:
        """Stops the guest, and returns the registers of its CPUs as the monitor shows them."""
        self.run("stop")
        return self.human("info registers -a")

    def stop_at(self, address: int) -> str:
        """Stops the guest while its second CPU is at a function that it spins in."""
        # An interrupt may be due just then; on a busy host one nearly always is, and in the end it has to do.
        for attempt in range(100):
            if attempt > 0:
                self.run("cont")
                time.sleep(0.02 + 0.005 * attempt)
            registers = self.stop()
            second = registers.partition("CPU#1")[2].partition("CPU#2")[0]
            counter = re.search(PROGRAM_COUNTER, second)
            if counter and abs(int(counter[1], 16) - address) < 64:
                break
        return registers
