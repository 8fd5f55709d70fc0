from werkzeug import Response

from dify_plugin import Endpoint


class PluginEndpoint(Endpoint):
    """Counts its visitors."""

    def _invoke(self, r, values, settings):
        count = int(self.session.storage.get("visits").decode() or "0") + 1
        self.session.storage.set("visits", str(count).encode())
        body = f"{r.method} {r.path} visit {count} {r.get_data(as_text=True)}"
        return Response(body, status=201, headers={"X-Visits": str(count)})
