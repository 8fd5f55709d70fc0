from dify_plugin import Tool


class PluginTool(Tool):
    """Handles each message once, as bots do that are told of a message several times."""

    def _invoke(self, tool_parameters):
        fresh = []
        for message in tool_parameters["messages"].split(","):
            key = "seen/" + message
            if not self.session.storage.exist(key):
                self.session.storage.set(key, b"1")
                fresh.append(message)
        yield self.create_json_message({"fresh": fresh})
