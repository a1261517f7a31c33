"""The bad network: loopback proxies in a process of their own.

A link is one listening port before one target. Its mode can be changed while it runs:
    pass     both ways
    before   the connection is reset when the first byte of a request comes; the target sees nothing of it
    after    the request goes through and is done; when its answer comes, the connection is reset instead
    hole     packets vanish: whatever comes is kept back until the mode changes
    slice    everything arrives byte by byte
    refuse   connections are reset at once
"""

import asyncio
import multiprocessing
import socket

MODES = ("pass", "before", "after", "hole", "slice", "refuse")


class _Link:
    def __init__(self, target, mode):
        self.target = target
        self.mode = mode
        self.changed = asyncio.Event()
        self.open = set()

    def set(self, mode):
        self.mode = mode
        self.changed.set()
        self.changed = asyncio.Event()

    def cut(self):
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader, writer):
        if self.mode == "refuse":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, far_writer)
        self.open.update(ends)
        for end in ends:
            end.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pumps = [asyncio.create_task(self.pump(reader, far_writer, ends, False)),
                 asyncio.create_task(self.pump(far_reader, writer, ends, True))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            self.open.discard(end)
            end.transport.abort()
        for pump in pumps:
            pump.cancel()

    async def pump(self, reader, writer, ends, is_answer):
        try:
            while data := await reader.read(65536):
                while self.mode == "hole":
                    await self.changed.wait()
                if self.mode == ("after" if is_answer else "before"):
                    for end in ends:
                        end.transport.abort()
                    return
                if self.mode == "slice":
                    for i in range(len(data)):
                        writer.write(data[i:i + 1])
                        await writer.drain()
                        await asyncio.sleep(0)
                else:
                    writer.write(data)
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass


async def _run(listeners, targets, modes, pipe):
    loop = asyncio.get_running_loop()
    links = {}
    for name, listener in listeners.items():
        links[name] = _Link(targets[name], modes[name])
        await asyncio.start_server(links[name].serve, sock=listener)
    ended = loop.create_future()

    def command():
        try:
            verb, name, value = pipe.recv()
        except EOFError:
            if not ended.done():
                ended.set_result(None)
            return
        links[name].cut() if verb == "cut" else links[name].set(value)

    loop.add_reader(pipe.fileno(), command)
    await ended


def _main(listeners, targets, modes, pipe, far_pipe):
    far_pipe.close()
    try:
        asyncio.run(_run(listeners, targets, modes, pipe))
    except KeyboardInterrupt:
        pass


class Network:
    """links: {name: (target port, first mode)}; the ports to use instead are in .port."""

    def __init__(self, links):
        listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=512) for name in links}
        self.port = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        self.pipe, far = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=_main, args=(listeners, {name: link[0] for name, link in links.items()},
                                {name: link[1] for name, link in links.items()}, far, self.pipe), daemon=True)
        self.process.start()
        far.close()
        for listener in listeners.values():
            listener.close()

    def set(self, name, mode):
        self.pipe.send(("set", name, mode))

    def cut(self, name):
        """Reset every connection of the link now."""
        self.pipe.send(("cut", name, None))

    def close(self):
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
