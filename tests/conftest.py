"""What all tests start from."""

import signal

# A job in the background starts with Ctrl-C switched off, and so do its children; some tests send it to both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same of a terminal that is closed, under nohup.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """The tests of stages first: they start processes, and a long file that is begun last keeps one worker waiting."""
    items.sort(key=lambda item: "stages" not in item.path.parts)
