"""What everything is waiting for: the stacks of all asyncio tasks and threads, as `goroutine?debug=2` is in Go."""

import asyncio
import io
import sys
import threading
import traceback


def describe() -> str:
    """Every task of the running event loop, then every thread."""
    text = io.StringIO()
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        text.write(f"task {task.get_name()}:\n")
        task.print_stack(file=text)
        text.write("\n")
    threads = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        thread = threads.get(ident)
        text.write(f"thread {thread.name if thread else ident}:\n")
        text.writelines(traceback.format_stack(frame))
        text.write("\n")
    return text.getvalue()
