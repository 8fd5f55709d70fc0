import time

from dify_plugin import Tool


class PluginTool(Tool):
    """Sets and gets values of 1 KB as often as it is told, and tells how long that took."""

    def _invoke(self, tool_parameters):
        storage = self.session.storage
        rounds, key = int(tool_parameters["rounds"]), tool_parameters["key"]
        begin = time.perf_counter()
        for i in range(rounds):
            storage.set(key, i.to_bytes(4, "big") * 256)
        middle = time.perf_counter()
        for _ in range(rounds):
            storage.get(key)
        end = time.perf_counter()
        yield self.create_json_message({"set": middle - begin, "get": end - middle})
