from dify_plugin import Tool


class PluginTool(Tool):
    """Remembers once that an account was connected, as plugins with OAuth do."""

    def _invoke(self, tool_parameters):
        storage = self.session.storage
        if storage.exist("oauth_done"):
            yield self.create_text_message("connected before as " + storage.get("oauth_done").decode())
            return
        storage.set("oauth_done", tool_parameters["account"].encode())
        yield self.create_text_message("connected")
