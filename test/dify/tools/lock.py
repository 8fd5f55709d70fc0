from dify_plugin import Tool


class PluginTool(Tool):
    """A lock of exist and set, with the work in between, and the lock taken away again."""

    def _invoke(self, tool_parameters):
        storage = self.session.storage
        if storage.exist("lock"):
            yield self.create_text_message("busy")
            return
        storage.set("lock", b"1")
        count = storage.get("count")
        storage.set("count", str(int(count.decode() or "0") + 1).encode())
        storage.delete("lock")
        yield self.create_text_message("done " + storage.get("count").decode())
