"""A transcriber: what is said in recordings, as text and as subtitles beside each of them.

    nexusai serve                                         # in another terminal
    python examples/transcribe.py talk.mp3 meeting.m4a    # writes talk.srt and meeting.srt
    python examples/transcribe.py                         # speaks a sentence first, and listens to that

wav, mp3, m4a, flac, ogg and webm are read, up to 8 hours of it: what is too long for the provider is cut in
its pauses. Without a provider the embedded demonstration listens: roughly, and to English alone.
"""

import sys
from pathlib import Path

from nexusai import NexusAIClient, TaskFailedError

SENTENCES = "Thank you very much for your time. The president said that the united states will not go to war."


def speak(client):
    speech = client.audio.synthesize(SENTENCES, speed=0.8)
    return speech.save("spoken.wav")


def clock(seconds):
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"


def subtitles(segments):
    """The SubRip form that players read."""
    for number, part in enumerate(segments, 1):
        yield f"{number}\n{clock(part.start)} --> {clock(part.end)}\n{part.text}\n"


def transcribe(client, path):
    def tell(task):
        print(f"{path.name}: {task.status} {task.progress or 0:.0f}%")

    heard = client.audio.transcribe(path, timestamps=True, on_progress=tell)
    print(f"{path.name}: {heard.duration:.1f} seconds, heard by {heard.provider}/{heard.model}")
    print(heard.text)
    if heard.segments:  # some models tell no times
        target = path.with_suffix(".srt")
        target.write_text("\n".join(subtitles(heard.segments)), "utf-8")
        print(f"{target.name}: {len(heard.segments)} subtitles")


def main():
    failed = False
    with NexusAIClient(poll_timeout=3600) as client:
        for path in [Path(name) for name in sys.argv[1:]] or [speak(client)]:
            try:
                transcribe(client, path)
            except TaskFailedError as error:
                failed = True
                print(f"{path.name}: {error.message}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
