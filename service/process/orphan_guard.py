"""End of a worker whose supervisor has died, even if the control socket does not report it or the event loop hangs.

The kernel sends SUPERVISOR_EXITED to the worker when the supervisor dies (Linux only). A thread, which runs beside the
event loop, looks at the parent process as well. It sends the same signal, and kills the process if its event loop does
not notice the signal or if the process does not end.
"""

import contextlib
import ctypes
import os
import signal
import threading
import time

#: Signal that a worker gets when its supervisor has died. A worker that is still starting ends by it at once.
SUPERVISOR_EXITED = signal.SIGUSR1
#: Set by the event loop when it has noticed that the supervisor died.
NOTICED = threading.Event()
POLL_SECONDS = 1.0
#: Time in which an event loop that does not hang notices a signal.
NOTICE_SECONDS = 5.0

_PR_SET_PDEATHSIG = 1


def request_exit_signal() -> None:
    """Have the kernel send SUPERVISOR_EXITED to this process when its parent's starting thread ends; Linux only."""
    with contextlib.suppress(OSError, AttributeError):  # another system
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(SUPERVISOR_EXITED), 0, 0, 0)


def guard(supervisor: int, seconds: float) -> None:
    """Start the thread: this process ends at most `seconds` after process `supervisor`, its parent."""
    request_exit_signal()
    # The supervisor may have died before: the thread notices that, the kernel does not.
    threading.Thread(target=_end_with, args=(supervisor, seconds), name="orphan guard", daemon=True).start()


def _end_with(supervisor: int, seconds: float) -> None:
    while os.getppid() == supervisor:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), SUPERVISOR_EXITED)
    if NOTICED.wait(NOTICE_SECONDS):
        time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)
