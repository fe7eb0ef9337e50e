"""`superalign serve`: the local page."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from superalign.cli.options import StoreUrl

EPILOG = """\b
Examples:
  superalign serve                                   open http://127.0.0.1:8400
  superalign serve --open --store runs.sqlite
  superalign serve --host 0.0.0.0 --allow-host lab.example.org     for others too; prints a token
\b
A study with people in it waits for their answers, and goes on as soon as they are in:
  superalign oversee --task evidence --protocols debate --judge human --items 5
"""
PORT = 8400


def add(app: typer.Typer) -> None:
    app.command("serve", epilog=EPILOG)(serve)


def serve(
    host: Annotated[str, typer.Option(help="Where to listen. Anything but this machine needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = PORT,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which the page may be called; repeat for more.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SUPERALIGN_TOKEN", help="What people enter with. [default: a new one]")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
    store: StoreUrl = None,
) -> None:
    """Serve the page: watch runs, read transcripts, and judge, label and rate as the overseer."""
    from superalign.store import open_store
    from superalign.web.app import create
    from superalign.web.safety import LOOPBACK
    from superalign.web.server import Server, announced

    local = host in LOOPBACK
    secret = token or ("" if local else secrets.token_urlsafe(16))
    with open_store(store) as opened:
        app = create(opened, names=[*(allow_host or ()), host], numbers=not local, token=secret)
        server = Server(app, host, port)
        print(f"superalign: {server.url}  (Ctrl-C ends)", flush=True)
        if secret:
            print(f"token: {secret}", flush=True)
            print(f"for others: {server.url}/enter#{secret}", flush=True)
        if open_:
            import webbrowser

            webbrowser.open(server.url)
        with announced(opened, server.url):
            server.run()
