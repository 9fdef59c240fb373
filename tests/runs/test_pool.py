"""The pool of processes: results and errors come back, and a process that dies harms no other call."""

import os

import pytest

from snnkd.base.errors import LimitError, SnnkdError
from snnkd.runs.pool import open_pool

# Dies the first time, and leaves a file that says so; written as text, since a test's own functions have no module
# that another process could import.
ONCE = "__import__('os').path.exists({0!r}) or (open({0!r}, 'w').close(), __import__('os')._exit(1))"


def test_calls_come_back_though_processes_die(tmp_path):
    with open_pool(jobs=2) as pool:
        dead = pool.submit(os._exit, 1)
        once = pool.submit(eval, ONCE.format(str(tmp_path / "died")))
        threads = pool.submit(os.getenv, "OMP_NUM_THREADS")
        wrong = pool.submit(int, "x")
        assert threads.result() == "1" and once.result() is True
        with pytest.raises(ValueError, match="'x'"):
            wrong.result()
        with pytest.raises(SnnkdError, match="3 times"):
            dead.result()
        began, asleep = tmp_path / "began", "(open({!r}, 'w').close(), __import__('time').sleep(60))"
        running, waiting = pool.submit(eval, asleep.format(str(began))), [pool.submit(int, 1) for _ in range(3)]
        while not began.exists():
            pass
    assert running.done() and isinstance(running.exception(), SnnkdError) and all(one.done() for one in waiting)


def test_a_cluster_has_its_own_number_of_jobs():
    with pytest.raises(LimitError, match="cluster"), open_pool(jobs=2, ray="auto"):
        pass
    with pytest.raises(LimitError, match="at least 1"), open_pool(jobs=0):
        pass
