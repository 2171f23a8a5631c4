#!/usr/bin/env python3
"""Stands between a host and its enclave and keeps all that they say to each other.

relay.py FOLDER PROGRAM ARGUMENT...: the host's end is standard input, as an enclave expects it.
"""

import os
import socket
import subprocess
import sys
import threading


def carry(source: socket.socket, sink: socket.socket, record: str) -> None:
    """Carries one direction to its end."""
    try:
        with open(record, "ab", buffering=0) as kept:
            while data := source.recv(1 << 16):
                kept.write(data)
                sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One of them is gone: so will the other be.
        pass


def main() -> int:
    folder, program, *arguments = sys.argv[1:]
    host = socket.socket(fileno=os.dup(0))
    ours, theirs = socket.socketpair()
    child = subprocess.Popen([program, *arguments], stdin=theirs)
    theirs.close()
    lines = [(host, ours, "to-enclave"), (ours, host, "to-host")]
    for source, sink, name in lines:
        threading.Thread(target=carry, args=(source, sink, os.path.join(folder, name)), daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
