# SPDX-License-Identifier: Apache-2.0
"""relay: a TCP link that a story can cut and mend."""

import contextlib
import socket
import threading


class Relay:
    """Listens on loopback and passes bytes on to a port that is asked for at each connection."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.up = True
        self._pairs = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.up:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port()))
            except OSError:
                client.close()
                continue
            pair = (client, server)
            self._pairs.add(pair)
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(source, target, pair), daemon=True).start()

    def _pump(self, source, target, pair):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                target.sendall(data)
        self._end(pair)

    def _end(self, pair):
        self._pairs.discard(pair)
        for one in pair:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self):
        self.up = False
        for pair in list(self._pairs):
            self._end(pair)

    def mend(self):
        self.up = True

    def close(self):
        self.cut()
        self._listener.close()
