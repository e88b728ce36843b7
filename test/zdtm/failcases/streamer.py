# SPDX-License-Identifier: GPL-2.0-only
"""criu-image-streamer's end of CRIU's --stream (img-streamer.proto): a request names a file, and a pipe carries it."""

import os
import socket
import struct
import threading

SOCKETS = {'dump': 'streamer-capture.sock', 'restore': 'streamer-serve.sock'}


def receive(connection, size):
    data = connection.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


class Streamer(threading.Thread):
    """Keeps what a dump sends as files of @folder, or gives a restore those that are there."""

    def __init__(self, action, socket_folder, folder):
        super().__init__(daemon=True)
        self.action, self.folder = action, folder
        self.requests = []
        self.pumps = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(socket_folder, SOCKETS[action]))
        self.listener.listen()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *args):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        for pump in self.pumps:
            pump.join()
        self.listener.close()

    def run(self):
        try:
            connection, _ = self.listener.accept()
            with connection:
                while True:
                    self.serve(connection)
        except (EOFError, OSError):
            pass        # criu has ended, or there was none

    def serve(self, connection):
        size, = struct.unpack('<I', receive(connection, 4))
        name = receive(connection, size)[2:].decode()       # one string of less than 128 bytes
        self.requests.append(name)
        path = os.path.join(self.folder, name)
        if self.action == 'restore':
            exists = os.path.exists(path)
            connection.sendall(struct.pack('<IBB', 2, 8, exists))
            if not exists:
                return
        _, fds, _, _ = socket.recv_fds(connection, 1, 1)
        self.pumps.append(threading.Thread(target=self.pump, args=(path, fds[0]), daemon=True))
        self.pumps[-1].start()

    def pump(self, path, fd):
        source, target = (path, fd) if self.action == 'restore' else (fd, path)
        try:
            with open(source, 'rb') as f, open(target, 'wb') as g:
                while chunk := f.read(65536):
                    g.write(chunk)
        except BrokenPipeError:
            pass        # a reader that needs no more
