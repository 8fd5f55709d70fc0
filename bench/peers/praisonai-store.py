"""PraisonAI's SQLite conversation store behind a pipe: a JSON command a line, answered by its result and the microseconds it took."""

import json
import sys
import time
from importlib.metadata import version

from praisonai.persistence.conversation.base import ConversationMessage, ConversationSession
from praisonai.persistence.conversation.sqlite import SQLiteConversationStore

store = SQLiteConversationStore(path=sys.argv[1])


def create(session_id):
    store.create_session(ConversationSession(session_id=session_id, user_id="u"))


def append(session_id, text):
    store.add_message(session_id, ConversationMessage(session_id=session_id, role="user", content=text))


def newest(session_id, count):
    # `limit` gives the oldest, and nothing counts the messages, so the newest are the end of all.
    return [message.content for message in store.get_messages(session_id)[-count:]]


def sessions(count):
    return [session.session_id for session in store.list_sessions(limit=count)]


def seed(rows):
    connection = store._get_conn()
    connection.execute("PRAGMA synchronous = OFF")
    for row in rows:
        create(row["id"])
        for text in row["texts"]:
            append(row["id"], text)
    connection.execute("PRAGMA synchronous = FULL")


CALLS = {"create": create, "append": append, "newest": newest, "list": sessions, "seed": seed}

print(json.dumps({"version": version("praisonai")}), flush=True)
for line in sys.stdin:
    name, arguments = json.loads(line)
    began = time.perf_counter_ns()
    result = CALLS[name](*arguments)
    print(json.dumps({"result": result, "us": (time.perf_counter_ns() - began) / 1000}), flush=True)
store.close()
