"""Kernels that need not import anything: forks of one process that has done so, which takes a notebook's first ten seconds.

Each is as fresh as one that was started from nothing. Where none can be forked, one is: nothing depends on this but time.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psutil
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from ctrh.paper.companion import Companion

LIBRARIES = ("matplotlib.pyplot", "ctrh.paper.plans", "ctrh.paper.cross_modal.speed")
# Where the system can fork a process with these libraries in it.
POSSIBLE = sys.platform == "linux"
LAUNCHER = "ipykernel_launcher"
PR_SET_PDEATHSIG = 1  # of Linux's prctl
SECONDS = 300  # for the imports, on a slow disk; then kernels start without help


class Nursery(Companion):
    """The process that has imported the libraries."""

    current: Nursery | None = None

    def start(self) -> None:
        """Begins with the imports; later calls do nothing."""
        if self.process is None:
            self.begin(__name__, log="kernels.log", stdout=subprocess.PIPE)

    def fork(self, arguments: Sequence[str], env: Mapping[str, str], cwd: str) -> psutil.Process:
        """A kernel, started with these ``arguments`` of ipykernel's. Raises ``OSError`` when there can be none."""
        self.start()
        request = {"arguments": list(arguments), "env": dict(env), "cwd": cwd}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            self.process.kill()  # or the kernel might still come, and find its place taken
            raise TimeoutError(f"no kernel after {SECONDS} seconds")
        answer = self.process.stdout.readline()
        if not answer:
            raise ChildProcessError("the process that kernels are forked from has ended")
        try:
            return psutil.Process(int(answer))
        except psutil.NoSuchProcess as error:
            raise ChildProcessError("the forked kernel has ended at once") from error

    def __enter__(self) -> Nursery:
        factory = KernelProvisionerFactory.instance()
        factory.provisioners[__name__] = importlib.metadata.EntryPoint(
            __name__, f"{__name__}:{ForkingProvisioner.__name__}", factory.GROUP_NAME
        )
        self._before = factory.default_provisioner_name
        factory.default_provisioner_name = __name__
        Nursery.current = self
        return self

    def __exit__(self, *error: object) -> None:
        Nursery.current = None
        KernelProvisionerFactory.instance().default_provisioner_name = self._before
        super().__exit__(*error)


class ForkingProvisioner(LocalProvisioner):
    """Jupyter's own way to start a kernel here, but for the one step."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        if Nursery.current is None or LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **options)
        cwd = str(options.get("cwd") or os.getcwd())
        arguments = cmd[cmd.index(LAUNCHER) + 1 :]
        try:
            kernel = Nursery.current.fork(arguments, options.get("env") or os.environ, cwd)
        except OSError:
            return await super().launch_kernel(cmd, **options)
        self.process = _Kernel(kernel)
        self.pid = self.pgid = kernel.pid
        self.cwd = cwd
        return self.connection_info


class _Kernel:
    """A process that is not our child, with the methods of ``subprocess.Popen`` that Jupyter calls."""

    stdin = stdout = stderr = None

    def __init__(self, process: psutil.Process) -> None:
        self.process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return None if self.process.is_running() else 0  # how it ended is not known

    def wait(self, timeout: float | None = None) -> int:
        self.process.wait(timeout)
        return 0

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _serve() -> None:
    # ipykernel says so before a notebook imports matplotlib; later would be too late.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that end leave nothing behind
    parent = os.getpid()
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            return _be_kernel(parent, **json.loads(line))
        print(pid, flush=True)


def _be_kernel(parent: int, arguments: list[str], env: dict[str, str], cwd: str) -> None:
    os.setsid()
    # A kernel ends with its parent. ipykernel looks after it too, but only from a moment on.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    backend = os.environ["MPLBACKEND"]
    os.environ.clear()
    os.environ.update({"MPLBACKEND": backend, **env, "JPY_PARENT_PID": str(parent)})
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    np.random.seed()  # noqa: NPY002 (it is there for whoever uses it: all forks would draw the same)
    sys.argv = [LAUNCHER, *arguments]
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    _serve()
