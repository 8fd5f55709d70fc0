from dify_plugin import Tool


class PluginTool(Tool):
    """Goes on from the page where the last call stopped, as plugins that synchronise do."""

    def _invoke(self, tool_parameters):
        value = self.session.storage.get("cursor")
        # The documented pattern: no value is falsy.
        page = int(value.decode()) if value else 0
        for _ in range(int(tool_parameters["pages"])):
            page += 1
            self.session.storage.set("cursor", str(page).encode())
        yield self.create_json_message({"page": page})
