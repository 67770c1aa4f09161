"""A chatbot that remembers: a session on the platform, streamed turns, and a second way the talk might go.

    nexusai serve                       # in another terminal
    python examples/session_chat.py     # in a terminal it goes on with your own questions

Without a provider the embedded demonstration answers from what you told it, and says so.
"""

import sys

from nexusai import NexusAIClient

TOLD = "The lighthouse was built in 1854. Its lamp burned whale oil. Today it runs on sunlight."
QUESTIONS = ["When was the lighthouse built?", "What did its lamp burn?"]


def ask(session, prompt):
    print(f"you: {prompt}\nbot: ", end="")
    with session.stream(prompt) as stream:
        for chunk in stream:
            print(chunk.text, end="", flush=True)
    print()


def begin(client):
    session = client.sessions.create(
        name="Lighthouse",
        system_prompt="You are the keeper of a lighthouse. Answer in one sentence.",
        context={"strategy": "summarize", "max_messages": 40},
    )
    session.invoke(TOLD)
    return session.id


def go_on(client, session_id):
    session = client.sessions.get(session_id)  # in another process, on another day
    for question in QUESTIONS:
        ask(session, question)
    while sys.stdin.isatty() and (prompt := input("you (nothing ends it): ")):
        ask(session, prompt)
    return session


def main():
    with NexusAIClient() as client:
        session = go_on(client, begin(client))
        print(f"\n{session.history().total} messages in {session.id}:")
        for message in session.iter_history():
            print(f"  {message.role}: {message.content.partition(chr(10))[0]}")
        session.delete()


if __name__ == "__main__":
    main()
