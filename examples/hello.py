"""
The smallest application: greet whoever asks.

    twistd -n --pidfile= diarkis --config configs/all.json --app examples.hello
"""

from diarkis_tw.server import CommandError, Server, User


def setup(server: Server) -> None:
    server.handle_command(2, 10, hello)


def hello(ver: int, cmd: int, payload: bytes, user: User) -> bytes:
    try:
        name = payload.decode()
    except UnicodeDecodeError:
        raise CommandError(1, "a name is UTF-8 text") from None
    return f"Hello, {name or user.uid}!".encode()
