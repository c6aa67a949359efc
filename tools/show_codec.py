"""Print the functions that read and write the hot envelopes, as the program makes them at start.

.venv/bin/python tools/show_codec.py write Copy
.venv/bin/python tools/show_codec.py read AuditHead
"""

import inspect
import sys

from pipeline.codec import HOT, hot_reader, hot_writer


def main() -> None:
    """Print one function, or say which there are."""
    kinds = {one.__name__: one for one in HOT}
    match sys.argv[1:]:
        case ["read", name] if name in kinds:
            print(inspect.getsource(hot_reader(kinds[name])))
        case ["write", name] if name in kinds:
            print(inspect.getsource(hot_writer(HOT[kinds[name]])))
        case _:
            sys.exit(f"usage: show_codec.py read|write {'|'.join(kinds)}")


if __name__ == "__main__":
    main()
