"""A render worker: `python -m mien.render.worker SIZE`.

Reads one view a line (JSON) from standard input and answers each with one line of labels (JSON) and the raw
bytes of the picture, [3, SIZE, SIZE]. Ends when the input ends.
"""

import json
import signal
import sys


def main() -> None:
    """Serve views until standard input closes; Ctrl-C is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from mien.render.people import View, render_view

    size = int(sys.argv[1])
    for line in sys.stdin.buffer:
        fields = json.loads(line)
        if fields["units"] is not None:
            fields["units"] = tuple((int(n), float(v)) for n, v in fields["units"])
        image, labels = render_view(View(**fields), size)
        sys.stdout.buffer.write(json.dumps(labels).encode() + b"\n" + image.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
