"""Another face of a server: what a client sees is a certificate of the test's choice, or no TLS;
what it then talks to is the real server.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread


@contextmanager
def front(
    host: str, behind: tuple[str, int, ssl.SSLContext], certificate: Path | None
) -> Iterator[int]:
    """Listens on `host`, with the certificate and key of a file or without TLS; gives the port."""
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    ends: set[asyncio.StreamWriter] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(begin, host, 0, ssl=context)

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.add(writer)  # at once: a task that is cancelled before it began closes nothing
        task = loop.create_task(meet(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port, inside = behind
        both = {writer}
        try:
            reader_2, writer_2 = await asyncio.open_connection(address, port, ssl=inside)
            ends.add(writer_2)
            both.add(writer_2)
            await asyncio.gather(_pass(reader, writer_2), _pass(reader_2, writer))
        finally:
            for end in both:
                end.transport.abort()
            ends.difference_update(both)

    loop.set_exception_handler(lambda *_: None)  # handshakes that are meant to fail
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server, ends), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _end(server: asyncio.Server, ends: set[asyncio.StreamWriter]) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for end in ends:
        end.transport.abort()
    await asyncio.sleep(0.05)  # until what was aborted is closed
