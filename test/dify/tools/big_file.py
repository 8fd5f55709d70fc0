import hashlib

from dify_plugin import Tool


class PluginTool(Tool):
    """Keeps a file of many megabytes and gives it back."""

    def _invoke(self, tool_parameters):
        data = bytes(range(256)) * (int(tool_parameters["kib"]) * 4)
        self.session.storage.set("file", data)
        back = self.session.storage.get("file")
        yield self.create_json_message({"bytes": len(back), "same": hashlib.sha256(back).hexdigest() == hashlib.sha256(data).hexdigest()})
        yield self.create_blob_message(back[:20000], meta={"mime_type": "application/octet-stream"})
