"""Starts the emulator, ministack, with more patience for a function's log lines.

When a function has answered, ministack takes the lines that it wrote, until none has come for 5 ms. That is no more than
Python itself may let a thread wait, so on a busy machine the last lines stayed behind and came with the next invocation's,
if there was one.
"""

from ministack.app import main
from ministack.core.lambda_runtime import Worker

# In seconds: for the first line, after the latest line, and in all.
Worker._drain_stderr_bounded.__defaults__ = (0.05, 0.05, 1.0)

main()
