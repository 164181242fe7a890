"""What every test may count on."""

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and so every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("tests.cluster.fixture",)
