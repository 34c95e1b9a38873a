"""drgn, as the benchmark asks it: a list of words in JSON on each line of stdin, an answer in JSON on each line of stdout."""

import array
import json
import sys
import time
import zlib

import drgn
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import task_state_to_char


class Watch:
    """Measures seconds without those in which this thread could have gone on and others did."""

    def __init__(self):
        self.start, self.waited = time.perf_counter(), self.kept_waiting()

    def seconds(self):
        waited = self.kept_waiting() - self.waited
        return time.perf_counter() - self.start - waited

    @staticmethod
    def kept_waiting():
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9


def opened(image):
    program = drgn.Program()
    program.set_core_dump(image)
    return program


def tasks(image, vmlinux):
    """How long it takes to open an image and to list its tasks, and how many there are."""
    watch = Watch()
    program = opened(image)
    program.load_debug_info([vmlinux])
    rows = [
        (task.pid.value_(), task.tgid.value_(), task.real_parent.tgid.value_(), task.comm.string_(), task_state_to_char(task))
        for task in for_each_task(program)
    ]
    return {"seconds": watch.seconds(), "count": len(rows)}


class Reader:
    """Reads so many bytes at each of the addresses that a file holds."""

    def __init__(self, image, addresses, length):
        self.program, self.length = opened(image), int(length)
        self.addresses = array.array("Q")
        with open(addresses, "rb") as file:
            self.addresses.frombytes(file.read())

    def checksum(self):
        checksum = 0
        for address in self.addresses:
            checksum = zlib.crc32(self.program.read(address, self.length), checksum)
        return {"checksum": checksum}

    def seconds(self):
        """For each read, without what Python takes for calling drgn: that is measured by reading no bytes."""
        return {"seconds": (self.loop(self.length) - self.loop(0)) / len(self.addresses)}

    def loop(self, length):
        read = self.program.read
        watch = Watch()
        for address in self.addresses:
            read(address, length)
        return watch.seconds()


reader = None
for line in sys.stdin:
    question, *words = json.loads(line)
    if question == "tasks":
        answer = tasks(*words)
    elif question == "reader":
        reader = Reader(*words)
        answer = reader.checksum()
    else:
        answer = reader.seconds()
    print(json.dumps(answer), flush=True)
