"""Text, a picture, speech and several tasks at once.

    nexusai serve                      # in another terminal
    python examples/basic_usage.py     # writes lighthouse.png and light.wav where you are

Without a provider the embedded demonstration answers, and says so.
"""

from nexusai import NexusAIClient, TaskFailedError

PASSAGE = "The lighthouse was built in 1854. Its lamp burned whale oil. Today it runs on sunlight."


def write(client):
    answer = client.text.generate(f"{PASSAGE}\n\nWhen was the lighthouse built?")
    print(answer)
    print(f"  by {answer.provider}/{answer.model}, {answer.usage.total_tokens} tokens")


def draw(client):
    image = client.images.generate("A lighthouse at dusk", size="1024x1024")
    print(f"{image.save('lighthouse.png')}: {image.width} by {image.height} pixels")


def speak(client):
    try:
        speech = client.audio.synthesize("The light is on.")
    except TaskFailedError as error:  # this machine has no voice, or the provider said no
        print(f"no speech: {error.message}")
    else:
        print(f"{speech.save('light.wav')}: {speech.duration} seconds")


def ask_many(client):
    questions = ["When was it built?", "What did its lamp burn?", "What does it run on today?"]
    handles = [client.text.generate_async(f"{PASSAGE}\n\n{question}") for question in questions]
    answers = client.tasks.wait_all(handles, return_exceptions=True)
    for question, answer in zip(questions, answers, strict=True):
        print(question, "-", str(answer).partition("\n")[0])


def main():
    with NexusAIClient() as client:
        write(client)
        draw(client)
        speak(client)
        ask_many(client)


if __name__ == "__main__":
    main()
