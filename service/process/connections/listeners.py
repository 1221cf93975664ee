"""Listening sockets of a worker."""

import socket

#: Number of connections that one turn of the event loop accepts.
ACCEPTS_PER_TURN = 8


def duplicate_listeners(listener: socket.socket) -> list[socket.socket]:
    """Return the duplicates of a listening socket that the event loop should watch, with the socket itself.

    libuv accepts one connection per socket and turn (https://github.com/libuv/libuv/pull/3696), and a turn that runs a
    forward pass takes tens of milliseconds: of hundreds of new connections, the last would wait for seconds.
    """
    # `dup` sets the mode of its original on the file that all workers share. If that were blocking, those that accept a
    # connection which another one has just accepted would hang until the next connections arrive.
    listener.setblocking(False)
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_TURN - 1))]
