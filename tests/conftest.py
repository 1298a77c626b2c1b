"""What all tests start from."""

import signal

# A job in the background starts with Ctrl-C switched off, and so do its children; some tests send it to both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
