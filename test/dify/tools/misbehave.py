import os
import time

from dify_plugin import Tool


class PluginTool(Tool):
    """Crashes, hangs, raises, or calls what is not there, as it is told."""

    def _invoke(self, tool_parameters):
        how = tool_parameters["how"]
        yield self.create_text_message("begin")
        if how == "crash":
            self.session.storage.set("before", b"crash")
            os._exit(3)
        if how == "hang":
            time.sleep(3600)
        if how == "raise":
            raise ValueError("on purpose")
        if how == "app":
            self.session.app.fetch_app("app-1")
