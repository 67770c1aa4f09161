"""A text as it is written: with the sync client, then two at a time with the async one.

    nexusai serve                            # in another terminal
    python examples/streaming_example.py

Without a provider the embedded demonstration answers, and says so.
"""

import asyncio

from nexusai import AsyncNexusAIClient, NexusAIClient


def follow_one():
    with NexusAIClient() as client, client.text.stream("Tell me about lighthouses.") as stream:
        for chunk in stream:
            print(chunk.text, end="", flush=True)
        answer = stream.final()
    print(f"\n  {answer.finish_reason}: {answer.usage.completion_tokens} tokens in task {answer.task_id}")


async def follow(client, name, prompt):
    pieces = 0
    async with client.text.stream(prompt) as stream:
        async for chunk in stream:
            pieces += bool(chunk.text)
    print(f"{name}: {len(stream.text)} characters in {pieces} pieces")


async def follow_two():
    async with AsyncNexusAIClient() as client:
        await asyncio.gather(
            follow(client, "sea", "A short story about the sea."),
            follow(client, "hills", "A short story about the hills."),
        )


if __name__ == "__main__":
    follow_one()
    asyncio.run(follow_two())
