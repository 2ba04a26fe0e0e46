# SPDX-License-Identifier: BSD-2-Clause
"""A scripted stand-in for tcpcryptd, and for the host that `tcpcrypt verify` connects to."""

import json
import os
import socket
import threading

# The host has sent its greeting. One that came after the tool has gone would be answered with RST.
greeted = threading.Event()


class FakeDaemon:
    """
    Listens on RUN_DIR/control.sock. The n-th connection gets the n-th of `replays`
    (the last one for all that follow): bytes to send, or a function from the request
    to bytes. The connection is closed afterwards unless `hold` is set, as a watch is
    held open; then end_all() closes.
    """

    def __init__(self, run_dir, replays, hold=False):
        self.requests = []
        self.replays = replays
        self.hold = hold
        self.held = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = os.path.join(run_dir, "control.sock")
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            line = connection.makefile("rb").readline()
            replay = self.replays[min(len(self.requests), len(self.replays) - 1)]
            self.requests.append(json.loads(line))
            if self.requests[-1]["command"] == "verify":
                greeted.wait(10)
            if callable(replay):
                replay = replay(self.requests[-1])
            if self.hold:
                self.held.append(connection)
            try:
                connection.sendall(replay)
            except OSError:
                pass
            if not self.hold:
                connection.close()

    def end_all(self):
        for connection in self.held:
            connection.close()
        self.held = []

    def close(self):
        self.end_all()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


class FakeHost:
    """Accepts TCP connections, sends a greeting, and keeps whatever the client sends."""

    def __init__(self, family=socket.AF_INET, address="127.0.0.1"):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind((address, 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.received = b""
        self.error = None
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                connection.sendall(b"220 hello\r\n")
                greeted.set()
                while got := connection.recv(4096):
                    self.received += got
            except OSError as error:
                self.error = error
            connection.close()
            self.ended.release()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
