"""A server that speaks S3 on the loopback interface, and can be made to fail."""

import logging
import threading
from contextlib import contextmanager

BROKEN = b"<Error><Code>InternalError</Code><Message>It broke.</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
REFUSED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3:
    """The server, its address, and what it is to do with the requests for contents.

    ``options``: of clients. ``requests``: the methods of those that came.
    """

    def __init__(self):
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.options = {"key": "somebody", "secret": "not-to-be-told", "endpoint_url": self.url}
        self.requests, self._fault = [], None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, environ, start):
        self.requests.append(environ["REQUEST_METHOD"])
        if environ["REQUEST_METHOD"] == "GET" and self._fault is not None:
            answer = self._fault()
            if answer is not None:
                status, body = answer
                start(status, [("Content-Type", "application/xml")])
                return [body]
        return self._app(environ, start)

    @contextmanager
    def fault(self, function):
        """Have a function called at each request for contents: its answer, or none."""
        self.requests.clear()
        self._fault = function
        try:
            yield
        finally:
            self._fault = None

    def gets(self):
        """Return how many requests for contents there were."""
        return self.requests.count("GET")

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def times(count, status, body):
    """Return a fault of the first requests."""
    left = [(status, body)] * count
    return lambda: left.pop() if left else None
