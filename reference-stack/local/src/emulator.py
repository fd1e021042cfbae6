"""Starts the emulator, ministack 1.5.33, with two changes.

It answers no web page. Anybody who reaches its port may create functions and run them, and every page that a browser on
this machine shows can send requests to it.

It has more patience for a function's log lines. When a function has answered, ministack takes the lines that it wrote, until
none has come for 5 ms. That is no more than Python itself may let a thread wait, so on a busy machine the last lines stayed
behind and came with the next invocation's, if there was one.
"""

import os

import ministack.app
from ministack.core.lambda_runtime import Worker


def for_programs_only(app, port):
    """Refuses what a browser sends on behalf of a page, and, as a page's own name may lead here, any other host."""
    hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}

    async def answer(scope, receive, send):
        headers = dict(scope.get("headers", []))
        is_page = b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none"
        if scope["type"] == "lifespan" or (headers.get(b"host") in hosts and not is_page):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # Before it was accepted: the answer is 403.
        else:
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"no web pages, please\n"})

    return answer


# In seconds: for the first line, after the latest line, and in all.
if Worker._drain_stderr_bounded.__defaults__ != (0.05, 0.005, 0.25):
    raise SystemExit("this is not ministack 1.5.33: see whether its Worker still needs patience")
Worker._drain_stderr_bounded.__defaults__ = (0.05, 0.05, 1.0)

ministack.app.app = for_programs_only(ministack.app.app, os.environ["GATEWAY_PORT"])
ministack.app.main()
