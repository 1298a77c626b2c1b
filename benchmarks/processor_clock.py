"""Imported before subarch, it makes every deadline count processor time where --processor-time is given.

On a machine that does other things beside, seconds of the wall would measure those. With one thread they are the
seconds of a processor that does nothing else.
"""

import sys
import time

if "--processor-time" in sys.argv:
    time.monotonic = time.process_time
