"""As much of a cluster's API as Helm needs to look up what runs."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KINDS = {"v1": ("configmaps", "ConfigMap"), "apps/v1": ("statefulsets", "StatefulSet")}


@contextlib.contextmanager
def cluster(folder: Path, objects: list[dict[str, Any]]) -> Iterator[Path]:
    """Give the kubeconfig of an API server that has these ConfigMaps and StatefulSets."""
    answers: dict[str, Any] = {"/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}}
    for version, (plural, kind) in KINDS.items():
        base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        resource = {"name": plural, "kind": kind, "namespaced": True, "verbs": ["get", "list"]}
        answers[base] = {"kind": "APIResourceList", "groupVersion": version, "resources": [resource]}
        for each in objects:
            if each["kind"] == kind:
                place = each["metadata"]
                answers[f"{base}/namespaces/{place['namespace']}/{plural}/{place['name']}"] = each

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(missing if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kubeconfig = folder / "kubeconfig"
    address = {"server": f"http://127.0.0.1:{server.server_port}"}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": address}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    try:
        yield kubeconfig
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
