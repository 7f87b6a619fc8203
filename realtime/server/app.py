"""One process, one port: the service that all handlers share, its start, its drain and its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket as sockets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

from aiohttp import hdrs, web

from realtime.config import Config
from realtime.dialects.audiosocket import AudioSocketDialect
from realtime.dialects.base import Dialect
from realtime.dialects.mistral_realtime import MistralRealtimeDialect
from realtime.dialects.native import NativeDialect
from realtime.dialects.realtime_path import RealtimePathDialect
from realtime.dialects.vosk import VoskDialect
from realtime.dialects.wyoming import WyomingDialect
from realtime.errors import ConfigError, EngineFailed, ShuttingDown, VoxwireError
from realtime.events import SessionOptions
from realtime.server import auth, calls, deepgram, http, mistral_keys, openai_keys
from realtime.server.admission import Admission
from realtime.server.connection import FAREWELL_TIMEOUT_S, Ending
from realtime.server.exchange import Exchange
from realtime.server.files import endpoints as files
from realtime.server.hub import Hub
from realtime.server.metrics import Metrics
from realtime.server.tcp import TcpEndpoint, TcpPort, check_keys, ports
from realtime.server.webhook import Webhook
from realtime.server.websocket import StreamEndpoint
from realtime.session import Session, SessionLimits

log = logging.getLogger("voxwire.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

EXIT_ENGINE_FAILED = 1
REQUEST_TIMEOUT_S = 30.0  # for a connection to bring a whole request; the library would wait for an hour
BACKLOG_CONNECTIONS = 1024  # handshakes the kernel keeps for us while the loop is busy


class Guest(Protocol):
    """Whom a shutdown waits for: a connection, or a file on its way."""

    def wind_down(self, error: VoxwireError) -> None: ...
    def end(self, ending: Ending) -> None: ...


class Service:
    """What all handlers share. Lives on one event loop."""

    def __init__(self, config: Config, engine, loop: asyncio.AbstractEventLoop):
        self.config = config
        self.engine = engine
        self.metrics = Metrics()
        self.exchange = Exchange(loop)
        self.admission = Admission(engine, config.limits.max_connections)
        self.keyring = auth.Keyring(config.auth.api_keys)
        self.webhook = Webhook(config.calls)
        self.calls = Hub(loop, self.webhook.observe)
        self.on_loopback = auth.is_loopback(config.server.host)
        self.default_options = config.session.options(engine.tekken.delay_ms)
        self.session_limits = SessionLimits(
            release_after_ms=round(config.limits.release_after_s * 1000),
            max_wait_ms=round(config.limits.max_ahead_s * 1000),
        )
        self._connections: set[Guest] = set()
        self._draining = False
        self._all_left = asyncio.Event()
        self._all_left.set()
        self._connect_metrics()

    def new_session(self, options: SessionOptions, session_id: str) -> Session:
        """A conversation with the model that is served, within the operator's limits."""
        return Session(
            options,
            self.engine.tekken,
            session_id=session_id,
            model=self.engine.model_name,
            limits=self.session_limits,
            calibration=self.engine.calibration,
        )

    def check_open(self) -> None:
        """Raise what a newcomer must be told."""
        if self.engine.failure is not None:
            raise EngineFailed("The engine has failed; the process is about to restart.")
        if self._draining:
            raise ShuttingDown("The server is shutting down.")

    def enter(self, connection: Guest) -> None:
        self._connections.add(connection)
        self._all_left.clear()
        if self._draining:
            connection.wind_down(ShuttingDown("The server is shutting down."))

    def leave(self, connection: Guest) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_left.set()

    async def drain(self) -> None:
        """Stop admitting, let every stream have its finals, close with 1001. Bounded by `drain_timeout_s`."""
        self._draining = True
        for connection in list(self._connections):
            connection.wind_down(ShuttingDown("The server is shutting down."))
        await self.until_all_left(self.config.server.drain_timeout_s + FAREWELL_TIMEOUT_S)

    def fail_all(self) -> None:
        """The engine is dead: nobody gets another word."""
        for connection in list(self._connections):
            connection.end(Ending.by(EngineFailed("The engine has failed.")))

    async def until_all_left(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_left.wait()
        except TimeoutError:
            log.warning("%d connection(s) did not leave in time", len(self._connections))

    def _connect_metrics(self) -> None:
        metrics, engine = self.metrics, self.engine
        metrics.describe(engine.model_name, engine.device_name)
        metrics.slots.set(engine.slots)
        metrics.watch(metrics.slots_in_use, lambda: engine.slots_in_use)
        metrics.watch(metrics.connections, lambda: self.admission.connections)
        metrics.watch(metrics.calls, lambda: len(self.calls.running()))
        engine.stats.observers.append(metrics.tick)


class Server:
    """The service on its ports: `start`, then `run` until there is a reason to stop."""

    def __init__(
        self,
        config: Config,
        engine,
        listener: sockets.socket,
        tcp_listeners: Mapping[str, sockets.socket] | None = None,
    ):
        """`listener` is bound, not yet listening (see `bind`); so are those of other protocols (see `bind_tcp`)."""
        self._engine = engine
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self.service = Service(config, engine, self._loop)
        self._runner: web.AppRunner | None = None
        self._stop: asyncio.Future[str] = self._loop.create_future()
        self.port: int = listener.getsockname()[1]
        self.tcp_ports = {
            name: TcpPort(TcpEndpoint(self.service, TCP_DIALECTS[name](self.service)), bound)
            for name, bound in (tcp_listeners or {}).items()
        }

    def heed_signals(self) -> None:
        """SIGTERM and SIGINT end `run` from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)

    async def start(self) -> None:
        self._engine.on_failure = lambda: self._loop.call_soon_threadsafe(self._on_engine_failure)
        self._engine.start(self.service.exchange.deliver)
        self._runner = web.AppRunner(
            build_app(self.service),
            access_log=None,
            shutdown_timeout=FAREWELL_TIMEOUT_S,
            keepalive_timeout=REQUEST_TIMEOUT_S,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener, backlog=BACKLOG_CONNECTIONS).start()
        for port in self.tcp_ports.values():
            await port.start()

    def stop_because(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(reason)

    async def run(self) -> int:
        """Until SIGTERM, SIGINT or the engine's death; the exit status."""
        reason = await self._stop
        if reason == "engine":
            await self.service.until_all_left(FAREWELL_TIMEOUT_S)
        else:
            log.info("%s: draining", reason)
            await self.service.drain()
        await self.close()
        return EXIT_ENGINE_FAILED if self._engine.failure is not None else 0

    async def close(self) -> None:
        """Close the ports, then the engine: no stream may outlive it. Idempotent."""
        for port in self.tcp_ports.values():
            await port.close()
        self.service.calls.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self.service.webhook.close()
        await asyncio.to_thread(self._engine.stop)

    def _on_engine_failure(self) -> None:
        log.critical("the engine failed", exc_info=self._engine.failure)
        self.service.fail_all()  # in the middle of a drain as well
        self.stop_because("engine")

    def _on_signal(self, number: signal.Signals) -> None:
        self.stop_because(signal.Signals(number).name)
        # A second one means now: back to the default, which ends the process.
        self._loop.remove_signal_handler(number)


def build_app(service: Service) -> web.Application:
    app = web.Application(middlewares=[http.json_errors])
    app.on_response_prepare.append(http.add_security_headers)
    probes, pages = http.Probes(service), http.Pages()
    app.router.add_get("/v1/stream", StreamEndpoint(service, NativeDialect).handle)
    realtime = StreamEndpoint(service, RealtimePathDialect, openai_keys.PREFIX)
    app.router.add_get("/v1/realtime", realtime.handle)
    mistral = StreamEndpoint(service, MistralRealtimeDialect, mistral_keys.PREFIX)
    app.router.add_get("/v1/audio/transcriptions/realtime", mistral.handle)
    mistral_keys.add_routes(app, service)
    openai_keys.add_routes(app, service)
    deepgram.add_routes(app, service)
    files.add_routes(app, service)
    calls.add_routes(app, service)
    app.router.add_get("/healthz", probes.health)
    app.router.add_get("/readyz", probes.ready)
    app.router.add_get("/metrics", probes.metrics)
    vosk = StreamEndpoint(service, VoskDialect)
    app.router.add_get("/vosk", vosk.handle)
    app.router.add_get("/", _page_or_stream(pages.handle, vosk.handle))
    app.router.add_get("/{path:.*}", pages.handle)
    return app


def _page_or_stream(page: Handler, stream: Handler) -> Handler:
    """Clients of vosk-server know a host and a port, no path; browsers ask the same address for the page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        upgrade = request.headers.get(hdrs.UPGRADE, "")
        return await (stream if upgrade.lower() == "websocket" else page)(request)

    return handle


# What speaks on which TCP port, by the name of its setting.
TCP_DIALECTS: dict[str, Callable[[Service], Callable[[], Dialect]]] = {
    "wyoming": lambda service: partial(WyomingDialect, service.engine.model_name),
    "audiosocket": lambda service: AudioSocketDialect,
}


def bind_tcp(config: Config) -> dict[str, sockets.socket]:
    """A bound socket for every protocol that has a port. Raises ConfigError."""
    check_keys(config)
    return {name: bind(config.server.host, port) for name, port in ports(config).items() if port}


def bind(host: str, port: int) -> sockets.socket:
    """A bound socket. Raises ConfigError with one sentence where the system refuses."""
    try:
        found = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE)
        # `localhost` has two addresses; clients try 127.0.0.1.
        family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != sockets.AF_INET)
        listener = sockets.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"host {host}: {error.strerror or error}") from None
    try:
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port} on {host}: {error.strerror or error}") from None
    return listener
