"""An MQTT 3.1.1 broker for the demo where no mosquitto is installed: amqtt, on one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    from amqtt.broker import Broker

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(int(sys.argv[1])))
